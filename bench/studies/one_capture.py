"""``bench analyse FILE``: what one capture, or one recorded video, tells by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.captures.flows import check_clock, read_capture
from bench.captures.rules import StreamRule
from bench.captures.video import is_video
from bench.measure.figures import RateBins
from bench.sessions.codec import to_json
from bench.studies.capture_files import capture_notes, digest, file_name
from bench.studies.freeze import VideoFreeze, decoded_freeze
from bench.studies.one_stream import OneStream, one_stream, parts_of

ONE_PLACE = (
    "one capture shows one place: delay, its variation between two places, and where packets were "
    "lost cannot be told; nor what was lost before the first or after the last packet"
)
VIDEO_ONLY = (
    "a decoded-stream freeze is no delay from glass to glass: that needs a sensor on the display"
)


@dataclass(frozen=True, slots=True)
class OneSource:
    """The file. ``kind``: ``capture`` or ``video``. ``start_ns``: of the first packet."""

    file: str
    sha256: str
    kind: str
    packets: int | None = None
    start_ns: int | None = None
    duration: float | None = None
    others: int | None = None
    truncated: bool | None = None
    dropped: int | None = None
    without_time: int | None = None
    snap_cut: int | None = None
    fragments: int | None = None
    resolution_s: float | None = None


@dataclass(frozen=True, slots=True)
class OneAnalysis:
    """What one file tells: its streams, and in ``notes`` what it cannot."""

    source: OneSource
    streams: tuple[OneStream, ...]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The keys of an analysis of two captures; ``null`` where one place cannot tell."""
        return {
            "captures": {"left": to_json(self.source), "right": None},
            "clock": None,
            "streams": [stream.to_json() for stream in self.streams],
            "requirements": [],
            "verdicts": [],
            "notes": list(self.notes),
        }


def analyse_one(
    path: Path,
    *,
    rules: Sequence[StreamRule] = (),
    bin_s: float = 1.0,
    freeze_s: float | None = None,
) -> OneAnalysis:
    """Analyse one file; captures and recorded video are told apart by their content.

    Args:
        path: pcap or pcapng, or a video that PyAV can decode.
        rules: how a device's streams are found in a capture.
        bin_s: width of the bins of the throughput.
        freeze_s: a picture that stands for so long is frozen; default as
            :func:`bench.measure.freeze.freezes`.

    Raises:
        InputError: what cannot be read or decoded, or a clock that goes back.
    """
    if is_video(path):
        return _video(path, freeze_s)
    capture = read_capture(path, rules=rules)
    check_clock(capture)
    start_ns, end_ns = int(capture.t_ns.min()), int(capture.t_ns.max())
    streams = tuple(
        one_stream(capture, part, rules, bin_s=bin_s, freeze_s=freeze_s)
        for part in parts_of(capture, rules)
    )
    streams = tuple(sorted(streams, key=lambda stream: stream.start or 0.0))
    source = OneSource(
        file_name(path), digest(path), "capture", len(capture), start_ns, (end_ns - start_ns) / 1e9,
        capture.others, capture.truncated, capture.dropped, capture.without_time,
        capture.snap_cut, capture.fragments, capture.resolution_s,
    )  # fmt: skip
    notes = [ONE_PLACE, *capture_notes(capture)]
    for stream in streams:
        notes += [f"{stream.stream}: {text}" for text in stream.notes]
    return OneAnalysis(source, streams, tuple(notes))


def _video(path: Path, freeze_s: float | None) -> OneAnalysis:
    found: VideoFreeze = decoded_freeze(path, freeze_s=freeze_s)
    name = file_name(path)
    stream = OneStream(
        name, start=found.start, end=found.end, duration=found.end - found.start,
        longest_gap=found.longest_gap, bins=RateBins(0.0), video=found,
    )  # fmt: skip
    source = OneSource(name, digest(path), "video", duration=found.end - found.start)
    return OneAnalysis(source, (stream,), (VIDEO_ONLY, *found.notes))
