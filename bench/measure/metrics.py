"""Metrics of one flow, each named after its standard. All delays in s, all arrays ``(n,)``."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bench.devices.profile import HEADERS_BYTES
from bench.measure.pairing import Flow

Floats = NDArray[np.float64]


def delay_or_never(flow: Flow) -> Floats:
    """One-way delay in order of sending, infinite where the packet is lost (RFC 7679, 5.1)."""
    known = ~flow.in_flight
    delay = np.where(flow.arrived, (flow.received_ns - flow.sent_ns) / 1e9, np.inf)
    return np.asarray(delay[known], dtype=np.float64)


def ipdv(flow: Flow) -> Floats:
    """Absolute IP packet delay variation between consecutive packets (RFC 3393, 4.2).

    Selection function: packets sent one after the other that both arrived.
    """
    arrived = flow.arrived
    both = arrived[1:] & arrived[:-1]
    delay = (flow.received_ns - flow.sent_ns) / 1e9
    return np.abs(np.diff(delay))[both]


def pdv(flow: Flow) -> Floats:
    """Packet delay variation above the minimum of the flow (RFC 5481, 4.2)."""
    delay = flow.delay_s
    return delay - delay.min() if len(delay) else delay


def rfc3550_jitter(flow: Flow) -> float:
    """Final value of the interarrival jitter estimator (RFC 3550, 6.4.1 and A.8), NaN if empty.

    J += (|D| − J) / 16 for each arrival, with exact clocks instead of RTP units.
    """
    arrived = flow.arrived
    order = np.argsort(flow.received_ns[arrived], kind="stable")
    transit = ((flow.received_ns - flow.sent_ns)[arrived][order]) / 1e9
    if len(transit) < 2:
        return float("nan")
    jitter = 0.0
    for difference in np.abs(np.diff(transit)).tolist():
        jitter += (difference - jitter) / 16
    return jitter


def loss(flow: Flow) -> tuple[int, int]:
    """Lost and decidable packets (RFC 7680, 2.4): those in flight are neither."""
    decidable = ~flow.in_flight
    return int(flow.lost.sum()), int(decidable.sum())


def loss_periods(flow: Flow) -> list[int]:
    """Lengths of the runs of consecutive losses (RFC 3357, 6.2)."""
    lost = flow.lost[~flow.in_flight].tolist()
    return [sum(1 for _ in run) for gone, run in groupby(lost) if gone]


def reordering_ratio(flow: Flow) -> float:
    """Reordered arrivals by arrivals (RFC 4737, 3.3); NaN if nothing arrived."""
    count = int(flow.arrived.sum())
    return flow.reordered / count if count else float("nan")


def duplication_ratio(flow: Flow) -> float:
    """Arrivals beyond the first by distinct arrivals (RFC 5560, 5.2); NaN if nothing arrived."""
    count = int(flow.arrived.sum())
    return flow.duplicates / count if count else float("nan")


def payload_rate_bps(flow: Flow, seconds: float) -> float:
    """Application payload that the source sent, in bit/s; headers are not counted."""
    payload = int((flow.size - HEADERS_BYTES).sum())
    return payload * 8 / seconds if seconds > 0 else float("nan")


def longest_gap_s(arrivals_ns: NDArray[np.int64], start_ns: int, end_ns: int) -> float:
    """The longest time without an arrival from ``start_ns`` to ``end_ns``, edges included."""
    inside = np.sort(arrivals_ns[(arrivals_ns >= start_ns) & (arrivals_ns < end_ns)])
    points = np.concatenate(([start_ns], inside, [end_ns]))
    return float(np.diff(points).max() / 1e9)
