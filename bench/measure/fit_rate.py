"""The rate of a path, where its captures show a bottleneck at work; else what it carried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from bench.network.impairment import FRAMING_BYTES

Floats = NDArray[np.float64]

_LENGTHS = (8, 32, 128, 512, 2048)
"""Numbers of packets over which the rate that was carried is looked for."""

_EXPLAINED = 0.7
"""A rate is visible where the delays left over vary by less than this share of what they did."""

_GRID = np.concatenate([1 + np.geomspace(1e-4, 0.2, 24), np.geomspace(1.25, 1e4, 60)])
_MOST_BPS = 1e11
_PERIODS = 10
_BUSY = 0.995
"""This close to the longest wait, a queue is full."""


@dataclass(frozen=True, slots=True)
class RateFit:
    """``rate_bps`` counts the framing of Ethernet; ``None`` where no bottleneck is visible.

    ``at_least_bps``: what the path carried, whatever its delays did meanwhile; a lower bound.
    ``unexplained``: how much the delays vary once waiting for the rate is taken out, over how
    much they did (95 % less 5 % quantile). ``wait_s``: the longest time a packet that arrived
    waited for the rate. ``queue_s``: the bound of the queue, ``None`` where it never overflowed;
    ``overflowed``: losses that it explains.
    """

    rate_bps: float | None
    at_least_bps: float | None
    unexplained: float | None
    wait_s: float
    queue_s: float | None
    overflowed: int


@dataclass(frozen=True, slots=True, eq=False)
class RateEffect:
    """What a rate does to packets: ``left_s`` when each that arrived leaves the bottleneck."""

    left_s: Floats
    wait_s: Floats


def fit_rate(
    sent_s: Floats, received_s: Floats, size: Floats, lost_s: Floats, resolution_s: float
) -> tuple[RateFit, NDArray[np.bool_]]:
    """Look for a bottleneck; also which losses its queue took.

    Args:
        sent_s, received_s: of the packets that arrived, in order of sending, s, shape ``(n,)``.
        size: their bytes as Ethernet frames, shape ``(n,)``.
        lost_s: when those were sent that did not arrive, shape ``(k,)``.
        resolution_s: how far a delay may be off by the steps of the stamps.

    The packets are sent through a queue of one rate. Where some rate leaves delays that vary far
    less than those measured, their variation was waiting, and the rate is that of the path: if the
    queue emptied and filled again and again, or overflowed. One rise alone may be a clock.
    """
    at_least = _carried(sent_s, received_s, 8 * (size + FRAMING_BYTES))

    def spread(rate_bps: float) -> float:
        low, high = np.quantile(received_s - through(sent_s, size, rate_bps).left_s, [0.05, 0.95])
        return float(high - low)

    before = spread(_MOST_BPS)
    hidden = RateFit(None, at_least, None, 0.0, None, 0), np.zeros(len(lost_s), dtype=bool)
    if at_least is None or before <= 4 * resolution_s:
        return hidden
    rate, after = _least(spread, at_least)
    if after > _EXPLAINED * before or before - after <= 4 * resolution_s:
        return hidden
    wait_s = through(sent_s, size, rate).wait_s
    fit = RateFit(rate, at_least, after / before, float(wait_s.max()), None, 0)
    fit, taken = _with_queue(fit, sent_s, size, lost_s)
    periods = int(np.count_nonzero((wait_s[1:] > 0) & (wait_s[:-1] <= 0)))
    return (fit, taken) if periods >= _PERIODS or fit.overflowed else hidden


def _least(spread: Callable[[float], float], at_least: float) -> tuple[float, float]:
    """The rate from ``at_least`` on that leaves the least spread, and that spread."""
    grid = at_least * _GRID
    grid = grid[grid < _MOST_BPS]
    best = int(np.argmin([spread(each) for each in grid.tolist()]))
    bounds = float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)])
    found = optimize.minimize_scalar(
        spread, bounds=bounds, method="bounded", options={"xatol": 1e-8 * at_least}
    )
    return min(
        [(float(found.x), float(found.fun)), (float(grid[best]), spread(float(grid[best])))],
        key=lambda each: each[1],
    )


def through(sent_s: Floats, size: Floats, rate_bps: float) -> RateEffect:
    """Send packets through a queue of one rate, first in, first out."""
    service = 8 * (size + FRAMING_BYTES) / rate_bps
    before = np.concatenate([[0.0], np.cumsum(service)])
    begin = np.maximum.accumulate(sent_s - before[:-1]) + before[:-1]
    return RateEffect(begin + service, begin - sent_s)


def _with_queue(
    fit: RateFit, sent_s: Floats, size: Floats, lost_s: Floats
) -> tuple[RateFit, NDArray[np.bool_]]:
    """Whether losses happened where the queue was fullest: its bound, and which losses it took."""
    nothing = np.zeros(len(lost_s), dtype=bool)
    if fit.rate_bps is None or not len(lost_s) or fit.wait_s <= 0:
        return fit, nothing
    left = through(sent_s, size, fit.rate_bps).left_s
    before = np.searchsorted(sent_s, lost_s, side="right") - 1
    waiting = np.where(before >= 0, left[np.maximum(before, 0)] - lost_s, 0.0)
    taken = waiting >= _BUSY * fit.wait_s
    busy = float((through(sent_s, size, fit.rate_bps).wait_s >= _BUSY * fit.wait_s).mean())
    # By chance, losses meet a full queue as often as other packets do.
    if int(taken.sum()) < 5 or float(taken.mean()) < 3 * busy:
        return fit, nothing
    return replace(fit, queue_s=fit.wait_s, overflowed=int(taken.sum())), taken


def _carried(sent_s: Floats, received_s: Floats, bits: Floats) -> float | None:
    """The most bits that arrived over the time they took and all that delays varied meanwhile."""
    delay = received_s - sent_s
    varied = float(delay.max() - delay.min())
    sums = np.concatenate([[0.0], np.cumsum(bits)])
    best = 0.0
    for length in {*_LENGTHS, len(bits) - 1}:
        if 0 < length < len(bits):
            took = received_s[length:] - received_s[:-length] + varied
            carried = sums[length + 1 :] - sums[1:-length]
            good = took > 0
            if good.any():
                best = max(best, float((carried[good] / took[good]).max()))
    return best or None
