"""Changes of the serving cell, as events of a session: scheduled, commanded, seen."""

from __future__ import annotations

from bench.network.cells import CellChanged
from bench.network.scenario import Window
from bench.sessions.codec import from_json, to_json
from bench.sessions.recording import Event, Recording

CELL_CHANGE = "cell-change"
"""Kind of the step, and name of the events; the bench is their origin."""


def cell_event(start_ns: int, step: str, changed: CellChanged) -> Event:
    """What came of a change of cell that was scheduled for ``start_ns``."""
    value = {"step": step, **to_json(changed)}
    return Event(start_ns, "bench", "bench", CELL_CHANGE, value)


def changed_in(recording: Recording, window: Window) -> CellChanged | None:
    """What the bench did in a step, by its own account; None: it gives none.

    Raises:
        InputError: a stored event that is none.
    """
    for event in recording.named(CELL_CHANGE, side="bench"):
        if window.start_ns <= event.t_ns < window.end_ns:
            value = {key: item for key, item in event.value.items() if key != "step"}
            return from_json(CellChanged, value, file=recording.session_id, field=CELL_CHANGE)
    return None


def unverified_changes(recording: Recording) -> list[str]:
    """Why a change of cell that was asked for is not known to have come; empty where it is."""
    return [
        f"the cell change in {event.value['step']} was not achieved: {event.value['problem']}"
        for event in recording.named(CELL_CHANGE, side="bench")
        if event.value["problem"]
    ]
