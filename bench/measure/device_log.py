"""A device's audit log as the bench read it out, and its clock as the bench measured it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measure import events as ev
from bench.measure.measurement import UncertaintyTerm
from bench.sessions.recording import Event, Recording
from bench.units import NS_PER_S

LEAST_READINGS = 3
_LEAST_SHARE = 0.5
"""The readings of a clock must span this share of the session, or its drift is not known."""

ANSWER_NS = NS_PER_S
"""A device that does not answer within this time does not answer."""

DEVICE_CLOCK = "device-clock"
"""The term of an uncertainty budget that a device's own clock adds."""

NOT_ENTRIES = frozenset({"clock", "audit-export", "log-full"})
"""What a device says on its live channel beside the entries of its log."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry as exported; ``clock_ns`` is the device's own time."""

    number: int
    clock_ns: int
    kind: str
    name: str
    content: Any
    chain: str


@dataclass(frozen=True, slots=True)
class Export:
    """One export of the log: when, the entries, and what the device's own check of it says.

    ``check``: empty where the device finds nothing wrong. ``full``: it says that there is no room.
    """

    t_ns: int
    entries: tuple[LogEntry, ...]
    check: str
    full: bool


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """The device's clock against the bench's, a line through its readings.

    ``offset_s``: ahead of the bench's at the start of the session. ``drift``: s per s.
    ``standard_s``: standard uncertainty of the line anywhere in the session.
    """

    offset_s: float
    drift: float
    standard_s: float
    readings: int

    def true_ns(self, clock_ns: int) -> int:
        """The bench's time at which the device's clock showed ``clock_ns``."""
        return round((clock_ns - self.offset_s * 1e9) / (1 + self.drift))

    @property
    def expanded_ns(self) -> int:
        """Expanded uncertainty of a time by this clock, k = 2."""
        return math.ceil(2e9 * self.standard_s)


def actions(recording: Recording, side: str, name: str) -> list[Event]:
    """What the bench did at a side, by the part of the action's name before the colon."""
    return [
        event
        for event in recording.named("action", side=side)
        if event.value["name"].partition(":")[0] == name
    ]


def exports(recording: Recording, side: str) -> list[Export]:
    """All exports of a side's log, in order of time.

    Raises:
        Cannot: an export is no list of entries.
    """
    found = []
    for event in recording.named("audit-export", side=side):
        try:
            entries = tuple(LogEntry(**entry) for entry in event.value["entries"])
            check, full = str(event.value["check"]), bool(event.value["full"])
        except (KeyError, TypeError) as error:
            raise ev.Cannot(f"the export of the {side}'s log cannot be read: {error}") from error
        found.append(Export(event.t_ns, entries, check, full))
    return found


def last_export(recording: Recording, side: str) -> Export | None:
    """The last export that was asked for; ``None`` where the device gave none.

    Raises:
        Cannot: none was asked for, or the recording ends before the device must have answered.
    """
    asked = actions(recording, side, "export-log")
    if not asked:
        raise ev.Cannot(f"the log of the {side}'s side was not read out")
    last_ns = asked[-1].t_ns
    for export in exports(recording, side):
        if export.t_ns >= last_ns:
            return export
    if recording.schedule.end_ns - last_ns < ANSWER_NS:
        raise ev.Cannot("the recording ends before the log was given out")
    return None


def clock_of(recording: Recording, side: str) -> DeviceClock:
    """The clock of a side, from what it showed when it was asked.

    A reading was taken between the question and the answer: half of that is its uncertainty.

    Raises:
        Cannot: it was read too seldom, or over too short a time.
    """
    answers = list(recording.named("clock", side=side))
    readings = []
    for asked in actions(recording, side, "read-clock"):
        answer = next((e for e in answers if 0 <= e.t_ns - asked.t_ns <= ANSWER_NS), None)
        if answer is not None:
            answers.remove(answer)
            readings.append((asked.t_ns, answer.t_ns, int(answer.value["clock_ns"])))
    span = (readings[-1][0] - readings[0][0]) / recording.schedule.end_ns if readings else 0.0
    if len(readings) < LEAST_READINGS or span < _LEAST_SHARE:
        raise ev.Cannot(
            f"the clock of the {side}'s side was not measured: {len(readings)} readings"
        )
    return _line(readings, recording.schedule.end_ns)


def _line(readings: Sequence[tuple[int, int, int]], end_ns: int) -> DeviceClock:
    asked, answered, shown = np.array(readings, dtype=np.int64).T
    half_s = (answered - asked) / 2e9
    t_s = (asked + answered) / 2e9
    ahead_s = (shown - asked) / 1e9 - half_s
    middle_s = t_s.mean()
    spread = float(((t_s - middle_s) ** 2).sum())
    drift = float(((t_s - middle_s) * ahead_s).sum()) / spread
    offset_s = float(ahead_s.mean() - drift * middle_s)
    residual = ahead_s - (offset_s + drift * t_s)
    n = len(t_s)
    variance = float((residual**2).sum()) / max(1, n - 2)
    far_s = max(middle_s, end_ns / 1e9 - middle_s)
    # Where between question and answer a device reads its clock is the same each time: no mean
    # over readings makes that smaller.
    always = float((half_s**2).max()) / 3
    standard_s = math.sqrt(always + variance * (1 / n + far_s**2 / spread))
    return DeviceClock(offset_s, drift, max(standard_s, 1e-9), n)


def clock_term(recordings: Sequence[Recording], side: str) -> UncertaintyTerm | None:
    """What the measured clock adds to the uncertainty of a logged time: the worst session's."""
    found = []
    for recording in recordings:
        try:
            found.append(clock_of(recording, side))
        except ev.Cannot:
            continue
    if not found:
        return None
    worst = max(found, key=lambda clock: clock.standard_s)
    origin = (
        f"line through {worst.readings} readings of the device's clock, which was "
        f"{worst.offset_s:.6g} s ahead and drifted by {worst.drift:.3g} s per s"
    )
    return UncertaintyTerm(DEVICE_CLOCK, worst.standard_s, origin)
