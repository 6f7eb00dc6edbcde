"""What the device's radio was exposed to, as events of a session: intended and presented."""

from __future__ import annotations

from bench.network.radio.exposure import Presented
from bench.network.scenario import Schedule
from bench.sessions.codec import from_json, to_json
from bench.sessions.recording import Event, Recording, Session

EXPOSURE = "exposure"
"""Name of the events; the bench is their origin."""


def exposure_events(session: Session, schedule: Schedule) -> tuple[Event, ...]:
    """One event where each exposure begins, or the radio is left alone."""
    found = []
    for number, due in enumerate(schedule.exposures):
        presented = Presented(due.exposures, due.reception)
        if session.presented:
            presented = session.presented[number]
        value = {"step": due.step, **to_json(presented)}
        found.append(Event(due.start_ns, "bench", "bench", EXPOSURE, value))
    return tuple(found)


def presented_at(recording: Recording, start_ns: int) -> Presented | None:
    """What the bench presented from ``start_ns`` on, by its own account; None: it gives none.

    Raises:
        InputError: a stored event that is none.
    """
    for event in recording.named(EXPOSURE, side="bench"):
        if event.t_ns == start_ns:
            value = {key: item for key, item in event.value.items() if key != "step"}
            return from_json(Presented, value, file=recording.session_id, field=EXPOSURE)
    return None


def unverified_exposures(recording: Recording) -> list[str]:
    """Why what the device's radio was exposed to is not known; empty where it is."""
    return [
        f"the exposure in {event.value['step']} is not verified: {event.value['problem']}"
        for event in recording.named(EXPOSURE, side="bench")
        if event.value["problem"]
    ]
