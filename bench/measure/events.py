"""Reading a recording's events: contacts, alarm signals, and when a fault began at the taps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.measure.pairing import MISSING, Flow, flow_of
from bench.network.scenario import Window
from bench.sessions.recording import Event, Recording

COMMAND = "haptic-command"
EDGE_NS = 5_000_000
"""Packets sent this shortly before a change may already meet it."""

CONSECUTIVE = 10
"""Late commands in a row that make an exceedance; fewer are noise."""


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


def faulty_window(recording: Recording) -> Window | None:
    """The step that does something to the device: the first that is not ``within``."""
    return next((w for w in recording.schedule.windows if w.role != "within"), None)


def commands(recording: Recording) -> Flow:
    """The haptic command stream between the taps."""
    return flow_of(recording, COMMAND)


def first_loss_ns(flow: Flow, window: Window) -> int | None:
    """When the first command of a window was sent that never arrived."""
    sent = flow.sent_ns[
        flow.lost & (flow.sent_ns >= window.start_ns - EDGE_NS) & (flow.sent_ns < window.end_ns)
    ]
    return int(sent[0]) if len(sent) else None


def first_late_ns(flow: Flow, window: Window, limit_s: float) -> int | None:
    """When commands began to be late: the moment at which the first of :data:`CONSECUTIVE`
    commands in a row passed ``limit_s``."""
    inside = (flow.sent_ns >= window.start_ns - EDGE_NS) & (flow.sent_ns < window.end_ns)
    limit_ns = int(limit_s * 1e9)
    age = flow.received_ns - flow.sent_ns
    late = inside & ((flow.received_ns == MISSING) | (age > limit_ns)) & ~flow.in_flight
    run = np.convolve(late.astype(int), np.ones(CONSECUTIVE, dtype=int))[CONSECUTIVE - 1 :]
    starts = np.nonzero(run >= CONSECUTIVE)[0]
    return int(flow.sent_ns[starts[0]]) + limit_ns if len(starts) else None


def alarm_spans(recording: Recording, name: str) -> list[tuple[int, int | None, str]]:
    """The signals of an alarm beside the patient: on, off (``None``: still on), priority."""
    spans: list[tuple[int, int | None, str]] = []
    for event in recording.named("alarm-signal", side="patient"):
        if event.value.get("alarm") != name:
            continue
        if event.value.get("on"):
            spans.append((event.t_ns, None, str(event.value.get("priority"))))
        elif spans and spans[-1][1] is None:
            spans[-1] = (spans[-1][0], event.t_ns, spans[-1][2])
    return spans
