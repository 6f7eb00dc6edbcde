"""What a run would judge, for people: a table, the reasons for what is left out, the total."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.judge.needs import rough_time

_LEAST_POWER = 0.9


def print_plan(found: Any, *, console: Console | None = None) -> None:
    """A :class:`bench.studies.foresee.Foreseen`: a table, or plain lines for files and pipes."""
    console = console or Console()
    inside = [row for row in found.rows if row.in_scope]
    outside = [row for row in found.rows if not row.in_scope]
    if console.is_terminal and inside:
        console.print(_table(inside))
    for row in [] if console.is_terminal else inside:
        _say(console, f"in   {_name(row)}: {_planned(row)}; {row.needs}")
    if outside:
        _say(console, "out of reach or out of scope:")
    for reason, rows in groupby(sorted(outside, key=_why), key=_why):
        _say(console, f"out  {reason}: {_names(rows)}")
    for line in _tail(found, inside, outside):
        _say(console, line)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _table(rows: Iterable[Any]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("requirement", "planned", "passes at half its limit", "what it takes"):
        table.add_column(name)
    for row in rows:
        table.add_row(_name(row), _count(row), _power(row), row.needs)
    return table


def _name(row: Any) -> str:
    return f"{row.requirement} {row.stream or row.scenario}".rstrip()


def _why(row: Any) -> str:
    return f"{row.reason} ({row.figure})" if row.figure else str(row.reason)


def _names(rows: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(f"{row.requirement} {row.stream}".strip() for row in rows))


def _count(row: Any) -> str:
    what = row.of.removesuffix("s") if row.planned_n == 1 else row.of
    if not row.duration_s:
        return "no session"
    return f"{row.planned_n} {what} in {rough_time(row.duration_s)}"


def _power(row: Any) -> str:
    return "" if row.power_at_half is None else f"{100 * row.power_at_half:.0f} %"


def _planned(row: Any) -> str:
    power = _power(row)
    return _count(row) + (f", passes half the limit in {power} of runs" if power else "")


def _tail(found: Any, inside: list[Any], outside: list[Any]) -> list[str]:
    count = sum(n for n, _ in found.settled.sessions.values())
    lines = []
    weak = [row for row in inside if row.power_at_half is not None]
    weak = [row for row in weak if row.power_at_half < _LEAST_POWER]
    if weak:
        longest_s = max(row.power_s for row in weak)
        lines.append(
            f"{len(weak)} of these would often stay open near their limit; "
            f"{rough_time(longest_s)} of steady session give each 90 % (--full, --budget)"
        )
    if found.bench != "virtual":
        lines.append("the noise floor of this host is measured first and may leave more out")
    lines.append(
        f"{len(inside)} to judge, {len(outside)} left out; {count} sessions, "
        f"{rough_time(found.duration_s)} of session time "
        f"(steady {rough_time(found.settled.steady_s)}, {found.settled.trials} "
        f"trial{'s' * (found.settled.trials != 1)} per behaviour)"
    )
    return lines
