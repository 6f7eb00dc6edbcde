"""Traceability for people: what is covered, what is not, and which tests cite nothing."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.console import Console

from bench.report.terminal import STYLES

_MOST_NAMES = 3


def print_coverage(found: Any, *, console: Console | None = None) -> None:
    """A :class:`bench.studies.coverage.Coverage`, the covered first, grouped by document."""
    console = console or Console()

    def say(text: str = "", style: str = "") -> None:
        console.print(text, style=style or None, highlight=False, markup=False, soft_wrap=True)

    say("behaviours: tests, and the defects that they must catch", "bold")
    for line in found.behaviours:
        caught = ", ".join(line.defects) or "none needed" if line.covered else line.why_not
        count = f"{len(line.tests)} test{'' if len(line.tests) == 1 else 's'}"
        say(f"  {line.id}: {count if line.tests else 'no test'}; {caught}")
    figures = [line for line in found.lines if line.covered and line not in found.behaviours]
    caught = ", ".join(dict.fromkeys(name for line in figures for name in line.defects))
    say(f"  KPI-*: {len(figures)} figures and statements with a test; {caught or 'no defect'}")
    say("covered", "bold")
    for line in found.lines:
        if line.covered:
            say(f"  {line.id}: {_answer(line)}", STYLES.get(line.last_verdict or "", ""))
    say("not covered", "bold")
    for reason, lines in groupby(
        sorted(found.uncovered, key=lambda line: line.why_not), key=lambda line: line.why_not
    ):
        say(f"  {reason}: {', '.join(line.id for line in lines)}")
    if found.uncited:
        say("tests that cite no requirement", "bold")
        for name in found.uncited:
            say(f"  {name}")
    covered = len(found.lines) - len(found.uncovered)
    say(
        f"{covered} of {len(found.lines)} entries covered by {len(found.tests())} tests, "
        f"{len(found.uncited)} tests cite no requirement"
    )


def _answer(line: Any) -> str:
    last = f"{line.last_verdict} in {line.last_run}" if line.last_verdict else "never judged"
    if line.declaration and not line.tests:
        return str(line.declaration)
    names = list(dict.fromkeys(test.rpartition("/")[2].partition("[")[0] for test in line.tests))
    count = f" ({len(line.tests)} tests)" if len(line.tests) > 1 else ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{last}; {', '.join(names[:_MOST_NAMES])}{more}{count}"
