"""Every figure of one stream in one direction, from two taps.

Figures are of the packets whose fate is known; None where there is nothing to take them from.
Where the fate of some cannot be told, the bounds beside a figure say how far it may be off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.measure import metrics
from bench.measure.availability import availability, delivery
from bench.measure.fit_loss import LossName, fit_loss
from bench.measure.losses import loss_distances, runs, transitions
from bench.measure.pairing import Flow
from bench.measure.reordering import Reordering, reordering
from bench.measure.throughput import Rates, rates

Ints = NDArray[np.int64]

_FITTED_LOSSES = 1000
"""Loss models are fitted to the packets up to this many losses."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A sample in s: the least, quantiles, the largest, the mean (RFC 7679, 5; RFC 2330, 11.3)."""

    min: float | None = None
    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class LossPattern:
    """How losses come together (RFC 3357).

    ``periods``: runs of losses; ``period_mean``, ``period_max``: their lengths in packets;
    ``lengths``: how many there are of each length. ``distance_p50``: packets from one loss to the
    next. ``p_good_to_bad``, ``p_bad_to_good``: Gilbert's chain, by counting. ``model``: the one
    that explains the losses best, with ``loss_good``, ``loss_bad`` and its own chances where it is
    Gilbert and Elliott's (``fitted_p_good_to_bad``, ``fitted_p_bad_to_good``).
    """

    periods: int = 0
    period_mean: float | None = None
    period_max: int | None = None
    lengths: tuple[tuple[int, int], ...] = ()
    distance_p50: int | None = None
    p_good_to_bad: float | None = None
    p_bad_to_good: float | None = None
    model: LossName | None = None
    fitted_p_good_to_bad: float | None = None
    fitted_p_bad_to_good: float | None = None
    loss_good: float | None = None
    loss_bad: float | None = None


@dataclass(frozen=True, slots=True)
class RateBins:
    """A rate in bins of ``bin_s``, bit/s: least, median and largest of the ``bins`` whole ones."""

    bin_s: float
    bins: int = 0
    min: float | None = None
    p50: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class OnTime:
    """Delivery within ``deadline_s`` (3GPP TS 22.261, 3.1); late is lost.

    ``ratio``: ambiguous packets count at their worse end; ``best``: at their better one. ``late``:
    arrived, but too late. ``longest_run``: most packets late or lost in a row.
    """

    deadline_s: float
    ratio: float | None
    best: float | None
    late: int
    longest_run: int


@dataclass(frozen=True, slots=True)
class Service:
    """Availability with a survival time (3GPP TS 22.104, 3.1).

    Ambiguous packets count at their worse end. ``ratio``: time up by time observed. ``downtime``
    and ``longest`` in s, ``failures``: how often it went down. ``mean_up``: time up by failures,
    in s (communication service reliability).
    """

    survival_s: float
    ratio: float | None = None
    observed: float | None = None
    downtime: float | None = None
    longest: float | None = None
    failures: int | None = None
    mean_up: float | None = None


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """One stream in one direction. Times in s, ratios 0 to 1, rates in bit/s.

    ``sent`` = ``received`` + ``lost`` + ``ambiguous`` + ``in_flight``, always. ``loss``: of those
    lost or received (RFC 7680, 2.4), ``loss_low`` and ``loss_high`` with the ambiguous at either
    end, between which it lies. ``duplicated``: arrivals beyond the first (RFC 5560).
    ``reordered``: on one link (RFC 4737, 3.3), ``reordering``: over all links. ``unmatched``:
    arrivals that nobody sent. ``delay``: of the
    packets received (RFC 7679). ``ipdv``: absolute, of packets sent in a row (RFC 3393, 4.2);
    ``pdv``: above the smallest delay (RFC 5481, 4.2). ``rfc3550_jitter``: its last value,
    ``_max`` and ``_mean`` over all arrivals. ``throughput``: of the packets received, Ethernet
    header to payload, from the first to the last arrival; ``sent_rate``: of those sent;
    ``payload_rate``: received, without headers. ``longest_gap``: without an arrival, where one was
    due.
    """

    sent: int
    received: int
    lost: int
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    duplicated: int
    duplication: float | None
    reordered: int
    ambiguous: int
    unmatched: int
    in_flight: int
    delay: Spread
    ipdv_p99: float | None
    ipdv: Spread
    pdv_p999: float | None
    pdv: Spread
    rfc3550_jitter: float | None
    rfc3550_jitter_max: float | None
    rfc3550_jitter_mean: float | None
    throughput: float | None
    sent_rate: float | None
    payload_rate: float | None
    longest_gap: float | None
    bins: RateBins | None
    loss_pattern: LossPattern
    reordering: Reordering
    on_time: OnTime | None
    availability: Service | None


