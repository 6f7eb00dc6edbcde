"""Local control: commands given beside the patient, once the local side has taken over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.devices.ports import Message, Port
from bench.units import ns

LOCAL_STREAM = 255
"""The stream code of commands given beside the patient: no stream of the network has it."""

PERIOD_S = 0.01
_SWEEP_UM = [round(200 * math.sin(2 * math.pi * k / 100)) for k in range(100)]
"""The hand on the pendant: a 0.2 mm sine at 1 Hz, one value per command."""


@dataclass(frozen=True, slots=True)
class TakeoverTraits:
    """How a device answers the takeover switch.

    ``after_s``: from the switch to local control. ``in_fault``: also while the network is abnormal.
    ``rejects_remote``: no remote command moves it meanwhile. ``rearms_on_release``: remote motion
    is enabled again with the release, unasked. ``coasts_s``: how long remote commands still move it
    after a local stop that it already reports. ``stops_afterwards``: the local stop acts also when
    there was a takeover before.
    """

    after_s: float = 0.0
    in_fault: bool = True
    rejects_remote: bool = True
    rearms_on_release: bool = False
    coasts_s: float = 0.0
    stops_afterwards: bool = True


class LocalControl:
    """The pendant: gives a command every period from :meth:`start` until :meth:`stop`.

    Args:
        port: for the timer.
        drive: called ``(now_ns, message)`` with every command.
    """

    def __init__(self, port: Port, drive: Callable[[int, Message], None]) -> None:
        self._port = port
        self._drive = drive
        self._seq = 0
        self._base_um = 0
        self._first = 0
        self._round = 0
        self.active = False

    def start(self, now_ns: int, position_um: int) -> None:
        """Take control from the position where the drive is."""
        self.active = True
        self._round += 1
        self._base_um, self._first = position_um, self._seq
        self._tick(now_ns, self._round)

    def stop(self) -> None:
        """Give no more commands."""
        self.active = False

    def _tick(self, now_ns: int, number: int) -> None:
        if not self.active or number != self._round:
            return
        value = self._base_um + _SWEEP_UM[(self._seq - self._first) % len(_SWEEP_UM)]
        self._drive(now_ns, Message(LOCAL_STREAM, self._seq, now_ns, value))
        self._seq += 1
        self._port.at(now_ns + ns(PERIOD_S), lambda t_ns: self._tick(t_ns, number))
