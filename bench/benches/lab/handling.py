"""The contact box around a real device's sessions: its stop is pressed, what it shows is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.benches.lab.contacts import (
    MOST_DOUBT_S,
    DeviceContacts,
    light_events,
    motion_events,
)
from bench.benches.lab.hands import Task
from bench.benches.lab.telling import Host, told
from bench.network.scenario import ScheduledAction, Side
from bench.sessions.codec import to_json
from bench.sessions.recording import Event
from bench.units import ns
from instruments.contacts.box import ContactBox
from instruments.contacts.timing import Pair
from instruments.contacts.witness import Record
from instruments.visa.errors import NotWitnessed

STOP: Mapping[str, int] = {"local-stop": 1, "local-release": 0}
"""Actions that a stop output carries out, and whether the stop is pressed after it."""

SIDE: Side = "patient"
"""The box stands there."""

TEST_S = 5.0
"""Every light shows its test within this."""
_LOOK_S = 0.02
COVERED_S = 0.5
"""So long after a time the record covers it: heartbeats and comparisons of clocks are there."""


class Contacts:
    """The contact box around the sessions of a real device.

    Args:
        box: open, in its safe state.
        wired: what it is wired to.
        host: whose waits they are; it is told what the box showed.
    """

    def __init__(self, box: ContactBox, wired: DeviceContacts, host: Host | None = None) -> None:
        self._box, self.wired, self._host = box, wired, host or Host()
        self.telling, self.tell = False, self._host.tell
        self._released: list[Pair] = []

    @property
    def seen(self) -> tuple[str, ...]:
        """What of it is wired."""
        return self.wired.seen

    @told
    def ready(self) -> None:
        """Before a session: the stop is released, the lights are tested, and dark again.

        Raises:
            InstrumentError: the box failed, or a light does not follow its test.
        """
        self._box.forget()
        self._released.clear()
        if self.wired.stop:
            self._box.set(self.wired.stop, self._level(pressed=False))
        self._test_lights()
        self._host.sleep(max(self.wired.dark_s, self.wired.still_s) + COVERED_S)

    @told
    def events(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        """What was seen in a session that has just ended; its lights are tested again.

        Args:
            t0_ns: its start, CLOCK_MONOTONIC.
            end_ns: its length.

        Raises:
            InstrumentError: the box failed, a light does not follow its test, or what was seen
                does not show what happened.
        """
        wired = self.wired
        until_ns = t0_ns + end_ns + ns(max(wired.still_s, wired.dark_s) + MOST_DOUBT_S)
        self._host.sleep_until(until_ns)
        self._test_lights()
        record = self._covering(until_ns)
        self.tell(shown(self._box.role, record))
        found: tuple[Event, ...] = ()
        if wired.motion:
            found += motion_events(
                record, wired.motion, wired.still_s, t0_ns, end_ns, until_ns, self._released
            )
        for alarm, light in wired.lights.items():
            found += light_events(record, alarm, light, wired.dark_s, t0_ns, end_ns, until_ns)
        return found

    def _covering(self, until_ns: int) -> Record:
        """The record, once it reaches a time.

        Raises:
            NotWitnessed: it does not come to that.
        """
        self._host.sleep_until(until_ns + ns(COVERED_S))
        record = self._box.record()
        if record.fault:
            raise NotWitnessed(self._box.role, record.fault)
        return record

    def _level(self, *, pressed: bool) -> int:
        safe = self._box.outputs[self.wired.stop].safe
        return safe if pressed else 1 - safe

    def _test_lights(self) -> None:
        """Every light goes on while the device's alarm test is pressed."""
        wired = self.wired
        if not wired.lights:
            return
        idle = self._box.outputs[wired.alarm_test].safe
        waiting = {light.input for light in wired.lights.values()}
        since_ns = self._box.set(wired.alarm_test, 1 - idle).after_ns
        try:
            while waiting:
                levels, at = self._box.look()
                self.tell({"reads": self._box.role, "levels": levels})
                waiting = {n for n in waiting if levels[n] != self._box.inputs[n].active}
                if waiting and at.after_ns > since_ns + ns(TEST_S):
                    raise NotWitnessed(
                        ", ".join(sorted(waiting)),
                        f"did not light within {TEST_S:g} s of its test",
                    )
                self._host.sleep(_LOOK_S)
        finally:
            self._box.set(wired.alarm_test, idle)

    def can(self, action: ScheduledAction) -> bool:
        """Whether it is the stop's, which is wired."""
        return bool(self.wired.stop) and action.name in STOP and action.side == SIDE

    def task(self, action: ScheduledAction) -> Task:
        """Press the stop, or release it."""

        def do(t0_ns: int) -> tuple[Sequence[Event], Sequence[Task]]:
            t_ns = self.press(action.name) - t0_ns
            done = Event(t_ns, action.side, "bench", "action", {"name": action.name})
            button = replace(done, origin="contact", name="stop-button", value=STOP[action.name])
            return (done, button), ()

        return Task(action.t_ns, do)

    @told
    def press(self, name: str) -> int:
        """Carry an action out; when, monotonic: not later than the output has changed.

        Args:
            name: of :data:`STOP`.
        """
        when = self._box.set(self.wired.stop, self._level(pressed=bool(STOP[name])))
        if not STOP[name]:
            self._released.append(when)
        return when.before_ns


def shown(role: str, record: Record) -> Mapping[str, Any]:
    """A record as it is told: how much of it there is, and a hash over all of it.

    ``edges``: of each input how many, and time and uncertainty of the last one, ns; null where the
    clocks were not compared around it.
    """
    stamps = {
        name: [record.stamp(edge.t_us) for edge in edges] for name, edges in record.edges.items()
    }
    whole = json.dumps(to_json([stamps, record.edges, record.beats, record.pairs, record.fault]))
    last = {name: to_json(some[-1] if some else None) for name, some in stamps.items()}
    return {
        "reads": role,
        "edges": {name: [len(some), last[name]] for name, some in stamps.items()},
        "heartbeats": len(record.beats),
        "comparisons": len(record.pairs),
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
    }