def stream_figures(
    flow: Flow, *, bin_s: float, survival_s: float | None, deadline_s: float | None,
    headers_bytes: int | None = None, fit: bool = True,
) -> StreamFigures:  # fmt: skip
    """Every figure of one stream in linear time.

    Args:
        flow: its packets, paired.
        bin_s: width of the bins of the throughput.
        survival_s: an interruption counts as downtime beyond it; None: no availability.
        deadline_s: what arrives later counts as lost for delivery in time and for availability.
        headers_bytes: bytes of each packet that are no application payload; None: not known.
        fit: whether to fit the models of loss, which may take half a second.
    """
    lost, in_flight = int(np.count_nonzero(flow.lost)), int(np.count_nonzero(flow.in_flight))
    ambiguous = int(np.count_nonzero(flow.ambiguous))
    received = len(flow) - lost - in_flight - ambiguous
    low, ratio, high = _loss(flow)
    order = metrics.in_order_of_arrival(flow)
    arrived_ns = flow.received_ns[order]
    jitter = metrics.jitter_of(arrived_ns - flow.sent_ns[order])
    variation = _spread(metrics.ipdv_ns(flow))
    delays = metrics.delays_ns(flow)
    least = int(delays.min()) if len(delays) else 0
    delay = _spread(delays)
    del delays
    beyond = _above_least(delay)
    sizes = flow.size[order]
    return StreamFigures(
        len(flow), received, lost, ratio, low, high,
        flow.duplicates, _ratio(flow.duplicates, received), flow.reordered,
        ambiguous, flow.unmatched, in_flight,
        delay, variation.p99, variation, beyond.p999, beyond,
        _finite(jitter[0]), _finite(jitter[1]), _finite(jitter[2]),
        throughput=_rate(arrived_ns, sizes, 0),
        sent_rate=_rate(flow.sent_ns, flow.size, 0),
        payload_rate=None if headers_bytes is None else _rate(arrived_ns, sizes, headers_bytes),
        longest_gap=_longest_gap(flow, arrived_ns, least),
        bins=_bins(rates_received(arrived_ns, sizes, bin_s), bin_s),
        loss_pattern=_pattern(flow.lost[flow.decidable], fit),
        reordering=reordering(order, arrived_ns),
        on_time=None if deadline_s is None else _on_time(flow, deadline_s),
        availability=None if survival_s is None else _service(flow, survival_s, deadline_s),
    )  # fmt: skip


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _loss(flow: Flow) -> tuple[float | None, float | None, float | None]:
    """The ratio of the known, between those with the ambiguous at either end."""
    low, ratio, high = (_ratio(*metrics.loss(each)) for each in (flow.best(), flow, flow.worst()))
    if ratio is not None and low is not None and high is not None:
        ratio = min(max(ratio, low), high)
    return low, ratio, high


def _spread(values_ns: Ints) -> Spread:
    """Of a sample in ns, which is reordered."""
    if not len(values_ns):
        return Spread()
    mean = float(np.mean(values_ns, dtype=np.float64)) / 1e9
    found = metrics.ranks(values_ns, (0.0, 0.5, 0.99, 0.999, 1.0))
    low, p50, p99, p999, high = (value / 1e9 for value in found)
    return Spread(low, p50, p99, p999, high, min(max(mean, low), high))


def _above_least(delay: Spread) -> Spread:
    """The same sample, counted from its least value: the order stays."""
    if delay.min is None:
        return delay
    values = (delay.min, delay.p50, delay.p99, delay.p999, delay.max, delay.mean)
    low, p50, p99, p999, high, mean = (round((value or 0.0) - delay.min, 12) for value in values)
    return Spread(low, p50, p99, p999, high, mean)


