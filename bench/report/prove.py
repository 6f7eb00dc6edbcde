"""What ``bench prove`` shows: progress, and its answer as a table, for people and for the docs."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.measure import Measurement
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from bench.report.terminal import STYLES
from bench.units import show, show_duration

_LINE_EVERY_S = 10.0
_MOST_NOTABLE = 20

COLUMNS = (
    "defect", "device", "size", "limit", "detected", "by", "certain from",
)  # fmt: skip


class Lines:
    """Progress on stderr: a bar on a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(console=console, transient=True) if console.is_terminal else None
        self._task: TaskID | None = None
        self._what, self._total, self._count, self._said = "", 0, 0, 0.0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, what: str, total: int) -> None:
        """A part of so many units begins; 0: nobody knows how many."""
        self._what, self._total, self._count = what, total, 0
        self._said = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(what, total=total or None)

    def tick(self) -> None:
        """One unit is done."""
        self._count += 1
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
        elif time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self._line()

    def end(self) -> None:
        """The part is over."""
        if self._bar is None:
            self._line()
        elif self._task is not None:
            self._bar.remove_task(self._task)

    def _line(self) -> None:
        of = f" of {self._total}" if self._total else ""
        print(f"{self._what}: {self._count}{of}", file=sys.stderr, flush=True)


def print_proved(found: Any, *, console: Console | None = None) -> None:
    """A :class:`bench.studies.prove.Proved`."""
    console = console or Console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    for result in found.defects:
        style = STYLES["PASS" if result.certain else "FAIL"]
        table.add_row(*(Text(cell, style if i == 4 else "") for i, cell in enumerate(_row(result))))
    # A table is shown whole: a cut figure misleads.
    console.width = max(
        console.width, Measurement.get(console, console.options.update(width=1000), table).maximum
    )
    console.print(table)
    for result in found.defects:
        if result.note:
            console.print(Text(f"{result.defect} on {result.device}: {result.note}"))
    if found.left_out:
        count = len(found.left_out)
        console.print(f"left out, not wholly judged by what was chosen: {count} other defects")
    healthy = found.healthy
    for line in healthy.notable[:_MOST_NOTABLE]:
        console.print(Text(line))
    if len(healthy.notable) > _MOST_NOTABLE:
        console.print(f"… and {len(healthy.notable) - _MOST_NOTABLE} more")
    console.print(Text(summary(found), STYLES["PASS" if found.ok else "FAIL"]), soft_wrap=True)


def _row(result: Any) -> tuple[str, ...]:
    by = ", ".join(
        f"{name} {count}" if count != result.detected_in else name
        for name, count in result.by_seeds.items()
    )
    return (
        result.defect.rpartition("/")[2],
        result.device,
        show_duration(result.size) if result.timed else "",
        "" if result.limit is None else show(result.limit, result.unit),
        f"{result.detected_in} of {result.seeds}",
        by or f"not by {', '.join(result.breaks)}",
        "" if result.certain_from is None else show_duration(result.certain_from),
    )


def summary(found: Any) -> str:
    """The answer in one line."""
    certain = sum(result.certain for result in found.defects)
    sessions = sum(result.sessions for result in found.defects)
    healthy = found.healthy
    share = 100 * healthy.inconclusive / healthy.verdicts if healthy.verdicts else 0.0
    return (
        f"{certain} of {len(found.defects)} defects detected in every seed ({sessions} sessions); "
        f"healthy: {healthy.sessions} sessions ({healthy.near_limit} near the limits), "
        f"{healthy.verdicts} verdicts, {healthy.false_fail} false FAIL, "
        f"{healthy.inconclusive} INCONCLUSIVE ({share:.2g} %), {healthy.error} ERROR"
    )


def markdown(found: Any) -> str:
    """The table and the answer, for a page of the docs."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    rows = ["| " + " | ".join(_row(result)) + " |" for result in found.defects]
    return "\n".join([*head, *rows, "", summary(found) + "."])
