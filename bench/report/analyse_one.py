"""One capture or one recorded video, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from bench.report.words import NONE, count, plain, quantity

Data = Mapping[str, Any]

_MOST_FREEZES = 20


def print_one(found: Data, *, console: Console | None = None) -> None:
    """The JSON data of a ``bench.studies.one_capture.OneAnalysis``."""
    console = console or Console()
    source = found["captures"]["left"]
    packets = "" if source["packets"] is None else f"{count(source['packets'])} packets, "
    digest = source["sha256"][:16]
    length = quantity(source["duration"], "s")
    _say(console, f"{source['file']}: {packets}{length}, SHA-256 {digest}…")
    for stream in found["streams"]:
        _say(console, stream["stream"], "bold")
        for line in _lines(stream):
            _say(console, f"  {line}")
    for note in found["notes"]:
        _say(console, f"note: {note}", "yellow")


def _lines(stream: Data) -> list[str]:
    lines = []
    if stream["packets"] is not None:
        lines.append(
            f"{count(stream['packets'])} packets from {quantity(stream['start'], 's')} to "
            f"{quantity(stream['end'], 's')}, rate {quantity(stream['throughput'], 'bit/s')}, "
            f"longest gap {quantity(stream['longest_gap'], 's')}"
        )
    if stream["numbers"] is not None:
        lines.append(_loss(stream))
    if stream["ssrc"] is not None:
        lines.append(_jitter(stream))
    if stream["video"] is not None:
        lines += _video(stream["video"])
    return lines


def _loss(stream: Data) -> str:
    text = (
        f"lost {count(stream['lost'])} of {count(stream['expected'])} by {stream['numbers']} "
        f"numbers ({quantity(stream['loss'], '1')})"
    )
    pattern = stream["loss_pattern"]
    if pattern["periods"]:
        text += f", in {count(pattern['periods'])} periods of at most {pattern['period_max']}"
    for name in ("duplicated", "reordered", "restarts", "stray"):
        if stream[name]:
            text += f", {count(stream[name])} {name}"
    return text


def _jitter(stream: Data) -> str:
    rate = stream["clock_rate"]
    clock = "clock unknown" if rate is None else f"{rate} Hz ({stream['clock_origin']})"
    figures = (
        ("at the end", "rfc3550_jitter"), ("mean", "rfc3550_jitter_mean"),
        ("largest", "rfc3550_jitter_max"),
    )  # fmt: skip
    jitter = ", ".join(f"{name} {quantity(stream[key], 's')}" for name, key in figures)
    types = ", ".join(str(each) for each in stream["payload_types"])
    return f"RTP type {types}, {clock}; RFC 3550 jitter {jitter}"


def _video(video: Data) -> list[str]:
    parts = [f"{count(video['frames'])} frames", f"{count(video['new'])} new"]
    for name in ("broken", "unsure", "unreadable", "replayed"):
        if video[name]:
            parts.append(f"{count(video[name])} {name}")
    share = quantity(video["frozen_share"], "1")
    number = len(video["freezes"])
    freezes = "1 freeze" if number == 1 else f"{count(number)} freezes"
    lines = [
        f"{video['kind']} by {video['method']}: {', '.join(parts)}; "
        f"{freezes}, {quantity(video['frozen'], 's')} in all "
        f"({share}), longest time without a new picture {quantity(video['longest_gap'], 's')}"
        + ("" if video["conclusive"] else "; INCONCLUSIVE")
    ]
    for each in video["freezes"][:_MOST_FREEZES]:
        end = NONE if each["end"] is None else quantity(each["end"], "s")
        lines.append(
            f"  {quantity(each['start'], 's')} to {end}: {quantity(each['duration'], 's')}"
        )
    more = len(video["freezes"]) - _MOST_FREEZES
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _say(console: Console, text: str, style: str = "") -> None:
    indent = text[: len(text) - len(text.lstrip())]
    console.print(Text(indent + plain(text), style=style), soft_wrap=True)
