"""What is presented to the doctor: frozen pictures (FAIL-2), streams in step (SYNC-1)."""

from __future__ import annotations

import numpy as np

from bench.devices.profile import AlarmProfile, Stream
from bench.measure import events as ev
from bench.measure.holding import command_arrivals
from bench.measure.metrics import longest_gap_s
from bench.measure.pairing import flow_of
from bench.sessions.recording import Event, Recording
from bench.units import ns

STALLED_NS = ns(0.25)
"""After the stall so long packets may still be on their way."""

STALE_NS = ns(1.0)
"""A picture cannot be new so long after the last of its packets arrived."""

LEAST_MARKS = 5
"""Marks that every stream must have presented, or nothing is shown."""

APART_S = 0.003
"""Difference of the streams' delays at the taps below which they hardly differ."""


def presented_streams(recording: Recording, *kinds: str) -> list[Stream]:
    """The streams of which the doctor's side presents something of these kinds."""
    return [
        stream
        for stream in recording.device.active_streams
        if stream.source == "patient" and stream.served.presents in kinds
    ]


def fail_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the last new picture shown to the moment its live sign goes out; of the slowest.

    A live sign that stays, or comes back while no new picture is shown, is ``inf``. It shows
    something only if the picture's packets, and nothing but them, stopped at the taps for as long
    as the deadline, and a new picture with a live sign was shown before.
    """
    streams = presented_streams(recording, "picture")
    if not streams:
        raise ev.Cannot("the device presents no picture")
    stalled, resumed = _stall(recording)
    found = [_freeze(recording, stream, stalled, resumed) for stream in streams]
    return max(found, key=lambda pair: pair[0])


def _stall(recording: Recording) -> tuple[int, int]:
    times = [
        [e.t_ns for e in recording.named("action") if e.value.get("name") == name]
        for name in ("stall-video", "resume-video")
    ]
    if not times[0]:
        raise ev.Cannot("the bench did not carry out stall-video")
    later = [t_ns for t_ns in times[1] if t_ns > times[0][0]]
    return times[0][0], min(later, default=recording.schedule.end_ns)


def _freeze(
    recording: Recording, stream: Stream, stalled: int, resumed: int
) -> tuple[float, ev.Details]:
    details: ev.Details = {"picture": stream.name}
    deadline_s = recording.device.declares.get("freeze_shown_within_s", 0.0)
    last_packet = _last_packet(recording, stream, stalled, resumed, deadline_s)
    seen = [
        event
        for event in recording.named("picture", side="doctor")
        if event.origin == "signal" and event.value["stream"] == stream.name
    ]
    before = [event for event in seen if event.t_ns <= stalled]
    if not before or not (before[-1].value["new"] and before[-1].value["live"]):
        raise ev.Cannot(f"no live picture of {stream.name} was shown before the stall")
    during = [event for event in seen if stalled < event.t_ns <= resumed]
    still = [event for event in during if not event.value["new"]]
    if not still or still[0].value["last_new_ns"] > last_packet + STALE_NS:
        raise ev.Cannot(f"the sensor saw new pictures of {stream.name} while none arrived")
    last_new = int(still[0].value["last_new_ns"])
    details["last_packet_s"] = (last_new - last_packet) / 1e9
    off = next((event.t_ns for event in during if not event.value["live"]), None)
    if off is None:
        details["wrong"] = "a frozen picture was shown as live"
        return _never(resumed - last_new, deadline_s), details
    if any(e.value["live"] for e in during if e.t_ns > off):
        details["wrong"] = "the live sign came back on a frozen picture"
        return ev.NEVER, details
    again = [e.t_ns for e in seen if e.t_ns > resumed and e.value["live"] and e.value["new"]]
    details["live_again_s"] = (again[0] - resumed) / 1e9 if again else None
    return (off - last_new) / 1e9, details


def _never(watched_ns: int, deadline_s: float) -> float:
    if watched_ns < ns(deadline_s):
        raise ev.Cannot("the picture was new again before the deadline")
    return ev.NEVER


def _last_packet(
    recording: Recording, stream: Stream, stalled: int, resumed: int, deadline_s: float
) -> int:
    """When the picture's last packet before the stall arrived; the network must have gone on."""
    rows = recording.packets.where(tap="doctor", direction=1, stream=stream.code)
    arrivals = rows.column("t_ns")
    arrivals = arrivals[arrivals < resumed]
    if not len(arrivals):
        raise ev.Cannot(f"no packet of {stream.name} arrived before the stall")
    last = int(arrivals[-1])
    if last < stalled - STALLED_NS:
        raise ev.Cannot(f"{stream.name} had stopped before the stall")
    if last > stalled + STALLED_NS or resumed - last < ns(deadline_s):
        raise ev.Cannot(f"{stream.name} did not stall for as long as the deadline at the taps")
    if longest_gap_s(command_arrivals(recording), last, resumed) * 1e9 > ev.PAUSE_NS:
        raise ev.Cannot("not only the picture failed: the watched stream paused, too")
    return last


def sync_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The largest difference, over all marks, between the streams' presentation delays.

    A mark is something to be seen and heard at the source at once. It shows something only if
    enough marks were presented by every stream, and the streams' delays differed at the taps.
    """
    streams = presented_streams(recording, "picture", "sound")
    if len(streams) < 2:
        raise ev.Cannot("the device presents fewer than two streams")
    made = [e.t_ns for e in recording.named("action") if e.value.get("name") == "mark"]
    apart_s = _apart_s(recording, streams)
    if apart_s < APART_S:
        raise ev.Cannot(f"the streams' delays differed by {apart_s * 1e3:.2g} ms only at the taps")
    seen = recording.named("presented", side="doctor")
    skews = []
    for number, t_ns in enumerate(made, start=1):
        delays = [_presented_s(seen, stream.name, number, t_ns) for stream in streams]
        known = [delay for delay in delays if delay is not None]
        if len(known) == len(streams):
            skews.append(max(known) - min(known))
    if len(skews) < LEAST_MARKS:
        raise ev.Cannot(f"only {len(skews)} of {len(made)} marks were presented by every stream")
    details: ev.Details = {"marks": float(len(skews)), "apart_at_the_taps_s": apart_s}
    return max(skews), details


def _presented_s(seen: tuple[Event, ...], stream: str, number: int, made_ns: int) -> float | None:
    for event in seen:
        if event.origin == "signal" and event.value == {"stream": stream, "mark": number}:
            return (event.t_ns - made_ns) / 1e9
    return None


def _apart_s(recording: Recording, streams: list[Stream]) -> float:
    """Largest difference between the median delays of whole units, where marks were made."""
    medians = []
    window = recording.schedule.windows[-1]
    for stream in streams:
        flow = flow_of(recording, stream.name).sent_between(window.start_ns, window.end_ns)
        units = flow.seq[flow.arrived] // stream.packets
        if not len(units):
            raise ev.Cannot(f"nothing of {stream.name} arrived while marks were made")
        starts = np.flatnonzero(np.diff(units, prepend=-1))
        delays = (flow.received_ns - flow.sent_ns)[flow.arrived]
        medians.append(float(np.median(np.maximum.reduceat(delays, starts))) / 1e9)
    return max(medians) - min(medians)
