"""Which of several packets that look alike arrived when: decided only where it can be.

What a packet can be is bounded by the delays and the order of the unique packets around it: it
takes no less and no more time than they, and is not overtaken by more than they are. The bounds
are drawn twice. The wide ones hold whatever happens and alone say that a packet is lost. The narrow
ones tell neighbours apart where the path shows itself calm, and only as long as nothing that the
wide ones allow is left over that would explain the arrivals otherwise. The rest is ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Ints
from bench.captures.walking import Mask

LOST, ARRIVED, AMBIGUOUS = 0, 1, 3
"""Of a packet sent; as :class:`bench.captures.matching.Fate`."""

UNMATCHED, PAIRED, DUPLICATE, UNCLEAR = 0, 1, 2, 3
"""Of an arrival; as :class:`bench.captures.matching.Arrival`."""

MISSING = -1

FEW = 32
"""Fewer unique packets than this do not show how calm a path is."""

MANY = 256
"""What this many unique packets never did (overtake, get lost) those alike did not either."""

WIDE_NS = 5_000_000
"""Packets may take this much longer or shorter, or be overtaken by more, than any unique one."""

NARROW_NS = 1_000_000
"""The same on a path that shows itself calm."""

_ATTEMPTS = 5

_NOWHERE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Packets of one tap that share their keys, sorted by ``group``, then ``t_ns``."""

    group: Ints
    t_ns: Ints
    rows: Ints

    def __len__(self) -> int:
        return len(self.group)

    def select(self, keep: Mask | Ints) -> Copies:
        """Some of them, in the same order."""
        return Copies(self.group[keep], self.t_ns[keep], self.rows[keep])


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """The unique packets that arrived, in order of sending; arrays of shape ``(n,)``.

    ``rows``: places among all packets sent. ``lost``: how many unique ones did not arrive.
    ``duplicates``: how many more arrivals they had, and
    ``repeat_ns`` the longest time from a first arrival to one of those.
    ``start_ns``, ``end_ns``: when the sending tap captured; outside it, packets were sent unseen.
    """

    rows: Ints
    sent_ns: Ints
    received_ns: Ints
    lost: int
    duplicates: int
    repeat_ns: int
    start_ns: int
    end_ns: int

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What became of the copies: ``place`` is the index among the arrivals given, or ``MISSING``.

    ``fate``, ``place``, ``earliest_ns``, ``latest_ns``, ``may_be_lost`` per packet sent, ``kind``
    per arrival.
    """

    fate: NDArray[np.int8]
    place: Ints
    kind: NDArray[np.int8]
    earliest_ns: Ints
    latest_ns: Ints
    may_be_lost: Mask


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """How the unique packets passed: least and most delay, and overtaking, in ns.

    ``count``: how many there are; none of this stream's own where ``foreign``.
    """

    anchors: Anchors
    count: int
    foreign: bool
    least: int
    most: int
    overtaken: int
    newest: Ints
    oldest: Ints

    @property
    def calm(self) -> bool:
        """Nothing overtakes, is lost or arrives twice."""
        return not (self.overtaken or self.anchors.lost or self.anchors.duplicates)

    @property
    def spread(self) -> int:
        return self.most - self.least


def _path(anchors: Anchors) -> _Path:
    delays = anchors.received_ns - anchors.sent_ns
    newest = np.maximum.accumulate(anchors.received_ns)
    oldest = np.minimum.accumulate(anchors.received_ns[::-1])[::-1]
    overtaken = int((newest - anchors.received_ns).max())
    least, most = int(delays.min()), int(delays.max())
    return _Path(anchors, len(anchors), False, least, most, overtaken, newest, oldest)


@dataclass(frozen=True, slots=True, eq=False)
class _Reach:
    """From which to before which arrival each packet sent may be, and until which its duplicates.

    ``covered``: of how many packets each arrival may be, as the first or again.
    """

    first: Ints
    last: Ints
    end: Ints
    covered: Ints

    @property
    def empty(self) -> Mask:
        return self.last <= self.first


def _reach(near: Copies, far: Copies, bounds: tuple[Ints, Ints], repeat: int) -> _Reach:
    first = bisect(far, near.group, bounds[0])
    last = np.maximum(bisect(far, near.group, bounds[1] + 1), first)
    end = np.maximum(bisect(far, near.group, bounds[1] + repeat + 1), first) if repeat else last
    return _Reach(first, last, end, _cover(first, end, len(far)))


def _cover(first: Ints, last: Ints, count: int) -> Ints:
    """How many of the ranges ``first`` to before ``last`` each of ``count`` places lies in."""
    edges = np.bincount(first, minlength=count + 1) - np.bincount(last, minlength=count + 1)
    covered: Ints = np.cumsum(edges)[:count]
    return covered


def _any_in(mask: Mask, first: Ints, last: Ints) -> Mask:
    """Whether each range ``first`` to before ``last`` has a place where ``mask`` is set."""
    total = np.concatenate([[0], np.cumsum(mask)])
    found: Mask = total[last] > total[first]
    return found


def _bounds(near: Copies, path: _Path, margin: int, slack: int | None) -> tuple[Ints, Ints]:
    """When each may arrive: by the delays seen with a margin, and by the order with a slack."""
    earliest = near.t_ns + max(path.least - margin, min(path.least, 0))
    latest = near.t_ns + path.most + margin
    if slack is not None:
        before = np.searchsorted(path.anchors.rows, near.rows)
        some = before > 0
        earliest[some] = np.maximum(earliest[some], path.newest[before[some] - 1] - slack)
        some = before < len(path.anchors)
        latest[some] = np.minimum(latest[some], path.oldest[before[some]] + slack)
    return earliest, latest


def _unseen(far: Copies, path: _Path, margin: int, slack: int | None) -> Mask:
    """Which arrivals may have been sent before or after the sending tap captured."""
    start, end = path.anchors.start_ns, path.anchors.end_ns
    until, since = start + path.most + margin, end + max(path.least - margin, min(path.least, 0))
    if slack is not None:
        until = min(until, int(path.oldest[0]) + slack)
        since = max(since, int(path.newest[-1]) - slack)
    found: Mask = (far.t_ns < until) | (far.t_ns > since)
    return found


def settle(
    near: Copies,
    far: Copies,
    anchors: Anchors,
    doubted: int = 0,
    delays: tuple[int, int] | None = None,
) -> Settled:
    """Decide what can be.

    Args:
        near: packets sent that share their keys; ``group`` numbers the keys.
        far: arrivals with these keys.
        anchors: the unique packets of the same flow.
        doubted: so many of ``near``, the last, are the only ones of their keys, with arrivals
            that may not be theirs; they are never said to be lost while one can be.
        delays: least and most delay of other streams between the same hosts, ns; used where this
            one has no anchors. They tell nothing of its order.
    """
    found = Settled(
        np.full(len(near), AMBIGUOUS, dtype=np.int8), np.full(len(near), MISSING, dtype=np.int64),
        np.full(len(far), UNCLEAR, dtype=np.int8), np.full(len(near), MISSING, dtype=np.int64),
        np.full(len(near), MISSING, dtype=np.int64), np.ones(len(near), dtype=bool),
    )  # fmt: skip
    if len(anchors) >= max(2, doubted):
        path = _path(anchors)
    elif delays is not None:
        path = _Path(anchors, FEW, True, *delays, 0, _NOWHERE, _NOWHERE)
    else:
        any_time = _reach(near, far, (near.t_ns, np.full(len(near), 1 << 62)), 0)
        _decide_wide(found, any_time, np.ones(len(far), dtype=bool))
        _possible(found, far, any_time)
        return found
    wide, unseen = _wide(near, far, path, doubted)
    _decide_wide(found, wide, unseen)
    if path.count >= FEW and not path.foreign:
        _decide_narrow(found, near, far, path, wide, unseen)
        if path.count >= MANY and path.calm:
            _decide_in_order(found, near, far, path, wide, unseen)
    _possible(found, far, wide)
    return found


def _wide(near: Copies, far: Copies, path: _Path, doubted: int) -> tuple[_Reach, Mask]:
    """The wide bounds; wider still while they leave an arrival without a sender.

    The ``doubted`` may be any arrival after they were sent, and the others may take as long.
    """
    trusted = len(near) - doubted
    margin = max(WIDE_NS, path.spread * max(1, FEW // path.count))
    slack = max(WIDE_NS, 4 * path.overtaken)
    first = np.searchsorted(near.group, far.group)
    sent_before = bisect(near, far.group, far.t_ns + 1) > first
    alone = first >= trusted
    delay = far.t_ns[alone] - near.t_ns[first[alone]]
    longer = int(delay.max(initial=0)) - path.most
    margin, ordered = max(margin, longer), path.count >= FEW and longer <= 0 and not path.foreign
    for _ in range(_ATTEMPTS):
        order = slack if ordered else None
        bounds = _bounds(near, path, margin, order)
        bounds[0][trusted:], bounds[1][trusted:] = near.t_ns[trusted:], 1 << 62
        reach = _reach(near, far, bounds, 2 * path.anchors.repeat_ns)
        unseen = _unseen(far, path, margin, order) | alone
        if not bool(np.any((reach.covered == 0) & ~unseen & sent_before)):
            break
        margin, slack = 4 * margin, 4 * slack
    return reach, unseen


def _decide_wide(found: Settled, reach: _Reach, unseen: Mask) -> None:
    """What is so even by the wide bounds."""
    shared = (reach.covered > 1) | unseen
    clear = ~_any_in(shared, reach.first, reach.last)
    found.kind[reach.covered == 0] = UNMATCHED
    found.fate[clear & reach.empty] = LOST
    _take(found, np.flatnonzero(clear & ~reach.empty), reach, unseen)


def _take(found: Settled, rows: Ints, reach: _Reach, unseen: Mask) -> None:
    """Give packets the first arrival in reach; others that only they reach are duplicates."""
    repeated = _cover(reach.first[rows], reach.end[rows], len(found.kind)) > 0
    found.kind[repeated & (reach.covered == 1) & ~unseen] = DUPLICATE
    _join(found, rows, reach.first[rows])


def _join(found: Settled, rows: Ints, places: Ints) -> None:
    found.place[rows] = places
    found.fate[rows] = ARRIVED
    found.kind[places] = PAIRED


def _decide_narrow(
    found: Settled, near: Copies, far: Copies, path: _Path, wide: _Reach, unseen: Mask
) -> None:
    """Of what is open: packets alone in their narrow bounds with arrivals that only they reach.

    Unless one of these arrivals is one too many, and a packet nearby has none.
    """
    rows = np.flatnonzero(found.fate == AMBIGUOUS)
    margin, slack = max(NARROW_NS, path.spread // 4), NARROW_NS + 2 * path.overtaken
    some = near.select(rows)
    narrow = _reach(some, far, _bounds(some, path, margin, slack), 2 * path.anchors.repeat_ns)
    shared = (narrow.covered > 1) | _unseen(far, path, 0, slack)
    sure = ~_any_in(shared, narrow.first, narrow.last) & ~narrow.empty
    extra = _cover(narrow.first[sure], narrow.end[sure], len(far)) > 0
    extra[narrow.first[sure]] = False
    while True:
        doubted = _cover(wide.first[rows[~sure]], wide.end[rows[~sure]], len(far)) > 0
        contested = sure & _any_in(extra & doubted, narrow.first, narrow.end)
        if not bool(np.any(contested)):
            break
        sure &= ~contested
    chosen = replace(narrow, first=wide.first.copy(), end=wide.end.copy())
    chosen.first[rows], chosen.end[rows] = narrow.first, narrow.end
    _take(found, rows[sure], chosen, unseen)
    doubtful = rows[~sure]
    unclear = found.kind == UNCLEAR
    maybe = _any_in(unclear, wide.first[doubtful], wide.last[doubtful])
    found.fate[doubtful[~maybe]] = LOST
    left = _cover(wide.first[doubtful[maybe]], wide.end[doubtful[maybe]], len(far)) > 0
    found.kind[unclear & ~left & ~unseen] = DUPLICATE


def _decide_in_order(
    found: Settled, near: Copies, far: Copies, path: _Path, wide: _Reach, unseen: Mask
) -> None:
    """On a calm path: as many arrivals as packets, in order, with delays like the others'."""
    rows, places = np.flatnonzero(found.fate == AMBIGUOUS), np.flatnonzero(found.kind == UNCLEAR)
    if not len(rows) or not len(places):
        return
    first = np.searchsorted(places, wide.first[rows])
    last = np.searchsorted(places, wide.last[rows])
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = first[1:] >= np.maximum.accumulate(last)[:-1]
    part = np.cumsum(fresh) - 1
    starts = np.flatnonzero(fresh)
    sent = np.bincount(part)
    begin, end = first[starts], np.maximum.reduceat(last, starts)
    complete = (end - begin >= sent) & ~_any_in(unseen[places], begin, end)
    found.may_be_lost[rows[complete[part]]] = False
    even = complete & (end - begin == sent)
    position = begin[part] + np.arange(len(rows)) - starts[part]
    position = np.minimum(position, len(places) - 1)
    margin = max(NARROW_NS, path.spread // 4)
    delay = far.t_ns[places[position]] - near.t_ns[rows]
    fits = (delay >= path.least - margin) & (delay <= path.most + margin)
    even &= np.bincount(part, weights=~fits) == 0
    chosen = even[part]
    _join(found, rows[chosen], places[position[chosen]])


def _possible(found: Settled, far: Copies, reach: _Reach) -> None:
    """First and last of the unclear arrivals that each ambiguous packet may be."""
    rows, places = np.flatnonzero(found.fate == AMBIGUOUS), np.flatnonzero(found.kind == UNCLEAR)
    first = np.searchsorted(places, reach.first[rows])
    last = np.searchsorted(places, reach.last[rows])
    some = last > first
    found.earliest_ns[rows[some]] = far.t_ns[places[first[some]]]
    found.latest_ns[rows[some]] = far.t_ns[places[last[some] - 1]]


def bisect(where: Copies, group: Ints, t_ns: Ints) -> Ints:
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
