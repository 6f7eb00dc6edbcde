"""The verdicts in the terminal: a table for people, plain lines for files and pipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.judge.verdict import Verdict
from bench.report import view
from bench.report.data import WATERMARK, ReportData, report_data
from bench.report.html import worst
from bench.report.words import NONE, plain
from bench.requirements.loader import load_catalogue
from bench.requirements.model import Requirement

_STATUS_STYLES = {"ok": "green", "degraded": "yellow", "missing": "red"}

STYLES = {"PASS": "green", "FAIL": "bold red", "INCONCLUSIVE": "yellow", "ERROR": "bold magenta"}

_SHORTEST_REASON = 24


def print_summary(
    verdicts: Iterable[Verdict | Mapping[str, Any]],
    scope: Iterable[Any],
    path: Path | str | None,
    *,
    complete: bool = True,
    simulated: bool = True,
    requirements: Mapping[str, Requirement] | None = None,
    console: Console | None = None,
) -> None:
    """The end of a run: verdict table, what was not tested and why, the report's path last.

    Args:
        verdicts: in the order to show.
        scope: all of it, in and out.
        path: where the report was written, ``None`` where there is none.
        complete: false for a run that was interrupted.
        simulated: whether the watermark is shown.
        requirements: the catalogue, for the limits of ranges; the built-in one if not given.
        console: where to print; standard output if not given.

    """
    run = {"completion": "complete" if complete else "incomplete", "simulated": simulated}
    given = report_data(run, verdicts=verdicts, scope=scope, requirements=_known(requirements))
    print_verdicts(given, path, console=console)


def verdict_table(
    verdicts: Iterable[Verdict | Mapping[str, Any]],
    scope: Iterable[Any],
    *,
    console: Console | None = None,
) -> None:
    """Only the table and what was not tested: no answer, no path."""
    console = console or Console()
    given = report_data({}, verdicts=verdicts, scope=scope, requirements=_known(None))
    if console.is_terminal:
        _print_parts(console, given)
        return
    _write(console, _verdict_lines(given))


def findings_table(findings: Iterable[Any], *, console: Console | None = None) -> None:
    """What a host can do, one finding after the other.

    A finding has ``what``, ``status``, ``figure``, ``meaning`` and ``remedy``
    (``bench.benches.check.Finding``); the remedy stands on a line of its own where there is one.
    """
    console = console or Console()
    for finding in findings:
        status = plain(finding.status)
        head = Text(f"{status:<9}", style=_STATUS_STYLES.get(status, "yellow"))
        head.append(f" {plain(finding.what)}: {plain(finding.figure)}", style="default not bold")
        lines = [plain(finding.meaning), f"remedy: {finding.remedy}" if finding.remedy else ""]
        if not console.is_terminal:
            _write(console, [head.plain, *(f"{'':<10}{plain(line)}" for line in lines if line)])
            continue
        console.print(head)
        for line in lines:
            if line:
                console.print(Padding(Text(plain(line), style="dim"), (0, 0, 0, 10)))


def print_verdicts(
    report: ReportData, path: Path | str | None, *, console: Console | None = None
) -> None:
    """As :func:`print_summary`, from a report's data."""
    console = console or Console()
    if not console.is_terminal:
        _write(console, plain_lines(report, path))
        return
    _print_parts(console, report)
    style = STYLES.get(worst(report), "")
    console.print(Text(report.answer(), style=f"bold {style}".strip()))
    _print_tail(console, report, path)


def _known(requirements: Mapping[str, Requirement] | None) -> Mapping[str, Requirement]:
    return load_catalogue().requirements if requirements is None else requirements


