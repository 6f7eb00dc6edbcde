"""MOB-2: fast, harsh mobility, one trial: a journey of several events, each answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.alarming import expected_alarms
from bench.measure.needs import IMAGE_KIND, late_images
from bench.measure.pairing import Flow
from bench.network.scenario import Side, Window
from bench.sessions.recording import Recording
from bench.units import ns

JOURNEY = "journey"
"""Kind of the steps of a journey; each holds one event and the ride after it."""

GUARD_NS = 10_000_000
"""A silence that ends this soon after its limit may pass between two looks."""

APART_NS = 1_000_000_000
"""Losses closer than this belong to one exceedance."""


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


def exceedances(recording: Recording, flow: Flow, window: Window) -> list[int]:
    """When the watched stream went beyond the device's limits in a step, once per exceedance."""
    inside = (flow.sent_ns >= window.start_ns - ev.EDGE_NS) & (flow.sent_ns < window.end_ns)
    part = flow.select(inside)
    return sorted([*_late(recording, part), *_lossy(recording, part), *_silent(recording, part)])


def _limits(recording: Recording) -> tuple[float, float, float]:
    """Delay (s), loss and silence (s) of the watched stream that count as kept.

    The device's own, on which it acts, but no wider than what the stream needs of a network.

    Raises:
        Cannot: the device declares one of them not.
    """
    watched = recording.device.stream(recording.device.watched)
    if watched.most_delay_s is None or watched.most_loss is None:
        raise ev.Cannot(f"not declared: most_delay and most_loss of {watched.name}")
    return (
        min(ev.device_limit(recording, "command_delay_s"), watched.most_delay_s),
        min(ev.device_limit(recording, "command_loss"), watched.most_loss),
        min(ev.device_limit(recording, "command_silence_alarm_s"), watched.most_delay_s),
    )


def _late(recording: Recording, flow: Flow) -> list[int]:
    """Every packet that arrives over two of the device's delay windows is older than its limit.

    However its windows lie, one of them holds nothing else.
    """
    limit_ns = ns(_limits(recording)[0])
    least_ns = 2 * ns(ev.device_limit(recording, "command_delay_window_s"))
    order = np.argsort(flow.received_ns[flow.arrived], kind="stable")
    received = flow.received_ns[flow.arrived][order]
    late = received - flow.sent_ns[flow.arrived][order] > limit_ns
    edges = np.flatnonzero(np.diff(np.concatenate(([False], late, [False])).astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [
        int(received[first])
        for first, end in runs
        if received[end - 1] - received[first] >= least_ns
    ]


def _lossy(recording: Recording, flow: Flow) -> list[int]:
    """More packets are lost within the device's loss window than its limit allows."""
    span_ns = ns(ev.device_limit(recording, "command_loss_window_s"))
    period_ns = ns(recording.device.stream(recording.device.watched).period_s)
    allowed = max(
        recording.device.limits.get("command_loss_packets", 1.0),
        _limits(recording)[1] * span_ns / period_ns,
    )
    lost = flow.sent_ns[flow.lost]
    return [
        first
        for first in _groups(lost)
        if np.count_nonzero((lost >= first) & (lost < first + span_ns)) > allowed
    ]


def _silent(recording: Recording, flow: Flow) -> list[int]:
    """Nothing arrives for longer than the limit on silence."""
    limit_ns = ns(_limits(recording)[2]) + GUARD_NS
    received = np.sort(flow.received_ns[flow.arrived])
    return [int(t) for t in received[:-1][np.diff(received) > limit_ns]]


def _groups(times_ns: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """The first of each group of times that lie close together."""
    if not len(times_ns):
        return []
    return [
        int(times_ns[0]),
        *(int(t) for t in times_ns[1:][np.diff(times_ns) > APART_NS]),
    ]


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
