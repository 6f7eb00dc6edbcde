"""Loss models fitted to a sequence of losses, chosen by likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from bench.measure.statistics import binomial_lower, binomial_upper
from bench.network.loss import GilbertElliott, bernoulli

Floats = NDArray[np.float64]

LossName = Literal["none", "bernoulli", "gilbert", "gilbert-loss", "gilbert-elliott"]

_DECISIVE = 10.0
"""By how much the BIC must fall for a richer model (Kass and Raftery 1995: very strong)."""

_MOST_LOSSES = 5_000
"""Hidden states are fitted to the packets up to this many losses; more would only take longer."""

_FEW_RUNS = 20
_SURE, _FOLLOWS = 1e-3, 3.3
"""Error probability of either test by which hidden states are tried."""


@dataclass(frozen=True, slots=True)
class FittedLoss:
    """One model at its greatest likelihood; ``model`` is ``None`` for no loss at all.

    ``gilbert``: every packet of the bad state is lost; ``gilbert-loss``: a share of them;
    ``gilbert-elliott``: and a share of the good state's.
    """

    name: LossName
    model: GilbertElliott | None
    parameters: int
    log_likelihood: float
    bic: float


@dataclass(frozen=True, slots=True)
class LossFit:
    """Loss of a path.

    ``lower``, ``upper``: bounds of the loss ratio, each at 95 % confidence, with the design
    effect of the model. ``burst_mean``: mean number of packets lost in a row.
    ``runs_z``, ``runs_p``: Wald and Wolfowitz's test that losses are independent (negative:
    bursts); ``None`` where nothing, or all, is lost.
    """

    n: int
    lost: int
    ratio: float
    lower: float
    upper: float
    burst_mean: float | None
    burst_most: int
    runs_z: float | None
    runs_p: float | None
    ranking: tuple[FittedLoss, ...]
    chosen: FittedLoss


def fit_loss(lost: NDArray[np.bool_], *, thorough: bool = True) -> LossFit:
    """Fit models to the packets in order of sending.

    Args:
        lost: shape ``(n,)``, n >= 1.
        thorough: every model; else hidden states, which take a third of a second, only where the
            runs of losses and of arrivals are not as a chain of two seen states makes them.
    """
    n, k = len(lost), int(lost.sum())
    models = _models(lost, n, k, thorough)
    chosen = models[0]
    for each in models[1:]:
        if each.bic < chosen.bic - _DECISIVE:
            chosen = each
    effect = chosen.model.effect if chosen.model is not None else 1.0
    few, base = k / effect, n / effect
    runs = _runs(lost)
    z, p = _runs_test(n, k, len(runs))
    return LossFit(
        n, k, k / n,
        _bound(binomial_lower, few, base), _bound(binomial_upper, few, base),
        float(runs.mean()) if k else None, int(runs.max()) if k else 0,
        z, p, tuple(sorted(models, key=lambda each: each.bic)), chosen,
    )  # fmt: skip


def _bound(function: object, k: float, n: float) -> float:
    assert callable(function)
    return float(function(k, n))


def _models(lost: NDArray[np.bool_], n: int, k: int, thorough: bool) -> list[FittedLoss]:
    if k == 0:
        return [_judged("none", None, 0, 0.0, n)]
    ratio = k / n
    plain = float(special.xlogy(k, ratio) + special.xlog1py(n - k, -ratio))
    found = [_judged("bernoulli", bernoulli(ratio), 1, plain, n)]
    if k < 5 or k == n:
        return found
    simple = _gilbert(lost)
    found.append(_judged("gilbert", simple[0], 2, simple[1], n))
    if n - k < 5 or (not thorough and _explained(lost)):
        return found
    return found + _hidden(lost, simple[0], n)


def _judged(
    name: LossName, model: GilbertElliott | None, parameters: int, likelihood: float, n: int
) -> FittedLoss:
    bic = parameters * math.log(n) - 2 * likelihood
    return FittedLoss(name, model, parameters, likelihood, bic)


def _runs(lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Length of each run of losses."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    return np.asarray(edges[1::2] - edges[::2], dtype=np.int64)


def _explained(lost: NDArray[np.bool_]) -> bool:
    """Whether runs of losses and of arrivals have geometric lengths that do not follow each other.

    The chain whose states are seen makes them so; hidden states are told by what departs from it.
    """
    return all(_geometric(runs[1:-1]) for runs in (_runs(lost), _runs(~lost)))


def _geometric(lengths: NDArray[np.int64]) -> bool:
    """Chi-squared test of the lengths, and the correlation of their logarithms in a row."""
    if len(lengths) < _FEW_RUNS:
        return True
    share = 1 / float(lengths.mean())
    if share == 1.0:
        return True
    edges = np.unique(np.ceil(np.log1p(-np.arange(1, 10) / 10) / math.log1p(-share)))
    below = np.concatenate([[0.0], -np.expm1(edges * math.log1p(-share)), [1.0]])
    expected = np.diff(below) * len(lengths)
    seen = np.diff(np.concatenate([[0], np.searchsorted(np.sort(lengths), edges, "right"),
                                   [len(lengths)]]))  # fmt: skip
    wide = expected >= 5
    if wide.sum() > 2:
        distance = float(((seen - expected)[wide] ** 2 / expected[wide]).sum())
        if special.chdtrc(int(wide.sum()) - 2, distance) < _SURE:
            return False
    logs = np.log(lengths) - float(np.log(lengths).mean())
    power = float((logs**2).sum())
    follows = float((logs[1:] * logs[:-1]).sum()) / power if power else 0.0
    return abs(follows) * math.sqrt(len(lengths)) < _FOLLOWS


def _runs_test(n: int, k: int, bursts: int) -> tuple[float | None, float | None]:
    """Wald and Wolfowitz (1940), in the bursts: of k lost in n, k (n − k + 1) / n in the mean."""
    if not 0 < k < n or n < 3:
        return None, None
    mean = k * (n - k + 1) / n
    variance = k * (k - 1) * (n - k) * (n - k + 1) / (n**2 * (n - 1))
    if variance <= 0:
        return None, None
    z = (bursts - mean) / math.sqrt(variance)
    return z, float(special.erfc(abs(z) / math.sqrt(2)))


def _gilbert(lost: NDArray[np.bool_]) -> tuple[GilbertElliott, float]:
    """The two-state chain whose states are seen: transitions counted."""
    bad, following = lost[:-1], lost[1:]
    to_bad, from_good = int((~bad & following).sum()), int((~bad).sum())
    to_good, from_bad = int((bad & ~following).sum()), int(bad.sum())
    p = to_bad / from_good if from_good else 1.0
    r = to_good / from_bad if from_bad else 1.0
    likelihood = float(
        special.xlogy(to_bad, p)
        + special.xlog1py(from_good - to_bad, -p)
        + special.xlogy(to_good, r)
        + special.xlog1py(from_bad - to_good, -r)
    )
    first = p / (p + r) if p + r else 0.0
    likelihood += math.log(max(1e-300, first if lost[0] else 1 - first))
    return GilbertElliott(p, r), likelihood


# Hidden states


def _hidden(lost: NDArray[np.bool_], simple: GilbertElliott, n: int) -> list[FittedLoss]:
    """Gilbert's and Elliott's own models, by numerical maximum likelihood from several starts."""
    at = np.flatnonzero(lost)
    used = n if len(at) <= _MOST_LOSSES else int(at[_MOST_LOSSES])
    at = at[at < used]
    gaps = np.diff(np.concatenate([[-1], at, [used]])) - 1
    ratio = len(at) / used
    p, r = (min(0.5, max(1e-6, value)) for value in (simple.p_good_to_bad, simple.p_bad_to_good))
    three = [(p, r, 0.9), (p / 2, r / 4, 0.5), (p / 5, r / 20, 0.2)]
    found = []
    tries: list[tuple[LossName, list[tuple[float, ...]]]] = [
        ("gilbert-loss", [*three]),
        ("gilbert-elliott", [(*start, ratio / 3) for start in three]),
    ]
    for name, starts in tries:
        model, likelihood = _greatest(gaps, starts)
        found.append(_judged(name, model, len(starts[0]), likelihood * n / used, n))
    return found


def _greatest(
    gaps: NDArray[np.int64], starts: list[tuple[float, ...]]
) -> tuple[GilbertElliott, float]:
    def unlikelihood(place: Floats) -> float:
        return -log_likelihood(_model(place), gaps)

    found = []
    for start in starts:
        at = special.logit(np.clip(np.array(start), 1e-9, 1 - 1e-9))
        found.append(
            scipy.optimize.minimize(
                unlikelihood, at, method="Nelder-Mead",
                options={"maxiter": 150, "xatol": 1e-2, "fatol": 1e-2},
            )
        )  # fmt: skip
    near = min(found, key=lambda each: float(each.fun))
    best = scipy.optimize.minimize(
        unlikelihood, near.x, method="Nelder-Mead",
        options={"maxiter": 400, "xatol": 1e-5, "fatol": 1e-7},
    )  # fmt: skip
    return _model(best.x), -float(best.fun)


def _model(place: Floats) -> GilbertElliott:
    p, r, bad, *good = (float(value) for value in special.expit(np.clip(place, -30, 30)))
    return GilbertElliott(p, r, loss_good=good[0] if good else 0.0, loss_bad=bad)


def log_likelihood(model: GilbertElliott, gaps: NDArray[np.int64]) -> float:
    """Log-likelihood of a loss sequence, from its stationary state.

    Args:
        model: the model.
        gaps: packets that arrived before the first loss, between losses, and after the last;
            shape ``(k + 1,)``.

    The forward algorithm (Rabiner 1989, III.A) with the steps of one gap taken at once and the
    chain multiplied in pairs.
    """
    p, r = model.p_good_to_bad, model.p_bad_to_good
    step = np.array([[1 - p, p], [r, 1 - r]])
    lose = np.array([model.loss_good, model.loss_bad])
    arrive, miss = step * (1 - lose), step * lose
    powers, logs = _powers(arrive, gaps)
    chain = powers[:-1] @ miss
    scale = float(logs.sum())
    while len(chain) > 1:
        if len(chain) % 2:
            chain = np.concatenate([chain, np.eye(2)[None]])
        chain = chain[::2] @ chain[1::2]
        size = chain.max(axis=(1, 2))
        if not np.all(size > 0):
            return -1e300
        chain /= size[:, None, None]
        scale += float(np.log(size).sum())
    bad = p / (p + r) if p + r else 0.0
    total = float((np.array([1 - bad, bad]) @ chain[0] @ powers[-1]).sum())
    return scale + math.log(total) if total > 0 else -1e300


def _powers(matrix: Floats, exponents: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Powers of a 2 × 2 matrix of no negative numbers, as matrices and the logs of their scales."""
    (a, b), (c, d) = matrix
    root = math.sqrt((a - d) ** 2 + 4 * b * c)
    high, low = (a + d + root) / 2, (a + d - root) / 2
    if high <= 0 or root <= 1e-12 * high:
        high, root = max(high, 1e-300), max(root, 1e-12 * max(high, 1e-300))
        low = high - root
    rest = np.sign(low) ** (exponents % 2) * np.exp(
        exponents * math.log(max(abs(low), 1e-300) / high)
    )
    identity = np.eye(2)
    upper, lower = matrix - low * identity, matrix - high * identity
    powers = (upper[None] - rest[:, None, None] * lower[None]) / root
    logs = np.asarray(exponents * math.log(high), dtype=np.float64)
    return np.asarray(np.maximum(powers, 0.0), dtype=np.float64), logs
