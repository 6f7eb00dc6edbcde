"""A small sealed run, made in this process, to be spoilt in copies."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.judge.scope import Candidate
from bench.studies.ending import end_run
from bench.studies.run import Run, RunOptions

# Without the streams that nothing here rests on.
DEVICE = runpy.run_path(str(Path(__file__).parents[1] / "support/played.py"))["device"](
    "telesurgery-robot"
)
STOP = Candidate("LOC-1", "", "stop", "local-stop", ("motion",))
SWITCH = Candidate("SW-1", "", "switch", "primary-outage")


class Nobody:
    """Watches a run and says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def no_reports(path: Path, known: Any) -> None:
    """Stands for report, JUnit and Allure."""


def carry_out(results: Path, candidates: Sequence[Candidate], *, judged: bool = True) -> Path:
    """A run of the robot on the virtual bench, not ended yet."""
    run = Run(RunOptions("therapy", DEVICE, results=results), Nobody())
    run.open()
    run.settle_scope(candidates)
    for item in run.scope:
        recordings = run.recordings(item)
        if judged:
            run.judge(item, recordings)
    run.close()
    return run.folder.path


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one verdict, ended and sealed."""
    path = carry_out(tmp_path_factory.mktemp("studies"), [STOP])
    end_run(path, no_reports)
    return path


@pytest.fixture
def copy(ended: Path, tmp_path: Path) -> Path:
    """A copy of it without its seal."""
    path = tmp_path / ended.name
    shutil.copytree(ended, path)
    (path / "SHA256SUMS").unlink()
    return path


@pytest.fixture
def edit() -> Callable[..., None]:
    """Set fields of a JSON file."""

    def set_fields(path: Path, **fields: Any) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return set_fields
