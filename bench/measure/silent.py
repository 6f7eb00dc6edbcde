"""Loss without a sign: FAIL-4, one trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.devices.side import CONTROL
from bench.measure import events as ev
from bench.measure.addresses import old_address_spans
from bench.measure.alarming import expected_alarms
from bench.measure.pairing import by_sequence, flow_of
from bench.network.addresses import ADDRESS_CHANGE
from bench.network.impairment import DIRECTIONS, Direction
from bench.network.scenario import Window
from bench.sessions.recording import Event, Recording
from bench.units import ns

_APART_NS = ns(0.25)
"""Lost packets of one direction that are nearer to each other make one span."""

_TOLD = frozenset({"link-state", "link-switch", "connection", "alarm-condition"})
"""Entries of a device's log that announce a loss on the network."""

HOLE = "mtu-hole"
"""The kind of a step in which a link swallows large packets."""


def fail_4(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The number of spans of lost data that the device neither makes good nor announces.

    A packet whose copy arrived on another line is made good. An alarm on either side announces a
    span that it signals within its deadline; so does an entry of the device's log, which is the
    device's own word. After a change of address, data that flow again within the declared time need
    no announcement. It shows something only where data were lost and the deadlines are over.
    """
    window = ev.faulty_window(recording)
    insist = _STIMULI.get(window.kind)
    if insist is not None:
        insist(recording, window)
    alarms = expected_alarms(recording)
    within_s = max((found.within_s for found in alarms), default=0.0)
    spans = [
        (direction, *span)
        for direction in DIRECTIONS
        for span in _lost_spans(recording, direction, window)
    ]
    moved = window.kind == ADDRESS_CHANGE
    if not spans and not moved:
        raise ev.Cannot("no data were lost, so that nothing had to be announced")
    last = max((start for _, start, _ in spans), default=window.start_ns)
    if recording.schedule.end_ns - last < ns(within_s):
        raise ev.Cannot("the recording ends before the deadline of the alarm")
    silent = logged = 0
    for direction, start, end in spans:
        if _signalled(recording, alarms, start, window):
            continue
        if moved and _resumed(recording, direction, (start, end), within_s):
            continue
        told = any(_tells(event, start, within_s) for event in recording.events)
        silent, logged = silent + (not told), logged + told
    details: ev.Details = {"spans": float(len(spans)), "only_logged": float(logged)}
    if logged:
        details[ev.SELF_REPORTED] = "announced by its log alone"
    return float(silent), details


def _insist_on_hole(recording: Recording, window: Window) -> None:
    """Insist that a link swallowed data for their length; the device's probes carry none.

    Raises:
        Cannot: it did not.
    """
    links = recording.schedule.links
    for change in recording.schedule.changes:
        most = change.impairment.most_captured_bytes
        if most is None or not window.start_ns <= change.t_ns < window.end_ns:
            continue
        for stream in recording.device.active_streams:
            if stream.name == CONTROL:
                continue
            flow = by_sequence(flow_of(recording, stream.name, change.direction))
            here = (flow.link == links.index(change.link)) & (flow.size > most)
            inside = (flow.sent_ns >= change.t_ns) & (flow.sent_ns < window.end_ns)
            if (flow.lost & here & inside).any():
                return
    raise ev.Cannot("no data were swallowed for the length of their packets")


def _insist_on_old_address(recording: Recording, window: Window) -> None:
    """Insist that an address changed in the fault, and that packets went astray to the old one.

    Raises:
        Cannot: none did.
    """
    for place, link in enumerate(recording.schedule.links):
        for direction in DIRECTIONS:
            spans = old_address_spans(recording, link, direction)
            spans = [s for s in spans if window.start_ns <= s[0] < window.end_ns]
            if spans and _astray(recording, place, direction, spans):
                return
    raise ev.Cannot("nothing was lost on its way to the old address")


def _astray(
    recording: Recording, link: int, direction: Direction, spans: list[tuple[int, int]]
) -> bool:
    for stream in recording.device.active_streams:
        flow = flow_of(recording, stream.name, direction)
        lost_ns = flow.sent_ns[flow.lost & (flow.link == link)]
        if any(((lost_ns >= moved) & (lost_ns < learned)).any() for moved, learned in spans):
            return True
    return False


def _resumed(
    recording: Recording, direction: Direction, span: tuple[int, int], within_s: float
) -> bool:
    """Whether a span of lost data lies within the declared time of a change of address.

    That time counts only as far as the deadline of the alarm.

    Raises:
        Cannot: none is declared.
    """
    declared_s = recording.device.declares.get("readdress_within_s")
    if declared_s is None:
        raise ev.Cannot("not declared: D:readdress_within_s")
    most_ns = ns(min(declared_s, within_s) if within_s else declared_s)
    return any(
        moved_ns - most_ns <= span[0] and span[1] <= moved_ns + most_ns
        for link in recording.schedule.links
        for moved_ns, _ in old_address_spans(recording, link, direction)
    )


_STIMULI: Mapping[str, Callable[[Recording, Window], None]] = {
    HOLE: _insist_on_hole,
    ADDRESS_CHANGE: _insist_on_old_address,
}
"""By the kind of the step, what must have reached the device."""


def _lost_spans(
    recording: Recording, direction: Direction, window: Window
) -> list[tuple[int, int]]:
    """First and last packet of each span of lost data: sent in the fault, and never arrived."""
    lost = [np.zeros(0, dtype=np.int64)]
    for stream in recording.device.active_streams:
        flow = by_sequence(flow_of(recording, stream.name, direction))
        inside = (flow.sent_ns >= window.start_ns - ev.EDGE_NS) & (flow.sent_ns < window.end_ns)
        lost.append(flow.sent_ns[flow.lost & inside])
    times = np.sort(np.concatenate(lost))
    first = np.diff(times, prepend=-2 * _APART_NS) > _APART_NS
    ends = np.append(np.flatnonzero(first)[1:], len(times)) - 1
    return [
        (int(start), int(times[end]))
        for start, end in zip(times[first], ends, strict=bool(len(times)))
    ]


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