def _rate(times_ns: Ints, size: Ints, headers_bytes: int) -> float | None:
    """Bits by the time from the first to the last packet."""
    if len(times_ns) < 2 or times_ns[-1] <= times_ns[0]:
        return None
    total = float(np.sum(size, dtype=np.int64)) - headers_bytes * len(size)
    return max(0.0, total) * 8 / (float(times_ns[-1] - times_ns[0]) / 1e9)


def _longest_gap(flow: Flow, arrived_ns: Ints, least_ns: int) -> float | None:
    """Between arrivals in their order, and to where the first and last packet were due."""
    known = np.flatnonzero(flow.decidable)
    if not len(arrived_ns) or not len(known):
        return None
    first = min(int(flow.sent_ns[known[0]]) + least_ns, int(arrived_ns[0]))
    last = max(int(flow.sent_ns[known[-1]]) + least_ns, int(arrived_ns[-1]))
    inner = int(np.diff(arrived_ns).max(initial=0))
    return max(inner, int(arrived_ns[0]) - first, last - int(arrived_ns[-1])) / 1e9


def rates_received(arrived_ns: Ints, size: Ints, bin_s: float) -> Rates | None:
    """The rate on the wire in bins from the first arrival on; None where none can be made.

    Args:
        arrived_ns: in order of arrival.
        size: bytes of each.
        bin_s: width of a bin.
    """
    if not len(arrived_ns):
        return None
    return rates(arrived_ns, size, bin_s, int(arrived_ns[0]), int(arrived_ns[-1]) + 1)


def _bins(found: Rates | None, bin_s: float) -> RateBins | None:
    if found is None:
        return None
    whole = np.sort(found.whole)
    if not len(whole):
        return RateBins(bin_s)
    middle = whole[(len(whole) - 1) // 2]
    return RateBins(bin_s, len(whole), float(whole[0]), float(middle), float(whole[-1]))


def _pattern(lost: NDArray[np.bool_], fit: bool) -> LossPattern:
    starts, lengths = runs(lost)
    p, r = transitions(lost)
    if not len(starts):
        return LossPattern(p_good_to_bad=p, p_bad_to_good=r)
    values, counts = np.unique(lengths, return_counts=True)
    distances = loss_distances(lost)
    found: dict[str, float | str | None] = {}
    if fit:
        at = np.flatnonzero(lost)
        used = lost if len(at) <= _FITTED_LOSSES else lost[: at[_FITTED_LOSSES]]
        chosen = fit_loss(used, thorough=False).chosen
        found = {"model": chosen.name}
        if chosen.model is not None:
            found |= {
                "fitted_p_good_to_bad": chosen.model.p_good_to_bad,
                "fitted_p_bad_to_good": chosen.model.p_bad_to_good,
                "loss_good": chosen.model.loss_good,
                "loss_bad": chosen.model.loss_bad,
            }
    return LossPattern(
        len(starts), float(lengths.mean()), int(lengths.max()),
        tuple(zip(values.tolist(), counts.tolist(), strict=True)),
        int(metrics.ranks(distances, (0.5,))[0]) if len(distances) else None,
        p, r, **found,  # type: ignore[arg-type]
    )  # fmt: skip


def _on_time(flow: Flow, deadline_s: float) -> OnTime:
    worst, best = delivery(flow.worst(), deadline_s), delivery(flow.best(), deadline_s)
    return OnTime(
        deadline_s,
        _ratio(worst.sent - worst.missed, worst.sent),
        _ratio(best.sent - best.missed, best.sent),
        delivery(flow, deadline_s).late, worst.longest_run,
    )  # fmt: skip


def _service(flow: Flow, survival_s: float, deadline_s: float | None) -> Service:
    found = availability(flow.worst(), survival_s, deadline_s)
    if found is None:
        return Service(survival_s)
    there, longest = found
    total = there.up_s + there.down_s
    return Service(
        survival_s, there.up_s / total, total, there.down_s, longest, there.failures,
        there.up_s / there.failures if there.failures else None,
    )  # fmt: skip
