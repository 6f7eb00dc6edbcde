"""Pairs packets of two taps, flow by flow; what cannot be decided is counted apart, not guessed.

A packet that is unique at the sending tap pairs with its first arrival. Packets that look alike
are decided only where it follows from the unique ones around them: on a path that keeps the order,
equally many between the same neighbours pair in order; else a copy pairs where, by the delays that
the unique ones have, it is the only one that can have arrived then. All others are ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Ints
from bench.captures.headers import Hashes, Mask

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


_NONE = np.zeros(0, dtype=np.int64)
_NOTHING = Undecided(_NONE, _NONE, _NONE, _NONE.astype(bool))

_FEW = 32
"""With fewer unique packets than this, the range of delays they show is widened in proportion."""

_MARGIN_NS = 1_000_000
"""Packets that look alike may take this much longer or shorter than any unique one, at least."""


def unique_pairs(sent: Hashes, got: Hashes) -> tuple[Ints, Ints]:
    """Indices of the keys that are unique at the sending tap and arrived: sent, first arrival."""
    keys, first, count = np.unique(sent, return_index=True, return_counts=True)
    arrived, first_got = np.unique(got, return_index=True)
    _, at_sent, at_got = np.intersect1d(keys, arrived, assume_unique=True, return_indices=True)
    alone = count[at_sent] == 1
    left, right = first[at_sent[alone]], first_got[at_got[alone]]
    order = np.argsort(left)
    return left[order], right[order]


def pair(sent: Tap, got: Tap, watch: Watch) -> Pairs:
    """Pair the packets of one flow at the sending and the receiving tap."""
    left, right = unique_pairs(sent.key, got.key)
    place = np.full(len(sent), MISSING, dtype=np.int64)
    place[left] = right
    kind = np.zeros(len(got), dtype=np.int8)
    kind[np.isin(got.key, sent.key[left])] = Arrival.DUPLICATE.value
    kind[right] = Arrival.PAIRED.value
    fate = np.where(place >= 0, Fate.ARRIVED.value, Fate.LOST.value).astype(np.int8)
    found = Pairs(sent.t_ns, place, fate, got.t_ns, kind, _NOTHING)
    near = np.flatnonzero((place < 0) & np.isin(sent.key, got.key))
    far = np.flatnonzero((kind == Arrival.UNMATCHED.value) & np.isin(got.key, sent.key))
    if len(near):
        _settle(found, _alike(sent, near), _alike(got, far), (left, right))
    _mark_in_flight(found, watch)
    return replace(found, undecided=_undecided(found, sent.key, got.key))


def _mark_in_flight(found: Pairs, watch: Watch) -> None:
    """Packets that may have passed the receiving tap while it was not capturing are not lost."""
    arrived = found.fate == Fate.ARRIVED.value
    sent, received = found.sent_ns[arrived], found.received_ns[arrived]
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


def _undecided(found: Pairs, sent: Hashes, got: Hashes) -> Undecided:
    """What is possible for the ambiguous packets: any ambiguous arrival that looks like them."""
    rows = np.flatnonzero(found.fate == Fate.AMBIGUOUS.value)
    far = np.flatnonzero(found.kind == Arrival.AMBIGUOUS.value)
    keys, group = np.unique(got[far], return_inverse=True)
    most = np.iinfo(np.int64).max
    first, last = np.full(len(keys) + 1, most), np.full(len(keys) + 1, MISSING, dtype=np.int64)
    np.minimum.at(first, group, found.got_ns[far])
    np.maximum.at(last, group, found.got_ns[far])
    place = np.searchsorted(keys, sent[rows])
    place[place < len(keys)] = np.where(
        keys[place[place < len(keys)]] == sent[rows[place < len(keys)]],
        place[place < len(keys)],
        len(keys),
    )
    first[first == most] = MISSING
    return Undecided(rows, first[place], last[place], np.ones(len(rows), dtype=bool))


@dataclass(frozen=True, slots=True, eq=False)
class _Alike:
    """Packets of one tap that share their keys: sorted by ``group``, then time.

    ``rows``: their places among all of the flow's.
    """

    group: Ints
    t_ns: Ints
    rows: Ints

    def select(self, keep: Mask) -> _Alike:
        return _Alike(self.group[keep], self.t_ns[keep], self.rows[keep])

    def regroup(self, group: Ints) -> _Alike:
        order = np.lexsort((self.t_ns, group))
        return _Alike(group[order], self.t_ns[order], self.rows[order])


def _alike(tap: Tap, rows: Ints) -> _Alike:
    return _Alike(np.zeros(len(rows), dtype=np.int64), tap.t_ns[rows], rows).regroup(
        tap.key[rows].view(np.int64)
    )


def _settle(found: Pairs, near: _Alike, far: _Alike, anchors: tuple[Ints, Ints]) -> None:
    """Decide the packets that look alike; write into ``place``, ``fate`` and ``kind``."""
    found.fate[near.rows] = Fate.AMBIGUOUS.value
    found.kind[far.rows] = Arrival.AMBIGUOUS.value
    delays = found.got_ns[anchors[1]] - found.sent_ns[anchors[0]]
    if len(delays) < 2:
        return
    least, most = int(delays.min()), int(delays.max())
    margin = max(_MARGIN_NS, (most - least) * max(1, _FEW // len(delays)))
    window = max(0, least - margin), most + margin
    if bool(np.all(anchors[1][1:] > anchors[1][:-1])):
        near, far = _between(near, far, anchors)
        if not np.any(found.kind == Arrival.DUPLICATE.value):
            near, far = _equally_many(found, near, far, window)
    _only_candidates(found, near, far, window)


def _between(near: _Alike, far: _Alike, anchors: tuple[Ints, Ints]) -> tuple[_Alike, _Alike]:
    """Split the groups where a unique packet lies between: on this path none overtakes it."""
    keys, codes = np.unique(np.concatenate([near.group, far.group]), return_inverse=True)
    steps = len(anchors[0]) + 1
    before = np.searchsorted(anchors[0], near.rows), np.searchsorted(anchors[1], far.rows)
    split = len(near.group)
    assert len(keys) * steps < 1 << 62
    return (
        near.regroup(codes[:split] * steps + before[0]),
        far.regroup(codes[split:] * steps + before[1]),
    )


def _equally_many(
    found: Pairs, near: _Alike, far: _Alike, window: tuple[int, int]
) -> tuple[_Alike, _Alike]:
    """Pair in order the groups of which as many arrived as were sent; give back the rest."""
    groups, count = np.unique(near.group, return_counts=True)
    count_far = np.searchsorted(far.group, groups, side="right")
    count_far = count_far - np.searchsorted(far.group, groups)
    even = groups[count == count_far]
    chosen, arrived = np.isin(near.group, even), np.isin(far.group, even)
    delay = far.t_ns[arrived] - near.t_ns[chosen]
    wrong = near.group[chosen][(delay < window[0]) | (delay > window[1])]
    fits = ~np.isin(near.group, wrong)
    chosen, arrived = chosen & fits, arrived & ~np.isin(far.group, wrong)
    _join(found, near.rows[chosen], far.rows[arrived])
    return near.select(~chosen), far.select(~arrived)


def _only_candidates(found: Pairs, near: _Alike, far: _Alike, window: tuple[int, int]) -> None:
    """Pair what, by the window of delays, can be nothing else."""
    first = _bisect(far, near.group, near.t_ns + window[0])
    last = _bisect(far, near.group, near.t_ns + window[1] + 1)
    senders = _bisect(near, far.group, far.t_ns - window[0] + 1)
    senders -= _bisect(near, far.group, far.t_ns - window[1])
    shared = np.concatenate([[0], np.cumsum(senders > 1)])
    clear = shared[last] == shared[first]
    found.kind[far.rows[senders == 0]] = Arrival.UNMATCHED.value
    found.fate[near.rows[clear & (last == first)]] = Fate.LOST.value
    chosen = clear & (last > first)
    edges = np.zeros(len(far.rows) + 1, dtype=np.int64)
    np.add.at(edges, first[chosen], 1)
    np.add.at(edges, last[chosen], -1)
    found.kind[far.rows[np.cumsum(edges)[:-1] > 0]] = Arrival.DUPLICATE.value
    _join(found, near.rows[chosen], far.rows[first[chosen]])


def _join(found: Pairs, sent: Ints, got: Ints) -> None:
    found.place[sent] = got
    found.fate[sent] = Fate.ARRIVED.value
    found.kind[got] = Arrival.PAIRED.value


def _bisect(where: _Alike, group: Ints, t_ns: Ints) -> Ints:
    """How many of ``where`` lie before (group, time), for each; as ``searchsorted`` left."""
    low = np.searchsorted(where.group, group)
    high = np.searchsorted(where.group, group, side="right")
    while True:
        open_ = np.flatnonzero(low < high)
        if not len(open_):
            return low.astype(np.int64)
        middle = (low[open_] + high[open_]) // 2
        below = where.t_ns[middle] < t_ns[open_]
        low[open_[below]] = middle[below] + 1
        high[open_[~below]] = middle[~below]
