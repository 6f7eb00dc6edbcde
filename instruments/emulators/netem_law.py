"""Which netem state does what an impairment says, and what netem would distort.

Semantics are those of ``net/sched/sch_netem.c`` as of Linux 6.1, where the tests prove them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.errors import InputError
from bench.network.delays import unit_table
from bench.network.impairment import Impairment
from bench.network.loss import FourState, GilbertElliott
from bench.units import ns
from instruments.emulators.netem_state import (
    CERTAIN,
    LEAST_LIMIT,
    U32,
    NetemState,
    SlotState,
)

ORDER_KEEPING_BPS = 100e9
"""A rate forbids overtaking; this one costs 0.12 µs for 1500 bytes."""

MOST_LIMIT = 4_000_000
_MOST_PACKETS_PER_S = 200_000
_MOST_SPREAD_S = 2.147
_LEAST_RATIO = 1e-7  # netem counts in steps of 2.3e-10
_MOST_RATE_ERROR = 1e-3
_MOST_DOUBLE_ERRORS = 0.01
_FULL_FRAME = 1514
_ELSEWHERE = "use the userspace emulator"


def _no(reason: str, remedy: str, field: str, value: object) -> InputError:
    return InputError(reason, remedy=remedy, field=field, value=value)


def refusal(impairment: Impairment, packet_bytes: int | None = None) -> InputError | None:
    """Why netem would distort ``impairment``, or None when it would not."""
    for check in (
        _refused_delay,
        _refused_rate,
        _refused_copies,
        _refused_errors,
        _refused_slot,
        _refused_ratios,
    ):
        for refused in check(impairment, packet_bytes):
            return refused
    return None


def _refused_delay(impairment: Impairment, _: int | None) -> Iterator[InputError]:
    if impairment.hold:
        yield _no("netem cannot hold packets and release them as a burst", _ELSEWHERE, "hold", True)
    if impairment.mtu_bytes is not None:
        yield _no(
            "netem drops no packet for its length", _ELSEWHERE, "mtu_bytes", impairment.mtu_bytes
        )
    spread_s = impairment.delay.spread_s
    if spread_s > _MOST_SPREAD_S:
        yield _no(
            f"netem cuts jitter at {_MOST_SPREAD_S} s",
            f"lower the jitter or {_ELSEWHERE}",
            "delay.spread_s",
            spread_s,
        )


def _refused_rate(impairment: Impairment, packet_bytes: int | None) -> Iterator[InputError]:
    rate = impairment.rate_bps
    if rate is None:
        return
    if impairment.order == "allow":
        yield _no(
            "netem lets no packet overtake on a link with a rate",
            f"keep the order, leave the rate out, or {_ELSEWHERE}",
            "order",
            "allow",
        )
    if abs(_rate(rate) * 8 / rate - 1) > _MOST_RATE_ERROR:
        yield _no(
            "netem counts a rate in whole bytes a second",
            f"give a multiple of 8 bit/s or {_ELSEWHERE}",
            "rate_bps",
            rate,
        )
    if packet_bytes is not None:
        return
    places = impairment.queue_packets
    if places is None:
        yield _no(
            "netem bounds its queue in packets, not in time",
            f"bound it in packets, name the frame size that the time is for, or {_ELSEWHERE}",
            "rate_bps",
            rate,
        )
        return
    if impairment.delay.mean_s:
        yield _no(
            "netem's queue in packets also holds those in the delay",
            f"name the frame size that the bound is for, or {_ELSEWHERE}",
            "queue_packets",
            places,
        )
    full_s = places * 8 * (_FULL_FRAME + impairment.framing_bytes) / rate
    if full_s > impairment.queue_s:
        yield _no(
            f"netem bounds its queue in packets; {places} full-size packets would wait longer",
            f"allow {full_s:.3g} s, name the frame size, or {_ELSEWHERE}",
            "queue_s",
            impairment.queue_s,
        )


def _refused_copies(impairment: Impairment, _: int | None) -> Iterator[InputError]:
    if impairment.duplication and impairment.up and impairment.loss_ratio:
        yield _no(
            "netem keeps a packet that it would both lose and copy, and loses copies once more",
            f"leave the loss or the duplication out, or {_ELSEWHERE}",
            "duplication",
            impairment.duplication,
        )


def _refused_errors(impairment: Impairment, packet_bytes: int | None) -> Iterator[InputError]:
    ber = impairment.ber
    if not ber:
        return
    if packet_bytes is None:
        yield _no(
            "netem damages packets, whatever their size, not bits",
            f"name the frame size, or {_ELSEWHERE}",
            "ber",
            ber,
        )
        return
    bits = 8 * packet_bytes
    none = (1 - ber) ** bits
    one = bits * ber * (1 - ber) ** (bits - 1)
    several = 1 - none - one
    if several > _MOST_DOUBLE_ERRORS * (1 - none):
        yield _no(
            f"netem makes one bit error in a damaged packet; {several / (1 - none):.2g} of them "
            "would have more",
            f"stay below {2 * _MOST_DOUBLE_ERRORS / bits:.2g} for frames of {packet_bytes} bytes, "
            f"or {_ELSEWHERE}",
            "ber",
            ber,
        )


def _refused_slot(impairment: Impairment, _: int | None) -> Iterator[InputError]:
    slot = impairment.slot
    if slot is None:
        return
    if slot.packets or slot.bytes:
        yield _no(
            "netem begins the next slot as soon as one is full, whether or not a packet waits",
            f"leave the bounds of the slot out, or {_ELSEWHERE}",
            "slot",
            (slot.packets, slot.bytes),
        )
    if impairment.delay.mean_s or impairment.rate_bps is not None:
        yield _no(
            "netem draws slots for packets that are still delayed, not from when they are due",
            f"leave the slot, or the delay and the rate, out, or {_ELSEWHERE}",
            "slot",
            (slot.low_s, slot.high_s),
        )
    if slot.high_s - slot.low_s > _MOST_SPREAD_S:
        yield _no(
            f"netem draws slots at most {_MOST_SPREAD_S} s apart from each other",
            f"bring the two distances together or {_ELSEWHERE}",
            "slot",
            (slot.low_s, slot.high_s),
        )


def _refused_ratios(impairment: Impairment, packet_bytes: int | None) -> Iterator[InputError]:
    for name, value in _ratios(impairment, packet_bytes):
        if 0 < value < _LEAST_RATIO:
            yield _no(
                f"netem counts probabilities in steps of {1 / U32:.2g}, too coarse for this",
                f"give at least {_LEAST_RATIO:g}, leave it out, or {_ELSEWHERE}",
                name,
                value,
            )


def _ratios(impairment: Impairment, packet_bytes: int | None) -> Iterator[tuple[str, float]]:
    """Every probability that netem is to hold, with the field that it comes from."""
    loss = impairment.loss
    if isinstance(loss, FourState):
        for name in ("p13", "p31", "p32", "p23", "p14"):
            yield f"loss.{name}", getattr(loss, name)
    elif loss is not None:
        yield "loss.p_good_to_bad", loss.p_good_to_bad
        yield "loss.loss_good", loss.loss_good
        if loss.p_good_to_bad:
            yield "loss.p_bad_to_good", loss.p_bad_to_good
            yield "loss.loss_bad", loss.loss_bad
    yield "duplication", impairment.duplication
    if impairment.reordering is not None:
        yield "reordering", impairment.reordering.ratio
    if packet_bytes is not None:
        yield "ber", _damaged(impairment.ber, packet_bytes)


def _damaged(ber: float, packet_bytes: int) -> float:
    """Share of the frames that have a bit error."""
    return -math.expm1(8 * packet_bytes * math.log1p(-ber))


def netem_state(
    impairment: Impairment, *, seed: int | None = None, packet_bytes: int | None = None
) -> NetemState:
    """The netem state that does what ``impairment`` says.

    Differences that remain: with jitter, netem serialises at a rate after the jitter, not
    before; a change begins a loss chain anew, in its good state, and its Gilbert–Elliott chain
    loses by the state before the step; of two copies, each gets bit errors for itself; a bit
    error hits the part of a packet that the kernel holds in one piece, of TCP often the headers.
    None of them changes a stationary figure of a flow of datagrams.

    Args:
        impairment: the wanted state.
        seed: for the qdisc's random numbers, where the kernel takes one (Linux 6.6 and later).
        packet_bytes: frame size for which ``queue_s`` of a rate is turned into packets, and bit
            errors into damaged packets.

    Raises:
        InputError: netem would distort it (see :func:`refusal`).
    """
    refused = refusal(impairment, packet_bytes)
    if refused is not None:
        raise refused
    delay, rate_bps = impairment.delay, impairment.rate_bps
    values: dict[str, Any] = {
        "latency_ns": ns(delay.mean_s),
        "limit": _limit(impairment, packet_bytes),
        "seed": seed,
    }
    if delay.spread_s:
        # Always with a table: leaving it out would keep the one sent before.
        values["jitter_ns"] = ns(delay.spread_s)
        values["table"] = delay.table or unit_table(delay.law)
    if rate_bps is not None:
        values["rate"], values["overhead"] = _rate(rate_bps), impairment.framing_bytes
    elif impairment.order == "preserve":
        values["rate"] = round(ORDER_KEEPING_BPS / 8)
    if impairment.up:
        values |= _alterations(impairment, packet_bytes) | _loss(impairment.loss)
    else:
        values["loss"] = CERTAIN  # and no copies: they would pass
    return NetemState(**values)


def _alterations(impairment: Impairment, packet_bytes: int | None) -> dict[str, Any]:
    values: dict[str, Any] = {"duplicate": _fraction(impairment.duplication)}
    reordering, slot = impairment.reordering, impairment.slot
    if reordering is not None and reordering.ratio:
        values |= {"gap": reordering.gap, "reorder": _fraction(reordering.ratio)}
    if impairment.ber and packet_bytes is not None:
        values["corrupt"] = _fraction(_damaged(impairment.ber, packet_bytes))
    if slot is not None:
        values["slot"] = SlotState(ns(slot.low_s), ns(slot.high_s))
    return values


def _loss(loss: GilbertElliott | FourState | None) -> dict[str, Any]:
    if loss is None:
        return {}
    if isinstance(loss, FourState):
        # The kernel adds two of them up in 32 bits: rounding must not carry their sum over.
        p14, p32 = _fraction(loss.p14), _fraction(loss.p32)
        p13, p31 = min(_fraction(loss.p13), U32 - p14), min(_fraction(loss.p31), U32 - p32)
        return {"four_state": (p13, p31, p32, p14, _fraction(loss.p23))}
    if loss.p_good_to_bad:
        model = (loss.p_good_to_bad, loss.p_bad_to_good, 1 - loss.loss_bad, loss.loss_good)
        return {"gemodel": tuple(map(_fraction, model))}
    return {"loss": _fraction(loss.loss_good)}


def _fraction(value: float) -> int:
    return round(value * U32)


def _rate(rate_bps: float) -> int:
    return max(1, round(rate_bps / 8))


def longest_delay_s(impairment: Impairment) -> float:
    """The longest that a packet waits for its delay and its slot; without its rate."""
    slot = impairment.slot
    return impairment.delay.most_s + (slot.high_s if slot is not None else 0.0)


def _limit(impairment: Impairment, packet_bytes: int | None) -> int:
    """Places in the queue: what can wait at once, so that only a rate's queue ever drops."""
    delay, rate, places = impairment.delay, impairment.rate_bps, impairment.queue_packets
    if rate is None:
        stay_s = longest_delay_s(impairment)
        return min(MOST_LIMIT, max(LEAST_LIMIT, math.ceil(stay_s * _MOST_PACKETS_PER_S)))
    if packet_bytes is None:
        return min(MOST_LIMIT, places or LEAST_LIMIT)
    packets_per_s = rate / (8 * (packet_bytes + impairment.framing_bytes))
    in_delay = delay.mean_s * packets_per_s
    queued = 1 + impairment.queue_s * packets_per_s
    if places is not None:
        queued = min(queued, places)
    return min(MOST_LIMIT, max(1, math.ceil(round(in_delay + queued, 6))))


def wide_enough(state: NetemState, before: NetemState, impairment: Impairment) -> NetemState:
    """``state`` with places also for what still waits from ``before``; a rate's queue as it is."""
    if impairment.rate_bps is not None or before.limit <= state.limit:
        return state
    return replace(state, limit=before.limit)


def drained(before: NetemState) -> NetemState:
    """A clean state with places for everything: what waits leaves in order, then all passes."""
    return NetemState(
        limit=max(before.limit, MOST_LIMIT), rate=round(ORDER_KEEPING_BPS / 8), seed=before.seed
    )
