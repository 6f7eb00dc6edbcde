"""Durations and magnitudes that a scenario draws from its seed, as frozen data.

Every law has bounds, so that every wait has a deadline; a draw never leaves them. Laws other than
the uniform one are drawn through their quantile function: one draw takes one number from the
generator, whatever the law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bench.errors import InputError

_LEAST_MASS = 1e-6
_EXPECTED_STEPS = 4096


@dataclass(frozen=True, slots=True)
class Drawn:
    """A duration drawn uniformly from ``low_s`` to ``high_s``; the draw is logged.

    The other laws derive from it, so that ``low_s`` and ``high_s`` are the bounds of each.
    """

    low_s: float
    high_s: float

    def __post_init__(self) -> None:
        _check_bounds(self)

    def quantile(self, place: float) -> float:
        """The duration below which a share ``place`` (0 to 1) of the draws lies, s."""
        return self.low_s + (self.high_s - self.low_s) * place

    def draw(self, rng: np.random.Generator) -> float:
        """One duration, s."""
        return min(self.high_s, max(self.low_s, self.quantile(float(rng.random()))))

    @property
    def expected_s(self) -> float:
        """The mean of the draws, s (by 4096 quantiles)."""
        steps = range(_EXPECTED_STEPS)
        return math.fsum(self.quantile((i + 0.5) / _EXPECTED_STEPS) for i in steps) / len(steps)

    def describe(self) -> str:
        """One short line for people."""
        return f"{_ms(self.low_s)} to {_ms(self.high_s)} ms, {self._law()}"

    def _law(self) -> str:
        return "uniform"


@dataclass(frozen=True, slots=True)
class DrawnNormal(Drawn):
    """Normal with ``mean_s`` and ``sigma_s``, truncated to ``low_s`` … ``high_s``."""

    mean_s: float
    sigma_s: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check_positive(self.sigma_s, "sigma")
        _check_mass(self, *self._edges())

    def _edges(self) -> tuple[float, float]:
        law = NormalDist(self.mean_s, self.sigma_s)
        return law.cdf(self.low_s), law.cdf(self.high_s)

    def quantile(self, place: float) -> float:
        """As :meth:`Drawn.quantile`."""
        low, high = self._edges()
        law = NormalDist(self.mean_s, self.sigma_s)
        return _bounded(self, _inverse(law, low + (high - low) * place))

    def _law(self) -> str:
        return f"normal around {_ms(self.mean_s)} ms, sigma {_ms(self.sigma_s)} ms"


@dataclass(frozen=True, slots=True)
class DrawnLognormal(Drawn):
    """Lognormal with ``median_s`` and ``sigma`` (of the natural logarithm), truncated."""

    median_s: float
    sigma: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check_positive(self.sigma, "sigma")
        _check_positive(self.median_s, "median")
        _check_mass(self, *self._edges())

    def _edges(self) -> tuple[float, float]:
        law = NormalDist(math.log(self.median_s), self.sigma)
        low = law.cdf(math.log(self.low_s)) if self.low_s > 0 else 0.0
        high = law.cdf(math.log(self.high_s)) if self.high_s > 0 else 0.0
        return low, high

    def quantile(self, place: float) -> float:
        """As :meth:`Drawn.quantile`."""
        low, high = self._edges()
        law = NormalDist(math.log(self.median_s), self.sigma)
        return _bounded(self, math.exp(_inverse(law, low + (high - low) * place)))

    def _law(self) -> str:
        return f"lognormal around {_ms(self.median_s)} ms, sigma {self.sigma:g}"


@dataclass(frozen=True, slots=True)
class DrawnExponential(Drawn):
    """``low_s`` plus an exponential time of mean ``mean_s``, truncated at ``high_s``."""

    mean_s: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check_positive(self.mean_s, "mean")

    def quantile(self, place: float) -> float:
        """As :meth:`Drawn.quantile`."""
        mass = -math.expm1(-(self.high_s - self.low_s) / self.mean_s)
        return _bounded(self, self.low_s - self.mean_s * math.log1p(-mass * place))

    def _law(self) -> str:
        return f"exponential, mean {_ms(self.mean_s)} ms beyond the least"


@dataclass(frozen=True, slots=True)
class DrawnChoice(Drawn):
    """One of ``values_s`` with probabilities in proportion to ``weights`` (none: equal)."""

    values_s: tuple[float, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)
        if not self.values_s or (self.low_s, self.high_s) != (
            min(self.values_s),
            max(self.values_s),
        ):
            raise InputError(
                "the bounds of a choice are its least and its largest value",
                remedy="make it with choice((…))",
                field="duration.values",
                value=self.values_s,
            )
        weights = self.weights or (1.0,)
        wrong = len(self.weights) not in (0, len(self.values_s))
        if wrong or not all(0 <= w < math.inf for w in weights) or not sum(weights):
            raise InputError(
                "needs one weight of zero or more for each value, not all zero",
                remedy="leave the weights out for equal ones",
                field="duration.weights",
                value=self.weights,
            )

    def quantile(self, place: float) -> float:
        """As :meth:`Drawn.quantile`."""
        pairs = sorted(zip(self.values_s, self.weights or (1.0,) * len(self.values_s), strict=True))
        target = place * math.fsum(weight for _, weight in pairs)
        reached = 0.0
        for value_s, weight in pairs:
            reached += weight
            if weight and target < reached:
                return value_s
        return max(value_s for value_s, weight in pairs if weight)

    def _law(self) -> str:
        return f"choice of {', '.join(_ms(value_s) for value_s in self.values_s)} ms"


def choice(values_s: tuple[float, ...], weights: tuple[float, ...] = ()) -> DrawnChoice:
    """A duration out of ``values_s``.

    Raises:
        InputError: no values, negative ones, or weights that do not fit.
    """
    low_s, high_s = (min(values_s), max(values_s)) if values_s else (0.0, 0.0)
    return DrawnChoice(low_s, high_s, tuple(values_s), tuple(weights))


@dataclass(frozen=True, slots=True)
class Between:
    """A magnitude (a factor, a ratio, a shift in s) drawn uniformly; the draw is logged."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise InputError(
                "needs a low bound that is not above the high one",
                remedy="give the least value first",
                field="low, high",
                value=(self.low, self.high),
            )

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return float(rng.uniform(self.low, self.high))


