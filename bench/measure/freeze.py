"""Image freeze, as an RTP frame gap or a decoded-stream freeze; what a device does about it.

Neither says what a viewer saw: from glass to glass there is a camera and a display as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.units import NS_PER_S, ns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Luma = NDArray[np.uint8]

WINDOW_FRAMES = 30
"""Frame intervals over which the average is taken (W3C webrtc-stats, ``freezeCount``)."""

LEAST_FRAMES = 5
"""With fewer intervals before it the median of the whole stream stands for the average."""

FACTOR, INCREASE_S = 3.0, 0.150

BLOCK = 16
NOISE = 0.03
"""Mean absolute difference by full scale up to which every block of 16 x 16 pixels may differ in
a repeat. Key frames of coarse coding change the blocks of a picture that stands by up to 0.023,
a bar that moves by three pixels by 0.043 and more (measured: H.264, MPEG-4, Motion JPEG). The mean
of the whole picture does not tell them apart, and a small thing that moves does not show in it."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time without a new picture, from the last one to the next.

    ``end_ns``: ``None`` where none came until ``watched_ns``, the end of what was watched.
    """

    start_ns: int
    end_ns: int | None
    watched_ns: int

    @property
    def duration_s(self) -> float:
        """From the last new picture to the next, or as far as it was watched."""
        end_ns = self.watched_ns if self.end_ns is None else self.end_ns
        return (end_ns - self.start_ns) / NS_PER_S


def freezes(new_ns: Ints, *, until_ns: int, freeze_s: float | None = None) -> tuple[Freeze, ...]:
    """Times without a new picture that are at least as long as a threshold.

    Default threshold: max(3 d, d + 150 ms), d the average of the last 30 intervals (W3C
    webrtc-stats, ``freezeCount``). Intervals that were freezes are left out of the average, so
    that one freeze does not hide the next.

    Args:
        new_ns: when each new picture came, shape ``(n,)``, in any order.
        until_ns: until when it was watched.
        freeze_s: a fixed threshold instead.
    """
    when = np.sort(new_ns)
    if not len(when):
        return ()
    gaps = np.diff(when)
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    found: list[Freeze] = []
    recent: list[int] = []
    total = 0
    for at, gap in enumerate([*gaps.tolist(), max(0, until_ns - int(when[-1]))]):
        last = at == len(gaps)
        average = total / len(recent) if len(recent) >= LEAST_FRAMES else usual
        least = max(FACTOR * average, average + INCREASE_S * NS_PER_S)
        if gap >= (least if freeze_s is None else ns(freeze_s)):
            end_ns = None if last else int(when[at + 1])
            found.append(Freeze(int(when[at]), end_ns, max(until_ns, int(when[-1]))))
            continue
        recent.append(gap)
        total += gap
        if len(recent) > WINDOW_FRAMES:
            total -= recent.pop(0)
    return tuple(found)


def frozen_s(found: Sequence[Freeze]) -> float:
    """Total time of freezes, those that did not end included."""
    return sum(freeze.duration_s for freeze in found)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of an RTP video stream, in order of their numbers; arrays of shape ``(n,)``.

    ``timestamp``: extended. ``packets``: distinct ones that came. ``whole``: every number of the
    frame came, and so did its neighbours', so that it is known to be all. ``broken``: a number
    inside it is missing. What is neither may be whole: a packet next to it is missing.
    ``arrived_ns``: when its last packet came.
    """

    timestamp: Ints
    packets: Ints
    whole: Mask
    broken: Mask
    arrived_ns: Ints


def rtp_frames(t_ns: Ints, extended: Ints, timestamp: Ints, marker: Mask) -> Frames:
    """Put packets of one numbering together to frames: those with one timestamp (RFC 3550, 5.1).

    The marker bit ends a frame in video payload formats (RFC 6184, 5.1; RFC 7798, 4.1; RFC 2435,
    3.1). Where a packet between two frames is missing it belonged to the second, or to a frame of
    its own, if the first ends with a marker; without a marker it may have belonged to either.

    Args:
        t_ns: when each packet came. Of duplicates only the first counts.
        extended: sequence numbers without wraps.
        timestamp: RTP timestamps without wraps.
        marker: marker bits.
    """
    if not len(t_ns):
        none = np.zeros(0, dtype=np.int64)
        return Frames(none, none, none > 0, none > 0, none)
    order = np.lexsort((t_ns, extended))
    order = order[np.concatenate(([True], np.diff(extended[order]) > 0))]
    number, stamp, ends = extended[order], timestamp[order], marker[order]
    begin = np.concatenate(([True], np.diff(stamp) != 0))
    frame = np.cumsum(begin) - 1
    starts = np.flatnonzero(begin)
    stops = np.concatenate((starts[1:], [len(number)]))
    packets = stops - starts
    broken = number[stops - 1] - number[starts] + 1 != packets
    arrived = np.full(len(starts), np.iinfo(np.int64).min)
    np.maximum.at(arrived, frame, t_ns[order])
    marked = ends[stops - 1]
    joined = np.concatenate(([False], number[starts[1:]] == number[stops[:-1] - 1] + 1))
    # A capture may begin inside a frame; without the packet before it nobody knows.
    closed = marked | np.concatenate((joined[1:], [False]))
    return Frames(stamp[starts], packets, joined & closed & ~broken, broken, arrived)