def _write(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.file.write(f"{line}\n")
    console.file.flush()


def _print_parts(console: Console, report: ReportData) -> None:
    _print_table(console, [view.row(v, report.requirements) for v in report.verdicts])
    left_out = [view.scope_row(item, report.requirements) for item in report.out_of_scope]
    open_ = [view.scope_row(item, report.requirements) for item in report.unanswered]
    _print_scope(console, left_out, open_)


def plain_lines(report: ReportData, path: Path | str | None) -> list[str]:
    """The same as lines without colour or fitting: one line per verdict."""
    lines = _verdict_lines(report)
    counts = ", ".join(f"{name} {n}" for name, n in report.counts().items())
    lines.append(f"{counts}, not tested {len(report.out_of_scope)}")
    lines.append(report.answer())
    if report.simulated:
        lines.append(WATERMARK)
    if path is not None:
        lines.append(f"Report: {path}")
    return lines


def _verdict_lines(report: ReportData) -> list[str]:
    lines = []
    for item in report.verdicts:
        lines.append(_row_line(view.row(item, report.requirements)))
    for item in report.unanswered:
        left = view.scope_row(item, report.requirements)
        lines.append(f"{'no verdict':<12} {_name(left)}: in scope, test {left.test}")
    for item in report.out_of_scope:
        left = view.scope_row(item, report.requirements)
        lines.append(f"{'not tested':<12} {_why(left)}")
    return lines


def _print_table(console: Console, rows: list[view.Row]) -> None:
    if not rows:
        return
    columns: dict[str, list[Text]] = {
        "requirement": [Text(row.id) for row in rows],
        "stream": [Text(row.place, style="dim") for row in rows],
        "verdict": [Text(row.verdict, style=STYLES[row.verdict]) for row in rows],
        "value ± U": [Text(row.value) for row in rows],
        "limit": [Text(row.limit) for row in rows],
        "margin": [Text(row.margin) for row in rows],
        "n": [Text(row.n) for row in rows],
        "reason": [Text(row.reason, style="dim") for row in rows],
    }
    widths = {
        name: max(len(name), *(cell.cell_len for cell in cells)) for name, cells in columns.items()
    }
    widths["reason"] = min(widths["reason"], _SHORTEST_REASON)
    # A figure is shown whole or not at all: a cut number misleads.
    for name in ("reason", "n", "margin", "stream", "limit"):
        if sum(widths[column] + 2 for column in columns) > console.width:
            del columns[name]
    if sum(widths[column] + 2 for column in columns) > console.width:
        for row in rows:
            console.print(Text(_row_line(row)), soft_wrap=True)
        console.print()
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        if name == "reason":
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1)
        else:
            justify: Literal["right", "left"] = "right" if name == "n" else "left"
            table.add_column(name, justify=justify, no_wrap=True, min_width=widths[name])
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    console.print(table)
    console.print()
    for row in rows:  # what is not a PASS is told in full, whatever the width
        if row.verdict != "PASS":
            head = Text(f"{row.verdict} {row.id} {row.place}".rstrip(), STYLES[row.verdict])
            console.print(head.append(f": {row.reason}", style="default not bold"))


def _print_scope(
    console: Console, left_out: list[view.ScopeRow], open_: list[view.ScopeRow]
) -> None:
    if open_:
        console.print(Text("In scope, without a verdict", style="bold yellow"))
        for item in open_:
            console.print(Text(f"  {_name(item)}"))
    if left_out:
        console.print(Text("Not tested, settled before the start", style="bold"))
        for item in left_out:
            console.print(Text(f"  {_why(item)}"))
    if open_ or left_out:
        console.print()


def _print_tail(console: Console, report: ReportData, path: Path | str | None) -> None:
    counts = Text()
    for name, n in report.counts().items():
        counts.append(f"{name} {n}  ", style=STYLES[name] if n else "dim")
    console.print(counts.append(f"not tested {len(report.out_of_scope)}", style="dim"))
    if report.simulated:
        console.print(Text(WATERMARK, style="yellow"))
    if path is not None:
        # A path that is broken over lines cannot be copied.
        console.print(Text(f"Report: {path}"), soft_wrap=True)


def _row_line(row: view.Row) -> str:
    figures = f"{row.value}, limit {row.limit}, margin {row.margin}, n {row.n}"
    return f"{row.verdict:<12} {row.id} {row.place}".rstrip() + f": {figures}: {row.reason}"


def _name(item: view.ScopeRow) -> str:
    return item.id if item.stream == NONE else f"{item.id} {item.stream}"


def _why(item: view.ScopeRow) -> str:
    figure = "" if item.figure == NONE else f" ({item.figure})"
    return f"{_name(item)}: {item.reason}{figure}"
