"""Defects of the audit log: what it leaves out, gets wrong, loses, and lets others do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.devices.audit import AuditTraits
from bench.devices.defects.defect import CONSOLE, IMAGING, MONITOR, ROBOT, Defect
from bench.devices.reports import TECHNICAL
from bench.devices.traits import Traits

_CONTENT = ("LOG-1", "OPS-3")
"""Whatever an entry lacks, the log after an operation lacks too."""

_ROBOTS = (ROBOT, MONITOR, CONSOLE, IMAGING)
_MONITORS = (MONITOR, ROBOT, CONSOLE, IMAGING)
_CONSOLES = (CONSOLE, MONITOR, IMAGING, ROBOT)
_IMAGERS = (IMAGING, MONITOR, CONSOLE, ROBOT)
"""Every machine keeps the same log; the first named is the one that `bench prove` takes first."""

_RUN_S = 10.0
"""A clock that runs off is off by its size after this long."""


def _with(**changes: Any) -> Callable[[Traits, float], Traits]:
    return lambda traits, _: replace(traits, audit=replace(traits.audit, **changes))


def _omits(what: str) -> Callable[[Traits, float], Traits]:
    return _with(omits=frozenset({what}))


def _timed(change: Callable[[AuditTraits, float], AuditTraits]) -> Callable[..., Traits]:
    return lambda traits, size: replace(traits, audit=change(traits.audit, size))


DEFECTS = (
    Defect(
        "log-lacks-operator",
        "nobody is named in the log",
        _CONTENT,
        _omits("operator"),
        machines=_ROBOTS,
    ),
    Defect("log-lacks-commands", "no command is in the log", _CONTENT, _omits("command")),
    Defect(
        "log-lacks-procedure",
        "the log tells of no procedure",
        _CONTENT,
        _omits("procedure"),
        machines=_CONSOLES,
    ),
    Defect(
        "log-lacks-alarms",
        "alarms are not in the log",
        _CONTENT,
        _omits("alarm"),
        machines=_MONITORS,
    ),
    Defect(
        "log-lacks-patient-alarms",
        "alarms of the patient sound and are not in the log",
        _CONTENT,
        _with(clinical=False),
        machines=(MONITOR,),
        fits=lambda device: any(alarm.name not in TECHNICAL for alarm in device.alarms),
    ),
    Defect(
        "log-lacks-attacks",
        "who was refused is told on the spot and not in the log",
        ("LOG-1",),
        _omits("attack"),
        machines=_ROBOTS,
    ),
    Defect(
        "log-lacks-switches",
        "a switch of links is not in the log",
        _CONTENT,
        _omits("link-switch"),
        machines=_IMAGERS,
    ),
    Defect(
        "log-lacks-summary",
        "no summary of the connection is in the log",
        _CONTENT,
        _omits("connection-summary"),
        machines=_CONSOLES,
    ),
    Defect(
        "log-lacks-anomalies",
        "abnormal conditions of the network are not in the log",
        ("MON-4", *_CONTENT),
        _omits("alarm-condition"),
        machines=_MONITORS,
    ),
    Defect(
        "log-mistimed",
        "entries are stamped late",
        ("MON-4", *_CONTENT),
        _timed(lambda audit, size: replace(audit, late_s=size)),
        size=0.7,
        timed=True,
        machines=_CONSOLES,
    ),
    Defect(
        "clock-off",
        "the device's clock is ahead",
        ("MON-4", *_CONTENT),
        _timed(lambda audit, size: replace(audit, clock_offset_s=size)),
        size=0.7,
        timed=True,
        machines=_MONITORS,
    ),
    Defect(
        "clock-runs-off",
        "the device's clock runs off, by its size in 10 s",
        ("MON-4", *_CONTENT),
        _timed(lambda audit, size: replace(audit, clock_drift=size / _RUN_S)),
        size=0.7,
        timed=True,
        machines=_ROBOTS,
    ),
    Defect(
        "log-wrong-figure",
        "conditions are recorded with a figure 35 % too large",
        ("MON-4",),
        _with(figure_factor=1.35),
        machines=_IMAGERS,
    ),
    Defect(
        "log-forged-entry",
        "somebody is logged who never signed in",
        _CONTENT,
        _with(forges=True),
        machines=_CONSOLES,
    ),
    Defect(
        "log-phantom-alarm",
        "the alarm of the local stop is logged and never sounds",
        _CONTENT,
        _with(phantoms=frozenset({"local-stop-active"})),
    ),
    Defect(
        "log-only-in-memory",
        "a power cut costs the whole log",
        ("LOG-2",),
        _with(volatile=True),
        machines=_MONITORS,
    ),
    Defect(
        "log-stored-late",
        "entries are safely stored only after a while",
        ("LOG-2",),
        _timed(lambda audit, size: replace(audit, sync_after_s=size)),
        size=5.0,
        timed=True,
        machines=_MONITORS,
    ),
    Defect(
        "log-stops-silently",
        "the log stops without a sign when its medium is full",
        ("LOG-2",),
        _with(shows_full=False),
        machines=_CONSOLES,
    ),
    Defect(
        "log-overwrites",
        "a full medium costs the oldest entries",
        ("LOG-2",),
        _with(overwrites=True),
        machines=_ROBOTS,
    ),
    Defect(
        "log-unchecked",
        "an edit of the log is not noticed",
        ("LOG-2",),
        _with(checks=False),
        machines=_IMAGERS,
    ),
    Defect(
        "log-without-anchor",
        "a log that was edited and chained anew is not noticed",
        ("LOG-2",),
        _with(anchored=False),
        machines=_ROBOTS,
    ),
    Defect(
        "export-leaves-out",
        "the export leaves out what the device did by itself",
        ("OPS-3",),
        _with(export_omits=frozenset({"device"})),
        machines=(ROBOT, IMAGING),
    ),
    Defect(
        "export-without-alarms",
        "the export leaves out the alarms",
        _CONTENT,
        _with(export_omits=frozenset({"alarm"})),
        machines=_CONSOLES,
    ),
)
