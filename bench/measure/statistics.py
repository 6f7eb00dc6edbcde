"""Bounds and sample sizes. Every figure of the bench's claims comes from here.

One-sided at ``confidence`` throughout. Exact binomial bounds (Clopper and Pearson 1934) and
distribution-free bounds on percentiles by order statistics (David and Nagaraja, Order
Statistics, 7.1).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.measure.distributions import binomial_quantile, ranks

Floats = NDArray[np.float64]

CHANCE = 1000
"""One in how many independent samples may be taken for bursty."""


def binomial_upper(k: int, n: int, confidence: float = 0.95) -> float:
    """Upper bound of a probability after ``k`` events in ``n`` trials; 1 without trials."""
    if n <= 0 or k >= n:
        return 1.0
    return float(special.betaincinv(k + 1, n - k, confidence))


def binomial_lower(k: int, n: int, confidence: float = 0.95) -> float:
    """Lower bound of a probability after ``k`` events in ``n`` trials; 0 without trials."""
    if n <= 0 or k <= 0:
        return 0.0
    return float(special.betaincinv(k, n - k + 1, 1 - confidence))


def trials_needed(p: float, confidence: float = 0.95, allowed: int = 0) -> int:
    """Trials after which ``allowed`` events still show a probability of at most ``p``.

    Raises:
        ValueError: ``p`` is not inside 0 to 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"{p} is not a probability between 0 and 1")
    low, high = allowed + 1, allowed + 2
    while binomial_upper(allowed, high, confidence) > p:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if binomial_upper(allowed, middle, confidence) <= p:
            high = middle
        else:
            low = middle + 1
    return low


def quantile_samples_needed(quantile: float, confidence: float = 0.95, allowed: int = 0) -> int:
    """Samples after which ``allowed`` exceedances still bound the quantile from above."""
    return trials_needed(1 - quantile, confidence, allowed)


@lru_cache(maxsize=4096)
def _events_at(share: float, n: int, p: float) -> int:
    """The quantile of a binomial distribution; the same few are asked for again and again."""
    return binomial_quantile(share, n, p)


def quantile_upper(ordered: Floats, quantile: float, confidence: float = 0.95) -> float | None:
    """Upper bound of a quantile from an ascending sample; ``None`` where it is too small."""
    n = len(ordered)
    if n == 0:
        return None
    rank = _events_at(confidence, n, quantile) + 1
    return float(ordered[rank - 1]) if rank <= n else None


def quantile_lower(ordered: Floats, quantile: float, confidence: float = 0.95) -> float | None:
    """Lower bound of a quantile from an ascending sample; ``None`` where it is too small."""
    n = len(ordered)
    if n == 0:
        return None
    rank = _events_at(1 - confidence, n, quantile)
    return float(ordered[rank - 1]) if rank >= 1 else None


def quantile(ordered: Floats, q: float) -> float:
    """The sample quantile: the smallest value that at least the share ``q`` does not exceed."""
    rank = max(1, math.ceil(q * len(ordered) - 1e-9))
    return float(ordered[rank - 1])


def demonstrated_probability(trials: int, confidence: float = 0.95) -> float:
    """Success probability that ``trials`` of ``trials`` successes show (59: 0.95)."""
    return round((1 - confidence) ** (1 / trials), 12) if trials > 0 else 0.0


SIGNIFICANT = 3.0
"""A correlation below this many standard errors (1/√n) is taken for none."""

_SIGNIFICANT_SUM = 6.0
"""The same for the sum of the correlations up to one of several distances."""

_SIGNIFICANT_BAND = 2.0
"""The same for one band of distances, times the effect of the nearer ones."""


def burst_design_effect(events: NDArray[np.bool_], chance: float = CHANCE) -> float:
    """Design effect 1 + 2 Σ ρ(j) of bursty events, from the pairs that lie close together.

    Pairs are counted up to doubling distances, so that a burst need not be without gaps. Never
    below 1: negative correlation does not count as more evidence. As many pairs as chance gives
    independent events once in ``chance`` samples are no burst. Few bursts fix their effect badly:
    it is raised by twice the effect over the events.
    """
    n, total = len(events), int(events.sum())
    if total < 2 or total == n:
        return 1.0
    at, order, reaches = np.flatnonzero(events), np.arange(1, total + 1), np.array(_reaches(n))
    found = [int((np.searchsorted(at, at + r, side="right") - order).sum()) for r in reaches]
    pairs = np.array(found, dtype=float)
    expected = total * (total - 1) / (n * (n - 1)) * reaches * (n - (reaches + 1) / 2)
    # P(as many pairs or more), Poisson
    if np.min(special.gammainc(pairs, expected)) * len(reaches) > 1 / chance:
        return 1.0
    scale, here = total * (1 - total / n), np.diff(expected, prepend=0.0)
    sums = (np.diff(pairs, prepend=0.0) - here) / scale
    effect = _summed(list(zip(sums.tolist(), (np.sqrt(here) / scale).tolist(), strict=True)))
    return effect * (1 + 2 * effect / total) if effect > 1 else 1.0


def autocorrelation_effect(values: Floats) -> float:
    """Design effect of a series that follows itself; at least 1.

    The larger of (1 + ρ) / (1 − ρ), which is that of an AR(1), and 1 + 2 Σ ρ(j) of the ranks,
    which also sees a slow movement below the noise.
    """
    if len(values) < 3 or np.ptp(values) == 0:  # rounding of the mean is no correlation
        return 1.0
    return max(_next_effect(values), _slow_effect(values))


def _next_effect(values: Floats) -> float:
    centred = values - values.mean()
    power = float((centred**2).sum())
    if power <= 0:
        return 1.0
    rho = min(0.999, float((centred[1:] * centred[:-1]).sum()) / power)
    if rho < SIGNIFICANT / len(values) ** 0.5:
        return 1.0
    return (1 + rho) / (1 - rho)


def _slow_effect(values: Floats) -> float:
    n = len(values)
    reaches = _reaches(n)
    sums = np.cumsum(_correlations(ranks(values), reaches[-1]))
    totals = [float(sums[reach - 1]) for reach in reaches]
    errors = [math.sqrt(reach / n) for reach in reaches]
    if all(t < _SIGNIFICANT_SUM * e for t, e in zip(totals, errors, strict=True)):
        return 1.0
    nearer = [0, *reaches]
    widths = [math.sqrt((reach - nearer[i]) / n) for i, reach in enumerate(reaches)]
    return _summed(list(zip(np.diff([0.0, *totals]).tolist(), widths, strict=True)))


def _summed(bands: list[tuple[float, float]]) -> float:
    """1 + 2 Σ ρ over bands of distances, each with its sum of ρ and that sum's standard error.

    After a band that counts, two that do not end the sum: what lies beyond them is noise.
    """
    effect, idle = 1.0, 0
    for found, error in bands:
        if found > _SIGNIFICANT_BAND * effect * error:
            effect, idle = effect + 2 * found, 0
        elif effect > 1:
            idle += 1
        if idle > 1:
            break
    return effect


def _correlations(values: Floats, most: int) -> Floats:
    """The correlations of a series with itself at the distances 1 to ``most``."""
    centred = values - values.mean()
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    found = np.fft.irfft(spectrum * spectrum.conj(), size)[: most + 1]
    return np.asarray(found[1:] / found[0], dtype=np.float64)


def _reaches(n: int) -> list[int]:
    """Distances at which neighbours are looked for: doubling, up to a tenth of the series."""
    reaches = [1]
    while 2 * reaches[-1] <= n // 10:
        reaches.append(2 * reaches[-1])
    return reaches
