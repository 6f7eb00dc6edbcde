"""The one table from verdicts to pytest, JUnit, Allure and the exit code of ``bench``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.judge.verdict import Outcome

OK, FAILED, BAD_INPUT, INCONCLUSIVE, ERROR, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes of ``bench``."""


@dataclass(frozen=True, slots=True)
class OutcomeMapping:
    """How one verdict reads elsewhere; nothing but PASS ever reads as passed.

    ``junit``: the element inside the test case, empty for none.
    """

    pytest: str
    junit: str
    allure: str


MAPPING: Mapping[Outcome, OutcomeMapping] = {
    Outcome.PASS: OutcomeMapping("passed", "", "passed"),
    Outcome.FAIL: OutcomeMapping("failed", "failure", "failed"),
    Outcome.INCONCLUSIVE: OutcomeMapping("failed", "error", "unknown"),
    Outcome.ERROR: OutcomeMapping("error", "error", "broken"),
}


def exit_code(
    outcomes: Iterable[Outcome], *, allow_inconclusive: bool = False, interrupted: bool = False
) -> int:
    """The exit code of a run.

    A FAIL outweighs an ERROR: it is a statement about the device, and stays one. An ERROR
    outweighs an INCONCLUSIVE. No verdict at all is INCONCLUSIVE.
    """
    seen = set(outcomes)
    if interrupted:
        return INTERRUPTED
    if Outcome.FAIL in seen:
        return FAILED
    if Outcome.ERROR in seen:
        return ERROR
    if not seen:
        return INCONCLUSIVE
    if Outcome.INCONCLUSIVE in seen and not allow_inconclusive:
        return INCONCLUSIVE
    return OK
