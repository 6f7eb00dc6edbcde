"""One netem qdisc's whole state: to the kernel's bytes and back.

The attributes of ``linux/pkt_sched.h`` (``TCA_NETEM_*``), all of them. Which state an impairment
needs is decided in :mod:`instruments.emulators.netem_law`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

U32 = 0xFFFFFFFF
CERTAIN = U32
"""Probability 1."""

LEAST_LIMIT = 1000

_QOPT = struct.Struct("=6I")  # latency limit loss gap duplicate jitter
_CORRELATIONS = struct.Struct("=3I")  # delay loss duplicate
_CHANCE = struct.Struct("=2I")  # probability correlation
_RATE = struct.Struct("=IiIi")  # rate packet_overhead cell_size cell_overhead
_GIMODEL = struct.Struct("=5I")  # p13 p31 p32 p14 p23
_GEMODEL = struct.Struct("=4I")  # p r h k1
_SLOT = struct.Struct("=2q2i2q")  # min_delay max_delay max_packets max_bytes dist_delay dist_jitter
_U64, _S64, _NUMBER = struct.Struct("=Q"), struct.Struct("=q"), struct.Struct("=I")
(_CORR, _DELAY_DIST, _REORDER, _CORRUPT, _LOSS, _RATE_ATTR, _ECN, _RATE64, _PAD,
 _LATENCY64, _JITTER64, _SLOT_ATTR, _SLOT_DIST, _SEED) = range(1, 15)  # fmt: skip
_LOSS_GI, _LOSS_GE = 1, 2
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_TICK_SHIFT = 6  # struct tc_netem_qopt counts in ticks of 64 ns


@dataclass(frozen=True, slots=True)
class SlotState:
    """``struct tc_netem_slot``: slots even from ``min_ns`` to ``max_ns`` apart, or by a table.

    Each takes at most ``packets`` and ``bytes`` (0: no bound). With a slot table the distance is
    ``dist_delay_ns`` and ``dist_jitter_ns`` times a value of the table instead.
    """

    min_ns: int = 0
    max_ns: int = 0
    packets: int = 0
    bytes: int = 0
    dist_delay_ns: int = 0
    dist_jitter_ns: int = 0


@dataclass(frozen=True, slots=True)
class NetemState:
    """What a netem qdisc holds, in the kernel's own units.

    Probabilities are fractions of 2³²−1. ``gemodel`` is (p, r, h, k1): good to bad, bad to good,
    *delivery* in bad, loss in good; ``four_state`` is (p13, p31, p32, p14, p23). ``rate`` is
    bytes/s, 0 for none. ``correlations``: of delay, loss, duplicate, reorder, corrupt. ``gap``:
    one packet of so many may skip the delay, with probability ``reorder``; 0 for none. ``table``
    holds the values that jitter is drawn from, 8192 for one ``jitter_ns``, and ``slot_table``
    those of slots; ``seed`` is for the random numbers. A kernel does not give tables back, and an
    old one no seed.
    """

    latency_ns: int = 0
    jitter_ns: int = 0
    limit: int = LEAST_LIMIT
    loss: int = 0
    gap: int = 0
    duplicate: int = 0
    reorder: int = 0
    corrupt: int = 0
    correlations: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    rate: int = 0
    overhead: int = 0
    cell_size: int = 0
    cell_overhead: int = 0
    ecn: int = 0
    gemodel: tuple[int, int, int, int] | None = None
    four_state: tuple[int, int, int, int, int] | None = None
    slot: SlotState = SlotState()
    table: tuple[int, ...] = ()
    slot_table: tuple[int, ...] = ()
    seed: int | None = None

    def visible(self) -> NetemState:
        """The part that every kernel gives back."""
        return replace(self, table=(), slot_table=(), seed=None)


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


@lru_cache(maxsize=32)
def _table(kind: int, values: tuple[int, ...]) -> bytes:
    return _attribute(kind, struct.pack(f"={len(values)}h", *values))


def pack(state: NetemState) -> bytes:
    """The TCA_OPTIONS payload; the whole state, since a change keeps what is not sent.

    Two things cannot be taken back by sending nothing: a table (a jitter of zero makes it idle)
    and a seed (another is drawn).
    """
    latency, jitter = (
        min(U32, value >> _TICK_SHIFT) for value in (state.latency_ns, state.jitter_ns)
    )
    delay, loss, duplicate, reorder, corrupt = state.correlations
    slot = state.slot
    parts = [
        _QOPT.pack(latency, state.limit, state.loss, state.gap, state.duplicate, jitter),
        _attribute(_LATENCY64, _S64.pack(state.latency_ns)),
        _attribute(_JITTER64, _S64.pack(state.jitter_ns)),
        _attribute(_CORR, _CORRELATIONS.pack(delay, loss, duplicate)),
        _attribute(_REORDER, _CHANCE.pack(state.reorder, reorder)),
        _attribute(_ECN, _NUMBER.pack(state.ecn)),
        _attribute(_CORRUPT, _CHANCE.pack(state.corrupt, corrupt)),
        _loss_model(state),
        _rate(state),
        _attribute(
            _SLOT_ATTR,
            _SLOT.pack(
                slot.min_ns,
                slot.max_ns,
                slot.packets,
                slot.bytes,
                slot.dist_delay_ns,
                slot.dist_jitter_ns,
            ),
        ),
    ]
    if state.seed is not None:
        parts.append(_attribute(_SEED, _U64.pack(state.seed)))
    if state.table:
        parts.append(_table(_DELAY_DIST, state.table))
    if state.slot_table:
        parts.append(_table(_SLOT_DIST, state.slot_table))
    return b"".join(parts)


def _loss_model(state: NetemState) -> bytes:
    """Sent or not: without one, the plain loss acts."""
    if state.four_state is not None:
        return _attribute(_LOSS | _NESTED, _attribute(_LOSS_GI, _GIMODEL.pack(*state.four_state)))
    if state.gemodel is not None:
        return _attribute(_LOSS | _NESTED, _attribute(_LOSS_GE, _GEMODEL.pack(*state.gemodel)))
    return b""


def _rate(state: NetemState) -> bytes:
    wide = _attribute(_RATE64, _U64.pack(state.rate)) if state.rate > U32 else b""
    narrow = _RATE.pack(min(U32, state.rate), state.overhead, state.cell_size, state.cell_overhead)
    return wide + _attribute(_RATE_ATTR, narrow)


def attributes(data: bytes) -> dict[int, bytes]:
    """A run of netlink attributes by their type (without flags)."""
    found, position = {}, 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def option_attributes(data: bytes) -> tuple[bytes, dict[int, bytes]]:
    """A TCA_OPTIONS payload in parts: ``struct tc_netem_qopt``, and the attributes after it."""
    return data[: _QOPT.size], attributes(data[_QOPT.size :])


def unpack(data: bytes) -> NetemState:
    """The state in a TCA_OPTIONS payload, as sent or as read back (then without tables)."""
    head, found = option_attributes(data)
    latency, limit, loss, gap, duplicate, jitter = _QOPT.unpack(head)

    def value(kind: int, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack_from(found.get(kind, b"").ljust(form.size, b"\0"))

    reorder, reorder_correlation = value(_REORDER, _CHANCE)
    corrupt, corrupt_correlation = value(_CORRUPT, _CHANCE)
    delay_loss_copy = value(_CORR, _CORRELATIONS)
    rate, overhead, cell_size, cell_overhead = value(_RATE_ATTR, _RATE)
    models = attributes(found.get(_LOSS, b""))
    return NetemState(
        latency_ns=value(_LATENCY64, _S64)[0] if _LATENCY64 in found else latency << _TICK_SHIFT,
        jitter_ns=value(_JITTER64, _S64)[0] if _JITTER64 in found else jitter << _TICK_SHIFT,
        limit=limit,
        loss=loss,
        gap=gap,
        duplicate=duplicate,
        reorder=reorder,
        corrupt=corrupt,
        correlations=(
            delay_loss_copy[0],
            delay_loss_copy[1],
            delay_loss_copy[2],
            reorder_correlation,
            corrupt_correlation,
        ),
        rate=value(_RATE64, _U64)[0] if _RATE64 in found else rate,
        overhead=overhead,
        cell_size=cell_size,
        cell_overhead=cell_overhead,
        ecn=value(_ECN, _NUMBER)[0],
        gemodel=_GEMODEL.unpack(models[_LOSS_GE]) if _LOSS_GE in models else None,
        four_state=_GIMODEL.unpack(models[_LOSS_GI]) if _LOSS_GI in models else None,
        slot=SlotState(*value(_SLOT_ATTR, _SLOT)),
        table=_values(found, _DELAY_DIST),
        slot_table=_values(found, _SLOT_DIST),
        seed=value(_SEED, _U64)[0] if _SEED in found else None,
    )


def _values(found: Mapping[int, bytes], kind: int) -> tuple[int, ...]:
    data = found.get(kind, b"")
    return struct.unpack(f"={len(data) // 2}h", data)
