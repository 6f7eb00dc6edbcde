"""Verdicts that need no measurement: the bench failed, no session ran, a report answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from bench.devices.profile import DeviceProfile
from bench.judge.compulsory import remedy
from bench.judge.declared import declared
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Outcome, Verdict
from bench.requirements.model import Requirement


def verdict_without_session(
    item: ScopeItem, requirement: Requirement, device: DeviceProfile, start: Any
) -> Verdict | None:
    """What the profile alone decides: a report that it names, a function that it is silent about.

    Args:
        start: of the run, ISO 8601; a report's expiry is counted from that day.

    Returns:
        ``None`` where a session is to be judged.
    """
    if item.undeclared:
        reason = (
            f"not declared: {', '.join(item.undeclared)}, which its class must answer for: "
            f"{remedy(requirement.id, device)}"
        )
        return failed_verdict(item, requirement, device, Outcome.INCONCLUSIVE, reason)
    if requirement.kind != "declaration":
        return None
    found = declared(requirement, device, date.fromisoformat(str(start)[:10]))
    verdict = failed_verdict(item, requirement, device, found.verdict, found.reason)
    return replace(verdict, against="declaration")


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
