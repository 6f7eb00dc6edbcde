"""Alarm system of a device after IEC 60601-1-8: condition and signal, delayed apart.

Each alarm is a small state machine in :data:`TRANSITIONS`. A condition that ends before its
signal came is signalled all the same, and a signal lasts at least ``minimum_signal_s``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial

from bench.devices.ports import Port
from bench.devices.profile import AlarmProfile
from bench.units import ns


class AlarmState(StrEnum):
    """Where one alarm stands. ``BRIEF``: the condition is over, its signal is not."""

    CLEAR = "clear"
    PENDING = "pending"
    PENDING_BRIEF = "pending-brief"
    SIGNALLING = "signalling"
    SIGNALLING_BRIEF = "signalling-brief"


class AlarmEvent(StrEnum):
    """What can happen to one alarm."""

    RAISE = "raise"
    CEASE = "cease"
    SIGNAL_DUE = "signal-due"
    MINIMUM_OVER = "minimum-over"


S, E = AlarmState, AlarmEvent

TRANSITIONS: dict[tuple[AlarmState, AlarmEvent], AlarmState] = {
    (S.CLEAR, E.RAISE): S.PENDING,
    (S.PENDING, E.CEASE): S.PENDING_BRIEF,
    (S.PENDING_BRIEF, E.RAISE): S.PENDING,
    (S.PENDING, E.SIGNAL_DUE): S.SIGNALLING,
    (S.PENDING_BRIEF, E.SIGNAL_DUE): S.SIGNALLING_BRIEF,
    (S.SIGNALLING, E.CEASE): S.SIGNALLING_BRIEF,
    (S.SIGNALLING_BRIEF, E.RAISE): S.SIGNALLING,
    (S.SIGNALLING_BRIEF, E.MINIMUM_OVER): S.CLEAR,
}

SOUNDING = frozenset({S.SIGNALLING, S.SIGNALLING_BRIEF})
_CONDITION = frozenset({S.PENDING, S.SIGNALLING})


class AlarmSystem:
    """All alarms of one side of a device.

    Args:
        alarms: the declared alarms.
        port: where signals and log entries leave.
        signal_after_s: the device's own time from condition to signal.
        minimum_signal_s: how long a signal lasts at least.
        priority: overrides of the declared priority (a deliberate defect).
        muted: alarms whose signal never comes (a deliberate defect).
        signal_after: another time than ``signal_after_s``, in s, by alarm name.
    """

    def __init__(
        self,
        alarms: tuple[AlarmProfile, ...],
        port: Port,
        *,
        signal_after_s: float,
        minimum_signal_s: float,
        priority: Mapping[str, str],
        muted: frozenset[str],
        signal_after: Mapping[str, float] | None = None,
    ) -> None:
        self._port = port
        self._alarms = {alarm.name: alarm for alarm in alarms}
        self._state = dict.fromkeys(self._alarms, AlarmState.CLEAR)
        other = signal_after or {}
        self._signal_after_ns = {a: ns(other.get(a, signal_after_s)) for a in self._alarms}
        self._minimum_ns = ns(minimum_signal_s)
        self._priority = priority
        self._muted = muted

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the alarms whose condition holds."""
        return tuple(name for name, state in self._state.items() if state in _CONDITION)

    def update(self, now_ns: int, name: str, present: bool, value: object = None) -> None:
        """Tell whether the condition of alarm ``name`` holds now.

        Unknown names are ignored:
        a device without that alarm has none to raise.
        """
        if name not in self._alarms or name in self._muted:
            return
        state = self._state[name]
        if (state in _CONDITION) == present:
            return
        self._port.log(now_ns, "alarm-condition", {"alarm": name, "on": present, "value": value})
        self._step(now_ns, name, AlarmEvent.RAISE if present else AlarmEvent.CEASE)

    def _step(self, now_ns: int, name: str, event: AlarmEvent) -> None:
        before = self._state[name]
        state = TRANSITIONS.get((before, event))
        if state is None:
            return
        self._state[name] = state
        if (before in SOUNDING) != (state in SOUNDING):
            priority = self._priority.get(name, self._alarms[name].priority)
            on = state in SOUNDING
            self._port.signal(
                now_ns, "alarm-signal", {"alarm": name, "priority": priority, "on": on}
            )
        if before is AlarmState.CLEAR:
            due = now_ns + self._signal_after_ns[name]
            self._port.at(due, partial(self._timer, name, AlarmEvent.SIGNAL_DUE))
        if state is AlarmState.SIGNALLING_BRIEF:
            due = now_ns + self._minimum_ns
            self._port.at(due, partial(self._timer, name, AlarmEvent.MINIMUM_OVER))

    def _timer(self, name: str, event: AlarmEvent, now_ns: int) -> None:
        self._step(now_ns, name, event)
