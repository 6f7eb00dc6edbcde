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
from bench.captures.lining import Alike, Lines, line_up
from bench.captures.network import Hashes
from bench.captures.walking import Mask

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
    early = np.flatnonzero(received < sending.start_ns + zone.most)
    late = np.flatnonzero(received > sending.end_ns + zone.least)
    doubted = zone.odd(delay, early, late)
    doubted[_out_of_order(received, early, late, zone.most - zone.least)] = True
    if len(lines.again):
        at = got_ns[lines.again]
        touched = np.zeros(len(lines.place), dtype=bool)
        outside = (at < sending.start_ns + zone.most) | (at > sending.end_ns + zone.least)
        touched[lines.again_of[outside]] = True
        touched[lines.again_of] |= np.isin(
            np.searchsorted(rows, lines.again_of), np.concatenate([early, late])
        )
        doubted |= touched[rows]
    found: Ints = rows[doubted]
    return found


def _out_of_order(received: Ints, early: Ints, late: Ints, spread: int) -> Ints:
    """Which early arrivals come long before what was sent before them, and late ones long after."""
    soon, overdue = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if len(early):
        before = received[: early[-1] + 1].copy()
        before[late[late < len(before)]] = _ALWAYS.start_ns
        soon = np.maximum.accumulate(before)[early] - received[early]
    if len(late):
        after = received[late[0] :].copy()
        after[early[early >= late[0]] - late[0]] = _ALWAYS.end_ns
        overdue = received[late] - np.minimum.accumulate(after[::-1])[::-1][late - late[0]]
    if max(soon.max(initial=0), overdue.max(initial=0)) <= WIDE_NS:
        return early[:0]
    calm = np.ones(len(received), dtype=bool)
    calm[early], calm[late] = False, False
    arrived = received[calm]
    moved = int((np.maximum.accumulate(arrived) - arrived).max(initial=0))
    limit = max(WIDE_NS, 4 * moved, spread)
    return np.concatenate([early[soon > limit], late[overdue > limit]])


@dataclass(frozen=True, slots=True)
class _Delays:
    """Least and most delay of packets that were surely sent within the capture, ns.

    ``repeats``: keys are known to repeat.
    """

    least: int
    most: int
    repeats: bool

    def odd(self, delay: Ints, early: Ints, late: Ints) -> Mask:
        """Delays that no packet had that was surely sent within the capture."""
        spread = self.most - self.least
        odd = np.zeros(len(delay), dtype=bool)
        if self.least >= 0:
            np.less(delay, 0, out=odd)
        odd[early] |= delay[early] < self.least - max(NARROW_NS, spread // 4)
        if self.repeats:
            odd[late] |= delay[late] > self.most + max(WIDE_NS, spread)
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
    lost = np.flatnonzero(found.fate == Fate.LOST.value)
    if not len(lost):
        return
    arrived = np.flatnonzero(found.place >= 0)
    delays = found.got_ns[found.place[arrived]] - found.sent_ns[arrived]
    least, most = (int(delays.min()), int(delays.max())) if len(delays) else (0, 0)
    sent = found.sent_ns[lost]
    late = sent + most > watch.end_ns
    if late.any():
        late &= sent >= _overtaken(found, arrived)
    found.fate[lost[late | (sent + least < watch.start_ns)]] = Fate.IN_FLIGHT.value


def _overtaken(found: Pairs, arrived: Ints) -> int:
    """What was sent before this can no longer be on its way.

    Packets sent later have arrived, by more than any packet that did arrive was overtaken.
    """
    if not len(arrived):
        return _ALWAYS.start_ns
    places = found.place[arrived]
    sent = found.sent_ns[arrived]
    if bool(np.any(places[1:] < places[:-1])):
        by_arrival = np.full(len(found.got_ns), -1, dtype=np.int64)
        by_arrival[places] = arrived
        sent = found.sent_ns[by_arrival[by_arrival >= 0]]
    newest = np.maximum.accumulate(sent)
    return int(newest[-1] - (newest - sent).max())
