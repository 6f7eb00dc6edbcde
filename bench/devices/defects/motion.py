"""Defects of motion: executing, holding, stopping, re-arming."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import Defect
from bench.devices.defects.margin import Margin
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits


def _stops_near_limit(traits: Traits, profile: DeviceProfile, share: float) -> Traits:
    declared_s = profile.declares.get("local_stop_within_s")
    return traits if declared_s is None else replace(traits, stop_after_s=share * declared_s)


def _age_near_limit(traits: Traits, profile: DeviceProfile, share: float) -> Traits:
    declared_s = profile.declares.get("command_age_s")
    return traits if declared_s is None else replace(traits, command_age_s=share * declared_s)


MARGINS = (
    Margin(
        "stops-near-limit",
        "the local stop acts shortly before its deadline",
        ("LOC-1",),
        _stops_near_limit,
    ),
    Margin(
        "commands-near-limit",
        "executes commands of nearly the declared age",
        ("FAIL-1",),
        _age_near_limit,
    ),
)

DEFECTS = (
    Defect(
        "stale-commands",
        "executes commands of any age",
        ("FAIL-1",),
        lambda t, _: replace(t, command_age_s=float("inf")),
    ),
    Defect(
        "old-sequence",
        "executes duplicated and reordered commands",
        ("SW-1",),
        lambda t, _: replace(t, drops_old_sequence=False, command_age_s=float("inf")),
    ),
    Defect(
        "ignores-local-stop",
        "the local stop does nothing while remote commands come",
        ("LOC-1",),
        lambda t, _: replace(t, obeys_local_stop=False),
    ),
    Defect(
        "slow-local-stop",
        "the local stop acts late",
        ("LOC-1",),
        lambda t, size: replace(t, stop_after_s=size),
        size=0.07,
        timed=True,
    ),
    Defect(
        "ignores-delay-limit",
        "goes on moving beyond its delay limit",
        ("LIM-1",),
        lambda t, _: replace(t, holds_on_delay=False),
    ),
    Defect(
        "ignores-loss-limit",
        "goes on moving beyond its loss limit",
        ("LIM-2",),
        lambda t, _: replace(t, holds_on_loss=False),
    ),
    Defect(
        "no-safe-state",
        "never reaches the safe state in a blackout or under jamming",
        ("FAIL-3", "SEC-4"),
        lambda t, _: replace(t, reaches_safe_state=False),
    ),
    Defect(
        "hasty-safe-state",
        "engages its brakes after two thirds of the declared silence",
        ("FAIL-3",),
        lambda t, _: replace(t, safe_state_at=2 / 3),
    ),
    Defect(
        "resumes-without-rearm",
        "moves again without being re-armed",
        ("REC-1",),
        lambda t, _: replace(t, needs_rearm=False),
    ),
    Defect(
        "motion-jump",
        "jumps to the master's position when re-armed",
        ("REC-1",),
        lambda t, _: replace(t, keeps_position=False),
    ),
)
