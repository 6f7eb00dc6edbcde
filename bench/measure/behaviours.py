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
from bench.measure.alarming import EXPECTED_ALARMS, expected_alarms, mob_1, mon_2
from bench.measure.floor import NoiseFloor
from bench.measure.holding import fail_1, fail_3, lim_1, lim_2, loc_1
from bench.measure.journeys import mob_2
from bench.measure.kpi import evidence_problems, flow_problems, time_budget
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.measure.places import con_2, env_1, life_1
from bench.measure.recovering import rec_1, sw_1
from bench.measure.restoring import us_2
from bench.measure.stimulus import timer_lateness_s
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
    uncertainty budget, a count (``count``) or a ratio (``1``) of events is exact. ``more``: the
    more the better, so that the worst trial is the smallest.
    ``stream_limits``: it rests on what the profile says each stream needs, which must not be looser
    than the documents.
    """

    trial: Trial
    reference_points: str
    events: tuple[str, ...] = ()
    alarm: bool = False
    unit: str = "s"
    more: bool = False
    stream_limits: bool = False


BEHAVIOURS: Mapping[str, Behaviour] = {
    "MON-2": Behaviour(mon_2, "fault-signal", ("alarm-signal",), alarm=True),
    "LIM-1": Behaviour(lim_1, "fault-signal", ("rearm",)),
    "LIM-2": Behaviour(lim_2, "fault-signal", ("rearm",)),
    "FAIL-1": Behaviour(fail_1, "interface-interface"),
    "FAIL-3": Behaviour(fail_3, "fault-signal"),
    "SW-1": Behaviour(sw_1, "none"),
    "REC-1": Behaviour(rec_1, "fault-signal", ("rearm",)),
    "LOC-1": Behaviour(loc_1, "stop-motion", ("action",)),
    "MOB-1": Behaviour(mob_1, "fault-signal", ("alarm-signal",), alarm=True),
    "CON-2": Behaviour(con_2, "none", IMAGE_EVENTS, unit="count", more=True, stream_limits=True),
    "ENV-1": Behaviour(env_1, "none", IMAGE_EVENTS, unit="count", stream_limits=True),
    "LIFE-1": Behaviour(life_1, "none", IMAGE_EVENTS, unit="count", stream_limits=True),
    "MOB-2": Behaviour(
        mob_2, "fault-signal", ("alarm-signal", *IMAGE_EVENTS), alarm=True, stream_limits=True
    ),
    "US-2": Behaviour(us_2, "none", ("action", "record", "archive")),
}


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
    for recording in recordings:
        trouble = [*evidence_problems(recording), *(unsound or {}).get(recording.session_id, ())]
        try:
            trouble += flow_problems(recording, ev.watched(recording), profile.watched)
            value, found = behaviour.trial(recording, alarm)
        except ev.Cannot as reason:
            trouble.append(str(reason))
        if trouble:
            problems += [f"{recording.session_id}: {text}" for text in trouble]
            continue
        values.append(value)
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
        budget=_event_budget(recordings, floor, behaviour) if timed else (),
        required_terms=TIME_TERMS if timed else (),
        independent=_independent(behaviour, recordings),
        trials=tuple(values),
        problems=tuple(problems),
        details=details,
    )


def _independent(behaviour: Behaviour, recordings: Sequence[Recording]) -> bool:
    return all(
        event.independent
        for recording in recordings
        for name in behaviour.events
        for event in recording.named(name)
    )


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
    if behaviour.reference_points in REACTIONS:
        late_s = max(timer_lateness_s(recording) for recording in recordings)
        width_s = math.hypot(width_s, late_s)
        origin = "99th percentile of the noise floor and largest timer lateness, rectangular"
    return (*terms, UncertaintyTerm("event", width_s / math.sqrt(3), origin))
