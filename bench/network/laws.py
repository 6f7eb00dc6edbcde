"""The laws of one link direction: from arrival time and size to departure time or a fate.

The virtual link and the userspace emulator both decide with :class:`DirectionLaw`, so that one
seed means the same thing on both. The law has no clock: arrival times come in, due times go out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.network.impairment import CLEAN, FRAMING_BYTES, GilbertElliott, Impairment
from bench.network.seeds import generator
from bench.units import NS_PER_S, ns

LOST, QUEUE_DROP, DOWN = -1, -2, -3
"""Fates that stand in place of a due time (all negative)."""

FATES = {LOST: "lost", QUEUE_DROP: "queue_drop", DOWN: "down"}

NEVER = 1 << 62
_BLOCK = 4096


class _Draws:
    """Numbers from one generator, drawn in blocks, taken singly or as arrays in one order."""

    __slots__ = ("_array", "_fill", "_index", "_list")

    def __init__(self, fill: Callable[[int], NDArray[np.float64]]) -> None:
        self._fill = fill
        self._array = fill(_BLOCK)
        self._list: list[float] = self._array.tolist()
        self._index = 0

    def one(self) -> float:
        index = self._index
        if index == _BLOCK:
            self._array = self._fill(_BLOCK)
            self._list = self._array.tolist()
            index = 0
        self._index = index + 1
        return self._list[index]

    def many(self, count: int) -> NDArray[np.float64]:
        if self._index + count <= _BLOCK:
            start = self._index
            self._index += count
            return self._array[start : self._index]
        return np.array([self.one() for _ in range(count)])


def _truncated_normal(rng: np.random.Generator) -> Callable[[int], NDArray[np.float64]]:
    def fill(count: int) -> NDArray[np.float64]:
        values = rng.standard_normal(count)
        while True:
            outside = np.abs(values) > 4
            if not outside.any():
                return values
            values[outside] = rng.standard_normal(int(outside.sum()))

    return fill


class DirectionLaw:
    """Decides, packet by packet, what one direction of a link does.

    Args:
        changes: ``(t_ns, impairment)`` in ascending time; before the first, the link is clean.
        seed: the session's seed.
        name: ``"link/direction"``; keys the draws.

    Arrivals must be offered in ascending time. Packets already accepted keep their due time when
    the impairment changes, as a kernel qdisc does.
    """

    def __init__(self, changes: Sequence[tuple[int, Impairment]], *, seed: int, name: str) -> None:
        self._changes = list(changes)
        uniform = generator(seed, name, "delay-uniform")
        self._uniform = _Draws(lambda count: uniform.uniform(-1.0, 1.0, count))
        self._normal = _Draws(_truncated_normal(generator(seed, name, "delay-normal")))
        loss = generator(seed, name, "loss")
        self._loss_draw = _Draws(loss.random)
        state = generator(seed, name, "loss-state")
        self._state_draw = _Draws(state.random)
        self._position = -1
        self._next_change = self._changes[0][0] if self._changes else NEVER
        self._free = 0
        self._last_due = 0
        self._bad = False
        self.accepted = 0
        self.fates = dict.fromkeys(FATES, 0)
        self._apply(CLEAN, 0)

    @property
    def impairment(self) -> Impairment:
        """The impairment in force."""
        return self._impairment

    def _apply(self, impairment: Impairment, position: int) -> None:
        self._impairment = impairment
        self._release = 0
        acting = impairment
        if impairment.hold:
            self._release, acting = self._release_of(position)
        self._up = acting.up
        self._delay_ns = ns(acting.delay.mean_s)
        self._spread_ns = acting.delay.spread_s * NS_PER_S
        draws = self._uniform if acting.delay.law == "uniform" else self._normal
        self._draw = draws
        self._loss = acting.loss
        self._ns_per_byte = 8 * NS_PER_S / acting.rate_bps if acting.rate_bps else 0.0
        self._queue_ns = ns(acting.queue_s)
        self._preserve = acting.order == "preserve"

    def _release_of(self, position: int) -> tuple[int, Impairment]:
        """When a hold at ``position`` ends and what the released packets then meet."""
        for t_ns, impairment in self._changes[position + 1 :]:
            if not impairment.hold:
                return t_ns, impairment
        return 0, self._impairment.with_(hold=False, up=False)

    def _advance(self, t_ns: int) -> None:
        while self._next_change <= t_ns:
            self._position += 1
            self._apply(self._changes[self._position][1], self._position)
            following = self._position + 1
            self._next_change = (
                self._changes[following][0] if following < len(self._changes) else NEVER
            )

    def extend(self, changes: Sequence[tuple[int, Impairment]]) -> None:
        """Append later changes while running (a control channel); never into the past."""
        for t_ns, impairment in changes:
            if self._changes and t_ns < self._changes[-1][0]:
                raise ValueError(f"change at {t_ns} ns lies before the last known change")
            self._changes.append((t_ns, impairment))
        following = self._position + 1
        if following < len(self._changes):
            self._next_change = self._changes[following][0]
        if self._impairment.hold:
            self._apply(self._impairment, self._position)

    def offer(self, t_ns: int, size_bytes: int) -> int:
        """The due time (ns) of a packet that arrives at ``t_ns``, or a negative fate."""
        if t_ns >= self._next_change:
            self._advance(t_ns)
        if not self._up:
            self.fates[DOWN] += 1
            return DOWN
        if self._loss is not None and self._loses(self._loss):
            self.fates[LOST] += 1
            return LOST
        due = self._release if self._release > t_ns else t_ns
        if self._ns_per_byte:
            free = self._free
            if free < due:
                free = due
            elif free - due > self._queue_ns:
                self.fates[QUEUE_DROP] += 1
                return QUEUE_DROP
            due = self._free = free + int((size_bytes + FRAMING_BYTES) * self._ns_per_byte)
        if self._spread_ns:
            delay = self._delay_ns + int(self._draw.one() * self._spread_ns)
            due += delay if delay > 0 else 0
        else:
            due += self._delay_ns
        if due > self._last_due:
            self._last_due = due
        elif self._preserve:
            due = self._last_due
        self.accepted += 1
        return due

    def _loses(self, loss: GilbertElliott) -> bool:
        if loss.p_good_to_bad:
            flip = self._state_draw.one()
            if self._bad:
                self._bad = flip >= loss.p_bad_to_good
            else:
                self._bad = flip < loss.p_good_to_bad
        else:
            self._bad = False
        p = loss.loss_bad if self._bad else loss.loss_good
        if p >= 1.0:
            return True
        return p > 0.0 and self._loss_draw.one() < p

    def offer_burst(self, t_ns: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same decisions for packets that arrive together, as an array.

        Equal, draw for draw, to calling :meth:`offer` for each packet with the same ``t_ns``.
        """
        if t_ns >= self._next_change:
            self._advance(t_ns)
        plain = self._up and self._loss is None and self._preserve
        if not plain or len(sizes) < 24:
            return np.array([self.offer(t_ns, size) for size in sizes.tolist()], dtype=np.int64)
        start = max(self._release, t_ns)
        count = len(sizes)
        due = np.full(count, start, dtype=np.int64)
        if self._ns_per_byte:
            service = ((sizes + FRAMING_BYTES) * self._ns_per_byte).astype(np.int64)
            finish = max(self._free, start) + np.cumsum(service)
            if finish[-1] - service[-1] - start > self._queue_ns:
                return np.array([self.offer(t_ns, s) for s in sizes.tolist()], dtype=np.int64)
            self._free = int(finish[-1])
            due = finish
        if self._spread_ns:
            spread = (self._draw.many(count) * self._spread_ns).astype(np.int64)
            due = due + np.maximum(self._delay_ns + spread, 0)
        else:
            due = due + self._delay_ns
        due = np.maximum.accumulate(np.maximum(due, self._last_due))
        self._last_due = int(due[-1])
        self.accepted += count
        return due
