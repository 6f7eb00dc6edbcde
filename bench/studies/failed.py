"""Verdicts that need no measurement: the bench failed, or the session never ran."""

from __future__ import annotations

from bench.devices.profile import DeviceProfile
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Outcome, Verdict
from bench.requirements.model import Requirement


def failed_verdict(
    item: ScopeItem,
    requirement: Requirement,
    device: DeviceProfile,
    outcome: Outcome,
    reason: str,
) -> Verdict:
    """An ERROR or INCONCLUSIVE with nothing measured, for ``reason``."""
    return Verdict(
        requirement=requirement.id,
        test=item.test,
        device=device.name,
        stream=item.stream,
        metric=requirement.metric,
        reference_points=requirement.reference_points,
        verdict=outcome,
        value=None,
        unit=requirement.unit,
        uncertainty=None,
        n=0,
        confidence=None,
        limit=requirement.limit,
        comparator=requirement.comparator,
        margin=None,
        rule=requirement.rule,
        reason=reason,
        reading="",
        against="declaration" if requirement.declared else "document",
        session="",
        attempt=0,
    )
