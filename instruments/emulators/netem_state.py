"""One netem qdisc's whole state: from an impairment to the kernel's bytes and back.

pyroute2 cannot write or read Gilbert–Elliott loss, distribution tables, 64-bit rates, times in
nanoseconds or the seed, so the options are packed here (layout: ``linux/pkt_sched.h``). What
netem cannot do faithfully is refused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist
from typing import Literal

from bench.errors import InputError
from bench.network.impairment import FRAMING_BYTES, FourState, Impairment
from bench.units import ns

Table = Literal["uniform", "normal"]

_QOPT = struct.Struct("=6I")  # latency limit loss gap duplicate jitter
_RATE = struct.Struct("=IiIi")  # rate packet_overhead cell_size cell_overhead
_GEMODEL = struct.Struct("=4I")  # p r h k1
_DELAY_DIST, _LOSS, _RATE_ATTR, _RATE64 = 2, 5, 6, 8
_LATENCY64, _JITTER64, _SEED = 10, 11, 14
_LOSS_GE = 2
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_TICK_SHIFT = 6  # struct tc_netem_qopt counts in ticks of 64 ns
_U32 = 0xFFFFFFFF
_DIST_SIZE, _DIST_SCALE = 4096, 8192

ORDER_KEEPING_BPS = 100e9
"""A rate forbids overtaking; this one costs 0.12 µs for 1500 bytes."""

_MOST_PACKETS_PER_S = 200_000
_LEAST_LIMIT, _MOST_LIMIT = 1000, 4_000_000
_MOST_SPREAD_S = 2.147


@dataclass(frozen=True, slots=True)
class NetemState:
    """What a netem qdisc holds, in the kernel's own units.

    Probabilities are fractions of 2³²−1; ``gemodel`` is (p, r, h, k1): good to bad, bad to good,
    *delivery* in bad, loss in good; ``rate`` is bytes/s, 0 for none. ``table`` names the
    distribution that jitter follows and ``seed`` the random numbers; a kernel does not give the
    table back, and an old one no seed.
    """

    latency_ns: int = 0
    jitter_ns: int = 0
    limit: int = _LEAST_LIMIT
    loss: int = 0
    gap: int = 0
    duplicate: int = 0
    rate: int = 0
    overhead: int = 0
    gemodel: tuple[int, int, int, int] | None = None
    table: Table | None = None
    seed: int | None = None

    def visible(self) -> NetemState:
        """The part that every kernel gives back."""
        return replace(self, table=None, seed=None)


def _probability(value: float) -> int:
    return round(value * _U32)


def refusal(impairment: Impairment, packet_bytes: int | None = None) -> InputError | None:
    """Why netem would distort ``impairment``, or None when it would not."""
    if impairment.hold:
        return InputError(
            "netem cannot hold packets and release them as a burst",
            remedy="use the userspace emulator",
            field="hold",
            value=True,
        )
    if impairment.rate_bps is not None and packet_bytes is None:
        return InputError(
            "netem bounds its queue in packets, not in time",
            remedy="use the userspace emulator, or name the frame size that the bound is for",
            field="rate_bps",
            value=impairment.rate_bps,
        )
    if impairment.rate_bps is not None and impairment.order == "allow":
        return InputError(
            "netem lets no packet overtake on a link with a rate",
            remedy="keep the order, leave the rate out, or use the userspace emulator",
            field="order",
            value="allow",
        )
    if impairment.delay.spread_s > _MOST_SPREAD_S:
        return InputError(
            f"netem cuts jitter at {_MOST_SPREAD_S} s",
            remedy="lower the jitter or use the userspace emulator",
            field="delay.spread_s",
            value=impairment.delay.spread_s,
        )
    return None


def _limit(impairment: Impairment, packet_bytes: int | None) -> int:
    """Places in the queue: what can wait at once, so that only a rate's queue ever drops."""
    delay = impairment.delay
    stay_s = delay.mean_s + delay.spread_s * (4 if delay.law == "normal" else 1)
    if impairment.rate_bps is None or packet_bytes is None:
        packets = math.ceil(stay_s * _MOST_PACKETS_PER_S)
        return min(_MOST_LIMIT, max(_LEAST_LIMIT, packets))
    packets_per_s = impairment.rate_bps / (8 * (packet_bytes + FRAMING_BYTES))
    return min(_MOST_LIMIT, 1 + math.ceil((stay_s + impairment.queue_s) * packets_per_s))


