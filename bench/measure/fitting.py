"""From what two taps saw of one direction of a path to the impairment that does the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.measure.fit_delay import DelayFit, Steadiness, fit_delay, steadiness
from bench.measure.fit_loss import LossFit, fit_loss
from bench.measure.fit_rate import RateFit, fit_rate, through
from bench.measure.statistics import autocorrelation_effect
from bench.network.delays import Delay
from bench.network.impairment import Impairment, OrderPolicy
from bench.network.laws import DirectionLaw
from bench.units import NS_PER_S, show, show_duration

FEWEST = 100
"""Packets that must have arrived for a fit."""

_RIGHT_BEHIND_S = 10e-6
_REPLAYED = 50_000
_REPLAY_CRITICAL = 1.949
_AMBIGUOUS_SHARE = 0.01
_REORDERED_OFF = 0.01
_FEW_INDEPENDENT = 100
_FRAME_BYTES = 1518 + 8


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """What two taps saw of one direction; arrays of shape ``(n,)`` in order of sending.

    ``received_ns``: -1 where the packet is lost. Packets of which that cannot be told are not
    among them but counted: ``in_flight`` and ``ambiguous``. ``flow``: number of the flow of each
    packet. ``resolution_s``: how far a delay may be off by the steps of the stamps.
    """

    sent_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    size: NDArray[np.int64]
    flow: NDArray[np.int64]
    duplicates: int
    ambiguous: int
    in_flight: int
    unmatched: int
    resolution_s: float

    def __len__(self) -> int:
        return len(self.sent_ns)


@dataclass(frozen=True, slots=True)
class Replay:
    """The fitted impairment, met by the packets that were captured (the first 50,000).

    ``ks``: distance of the delays that come out to those measured; ``critical``: passed by chance
    once in 1000. ``loss``, ``reordered``: shares of the packets.
    """

    n: int
    ks: float
    critical: float
    loss: float
    reordered: float

    @property
    def agrees(self) -> bool:
        """Whether the delays that come out are those measured."""
        return self.ks <= self.critical


@dataclass(frozen=True, slots=True)
class DirectionFit:
    """One direction of a path: each part with its goodness of fit, and the whole.

    ``reordered``: share of the arrivals that a packet sent later had overtaken (RFC 4737, type-P-
    reordered). ``duplication``: arrivals beyond the first over packets that arrived (RFC 5560).
    ``notes``: what a reader must know, a sentence each.
    """

    sent: int
    arrived: int
    duplicates: int
    ambiguous: int
    in_flight: int
    unmatched: int
    duration_s: float
    delay: DelayFit
    steadiness: Steadiness
    loss: LossFit
    rate: RateFit
    reordered: float
    duplication: float
    replay: Replay
    impairment: Impairment
    notes: tuple[str, ...]


def fit_direction(passage: Passage, seed: int = 7) -> DirectionFit:
    """Fit one direction.

    Args:
        passage: what the taps saw.
        seed: of the draws with which the result is tried on the same packets.

    Raises:
        InputError: too few packets, negative delays, or delays that move so much over the capture
            (clocks that drift or step) that no one law describes them.
    """
    arrived = passage.received_ns >= 0
    count = int(arrived.sum())
    _check(passage, count)
    rate, lost, left_s, rest_s = _without_rate(passage, arrived)
    moves = steadiness(passage.sent_ns[arrived] / NS_PER_S, rest_s, passage.resolution_s)
    _refuse_moving(moves, passage.resolution_s)
    loss = fit_loss(lost)
    reordered = share_reordered(passage.received_ns[arrived], passage.flow[arrived])
    duplication = passage.duplicates / count
    tried = []
    for order, held in _variants(reordered, _held(passage, arrived, left_s)):
        delay = fit_delay(rest_s, passage.resolution_s, held)
        impairment = _impairment(delay, loss, rate, order, duplication)
        replay = _replay(impairment, passage, seed)
        tried.append((delay, impairment, replay))
        if replay.agrees and not _order_off(replay, reordered):
            break
    delay, impairment, replay = min(
        tried, key=lambda each: (_order_off(each[2], reordered), each[2].ks)
    )
    notes = _notes(passage, delay, moves, loss, rate)
    notes += _replay_notes(replay, reordered) + _flow_notes(passage, arrived, rest_s)
    return DirectionFit(
        len(passage), count, passage.duplicates, passage.ambiguous, passage.in_flight,
        passage.unmatched, float(passage.sent_ns[-1] - passage.sent_ns[0]) / NS_PER_S, delay,
        moves, loss, rate, reordered, duplication, replay, impairment, tuple(notes),
    )  # fmt: skip


def _without_rate(
    passage: Passage, arrived: NDArray[np.bool_]
) -> tuple[RateFit, NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """The rate, and what remains without it.

    Returns the rate, the loss sequence without what the queue took, when each packet that arrived
    left the bottleneck (s since the first was sent), and its delay from there, s.
    """
    sent_s = (passage.sent_ns - passage.sent_ns[0]) / NS_PER_S
    delay_s = (passage.received_ns - passage.sent_ns)[arrived] / NS_PER_S
    here_s, size = sent_s[arrived], passage.size[arrived].astype(np.float64)
    rate, overflow = fit_rate(
        here_s, here_s + delay_s, size, sent_s[~arrived], passage.resolution_s
    )
    kept = np.ones(len(passage), dtype=bool)
    kept[np.flatnonzero(~arrived)[overflow]] = False
    lost = ~arrived[kept]
    if rate.rate_bps is None:
        return rate, lost, here_s, np.maximum(delay_s, 0.0)
    left_s = through(here_s, size, rate.rate_bps).left_s
    return rate, lost, left_s, np.maximum(here_s + delay_s - left_s, 0.0)


def _variants(
    reordered: float, held: NDArray[np.bool_]
) -> list[tuple[OrderPolicy, NDArray[np.bool_] | None]]:
    """Order policies, and packets held back, to try in turn.

    A law drawn anew for each packet may reorder far more than a path that reorders now and then.
    """
    found: list[tuple[OrderPolicy, NDArray[np.bool_] | None]] = []
    if reordered:
        found.append(("allow", None))
    if held.any():
        found.append(("preserve", held))
    return [*found, ("preserve", None)]


def _check(passage: Passage, count: int) -> None:
    if count < FEWEST:
        raise InputError(
            f"only {count} packets were seen at both taps",
            remedy=f"capture longer: a fit needs {FEWEST} or more in a direction",
            field="packets",
        )
    arrived = passage.received_ns >= 0
    least_s = float((passage.received_ns[arrived] - passage.sent_ns[arrived]).min()) / NS_PER_S
    if least_s < -passage.resolution_s:
        raise InputError(
            f"a delay of {show_duration(least_s)} is negative",
            remedy="give the captures in the other order, or synchronise the clocks of the taps",
            field="delay",
        )


def _refuse_moving(moves: Steadiness, resolution_s: float) -> None:
    if moves.step_s:
        raise InputError(
            f"the delay steps by {show_duration(moves.step_s)} after "
            f"{show_duration(moves.step_at_s)} and stays there: a clock was set, or the path "
            "changed",
            remedy="cut both captures there and fit the parts, or capture with steady clocks",
            field="delay",
        )
    if moves.significant and abs(moves.drift_s) > max(moves.spread_s, 2 * resolution_s):
        raise InputError(
            f"the delay drifts by {show_duration(moves.drift_s)} over the capture "
            f"({(moves.drift or 0) * 1e6:.3g} ppm), more than it varies otherwise: the clocks of "
            "the taps drift apart",
            remedy="synchronise the clocks (PTP), or fit a shorter part of the captures",
            field="delay",
        )


def _held(
    passage: Passage, arrived: NDArray[np.bool_], left_s: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which packets arrived right behind the one before, though sent further apart."""
    apart_s = np.diff(passage.received_ns[arrived]) / NS_PER_S
    behind = (apart_s <= _RIGHT_BEHIND_S) & (np.diff(left_s) > 2 * _RIGHT_BEHIND_S)
    return np.concatenate([[False], behind])


