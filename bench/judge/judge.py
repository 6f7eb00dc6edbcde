"""The judge: one pure function from specification and measurement to verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.judge.shortfall import still_needed
from bench.judge.verdict import Outcome, Rule, Specification, Verdict
from bench.measure.measurement import Measurement
from bench.measure.statistics import demonstrated_probability
from bench.requirements.model import NEARER_THAN
from bench.units import show

_WORDS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "in": "inside"}


@dataclass(frozen=True, slots=True)
class _Finding:
    outcome: Outcome
    reason: str


def judge(
    spec: Specification, found: Measurement, *, test: str, session: str, attempt: int = 1
) -> Verdict:
    """Judge one measurement against one specification.

    In this order: the bench's own errors are ERROR; a missing declaration, evidence with
    problems, a missing uncertainty term, no number, or a value from nearer reference points than
    asked for are INCONCLUSIVE; the rest is decided by the specification's rule.
    """
    finding = _objection(spec, found) or _RULES[spec.rule](spec, found)
    if finding.outcome is Outcome.FAIL and found.reference_points != spec.reference_points:
        finding = _Finding(Outcome.INCONCLUSIVE, f"{finding.reason}: between farther points")
    finite = found.value is not None and math.isfinite(found.value)
    return Verdict(
        requirement=spec.requirement,
        test=test,
        device=spec.device,
        stream=spec.stream,
        metric=spec.metric,
        reference_points=spec.reference_points,
        verdict=finding.outcome,
        value=found.value if finite else None,
        unit=spec.unit,
        uncertainty=found.expanded,
        n=found.n,
        confidence=_confidence(spec, found),
        limit=spec.limit,
        comparator=spec.comparator,
        margin=_margin(spec, found.value) if finite else None,
        rule=_rule_text(spec, found),
        reason=finding.reason,
        reading=spec.reading,
        against=spec.against,
        session=session,
        attempt=attempt,
        independent=found.independent,
        budget=found.budget,
        details=tuple(sorted(found.details.items())),
        lower=_outward(found.lower, -found.expanded),
        upper=_outward(found.upper, found.expanded),
        trials=tuple(trial if math.isfinite(trial) else None for trial in found.trials),
    )


def _outward(bound: float | None, by: float) -> float | None:
    return bound + by if bound is not None and math.isfinite(bound + by) else None


def _confidence(spec: Specification, found: Measurement) -> float | None:
    if spec.rule in ("demonstrated", "safety"):
        return demonstrated_probability(found.n) if found.n else None
    return found.confidence


def _rule_text(spec: Specification, found: Measurement) -> str:
    if spec.rule in ("demonstrated", "safety"):
        shown = demonstrated_probability(found.n)
        return (
            f"{spec.rule}: {found.n} of {spec.planned_n} planned trials; "
            f"all in time would show a success probability of {shown:.3g} at 95 % confidence"
        )
    name = {"simple": "simple acceptance", "guard-band": "guard band w = U"}[spec.rule]
    chosen = ", chosen for this run" if spec.chosen else ""
    return f"{name} (ILAC-G8:09/2019), bound at {_percent(spec)} confidence{chosen}"


def _percent(spec: Specification) -> str:
    return f"{100 * spec.confidence:.6g}%"


def _objection(spec: Specification, found: Measurement) -> _Finding | None:
    """Why no rule may decide; ``None`` if one may."""
    if found.errors:
        return _Finding(Outcome.ERROR, "; ".join(found.errors))
    reason = ""
    have = {term.name for term in found.budget if math.isfinite(term.standard)}
    missing = [name for name in found.required_terms if name not in have]
    if spec.undeclared:
        reason = f"not declared: {', '.join('D:' + name for name in spec.undeclared)}"
    elif found.problems:
        reason = "; ".join(dict.fromkeys(found.problems))
    elif missing:
        reason = f"the uncertainty budget lacks {', '.join(missing)}"
    elif found.value is None or math.isnan(found.value) or found.n <= 0:
        reason = "nothing was measured"
    elif any(math.isnan(trial) or trial < 0 for trial in found.trials):
        reason = "a trial has no value"
    elif found.value < 0:
        reason = f"the value {show(found.value, spec.unit)} is negative"
    elif spec.unit != found.unit:
        reason = f"measured in {found.unit or '1'}, asked for in {spec.unit or '1'}"
    elif points := cannot_answer(spec.reference_points, found.reference_points, spec.comparator):
        reason = points
    elif spec.low is None and spec.high is None:
        reason = "the requirement gives no figure"
    elif spec.rule in ("simple", "guard-band"):
        reason = _bounds_objection(spec, found)
    return _Finding(Outcome.INCONCLUSIVE, reason) if reason else None


def cannot_answer(asked: str, measured: str, comparator: str) -> str:
    """Why a value between some reference points answers nothing about others; empty if it does.

    A longer way within an upper limit answers for the shorter one.
    """
    if asked == measured:
        return ""
    if measured in NEARER_THAN.get(asked, ()):
        return (
            f"measured {measured}, asked for {asked}: "
            "a value between nearer points shows nothing about farther ones"
        )
    if asked in NEARER_THAN.get(measured, ()) and comparator in ("<", "<="):
        return ""
    return f"measured {measured}, asked for {asked}"


def _bounds_objection(spec: Specification, found: Measurement) -> str:
    """Why the bounds of a value cannot be those that are asked for; empty if they can."""
    value = found.value
    assert value is not None
    if found.confidence is None or found.confidence < spec.confidence:
        return f"the bounds hold at less than {_percent(spec)} confidence"
    bounds = [bound for bound in (found.lower, found.upper) if bound is not None]
    if any(math.isnan(bound) for bound in bounds):
        return "a bound is no number"
    near = 1e-9 * abs(value) if math.isfinite(value) else 0.0
    if (found.lower is not None and found.lower > value + near) or (
        found.upper is not None and found.upper < value - near
    ):
        return "the value lies outside its own bounds"
    return ""


def _margin(spec: Specification, value: float | None) -> float | None:
    """Room to the limit in the comparator's direction; negative beyond it."""
    if value is None or not math.isfinite(value):
        return None
    if spec.comparator == "in":
        sides = [] if spec.low is None else [value - spec.low]
        sides += [] if spec.high is None else [spec.high - value]
        return min(sides, default=None)
    limit = spec.low if spec.low is not None else spec.high
    if limit is None:
        return None
    return limit - value if spec.comparator in ("<", "<=") else value - limit


