"""Random figures of an emulator against their laws: distributions of delay, losses, copies.

Every bound states the probability with which a right law surpasses it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.measure.distributions import binomial_quantile, binomial_upper_quantile
from bench.network.delays import Delay
from bench.network.impairment import GilbertElliott, LossModel

Floats = NDArray[np.float64]

ERROR = 1e-6
"""Probability that a right law is refused by one of the checks on random figures, two-sided."""

QUANTILES = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""p5 to p95: where two distributions of delay are compared."""


# ---- distributions


def critical_distance(n: int, error: float = ERROR) -> float:
    """What the distance of ``n`` independent values to their own law surpasses with ``error``.

    Dvoretzky, Kiefer and Wolfowitz (1956) with Massart's constant (1990): P <= 2 exp(-2 n d²).
    """
    return math.sqrt(math.log(2 / error) / (2 * n)) if n else 1.0


@dataclass(frozen=True, slots=True)
class Distance:
    """Kolmogorov–Smirnov distances: where the sample lies before the law, where behind it."""

    early: float
    late: float

    @property
    def largest(self) -> float:
        """The two-sided distance."""
        return max(self.early, self.late)


def distance_to_law(delays_s: Floats, law: Delay) -> Distance:
    """Of independent delays to the law as it is drawn from (truncated, 4096 values).

    Args:
        delays_s: shape (n,).
        law: not ``constant``, to which a distance says nothing.
    """
    return distance(delays_s, law.values_s())


def distance(sample: Floats, reference: Floats) -> Distance:
    """Of one sample's distribution to another's; shapes (n,) and (m,)."""
    if not len(sample) or not len(reference):
        return Distance(1.0, 1.0)
    sample, reference = np.sort(sample), np.sort(reference)
    places = np.concatenate([sample, reference])
    gap = np.searchsorted(sample, places, side="right") / len(sample)
    gap = gap - np.searchsorted(reference, places, side="right") / len(reference)
    return Distance(float(max(0.0, gap.max())), float(max(0.0, -gap.min())))


def quantile_bounds(law: Floats, n: int, error: float) -> tuple[Floats, Floats]:
    """Between which values each of ``QUANTILES`` of ``n`` draws lies, but for ``error`` in all.

    By order statistics (binomial), for independent draws from the equally likely values ``law``.
    """
    each = error / len(QUANTILES) / 2
    law = np.sort(law)
    low, high = [], []
    for q in QUANTILES:
        rank = max(1, math.ceil(q * n - 1e-9))
        # The rank-th of n draws lies below the law's p-quantile with P(Beta(rank, n-rank+1) < p).
        lowest, highest = (
            len(law) * float(special.betaincinv(rank, n - rank + 1, tail))
            for tail in (each, 1 - each)
        )
        low.append(law[max(0, math.floor(lowest) - 1)])
        high.append(law[min(len(law) - 1, math.ceil(highest))])
    return np.array(low), np.array(high)


def compared_quantiles(values: Floats) -> Floats:
    """``QUANTILES`` of a sample, nearest rank; shape (19,)."""
    ordered, count = np.sort(values), len(values)
    ranks = [max(1, math.ceil(q * count - 1e-9)) - 1 for q in QUANTILES]
    return np.asarray(ordered[ranks])


# ---- losses


@lru_cache(maxsize=64)
def _chain_counts(steps: tuple[tuple[float, ...], ...], weights: tuple[tuple[float, ...], ...],
                  n: int, most: int) -> Floats:  # fmt: skip
    step, weight = np.array(steps), np.array(weights)
    share = np.zeros((len(step), most + 1))
    share[0, 0] = 1.0
    plain, counted = (step * (1 - weight)).T, (step * weight).T
    for _ in range(n):
        after = plain @ share
        after[:, 1:] += counted @ share[:, :-1]
        share = after
    return np.asarray(share.sum(axis=0))


def interval(step: Floats, weight: Floats, n: int, error: float = ERROR) -> tuple[int, int]:
    """Between which counts a Markov chain's weighted steps lie, but for ``error``.

    Args:
        step: probabilities from state to state, starting in state 0; shape (k, k).
        weight: probability that such a step counts; shape (k, k).
        n: steps.
        error: both tails together.
    """
    most = min(n, 64)
    while True:
        chances = _chain_counts(
            tuple(map(tuple, step.tolist())), tuple(map(tuple, weight.tolist())), n, most
        )
        if most == n or chances.sum() > 1 - error / 8:
            break
        most = min(n, 2 * most)
    below = np.cumsum(chances)
    low = int(np.searchsorted(below, error / 2, side="right"))
    high = int(np.searchsorted(below, below[-1] - error / 2))
    return low, high


def loss_chain(model: GilbertElliott) -> tuple[Floats, Floats, Floats]:
    """Steps of a loss model from packet to packet, and the weights of losses and of pairs.

    States: good and kept, good and lost, bad and kept, bad and lost; shapes (4, 4). The third
    counts a loss right after a loss.
    """
    p, r = model.p_good_to_bad, model.p_bad_to_good
    if not p:  # never leaves the good state
        r = 1.0
    move = np.array([[1 - p, p], [r, 1 - r]])
    loses = np.array([model.loss_good, model.loss_bad])
    emit = np.column_stack([1 - loses, loses])
    step = np.array(
        [[move[a // 2, b // 2] * emit[b // 2, b % 2] for b in range(4)] for a in range(4)]
    )
    lost = np.array([0.0, 1.0, 0.0, 1.0])
    return step, np.outer(np.ones(4), lost), np.outer(lost, lost)


@dataclass(frozen=True, slots=True)
class Bursts:
    """Losses in a row: how many packets and bursts, mean and longest burst in packets."""

    lost: int
    bursts: int
    pairs: int
    mean: float | None
    longest: int


def bursts(lost: NDArray[np.bool_]) -> Bursts:
    """The loss bursts of a flow (RFC 3357's loss patterns); shape (n,), in order of sending."""
    edges = np.diff(np.concatenate([[0], lost.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    total, runs = int(lost.sum()), len(lengths)
    longest = int(lengths.max()) if runs else 0
    return Bursts(total, runs, total - runs, total / runs if runs else None, longest)


def loss_intervals(model: LossModel, n: int) -> dict[str, tuple[int, int]]:
    """Between which counts losses, and losses right after a loss, lie, but for ``ERROR`` each."""
    if not isinstance(model, GilbertElliott):
        raise ValueError("only Bernoulli and Gilbert-Elliott losses have intervals here")
    step, lost, pairs = loss_chain(model)
    return {"lost": interval(step, lost, n), "pairs": interval(step, pairs, n)}


def binomial_interval(p: float, n: int, error: float = ERROR) -> tuple[int, int]:
    """Between which counts ``n`` trials lie, but for ``error``."""
    return binomial_quantile(error / 2, n, p), binomial_upper_quantile(error / 2, n, p)
