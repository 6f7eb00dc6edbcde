"""What the plots of two captures show, as small arrays, made while a stream is in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.measure.pairing import Flow
from bench.report.series import Envelope, Flights, Floats, envelope, tail
from bench.units import NS_PER_S

PIXELS = 480
"""Bins over the width of a plot."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One stream, reduced to what its plots show; times in s since its first packet.

    ``delay``: least, median and largest delay per bin, so that no peak is lost. ``above_x``,
    ``above``: delay in s against the share of packets above it, losses above all. ``bin_s``: of
    the rates, ``rate_t`` the middle of each bin, ``sent_bps`` and ``got_bps`` by when packets were
    sent and when they arrived. ``periods_t``, ``periods``: the longest loss period that begins in
    each bin with one, in packets; ``period_count`` of all.
    """

    name: str
    direction: str
    span_s: float
    delay: Envelope
    above_x: Floats
    above: Floats
    bin_s: float
    rate_t: Floats
    sent_bps: Floats
    got_bps: Floats
    periods_t: Floats
    periods: Floats
    period_count: int
    left_out: int


def drawn(name: str, direction: str, flow: Flow, bin_s: float) -> Drawn:
    """Reduce one stream. Packets in flight or ambiguous are in no plot but the rate sent."""
    start_ns = int(flow.sent_ns[0]) if len(flow) else 0
    sent_s = (flow.sent_ns - start_ns) / NS_PER_S
    arrived = flow.arrived & ~flow.ambiguous
    known = arrived | flow.lost
    delay_s = np.where(arrived, (flow.received_ns - flow.sent_ns) / NS_PER_S, np.nan)
    got_s = (flow.received_ns[arrived] - start_ns) / NS_PER_S
    span_s = float(max(sent_s.max(initial=0.0), got_s.max(initial=0.0)))
    x, above = tail(delay_s[known])
    width_s = _bin(bin_s, span_s)
    edges = np.arange(max(1, int(np.ceil(span_s / width_s - 1e-9))) + 1) * width_s
    edges[-1] = max(span_s, 1e-9)  # the last bin ends with the stream
    size = flow.size.astype(np.float64)
    rates = [
        np.histogram(times, edges, weights=bits)[0] * 8 / np.diff(edges)
        for times, bits in ((sent_s, size), (got_s, size[arrived]))
    ]
    periods_t, periods, count = _periods(sent_s, flow, span_s)
    return Drawn(
        name, direction, span_s,
        envelope(Flights(sent_s[known], delay_s[known]), span_s, PIXELS),
        x, above, width_s, (edges[:-1] + edges[1:]) / 2, rates[0], rates[1],
        periods_t, periods, count, int(np.count_nonzero(~known)),
    )  # fmt: skip


def _bin(bin_s: float, span_s: float) -> float:
    """A whole number of the bins asked for, so wide that they fit into the plot."""
    return bin_s * max(1, int(np.ceil(span_s / bin_s / PIXELS)))


def _periods(sent_s: Floats, flow: Flow, span_s: float) -> tuple[Floats, Floats, int]:
    """Loss periods (RFC 3357, 4.2), the longest of those that begin in the same pixel."""
    settled = np.flatnonzero(~flow.in_flight & ~flow.ambiguous)
    lost = np.concatenate(([False], flow.lost[settled], [False])).astype(np.int8)
    turns = np.diff(lost)
    starts, ends = np.flatnonzero(turns > 0), np.flatnonzero(turns < 0)
    if not len(starts):
        return np.zeros(0), np.zeros(0), 0
    at, length = sent_s[settled[starts]], (ends - starts).astype(np.float64)
    pixel = np.minimum((at / max(span_s, 1e-9) * PIXELS).astype(np.int64), PIXELS - 1)
    first = np.flatnonzero(np.diff(pixel, prepend=-1))
    return at[first], np.maximum.reduceat(length, first), len(starts)
