"""What happened in a session, by witnesses other than the device's log: what the log must hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measure import events as ev
from bench.measure.device_log import LogEntry, actions
from bench.measure.warranted import EXPECTED_ALARMS
from bench.network.attacks import attacks_of
from bench.network.scenario import Window
from bench.sessions.recording import Event, Recording

SIDES = ("doctor", "patient")
_CONTROL = "control"
"""Heartbeats go out on every link: they do not show which one is active."""

_OPERATED = {
    "sign-in": ("operator", "sign-in"),
    "sign-out": ("operator", "sign-out"),
    "procedure-start": ("procedure", "start"),
    "procedure-end": ("procedure", "end"),
}
"""What the bench does at a side, and the entry that answers it: its kind, and its action."""

_CONTACTS = ("rearm", "stop-button")


@dataclass(frozen=True, slots=True)
class Truth:
    """Something that happened on a side at ``t_ns``.

    ``key``: its kind, name and content in one text, by which its entry is known.
    """

    t_ns: int
    kind: str
    key: str


def key_of(kind: str, name: str, content: Any) -> str:
    """By what an event and its entry are matched."""
    if name == "link-switch" and isinstance(content, dict):
        content = {"from": content.get("from"), "to": content.get("to")}
    return json.dumps([kind, name, content], sort_keys=True)


def _operated(recording: Recording, side: str) -> Iterable[Truth]:
    for what, (kind, action) in _OPERATED.items():
        for event in actions(recording, side, what):
            name = event.value["name"].partition(":")[2]
            key = key_of(kind, kind, {"action": action, "name": name})
            yield Truth(event.t_ns, kind, key)


def _commanded(recording: Recording, side: str) -> Iterable[Truth]:
    for name in _CONTACTS:
        for event in recording.named(name, side=side):
            if event.origin == "contact":
                yield Truth(event.t_ns, "command", key_of("command", name, event.value))


def _sounded(recording: Recording, side: str) -> Iterable[Truth]:
    for event in recording.named("alarm-signal", side=side):
        if event.origin == "signal":
            yield Truth(event.t_ns, "alarm", key_of("alarm", event.name, event.value))


def link_switches(recording: Recording, side: str) -> list[tuple[int, str, str]] | None:
    """When a side's packets went over to another link, from where to where, at its own tap.

    ``None`` where the side sends nothing that would show it.
    """
    sent = recording.packets.where(tap=side, direction=0 if side == "doctor" else 1)
    codes = set(np.unique(sent.column("stream")).tolist())  # what goes on demand may never go
    streams = [s for s in recording.device.active_streams if s.source == side]
    streams = [s for s in streams if s.name != _CONTROL and s.code in codes]
    if not streams:
        return None
    rows = sent.where(stream=min(streams, key=lambda s: s.period_s).code)
    link, t_ns, names = rows.column("link"), rows.column("t_ns"), recording.schedule.links
    places = np.flatnonzero(np.diff(link)) + 1
    return [(int(t_ns[p]), names[int(link[p - 1])], names[int(link[p])]) for p in places]


def _switched(recording: Recording, side: str) -> Iterable[Truth]:
    for t_ns, before, after in link_switches(recording, side) or ():
        content = {"from": before, "to": after}
        yield Truth(t_ns, "connection", key_of("connection", "link-switch", content))


_WITNESSES: tuple[Callable[[Recording, str], Iterable[Truth]], ...] = (
    _operated, _commanded, _sounded, _switched,
)  # fmt: skip


def truths(recording: Recording, side: str, until_ns: int) -> list[Truth]:
    """All that is known by its content, up to ``until_ns``, in order of time."""
    found = [truth for witness in _WITNESSES for truth in witness(recording, side)]
    return sorted((t for t in found if t.t_ns <= until_ns), key=lambda truth: truth.t_ns)


def names_known(recording: Recording, side: str) -> frozenset[str]:
    """Names of entries that only an event which the bench saw may have."""
    names = {"operator", "procedure", "alarm-signal", *_CONTACTS}
    if link_switches(recording, side) is not None:
        names.add("link-switch")
    return frozenset(names)


def faults(recording: Recording) -> list[tuple[Window, int]]:
    """The steps that make the network abnormal, each with when that began at the taps.

    Raises:
        Cannot: there are none, or one did not show at the taps.
    """
    windows = [
        window
        for window in recording.schedule.windows
        if window.role != "within" and window.kind in EXPECTED_ALARMS
    ]
    if not windows:
        raise ev.Cannot("the scenario holds no fault")
    return [(window, ev.onset(recording, window)) for window in windows]


def conditions(window: Window, entries: Sequence[LogEntry], *, on: bool = True) -> list[LogEntry]:
    """The entries that say that a condition began (or ended) which answers the step's kind."""
    names = EXPECTED_ALARMS[window.kind]
    return [
        entry
        for entry in entries
        if entry.name == "alarm-condition"
        and entry.content.get("alarm") in names
        and bool(entry.content.get("on")) is on
    ]


UNSEEN = frozenset({"reorder", "listen"})
"""Attacks that a device cannot tell from a network's own doings, or not at all."""


def attacks(recording: Recording, side: str, until_ns: int) -> list[Event]:
    """The attacks that the bench made on a side, or on both, and that a device can notice."""
    return [
        event
        for event in recording.named("attack")
        if event.origin == "bench" and _aimed_at(event) in (side, "bench")
        if event.t_ns <= until_ns
        if not (isinstance(event.value, dict) and event.value.get("kind") in UNSEEN)
    ]


def _aimed_at(event: Event) -> str:
    way = event.value.get("way") if isinstance(event.value, dict) else None
    return {"to-patient": "patient", "to-doctor": "doctor"}.get(way or "", event.side)


def attacked_ns(recording: Recording) -> int | None:
    """When the scenario's first attack or further client was due; ``None`` without any."""
    found = attacks_of(recording.schedule.actions)
    return min((t_ns for t_ns, _ in found), default=None)