def _keeps(spec: Specification, low: float, high: float) -> bool:
    """Every value from ``low`` to ``high`` keeps the limit."""
    if spec.comparator == "in":
        return (spec.low is None or low >= spec.low) and (spec.high is None or high <= spec.high)
    limit = spec.low if spec.low is not None else spec.high
    assert limit is not None
    return {
        "<": high < limit,
        "<=": high <= limit,
        ">": low > limit,
        ">=": low >= limit,
        "==": low == high == limit,
    }[spec.comparator]


def _breaks(spec: Specification, low: float, high: float) -> bool:
    """Every value from ``low`` to ``high`` breaks the limit."""
    if spec.comparator == "in":
        return (spec.low is not None and high < spec.low) or (
            spec.high is not None and low > spec.high
        )
    limit = spec.low if spec.low is not None else spec.high
    assert limit is not None
    return {
        "<": low >= limit,
        "<=": low > limit,
        ">": high <= limit,
        ">=": high < limit,
        "==": not low <= limit <= high,
    }[spec.comparator]


def _limit_text(spec: Specification) -> str:
    if spec.comparator == "in":
        return f"{show(spec.low, spec.unit)} to {show(spec.high, spec.unit)}"
    limit = spec.low if spec.low is not None else spec.high
    return f"{_WORDS.get(spec.comparator, spec.comparator)} {show(limit, spec.unit)}"