class RepeatedFrames:
    """Tells new pictures from repeats, one at a time, in bounded memory.

    A picture is a repeat of the last new one where no block of 16 x 16 pixels differs from it by
    more than ``noise``. Compared with the last new one, not with the one before: what changes
    slowly becomes new in time.
    """

    def __init__(self, noise: float = NOISE) -> None:
        self.noise = noise
        self._last: Luma | None = None

    def is_new(self, luma: Luma) -> bool:
        """Whether a picture, shape ``(height, width)``, is new; a change of size is."""
        last = self._last
        if last is not None and last.shape == luma.shape and difference(last, luma) <= self.noise:
            return False
        self._last = luma.copy()
        return True


def difference(left: Luma, right: Luma) -> float:
    """Mean absolute difference, by full scale, of the block of two pictures that differs most.

    Pictures have shape ``(height, width)``. The last blocks of a row or column that are no whole
    ones count with their neighbours, so that every pixel counts.
    """
    apart = np.maximum(left, right) - np.minimum(left, right)
    edges = [np.arange(0, max(size - BLOCK + 1, 1), BLOCK) for size in apart.shape]
    rows = np.add.reduceat(apart, edges[0], axis=0, dtype=np.uint32)
    blocks = np.add.reduceat(rows, edges[1], axis=1)
    high, wide = (
        np.diff(np.append(each, size)) for each, size in zip(edges, apart.shape, strict=True)
    )
    return float((blocks / np.outer(high, wide)).max()) / 255


def counted_new(counts: Sequence[int | None], bits: int) -> tuple[Mask, int]:
    """Which pictures are new by their counter, and how many went back in time.

    A picture without a readable counter is not known to be new, so it is not. One whose counter
    is behind the largest so far (modulo ``2**bits``) is an old picture shown again.

    Args:
        counts: one per picture, in order; ``None`` where it cannot be read.
        bits: of the counter.
    """
    new = np.zeros(len(counts), dtype=np.bool_)
    space, top, back = 1 << bits, None, 0
    for at, value in enumerate(counts):
        if value is None:
            continue
        ahead = 1 if top is None else (value - top) % space
        new[at] = 0 < ahead < space // 2
        back += ahead >= space // 2
        if new[at]:
            top = value
    return new, back


@dataclass(frozen=True, slots=True)
class Span:
    """From ``on_ns`` to before ``off_ns``; ``None``: still on."""

    on_ns: int
    off_ns: int | None


@dataclass(frozen=True, slots=True)
class Detection:
    """What a device did about one freeze.

    ``delay_s``: from the last new picture to the first signal in the freeze; ``None`` where none
    came. ``required``: the freeze lasted longer than the deadline, so a signal was due by then.
    ``missed``: it was due and not there in time. ``undecided``: why it cannot be told.
    ``live``: when the picture was shown as live although it had been frozen for longer than the
    deadline.
    """

    freeze: Freeze
    delay_s: float | None
    required: bool
    missed: bool
    undecided: str | None
    live: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Detections:
    """All freezes, and the signals that no freeze explains (false alarms)."""

    each: tuple[Detection, ...]
    false: tuple[Span, ...]

    @property
    def worst_delay_s(self) -> float | None:
        """The largest delay of those that were due: infinite if one was missed without a signal.

        ``None`` where none was due, or one is undecided.
        """
        due = [each for each in self.each if each.required or each.undecided is not None]
        if not due or any(each.undecided is not None for each in due):
            return None
        return max(float("inf") if e.delay_s is None else e.delay_s for e in due)


def detections(
    found: Sequence[Freeze],
    signals: Sequence[Span],
    *,
    deadline_s: float,
    live: Sequence[Span] = (),
    settle_s: float = 0.0,
) -> Detections:
    """How a device's freeze signals and its sign of a live picture fit the freezes (FAIL-2).

    Args:
        found: freezes, from independent evidence, on the clock of the signals.
        signals: when the device signalled a frozen picture.
        deadline_s: D, counted from the last new picture.
        live: when the device showed its sign of a live picture.
        settle_s: a signal that begins this long after a freeze still belongs to it.
    """
    each = tuple(_detection(freeze, signals, live, ns(deadline_s)) for freeze in found)
    allowed = ns(settle_s)
    ranges = [(f.start_ns, f.watched_ns if f.end_ns is None else f.end_ns + allowed) for f in found]
    false = tuple(
        span for span in signals
        if not any(start <= span.on_ns <= end for start, end in ranges)
    )  # fmt: skip
    return Detections(each, false)


def _detection(
    freeze: Freeze, signals: Sequence[Span], live: Sequence[Span], deadline_ns: int
) -> Detection:
    start = freeze.start_ns
    end = freeze.watched_ns if freeze.end_ns is None else freeze.end_ns
    required = end - start > deadline_ns
    stale = any(s.on_ns < start and (s.off_ns is None or s.off_ns > start) for s in signals)
    inside = [span.on_ns for span in signals if start <= span.on_ns <= end]
    delay_s = (min(inside) - start) / NS_PER_S if inside else None
    undecided = None
    if stale:
        undecided = "a signal was on before the picture froze"
    elif not required and freeze.end_ns is None and not inside:
        undecided = "it was not watched until the deadline"
    late = delay_s is None or delay_s * NS_PER_S > deadline_ns
    shown = tuple(
        (
            max(span.on_ns, start + deadline_ns),
            end if span.off_ns is None else min(span.off_ns, end),
        )
        for span in live
    )
    return Detection(
        freeze, delay_s, required, required and late and undecided is None, undecided,
        tuple(sorted((on, off) for on, off in shown if on < off)),
    )  # fmt: skip


def new_times(t_ns: Ints, new: Iterable[bool]) -> Ints:
    """When the new pictures came."""
    return t_ns[np.fromiter(new, dtype=np.bool_, count=len(t_ns))]
