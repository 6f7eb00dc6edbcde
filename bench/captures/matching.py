"""Pairs packets of two taps, flow by flow; what cannot be decided is counted apart, not guessed.

A packet that is unique at the sending tap pairs with its first arrival, unless that may come from
a packet that was sent before or after the tap captured. Packets that look alike are decided only
where it follows from the delays and the order of the unique ones (:mod:`bench.captures.alike`).
All others are ambiguous, and carry the first and last arrival that may be theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from bench.captures.alike import NARROW_NS, WIDE_NS, Anchors, Copies, settle
from bench.captures.blocks import Ints
from bench.captures.headers import Hashes, Mask
from bench.captures.lining import Alike, Lines, line_up

MISSING = -1
"""Stands in place of an arrival that was not seen."""


class Fate(Enum):
    """What became of a packet that was sent; values as in :attr:`Pairs.fate`.

    ``IN_FLIGHT``: not seen to arrive, but sent so late that the receiving capture may have ended
    before, or so early that it may have started after. ``AMBIGUOUS``: one of several that look
    alike, of which it cannot be told which arrived.
    """

    LOST = 0
    ARRIVED = 1
    IN_FLIGHT = 2
    AMBIGUOUS = 3


class Arrival(Enum):
    """What an arrival is; values as in :attr:`Pairs.kind`.

    ``UNMATCHED``: nobody sent it. ``DUPLICATE``: of a packet that had arrived before.
    ``AMBIGUOUS``: it cannot be told which of several packets it is.
    """

    UNMATCHED = 0
    PAIRED = 1
    DUPLICATE = 2
    AMBIGUOUS = 3


@dataclass(frozen=True, slots=True)
class Watch:
    """When the receiving tap captured: first and last packet of any kind, ns."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Tap:
    """Packets of one flow at one tap, in order of time; arrays of shape ``(n,)``."""

    t_ns: Ints
    key: Hashes

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Undecided:
    """The packets whose fate is ambiguous; arrays of shape ``(k,)``.

    ``rows``: their indices among the packets sent, rising. ``earliest_ns``, ``latest_ns``: the
    first and last arrival that may be theirs; :data:`MISSING` where none is known. ``may_be_lost``:
    it may not have arrived at all.
    """

    rows: Ints
    earliest_ns: Ints
    latest_ns: Ints
    may_be_lost: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One flow between two taps.

    ``sent_ns``, ``place``, ``fate``: shape ``(n,)``, in order of sending; ``place`` is the index
    of the arrival, :data:`MISSING` where there is none, ``fate`` the value of a :class:`Fate`.
    ``got_ns``, ``kind``: shape ``(m,)``, every arrival; ``kind`` the value of an
    :class:`Arrival`. So lost + arrived + in flight + ambiguous = n, and
    unmatched + paired + duplicate + ambiguous = m. ``undecided``: what is known of the ambiguous.
    """

    sent_ns: Ints
    place: Ints
    fate: NDArray[np.int8]
    got_ns: Ints
    kind: NDArray[np.int8]
    undecided: Undecided

    def __len__(self) -> int:
        return len(self.sent_ns)

    def count(self, what: Fate | Arrival) -> int:
        """How many packets met a fate, or how many arrivals are of a kind."""
        values = self.fate if isinstance(what, Fate) else self.kind
        return int(np.count_nonzero(values == what.value))

    @property
    def received_ns(self) -> Ints:
        """When each packet arrived; :data:`MISSING` where it was not seen to."""
        if not len(self.got_ns):
            return np.full(len(self.place), MISSING, dtype=np.int64)
        return np.where(self.place >= 0, self.got_ns[self.place], MISSING)

    @property
    def earliest_ns(self) -> Ints:
        """The first instant at which each packet may have arrived; :data:`MISSING` for none."""
        found = self.received_ns
        found[self.undecided.rows] = self.undecided.earliest_ns
        return found

    @property
    def latest_ns(self) -> Ints:
        """The last instant at which each packet may have arrived; :data:`MISSING` for none."""
        found = self.received_ns
        found[self.undecided.rows] = self.undecided.latest_ns
        return found

    @property
    def may_be_lost(self) -> Mask:
        """Which ambiguous packets may not have arrived at all; false for all others."""
        found = np.zeros(len(self), dtype=bool)
        found[self.undecided.rows] = self.undecided.may_be_lost
        return found


def pair(sent: Tap, got: Tap, watch: Watch, sending: Watch | None = None) -> Pairs:
    """Pair the packets of one flow at the sending and the receiving tap.

    Args:
        sent, got: both in order of time.
        watch: when the receiving tap captured.
        sending: when the sending tap captured; none if it saw whatever was sent.
    """
    return pair_lines(sent.t_ns, got.t_ns, line_up(sent.key, got.key), watch, sending)


def pair_lines(
    sent_ns: Ints,
    got_ns: Ints,
    lines: Lines,
    watch: Watch,
    sending: Watch | None = None,
    delays: tuple[int, int] | None = None,
) -> Pairs:
    """As :func:`pair`, where the keys are lined up already.

    Args:
        delays: least and most delay of other streams between the same hosts, ns; used where nothing
            in this one is unique.
    """
    doubted = np.zeros(0, dtype=np.int64)
    if sending is not None:
        doubted = _doubted(sent_ns, got_ns, lines, sending)
        if len(doubted):
            lines = _set_apart(lines, doubted)
    place, kind = lines.place, np.zeros(len(got_ns), dtype=np.int8)
    kind[place[place >= 0]] = Arrival.PAIRED.value
    kind[lines.again] = Arrival.DUPLICATE.value
    fate = np.where(place >= 0, Fate.ARRIVED.value, Fate.LOST.value).astype(np.int8)
    found = Pairs(sent_ns, place, fate, got_ns, kind, _none())
    if len(lines.near.rows):
        found = replace(found, place=place.copy())
        found = replace(found, undecided=_settle(found, lines, doubted, sending or _ALWAYS, delays))
    _mark_in_flight(found, watch)
    return found


_ALWAYS = Watch(-(1 << 62), 1 << 62)


def _none() -> Undecided:
    empty = np.zeros(0, dtype=np.int64)
    return Undecided(empty, empty, empty, empty.astype(bool))


def _doubted(sent_ns: Ints, got_ns: Ints, lines: Lines, sending: Watch) -> Ints:
    """Unique packets whose arrivals may be of others that look like them.

    A packet may be unique only because the sending tap did not see its like: sent before or after
    the capture. Arrivals of these lie near or beyond its ends, and are not the only ones of their
    key, or far from their place in the order.
    """
    rows = np.flatnonzero(lines.place >= 0)
    received = got_ns[lines.place[rows]]
    delay = received - sent_ns[rows]
    zone = _delays(delay, received, got_ns, lines, rows, sending)
    if zone is None:
        return rows
    early, late = received < sending.start_ns + zone.most, received > sending.end_ns + zone.least
    doubted = zone.odd(delay, early, late)
    if bool(np.any(received[1:] < received[:-1])):
        calm = received[~early & ~late]
        moved = int((np.maximum.accumulate(calm) - calm).max(initial=0))
        limit = max(WIDE_NS, 4 * moved, zone.most - zone.least)
        newest = np.maximum.accumulate(np.where(late, _ALWAYS.start_ns, received))
        oldest = np.minimum.accumulate(np.where(early, _ALWAYS.end_ns, received)[::-1])[::-1]
        doubted |= (early & (newest - received > limit)) | (late & (received - oldest > limit))
    if len(lines.again):
        at = got_ns[lines.again]
        touched = np.zeros(len(lines.place), dtype=bool)
        outside = (at < sending.start_ns + zone.most) | (at > sending.end_ns + zone.least)
        touched[lines.again_of[outside]] = True
        touched[lines.again_of] |= (early | late)[np.searchsorted(rows, lines.again_of)]
        doubted |= touched[rows]
    found: Ints = rows[doubted]
    return found


@dataclass(frozen=True, slots=True)
class _Delays:
    """Least and most delay of packets that were surely sent within the capture, ns.

    ``repeats``: keys are known to repeat.
    """

    least: int
    most: int
    repeats: bool

    def odd(self, delay: Ints, early: Mask, late: Mask) -> Mask:
        """Delays that no packet had that was surely sent within the capture."""
        spread = self.most - self.least
        odd = early & (delay < self.least - max(NARROW_NS, spread // 4))
        odd |= (delay < 0) & (self.least >= 0)
        if self.repeats:
            odd |= late & (delay > self.most + max(WIDE_NS, spread))
        return odd


def _longest_repeat_ns(got_ns: Ints, lines: Lines) -> int:
    """How long after the first arrival a unique packet was seen again, at most; ns."""
    lag = got_ns[lines.again] - got_ns[lines.place[lines.again_of]]
    return int(lag.max(initial=0))


def _delays(
    delay: Ints, received: Ints, got_ns: Ints, lines: Lines, rows: Ints, sending: Watch
) -> _Delays | None:
    """What the unique packets tell; none where all may have been sent unseen and keys repeat."""
    repeats = bool(len(lines.near.rows))
    sound = delay >= 0
    if not sound.any():
        return None
    if len(lines.again):
        several = np.zeros(len(lines.place), dtype=bool)
        several[lines.again_of] = True
        if bool(np.any(sound & ~several[rows])):
            sound &= ~several[rows]
    inside = sound & (received <= sending.end_ns)
    if not inside.any():
        if repeats or len(lines.again):
            return None
        inside = sound
    most = int(delay[inside].max())
    inside = sound & (received >= sending.start_ns + most)
    least = min(most, int(delay[inside].min()) if inside.any() else int(delay[sound].min()))
    return _Delays(
        least, most, repeats or _longest_repeat_ns(got_ns, lines) > max(WIDE_NS, most - least)
    )


def _set_apart(lines: Lines, rows: Ints) -> Lines:
    """Put unique packets among those that look alike."""
    chosen = np.zeros(len(lines.place), dtype=bool)
    chosen[rows] = True
    again = chosen[lines.again_of]
    start = int(lines.near.group[-1]) + 1 if len(lines.near.group) else 0
    number = np.zeros(len(lines.place), dtype=np.int64)
    number[rows] = start + np.arange(len(rows))
    far = np.concatenate([lines.place[rows], lines.again[again]])
    group = np.concatenate([number[rows], number[lines.again_of[again]]])
    order = np.lexsort((far, group))
    place = lines.place.copy()
    place[rows] = MISSING
    return Lines(
        place,
        lines.again[~again],
        lines.again_of[~again],
        Alike(
            np.concatenate([lines.near.group, number[rows]]),
            np.concatenate([lines.near.rows, rows]),
        ),
        Alike(
            np.concatenate([lines.far.group, group[order]]),
            np.concatenate([lines.far.rows, far[order]]),
        ),
    )


def _settle(
    found: Pairs, lines: Lines, doubted: Ints, sending: Watch, delays: tuple[int, int] | None
) -> Undecided:
    """Decide the packets that look alike; write into ``place``, ``fate`` and ``kind``."""
    near, far = lines.near, lines.far
    rows = np.flatnonzero(found.place >= 0)
    anchors = Anchors(
        rows, found.sent_ns[rows], found.got_ns[found.place[rows]],
        len(found) - len(rows) - len(near.rows), len(lines.again),
        _longest_repeat_ns(found.got_ns, lines), sending.start_ns, sending.end_ns,
    )  # fmt: skip
    settled = settle(
        Copies(near.group, found.sent_ns[near.rows], near.rows),
        Copies(far.group, found.got_ns[far.rows], far.rows),
        anchors,
        len(doubted),
        delays,
    )
    found.fate[near.rows], found.kind[far.rows] = settled.fate, settled.kind
    arrived = settled.place != MISSING
    found.place[near.rows[arrived]] = far.rows[settled.place[arrived]]
    left = np.flatnonzero(settled.fate == Fate.AMBIGUOUS.value)
    left = left[np.argsort(near.rows[left])]
    return Undecided(
        near.rows[left],
        settled.earliest_ns[left],
        settled.latest_ns[left],
        settled.may_be_lost[left],
    )


def _mark_in_flight(found: Pairs, watch: Watch) -> None:
    """Packets that may have passed the receiving tap while it was not capturing are not lost."""
    if not bool(np.any(found.fate == Fate.LOST.value)):
        return
    arrived = np.flatnonzero(found.place >= 0)
    sent, received = found.sent_ns[arrived], found.got_ns[found.place[arrived]]
    delays = received - sent
    least, most = (int(delays.min()), int(delays.max())) if len(delays) else (0, 0)
    late = (found.sent_ns + most > watch.end_ns) & (found.sent_ns >= _overtaken(sent, received))
    early = found.sent_ns + least < watch.start_ns
    found.fate[(found.fate == Fate.LOST.value) & (late | early)] = Fate.IN_FLIGHT.value


def _overtaken(sent_ns: Ints, received_ns: Ints) -> int:
    """What was sent before this can no longer be on its way.

    Packets sent later have arrived, by more than any packet that did arrive was overtaken.
    """
    if not len(sent_ns):
        return int(np.iinfo(np.int64).min)
    in_order = sent_ns
    if bool(np.any(received_ns[1:] < received_ns[:-1])):
        in_order = sent_ns[np.argsort(received_ns, kind="stable")]
    newest = np.maximum.accumulate(in_order)
    return int(newest[-1] - (newest - in_order).max())