def share_reordered(received_ns: NDArray[np.int64], flow: NDArray[np.int64]) -> float:
    """Share of arrivals that a packet of the same flow, sent later, had overtaken (RFC 4737, 3.3).

    Args:
        received_ns: of the packets that arrived, in order of sending.
        flow: number of the flow of each.
    """
    late = 0
    for each in np.unique(flow).tolist():
        order = np.argsort(received_ns[flow == each], kind="stable")
        late += int(np.count_nonzero(order < np.maximum.accumulate(order)))
    return late / len(flow) if len(flow) else 0.0


def _impairment(
    delay: DelayFit, loss: LossFit, rate: RateFit, order: OrderPolicy, duplication: float
) -> Impairment:
    queue_s = rate.queue_s or max(Impairment().queue_s, rate.wait_s)
    return Impairment(
        delay=delay.chosen.delay or Delay(delay.mean_s),
        order=order,
        loss=loss.chosen.model,
        rate_bps=rate.rate_bps,
        queue_s=queue_s if rate.rate_bps else Impairment().queue_s,
        duplication=duplication,
    )


def _replay(impairment: Impairment, passage: Passage, seed: int) -> Replay:
    sent, received = passage.sent_ns[:_REPLAYED], passage.received_ns[:_REPLAYED]
    law = DirectionLaw([(0, impairment)], seed=seed, name="fit/replay")
    start = int(sent[0]) - 1
    times, sizes = (sent - start).tolist(), passage.size[:_REPLAYED].tolist()
    due = np.array([law.offer(t_ns, size) for t_ns, size in zip(times, sizes, strict=True)])
    came, arrived = due >= 0, received >= 0
    if not came.any() or not arrived.any():
        return Replay(len(sent), 1.0, 0.0, float((~came).mean()), 0.0)
    ours = (due[came] - (sent - start)[came]) / NS_PER_S
    theirs = (received[arrived] - sent[arrived]) / NS_PER_S
    step_s = max(passage.resolution_s, 1e-9)
    ks = _apart(np.sort(ours), np.sort(theirs), step_s)
    ns = [len(each) / autocorrelation_effect(each) for each in (ours, theirs)]
    critical = _REPLAY_CRITICAL * (1 / ns[0] + 1 / ns[1]) ** 0.5
    return Replay(
        len(sent),
        ks,
        critical,
        float((~came).mean()),
        share_reordered(due[came].astype(np.int64), passage.flow[:_REPLAYED][came]),
    )


