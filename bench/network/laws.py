"""The laws of one link direction: from arrival time and size to departure time or a fate.

The virtual link and the userspace emulator both decide with :class:`DirectionLaw`, so that one
seed means the same thing on both. The law has no clock: arrival times come in, due times go out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.network.delays import TABLE_SCALE, TABLE_SIZE, Delay, unit_table
from bench.network.impairment import CLEAN, Impairment, Reordering, Slot
from bench.network.loss import FourState, GilbertElliott
from bench.network.numbers import Draws, truncated_normal
from bench.network.seeds import generator
from bench.units import NS_PER_S, ns

LOST, QUEUE_DROP, DOWN, TOO_LONG = -1, -2, -3, -4
"""Fates that stand in place of a due time (all negative)."""

FATES = {LOST: "lost", QUEUE_DROP: "queue_drop", DOWN: "down", TOO_LONG: "too_long"}

NEVER = 1 << 62
_ARRAY = 24
"""From how many packets on arrays decide faster than one call each."""


class _Services(dict[int, int]):
    """How long a packet occupies the line, ns, by its size in bytes; worked out once each."""

    def __init__(self, framing_bytes: int, ns_per_byte: float) -> None:
        super().__init__()
        self._framing, self._ns_per_byte = framing_bytes, ns_per_byte

    def __missing__(self, size_bytes: int) -> int:
        service = self[size_bytes] = int((size_bytes + self._framing) * self._ns_per_byte)
        return service


class DirectionLaw:
    """Decides, packet by packet, what one direction of a link does.

    Args:
        changes: ``(t_ns, impairment)`` in ascending time; before the first, the link is clean.
        seed: the session's seed.
        name: ``"link/direction"``; keys the draws.

    Arrivals must be offered in ascending time. Packets already accepted keep their due time when
    the impairment changes, as a kernel qdisc does.

    Attributes:
        accepted: packets that were given a due time; copies are not among them.
        fates: how many packets met each fate.
        copies: how many accepted packets came twice; ``damaged``: with bit errors; ``skipped``:
            without the delay (reordering).
        copy_due: when the copy of the packet offered last is due, ns; -1 where it has none.
        flips: the bits of the packet offered last that are wrong, counted from its first.
        ordinary: whether the impairment in force makes neither copies nor bit errors, so that
            there is no need to look at ``copy_due`` and ``flips``.
    """

    def __init__(self, changes: Sequence[tuple[int, Impairment]], *, seed: int, name: str) -> None:
        self._changes = list(changes)
        uniform = generator(seed, name, "delay-uniform")
        self._uniform = Draws(lambda count: uniform.uniform(-1.0, 1.0, count))
        self._normal = Draws(truncated_normal(generator(seed, name, "delay-normal")))
        self._place = generator(seed, name, "delay-table")
        self._loss_draw = Draws(generator(seed, name, "loss").random)
        self._state_draw = Draws(generator(seed, name, "loss-state").random)
        self._copy_draw = Draws(generator(seed, name, "duplication").random)
        self._skip_draw = Draws(generator(seed, name, "reordering").random)
        self._bit_draw = Draws(generator(seed, name, "bit-errors").random)
        self._slot_draw = Draws(generator(seed, name, "slot").random)
        self._position = -1
        self._next_change = self._changes[0][0] if self._changes else NEVER
        self._free = 0
        self._last_due = 0
        self._state = 1
        self._bad = False
        self._since_skip = 0
        self._to_error, self._ber = -1, 0.0
        self._slot_at, self._slot_packets, self._slot_bytes = -1, 0, 0
        self._waiting: deque[int] = deque()
        self.accepted = self.copies = self.damaged = self.skipped = 0
        self.fates = dict.fromkeys(FATES, 0)
        self.copy_due = -1
        self.flips: tuple[int, ...] = ()
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
        self._longest = acting.most_captured_bytes or NEVER
        self._delay_ns = ns(acting.delay.mean_s)
        self._spread_ns = acting.delay.spread_s * NS_PER_S
        draws = self._draws(acting.delay)
        self._draw, self._draw_many = draws.one, draws.many
        self._loss = acting.loss
        self._ns_per_byte = 8 * NS_PER_S / acting.rate_bps if acting.rate_bps else 0.0
        self._framing = acting.framing_bytes
        self._services = _Services(self._framing, self._ns_per_byte)
        self._queue_ns = ns(acting.queue_s)
        self._queue_packets = acting.queue_packets
        self._preserve = acting.order == "preserve"
        self._reordering = acting.reordering
        self._slot = acting.slot
        self._duplication = acting.duplication
        if acting.ber != self._ber:
            self._to_error = -1  # the distance to the next bit error was drawn for another ratio
        self._ber = acting.ber
        self.ordinary = not (acting.duplication or acting.ber)
        self._plain = (
            self._up and self.ordinary and self._loss is None and self._reordering is None
            and self._slot is None and self._queue_packets is None and not self._release
        )  # fmt: skip
        self.copy_due, self.flips = -1, ()

    def _draws(self, delay: Delay) -> Draws:
        """Where the deviations from the mean come from, in spreads."""
        if delay.law == "uniform":
            return self._uniform
        if delay.law in ("constant", "normal"):
            return self._normal
        table = np.array(delay.table or unit_table(delay.law)) / TABLE_SCALE
        place = self._place
        return Draws(lambda count: table[place.integers(0, TABLE_SIZE, count)])

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

    def ordinary_at(self, t_ns: int) -> bool:
        """Whether packets offered at ``t_ns`` are ``ordinary``."""
        if t_ns >= self._next_change:
            self._advance(t_ns)
        return self.ordinary

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
        """The due time (ns) of a packet that arrives at ``t_ns``, or a negative fate.

        Where ``ordinary`` is false, ``copy_due`` and ``flips`` then tell the rest.
        """
        if t_ns >= self._next_change:
            self._advance(t_ns)
        if not self._plain or size_bytes > self._longest:
            return self._offer_at_length(t_ns, size_bytes)
        due = t_ns  # from here on as _depart, without what a plain impairment does not have
        if self._ns_per_byte:
            if self._free > due:
                if self._free - due > self._queue_ns:
                    self.fates[QUEUE_DROP] += 1
                    return QUEUE_DROP
                due = self._free
            due = self._free = due + self._services[size_bytes]
        if self._spread_ns:
            delay = self._delay_ns + int(self._draw() * self._spread_ns)
            due += delay if delay > 0 else 0
        else:
            due += self._delay_ns
        if due > self._last_due:
            self._last_due = due
        elif self._preserve:
            due = self._last_due
        self.accepted += 1
        return due

    def _offer_at_length(self, t_ns: int, size_bytes: int) -> int:
        if not self._up:
            self.fates[DOWN] += 1
            return DOWN
        if size_bytes > self._longest:
            if not self.ordinary:
                self.copy_due, self.flips = -1, ()
            self.fates[TOO_LONG] += 1
            return TOO_LONG
        if self._loss is not None and self._loses(self._loss):
            if not self.ordinary:
                self.copy_due, self.flips = -1, ()
            self.fates[LOST] += 1
            return LOST
        due = self._depart(t_ns, size_bytes)
        if due >= 0:
            self.accepted += 1
        if not self.ordinary:
            self._alter(t_ns, size_bytes, due)
        return due

    def _depart(self, t_ns: int, size_bytes: int) -> int:
        """Through the rate, the delay and the slots; a due time, or that the queue is full."""
        due = self._release if self._release > t_ns else t_ns
        if self._ns_per_byte:
            free = self._free
            if free < due:
                free = due
            elif free - due > self._queue_ns:
                self.fates[QUEUE_DROP] += 1
                return QUEUE_DROP
            if self._queue_packets is not None and self._is_full(due, self._queue_packets):
                self.fates[QUEUE_DROP] += 1
                return QUEUE_DROP
            due = self._free = free + self._services[size_bytes]
            if self._queue_packets is not None:
                self._waiting.append(due)
        if self._reordering is not None and self._skips(self._reordering):
            self.skipped += 1
            return due
        if self._spread_ns:
            delay = self._delay_ns + int(self._draw() * self._spread_ns)
            due += delay if delay > 0 else 0
        else:
            due += self._delay_ns
        if due > self._last_due:
            self._last_due = due
        elif self._preserve:
            due = self._last_due
        if self._slot is not None:
            due = self._last_due = self._scheduled(self._slot, due, size_bytes)
        return due

    def _is_full(self, t_ns: int, places: int) -> bool:
        waiting = self._waiting
        while waiting and waiting[0] <= t_ns:
            waiting.popleft()
        return len(waiting) >= places

    def _skips(self, reordering: Reordering) -> bool:
        self._since_skip += 1
        if self._since_skip < reordering.gap or self._skip_draw.one() >= reordering.ratio:
            return False
        self._since_skip = 0
        return True

    def _scheduled(self, slot: Slot, due: int, size_bytes: int) -> int:
        """When the slot begins that takes a packet due at ``due``."""
        full = (slot.packets and self._slot_packets >= slot.packets) or (
            slot.bytes and self._slot_bytes >= slot.bytes
        )
        if due > self._slot_at or full:
            since = max(due, self._slot_at)
            width_s = slot.low_s + (slot.high_s - slot.low_s) * self._slot_draw.one()
            self._slot_at = since + ns(width_s)
            self._slot_packets = self._slot_bytes = 0
        self._slot_packets += 1
        self._slot_bytes += size_bytes
        return self._slot_at

    def _alter(self, t_ns: int, size_bytes: int, due: int) -> None:
        """Whether the packet just offered comes twice, and which of its bits are wrong."""
        self.copy_due, self.flips = -1, ()
        if due < 0:
            return
        if self._ber:
            self.flips = self._errors(8 * size_bytes)
            self.damaged += bool(self.flips)
        if self._duplication and self._copy_draw.one() < self._duplication:
            copy_due = self._depart(t_ns, size_bytes)
            if copy_due >= 0:
                self.copies += 1
                self.copy_due = copy_due
            else:
                self.fates[QUEUE_DROP] -= 1  # a copy that finds no place was never a packet

    def _errors(self, bits: int) -> tuple[int, ...]:
        """Positions of independent bit errors among the next ``bits``."""
        if self._to_error < 0:
            self._to_error = self._distance()
        found = []
        place = self._to_error
        while place < bits:
            found.append(place)
            place += 1 + self._distance()
        self._to_error = place - bits
        return tuple(found)

    def _distance(self) -> int:
        """Right bits before the next wrong one: geometric."""
        return min(NEVER, int(math.log1p(-self._bit_draw.one()) / math.log1p(-self._ber)))

    def _loses(self, loss: GilbertElliott | FourState) -> bool:
        if isinstance(loss, FourState):
            return self._loses_by_state(loss)
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

    def _loses_by_state(self, loss: FourState) -> bool:
        draw, state = self._state_draw.one(), self._state
        if state == 1:
            state = 4 if draw < loss.p14 else 3 if draw < loss.p14 + loss.p13 else 1
        elif state == 2:
            state = 3 if draw < loss.p23 else 2
        elif state == 3:
            state = 2 if draw < loss.p32 else 1 if draw < loss.p32 + loss.p31 else 3
        else:
            state = 1
        self._state = state
        return state >= 3

    def offer_burst(self, t_ns: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same decisions for packets that arrive together, as an array.

        Equal, draw for draw, to calling :meth:`offer` for each packet with the same ``t_ns``;
        only for impairments that are ``ordinary``.
        """
        return self.offer_many(np.full(len(sizes), t_ns, dtype=np.int64), sizes)

    def offer_many(self, t_ns: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same decisions for packets in order of arrival, as an array.

        Equal, draw for draw, to calling :meth:`offer` for each packet; only where the
        impairments in force are ``ordinary``.

        Args:
            t_ns: arrivals, ascending; shape (n,).
            sizes: bytes; shape (n,).
        """
        begin, count = 0, len(t_ns)
        parts = []
        while begin < count:
            first = int(t_ns[begin])
            if first >= self._next_change:
                self._advance(first)
            end = count
            if t_ns[-1] >= self._next_change:
                end = int(np.searchsorted(t_ns, self._next_change))
            parts.append(self._decide(t_ns[begin:end], sizes[begin:end]))
            begin = end
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int64), *parts])

    def _decide(self, t_ns: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Decisions under the impairment in force."""
        count = len(t_ns)
        if count < _ARRAY or not self.ordinary:
            pairs = zip(t_ns.tolist(), sizes.tolist(), strict=True)
            return np.array([self.offer(t, size) for t, size in pairs], dtype=np.int64)
        if not self._up:
            self.fates[DOWN] += count
            return np.full(count, DOWN, dtype=np.int64)
        fits = sizes <= self._longest
        if not fits.all():
            due = np.full(count, TOO_LONG, dtype=np.int64)
            self.fates[TOO_LONG] += count - int(fits.sum())
            due[fits] = self._decide(t_ns[fits], sizes[fits])
            return due
        lost = self._loses_of(count)
        if lost is None:
            return self._depart_many(t_ns, sizes)
        kept = ~lost
        self.fates[LOST] += int(lost.sum())
        due = np.full(count, LOST, dtype=np.int64)
        due[kept] = self._depart_many(t_ns[kept], sizes[kept])
        return due

    def _loses_of(self, count: int) -> NDArray[np.bool_] | None:
        """Which of the next packets are lost; None: none is."""
        loss = self._loss
        if loss is None:
            return None
        if isinstance(loss, FourState):
            return np.array([self._loses_by_state(loss) for _ in range(count)])
        bad = np.zeros(count, dtype=np.bool_)
        if loss.p_good_to_bad:
            # A draw leads to bad or to good from either state, keeps the state, or flips it.
            flip = self._state_draw.many(count)
            from_good, from_bad = flip < loss.p_good_to_bad, flip >= loss.p_bad_to_good
            known = from_good == from_bad
            last = np.maximum.accumulate(np.where(known, np.arange(count), -1))
            flips = np.cumsum(from_good & ~from_bad)
            since = np.where(last >= 0, flips - flips[last], flips)
            bad = np.where(last >= 0, from_good[last], self._bad) ^ (since % 2 == 1)
        self._bad = bool(bad[-1])
        p = np.where(bad, loss.loss_bad, loss.loss_good)
        lost = p >= 1.0
        drawn = (p > 0.0) & ~lost
        lost[drawn] = self._loss_draw.many(int(drawn.sum())) < p[drawn]
        return lost

    def _depart_many(self, t_ns: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Through the rate, the delay and the slots, for packets that are not lost."""
        due = np.maximum(t_ns, self._release)
        free = self._free
        if self._ns_per_byte:
            service = ((sizes + self._framing) * self._ns_per_byte).astype(np.int64)
            done = np.cumsum(service)
            # The line is free at done + the largest head start (Lindley's recursion).
            finish = done + np.maximum.accumulate(np.maximum(due - done + service, free))
            full = bool((finish - service - due > self._queue_ns).any())
            due, free = finish, int(finish[-1]) if len(finish) else free
        else:
            full = False
        if full or self._queue_packets is not None or self._reordering or self._slot:
            pairs = zip(t_ns.tolist(), sizes.tolist(), strict=True)
            due = np.array([self._depart(t, size) for t, size in pairs], dtype=np.int64)
            self.accepted += int((due >= 0).sum())
            return due
        self._free = free
        self.accepted += len(due)
        if self._spread_ns:
            spread = (self._draw_many(len(due)) * self._spread_ns).astype(np.int64)
            due = due + np.maximum(self._delay_ns + spread, 0)
        else:
            due = due + self._delay_ns
        latest = np.maximum.accumulate(np.maximum(due, self._last_due))
        if len(latest):
            self._last_due = int(latest[-1])
        return latest if self._preserve else due
