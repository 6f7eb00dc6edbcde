"""How much more evidence an open question takes, if more of the same comes."""

from __future__ import annotations

import math

from bench.judge.verdict import Specification
from bench.measure.bounds import effective_binomial
from bench.measure.measurement import Measurement

_FARTHEST = 1e12
"""Beyond so many samples a figure helps nobody."""

WITHIN_UNCERTAINTY = "no number of samples decides it: the limit lies within the uncertainty"


def still_needed(spec: Specification, found: Measurement, width: float) -> str:
    """What more would decide, in words; empty where it cannot be told.

    Args:
        spec: what is asked, by a bound.
        found: what was measured; its bounds do not decide.
        width: what the rule adds to each bound, in the unit of the value.
    """
    if found.n < spec.planned_n:
        return f"{spec.planned_n - found.n} more samples are needed"
    if found.needed_n:
        return _more(found.needed_n, found.n, "are needed")
    edge = _nearest_limit(spec, found.value)
    if edge is None or found.value is None or not math.isfinite(found.value):
        return ""
    if abs(found.value - edge) <= width:
        return "" if width == 0 else WITHIN_UNCERTAINTY
    count = _losses(found, edge) if "lost" in found.details else _scaled(found, edge, width)
    return _more(count, found.n, "like these would decide it") if count is not None else ""


def _more(total: float, n: int, verb: str) -> str:
    if total > _FARTHEST or total <= n:
        return ""
    count = math.ceil(total)
    return f"about {count} samples {verb}, {count - n} more"


def _nearest_limit(spec: Specification, value: float | None) -> float | None:
    edges = [edge for edge in (spec.low, spec.high) if edge is not None]
    if spec.comparator != "in":
        edges = edges[:1]
    if value is None or not math.isfinite(value) or not edges:
        return None
    return min(edges, key=lambda edge: abs(edge - value))


def _losses(found: Measurement, limit: float) -> float | None:
    """Samples at which losses as frequent and as bursty as these bound the ratio off its limit."""
    lost, effect = found.details.get("lost"), found.details.get("design_effect")
    if not isinstance(lost, float) or not isinstance(effect, float) or found.confidence is None:
        return None
    confidence, ratio = found.confidence, lost / found.n

    def decided(n: float) -> bool:
        lower, upper = effective_binomial(round(ratio * n), int(n), effect, confidence)
        return upper <= limit if ratio < limit else lower > limit

    low, high = float(found.n), 2.0 * found.n
    while not decided(high) and high < _FARTHEST:
        low, high = high, 2 * high
    while high - low > 0.01 * low:
        middle = (low + high) / 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def _scaled(found: Measurement, limit: float, width: float) -> float | None:
    """The bound on the limit's side comes nearer to the value with the root of the count."""
    value = found.value
    assert value is not None
    bound = found.upper if value < limit else found.lower
    if bound is None or not math.isfinite(bound):
        return None
    ratio = abs(bound - value) / (abs(limit - value) - width)
    return found.n * ratio**2
