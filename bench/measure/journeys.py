"""MOB-2: fast, harsh mobility, one trial: a journey of several events, each answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.alarming import expected_alarms
from bench.measure.exceeding import exceedances
from bench.measure.needs import IMAGE_KIND, late_images
from bench.network.scenario import Side
from bench.sessions.recording import Recording
from bench.units import ns

JOURNEY = "journey"
"""Kind of the steps of a journey; each holds one event and the ride after it."""


def mob_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Zero where the limits hold through the journey; else the longest time to an alarm signal.

    A limit stops holding with the first packet of the watched stream beyond it: delay, loss over
    the device's loss window, silence. Any of the alarms that answer a journey is an answer, by its
    own deadline and with its own priority; where none came so the value is ``inf``. Image sets
    made on the way must arrive whole, in the time that their rate takes and the journey's own
    interruptions.
    """
    if alarm is None:
        raise ev.Cannot("no alarm is declared for a journey")
    windows = [w for w in recording.schedule.windows if w.kind == JOURNEY]
    if not windows:
        raise ev.Cannot("the scenario holds no journey")
    flow = ev.watched(recording)
    start_ns, end_ns = windows[0].start_ns, windows[-1].end_ns
    ev.offered(flow, start_ns, end_ns)
    alarms = expected_alarms(recording)
    early = [
        a.name
        for a in alarms
        for on, off, _ in ev.alarm_spans(recording, a.name)
        if on < start_ns and (off is None or off > start_ns)
    ]
    if early:
        raise ev.Cannot(f"the alarm {early[0]} was on before the journey")
    details: ev.Details = {}
    worst = 0.0
    for window in windows:
        exceeded = exceedances(recording, flow, window)
        details[window.name] = f"{len(exceeded)} exceedances" if exceeded else "held"
        for onset in exceeded:
            value, answer = _answered(recording, alarms, onset)
            details[f"{window.name} answer"] = answer
            worst = max(worst, value)
    if any(IMAGE_KIND in s.kinds for s in recording.device.active_streams):
        worst = max(worst, _images(recording, (start_ns, end_ns), details))
    return worst, details


def _answered(
    recording: Recording, alarms: tuple[AlarmProfile, ...], onset: int
) -> tuple[float, str]:
    """Time to the first alarm that answers an exceedance in time; ``inf`` where none does.

    An alarm that still sounds from the exceedance before answers at once.
    """
    best, name, longest_s = ev.NEVER, "none", 0.0
    for each in alarms:
        longest_s = max(longest_s, each.within_s)
        for on, off, priority in ev.alarm_spans(recording, each.name):
            sounding = off is None or off > onset
            taken_s = max(0.0, (on - onset) / 1e9)
            if sounding and priority == each.priority and taken_s <= min(each.within_s, best):
                best, name = taken_s, each.name
                break
    if name == "none":
        return ev.never(recording, onset, longest_s, {}), name
    return best, name


def _images(recording: Recording, span: tuple[int, int], details: ev.Details) -> float:
    """Zero where every image set made on the way arrived whole; it may wait while all is down.

    Where that is not enough, also until the device says that it is connected again, within the
    time that its maker declares for it.
    """
    down = _down(recording)
    unclear: list[str] = []
    late = late_images(recording, *span, unclear, down)
    if late:
        unclear = []
        late = late_images(recording, *span, unclear, _until_connected(recording, down))
        if not late and not unclear:
            details[ev.SELF_REPORTED] = "when it was connected again is told by its log"
    if late:
        details["images"] = "; ".join(late)
        return ev.NEVER
    if unclear:
        raise ev.Cannot("; ".join(unclear))
    details["images"] = "whole"
    return 0.0


def _until_connected(
    recording: Recording, down: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The spans until both sides' logs say connected, at most D:reconnect_within after each."""
    within_s = recording.device.declares.get("reconnect_within_s", 0.0)
    spans: list[tuple[int, int]] = []
    for begin, end in down:
        again = max(_connected_from(recording, side, end) for side in ("patient", "doctor"))
        until = int(min(again, end + ns(within_s)))
        if spans and begin <= spans[-1][1]:
            begin, until = spans[-1][0], max(spans.pop()[1], until)
        spans.append((begin, until))
    return spans


def _connected_from(recording: Recording, side: Side, t_ns: int) -> float:
    """From when on a side says that it is connected, ``t_ns`` the earliest; it if none ever did."""
    told = [e for e in recording.named("connection", side=side) if e.origin == "log"]
    before = [e for e in told if e.t_ns <= t_ns]
    if not told or (before and before[-1].value["up"]):
        return t_ns
    return next((e.t_ns for e in told if e.t_ns > t_ns and e.value["up"]), math.inf)


def _down(recording: Recording) -> list[tuple[int, int]]:
    """When the schedule let no link carry anything to the doctor."""
    schedule = recording.schedule
    edges = sorted({0, schedule.end_ns, *(c.t_ns for c in schedule.changes)})

    def all_down(t_ns: int) -> bool:
        states = (
            [i for at, i in schedule.of(x, "to-doctor") if at <= t_ns] for x in schedule.links
        )
        return all(found and not found[-1].up for found in states)

    return [(begin, end) for begin, end in pairwise(edges) if all_down(begin)]
