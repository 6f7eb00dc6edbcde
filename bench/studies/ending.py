"""The end of a run, from its folder alone: every answer given, final forms, reports, seal.

Called once, by one process, when all that worked on the run are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Outcome, Verdict
from bench.runs.files import writing
from bench.runs.folder import RunFolder
from bench.runs.reader import StoredRun, read_run
from bench.runs.seal import seal
from bench.studies.failed import failed_verdict

NO_VERDICT = "its test ended without a verdict"


def unanswered(scope: Iterable[ScopeItem], verdicts: Iterable[Verdict]) -> list[ScopeItem]:
    """What is in scope and has no verdict."""
    answered = {(v.requirement, v.stream, v.test) for v in verdicts}
    return [
        item
        for item in scope
        if item.in_scope and (item.requirement, item.stream, item.test) not in answered
    ]


Reports = Callable[[Path, Mapping[str, Any]], object]


def end_run(path: Path, write_reports: Reports) -> StoredRun:
    """Give the run folder its final forms and seal it.

    What is in scope without a verdict becomes an ERROR: it is never passed over in silence.
    The run counts as complete when everything but the seal is written: cut short before, by a
    full disk, Ctrl-C or a kill, it stays incomplete.

    Args:
        path: the run folder.
        write_reports: writes report, JUnit and Allure into the folder, given also the fields of
            run.json that are written after it.

    Returns:
        The run as it is stored now.

    Raises:
        InputError: the folder is damaged or cannot be written.
    """
    folder = RunFolder(path)
    _answer(folder, read_run(path))
    folder.conclude("incomplete")
    with writing(path):
        write_reports(path, {"completion": "complete"})
    folder.update(completion="complete")
    try:
        seal(path)
    except BaseException:
        with suppress(InputError):
            folder.update(completion="incomplete")
        raise
    return read_run(path)


def _answer(folder: RunFolder, run: StoredRun) -> None:
    for item in unanswered(run.scope, run.verdicts):
        requirement = run.requirement(item.requirement)
        folder.verdict(failed_verdict(item, requirement, run.device, Outcome.ERROR, NO_VERDICT))
