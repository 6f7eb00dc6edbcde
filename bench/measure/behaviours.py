"""The behaviours of the catalogue as measurements: every trial of one, together.

A trial takes one recording and gives one value: ``inf`` where the awaited response never came or
came wrongly (the device's fault), or a reason why the recording cannot show it (nobody's).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.devices.profile import AlarmProfile, DeviceProfile
from bench.measure import events as ev
from bench.measure.alarming import expected_alarms, mob_1, mon_2
from bench.measure.auditing import WITNESS_SIDE, log_1, log_2, mon_4, ops_2, ops_3
from bench.measure.coexisting import coex_1
from bench.measure.connecting import con_1
from bench.measure.device_log import DEVICE_CLOCK, clock_term
from bench.measure.displaying import mon_1, mon_3
from bench.measure.enciphering import dat_1, dat_2
from bench.measure.floor import NoiseFloor
from bench.measure.holding import fail_1, fail_3, lim_1, lim_2, loc_1
from bench.measure.journeys import mob_2
from bench.measure.kpi import evidence_problems, flow_problems, time_budget
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.measure.ordering import path_1, path_2, us_1
from bench.measure.places import con_2, env_1, life_1
from bench.measure.preserving import pre_1
from bench.measure.quality import lim_3, ops_1
from bench.measure.recovering import rec_1, sw_1
from bench.measure.reporting import icu_1, icu_2
from bench.measure.restoring import us_2
from bench.measure.securing import (
    sec_1,
    sec_2,
    sec_3,
    sec_4,
    sec_5,
    sec_6,
    sec_7,
)
from bench.measure.seeing import fail_2, sync_1
from bench.measure.silent import fail_4
from bench.measure.standby import sw_2, sw_3
from bench.measure.stimulus import timer_lateness_s
from bench.measure.takeover import loc_2
from bench.measure.warranted import EXPECTED_ALARMS
from bench.measure.worst_case import wc_1
from bench.sessions.instruments import ALARMS, CONTACTS
from bench.sessions.recording import Recording

__all__ = ["BEHAVIOURS", "EXPECTED_ALARMS", "Behaviour", "expected_alarms", "measure_behaviour"]

TIME_TERMS = ("tap", "clock", "event")

REACTIONS = ("fault-signal", "stop-motion")
"""Reference points between which the device's own timers lie. The age of a command ends with its
arrival, and a gap lies between packets."""

IMAGE_EVENTS = ("image-acquired", "image")

Trial = Callable[[Recording, AlarmProfile | None], tuple[float, ev.Details]]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one behaviour is measured.

    ``events``: names of events it rests on beside contacts and taps, which are independent of
    the device; the device's own log otherwise appears in details only. ``alarm``: its limit is
    the deadline of the alarm that answers the fault. ``unit``: of the value; only times carry an
    uncertainty budget, a count (``count``) or a ratio (``1``) of events is exact.
    ``commands_only``: of the device's streams it rests on the control stream and the watched one
    alone, so that a session may run without the others. ``reaction``: the device's own timers lie
    in it, whatever its reference points are called. ``by_device``: the value is a time by the
    device's own clock, which is measured and enters the budget. ``more``: the
    more the better, so that the worst trial is the smallest.
    ``stream_limits``: it rests on what the profile says each stream needs, which must not be looser
    than the documents.
    """

    trial: Trial
    reference_points: str
    events: tuple[str, ...] = ()
    alarm: bool = False
    unit: str = "s"
    commands_only: bool = False
    reaction: bool = False
    by_device: bool = False
    more: bool = False
    stream_limits: bool = False
    totals: tuple[str, ...] = ()


_ALARM_COUNTS = ("missed_alarms", "false_alarms")

