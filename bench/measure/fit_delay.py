"""Delay laws fitted to measured one-way delays, ranked by their Kolmogorov-Smirnov distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from bench.errors import InputError
from bench.measure.statistics import autocorrelation_effect
from bench.network.delays import TABLE_SCALE, TABLE_SIZE, Delay, DelayLaw, measured, unit_table

Floats = NDArray[np.float64]

CRITICAL = {
    "constant": 0.0,
    "uniform": 1.949,
    "normal": 1.20,
    "pareto": 1.949,
    "paretonormal": 0.93,
    "table": 1.949,
}
"""Times 1/√n, the distance that a sample of the law itself passes once in 1000.

Uniform and pareto (edges estimated) and table (made from one half and tried on the other, so
doubled): Kolmogorov's own. Normal: Lilliefors (1967). Paretonormal: simulated for the estimator
used here, n = 500 and 4000.
"""

_LEAST_SPREAD_S = 1e-9
"""Stamps are whole ns: delays that differ by less are equal."""

_FAR = 0.1
"""A law this far from the sample does not describe it, however small the sample."""

_PLACES = (np.arange(1024) + 0.5) / 1024
_TABLE_PLACES = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE


@dataclass(frozen=True, slots=True)
class FittedLaw:
    """One law at its best.

    ``delay`` is ``None`` where the law cannot be; ``refused`` then says why. ``ks``: distance of
    the distributions, allowing for the resolution of the stamps. ``critical``: the distance that
    a sample of the law itself passes once in 1000, at most 0.1; ``accepted``: not passed.
    ``anderson_darling``: A², where the law has no edge that makes it infinite (normal).
    """

    law: DelayLaw
    delay: Delay | None
    ks: float | None
    critical: float | None
    accepted: bool
    anderson_darling: float | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class DelayFit:
    """Every law, nearest first, and the one to use.

    ``effective_n``: ``n`` less what packets say that follow each other. ``least_s`` to
    ``most_s``, ``mean_s``, ``p50_s``, ``p99_s``: of the sample.
    """

    n: int
    effective_n: float
    least_s: float
    p50_s: float
    mean_s: float
    p99_s: float
    most_s: float
    ranking: tuple[FittedLaw, ...]
    chosen: FittedLaw


def fit_delay(
    delay_s: Floats, resolution_s: float, held: NDArray[np.bool_] | None = None
) -> DelayFit:
    """Fit every law and choose.

    Args:
        delay_s: delays in order of sending, shape ``(n,)``, n >= 2, none negative.
        resolution_s: how far a delay may be off by the steps of the stamps.
        held: packets that arrived right behind the one before, as a path that keeps the order
            makes them: of their own delay it is only known that it was not longer.

    A constant is taken where it explains all, else the accepted law that lies nearest to its
    critical distance from below; where none is accepted, the table of the sample itself.
    """
    n = len(delay_s)
    effective = n / autocorrelation_effect(delay_s)
    if held is not None and held.any() and not held.all():
        effective = min(effective, float(n - held.sum()))
        delay_s = unheld(delay_s, held)
    ordered = np.sort(delay_s)
    laws = [_fitted(law, delay_s, ordered, resolution_s, effective) for law in get_args(DelayLaw)]
    ranking = sorted(laws, key=lambda each: math.inf if each.ks is None else each.ks)
    named = [each for each in ranking if each.accepted and each.law != "table"]
    constant = [each for each in named if each.law == "constant"]
    table = next(each for each in laws if each.law == "table")
    best = min(named, key=lambda each: (each.ks or 0) / (each.critical or 1), default=table)
    return DelayFit(
        n, effective, float(ordered[0]), float(np.median(ordered)), float(ordered.mean()),
        float(np.quantile(ordered, 0.99)), float(ordered[-1]),
        tuple(ranking), constant[0] if constant else best,
    )  # fmt: skip


def _fitted(
    law: DelayLaw, delay_s: Floats, ordered: Floats, resolution_s: float, effective: float
) -> FittedLaw:
    try:
        found = _ESTIMATORS[law](ordered)
    except InputError as error:
        return FittedLaw(law, None, None, None, False, refused=error.problem)
    critical = CRITICAL[law] / math.sqrt(effective)
    if law == "table":
        # Made from every other packet and tried on those between.
        made = _table(np.sort(delay_s[::2])) if len(delay_s) > 3 else found
        ks = distance(made, np.sort(delay_s[1::2]), resolution_s)
        critical *= 2
    else:
        ks = distance(found, ordered, resolution_s)
    if law not in ("constant", "uniform"):
        critical += 1 / TABLE_SIZE
    critical = min(critical, _FAR)
    square = _anderson_darling(found, ordered) if law == "normal" else None
    return FittedLaw(law, found, ks, critical, ks <= critical, square)


# Estimators: a sorted sample to the law at its best


def _constant(ordered: Floats) -> Delay:
    return Delay(float(np.median(ordered)))


def _uniform(ordered: Floats) -> Delay:
    """Maximum likelihood, the edges moved out by what n samples leave of the width."""
    n, half = len(ordered), float(ordered[-1] - ordered[0]) / 2
    return Delay(float(ordered[-1] + ordered[0]) / 2, "uniform", half * (n + 1) / (n - 1))


def _normal(ordered: Floats) -> Delay:
    """Maximum likelihood."""
    return Delay(float(ordered.mean()), "normal", float(ordered.std()))


def _heavy(law: DelayLaw) -> Callable[[Floats], Delay]:
    """Mean and spread at the least Cramér-von Mises distance of 1024 quantiles.

    Or from both edges, where that lies nearer: many samples of a law that is cut lie on its edge.
    """

    def estimate(ordered: Floats) -> Delay:
        units = np.sort(np.array(unit_table(law), dtype=np.float64)) / TABLE_SCALE
        sample = np.quantile(ordered, _PLACES)
        middle = slice(20, 920)
        start = np.polyfit(np.interp(_PLACES, _TABLE_PLACES, units)[middle], sample[middle], 1)
        if start[0] <= 0:
            raise InputError("the sample has no spread", remedy="use the law constant")

        def apart(place: Floats) -> float:
            reduced = (sample - start[1]) / start[0]
            at = (reduced - place[0]) * math.exp(-place[1])
            share = np.interp(at, units, _TABLE_PLACES, left=0.0, right=1.0)
            return float(((share - _PLACES) ** 2).mean())

        best = optimize.minimize(
            apart, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-13}
        ).x
        spread_s = float(np.ptp(ordered)) / float(np.ptp(units))
        places = [
            (float(start[1] + best[0] * start[0]), float(start[0] * math.exp(best[1]))),
            (float(ordered[0]) - float(units[0]) * spread_s, spread_s),
        ]
        tried = [Delay(mean_s, law, spread_s) for mean_s, spread_s in places if mean_s >= 0]
        return min(tried, key=lambda each: distance(each, ordered, 0.0))

    return estimate


def _table(ordered: Floats) -> Delay:
    if np.ptp(ordered) < _LEAST_SPREAD_S:
        return _constant(ordered)
    return measured(ordered.tolist())


_ESTIMATORS: dict[DelayLaw, Callable[[Floats], Delay]] = {
    "constant": _constant,
    "uniform": _uniform,
    "normal": _normal,
    "pareto": _heavy("pareto"),
    "paretonormal": _heavy("paretonormal"),
    "table": _table,
}


def unheld(delay_s: Floats, held: NDArray[np.bool_]) -> Floats:
    """A sample of the delays that packets would have had without waiting for those before.

    Kaplan and Meier's (1958) estimator, in reversed time since held delays are known from above
    only; as many values as packets, at the middles of even steps, spread as if in no order.
    """
    order = np.argsort(delay_s, kind="stable")
    ordered, seen = delay_s[order], ~held[order]
    n = len(ordered)
    shrink = np.where(seen, 1 - 1 / np.arange(1, n + 1), 1.0)
    below = np.cumprod(shrink[::-1])[::-1]  # the share below each value
    share = np.concatenate([below[1:], [1.0]])
    places = (np.arange(n) + 0.5) / n
    values = ordered[seen][np.minimum(np.searchsorted(share[seen], places), int(seen.sum()) - 1)]
    return values[np.argsort(places * 0.6180339887498949 * n % 1, kind="stable")]


# Distances


def cumulative(delay: Delay, at_s: Floats, *, below: bool = False) -> Floats:
    """The share of a law's delays that do not exceed ``at_s`` (or, ``below``, lie under it)."""
    if delay.spread_s == 0:
        reached = at_s > delay.mean_s if below else at_s >= delay.mean_s
        return reached.astype(np.float64)
    if delay.law == "uniform":
        return np.clip((at_s - delay.mean_s) / (2 * delay.spread_s) + 0.5, 0.0, 1.0)
    if delay.law == "normal":
        return np.asarray(special.ndtr((at_s - delay.mean_s) / delay.spread_s), dtype=np.float64)
    values = delay.values_s()
    side_low, side_high = (
        np.searchsorted(values, at_s, side=side) / TABLE_SIZE for side in ("left", "right")
    )
    between = np.interp(at_s, values, _TABLE_PLACES, left=0.0, right=1.0)
    # Where a measured table repeats a value, it steps there.
    stepped = side_high - side_low > 1.5 / TABLE_SIZE
    return np.where(stepped, side_low if below else side_high, between)


