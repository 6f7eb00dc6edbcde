"""``bench run``: pytest on a plan, in this process, with the bench's own display."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.errors import InputError
from bench.judge.outcomes import exit_code
from bench.studies.run import Run

TESTPLANS = Path(__file__).resolve().parents[2] / "testplans"


@dataclass(frozen=True, slots=True)
class Invocation:
    """The words of one ``bench run``."""

    plan: str
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
    display: str = "live"

    def arguments(self, folder: Path) -> list[str]:
        """The words for pytest."""
        words = [str(folder), f"--rootdir={TESTPLANS.parent}", "--import-mode=importlib"]
        words += ["--strict-markers", "-p", "no:terminal", "-p", "no:cacheprovider", "-s"]
        words += ["--bench", self.bench, "--device", self.device, "--seed", self.seed]
        words += ["--results", str(self.results), f"--bench-display={self.display}"]
        for option, values in (
            ("--only", self.only),
            ("--option", self.options),
            ("--defect", self.defects),
        ):
            for value in values:
                words += [option, value]
        for option, wanted in (
            ("--full", self.full),
            ("--certify", self.certify),
            ("--allow-inconclusive", self.allow_inconclusive),
        ):
            words += [option] if wanted else []
        return words


@dataclass
class _Watcher:
    """A pytest plugin: keeps what the command needs to know afterwards."""

    run: Run | None = None
    refusal: str = ""
    crashes: list[str] = field(default_factory=list)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.run = getattr(session.config, "bench_run", None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.crashes.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not getattr(report, "bench_verdict", False):
            self.crashes.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if isinstance(excinfo.value, pytest.exit.Exception):
            self.refusal = str(excinfo.value.msg)


def run_plan(invocation: Invocation) -> int:
    """Carry a plan out.

    Returns:
        The exit code of ``bench run`` (architecture: 0, 1, 2, 3, 4, 130).

    Raises:
        InputError: no such plan, or anything else the user gave cannot be used.
    """
    folder = _plan_folder(invocation.plan)
    os.environ.pop("PYTEST_ADDOPTS", None)
    watcher = _Watcher()
    status = pytest.main(invocation.arguments(folder), plugins=[watcher])
    if watcher.refusal:
        print(f"bench: {watcher.refusal}", file=sys.stderr)
        return 2
    if status == pytest.ExitCode.USAGE_ERROR:
        return 2
    for crash in watcher.crashes:
        print(f"bench: the bench's own fault: {crash}", file=sys.stderr)
    run = watcher.run
    interrupted = status == pytest.ExitCode.INTERRUPTED and not watcher.crashes
    if interrupted:
        return 130
    if watcher.crashes or run is None:
        return 4
    if not run.verdicts:
        print("bench: nothing was in scope; see the reasons above", file=sys.stderr)
        return 3
    return exit_code(
        [verdict.verdict for verdict in run.verdicts],
        allow_inconclusive=invocation.allow_inconclusive,
    )


def _plan_folder(plan: str) -> Path:
    known = sorted(p.name for p in TESTPLANS.iterdir() if any(p.glob("test_*.py")))
    if plan in known:
        return TESTPLANS / plan
    path = Path(plan)
    if path.exists() and (path.is_dir() or path.suffix == ".py"):
        return path.resolve()
    raise InputError(
        "no such plan", remedy=f"use one of {', '.join(known)}, or a path", field="PLAN", value=plan
    )