BEHAVIOURS: Mapping[str, Behaviour] = {
    "MON-2": Behaviour(
        mon_2,
        "fault-signal",
        ("alarm-signal",),
        alarm=True,
        commands_only=True,
        totals=_ALARM_COUNTS,
    ),
    "LIM-1": Behaviour(lim_1, "fault-signal", ("rearm",), commands_only=True),
    "LIM-2": Behaviour(lim_2, "fault-signal", ("rearm",), commands_only=True),
    "FAIL-1": Behaviour(fail_1, "interface-interface", commands_only=True),
    "FAIL-3": Behaviour(fail_3, "fault-signal", commands_only=True),
    "SW-1": Behaviour(sw_1, "none", commands_only=True),
    "REC-1": Behaviour(rec_1, "fault-signal", ("rearm",), commands_only=True),
    "LOC-1": Behaviour(loc_1, "stop-motion", ("action",), commands_only=True),
    "MOB-1": Behaviour(
        mob_1, "fault-signal", ("alarm-signal",), alarm=True, commands_only=True, stream_limits=True
    ),
    "LOC-2": Behaviour(loc_2, "none", ("action", "rearm"), reaction=True, commands_only=True),
    "SW-2": Behaviour(sw_2, "fault-signal", ("alarm-signal",), alarm=True, commands_only=True),
    "SW-3": Behaviour(sw_3, "none", reaction=True, commands_only=True),
    "FAIL-4": Behaviour(fail_4, "none", ("alarm-signal",), unit="count"),
    "FAIL-2": Behaviour(fail_2, "glass-glass", ("picture", "action")),
    "MON-1": Behaviour(mon_1, "none", ("network-display",), unit="1", commands_only=True),
    "MON-3": Behaviour(mon_3, "none", ("alarm-signal",), unit="1", commands_only=True),
    "PATH-1": Behaviour(path_1, "none", unit="count"),
    "PATH-2": Behaviour(path_2, "none", unit="bit/s"),
    "US-1": Behaviour(us_1, "none", unit="count"),
    "SYNC-1": Behaviour(sync_1, "glass-glass", ("presented", "action")),
    "ICU-1": Behaviour(icu_1, "none", ("measurement", "record", "patient-state", "alarm-signal")),
    "ICU-2": Behaviour(icu_2, "none", ("measurement", "record"), unit="count"),
    "PRE-1": Behaviour(pre_1, "none", ("measurement", "record", "power"), unit="count"),
    "LIM-3": Behaviour(lim_3, "fault-signal", ("rearm",)),
    "OPS-1": Behaviour(ops_1, "none", ("alarm-signal",), unit="count"),
    "WC-1": Behaviour(wc_1, "none", ("action", "rearm"), unit="count"),
    "MON-4": Behaviour(mon_4, "none", ("action",), by_device=True),
    "LOG-1": Behaviour(log_1, "none", ("action", "alarm-signal", "rearm"), unit="count"),
    "LOG-2": Behaviour(log_2, "none", ("action",), unit="count"),
    "OPS-2": Behaviour(
        ops_2, "fault-signal", ("action", "alarm-signal"), alarm=True, totals=_ALARM_COUNTS
    ),
    "OPS-3": Behaviour(ops_3, "none", ("action", "alarm-signal", "rearm"), unit="count"),
    "SEC-1": Behaviour(sec_1, "none", ("attempt",), unit="count"),
    "SEC-2": Behaviour(sec_2, "none", ("attempt",), unit="count"),
    "SEC-3": Behaviour(sec_3, "none", ("attack", "alarm-signal"), alarm=True, unit="count"),
    "SEC-4": Behaviour(sec_4, "fault-signal", ("alarm-signal",), alarm=True),
    "SEC-5": Behaviour(sec_5, "none", ("commands-sent", "commands-executed"), unit="count"),
    "SEC-6": Behaviour(sec_6, "none", ("attempt", "version"), unit="count"),
    "SEC-7": Behaviour(sec_7, "stop-motion", ("action",)),
    "DAT-1": Behaviour(dat_1, "none", ("overheard",), unit="count"),
    "DAT-2": Behaviour(dat_2, "app-app", ("test-point", "overheard"), reaction=True),
    "CON-1": Behaviour(con_1, "none", ("attempt",), unit="count", more=True),
    "CON-2": Behaviour(con_2, "none", IMAGE_EVENTS, unit="count", more=True, stream_limits=True),
    "ENV-1": Behaviour(env_1, "none", IMAGE_EVENTS, unit="count", stream_limits=True),
    "LIFE-1": Behaviour(life_1, "none", IMAGE_EVENTS, unit="count", stream_limits=True),
    "MOB-2": Behaviour(
        mob_2, "fault-signal", ("alarm-signal", *IMAGE_EVENTS), alarm=True, stream_limits=True
    ),
    "COEX-1": Behaviour(coex_1, "none", ("exposure",), unit="count", stream_limits=True),
    "US-2": Behaviour(us_2, "none", ("action", "record", "archive")),
}


BY_ALARMS = ("MON-2", "MOB-1", "MON-3")
"""What packets and alarms show of a device that no bench plays."""
BY_CONTACTS: Mapping[str, tuple[str, ...]] = dict.fromkeys(("LOC-1", "SEC-7"), ("motion", "stop"))
"""What packets and these of its contacts show."""


def unobserved(requirement: str, recording: Recording) -> str:
    """Why nothing here saw what a behaviour rests on; empty where it did.

    Of a device at the far ends of physical interfaces there are its packets, its alarms where an
    adapter is connected, and the contacts that are wired. That nothing was heard of what nobody
    listens to says nothing.
    """
    if recording.bench != "lab":
        return ""
    if requirement in BY_CONTACTS:
        wired = {name for event in recording.named(CONTACTS) for name in event.value}
        missing = [name for name in BY_CONTACTS[requirement] if name not in wired]
        return f"not wired to the device: {', '.join(missing)}" if missing else ""
    if requirement not in BY_ALARMS:
        return f"nobody observes what {requirement} rests on: the bench does not play the device"
    return "" if recording.named(ALARMS) else "no adapter is connected to the device's alarms"


