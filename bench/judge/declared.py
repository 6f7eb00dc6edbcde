"""What only a declaration can answer: the device profile's report, its date and its expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from bench.devices.profile import DeviceProfile
from bench.judge.verdict import Outcome
from bench.requirements.model import Requirement


@dataclass(frozen=True, slots=True)
class Declared:
    """Whether a declaration stands. Never FAIL: its absence says nothing about the device."""

    requirement: str
    verdict: Outcome
    reason: str


def declared(requirement: Requirement, device: DeviceProfile, today: date) -> Declared:
    """Evaluate a requirement of kind ``declaration`` against a device profile.

    Args:
        requirement: one that no test on this bench can show (``EMC-1``).
        device: with its ``declarations``.
        today: the day that expiry is counted from.
    """
    found = device.declarations.get(requirement.id)
    if found is None:
        return Declared(requirement.id, Outcome.INCONCLUSIVE, "not declared")
    what = f"{found.report}, {found.laboratory}, {found.date}"
    if date.fromisoformat(found.date) > today:
        return Declared(requirement.id, Outcome.INCONCLUSIVE, f"dated in the future: {what}")
    if found.expires and date.fromisoformat(found.expires) < today:
        reason = f"expired on {found.expires}: {what}"
        return Declared(requirement.id, Outcome.INCONCLUSIVE, reason)
    until = f", until {found.expires}" if found.expires else ""
    return Declared(requirement.id, Outcome.PASS, f"declared: {what}{until}")
