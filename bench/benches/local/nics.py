"""Physical interfaces in the place of a session's namespaces: the device is at their far ends.

A real device does not end with a session. Between sessions the links are joined without
impairment, and the emulator of a session takes over while packets flow: for some milliseconds both
pass them on, so that a packet may come twice, before a session's start and after its end, and none
is missing.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

from bench.benches.local.layout import Wire
from bench.benches.local.ring import PacketRing
from bench.network.impairment import CLEAN
from bench.network.scenario import Side
from instruments.attacks.messages import Station
from instruments.emulators.base import EmulatorError, LinkPlan
from instruments.emulators.forwarder import Options
from instruments.emulators.userspace import UserspaceEmulator

Ends = Sequence[tuple[str, str]]
_WITHIN_S = 5.0


class Nics:
    """The interfaces of one session, as they are; what :class:`Topology` is for namespaces.

    Args:
        ends: per link, the interfaces of the patient's and of the doctor's side.

    Attributes:
        wires: what the emulator joins, by link.
        stations: none: nobody attacks a real device here.
    """

    stations: tuple[Station, ...] = ()

    def __init__(self, ends: Ends) -> None:
        self.wires = tuple(Wire(link, *pair) for link, pair in enumerate(ends))

    def rings(self, side: Side) -> list[PacketRing]:
        """A packet ring on every interface of ``side``, in the order of the links."""
        names = [w.patient_end if side == "patient" else w.doctor_end for w in self.wires]
        return [PacketRing(name) for name in names]

    def enter(self, side: Side) -> None:
        """Nobody plays a side here."""
        raise AssertionError("the device is at the far ends of the interfaces")

    def close(self) -> None:
        """The interfaces stay."""


class Joined:
    """The links between sessions, as if there were no bench."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._emulator: UserspaceEmulator | None = None

    def join(self) -> None:
        """Pass everything on from now.

        Raises:
            EmulatorError: the emulator cannot run here.
        """
        if self._emulator is None:
            clean = ((0, CLEAN),)
            plans = [
                LinkPlan(f"{number}", patient, doctor, clean, clean, 0)
                for number, (patient, doctor) in enumerate(self._ends)
            ]
            emulator = UserspaceEmulator(Options())
            emulator.start(plans, time.monotonic_ns())
            self._emulator = emulator

    def leave(self) -> None:
        """Another passes everything on.

        Raises:
            EmulatorError: a part of the emulator died.
        """
        emulator, self._emulator = self._emulator, None
        if emulator is not None:
            emulator.stop(drain=True)


class Handover:
    """Two pipes between the emulator of a session and what joins the links around it."""

    def __init__(self) -> None:
        self._taken, self._released = os.pipe(), os.pipe()

    def take(self) -> None:
        """The emulator passes packets on."""
        os.write(self._taken[1], b"1")

    def wait_taken(self, within_s: float) -> bool:
        """Whether it does."""
        return _readable(self._taken[0], within_s)

    def release(self) -> None:
        """Somebody else passes them on."""
        os.write(self._released[1], b"1")

    def wait_released(self) -> None:
        """Wait until somebody else does.

        Raises:
            EmulatorError: nobody does in time.
        """
        if not _readable(self._released[0], _WITHIN_S):
            raise EmulatorError("nobody takes the links over at the end of the session")

    def close(self) -> None:
        """Give the pipes back."""
        for fd in (*self._taken, *self._released):
            os.close(fd)


def _readable(fd: int, within_s: float) -> bool:
    return bool(select.select([fd], [], [], within_s)[0])
