"""Following a chain of records at many places at once.

Each record tells where the next starts, so records are found one after the other. Here many walkers
start at places that look like a record, and go in step. A guess is only believed if the walker
before it comes to exactly that place: then, step by step from the first record, which is known, all
walkers are on the chain, whatever the bytes look like. Where one is not, the chain is walked from
there record by record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SAMPLE = 64
"""Records walked one by one to learn how long they are."""

STRIDE = 96
"""Records between the starts of two walkers, about."""

_STEPS = 4
"""Steps that all walkers take before it is seen whether they are there."""

_WINDOW = 4
"""A walker looks for a start among so many records' bytes, about."""


class Chain(Protocol):
    """A format's records in one buffer."""

    def follow(self, at: int, stop: int, most: int) -> tuple[list[int], int]:
        """Walk from ``at``, one by one: places before ``stop``, at most ``most``, and where next.

        Ends also where the next record is incomplete.
        """

    def following(self, at: Ints) -> Ints:
        """Where the records at these places end, and the next start.

        Each is behind its place; what lies behind the end of the buffer is any number there.
        """

    def candidates(self, at: Ints) -> Mask:
        """Which places look like the start of a record."""


@dataclass(frozen=True, slots=True)
class Walk:
    """``places``: where the whole records start. ``used``: where the first that is not whole is."""

    places: Ints
    used: int


def walk(chain: Chain, end: int, *, step: int = 1) -> Walk:
    """All whole records from place 0 to ``end``.

    Raises what ``chain.follow`` raises.

    Args:
        chain: the records.
        end: bytes in the buffer; 64 more may be read.
        step: records start at multiples of this.
    """
    known, at = chain.follow(0, end, SAMPLE)
    if len(known) < SAMPLE or end - at < at:
        rest, at = chain.follow(at, end, end)
        return Walk(np.array(known + rest, dtype=np.int64), at)
    parts = [np.array(known, dtype=np.int64)]
    starts = _starts(chain, at, end, max(16, at // SAMPLE), step)
    places, counts, landings = _lockstep(chain, starts, np.append(starts[1:], end), end)
    ends, lane = np.cumsum(counts), 0
    for broken in [*np.flatnonzero(landings[:-1] != starts[1:]).tolist(), len(starts) - 1]:
        if broken < lane:
            continue
        parts.append(places[ends[lane] - counts[lane] : ends[broken]])
        at = int(landings[broken])
        if broken == len(starts) - 1:
            break
        # walk on, from where the last walker came to, until a later one's start is met
        lane = broken + 1
        found, at, lane = _rejoin(chain, parts[-1], at, starts, lane, end)
        parts.append(found)
        if lane == len(starts):
            break
    places = np.concatenate(parts)
    last = int(chain.following(places[-1:])[0])
    if last <= end:
        return Walk(places, last)
    chain.follow(int(places[-1]), end, 1)  # not whole, or damage
    return Walk(places[:-1], int(places[-1]))


def _rejoin(
    chain: Chain, before: Ints, at: int, starts: Ints, lane: int, end: int
) -> tuple[Ints, int, int]:
    """Walk one by one until a walker's start is met: the places, where next, and which walker."""
    found: list[int] = []
    if at >= end:  # the last record is not whole, or is damage: told by walking it again
        at = int(before[-1])
        found, at = chain.follow(at, end, end)
        return np.array(found[1:], dtype=np.int64), at, len(starts)
    while True:
        lane += int(np.searchsorted(starts[lane:], at))
        if lane == len(starts):
            some, at = chain.follow(at, end, end)
            return np.array(found + some, dtype=np.int64), at, lane
        if starts[lane] == at:
            return np.array(found, dtype=np.int64), at, lane
        some, here = chain.follow(at, int(starts[lane]), end)
        found += some
        if here < starts[lane]:  # not whole
            return np.array(found, dtype=np.int64), here, len(starts)
        at = here


def _starts(chain: Chain, at: int, end: int, usual: int, step: int) -> Ints:
    """Where walkers start: ``at``, and the first place that looks right in each further window.

    ``usual``: bytes of a record, about.
    """
    look, stride = -(-usual // step) * step, STRIDE * usual
    left = np.arange(at + stride, end - stride // 2, stride) // step * step
    found = [np.array([at], dtype=np.int64)]
    for offset in range(0, _WINDOW * look, look):
        places = left[:, None] + np.arange(offset, offset + look, step)[None, :]
        right = chain.candidates(places.ravel()).reshape(places.shape)
        some = right.any(axis=1)
        found.append(left[some] + offset + right[some].argmax(axis=1) * step)
        left = left[~some]
        if not len(left):
            break
    return np.unique(np.concatenate(found))


def _lockstep(chain: Chain, starts: Ints, stops: Ints, end: int) -> tuple[Ints, Ints, Ints]:
    """Walk from every start to its stop: places, how many of each, and where each came to."""
    at, rows = starts.copy(), []
    while bool((at < stops).any()):
        for _ in range(_STEPS):
            rows.append(at)
            at = chain.following(at)
            np.minimum(at, end, out=at)
    rows.append(at)
    table = np.array(rows).T
    inside = table < stops[:, None]
    counts = inside.sum(axis=1)
    landings = table[np.arange(len(starts)), counts]
    return table[inside], counts, landings
