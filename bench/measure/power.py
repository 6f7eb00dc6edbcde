"""How often evidence of a given size decides, and how much of it decides often enough.

A limit is a probability throughout: a loss ratio, the share beyond a percentile, the share of
trials that fail. PASS and FAIL come from the exact binomial bounds of ``bench.measure.statistics``.
"""

from __future__ import annotations

from functools import cache

from bench.measure.distributions import (
    binomial_cdf,
    binomial_quantile,
    binomial_sf,
    binomial_upper_quantile,
)
from bench.measure.statistics import trials_needed

POWER = 0.9
"""How often a device at half its limit is to pass, and one at twice its limit to fail."""

RESERVE = 0.05
"""Planned above :data:`POWER`: independent events are sometimes taken for bursty, which widens
their bounds (``bench.measure.kpi.LOSS_CHANCE``)."""

_MOST_ALLOWED = 10_000


def most_passing(n: int, p: float, confidence: float = 0.95) -> int:
    """Most events of ``n`` with which the upper bound is at most ``p``; -1 if none is too many."""
    return binomial_quantile(1 - confidence, n, p) - 1


def fewest_failing(n: int, p: float, confidence: float = 0.95) -> int:
    """Fewest events of ``n`` with which the lower bound is above ``p``; may exceed ``n``."""
    return binomial_upper_quantile(1 - confidence, n, p) + 1


def pass_power(n: int, p: float, true: float, confidence: float = 0.95) -> float:
    """How often ``n`` independent samples with the probability ``true`` show at most ``p``."""
    allowed = most_passing(n, p, confidence)
    return binomial_cdf(allowed, n, true) if allowed >= 0 else 0.0


def fail_power(n: int, p: float, true: float, confidence: float = 0.95) -> float:
    """How often ``n`` independent samples with the probability ``true`` show more than ``p``."""
    return binomial_sf(fewest_failing(n, p, confidence) - 1, n, true)


@cache
def samples_for_power(
    p: float, good: float, bad: float, confidence: float = 0.95, power: float = POWER + RESERVE
) -> int:
    """Samples with which a probability of ``good`` passes and ``bad`` fails often enough.

    More samples do not lose the power again: it is looked at where it is smallest, just before
    one more event is allowed.

    Args:
        p: the limit.
        good: true probability of a device that is to pass, below ``p``.
        bad: true probability of a device that is to fail, above ``p``.
        confidence: of the bounds.
        power: how often each is to come out.

    Raises:
        ValueError: not ``good`` < ``p`` < ``bad``, or so near that no evidence tells them apart.
    """
    if not 0 <= good < p < bad <= 1:
        raise ValueError(f"{good}, {p} and {bad} are not probabilities in rising order")
    for allowed in range(_MOST_ALLOWED):
        n, next_n = (trials_needed(p, confidence, allowed + more) for more in (0, 1))
        passes = binomial_cdf(allowed, next_n - 1, good)
        if passes >= power and fail_power(n, p, bad, confidence) >= power:
            return n
    raise ValueError(f"{good} and {bad} are too near to {p}")