def distance(delay: Delay, ordered: Floats, resolution_s: float) -> float:
    """Kolmogorov-Smirnov distance of a law to an ascending sample known to ± ``resolution_s``."""
    n = len(ordered)
    steps = np.arange(n + 1) / n
    over = steps[1:] - cumulative(delay, ordered + resolution_s)
    under = cumulative(delay, ordered - resolution_s, below=True) - steps[:-1]
    return max(0.0, float(over.max()), float(under.max()))


def _anderson_darling(delay: Delay, ordered: Floats) -> float:
    """A² (Anderson and Darling 1954) of a normal law."""
    if delay.spread_s == 0:
        return math.inf
    z = (ordered - delay.mean_s) / delay.spread_s
    n, odd = len(z), 2 * np.arange(1, len(z) + 1) - 1
    return float(-n - (odd * (special.log_ndtr(z) + special.log_ndtr(-z[::-1]))).sum() / n)


# Whether the delays stay what they are


_WINDOWS = 32
_CHANCE = 1e-7


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How the delay moves over the capture.

    ``drift``: s of delay per s of capture, ``None`` where there are too few packets to tell.
    ``drift_s``: over the whole capture. ``significant``: chance shows such a drift less than once
    in 1e7. ``step_s``: a sudden lasting change, 0 where there is none; ``step_at_s``: when.
    ``spread_s``: interquartile range of the delays without the drift.
    """

    drift: float | None
    drift_s: float
    significant: bool
    step_s: float
    step_at_s: float | None
    spread_s: float


def steadiness(sent_s: Floats, delay_s: Floats, resolution_s: float) -> Steadiness:
    """Look for a drift and for a step, in the medians of 32 windows of equally many packets."""
    spread_s = float(np.subtract(*np.quantile(delay_s, [0.75, 0.25])))
    if len(delay_s) < 4 * _WINDOWS:
        return Steadiness(None, 0.0, False, 0.0, None, spread_s)
    parts = np.array_split(np.arange(len(delay_s)), _WINDOWS)
    middles = np.array([float(np.median(delay_s[part])) for part in parts])
    times = np.array([float(sent_s[part].mean()) for part in parts])
    step_s, at = _step(middles, resolution_s)
    line = stats.linregress(times, middles)
    duration_s = float(sent_s[-1] - sent_s[0])
    drift_s = float(line.slope) * duration_s
    real = float(line.pvalue) < _CHANCE and abs(drift_s) > 2 * resolution_s
    rest = delay_s - float(line.slope) * (sent_s - sent_s[0])
    if real:
        spread_s = float(np.subtract(*np.quantile(rest, [0.75, 0.25])))
    at_s = float(times[at] - sent_s[0]) if step_s else None
    return Steadiness(float(line.slope), drift_s, real, step_s, at_s, spread_s)


def _step(middles: Floats, resolution_s: float) -> tuple[float, int]:
    """A step between windows, the one it falls into left out; 0 where there is none."""
    best, place = 0.0, 0
    for at in range(3, len(middles) - 3):
        before, after = middles[:at], middles[at + 1 :]
        moved = float(np.median(after) - np.median(before))
        gap = max(after.min() - before.max(), before.min() - after.max())
        within = max(float(np.ptp(before)), float(np.ptp(after)), 2 * resolution_s)
        if gap > 2 * within and abs(moved) > abs(best):
            best, place = moved, at
    return best, place
