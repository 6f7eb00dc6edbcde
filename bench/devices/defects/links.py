"""Defects of links: switching over, reconnecting."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import MONITOR, ROBOT, Defect

DEFECTS = (
    Defect(
        "never-switches",
        "never switches to the standby link",
        ("SW-1",),
        lambda t, _: replace(t, switches=False),
        machines=(ROBOT, MONITOR),
    ),
    Defect(
        "slow-reconnect",
        "takes too long to reconnect",
        ("REC-1",),
        lambda t, size: replace(t, reconnect_after_s=size),
        size=12.0,
        timed=True,
    ),
)