def measure_behaviour(
    requirement: str,
    recordings: Sequence[Recording],
    *,
    profile: DeviceProfile,
    confidence: float,
    floor: NoiseFloor | None,
    alarm: AlarmProfile | None = None,
    unsound: Mapping[str, Sequence[str]] | None = None,
) -> Measurement:
    """All trials of a behaviour together: the worst value, one entry per sound trial.

    Args:
        requirement: its id.
        recordings: one per trial.
        profile: the device.
        confidence: confidence level of what is claimed.
        floor: the noise floor of this run.
        alarm: the alarm that is to answer the fault, for behaviours whose limit is its deadline.
        unsound: per session id, what else stands against a trial (its stimulus).

    Raises:
        KeyError: an id that the bench does not measure.
    """
    behaviour = BEHAVIOURS[requirement]
    worst_of = min if behaviour.more else max
    values: list[float] = []
    problems: list[str] = []
    details: ev.Details = {}
    totals: ev.Details = dict.fromkeys(behaviour.totals, 0.0)
    own_word = False
    for recording in recordings:
        trouble = [*evidence_problems(recording), *(unsound or {}).get(recording.session_id, ())]
        trouble += filter(None, [unobserved(requirement, recording)])
        try:
            trouble += flow_problems(recording, ev.watched(recording), profile.watched)
            value, found = behaviour.trial(recording, alarm)
        except ev.Cannot as reason:
            trouble.append(str(reason))
        if trouble:
            problems += [f"{recording.session_id}: {text}" for text in trouble]
            continue
        values.append(value)
        own_word |= ev.SELF_REPORTED in found
        for name in totals:
            totals[name] = float(totals[name] or 0.0) + float(found[name] or 0.0)
        if value == worst_of(values):
            details = found
    worst = worst_of(values) if values else None
    timed = behaviour.unit == "s"
    return Measurement(
        value=worst,
        unit=behaviour.unit,
        n=len(values),
        method=requirement,
        reference_points=behaviour.reference_points,
        lower=worst,
        upper=worst,
        confidence=confidence,
        extreme=worst,
        budget=_budget(recordings, floor, behaviour) if timed else (),
        required_terms=_required(behaviour) if timed else (),
        independent=_independent(behaviour, recordings) and not own_word,
        trials=tuple(values),
        problems=tuple(problems),
        details=details | totals if values else details,
    )


def _required(behaviour: Behaviour) -> tuple[str, ...]:
    return (*TIME_TERMS, DEVICE_CLOCK) if behaviour.by_device else TIME_TERMS


def _independent(behaviour: Behaviour, recordings: Sequence[Recording]) -> bool:
    return all(
        event.independent
        for recording in recordings
        for name in behaviour.events
        for event in recording.named(name)
    )


def _budget(
    recordings: Sequence[Recording], floor: NoiseFloor | None, behaviour: Behaviour
) -> tuple[UncertaintyTerm, ...]:
    terms = _event_budget(recordings, floor, behaviour)
    clock = clock_term(recordings, WITNESS_SIDE) if behaviour.by_device else None
    return terms if clock is None else (*terms, clock)


def _event_budget(
    recordings: Sequence[Recording], floor: NoiseFloor | None, behaviour: Behaviour
) -> tuple[UncertaintyTerm, ...]:
    """As for a time between taps, and ``event``: the stamp of a contact or a signal.

    A stamp is late by what an unimpaired path takes. A reaction is late also by as much as the
    process that plays the device's side was ever late in the session.
    """
    if not recordings:
        return ()
    watched = recordings[0].device.watched
    terms = time_budget(recordings, watched, floor)
    if all(recording.bench == "virtual" for recording in recordings):
        return (*terms, UncertaintyTerm("event", 0.0, "virtual clock: exact"))
    found = floor.stream(watched) if floor is not None else None
    if found is None or not math.isfinite(found.p99):
        return terms
    width_s, origin = found.p99, "99th percentile of the noise floor, rectangular"
    if behaviour.reaction or behaviour.reference_points in REACTIONS:
        late_s = max(timer_lateness_s(recording) for recording in recordings)
        width_s = math.hypot(width_s, late_s)
        origin = "99th percentile of the noise floor and largest timer lateness, rectangular"
    return (*terms, UncertaintyTerm("event", width_s / math.sqrt(3), origin))