def longest_s(duration_s: float | Drawn) -> float:
    """The longest that a duration can come to, s."""
    return duration_s.high_s if isinstance(duration_s, Drawn) else duration_s


def shortest_s(duration_s: float | Drawn) -> float:
    """The shortest that a duration can come to, s."""
    return duration_s.low_s if isinstance(duration_s, Drawn) else duration_s


def _bounded(law: Drawn, value_s: float) -> float:
    return min(law.high_s, max(law.low_s, value_s))


def _inverse(law: NormalDist, place: float) -> float:
    return law.inv_cdf(min(1 - 1e-16, max(1e-300, place)))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g}"


def _check_bounds(law: Drawn) -> None:
    if not 0 <= law.low_s <= law.high_s < math.inf:
        raise InputError(
            "needs bounds of zero or more, the lower one first",
            remedy="give the least and the longest duration",
            field="duration.low, duration.high",
            value=(law.low_s, law.high_s),
        )


def _check_positive(value: float, name: str) -> None:
    if not 0 < value < math.inf:
        raise InputError(
            "is not above zero",
            remedy="give a positive value",
            field=f"duration.{name}",
            value=value,
        )


def _check_mass(law: Drawn, low: float, high: float) -> None:
    if high - low < _LEAST_MASS:
        raise InputError(
            "the law lies outside of its bounds: what is drawn would be the bounds, not the law",
            remedy="move the bounds around the mean or median",
            field="duration.low, duration.high",
            value=(law.low_s, law.high_s),
        )