def _apart(one: NDArray[np.float64], other: NDArray[np.float64], step_s: float) -> float:
    """Kolmogorov-Smirnov distance of two ascending samples known to ± ``step_s``."""
    found = 0.0
    for a, b in ((one, other), (other, one)):
        below = np.searchsorted(a, a, side="right") / len(a)
        reach = np.searchsorted(b, a + step_s, side="right") / len(b)
        found = max(found, float((below - reach).max()))
    return found


def _notes(
    passage: Passage, delay: DelayFit, moves: Steadiness, loss: LossFit, rate: RateFit
) -> list[str]:  # fmt: skip
    notes = []
    if delay.chosen.law == "table":
        notes.append("no named delay law fits: the table of the measured delays is used")
    accepted = [each.law for each in delay.ranking if each.accepted and each.law != "table"]
    if len(accepted) > 1 and delay.chosen.law != "constant":
        notes.append(f"the delays do not tell {' and '.join(accepted)} apart: capture longer")
    if delay.effective_n < min(_FEW_INDEPENDENT, delay.n / 10):
        notes.append(
            f"the delays follow each other: {delay.n} are worth {delay.effective_n:.0f} "
            "independent ones; events or load lie in the capture, fit the parts between them"
        )
    if moves.significant:
        notes.append(
            f"the delay drifts by {show_duration(moves.drift_s)} over the capture: clocks or load"
        )
    if moves.drift is None:
        notes.append("too few packets to tell whether the delay drifts")
    if not loss.lost:
        notes.append(f"no packet of {loss.n} was lost: the loss is at most {show(loss.upper, '1')}")
    if rate.rate_bps is None and rate.at_least_bps:
        notes.append(
            f"no bottleneck is visible: the rate is at least {show(rate.at_least_bps, 'bit/s')}"
        )
    if rate.rate_bps and rate.queue_s is None:
        notes.append(
            f"the queue never overflowed: its bound lies above {show_duration(rate.wait_s)}"
        )
    if passage.ambiguous > _AMBIGUOUS_SHARE * len(passage):
        notes.append(f"{passage.ambiguous} packets look alike and are left out of delay and loss")
    if int(passage.size.max()) > _FRAME_BYTES:
        notes.append(
            "some packets exceed 1518 bytes: a tap saw segmentation offload, several as one"
        )
    return notes


def _order_off(replay: Replay, reordered: float) -> float:
    """By how much another share of the arrivals is overtaken; 0 where it is about the same."""
    off = abs(replay.reordered - reordered)
    return off if off > max(_REORDERED_OFF, 0.5 * reordered) else 0.0


def _replay_notes(replay: Replay, reordered: float) -> list[str]:
    notes = []
    if not replay.agrees:
        notes.append(
            f"played back on the same packets, the fitted delays differ (KS {replay.ks:.3g}, "
            f"critical {replay.critical:.3g})"
        )
    if _order_off(replay, reordered):
        notes.append(
            f"played back, {show(replay.reordered, '1')} of the arrivals are overtaken, not "
            f"{show(reordered, '1')}: delays of packets that follow each other are alike"
        )
    return notes


def _flow_notes(
    passage: Passage, arrived: NDArray[np.bool_], rest_s: NDArray[np.float64]
) -> list[str]:
    """Whether flows have delays of their own, as over several links."""
    flow = passage.flow[arrived]
    many = [each for each, count in zip(*np.unique(flow, return_counts=True), strict=True)
            if count >= FEWEST]  # fmt: skip
    boxes = [np.quantile(rest_s[flow == each], [0.25, 0.5, 0.75]) for each in many]
    if not boxes:
        return []
    # Apart: the quarter of one flow lies beyond three quarters of the other.
    if max(box[0] for box in boxes) <= min(box[2] for box in boxes) + 2 * passage.resolution_s:
        return []
    least, most = (show_duration(float(f(box[1] for box in boxes))) for f in (min, max))
    return [
        f"flows differ, from {least} to {most} in the median: several links in one capture? Choose "
        "flows"
    ]
