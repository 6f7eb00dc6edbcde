"""An emulator against its own law: packets at two taps, what was decided, how far it was off.

Times are ns of session time; delays, errors and windows in results are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.network.delays import Delay
from bench.network.impairment import Impairment
from bench.network.laws import DirectionLaw

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Changes = Sequence[tuple[int, Impairment]]

MISSING = -(1 << 40)
"""In place of a time: the packet was not seen there. No fate of the law has this value."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One direction between its two taps: numbered packets 0 to n − 1, in order of sending.

    ``sent_ns``, ``size``: at the near tap, shape (n,); ``MISSING`` where it did not see one.
    ``seen``, ``seen_ns``: number and time of each arrival at the far tap, in order, shape (m,).
    """

    sent_ns: Ints
    size: Ints
    seen: Ints
    seen_ns: Ints

    def part(self, first: int, end: int) -> Passage:
        """The packets from number ``first`` to before ``end``, numbered anew from 0."""
        mask = (self.seen >= first) & (self.seen < end)
        own = slice(first, end)
        return Passage(
            self.sent_ns[own], self.size[own], self.seen[mask] - first, self.seen_ns[mask]
        )

    def arrivals(self) -> tuple[Ints, Ints, Ints]:
        """Per packet: first arrival, second arrival (``MISSING`` without), how many; each (n,)."""
        count = len(self.sent_ns)
        first, second = np.full(count, MISSING), np.full(count, MISSING)
        times = np.bincount(self.seen, minlength=count).astype(np.int64)
        order = np.lexsort((self.seen_ns, self.seen))
        numbers, at = self.seen[order], self.seen_ns[order]
        starts = np.searchsorted(numbers, np.arange(count))
        once, twice = times > 0, times > 1
        first[once] = at[starts[once]]
        second[twice] = at[starts[twice] + 1]
        return first, second, times


def passage(rows_near: NDArray[np.void], rows_far: NDArray[np.void], count: int) -> Passage:
    """The passage of ``count`` packets out of two taps' rows (dtype ``ROW``), in any order.

    A number that the near tap saw twice keeps its first time.
    """
    near = rows_near[np.argsort(rows_near["t_ns"], kind="stable")][::-1]
    known = near["seq"] < count
    number = near["seq"][known].astype(np.int64)
    sent, size = np.full(count, MISSING), np.zeros(count, dtype=np.int64)
    sent[number], size[number] = near["t_ns"][known], near["size"][known]
    far = rows_far[np.argsort(rows_far["t_ns"], kind="stable")]
    far = far[far["seq"] < count]
    return Passage(sent, size, far["seq"].astype(np.int64), far["t_ns"].astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What the law decides: due time or negative fate, and the copy's due time or −1; (n,)."""

    due_ns: Ints
    copy_ns: Ints

    def part(self, first: int, end: int) -> Decisions:
        """Those on the packets from number ``first`` to before ``end``."""
        return Decisions(self.due_ns[first:end], self.copy_ns[first:end])


def decide(changes: Changes, seed: int, name: str, t_ns: Ints, size: Ints) -> Decisions:
    """The law's decisions on packets that arrive at ``t_ns``, ascending, one by one.

    Args:
        changes: of the direction, all of them.
        seed: the session's.
        name: ``"link/direction"``, which keys the draws.
        t_ns: arrivals; shape (n,).
        size: captured bytes; shape (n,).
    """
    law = DirectionLaw(changes, seed=seed, name=name)
    due, copy = np.empty(len(t_ns), np.int64), np.full(len(t_ns), -1, np.int64)
    for place, (t, bytes_) in enumerate(zip(t_ns.tolist(), size.tolist(), strict=True)):
        due[place] = law.offer(t, bytes_)
        if not law.ordinary:
            copy[place] = law.copy_due
    return Decisions(due, copy)


