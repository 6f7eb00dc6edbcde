"""Reading a recording's events: contacts, alarm signals, and when a fault began at the taps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.measure.pairing import MISSING, Flow, flow_of
from bench.network.scenario import Window
from bench.sessions.packets import PacketTable
from bench.sessions.recording import Event, Recording
from bench.units import ns, show_duration

EDGE_NS = 5_000_000
"""Packets sent this shortly before a change may already meet it."""

CONSECUTIVE, CONSECUTIVE_S = 10, 0.01
"""Late commands in a row that make an exceedance; fewer are noise. Of a slower stream, as many as
are sent in that time, and two or more."""

EARLY_NS = 250_000_000
"""How long before the taps show it beyond its limit a device may notice a delay that grows."""

PAUSE_NS = 100_000_000
"""A longer pause of the command stream hides when a fault began, or that there was one."""

NEVER = math.inf
"""The value of a trial in which the awaited response never came, or came wrongly."""

Details = dict[str, float | str | None]

SELF_REPORTED = "self_reported"
"""Key of the details of a trial that rests on the device's own word alone, with what it is."""


class Cannot(Exception):
    """A recording cannot show the behaviour: the reason, for an INCONCLUSIVE."""


def device_limit(recording: Recording, name: str) -> float:
    """A limit on which the device acts, in SI.

    Raises:
        Cannot: the device does not declare it.
    """
    limits = recording.device.limits
    if name not in limits:
        raise Cannot(f"not declared: D:{name}")
    return limits[name]


def contact(recording: Recording, name: str) -> list[Event]:
    """Changes of a contact beside the patient, in order of time."""
    return [e for e in recording.named(name, side="patient") if e.origin == "contact"]


def state_at(events: Sequence[Event], t_ns: int) -> object:
    """The value of a contact at ``t_ns``; ``None`` before its first change."""
    value = None
    for event in events:
        if event.t_ns > t_ns:
            break
        value = event.value
    return value


def first(events: Sequence[Event], value: object, start_ns: int, end_ns: int) -> int | None:
    """When a contact first takes ``value`` from ``start_ns`` to ``end_ns``."""
    for event in events:
        if start_ns <= event.t_ns <= end_ns and event.value == value:
            return event.t_ns
    return None


def first_after(events: Sequence[Event], value: object, after_ns: int, end_ns: int) -> int | None:
    """As :func:`first`, later than ``after_ns``."""
    return first(events, value, after_ns + 1, end_ns)


def faulty_window(recording: Recording) -> Window:
    """The step that does something to the device: the first that is not ``within``.

    Raises:
        Cannot: there is none.
    """
    for window in recording.schedule.windows:
        if window.role != "within":
            return window
    raise Cannot("the scenario holds no fault")


def watched(recording: Recording) -> Flow:
    """The stream by which the device judges its network (a robot's commands), between the taps."""
    return flow_of(recording, recording.device.watched, "to-patient")


def first_loss_ns(flow: Flow, window: Window) -> int | None:
    """When the first command of a window was sent that never arrived."""
    sent = flow.sent_ns[
        flow.lost & (flow.sent_ns >= window.start_ns - EDGE_NS) & (flow.sent_ns < window.end_ns)
    ]
    return int(sent[0]) if len(sent) else None


def consecutive(recording: Recording) -> int:
    """How many late commands in a row make an exceedance of this device's limit."""
    period_s = recording.device.stream(recording.device.watched).period_s
    return min(CONSECUTIVE, max(2, round(CONSECUTIVE_S / period_s)))


def first_late_ns(
    flow: Flow, window: Window, limit_s: float, in_a_row: int = CONSECUTIVE
) -> int | None:
    """When the first of ``in_a_row`` late commands passed ``limit_s``; missing ones are late."""
    inside = (flow.sent_ns >= window.start_ns - EDGE_NS) & (flow.sent_ns < window.end_ns)
    limit_ns = ns(limit_s)
    age = flow.received_ns - flow.sent_ns
    late = inside & ((flow.received_ns == MISSING) | (age > limit_ns)) & ~flow.in_flight
    if len(late) < in_a_row:
        return None
    run = np.convolve(late.astype(int), np.ones(in_a_row, dtype=int), mode="valid")
    starts = np.nonzero(run >= in_a_row)[0]
    return int(flow.sent_ns[starts[0]]) + limit_ns if len(starts) else None


def late_ns(recording: Recording, flow: Flow, window: Window) -> int | None:
    """When the delay passed the device's limit for a whole window over which it watches it."""
    limit_s = device_limit(recording, "command_delay_s")
    watched_s = recording.device.limits.get("command_delay_window_s", 0.0)
    count = round(watched_s / recording.device.stream(recording.device.watched).period_s)
    return first_late_ns(flow, window, limit_s, max(consecutive(recording), count))


