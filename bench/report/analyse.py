"""Two captures analysed, for people: a table per direction, what was left out, the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report.words import NONE, count, plain, quantity
from bench.units import show_duration

Data = Mapping[str, Any]

WAYS = ("left-to-right", "right-to-left")

_LONGEST_NAME = 44


def print_analysis(found: Data, *, console: Console | None = None) -> None:
    """The JSON data of a ``bench.studies.analyse.Analysis``, but for the verdicts."""
    console = console or Console()
    for side in ("left", "right"):
        _say(console, source_line(side, found["captures"][side]))
    _say(console, clock_line(found["clock"]))
    for way in WAYS:
        streams = [stream for stream in found["streams"] if stream["direction"] == way]
        if streams:
            _direction(console, way, streams)
    for note in found["notes"]:
        _say(console, f"note: {note}", "yellow")
    for stream in found["streams"]:
        for problem in stream["problems"]:
            _say(console, f"note: {stream['stream']} {stream['direction']}: {problem}", "yellow")


def source_line(side: str, source: Data) -> str:
    """One capture: file, packets, checksum if it was made."""
    digest = f", SHA-256 {source['sha256'][:16]}…" if source["sha256"] else ""
    return f"{side}: {source['file']}, {count(source['packets'])} packets{digest}"


def clock_line(clock: Data) -> str:
    """What is known of the two clocks."""
    parts = [f"right ahead of left by {show_duration(clock['offset_s'])}, as given"]
    if not clock["offset_s"]:
        parts = ["stamps compared as they are"]
    half = clock["uncertainty_s"]
    if half is None:
        parts.append("how far the clocks are apart is not known")
    else:
        parts.append(f"offset within ±{show_duration(half)} ({clock['origin']})")
    if clock["drift"] is not None:
        parts.append(f"drift {1e6 * clock['drift']:.3g} ppm")
    return "clocks: " + "; ".join(parts)


def figures_of(stream: Data) -> dict[str, str]:
    """The columns of one stream, in order."""
    delay, asked = stream["delay"], {}
    if stream.get("on_time"):
        asked["on time"] = quantity(stream["on_time"]["ratio"], "1")
    if stream.get("availability"):
        asked["available"] = quantity(stream["availability"]["ratio"], "1")
    if stream.get("round_trip"):
        asked["round trip p50"] = quantity(stream["round_trip"]["rtt"]["p50"], "s")
    lost = f"{count(stream['lost'])} ({quantity(stream['loss'], '1')})"
    return {
        "sent": count(stream["sent"]),
        "lost": lost if stream["lost"] else "0" if stream["lost"] == 0 else NONE,
        "delay min": quantity(delay["min"], "s"),
        "p50": quantity(delay["p50"], "s"),
        "p99": quantity(delay["p99"], "s"),
        "p99.9": quantity(delay["p999"], "s"),
        "max": quantity(delay["max"], "s"),
        "IPDV p99": quantity(stream["ipdv_p99"], "s"),
        "jitter": quantity(stream["rfc3550_jitter"], "s"),
        "rate": quantity(stream["throughput"], "bit/s"),
        "gap": quantity(stream["longest_gap"], "s"),
        **asked,
        "others": others(stream) or NONE,
    }


def others(stream: Data) -> str:
    """What happened to packets beside arriving and being lost; empty for nothing."""
    names = ("duplicated", "reordered", "ambiguous", "unmatched", "in_flight")
    parts = [f"{count(stream[n])} {n.replace('_', ' ')}" for n in names if stream[n]]
    return ", ".join(parts)


def shown_name(stream: Data) -> str:
    """A stream's name, with its links where there are several."""
    links = f" ({stream['links']} links)" if stream["links"] > 1 else ""
    return plain(stream["stream"]) + links


def _direction(console: Console, way: str, streams: Sequence[Data]) -> None:
    _say(console, way, "bold")
    rows = [(shown_name(stream), figures_of(stream)) for stream in streams]
    if console.is_terminal and (table := _table(rows, console.width)) is not None:
        console.print(table)
        console.print()
        return
    for name, figures in rows:
        line = ", ".join(f"{k} {v}" for k, v in figures.items() if v != NONE)
        console.print(Text(f"  {name}: {line}"), soft_wrap=True)


def _table(rows: Sequence[tuple[str, dict[str, str]]], width: int) -> Table | None:
    """A table of what fits; ``None`` where not even the delays do: a cut number misleads."""
    heads = dict.fromkeys(name for _, figures in rows for name in figures)
    columns = {name: [figures.get(name, NONE) for _, figures in rows] for name in heads}
    names = [name for name, _ in rows]
    first = min(_LONGEST_NAME, max(len(name) for name in names))
    widths = {k: max(len(k), *(len(v) for v in values)) for k, values in columns.items()}
    for name in ("gap", "delay min", "jitter", "IPDV p99", "rate", "p99.9", "others"):
        if first + 2 + sum(widths[column] + 2 for column in columns) > width:
            del columns[name]
    if first + 2 + sum(widths[column] + 2 for column in columns) > width:
        return None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("stream", overflow="fold", min_width=first)
    for name in columns:
        justify: Literal["left", "right"] = "left" if name == "others" else "right"
        table.add_column(name, justify=justify, no_wrap=True, min_width=widths[name])
    for index, name in enumerate(names):
        table.add_row(Text(name), *(Text(values[index]) for values in columns.values()))
    return table


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(plain(text), style=style), soft_wrap=True)
