"""Round trips of TCP, as one tap sees them: from a segment to the acknowledgement of its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_FIN, _SYN, _ACK = 1, 2, 16


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """TCP segments of one direction at one tap, in order of time; arrays of shape ``(n,)``.

    ``head``: ``sequence << 32 | acknowledgement``. ``tag``: ``flags << 24 | payload bytes``. Both
    as in the columns of a capture.
    """

    t_ns: Ints
    head: NDArray[np.uint64]
    tag: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class RoundTrips:
    """``sent_ns``: when the tap saw each segment; ``rtt_ns``: until it saw it acknowledged.

    From the tap to the receiver and back, with the time that the receiver took.
    """

    sent_ns: Ints
    rtt_ns: Ints


def round_trips(there: Segments, back: Segments) -> RoundTrips:
    """The round trips of the segments that were acknowledged by themselves (RFC 6298, 3).

    Karn's rule: none is taken from a segment of which any byte was sent twice, for it cannot be
    told which sending was acknowledged, nor from one that was sent between the two: it was
    acknowledged only when the gap was filled. None either from one that was acknowledged only
    together with later ones: the receiver waited.

    Args:
        there: the segments.
        back: the other direction of the same connection.
    """
    start = _unwrapped((there.head >> np.uint64(32)).astype(np.uint32))
    flags = there.tag >> np.uint32(24)
    length = (there.tag & np.uint32(0xFFFFFF)).astype(np.int64)
    length += ((flags & _SYN) > 0).astype(np.int64) + ((flags & _FIN) > 0).astype(np.int64)
    rows = np.flatnonzero(length > 0)
    acking = np.flatnonzero(back.tag >> np.uint32(24) & _ACK)
    if not len(rows) or not len(acking):
        return RoundTrips(rows[:0].astype(np.int64), rows[:0].astype(np.int64))
    begin, end, sent = start[rows], (start + length)[rows], there.t_ns[rows]
    acked = (back.head[acking] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    base = int(begin[0]) & 0xFFFFFFFF
    reached = _unwrapped(acked) - int(acked[0])
    reached += int(begin[0]) + _signed(int(acked[0]) - base)
    newest = np.maximum.accumulate(reached)
    fresh = np.flatnonzero(np.concatenate(([True], newest[1:] > newest[:-1])))
    values, times = newest[fresh], back.t_ns[acking][fresh]
    place = np.minimum(np.searchsorted(values, end), len(values) - 1)
    sample = (values[place] == end) & (times[place] >= sent) & _sent_once(begin, end)
    return RoundTrips(sent[sample], (times[place] - sent)[sample])


def _sent_once(begin: Ints, end: Ints) -> NDArray[np.bool_]:
    """Which segments come after older bytes and before newer ones only."""
    before = np.maximum.accumulate(end)
    after = np.minimum.accumulate(begin[::-1])[::-1]
    once = np.ones(len(begin), dtype=bool)
    once[1:] &= begin[1:] >= before[:-1]
    once[:-1] &= after[1:] >= end[:-1]
    return once


def _unwrapped(numbers: NDArray[np.uint32]) -> Ints:
    """Numbers of 32 bits continued over their turns (RFC 9293, 3.4), from the first on."""
    steps = np.diff(numbers).view(np.int32).astype(np.int64)
    return int(numbers[0]) + np.concatenate(([0], np.cumsum(steps))) if len(numbers) else (
        np.zeros(0, dtype=np.int64)
    )  # fmt: skip


def _signed(difference: int) -> int:
    return (difference + 0x80000000) % 0x100000000 - 0x80000000
