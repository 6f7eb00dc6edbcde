"""Preserved data: PRE-1, and what it shares with ICU-2: measurements against records handed on.

Both ends are the bench's own: the values that its patient simulator applied to the sensors
(contact ``measurement``), and the records that the station hands on at its output (``record``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.network.scenario import Window
from bench.sessions.recording import Event, Recording
from bench.units import ns, show_duration

LEAST_RECORDS = 3
"""Measurements that must be taken while the links are down, or nothing is shown."""

LONGEST_WRITE_S = 1.0
"""A record takes no longer to write: else any loss could be said to have been in the writing."""

_CLOCK_NS = ns(0.1)
"""How far the time that a record gives may lie from that of its measurement."""

_POWER_NS = ns(0.05)
"""What had left a device when its power went may reach the tap so much later."""

Key = tuple[str, int]
"""What tells measurements apart: source, and the simulator's serial number."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Measurements against records: of which keys something is wrong.

    ``missing``: not handed on, or too late. ``doubled``: handed on more than once. ``different``:
    not what was measured, or when (also: never measured).
    """

    missing: frozenset[Key]
    doubled: frozenset[Key]
    different: frozenset[Key]

    @property
    def wrong(self) -> frozenset[Key]:
        """All of them."""
        return self.missing | self.doubled | self.different

    def of(self, source: str) -> int:
        """How many of one source."""
        return sum(key[0] == source for key in self.wrong)


def measurements(recording: Recording) -> dict[Key, Event]:
    """Every measurement taken, as the patient simulator applied it.

    Raises:
        Cannot: none was, or one was applied twice.
    """
    found = [e for e in recording.named("measurement", side="patient") if e.origin == "contact"]
    if not found:
        raise ev.Cannot("no measurement was taken at the sensors")
    by_key = {_key(event.value): event for event in found}
    if len(by_key) < len(found):
        raise ev.Cannot("two measurements have the same number")
    return by_key


def accounts(
    recording: Recording, taken: Mapping[Key, Event], deadlines_ns: Mapping[Key, int]
) -> Accounts:
    """Hold every record at the station's output against what was measured.

    Args:
        taken: every measurement.
        deadlines_ns: until when the record of a measurement must be handed on; those without one
            need not be, but are compared where they are.
    """
    out: dict[Key, list[Event]] = {}
    for event in recording.named("record", side="doctor"):
        out.setdefault(_key(event.value), []).append(event)
    missing = {
        key
        for key, deadline in deadlines_ns.items()
        if not any(event.t_ns <= deadline for event in out.get(key, ()))
    }
    doubled = {key for key, events in out.items() if len(events) > 1}
    different = {
        key
        for key, events in out.items()
        if key not in taken or any(not _same(taken[key], event) for event in events)
    }
    return Accounts(frozenset(missing), frozenset(doubled), frozenset(different))


def _key(value: Mapping[str, Any]) -> Key:
    return str(value.get("source", "")), int(value.get("serial", -1))


def _same(measured: Event, record: Event) -> bool:
    at_ns = record.value.get("at_ns")
    timely = isinstance(at_ns, int) and abs(at_ns - measured.t_ns) <= _CLOCK_NS
    return timely and digest(measured.value) == digest(record.value)


def digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of what was measured: source, number and values."""
    content = {name: value.get(name) for name in ("source", "serial", "values")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def pre_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Records missing, doubled or different after recovery, by SHA-256.

    The measurement whose record was being written when the power went may be there or not, but
    nothing else than what it was. It shows something only where the links were down while
    measurements were taken, and, if the power was to be cut, where it went within the declared
    time of writing after a measurement.
    """
    window = ev.faulty_window(recording)
    ev.onset(recording, window)
    within_s = recording.device.declares.get("backfill_within_s")
    if within_s is None:
        raise ev.Cannot("not declared: D:backfill_within_s")
    end_ns, back = recording.schedule.end_ns, window.end_ns
    if end_ns - back < ns(within_s):
        raise ev.Cannot(
            f"the recording ends {show_duration((end_ns - back) / 1e9)} after the network's "
            f"return, before the declared {show_duration(within_s)}"
        )
    taken = measurements(recording)
    during = [e for e in taken.values() if window.start_ns <= e.t_ns < back]
    if len(during) < LEAST_RECORDS:
        raise ev.Cannot(f"only {len(during)} measurements were taken while the links were down")
    excused = _unfinished(recording, window, taken)
    deadlines = {
        key: max(event.t_ns, back) + ns(within_s)
        for key, event in taken.items()
        if key not in excused and max(event.t_ns, back) + ns(within_s) <= end_ns
    }
    found = accounts(recording, taken, deadlines)
    details: ev.Details = {
        "measurements": float(len(taken)),
        "during_the_outage": float(len(during)),
        "missing": float(len(found.missing)),
        "doubled": float(len(found.doubled)),
        "different": float(len(found.different)),
        "unfinished_at_power_loss": float(len(excused)),
    }
    return float(len(found.wrong)), details


def _unfinished(recording: Recording, window: Window, taken: Mapping[Key, Event]) -> set[Key]:
    """The measurements whose records were being written when the power was cut."""
    wanted = _cuts(recording, window)
    if not wanted:
        return set()
    write_s = ev.device_limit(recording, "record_write_s")
    if write_s > LONGEST_WRITE_S:
        raise ev.Cannot(f"the declared time of writing is above {show_duration(LONGEST_WRITE_S)}")
    excused: set[Key] = set()
    for cut_ns in wanted:
        _went_dark(recording, cut_ns)
        writing = {
            key for key, event in taken.items() if cut_ns - ns(write_s) <= event.t_ns <= cut_ns
        }
        if not writing:
            raise ev.Cannot("no record was being written when the power was cut")
        excused |= writing
    return excused


def _cuts(recording: Recording, window: Window) -> list[int]:
    """When the power went; the bench must have cut it as often as the scenario says."""
    planned = [a for a in recording.schedule.actions if a.name.startswith("power-cut")]
    power = ev.contact(recording, "power")
    cuts = [e.t_ns for e in power if e.value == 0 and window.start_ns <= e.t_ns < window.end_ns]
    if len(cuts) < len(planned):
        raise ev.Cannot("the power was not cut")
    return cuts


def _went_dark(recording: Recording, cut_ns: int) -> None:
    """Without power a device sends nothing; one that goes on had another supply."""
    power = ev.contact(recording, "power")
    back = ev.first_after(power, 1, cut_ns, recording.schedule.end_ns)
    if back is None:
        raise ev.Cannot("the power did not return")
    rows = recording.packets.where(tap="patient", direction=1)
    if len(rows.between(cut_ns + _POWER_NS, back)):
        raise ev.Cannot("the device went on sending while its power was cut")


def delivered(
    recording: Recording, taken: Mapping[Key, Event], keys: Iterable[Key], within_s: float
) -> Accounts:
    """The accounts of some measurements, each due ``within_s`` after it was taken."""
    return accounts(recording, taken, {key: taken[key].t_ns + ns(within_s) for key in keys})
