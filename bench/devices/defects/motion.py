"""Defects of motion: executing, holding, stopping, re-arming."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import Defect

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
        size=0.3,
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
        "never reaches the safe state in a blackout",
        ("FAIL-3",),
        lambda t, _: replace(t, reaches_safe_state=False),
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
