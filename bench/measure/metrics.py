"""Metrics of one flow, each named after its standard. All delays in s, all arrays ``(n,)``.

Of ambiguous packets and of those in flight nothing is counted here: see ``Flow.worst`` and
``Flow.best``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.devices.profile import HEADERS_BYTES
from bench.measure.losses import runs
from bench.measure.pairing import Flow
from bench.measure.smoothing import smoothed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PIECE = 1 << 20
"""Packets that are worked on at once where more would only take memory."""


# ---- delay ---------------------------------------------------------------------------------


def delays_ns(flow: Flow) -> Ints:
    """One-way delay of the packets that arrived, in order of sending, in ns (RFC 7679, 3.4)."""
    arrived = flow.arrived
    if bool(arrived.all()):
        return flow.received_ns - flow.sent_ns
    return flow.received_ns[arrived] - flow.sent_ns[arrived]


def delay_or_never(flow: Flow) -> Floats:
    """One-way delay in order of sending, infinite where the packet is lost (RFC 7679, 5.1)."""
    known = flow.decidable
    delay = np.where(flow.arrived, (flow.received_ns - flow.sent_ns) / 1e9, np.inf)
    return np.asarray(delay[known], dtype=np.float64)


def ranks(values: NDArray[np.generic], shares: tuple[float, ...]) -> list[float]:
    """Sample quantiles: the smallest values that at least these shares do not exceed (RFC 2330).

    Args:
        values: shape ``(n,)``, n > 0; reordered in place.
        shares: between 0 (the least) and 1 (the largest).
    """
    places = [max(1, math.ceil(share * len(values) - 1e-9)) - 1 for share in shares]
    values.partition(sorted(set(places)))
    return [float(values[place]) for place in places]


# ---- variation -----------------------------------------------------------------------------


def ipdv_ns(flow: Flow) -> Ints:
    """Absolute IP packet delay variation between consecutive packets, in ns (RFC 3393, 4.2).

    Selection function: packets sent one after the other that both arrived.
    """
    arrived = flow.arrived
    found = np.diff(flow.received_ns - flow.sent_ns)
    np.abs(found, out=found)
    if bool(arrived.all()):
        return np.asarray(found, dtype=np.int64)
    return np.asarray(found[arrived[1:] & arrived[:-1]], dtype=np.int64)


def ipdv(flow: Flow) -> Floats:
    """As :func:`ipdv_ns`, in s."""
    arrived = flow.arrived
    both = arrived[1:] & arrived[:-1]
    delay = (flow.received_ns - flow.sent_ns) / 1e9
    return np.abs(np.diff(delay))[both]


def pdv(flow: Flow) -> Floats:
    """Packet delay variation above the minimum of the flow (RFC 5481, 4.2)."""
    delay = flow.delay_s
    return delay - delay.min() if len(delay) else delay


def in_order_of_arrival(flow: Flow) -> NDArray[np.intp]:
    """The packets that arrived, first come first; their places in order of sending."""
    places = np.flatnonzero(flow.arrived)
    received = flow.received_ns[places]
    if bool(np.all(received[1:] >= received[:-1])):
        return places
    return places[np.argsort(received, kind="stable")]


def jitter_of(transit_ns: Ints) -> tuple[float, float, float]:
    """Final, largest and mean value of RFC 3550's estimator, in s; NaN below two arrivals.

    J += (|D| − J) / 16 for each arrival (RFC 3550, 6.4.1 and A.8), with exact clocks instead of
    RTP units, as the recursive filter that it is.

    Args:
        transit_ns: one-way delays in order of arrival.
    """
    n = len(transit_ns) - 1
    if n < 1:
        return math.nan, math.nan, math.nan
    last, largest, total = 0.0, 0.0, 0.0
    for start in range(0, n, _PIECE):
        differences = np.abs(np.diff(transit_ns[start : start + _PIECE + 1])) / 1e9
        found = smoothed(differences, last)
        last = float(found[-1])
        largest, total = max(largest, float(found.max())), total + float(found.sum())
    return last, largest, total / n


def rfc3550_jitter(flow: Flow) -> float:
    """Final value of the interarrival jitter estimator (RFC 3550, 6.4.1 and A.8), NaN if empty."""
    order = in_order_of_arrival(flow)
    return jitter_of(flow.received_ns[order] - flow.sent_ns[order])[0]


# ---- loss, order, copies ---------------------------------------------------------------------


def loss(flow: Flow) -> tuple[int, int]:
    """Lost and decidable packets (RFC 7680, 2.4): those in flight or ambiguous are neither."""
    return int(np.count_nonzero(flow.lost)), int(np.count_nonzero(flow.decidable))


def loss_periods(flow: Flow) -> list[int]:
    """Lengths of the runs of consecutive losses (RFC 3357, 6.3)."""
    lengths: list[int] = runs(flow.lost[flow.decidable])[1].tolist()
    return lengths


def reordering_ratio(flow: Flow) -> float:
    """Reordered packets by packets that arrived (RFC 4737, 4.1); NaN if nothing arrived."""
    count = int(flow.arrived.sum())
    return flow.reordered / count if count else float("nan")


def duplication_ratio(flow: Flow) -> float:
    """Arrivals beyond the first by distinct arrivals (RFC 5560, 5.2); NaN if nothing arrived."""
    count = int(flow.arrived.sum())
    return flow.duplicates / count if count else float("nan")


# ---- rate, gaps ------------------------------------------------------------------------------


def payload_rate_bps(flow: Flow, seconds: float) -> float:
    """Application payload that the source sent, in bit/s; headers are not counted."""
    payload = int((flow.size - HEADERS_BYTES).sum())
    return payload * 8 / seconds if seconds > 0 else float("nan")


def longest_gap_s(arrivals_ns: NDArray[np.int64], start_ns: int, end_ns: int) -> float:
    """The longest time without an arrival from ``start_ns`` to ``end_ns``, edges included."""
    inside = arrivals_ns[(arrivals_ns >= start_ns) & (arrivals_ns < end_ns)]
    if bool(np.any(inside[1:] < inside[:-1])):
        inside = np.sort(inside)
    points = np.concatenate(([start_ns], inside, [end_ns]))
    return float(np.diff(points).max() / 1e9)