def _bounded(guard: float) -> Callable[[Specification, Measurement], _Finding]:
    def rule(spec: Specification, found: Measurement) -> _Finding:
        width = guard * found.expanded
        value = show(found.value, spec.unit)
        low = None if found.lower is None else found.lower - width
        high = None if found.upper is None else found.upper + width
        lowest, highest = -math.inf if low is None else low, math.inf if high is None else high
        interval = (
            f"{value}, between {show(low, spec.unit)} and {show(high, spec.unit)} "
            f"at {_percent(spec)} confidence with uncertainty, n = {found.n}"
        )
        wanted = f"wanted {_limit_text(spec)}"
        if _breaks(spec, lowest, highest):
            return _Finding(Outcome.FAIL, f"{interval}; {wanted}")
        more = still_needed(spec, found, width)
        more = f"; {more}" if more else ""
        if found.n < spec.planned_n:
            short = f"{found.n} of {spec.planned_n} planned samples; {interval}{more}"
            return _Finding(Outcome.INCONCLUSIVE, short)
        if _keeps(spec, lowest, highest):
            return _Finding(Outcome.PASS, f"{interval}; {wanted}")
        return _Finding(Outcome.INCONCLUSIVE, f"{interval}; {wanted}: not decided{more}")

    return rule


def _trials(spec: Specification, found: Measurement) -> _Finding:
    """All planned trials within the limit; one certainly beyond it is a FAIL."""
    width = found.expanded
    wanted = f"wanted {_limit_text(spec)}"
    worst_of = min if spec.comparator in (">", ">=") else max
    worst = worst_of(found.trials, default=math.nan)
    text = f"worst of {found.n} trials {_never(worst, spec.unit)} ± {show(width, spec.unit)}"
    if not found.trials:
        return _Finding(Outcome.INCONCLUSIVE, f"no trials; {wanted}")
    watched = found.details.get("watched_s")
    limit = spec.limit
    if math.isinf(worst) and isinstance(watched, float) and limit is not None and watched < limit:
        short = f"no response in the {show(watched, spec.unit)} that were watched"
        return _Finding(Outcome.INCONCLUSIVE, f"{short}; {wanted}: it may still have come in time")
    if any(_breaks(spec, trial - width, trial + width) for trial in found.trials):
        return _Finding(Outcome.FAIL, f"{text}; {wanted}")
    if len(found.trials) < spec.planned_n:
        missing = spec.planned_n - len(found.trials)
        short = f"{len(found.trials)} of {spec.planned_n} planned trials; {text}"
        short += f"; {missing} more trial{'s are' if missing > 1 else ' is'} needed"
        return _Finding(Outcome.INCONCLUSIVE, short)
    if all(_keeps(spec, trial - width, trial + width) for trial in found.trials):
        return _Finding(Outcome.PASS, f"{text}; {wanted}")
    return _Finding(Outcome.INCONCLUSIVE, f"{text}; {wanted}: within the uncertainty of the limit")


def _safety(spec: Specification, found: Measurement) -> _Finding:
    """Largest value + U within the limit; one value beyond the limit is a FAIL."""
    if any(_breaks(spec, trial, trial) for trial in found.trials):
        worst_of = min if spec.comparator in (">", ">=") else max
        worst = _never(worst_of(found.trials), spec.unit)
        return _Finding(Outcome.FAIL, f"largest value {worst}; wanted {_limit_text(spec)}")
    return _trials(spec, found)


def _never(value: float, unit: str) -> str:
    return "never" if math.isinf(value) else show(value, unit)


_RULES: Mapping[Rule, Callable[[Specification, Measurement], _Finding]] = {
    "simple": _bounded(0.0),
    "guard-band": _bounded(1.0),
    "safety": _safety,
    "demonstrated": _trials,
}
