"""What the numbers of one stream tell at one place: loss, duplicates, order, jitter.

RTP sequence numbers and timestamps (RFC 3550), or the numbers of an application. All arrays have
shape ``(n,)``, one entry per packet in order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.measure.smoothing import smoothed
from bench.units import NS_PER_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_DROPOUT, MAX_MISORDER = 3000, 100
"""How far a number may be ahead of, or behind, the largest so far (RFC 3550, A.1)."""

RTP_BITS = 16

STATIC_CLOCKS_HZ: Mapping[int, int] = {
    **dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8_000),
    6: 16_000, 10: 44_100, 11: 44_100, 16: 11_025, 17: 22_050,
    **dict.fromkeys((14, 25, 26, 28, 31, 32, 33, 34), 90_000),
}  # fmt: skip
"""Clock rate by static payload type (RFC 3551, tables 4 and 5)."""

_USUAL_CLOCKS_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 90_000)
_CLOCK_TOLERANCE = 0.02
"""The usual rates lie further apart than twice this."""

_LEAST_CLOCK_S, _LEAST_CLOCK_STEPS = 1.0, 10
_PACE_PACKETS = 50
"""A run with fewer numbers has no pace yet."""
_PACE_NS = NS_PER_S
"""The pace is never taken over less: streams come in bursts."""
_PACE_FACTOR = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Packets by their numbers.

    ``extended``: numbers without wraps, comparable within one ``run`` only. ``run``: counts
    restarts of the numbering; -1 for a stray packet whose number fits nowhere. ``duplicate``: the
    number came before. ``reordered``: first arrival of a number that is smaller than one before
    (RFC 4737, 3.3). ``undecided``: restarts at which it is not told how many packets are missing.
    """

    extended: Ints
    run: Ints
    duplicate: Mask
    reordered: Mask
    undecided: int

    @property
    def runs(self) -> int:
        """How many times the numbering began."""
        return int(self.run.max(initial=-1)) + 1

    @property
    def stray(self) -> int:
        """Packets whose number fits nowhere."""
        return int(np.count_nonzero(self.run < 0))

    @property
    def received(self) -> int:
        """Distinct packets."""
        return int(np.count_nonzero((self.run >= 0) & ~self.duplicate))

    @property
    def expected(self) -> int:
        """Numbers from the smallest to the largest of each run (RFC 3550, A.3).

        A.3 counts from the first to arrive; where one with a smaller number follows, from that.
        """
        return sum(int(own[-1] - own[0]) + 1 for own in self._sorted())

    @property
    def lost(self) -> int:
        """Numbers that never came, between the smallest and the largest of each run."""
        return self.expected - self.received

    @property
    def rfc3550_lost(self) -> int:
        """Cumulative number of packets lost (RFC 3550, 6.4.1): duplicates count as received."""
        return self.expected - int(np.count_nonzero(self.run >= 0))

    def loss_periods(self) -> Ints:
        """Lengths of the runs of consecutive losses, in order (RFC 3357, 6.2)."""
        parts = [np.diff(own) - 1 for own in self._sorted()]
        gaps = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        return gaps[gaps > 0]

    def _sorted(self) -> list[Ints]:
        whole = np.flatnonzero((self.run >= 0) & ~self.duplicate)
        order = whole
        if np.any(np.diff(self.extended[whole]) < 0) or np.any(np.diff(self.run[whole]) < 0):
            order = whole[np.lexsort((self.extended[whole], self.run[whole]))]
        return (
            np.split(self.extended[order], np.flatnonzero(np.diff(self.run[order])) + 1)
            if len(order)
            else []
        )


def unwrapped(values: NDArray[np.integer], bits: int) -> Ints:
    """Numbers of ``bits`` bits without wraps: each is the nearest to the one before it."""
    whole = values.astype(np.int64)
    if bits >= 64 or not len(whole):
        return whole
    half, space = 1 << (bits - 1), 1 << bits
    steps = (np.diff(whole) + half) % space - half
    return np.concatenate((whole[:1], whole[0] + np.cumsum(steps)))


def numbers_of(number: NDArray[np.integer], t_ns: Ints, bits: int = RTP_BITS) -> Numbers:
    """Extended numbers, restarts and strays as RFC 3550 A.1 tells them, with one addition.

    A.1 takes every jump by ``MAX_DROPOUT`` or more for a restart. An outage makes such jumps
    too: here a jump ahead is an outage, and its packets are lost, if the numbers went on at the
    pace they had. A silence in which more than half of the number space would have passed is a
    restart, ``undecided``, whatever the numbers say.

    Args:
        number: as on the wire.
        t_ns: when each packet came.
        bits: of the number; 64 where it never wraps.
    """
    n = len(number)
    extended, run = unwrapped(number, bits), np.zeros(n, dtype=np.int64)
    undecided = 0
    if n and _has_anomaly(extended, t_ns, bits):
        extended, run, undecided = _by_runs(number.astype(np.int64), t_ns, bits)
    duplicate, reordered = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    for own in range(int(run.max(initial=-1)) + 1):
        rows = np.flatnonzero(run == own)
        values = extended[rows]
        if np.all(np.diff(values) > 0):
            continue
        again = np.ones(len(rows), dtype=np.bool_)
        again[np.unique(values, return_index=True)[1]] = False
        duplicate[rows] = again
        reordered[rows] = ~again & (values < np.maximum.accumulate(values))
    return Numbers(extended, run, duplicate, reordered, undecided)


