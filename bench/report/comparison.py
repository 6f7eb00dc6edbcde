"""Runs side by side, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report.terminal import STYLES
from bench.units import show

_CHANGE_STYLES = {"significant": "bold yellow", "not compared": "dim"}


def print_comparison(found: Any, *, console: Console | None = None) -> None:
    """A :class:`bench.studies.compare.Comparison`: a table, or plain lines for files and pipes."""
    console = console or Console()
    for text in found.forced:
        console.print(f"compared all the same: {text}", soft_wrap=True, highlight=False)
    for number, name in enumerate(found.runs):
        console.print(f"run {number}: {name}", soft_wrap=True, highlight=False)
    if console.is_terminal:
        console.print(_table(found))
    else:
        for row in found.rows:
            cells = "; ".join(f"{_words(row, cell)} {_change(cell)}".strip() for cell in row.cells)
            console.print(f"{_name(row)}: {cells}", soft_wrap=True, highlight=False)
    changes = [cell.change for row in found.rows for cell in row.cells[1:]]
    console.print(
        f"{len(found.rows)} verdicts, {changes.count('significant')} significant changes, "
        f"{changes.count('noise')} within noise, {changes.count('not compared')} not compared, "
        f"{len(found.worse)} from PASS to FAIL",
        soft_wrap=True,
        highlight=False,
    )


def _table(found: Any) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("requirement")
    for number in range(len(found.runs)):
        table.add_column(f"run {number}")
        if number:
            table.add_column("change")
    for row in found.rows:
        cells = []
        for number, cell in enumerate(row.cells):
            style = STYLES.get(cell.verdict or "", "dim")
            cells.append(f"[{style}]{_words(row, cell)}[/]")
            if number:
                change = _CHANGE_STYLES.get(cell.change, "default")
                cells.append(f"[{change}]{_change(cell)}[/]")
        table.add_row(_name(row), *cells)
    return table


def _name(row: Any) -> str:
    where = row.test.rpartition("::")[2].partition("[")[2].rstrip("]")
    extra = row.stream or ("" if row.requirement in where else where)
    return f"{row.requirement} {extra}".strip()


def _words(row: Any, cell: Any) -> str:
    if cell.verdict is None:
        return "—"
    margin = f", margin {show(cell.margin, row.unit)}" if cell.margin is not None else ""
    return f"{cell.verdict} {show(cell.value, row.unit)}{margin}"


def _change(cell: Any) -> str:
    if cell.change == "none":
        return ""
    return f"({cell.change}: {cell.reason})" if cell.reason else f"({cell.change})"