def earliest_ns(window: Window, onset_ns: int) -> int:
    """From when on a response can answer the fault that began at ``onset_ns``."""
    grows = window.kind in ("ramp", "profile", "jitter")
    return max(window.start_ns - EDGE_NS, onset_ns - (EARLY_NS if grows else EDGE_NS))


def offered(flow: Flow, start_ns: int, end_ns: int) -> None:
    """Insist that commands were sent without a pause from ``start_ns`` to ``end_ns``.

    Raises:
        Cannot: they were not.
    """
    inside = flow.sent_ns[(flow.sent_ns >= start_ns - PAUSE_NS) & (flow.sent_ns <= end_ns)]
    points = np.concatenate(([start_ns - PAUSE_NS], inside, [end_ns]))
    if np.diff(points).max() > PAUSE_NS:
        raise Cannot("no commands were sent for a while, which hides what the network did")


def onset(recording: Recording, window: Window) -> int:
    """When the fault began at the taps.

    A delay begins with the first command of the first whole window (the one over which the
    device watches its delay) in which every command is beyond the device's limit: a stall of the
    bench that is shorter than that is no fault. Anything else begins with the first lost command.

    Raises:
        Cannot: it never did.
    """
    flow = watched(recording)
    if window.kind in ("ramp", "profile"):
        late = late_ns(recording, flow, window)
        if late is None:
            raise Cannot("the delay never passed the device's limit at the taps")
        offered(flow, window.start_ns, late)
        return late
    lost = first_loss_ns(flow, window)
    if lost is None:
        raise Cannot("no command was lost at the taps")
    offered(flow, window.start_ns, lost)
    return lost


def moving_at(recording: Recording, t_ns: int) -> None:
    """Insist that the drive moves at ``t_ns``.

    Raises:
        Cannot: it does not.
    """
    if state_at(contact(recording, "motion"), t_ns) != 1:
        raise Cannot("the drive was not moving when the fault began")


def while_moving(recording: Recording, times_ns: NDArray[np.int64]) -> int:
    """How many of these times lie where the drive was moving on remote command."""
    for start, end in _taken_over(recording):
        times_ns = times_ns[(times_ns < start) | (times_ns > end)]
    edges = [(e.t_ns, e.value) for e in contact(recording, "motion")]
    edges.append((recording.schedule.end_ns, 0))
    return sum(
        int(((times_ns >= start) & (times_ns <= end)).sum())
        for (start, value), (end, _) in pairwise(edges)
        if value == 1
    )


def _taken_over(recording: Recording) -> list[tuple[int, int]]:
    """When the local side had control: from each takeover to the next release."""
    spans: list[tuple[int, int]] = []
    for event in recording.named("action", side="patient"):
        name = event.value.get("name")
        if name == "takeover":
            spans.append((event.t_ns, recording.schedule.end_ns))
        elif name == "takeover-release" and spans:
            spans[-1] = (spans[-1][0], event.t_ns)
    return spans


def never(recording: Recording, since_ns: int, deadline_s: float, details: Details) -> float:
    """The awaited response did not come while it was watched for: :data:`NEVER`.

    Raises:
        Cannot: the recording ends before the deadline, so it may still have come in time.
    """
    watched_s = (recording.schedule.end_ns - since_ns) / 1e9
    if watched_s < deadline_s:
        raise Cannot(
            f"the recording ends {show_duration(watched_s)} after the fault began, "
            f"before the deadline of {show_duration(deadline_s)}"
        )
    details["watched_s"] = watched_s
    return NEVER


def rearmed(recording: Recording, after_ns: int, until_ns: int) -> bool:
    """Whether the doctor's side re-armed the device; clearing a fault alone does not."""
    found = rearmed_ns(recording, after_ns)
    return found is not None and found <= until_ns


def rearmed_ns(recording: Recording, after_ns: int) -> int | None:
    """When the doctor's side first re-armed the device from ``after_ns`` on."""
    for event in recording.named("rearm", side="doctor"):
        request = event.value.get("request") if isinstance(event.value, dict) else None
        if event.t_ns >= after_ns and request != "clear":
            return event.t_ns
    return None


def executed(recording: Recording) -> PacketTable:
    """The remote commands that the drive executed; those given beside the patient are not."""
    code = recording.device.stream(recording.device.watched).code
    return recording.packets.where(tap="actuator", stream=code)


def alarm_spans(
    recording: Recording, name: str, side: str = "patient"
) -> list[tuple[int, int | None, str]]:
    """The signals of an alarm on one side: on, off (``None``: still on), priority."""
    spans: list[tuple[int, int | None, str]] = []
    for event in recording.named("alarm-signal", side=side):
        if event.value.get("alarm") != name:
            continue
        if event.value.get("on"):
            spans.append((event.t_ns, None, str(event.value.get("priority"))))
        elif spans and spans[-1][1] is None:
            spans[-1] = (spans[-1][0], event.t_ns, spans[-1][2])
    return spans
