"""The instruments that stood around a session, as an event of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.sessions.recording import Event, Recording

INSTRUMENTS = "instruments"
ALARMS = "alarms-connected"
INCOMPLETE = "alarms-incomplete"
CONTACTS = "contacts-wired"
RADIOS = "radios-between"
"""Names of the events; the bench is their origin."""


def instruments_event(instruments: Iterable[Mapping[str, Any]]) -> Event:
    """At the start of a session: each with ``role``, ``certifiable`` and ``reason`` at least."""
    return Event(0, "bench", "bench", INSTRUMENTS, [dict(one) for one in instruments])


def radios_between(recording: Recording) -> frozenset[str]:
    """The links whose packets cross a real radio between the taps."""
    return frozenset(
        link for event in recording.named(RADIOS, side="bench") for link in event.value
    )


def not_certifiable(recordings: Iterable[Recording]) -> tuple[str, ...]:
    """Why the instruments of these sessions cannot back a certification; empty where they can."""
    found = dict.fromkeys(
        f"{one['role']}: {one['reason']}"
        for recording in recordings
        for event in recording.named(INSTRUMENTS, side="bench")
        for one in event.value
        if not one["certifiable"]
    )
    return tuple(found)
