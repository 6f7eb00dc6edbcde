"""The device's log against what happened, event by event and both ways."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from bench.measure import events as ev
from bench.measure import session_truth as truth
from bench.measure.device_log import DeviceClock, Export, LogEntry, actions
from bench.network.scenario import Window
from bench.sessions.recording import Recording
from bench.units import NS_PER_S, ns, show_duration

REACH_NS = 2 * NS_PER_S
"""An entry farther away from a fault than this is not about it."""

SUMMARY_NS = NS_PER_S
"""Commands and refusals are summarised over this long at most."""


@dataclass(slots=True)
class Account:
    """How a log compares with what happened.

    ``missing``: events without an entry. ``false``: entries of events that did not happen.
    ``unsure``: entries whose time is right or wrong by less than the uncertainty. ``offered``:
    events by kind.
    """

    missing: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    offered: Counter[str] = field(default_factory=Counter)

    def add(self, other: Account) -> None:
        """Take another account in."""
        self.missing += other.missing
        self.false += other.false
        self.unsure += other.unsure
        self.offered += other.offered


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an entry's time may be off, ns.

    ``declared``: by the device's own promise. Without one nothing is called missing for its
    time, and a time that is off by more than ``doubt_ns`` leaves the question open.
    ``doubt_ns``: the uncertainty of the comparison.
    """

    declared_ns: int | None
    doubt_ns: int

    @property
    def reach_ns(self) -> int:
        """An entry farther away than this is another event's."""
        return REACH_NS if self.declared_ns is None else self.declared_ns + self.doubt_ns

    def unsure(self, error_ns: int) -> bool:
        """Whether an error may be right or wrong."""
        if self.declared_ns is None:
            return error_ns > self.doubt_ns
        return self.doubt_ns > 0 and abs(error_ns - self.declared_ns) < self.doubt_ns


def tolerance_of(recording: Recording, clock: DeviceClock) -> Tolerance:
    """As declared (``log_time_error_s``), and the uncertainty of the device's clock."""
    declared_s = recording.device.declares.get("log_time_error_s")
    return Tolerance(None if declared_s is None else ns(declared_s), clock.expanded_ns)


def reconcile(
    recording: Recording, side: str, export: Export | None, tolerance: Tolerance, until_ns: int
) -> Account:
    """One side's log against all that the bench knows of that side up to ``until_ns``."""
    entries = export.entries if export is not None else ()
    account = _known(recording, side, entries, tolerance, until_ns)
    account.add(_summaries(recording, side, entries, tolerance, until_ns))
    account.add(_attacks(recording, side, entries, tolerance, until_ns))
    if side == "patient":
        account.add(_faults(recording, entries, tolerance, until_ns))
        account.add(_executed(recording, entries, tolerance, until_ns))
    return account


def _known(
    recording: Recording, side: str, entries: Sequence[LogEntry], tolerance: Tolerance, until: int
) -> Account:
    """Events that are known by their content: one entry each, and no entry without one."""
    happened = truth.truths(recording, side, until)
    account = Account(offered=Counter(each.kind for each in happened))
    names = truth.names_known(recording, side)
    logged: dict[str, list[int]] = {}
    for entry in entries:
        if entry.name in names:
            key = truth.key_of(entry.kind, entry.name, entry.content)
            logged.setdefault(key, []).append(entry.clock_ns)
    in_turn = sorted(happened, key=lambda each: (each.key, each.t_ns))
    for key, group in groupby(in_turn, key=lambda each: each.key):
        times = sorted(logged.pop(key, ()))
        for each in group:
            near = next((t for t in times if abs(t - each.t_ns) <= tolerance.reach_ns), None)
            if near is None:
                account.missing.append(_words(side, key, each.t_ns))
                continue
            times.remove(near)
            if tolerance.unsure(abs(near - each.t_ns)):
                account.unsure.append(_words(side, key, each.t_ns))
        account.false += [_words(side, key, t) for t in times]
    account.false += [_words(side, key, t) for key, times in logged.items() for t in times]
    return account


def _words(side: str, key: str, t_ns: int) -> str:
    kind, name, content = json.loads(key)
    return f"{side} {kind} {name} {json.dumps(content)} at {show_duration(t_ns / 1e9)}"


