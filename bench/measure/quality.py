"""The quality of the network: LIM-3 and the check before an operation, OPS-1; one trial each."""

from __future__ import annotations

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.alarming import expected_alarms
from bench.measure.holding import hold_s
from bench.measure.pairing import Flow
from bench.network.scenario import Window
from bench.sessions.recording import Recording
from bench.units import ns

_OFFERED = 20
"""Commands before a start on a bad link, or the device had nothing to check the network by."""


def lim_3(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the jitter's passing its limit to standstill; else as LIM-1.

    It shows something only where jitter alone passed its limit: delay kept its own, and no command
    was lost.
    """
    window = ev.faulty_window(recording)
    return hold_s(recording, "quality_action_within_s", jitter_onset(recording, window))


def jitter_onset(recording: Recording, window: Window) -> int:
    """When the first of the windows began over which the device judges the jitter.

    A window is one over which the device watches its delay; jitter is beyond its limit where in
    as many as it looks at, one after the other, the ages of the commands that arrived spread by
    more than the limit.

    Raises:
        Cannot: it never was, or something else was beyond its limit, too.
    """
    flow = ev.watched(recording)
    limit_s = ev.device_limit(recording, "command_jitter_s")
    watched_s = ev.device_limit(recording, "command_delay_window_s")
    count = round(ev.device_limit(recording, "command_jitter_window_s") / watched_s)
    ev.offered(flow, window.start_ns, window.end_ns)
    if ev.first_loss_ns(flow, window) is not None:
        raise ev.Cannot("commands were lost, too: the action may answer the loss")
    if ev.late_ns(recording, flow, window) is not None:
        raise ev.Cannot("the delay passed its limit, too: the action may answer the delay")
    spread = _spreads_s(flow, window, watched_s) > limit_s
    run = np.convolve(spread.astype(int), np.ones(count, dtype=int), mode="valid")
    whole = np.nonzero(run >= count)[0]
    if len(spread) < count or not len(whole):
        raise ev.Cannot("the jitter never passed the device's limit at the taps")
    return window.start_ns + int(whole[0]) * ns(watched_s)


def _spreads_s(flow: Flow, window: Window, watched_s: float) -> np.ndarray[
    tuple[int], np.dtype[np.float64]
]:  # fmt: skip
    """Largest less smallest age of the commands sent in each whole window, in s."""
    length = ns(watched_s)
    edges = np.arange(window.start_ns, window.end_ns + 1, length)
    sent, age = flow.sent_ns[flow.arrived], (flow.received_ns - flow.sent_ns)[flow.arrived]
    spreads = []
    for start in edges[:-1]:
        ages = age[(sent >= start) & (sent < start + length)]
        spreads.append(float(np.ptp(ages)) / 1e9 if len(ages) else 0.0)
    return np.array(spreads)


def ops_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """1 where an operation began on a bad link without a warning, else 0.

    It began with the first motion or released brake. Blocked: neither while the link was bad,
    although the operator asked for it; that the device would have moved shows once the link is
    good. Warned: a network alarm was on, on either side, when it began.
    """
    window = ev.faulty_window(recording)
    motion = ev.contact(recording, "motion")
    released = ev.first(ev.contact(recording, "brake"), 0, 0, window.end_ns)
    moved = ev.first(motion, 1, 0, window.end_ns)
    begun = min((t_ns for t_ns in (released, moved) if t_ns is not None), default=None)
    asked = _asked_ns(recording, window)
    details: ev.Details = {"asked_s": asked / 1e9, "begun_s": None}
    _was_bad(recording, window, asked if begun is None else begun, details)
    if begun is None:
        later = ev.first_after(motion, 1, window.end_ns, recording.schedule.end_ns)
        if later is None:
            raise ev.Cannot("the device did not move on the good link either")
        return 0.0, {**details, "start": "blocked"}
    details["begun_s"] = begun / 1e9
    spans = [
        (on, off)
        for found in expected_alarms(recording)
        for side in ("patient", "doctor")
        for on, off, _ in ev.alarm_spans(recording, found.name, side)
    ]
    warned = any(on <= begun and (off is None or off > begun) for on, off in spans)
    return float(not warned), {**details, "start": "warned" if warned else "unwarned"}


def _asked_ns(recording: Recording, window: Window) -> int:
    """When the operator first asked for motion while the link was bad."""
    pressed = [e.t_ns for e in recording.named("rearm", side="doctor") if e.t_ns < window.end_ns]
    done = [
        e.t_ns
        for e in recording.named("action")
        if e.value.get("name") == "start-operation" and e.t_ns < window.end_ns
    ]
    if not pressed and not done:
        raise ev.Cannot("nobody asked for a start while the link was bad")
    return min([*pressed, *done])


def _was_bad(recording: Recording, window: Window, until: int, details: ev.Details) -> None:
    """Insist that the loss was beyond the device's limit from the start until then."""
    flow = ev.watched(recording).sent_between(window.start_ns, until)
    if len(flow) < _OFFERED:
        raise ev.Cannot(f"only {len(flow)} commands were sent before the start")
    lost = int(flow.lost.sum())
    limit = ev.device_limit(recording, "command_loss")
    least = recording.device.limits.get("command_loss_packets", 1.0)
    details["loss_before"] = lost / len(flow)
    if lost / len(flow) <= limit or lost < least:
        raise ev.Cannot("the link was not beyond the device's limit of loss at the taps")
