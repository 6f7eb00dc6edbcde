"""How ``bench certify-emulator`` shows what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report.words import plain
from bench.units import show_duration

_STYLES = {
    "holds": "green", "fails": "bold red", "inconclusive": "yellow", "not offered": "dim",
}  # fmt: skip


def print_certificate(found: Mapping[str, Any], console: Console | None = None) -> None:
    """A certificate's JSON data for people: rows, envelope, uncertainty, verdict last."""
    console = console or Console()
    rows = [found["null"], *found["rows"]]
    if console.is_terminal:
        console.print(_table(rows))
    else:
        for row in rows:
            console.print(Text(plain(_line(row))), soft_wrap=True)
    for line in (*_envelope(found), *_rest(found)):
        console.print(Text(plain(line)), soft_wrap=True)
    verdict = found["verdict"]
    text = f"{found['backend']} on kernel {found['kernel']}: {verdict}, {found['took_s']:.0f} s"
    console.print(Text(plain(text), style=_STYLES[verdict]), soft_wrap=True)


def _figures(row: Mapping[str, Any]) -> str:
    return str(row["reason"] if row["verdict"] == "not offered" else row["achieved"])


def _line(row: Mapping[str, Any]) -> str:
    why = f" [{row['reason']}]" if row["reason"] and row["achieved"] else ""
    tries = f", try {row['tries']}" if row["tries"] > 1 else ""
    return f"{row['name']}: {row['verdict']}{tries}: {_figures(row)}{why}"


def _table(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("row", "verdict", "intended", "achieved"):
        table.add_column(head)
    for row in rows:
        achieved = _figures(row)
        if row["reason"] and row["achieved"]:
            achieved += f"\n{row['reason']}"
        texts = (row["name"], row["verdict"], row["intended"], achieved)
        styles = ("bold", _STYLES[row["verdict"]], "", "")
        cells = [Text(plain(t), style=s) for t, s in zip(texts, styles, strict=True)]
        table.add_row(*cells)
    return table


def _envelope(found: Mapping[str, Any]) -> list[str]:
    lines = []
    limit = show_duration(found["envelope"]["limit_p99_s"])
    for point in found["envelope"]["points"]:
        late = point["lateness"]
        figures = f"p99 {show_duration(late['p99_s'])}, largest {show_duration(late['max_s'])}"
        where = "inside" if point["inside"] else f"outside: {point['reason']}"
        lines.append(
            f"envelope: {point['asked_pps']:.0f} packets/s of {point['size_bytes']} bytes: "
            f"{figures}, {where}"
        )
    for entry in found["envelope"]["inside_pps"]:
        most = "none" if entry["pps"] is None else f"{entry['pps']:.0f} packets/s"
        lines.append(f"p99 lateness below {limit} at {entry['size_bytes']} bytes up to: {most}")
    return lines


def _rest(found: Mapping[str, Any]) -> list[str]:
    own = found["uncertainty"]
    lines = [
        f"uncertainty: delay error p50 {show_duration(own['delay_error_p50_s'])}, "
        f"p99 {show_duration(own['delay_error_p99_s'])}, "
        f"p99.9 {show_duration(own['delay_error_p999_s'])}, "
        f"largest {show_duration(own['delay_error_max_s'])}; "
        f"events {show_duration(own['event_error_s'])}"
    ]
    lost = {name: value for name, value in found["drops"].items() if value}
    if lost:
        lines.append("lost without a decision: " + ", ".join(f"{n} {v}" for n, v in lost.items()))
    lines += [f"note: {note}" for note in found["notes"]]
    return lines
