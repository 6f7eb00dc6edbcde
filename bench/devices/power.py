"""A side of a device behind a power switch: what loses its power forgets all but its memory.

The part that runs is built afresh at every power-up; what survives is what the builder keeps and
hands to each (:class:`~bench.devices.store.Medium`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.devices.alarms import AlarmSystem
from bench.devices.audit import Audit
from bench.devices.ports import Endpoint, Message, Port
from bench.units import duration_s, ns

POWER_CUT = "power-cut"
"""The action: ``power-cut`` or ``power-cut:2s``, how long the power is gone."""

POWER = "power"
"""The contact: 1 while there is power."""

_BOOT_NUMBERS = 1 << 20
"""Packet numbers of one power-up: those of the next begin above them."""


class PowerGate:
    """The port of one power-up: once the power is gone its timers die and nothing leaves it.

    A sensor sees the alarm signals stop that were on.
    """

    def __init__(self, port: Port, boot: int) -> None:
        self._port = port
        self._first = boot * _BOOT_NUMBERS
        self._signals: dict[str, Any] = {}
        self.on = True

    def cut(self, now_ns: int) -> None:
        """The power goes."""
        self.on = False
        for value in self._signals.values():
            self._port.signal(now_ns, "alarm-signal", {**value, "on": False})

    def at(self, t_ns: int, call: Callable[[int], None]) -> None:
        """As :class:`~bench.devices.ports.Port`, as long as there is power; so are the others."""

        def powered(now_ns: int) -> None:
            if self.on:
                call(now_ns)

        self._port.at(t_ns, powered)

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Send one packet."""
        if self._first:
            message = message._replace(seq=message.seq + self._first)
        self._port.send(now_ns, link, message)

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """Send a burst."""
        if self._first:
            message = message._replace(seq=message.seq + self._first)
        self._port.send_burst(now_ns, link, message, count)

    def follow(self, now_ns: int, link: int) -> None:
        """Send to another address."""
        self._port.follow(now_ns, link)

    def actuate(self, now_ns: int, message: Message) -> None:
        """Execute a command."""
        self._port.actuate(now_ns, message)

    def contact(self, now_ns: int, name: str, value: Any) -> None:
        """Change a contact."""
        self._port.contact(now_ns, name, value)

    def signal(self, now_ns: int, name: str, value: Any) -> None:
        """Change a light or sound."""
        if name == "alarm-signal":
            self._signals.pop(value["alarm"], None)
            if value["on"]:
                self._signals[value["alarm"]] = value
        self._port.signal(now_ns, name, value)

    def log(self, now_ns: int, name: str, value: Any) -> None:
        """Write to the audit log."""
        self._port.log(now_ns, name, value)


class Powered:
    """An endpoint that can lose its power.

    The contact ``power`` is the bench's own supply.

    Args:
        make: builds what runs, around the port of one power-up.
        port: of the bench.
    """

    def __init__(self, make: Callable[[Port], Endpoint], port: Port) -> None:
        self._make = make
        self._port = port
        self._boot = 0
        self._gate: PowerGate | None = None
        self._side: Endpoint | None = None

    @property
    def alarms(self) -> AlarmSystem | None:
        """Of what runs; without power there is none."""
        return getattr(self._side, "alarms", None)

    @property
    def audit(self) -> Audit | None:
        """As :attr:`alarms`."""
        return getattr(self._side, "audit", None)

    def start(self, now_ns: int) -> None:
        """Power on."""
        self._port.contact(now_ns, POWER, 1)
        self._gate = PowerGate(self._port, self._boot)
        self._side = self._make(self._gate)
        self._boot += 1
        self._side.start(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """``power-cut:2s`` here; everything else is for what runs."""
        name, _, lasts = action.partition(":")
        if name != POWER_CUT:
            if self._side is not None:
                self._side.operate(now_ns, action)
            return
        if self._gate is None:
            return
        self._gate.cut(now_ns)
        self._gate = self._side = None
        self._port.contact(now_ns, POWER, 0)
        self._port.at(now_ns + ns(duration_s(lasts or "1s")), self.start)

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """A packet arrived; without power nobody hears it."""
        if self._side is not None:
            self._side.receive(now_ns, link, message)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """A burst arrived."""
        if self._side is not None:
            self._side.receive_burst(now_ns, link, message, received, count)