def _summaries(
    recording: Recording, side: str, entries: Sequence[LogEntry], tolerance: Tolerance, until: int
) -> Account:
    """Each procedure ends with a summary of the connection, with as many switches as were seen."""
    account = Account()
    starts = [event.t_ns for event in actions(recording, side, "procedure-start")]
    switches = truth.link_switches(recording, side)
    for end in actions(recording, side, "procedure-end"):
        if end.t_ns > until:
            continue
        account.offered["connection"] += 1
        start = max((t for t in starts if t <= end.t_ns), default=0)
        seen = None
        if switches is not None:
            seen = sum(start < t <= end.t_ns for t, _, _ in switches)
        found = any(
            abs(entry.clock_ns - end.t_ns) <= tolerance.reach_ns
            and (seen is None or entry.content.get("switches") == seen)
            for entry in entries
            if entry.name == "connection-summary"
        )
        if not found:
            words = f"{side} summary of the connection at {show_duration(end.t_ns / 1e9)}"
            account.missing.append(f"{words} with {seen} switches" if seen is not None else words)
    return account


def _attacks(
    recording: Recording, side: str, entries: Sequence[LogEntry], tolerance: Tolerance, until: int
) -> Account:
    """Each attack has an entry of its kind, while it lasted or in the summary after it.

    Where there are attacks, no entry tells of one before the first.
    """
    account = Account()
    times = [entry.clock_ns for entry in entries if entry.kind == "attack"]
    first_ns = truth.attacked_ns(recording)
    if first_ns is not None:
        account.false += [
            f"{side} attack at {show_duration(t / 1e9)}"
            for t in times
            if t < first_ns - tolerance.reach_ns
        ]
    for event in truth.attacks(recording, side, until):
        account.offered["attack"] += 1
        value = event.value if isinstance(event.value, dict) else {}
        end_ns = int(value.get("end_ns", event.t_ns)) + SUMMARY_NS
        near = tolerance.reach_ns
        if not any(event.t_ns - near <= t <= end_ns + near for t in times):
            words = f"{side} attack {json.dumps(event.value)}"
            account.missing.append(f"{words} at {show_duration(event.t_ns / 1e9)}")
    return account


def condition_entry(
    window: Window, onset_ns: int, entries: Sequence[LogEntry], reach_ns: int
) -> LogEntry | None:
    """The entry that is nearest to when a fault began, ``None`` where none is near.

    Raises:
        Cannot: the log says that every condition which answers the fault was there before it.
    """
    begun = truth.conditions(window, entries)
    near = [entry for entry in begun if abs(entry.clock_ns - onset_ns) <= reach_ns]
    if near:
        return min(near, key=lambda entry: abs(entry.clock_ns - onset_ns))
    before = {
        entry.content["alarm"]: entry.content["on"]
        for entry in entries
        if entry.name == "alarm-condition" and entry.clock_ns < onset_ns
    }
    if any(before.get(entry.content["alarm"]) for entry in begun):
        raise ev.Cannot(f"the condition of {window.name} was there before the fault")
    return None


def _faults(
    recording: Recording, entries: Sequence[LogEntry], tolerance: Tolerance, until: int
) -> Account:
    """Each fault of the network has its anomaly."""
    account = Account()
    for window, onset_ns in truth.faults(recording):
        if onset_ns > until:
            continue
        account.offered["anomaly"] += 1
        found = condition_entry(window, onset_ns, entries, tolerance.reach_ns)
        words = f"patient anomaly of {window.name} at {show_duration(onset_ns / 1e9)}"
        if found is None:
            account.missing.append(words)
            continue
        # Without a declared time error the time that recognition takes is not the log's.
        if tolerance.declared_ns is not None and tolerance.unsure(abs(found.clock_ns - onset_ns)):
            account.unsure.append(words)
    return account


def _executed(
    recording: Recording, entries: Sequence[LogEntry], tolerance: Tolerance, until: int
) -> Account:
    """The summaries of commands name just those that were executed; each second counts as one."""
    account = Account()
    rows = recording.packets.where(tap="actuator").between(0, until)
    if not len(rows):
        return account
    t_ns, seq = rows.column("t_ns"), rows.column("seq")
    open_ = np.ones(len(seq), dtype=bool)
    for entry in entries:
        if entry.name != "commands-executed":
            continue
        inside = (seq >= entry.content["first"]) & (seq <= entry.content["last"])
        times = t_ns[inside]
        words = f"patient commands {entry.content} at {show_duration(entry.clock_ns / 1e9)}"
        if len(times) != entry.content["count"]:
            account.false.append(words)
            continue
        late_ns = entry.clock_ns - int(times.max())
        if not -tolerance.reach_ns <= late_ns <= SUMMARY_NS + tolerance.reach_ns:
            account.false.append(words)
            continue
        open_ &= ~inside
    seconds = np.unique(t_ns[open_] // NS_PER_S)
    account.offered["command"] += len(np.unique(t_ns // NS_PER_S))
    account.missing += [f"patient commands executed from {int(s)} s" for s in seconds]
    return account
