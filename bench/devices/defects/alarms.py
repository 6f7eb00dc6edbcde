"""Defects of alarms."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import MONITOR, ROBOT, Defect

_OUTAGE_ALARMS = frozenset({"network-interrupted", "link-lost"})

DEFECTS = (
    Defect(
        "silent-outage",
        "no alarm on an outage",
        ("MON-2",),
        lambda t, _: replace(t, muted=t.muted | _OUTAGE_ALARMS),
        machines=(ROBOT, MONITOR),
    ),
    Defect(
        "late-alarm",
        "every alarm signal comes late",
        ("MON-2",),
        lambda t, size: replace(t, signal_after_s=t.signal_after_s + size),
        size=3.0,
        timed=True,
        machines=(ROBOT, MONITOR),
    ),
    Defect(
        "wrong-priority",
        "alarms sound with low priority",
        ("MON-2",),
        lambda t, _: replace(
            t, priority=dict.fromkeys([*_OUTAGE_ALARMS, "network-delay", "network-loss"], "low")
        ),
        machines=(ROBOT, MONITOR),
    ),
)
