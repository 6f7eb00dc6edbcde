"""What a transcript tells of a real device's contacts and power, session by session: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.benches.lab.handling import SIDE, STOP
from bench.devices.power import POWER
from bench.sessions.codec import to_json
from bench.sessions.instruments import CONTACTS
from bench.sessions.recording import Event

_SEEN = {"motion": "motion", "stop": "stop-button", "lights": "alarm-signal", "power": POWER}
"""What is wired to the event that tells it."""


def told_events(notes: Iterable[Mapping[str, Any]]) -> Mapping[str, list[Mapping[str, Any]]]:
    """The events of contacts and power that each session must hold, as they are stored.

    Only of sessions that came to their end.

    Args:
        notes: of a transcript, in its order (:mod:`bench.benches.lab.telling`).
    """
    of_session: dict[str, list[tuple[str, Sequence[Any], Any]]] = {}
    session, doing = "", ("", ())
    for note in notes:
        session = note.get("session", session)
        if "does" in note:
            doing = note["does"], note["with"]
        elif "came" in note:
            of_session.setdefault(session, []).append((*doing, note["came"]))
    found = {}
    for session, done in of_session.items():
        ends = [given for does, given, _ in done if does in ("Contacts.events", "Power.events")]
        if ends:
            t0_ns = int(ends[-1][0])
            found[session] = [event for one in done for event in _events(*one, t0_ns)]
    return found


def _events(does: str, given: Sequence[Any], came: Any, t0_ns: int) -> Iterable[Mapping[str, Any]]:
    """What one action tells; that a supply was off or on has the side of its session's end."""
    if does in ("Contacts.events", "Power.events"):
        yield from came
    elif does == "Contacts.press":
        yield to_json(Event(came - t0_ns, SIDE, "contact", "stop-button", STOP[given[0]]))
    elif does == "Power.cut":
        yield {"t_ns": came[1] - t0_ns, "origin": "contact", "name": POWER, "value": 0}
    elif does == "Power.restore":
        yield {"t_ns": came[0] - t0_ns, "origin": "contact", "name": POWER, "value": 1}


def unlike(
    stored: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """What is stored and not told, or told and not stored, in words.

    Args:
        stored: the events of a session; what was wired is one of them.
        told: of the same one, by :func:`told_events`.
    """
    wired = [name for one in stored if one["name"] == CONTACTS for name in one["value"]]
    names = {_SEEN[name] for name in wired if name in _SEEN}
    has, tells = _shown(stored, names), _shown(told, names)
    return (
        *(f"{one} is stored, and the transcript of the run tells no such" for one in has - tells),
        *(f"{one} is told by the transcript of the run, and not stored" for one in tells - has),
    )


def _shown(events: Iterable[Mapping[str, Any]], names: Iterable[str]) -> set[str]:
    return {
        f"{one['name']} {one['value']} at {one['t_ns'] / 1e9:.9f} s"
        for one in events
        if one["name"] in names and one["origin"] in ("contact", "signal")
    }
