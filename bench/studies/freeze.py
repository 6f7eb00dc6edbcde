"""Image freeze of one video: from its RTP packets, or decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.captures.video import pictures
from bench.errors import InputError
from bench.measure.frame_counter import BITS, read_counter
from bench.measure.freeze import (
    NOISE,
    Freeze,
    RepeatedFrames,
    counted_new,
    freezes,
    frozen_s,
    rtp_frames,
)
from bench.measure.rtp import Numbers, unwrapped
from bench.units import NS_PER_S

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RTP_GAP = "RTP frame gap"
DECODED = "decoded-stream freeze"

_COUNTED = 0.5
"""Pictures with a readable counter, from which on the counter is what counts."""

_DOUBT = 2.0
"""Pictures that differ by less than this times the noise are in doubt."""


@dataclass(frozen=True, slots=True)
class VideoFreeze:
    """Freezes of one video stream. Times in s.

    ``frames``: all; ``new``: those that are new pictures: whole frames of RTP, or decoded ones
    that differ. ``broken``: RTP frames with a packet missing; ``unsure``: that may be whole;
    ``unreadable``, ``replayed``: counters that cannot be read, or went back.
    ``conclusive``: nothing else than a freeze explains the freezes, and nothing hides one.
    """

    kind: str
    method: str
    frames: int
    new: int
    broken: int | None
    unsure: int | None
    unreadable: int | None
    replayed: int | None
    interval_p50: float | None
    longest_gap: float | None
    threshold: float | None
    noise: float | None
    freezes: tuple[Freeze, ...]
    origin_ns: int
    start: float
    end: float
    conclusive: bool
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """``freezes`` from the start of the file; ``end`` is ``null`` where one did not end."""
        names = (
            "kind", "method", "frames", "new", "broken", "unsure", "unreadable", "replayed",
            "interval_p50", "longest_gap", "threshold", "noise", "conclusive",
        )  # fmt: skip
        watched = self.end - self.start
        total = frozen_s(self.freezes)
        return {name: getattr(self, name) for name in names} | {
            "freezes": [
                {
                    "start": (each.start_ns - self.origin_ns) / NS_PER_S,
                    "end": None if each.end_ns is None
                    else (each.end_ns - self.origin_ns) / NS_PER_S,
                    "duration": each.duration_s,
                }
                for each in self.freezes
            ],
            "frozen": total,
            "frozen_share": total / watched if watched > 0 else None,
        }  # fmt: skip


def rtp_freeze(
    t_ns: Ints,
    numbers: Numbers,
    timestamp: NDArray[np.integer],
    marker: Mask,
    *,
    origin_ns: int,
    until_ns: int,
    freeze_s: float | None,
) -> VideoFreeze | None:
    """Frame gaps of one RTP video stream; ``None`` where no frame is whole.

    Args:
        t_ns: when each packet came, shape ``(n,)``, in order.
        numbers: their sequence numbers.
        timestamp: as on the wire.
        marker: marker bits.
        origin_ns: from where times are counted. ``until_ns``: the end of the capture.
        freeze_s: a fixed threshold.
    """
    parts = []
    for run in range(numbers.runs):
        rows = np.flatnonzero((numbers.run == run) & ~numbers.duplicate)
        stamps = unwrapped(timestamp[rows], 32)
        parts.append(rtp_frames(t_ns[rows], numbers.extended[rows], stamps, marker[rows]))
    whole = np.concatenate([part.arrived_ns[part.whole] for part in parts])
    if not len(whole):
        return None
    frames = sum(len(part.timestamp) for part in parts)
    broken = sum(int(np.count_nonzero(part.broken)) for part in parts)
    found = freezes(whole, until_ns=until_ns, freeze_s=freeze_s)
    notes = _open_note(found, "the stream may also have ended")
    gap, median = _gaps(whole, until_ns)
    return VideoFreeze(
        RTP_GAP, "whole frames", frames, len(whole), broken,
        frames - broken - len(whole), None, None, median, gap, freeze_s, None, found,
        origin_ns, (int(whole.min()) - origin_ns) / NS_PER_S, (until_ns - origin_ns) / NS_PER_S,
        not notes, tuple(notes),
    )  # fmt: skip


def decoded_freeze(
    path: Path,
    *,
    freeze_s: float | None = None,
    noise: float = NOISE,
) -> VideoFreeze:
    """Freezes of a recorded video, decoded: by the counter in its pictures, else by repeats.

    Args:
        path: the recording.
        freeze_s: a fixed threshold.
        noise: up to which a picture repeats another: :class:`bench.measure.freeze.RepeatedFrames`.

    Raises:
        InputError: it cannot be decoded, or holds no picture.
    """
    repeats, coarse = RepeatedFrames(noise), RepeatedFrames(_DOUBT * noise)
    when: list[int] = []
    new: list[bool] = []
    surely: list[bool] = []
    counts: list[int | None] = []
    for picture in pictures(path):
        when.append(picture.t_ns)
        new.append(repeats.is_new(picture.luma))
        surely.append(coarse.is_new(picture.luma))
        counts.append(read_counter(picture.luma))
    if not when:
        raise InputError("holds no picture", remedy="give a recorded video", file=path)
    t_ns = np.array(when, dtype=np.int64)
    if sum(count is not None for count in counts) >= _COUNTED * len(counts):
        return _counted(t_ns, counts, freeze_s)
    return _repeated(t_ns, np.array(new), np.array(surely), freeze_s, noise)


def _counted(t_ns: Ints, counts: Sequence[int | None], freeze_s: float | None) -> VideoFreeze:
    readable = np.array([count is not None for count in counts])
    new, replayed = counted_new(counts, BITS)
    found = freezes(t_ns[new], until_ns=int(t_ns.max()), freeze_s=freeze_s)
    notes = _counter_notes(t_ns, readable, replayed, found)
    seen = _Seen("frame counter", int(np.count_nonzero(~readable)), replayed, None)
    return _decoded(t_ns, new, found, freeze_s, seen, not notes, notes)


def _repeated(
    t_ns: Ints, new: Mask, surely: Mask, freeze_s: float | None, noise: float
) -> VideoFreeze:
    until_ns = int(t_ns.max())
    found = freezes(t_ns[new], until_ns=until_ns, freeze_s=freeze_s)
    notes = []
    if found:
        notes.append(
            "freezes are INCONCLUSIVE: repeated pictures may also show a scene that does not move; "
            "a frame counter in the picture tells them apart"
        )
    doubtful = freezes(t_ns[surely], until_ns=until_ns, freeze_s=freeze_s)
    if frozen_s(doubtful) > frozen_s(found):
        notes.append(
            f"INCONCLUSIVE: {frozen_s(doubtful) - frozen_s(found):.3g} s more would be frozen if "
            f"pictures that differ by less than {_DOUBT * noise:.3g} were repeats"
        )
    seen = _Seen("repeated pictures", None, None, noise)
    return _decoded(t_ns, new, found, freeze_s, seen, not notes, notes)


@dataclass(frozen=True, slots=True)
class _Seen:
    """How pictures were told apart."""

    method: str
    unreadable: int | None
    replayed: int | None
    noise: float | None


def _decoded(
    t_ns: Ints, new: Mask, found: tuple[Freeze, ...], freeze_s: float | None, seen: _Seen,
    conclusive: bool, notes: Sequence[str],
) -> VideoFreeze:  # fmt: skip
    origin_ns, until_ns = int(t_ns.min()), int(t_ns.max())
    gap, median = _gaps(t_ns[new], until_ns)
    return VideoFreeze(
        DECODED, seen.method, len(t_ns), int(np.count_nonzero(new)), None, None, seen.unreadable,
        seen.replayed, median, gap, freeze_s, seen.noise, found, origin_ns, 0.0,
        (until_ns - origin_ns) / NS_PER_S, conclusive,
        (*_open_note(found, "it may have ended after the recording"), *notes),
    )  # fmt: skip


def _counter_notes(t_ns: Ints, readable: Mask, replayed: int, found: Sequence[Freeze]) -> list[str]:
    notes = []
    blind = t_ns[~readable]
    inside = [
        each for each in found
        if np.any((blind > each.start_ns) & (blind <= (each.end_ns or each.watched_ns)))
    ]  # fmt: skip
    if inside:
        notes.append(
            f"{len(inside)} of {len(found)} freezes are INCONCLUSIVE: pictures in them have no "
            "readable counter"
        )
    if replayed:
        notes.append(f"{replayed} pictures have a counter that went back: old pictures, not new")
    return notes


def _open_note(found: Sequence[Freeze], why: str) -> list[str]:
    return [f"the last freeze did not end: {why}"] if found and found[-1].end_ns is None else []


def _gaps(new_ns: Ints, until_ns: int) -> tuple[float | None, float | None]:
    """The longest time without a new picture, and the median between two, s."""
    when = np.sort(new_ns)
    gaps = np.diff(when)
    if not len(when):
        return None, None
    longest = max(int(gaps.max(initial=0)), until_ns - int(when[-1]))
    return longest / NS_PER_S, float(np.median(gaps)) / NS_PER_S if len(gaps) else None
