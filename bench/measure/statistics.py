"""Bounds and sample sizes. Every figure of the bench's claims comes from here.

One-sided at ``confidence`` throughout. Exact binomial bounds (Clopper and Pearson 1934) and
distribution-free bounds on percentiles by order statistics (David and Nagaraja, Order
Statistics, 7.1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

CHANCE = 1000
"""One in how many independent samples may be taken for bursty."""


def binomial_upper(k: int, n: int, confidence: float = 0.95) -> float:
    """Upper bound of a probability after ``k`` events in ``n`` trials; 1 without trials."""
    if n <= 0 or k >= n:
        return 1.0
    return float(stats.beta.ppf(confidence, k + 1, n - k))


def binomial_lower(k: int, n: int, confidence: float = 0.95) -> float:
    """Lower bound of a probability after ``k`` events in ``n`` trials; 0 without trials."""
    if n <= 0 or k <= 0:
        return 0.0
    return float(stats.beta.ppf(1 - confidence, k, n - k + 1))


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


def quantile_upper(ordered: Floats, quantile: float, confidence: float = 0.95) -> float | None:
    """Upper bound of a quantile from an ascending sample; ``None`` where it is too small."""
    n = len(ordered)
    if n == 0:
        return None
    rank = int(stats.binom.ppf(confidence, n, quantile)) + 1
    return float(ordered[rank - 1]) if rank <= n else None


def quantile_lower(ordered: Floats, quantile: float, confidence: float = 0.95) -> float | None:
    """Lower bound of a quantile from an ascending sample; ``None`` where it is too small."""
    n = len(ordered)
    if n == 0:
        return None
    rank = int(stats.binom.ppf(1 - confidence, n, quantile))
    return float(ordered[rank - 1]) if rank >= 1 else None


def quantile(ordered: Floats, q: float) -> float:
    """The sample quantile: the smallest value that at least the share ``q`` does not exceed."""
    rank = max(1, math.ceil(q * len(ordered) - 1e-9))
    return float(ordered[rank - 1])


def demonstrated_probability(trials: int, confidence: float = 0.95) -> float:
    """Success probability that ``trials`` of ``trials`` successes show (59: 0.95)."""
    return float((1 - confidence) ** (1 / trials)) if trials > 0 else 0.0


SIGNIFICANT = 3.0
"""A correlation below this many standard errors (1/√n) is taken for none."""


def burst_design_effect(events: NDArray[np.bool_]) -> float:
    """Design effect (1 + ρ) / (1 − ρ) of bursty events, ρ the lag-one correlation of the flags.

    Never below 1: negative correlation does not count as more evidence. As many neighbours as
    chance gives independent events once in :data:`CHANCE` samples are no burst.
    """
    total = int(events.sum())
    if total < 2 or total == len(events):
        return 1.0
    neighbours = int((events[1:] & events[:-1]).sum())
    if stats.poisson.sf(neighbours - 1, total * total / len(events)) > 1 / CHANCE:
        return 1.0
    return autocorrelation_effect(events.astype(float))


def autocorrelation_effect(values: Floats) -> float:
    """Design effect (1 + ρ) / (1 − ρ) of a series that follows itself (AR(1)); at least 1."""
    if len(values) < 3 or np.ptp(values) == 0:  # rounding of the mean is no correlation
        return 1.0
    centred = values - values.mean()
    power = float((centred**2).sum())
    if power <= 0:
        return 1.0
    rho = min(0.999, float((centred[1:] * centred[:-1]).sum()) / power)
    if rho < SIGNIFICANT / len(values) ** 0.5:
        return 1.0
    return (1 + rho) / (1 - rho)
