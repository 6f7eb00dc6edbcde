"""Defects of a device's radio."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import MONITOR, ROBOT, Defect

DEFECTS = (
    Defect(
        "deaf-radio",
        "has a radio that bears 12 dB less interference than declared",
        ("COEX-1",),
        lambda t, _: replace(t, radio=replace(t.radio, excess_db=12.0)),
        machines=(MONITOR, ROBOT),
    ),
    Defect(
        "radio-rescans",
        "has a radio that loses its network when an interferer goes, and searches for it anew",
        ("COEX-1",),
        lambda t, size: replace(t, radio=replace(t.radio, recovers_after_s=size)),
        size=1.5,
        timed=True,
    ),
)
