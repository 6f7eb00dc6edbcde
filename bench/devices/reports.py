"""What a monitor reports: a set of measurements each minute, alarms of the patient at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.devices.ports import Message, Port
from bench.devices.profile import Stream
from bench.units import ns

TECHNICAL = frozenset(
    {
        "network-interrupted",
        "network-intrusion",
        "network-delay",
        "network-loss",
        "link-lost",
        "records-full",
        "log-full",
    }
)
"""Alarms about the device itself; a monitor's others are about its patient."""


@dataclass(frozen=True, slots=True)
class ReportTraits:
    """Deliberate defects of reporting.

    ``period_s``: between two sets, instead of the declared one. ``alarm_after_s``: the station
    hears of a patient's alarm so much later. ``alarm_with_set``: it hears with the next set only.
    ``served``: of more devices than this, the last ones' records are dropped.
    """

    period_s: float | None = None
    alarm_after_s: float = 0.0
    alarm_with_set: bool = False
    served: int = 255


class SetClock:
    """When a source's next set is due: every period, counted from its first measurement."""

    def __init__(self, period_s: float) -> None:
        self._period_ns = ns(period_s)
        self._due: int | None = None

    def due(self, now_ns: int, tolerance_ns: int) -> bool:
        """Whether the measurement taken now makes a set; ``tolerance_ns`` early is in time."""
        if self._due is None:
            self._due = now_ns
        if now_ns < self._due - tolerance_ns:
            return False
        self._due += self._period_ns
        return True


class AlarmReporter:
    """Tells the station which alarms of the patient are on: at every change, and periodically.

    Args:
        stream: the stream of alarms.
        port: for the timer.
        send: sends one message.
        traits: deliberate defects.
    """

    def __init__(
        self, stream: Stream, port: Port, send: Callable[[int, Message], None], traits: ReportTraits
    ) -> None:
        self._code = stream.code
        self._period_ns = ns(stream.period_s)
        self._port = port
        self._send = send
        self._traits = traits
        self._seq = 0
        self._told: tuple[str, ...] = ()
        self._on: tuple[str, ...] = ()

    def start(self, now_ns: int) -> None:
        """Begin to tell."""
        self._tell(now_ns)

    def update(self, now_ns: int, on: Iterable[str]) -> None:
        """The alarms of the patient that are on now."""
        on = tuple(on)
        if on == self._on:
            return
        self._on = on
        if not self._traits.alarm_with_set:
            self._port.at(now_ns + ns(self._traits.alarm_after_s), self._at_once)

    def set_sent(self, now_ns: int) -> None:
        """A set leaves."""
        if self._traits.alarm_with_set:
            self._at_once(now_ns)

    def _at_once(self, now_ns: int) -> None:
        self._told = self._on
        self._message(now_ns)

    def _tell(self, now_ns: int) -> None:
        self._message(now_ns)
        self._port.at(now_ns + self._period_ns, self._tell)

    def _message(self, now_ns: int) -> None:
        body = {"on": list(self._told)}
        self._send(now_ns, Message(self._code, self._seq, now_ns, len(self._told), body))
        self._seq += 1
