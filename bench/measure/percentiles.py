"""Percentiles of the delay: whether those that were achieved are the law's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.measure.distributions import ranks_between
from bench.network.impairment import Impairment
from bench.units import show_duration

_CHECKED = (
    ("median", 0.5, 1.0), ("5th percentile", 0.05, 1.0), ("95th percentile", 0.95, 2.0),
)  # fmt: skip
"""Quantiles of the delay, and how many tolerances each may be off: a state that held for a part of
its phase only shows in one of them."""
ERROR = 1e-6
"""Probability that a right loss or a right percentile is refused, two-sided."""
_DEVIATIONS = -float(special.ndtri(ERROR / 2))
_FEW = 1000
"""Below so many packets the chances of their order are reckoned exactly."""


def percentile_objection(
    got: NDArray[np.float64],
    meant: NDArray[np.float64],
    noise: tuple[float, float],
    impairment: Impairment,
) -> str:
    """Which percentile of the delay is not the law's; both arrays hold something."""
    width_s = impairment.delay.most_s - impairment.delay.least_s
    ordered = np.sort(meant)
    asked = [q for _, q, _ in _CHECKED]
    both = np.quantile(meant, asked).tolist(), np.quantile(got, asked).tolist()
    for (name, q, factor), wanted, found in zip(_CHECKED, *both, strict=True):
        least, most = _between(ordered, q, len(got), width_s)
        tolerance = factor * max(0.0005, 0.05 * wanted)
        path = 3 * noise[1 if q > 0.5 else 0]  # the unimpaired path only ever adds to a delay
        if not least - tolerance <= found <= most + tolerance + path:
            above = "" if math.isinf(path) else f" + {show_duration(tolerance + path)}"
            return (
                f"{name} of the delay is {show_duration(found)} where {show_duration(wanted)} "
                f"− {show_duration(tolerance)}{above} was intended"
            )
    return ""


def _between(
    ordered: NDArray[np.float64], q: float, count: int, width_s: float
) -> tuple[float, float]:
    """Between which values the quantile of ``count`` delays of the same law lies.

    Both are samples: of few packets a right law may give other percentiles. Where even the
    extremes of so few bound nothing, only the law's own width does.
    """
    n = len(ordered)
    if min(n, count) < _FEW:
        place = q * (count - 1)
        low, _ = ranks_between(math.floor(place) + 1, count, n, ERROR)
        _, high = ranks_between(math.ceil(place) + 1, count, n, ERROR)
    else:
        spread = _DEVIATIONS * math.sqrt(q * (1 - q) * (1 / n + 1 / count))
        low, high = math.floor((q - spread) * (n - 1)) + 1, math.ceil((q + spread) * (n - 1)) + 1
    least = float(ordered[max(low, 1) - 1]) - width_s * (low < 1)
    most = float(ordered[min(high, n) - 1]) + width_s * (high > n)
    return least, most
