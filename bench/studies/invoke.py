"""``bench run``: pytest on a plan, in this process, with the bench's own display."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.devices.load import CLASSES
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.outcomes import BAD_INPUT, ERROR, INTERRUPTED, exit_code
from bench.judge.verdict import Outcome
from bench.runs.reader import StoredRun

TESTPLANS = Path(__file__).resolve().parents[2] / "testplans"
COEXISTENCE, LABORATORY = "coexistence", "simulated-lab"
ALL = "all"
"""The word for every plan that asks something of a device: its class's and every topic's."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The words of one ``bench run``."""

    plans: tuple[str, ...]
    device: str
    bench: str
    seed: str
    results: Path
    only: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    full: bool = False
    certify: bool = False
    allow_inconclusive: bool = False
    rule: str | None = None
    confidence: str | None = None
    budget: str | None = None
    coexistence: Path | None = None
    display: str = "live"

    def arguments(self, folders: Sequence[Path]) -> list[str]:
        """The words for pytest."""
        words = [*map(str, folders), f"--rootdir={TESTPLANS.parent}", "--import-mode=importlib"]
        words += ["--strict-markers", "-p", "no:terminal", "-p", "no:cacheprovider", "-s"]
        words += [
            f"--bench={bench_for(self.plans, self.bench)}",
            f"--device={self.device}",
            f"--seed={self.seed}",
        ]
        words += [f"--results={self.results}", f"--bench-display={self.display}"]
        for option, values in (
            ("--only", self.only),
            ("--option", self.options),
            ("--defect", self.defects),
        ):
            words += [f"{option}={value}" for value in values]
        for option, wanted in (
            ("--full", self.full),
            ("--certify", self.certify),
            ("--allow-inconclusive", self.allow_inconclusive),
        ):
            words += [option] if wanted else []
        for option, value in (
            ("--rule", self.rule),
            ("--confidence", self.confidence),
            ("--budget", self.budget),
            ("--coexistence", self.coexistence),
        ):
            words += [f"{option}={value}"] if value is not None else []
        return words


def bench_for(plans: Sequence[str], bench: str) -> str:
    """``auto`` is the simulated laboratory for a plan that needs instruments, and no other."""
    return LABORATORY if bench == "auto" and set(plans) == {COEXISTENCE} else bench


@dataclass
class _Watcher:
    """A pytest plugin: keeps what the command needs to know afterwards.

    ``end``: why the run ended before its time, and with which exit code.
    """

    stored: StoredRun | None = None
    end: tuple[str, int] | None = None
    unusable: list[tuple[str, str]] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except pytest.UsageError as error:
            pytest.exit(str(error), returncode=BAD_INPUT)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            reason = report.longreprtext.strip().splitlines()[-1].removeprefix("E").strip()
            self.unusable.append((report.nodeid, f"cannot be collected: {reason}"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not hasattr(report, "bench_verdict"):
            known = any(report.longreprtext in crash for crash in self.crashes)
            reason = "the same" if known else report.longreprtext
            self.crashes.append(f"{report.nodeid}: {reason}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        error = excinfo.value
        if isinstance(error, pytest.exit.Exception):
            self.end = str(error.msg), int(error.returncode or ERROR)
        elif not isinstance(error, pytest.Session.Interrupted):
            self.end = "interrupted", INTERRUPTED

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        try:
            yield
        except pytest.exit.Exception as error:
            self.end = str(error.msg), int(error.returncode or ERROR)
        self.stored = getattr(session.config, "bench_stored", None)


def run_plan(invocation: Invocation) -> int:
    """Carry plans out, as one run.

    Returns:
        The exit code of ``bench run`` (architecture: 0, 1, 2, 3, 4, 130).

    Raises:
        InputError: no such plan, or anything else the user gave cannot be used.
    """
    folders = plan_folders_of(invocation.plans, invocation.device)
    os.environ.pop("PYTEST_ADDOPTS", None)
    watcher = _Watcher()
    status = pytest.main(invocation.arguments(folders), plugins=[watcher])
    return _exit_code(watcher, status, invocation)


def _exit_code(watcher: _Watcher, status: int, invocation: Invocation) -> int:
    stored, plans = watcher.stored, " ".join(invocation.plans)
    for crash in watcher.crashes:
        _say(f"the bench's own fault: {crash}")
    if watcher.end is not None:
        text, code = watcher.end
        if code == INTERRUPTED and stored is not None and str(stored.path) not in text:
            text = f"{text}; {stored.path} is incomplete"
        _say(text)
        return code
    if watcher.unusable or status == pytest.ExitCode.USAGE_ERROR:
        for file, problem in watcher.unusable:
            _say(f"{file or plans}: {problem}")
        return BAD_INPUT
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        _say(f"{plans}: holds no test; name a plan that has test_*.py")
        return BAD_INPUT
    outcomes = [] if stored is None else [verdict.verdict for verdict in stored.verdicts]
    if watcher.crashes or status == pytest.ExitCode.INTERNAL_ERROR:
        outcomes.append(Outcome.ERROR)
    if not outcomes:
        _say("nothing was in scope; the reasons are listed above")
    return exit_code(outcomes, allow_inconclusive=invocation.allow_inconclusive)


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr)


def plan_folders() -> dict[str, Path]:
    """The plans that come with the bench, by name."""
    return {p.name: p for p in sorted(TESTPLANS.iterdir()) if any(p.glob("test_*.py"))}


def plan_folders_of(plans: Sequence[str], device: str) -> tuple[Path, ...]:
    """The folders or files of plans, by name or path, each once.

    Args:
        plans: at least one; :data:`ALL` for every plan but those of other device classes.
        device: as ``--device``.

    Raises:
        InputError: there is no such plan or device.
    """
    if ALL not in plans:
        return tuple(dict.fromkeys(plan_folder(plan) for plan in plans))
    if len(plans) > 1:
        raise InputError(
            f"stands beside {ALL}", remedy=f"name plans, or {ALL}", field="PLAN", value=plans[1]
        )
    own = find_device(device).device_class
    return tuple(
        folder for name, folder in plan_folders().items() if name not in CLASSES or name == own
    )


def plan_folder(plan: str) -> Path:
    """The folder or file of a plan, by name or path.

    Raises:
        InputError: there is none.
    """
    known = plan_folders()
    if plan in known:
        return known[plan]
    path = Path(plan)
    if path.exists() and (path.is_dir() or path.suffix == ".py"):
        return path.resolve()
    raise InputError(
        "no such plan",
        remedy=f"use {ALL}, some of {', '.join(known)}, or a path",
        field="PLAN",
        value=plan,
    )