def netem_state(
    impairment: Impairment, *, seed: int | None = None, packet_bytes: int | None = None
) -> NetemState:
    """The netem state that does what ``impairment`` says.

    Differences that remain: with jitter, netem serialises at a rate after the jitter, not
    before; its Gilbert–Elliott chain loses by the state before the step. Neither changes a
    stationary figure.

    Args:
        impairment: the wanted state.
        seed: for the qdisc's random numbers, where the kernel takes one (Linux 6.6 and later).
        packet_bytes: frame size for which ``queue_s`` of a rate is turned into packets.

    Raises:
        InputError: netem would distort it (see :func:`refusal`).
    """
    refused = refusal(impairment, packet_bytes)
    if refused is not None:
        raise refused
    state = NetemState(limit=_limit(impairment, packet_bytes), seed=seed)
    delay, loss = impairment.delay, impairment.loss
    state = replace(state, latency_ns=ns(delay.mean_s), jitter_ns=ns(delay.spread_s))
    if delay.spread_s:
        # Always with a table: leaving it out would keep the one sent before.
        state = replace(state, table="normal" if delay.law == "normal" else "uniform")
    if impairment.rate_bps is not None:
        rate = max(1, round(impairment.rate_bps / 8))
        state = replace(state, rate=rate, overhead=FRAMING_BYTES)
    elif impairment.order == "preserve":
        state = replace(state, rate=round(ORDER_KEEPING_BPS / 8))
    if not impairment.up:
        return replace(state, loss=_U32)
    if isinstance(loss, FourState):
        raise InputError(
            "the netem emulator does not set four-state loss",
            remedy="use the userspace emulator",
            field="loss",
            value=loss,
        )
    if loss is not None and loss.p_good_to_bad:
        model = (loss.p_good_to_bad, loss.p_bad_to_good, 1 - loss.loss_bad, loss.loss_good)
        p, r, h, k1 = map(_probability, model)
        return replace(state, gemodel=(p, r, h, k1))
    return state if loss is None else replace(state, loss=_probability(loss.loss_good))


@cache
def distribution(table: Table) -> tuple[int, ...]:
    """A jitter table for netem: 4096 values, 8192 for one spread.

    ``normal`` is made as iproute2 makes its ``normal.dist``: every fourth of 16384 quantiles,
    each at the upper edge of its step. ``uniform`` runs evenly from −1 to +1 spread.
    """
    if table == "uniform":
        return tuple(
            round(_DIST_SCALE * (2 * (index + 0.5) / _DIST_SIZE - 1)) for index in range(_DIST_SIZE)
        )
    inverse = NormalDist().inv_cdf
    return tuple(
        max(-32768, min(32767, round(_DIST_SCALE * inverse((4 * index + 0.5) / (4 * _DIST_SIZE)))))
        for index in range(_DIST_SIZE)
    )


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def pack(state: NetemState) -> bytes:
    """The TCA_OPTIONS payload; the whole state, since a change keeps what is not sent."""
    latency, jitter = (
        min(_U32, value >> _TICK_SHIFT) for value in (state.latency_ns, state.jitter_ns)
    )
    parts = [
        _QOPT.pack(latency, state.limit, state.loss, state.gap, state.duplicate, jitter),
        _attribute(_RATE_ATTR, _RATE.pack(min(_U32, state.rate), state.overhead, 0, 0)),
        _attribute(_LATENCY64, struct.pack("=q", state.latency_ns)),
        _attribute(_JITTER64, struct.pack("=q", state.jitter_ns)),
    ]
    if state.rate > _U32:
        parts.append(_attribute(_RATE64, struct.pack("=Q", state.rate)))
    if state.gemodel is not None:
        model = _attribute(_LOSS_GE, _GEMODEL.pack(*state.gemodel))
        parts.append(_attribute(_LOSS | _NESTED, model))
    if state.table is not None:
        values = distribution(state.table)
        parts.append(_attribute(_DELAY_DIST, struct.pack(f"={len(values)}h", *values)))
    if state.seed is not None:
        parts.append(_attribute(_SEED, struct.pack("=Q", state.seed)))
    return b"".join(parts)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def unpack(data: bytes) -> NetemState:
    """The state in a TCA_OPTIONS payload, as sent or as read back (then without the table)."""
    latency, limit, loss, gap, duplicate, jitter = _QOPT.unpack_from(data)
    found = _attributes(data[_QOPT.size :])
    state = NetemState(latency << _TICK_SHIFT, jitter << _TICK_SHIFT, limit, loss, gap, duplicate)
    if _LATENCY64 in found:
        state = replace(state, latency_ns=struct.unpack("=q", found[_LATENCY64])[0])
    if _JITTER64 in found:
        state = replace(state, jitter_ns=struct.unpack("=q", found[_JITTER64])[0])
    if _RATE_ATTR in found:
        rate, overhead, _, _ = _RATE.unpack(found[_RATE_ATTR])
        state = replace(state, rate=rate, overhead=overhead)
    if _RATE64 in found:
        state = replace(state, rate=struct.unpack("=Q", found[_RATE64])[0])
    model = _attributes(found.get(_LOSS, b"")).get(_LOSS_GE)
    if model is not None:
        state = replace(state, gemodel=_GEMODEL.unpack(model))
    if _SEED in found:
        state = replace(state, seed=struct.unpack("=Q", found[_SEED])[0])
    if _DELAY_DIST in found:
        values = struct.unpack(f"={len(found[_DELAY_DIST]) // 2}h", found[_DELAY_DIST])
        state = replace(state, table="normal" if values == distribution("normal") else "uniform")
    return state
