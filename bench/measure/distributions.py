"""Quantiles and tails of the distributions that bounds rest on, from ``scipy.special``.

The same figures as ``scipy.stats`` (the tests compare them), whose import takes a second of every
start of ``bench`` and 30 MB.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Probability of at most ``k`` events in ``n`` trials."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    return float(special.betaincc(k + 1, n - k, min(1.0, p)))


def binomial_sf(k: int, n: int, p: float) -> float:
    """Probability of more than ``k`` events in ``n`` trials."""
    if k < 0:
        return 1.0
    if k >= n or p <= 0:
        return 0.0
    return float(special.betainc(k + 1, n - k, min(1.0, p)))


def binomial_quantile(q: float, n: int, p: float) -> int:
    """The least number of events with a ``binomial_cdf`` of at least ``q``, 0 < q < 1."""
    k = _near(q, n, p)
    while k > 0 and binomial_cdf(k - 1, n, p) >= q:
        k -= 1
    while k < n and binomial_cdf(k, n, p) < q:
        k += 1
    return k


def binomial_upper_quantile(q: float, n: int, p: float) -> int:
    """The least number of events with a ``binomial_sf`` of at most ``q``, 0 < q < 1."""
    k = _near(1 - q, n, p)
    while k > 0 and binomial_sf(k - 1, n, p) <= q:
        k -= 1
    while k < n and binomial_sf(k, n, p) > q:
        k += 1
    return k


def _near(q: float, n: int, p: float) -> int:
    """Where to look for a quantile: a normal approximation's, but for few expected events."""
    middle = n * p + float(special.ndtri(q)) * math.sqrt(max(0.0, n * p * (1 - p)))
    near = float(special.bdtrik(q, n, p)) if 0 < p < 1 and n > 0 else middle
    return min(n, max(0, math.ceil(near if math.isfinite(near) else middle)))


def chi2_quantile(q: float, degrees: float) -> float:
    """The chi-squared distribution's quantile."""
    return 2.0 * float(special.gammaincinv(degrees / 2, q))


def f_quantile(q: float, above: float, below: float) -> float:
    """The F distribution's quantile with ``above`` and ``below`` degrees of freedom."""
    return float(special.fdtri(above, below, q))


def ranks(values: Floats) -> Floats:
    """The rank of each value from 1, equal ones with the mean of theirs; shape (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def ranks_between(k: int, n: int, m: int, error: float) -> tuple[int, int]:
    """Between which order statistics of one sample the ``k``-th of another of the same law lies.

    How many of ``m`` values lie below the ``k``-th smallest of ``n`` others, all independent and
    of one continuous law, is beta-binomial (David and Nagaraja, Order Statistics, 2.5).

    Returns:
        Ranks from 1 to ``m``, each wrong with a probability of at most ``error`` / 2; 0 and
        ``m + 1`` where not even the extremes bound it so.
    """
    below = np.arange(m + 1)
    log = special.betaln(below + k, m - below + n - k + 1) - special.betaln(k, n - k + 1)
    log += -special.betaln(below + 1, m - below + 1) - math.log(m + 1)
    chance = np.exp(log)
    low = int(np.searchsorted(np.cumsum(chance), error / 2, side="right"))
    high = m - int(np.searchsorted(np.cumsum(chance[::-1]), error / 2, side="right"))
    return low, high + 1