def _has_anomaly(extended: Ints, t_ns: Ints, bits: int) -> bool:
    """Whether any number is out of the bounds of A.1, or any silence too long for the space."""
    if len(extended) < 2:
        return False
    ahead = extended[1:] - np.maximum.accumulate(extended)[:-1]
    if int(ahead.max()) >= MAX_DROPOUT or int(ahead.min()) <= -MAX_MISORDER:
        return True
    gaps = np.diff(t_ns)
    longest = int(gaps.max())
    if bits >= 64 or longest < _PACE_NS:
        return False
    active = max(int(gaps[gaps < _PACE_NS].sum()), _PACE_NS)
    return float(np.ptp(extended)) * longest / active >= 1 << (bits - 1)


def _by_runs(number: Ints, t_ns: Ints, bits: int) -> tuple[Ints, Ints, int]:
    """Packet by packet, after RFC 3550 A.1."""
    space = 1 << bits if bits < 64 else 0
    extended, run = np.zeros_like(number), np.full(len(number), -1, dtype=np.int64)
    current, undecided, awaited, candidate = 0, 0, -1, -1
    base = top = int(number[0])
    begun = last = int(t_ns[0])
    run[0], extended[0] = 0, top
    for at in range(1, len(number)):
        value, now = int(number[at]), int(t_ns[at])
        ahead = value - top if not space else (value - top) % space
        pace = (top - base) / max(last - begun, _PACE_NS) if top - base >= _PACE_PACKETS else 0.0
        due = pace * (now - last)
        behind = -ahead if not space else space - ahead
        silent = bool(space) and due > space // 2
        kept_pace = due / _PACE_FACTOR <= ahead <= due * _PACE_FACTOR and ahead > 0
        if not silent and (0 <= ahead < MAX_DROPOUT or kept_pace):
            top, last, awaited = top + ahead, now, -1
            run[at], extended[at] = current, top
        elif not silent and 0 < behind < MAX_MISORDER:
            run[at], extended[at] = current, top - behind
        elif value == awaited or silent:
            current += 1
            undecided += 1
            base = top = value
            if value == awaited and not silent:  # A.1 drops the first of a new run; here it counts
                base = value - 1
                run[candidate], extended[candidate] = current, base
            begun, last, awaited = now, now, -1
            run[at], extended[at] = current, top
        else:
            awaited, candidate = value + 1 if not space else (value + 1) % space, at
    return extended, run, undecided


@dataclass(frozen=True, slots=True)
class MediaClock:
    """Rate of an RTP timestamp, and how it is known; ``None`` where it is not."""

    rate_hz: int | None
    origin: Literal["static", "estimated"] | None


def media_clock(payload_type: int | None, timestamp: NDArray[np.integer], t_ns: Ints) -> MediaClock:
    """Clock rate by payload type (RFC 3551), else the usual rate at which the timestamps advance.

    It is estimated only where both halves of at least a second agree with one usual rate.

    Args:
        payload_type: the stream's; ``None`` where it has several.
        timestamp: as on the wire, 32 bits.
        t_ns: when each packet came.
    """
    if payload_type is not None and payload_type in STATIC_CLOCKS_HZ:
        return MediaClock(STATIC_CLOCKS_HZ[payload_type], "static")
    ticks = unwrapped(timestamp, 32)
    middle = len(ticks) // 2
    rates = []
    for part in (slice(0, middle), slice(middle, None), slice(None)):
        own, when = ticks[part], t_ns[part]
        if np.count_nonzero(np.diff(own)) < _LEAST_CLOCK_STEPS:
            return MediaClock(None, None)
        rates.append(_slope(when - when[0], own - own[0]))
    if t_ns[-1] - t_ns[0] < _LEAST_CLOCK_S * NS_PER_S:
        return MediaClock(None, None)
    for usual in _USUAL_CLOCKS_HZ:
        if all(abs(rate / usual - 1) <= _CLOCK_TOLERANCE for rate in rates):
            return MediaClock(usual, "estimated")
    return MediaClock(None, None)


def _slope(t_ns: Ints, ticks: Ints) -> float:
    """Ticks per second by least squares."""
    t = t_ns / NS_PER_S
    t = t - t.mean()
    power = float(t @ t)
    return float(t @ (ticks - ticks.mean())) / power if power > 0 else 0.0


def interarrival_jitter(t_ns: Ints, timestamp: NDArray[np.integer], rate_hz: float) -> Floats:
    """Interarrival jitter in s after each packet but the first (RFC 3550, 6.4.1 and A.8).

    D(i-1, i) = (R_i − R_{i-1}) − (S_i − S_{i-1}) in order of arrival, J += (|D| − J) / 16, exact
    where A.8 rounds to whole timestamp units.

    Args:
        t_ns: when each packet came.
        timestamp: RTP timestamps as on the wire, 32 bits.
        rate_hz: of the timestamps.
    """
    if len(t_ns) < 2:
        return np.zeros(0)
    sent_s = np.diff(unwrapped(timestamp, 32)) / rate_hz
    difference = np.abs(np.diff(t_ns) / NS_PER_S - sent_s)
    return smoothed(difference)
