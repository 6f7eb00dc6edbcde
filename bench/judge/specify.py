"""From a requirement and a device's declarations to what exactly is asked."""

from __future__ import annotations

from typing import cast, get_args

from bench.devices.profile import AlarmProfile, DeviceProfile
from bench.judge.verdict import ChosenRule, Rule, Specification
from bench.requirements.model import Reading, Requirement

ALARM_DEADLINE = "alarm.within_s"


def specify(
    requirement: Requirement,
    profile: DeviceProfile,
    stream: str,
    *,
    planned_n: int,
    confidence: float,
    alarm: AlarmProfile | None = None,
    reading: Reading | None = None,
    rule: ChosenRule | None = None,
) -> Specification:
    """One requirement under one reading (default: its default one) for one stream.

    A behaviour takes its limit from the first of its declarations; all of them are compulsory.
    A declaration never loosens a document: where the document gives a figure, that is the limit.

    Args:
        alarm: the alarm that the scenario calls for, where the limit is its deadline.
        rule: chosen for the run; it replaces a requirement's rule on bounds. Those of safety
            assertions and of demonstrated behaviours stay.
    """
    low, high = requirement.low, requirement.high
    metric, comparator = requirement.metric, requirement.comparator
    points: str = requirement.reference_points
    text = ""
    if reading is not None:
        low, high, metric, comparator = (
            reading.low, reading.high, reading.metric, reading.comparator,
        )  # fmt: skip
        points = reading.reference_points or points
        text = reading.reason
    elif requirement.readings:
        text = next(r.reason for r in requirement.readings if r.default)
    declared = {name: _declared(name, profile, alarm) for name in requirement.declared}
    undeclared = tuple(name for name, value in declared.items() if value is None)
    promised = declared.get(requirement.declared[0]) if requirement.declared else None
    documented = low is not None or high is not None
    if not documented and promised is not None:
        low = promised
    own = cast(Rule, requirement.rule or "guard-band")
    chosen = rule is not None and own in get_args(ChosenRule)
    return Specification(
        requirement=requirement.id,
        device=profile.name,
        stream=stream,
        metric=metric,
        reference_points=points,
        comparator=comparator,
        low=low,
        high=high,
        unit=requirement.unit,
        rule=rule if rule is not None and chosen else own,
        confidence=confidence,
        planned_n=planned_n,
        against="document" if documented else "declaration",
        reading=text,
        undeclared=undeclared,
        declared_limit=promised,
        chosen=chosen,
    )


def _declared(name: str, profile: DeviceProfile, alarm: AlarmProfile | None) -> float | None:
    if name == ALARM_DEADLINE:
        return alarm.within_s if alarm is not None else None
    return profile.declares.get(name)
