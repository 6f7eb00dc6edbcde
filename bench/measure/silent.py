"""Loss without a sign: FAIL-4, one trial."""

from __future__ import annotations

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.alarming import expected_alarms
from bench.measure.pairing import by_sequence, flow_of
from bench.network.impairment import DIRECTIONS, Direction
from bench.network.scenario import Window
from bench.sessions.recording import Event, Recording
from bench.units import ns

_APART_NS = ns(0.25)
"""Lost packets of one direction that are nearer to each other make one span."""

_TOLD = frozenset({"link-state", "link-switch", "connection", "alarm-condition"})
"""Entries of a device's log that announce a loss on the network."""


def fail_4(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The number of spans of lost data that the device neither makes good nor announces.

    A packet whose copy arrived on another line is made good. An alarm on either side announces a
    span that it signals within its deadline; so does an entry of the device's log, which is the
    device's own word. It shows something only where data were lost and the deadlines are over.
    """
    window = ev.faulty_window(recording)
    alarms = expected_alarms(recording)
    within_s = max((found.within_s for found in alarms), default=0.0)
    spans = [
        (direction, start)
        for direction in DIRECTIONS
        for start in _lost_spans(recording, direction, window)
    ]
    if not spans:
        raise ev.Cannot("no data were lost, so that nothing had to be announced")
    if recording.schedule.end_ns - max(start for _, start in spans) < ns(within_s):
        raise ev.Cannot("the recording ends before the deadline of the alarm")
    silent = logged = 0
    for _, start in spans:
        if _signalled(recording, alarms, start, window):
            continue
        told = any(_tells(event, start, within_s) for event in recording.events)
        silent, logged = silent + (not told), logged + told
    details: ev.Details = {"spans": float(len(spans)), "only_logged": float(logged)}
    if logged:
        details[ev.SELF_REPORTED] = "announced by its log alone"
    return float(silent), details


def _lost_spans(recording: Recording, direction: Direction, window: Window) -> list[int]:
    """When each span of lost data begins: packets sent in the fault that never arrived."""
    lost = [np.zeros(0, dtype=np.int64)]
    for stream in recording.device.active_streams:
        flow = by_sequence(flow_of(recording, stream.name, direction))
        inside = (flow.sent_ns >= window.start_ns - ev.EDGE_NS) & (flow.sent_ns < window.end_ns)
        lost.append(flow.sent_ns[flow.lost & inside])
    times = np.sort(np.concatenate(lost))
    first = np.diff(times, prepend=-2 * _APART_NS) > _APART_NS
    return [int(t_ns) for t_ns in times[first]]


def _signalled(
    recording: Recording, alarms: tuple[AlarmProfile, ...], start: int, window: Window
) -> bool:
    for found in alarms:
        for side in ("patient", "doctor"):
            for on, off, _ in ev.alarm_spans(recording, found.name, side):
                if on < window.start_ns - ev.EDGE_NS and (off is None or off > window.start_ns):
                    raise ev.Cannot(f"the alarm {found.name} was on before the fault")
                lasts = off is None or off > start
                if window.start_ns - ev.EDGE_NS <= on <= start + ns(found.within_s) and lasts:
                    return True
    return False


def _tells(event: Event, start: int, within_s: float) -> bool:
    near = start - ev.EDGE_NS <= event.t_ns <= start + ns(within_s)
    return event.origin == "log" and event.name in _TOLD and near
