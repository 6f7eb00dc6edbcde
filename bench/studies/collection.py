"""What a plan would judge, collected by pytest in this process without running anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.judge.scope import Candidate


@dataclass(frozen=True, slots=True)
class Collected:
    """What one device would be judged on, and the names of tests that cite no requirement."""

    candidates: tuple[Candidate, ...]
    uncited: tuple[str, ...]


class _Listener:
    """A pytest plugin: keeps what was collected, and why it could not be."""

    def __init__(self) -> None:
        self.found: Collected | None = None
        self.problems: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.found = Collected(*session.config.bench_collected)  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> object:
        try:
            return (yield)
        except pytest.UsageError as error:
            self.problems.append(str(error))
            raise

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            reason = report.longreprtext.strip().splitlines()[-1].removeprefix("E").strip()
            self.problems.append(f"{report.nodeid}: cannot be collected: {reason}")


def collect(folders: Sequence[Path], device: str, *, options: Sequence[str] = ()) -> Collected:
    """Collect plans for a device.

    Args:
        folders: the plans' folders or files.
        device: as ``--device``.
        options: of the device.

    Raises:
        InputError: the plan, the device or an option cannot be used.
    """
    words = [*map(str, folders), "--collect-only", "--import-mode=importlib", "--strict-markers"]
    words += ["-p", "no:terminal", "-p", "no:cacheprovider", f"--rootdir={_root()}"]
    words += [f"--device={device}", *(f"--option={option}" for option in options)]
    os.environ.pop("PYTEST_ADDOPTS", None)
    listener = _Listener()
    pytest.main(words, plugins=[listener])
    if listener.problems or listener.found is None:
        text = listener.problems[0] if listener.problems else "nothing was collected"
        problem, _, remedy = text.partition("; ")
        raise InputError(problem, remedy=remedy or "see the plan's tests")
    return listener.found


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