def without_chance(changes: Changes) -> Changes:
    """The same changes without what is drawn: loss, copies, skipping, jitter."""
    plain = {"loss": None, "duplication": 0.0, "reordering": None}
    return [
        (t_ns, state.with_(delay=Delay(state.delay.mean_s), **plain)) for t_ns, state in changes
    ]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of ``n`` values in s, nearest rank; all ``None`` where there are none."""

    n: int
    min_s: float | None
    p50_s: float | None
    p99_s: float | None
    p999_s: float | None
    max_s: float | None


def seconds(times_ns: Ints) -> Floats:
    """Times in s."""
    return np.asarray(times_ns * 1e-9, dtype=np.float64)


def quantiles(values_ns: Ints) -> Quantiles:
    """Quantiles of times in ns, shape (n,)."""
    count = len(values_ns)
    if not count:
        return Quantiles(0, None, None, None, None, None)
    ordered = np.sort(values_ns)
    ranks = [max(1, math.ceil(q * count - 1e-9)) - 1 for q in (0.5, 0.99, 0.999)]
    figures = [ordered[0], *ordered[ranks], ordered[-1]]
    return Quantiles(count, *(float(figure) * 1e-9 for figure in figures))


def delay_errors(passed: Passage, decided: Decisions) -> Ints:
    """Arrival minus due of every packet and copy that was due and came, ns; shape (k,).

    Of a packet that comes twice, the earlier arrival belongs to the earlier due time.
    """
    first, second, _ = passed.arrivals()
    due, copy = decided.due_ns, decided.copy_ns
    twice = (copy >= 0) & (due >= 0)
    early = np.where(twice, np.minimum(due, copy), due)
    late = np.maximum(due, copy)
    there = (first != MISSING) & (due >= 0)
    both = (second != MISSING) & twice
    return np.concatenate([(first - early)[there], (second - late)[both]])


# ---- stalls of the host

_BEHIND_NS = 50_000


def in_stall(stalls_ns: Ints, t_ns: Ints) -> NDArray[np.bool_]:
    """Which times lie in a stall or right behind one.

    Args:
        stalls_ns: beginnings and ends, ascending, apart; shape (k, 2).
        t_ns: shape (n,).
    """
    if not len(stalls_ns):
        return np.zeros(len(t_ns), dtype=np.bool_)
    place = np.searchsorted(stalls_ns[:, 0], t_ns, side="right") - 1
    within = t_ns <= stalls_ns[np.maximum(place, 0), 1] + _BEHIND_NS
    return np.asarray((place >= 0) & within)


def awake(passed: Passage, stalls_ns: Ints) -> Passage:
    """The passage without the arrivals of packets that came, if only once, in a stall."""
    asleep = np.zeros(len(passed.sent_ns), dtype=np.bool_)
    asleep[passed.seen[in_stall(stalls_ns, passed.seen_ns)]] = True
    kept = ~asleep[passed.seen]
    return Passage(passed.sent_ns, passed.size, passed.seen[kept], passed.seen_ns[kept])


# ---- order


@dataclass(frozen=True, slots=True)
class Reordered:
    """RFC 4737: reordered packets (section 3.3) and their extents (section 4.2.2)."""

    reordered: int
    extent_mean: float | None
    extent_max: int


def reordering(numbers: Ints) -> Reordered:
    """Of packet numbers in order of arrival; of copies, the first counts; shape (m,).

    A packet is reordered where one of a larger number came before it; its extent is how many
    arrivals ago the first of those came.
    """
    _, firsts = np.unique(numbers, return_index=True)
    order = numbers[np.sort(firsts)]
    if not len(order):
        return Reordered(0, None, 0)
    largest = np.maximum.accumulate(order)
    late = np.flatnonzero(order < largest)
    # The running maximum ascends: the first larger arrival is where it first surpasses.
    extents = late - np.searchsorted(largest, order[late], side="right")
    mean = float(extents.mean()) if len(late) else None
    return Reordered(len(late), mean, int(extents.max()) if len(late) else 0)


def order_of(decided: Decisions) -> Ints:
    """The numbers in the order in which their first copies are due."""
    due = np.where(
        (decided.copy_ns >= 0) & (decided.due_ns >= 0),
        np.minimum(decided.due_ns, decided.copy_ns),
        decided.due_ns,
    )
    there = np.flatnonzero(due >= 0)
    return there[np.argsort(due[there], kind="stable")]


# ---- rate

WINDOWS_S = (0.001, 0.01, 0.1)


@dataclass(frozen=True, slots=True)
class Window:
    """The rate in consecutive windows of one width, bit/s; ``None`` without a whole window."""

    window_s: float
    n: int
    min_bps: float | None
    p50_bps: float | None
    max_bps: float | None


def rate_windows(arrived_ns: Ints, size: Ints, framing_bytes: int) -> tuple[Window, ...]:
    """Rates from the first arrival to the last; bytes count where they arrive; shapes (m,)."""
    found = []
    bits = 8.0 * (size + framing_bytes)
    for width_s in WINDOWS_S:
        since = (arrived_ns - arrived_ns[0]) * 1e-9 if len(arrived_ns) else np.empty(0)
        count = int(since[-1] / width_s) if len(since) else 0
        if not count:
            found.append(Window(width_s, 0, None, None, None))
            continue
        # The first packet was sent before the first window.
        place = np.ceil(since[1:] / width_s).astype(np.int64) - 1
        sums = np.bincount(place, weights=bits[1:], minlength=count)[:count] / width_s
        median = float(np.median(sums))
        found.append(Window(width_s, count, float(sums.min()), median, float(sums.max())))
    return tuple(found)


def mean_rate(arrived_ns: Ints, size: Ints, framing_bytes: int) -> float | None:
    """Bit/s from the first arrival to the last, of a flow that never pauses; shapes (m,)."""
    if len(arrived_ns) < 2 or arrived_ns[-1] <= arrived_ns[0]:
        return None
    return float(8e9 * (size[1:] + framing_bytes).sum() / (arrived_ns[-1] - arrived_ns[0]))


# ---- events


def switch_error_ns(sent_ns: Ints, after: NDArray[np.bool_], t_ns: int) -> int | None:
    """How far from ``t_ns`` the switch surely was: 0 where it may have been just then.

    Args:
        sent_ns: times of sending, ascending; shape (n,).
        after: which packets met the later state; shape (n,). Packets of both kinds must be there,
            and none of the earlier state after one of the later: else ``None``.
        t_ns: when the change was scheduled.

    Returns:
        ns: positive, the first packet of the later state came that much later than it need have
        been (the last of the earlier was sent so long after the change); negative, it was early.
    """
    if not after.any() or after.all():
        return None
    first = int(after.argmax())
    if not after[first:].all() or first == 0:
        return None
    last_before, first_after = int(sent_ns[first - 1]), int(sent_ns[first])
    if last_before >= t_ns:
        return last_before - t_ns
    return min(0, first_after - t_ns)
