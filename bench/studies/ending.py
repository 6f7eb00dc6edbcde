"""The end of a run, from its folder alone: every answer given, final forms, reports, seal.

Called once, by one process, when all that worked on the run are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from bench.errors import InputError
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Outcome, Verdict
from bench.requirements.loader import load_catalogue
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


def end_run(path: Path, write_reports: Callable[[Path], object]) -> StoredRun:
    """Give the run folder its final forms and seal it.

    What is in scope without a verdict becomes an ERROR: it is never passed over in silence.
    Where the end itself is cut short, the run is marked incomplete again.

    Args:
        path: the run folder.
        write_reports: writes report, JUnit and Allure into it.

    Returns:
        The run as it is stored now.

    Raises:
        InputError: the folder is damaged or cannot be written.
    """
    folder = RunFolder(path)
    try:
        _answer(folder, read_run(path))
        folder.conclude()
        write_reports(path)
        seal(path)
    except BaseException:
        with suppress(InputError):
            folder.update(completion="incomplete")
        raise
    return read_run(path)


def _answer(folder: RunFolder, run: StoredRun) -> None:
    catalogue = load_catalogue()
    for item in unanswered(run.scope, run.verdicts):
        requirement = catalogue.get(item.requirement)
        folder.verdict(failed_verdict(item, requirement, run.device, Outcome.ERROR, NO_VERDICT))
