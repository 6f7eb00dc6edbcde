"""Physical interfaces in the place of a session's namespaces: the device is at their far ends.

A real device does not end with a session. Between sessions the links are joined without
impairment, and the emulator of a session takes over while packets flow, and hands back: at an
instant on which both agree, so that no packet is missing and none comes twice. What a session's
emulator still holds back then is let go at once.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Sequence
from dataclasses import replace

from bench.benches.local.layout import Wire
from bench.benches.local.ring import PacketRing
from bench.network.impairment import CLEAN
from bench.network.scenario import Side
from instruments.attacks.messages import Station
from instruments.emulators.base import EmulatorError, LinkPlan
from instruments.emulators.forwarder import Options
from instruments.emulators.userspace import UserspaceEmulator

Ends = Sequence[tuple[str, ...]]
"""Per link the interfaces of the patient's and of the doctor's side, and where a radio hop lies
between them those to its patient's and to its doctor's side."""

BEFORE_RADIO = " before the radio"
"""Behind a link's name: the part of it between the patient's side and the radio hop."""
_WITHIN_S = 5.0
_INSTANT = struct.Struct("q")


class Nics:
    """The interfaces of one session, as they are; what :class:`Topology` is for namespaces.

    Args:
        ends: the interfaces.

    Attributes:
        wires: what the emulator joins, by link.
        stations: none: attackers stand beside a real device's path.
    """

    stations: tuple[Station, ...] = ()

    def __init__(self, ends: Ends) -> None:
        self.wires = tuple(
            Wire(link, names[0], names[1], names[2:]) for link, names in enumerate(ends)
        )

    def rings(self, side: Side) -> list[PacketRing]:
        """A packet ring on every interface of ``side``, in the order of the links."""
        names = [w.patient_end if side == "patient" else w.doctor_end for w in self.wires]
        return [PacketRing(name) for name in names]

    def enter(self, side: Side) -> None:
        """Nobody plays a side here."""
        raise AssertionError("the device is at the far ends of the interfaces")

    def close(self) -> None:
        """The interfaces stay."""


def around_radio(plan: LinkPlan, wire: Wire) -> tuple[LinkPlan, ...]:
    """A link's plan, where a radio hop lies on it as two: without impairment before the hop.

    What the scenario does to the link is done on the doctor's side of the hop.
    """
    if not wire.radio:
        return (plan,)
    near, far = wire.radio
    clean = ((0, CLEAN),)
    before = replace(
        plan, link=f"{plan.link}{BEFORE_RADIO}", doctor_ifname=near, to_patient=clean,
        to_doctor=clean,
    )  # fmt: skip
    return before, replace(plan, patient_ifname=far)


class Joined:
    """The links between sessions, as if there were no bench."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._emulator: UserspaceEmulator | None = None
        self._since_ns = 0

    def join(self) -> int:
        """Pass everything on, if it does not already.

        Returns:
            From when on (CLOCK_REALTIME, ns; a little ahead).

        Raises:
            EmulatorError: the emulator cannot run here.
        """
        if self._emulator is None:
            clean = ((0, CLEAN),)
            plans = [
                plan
                for wire in Nics(self._ends).wires
                for plan in around_radio(
                    LinkPlan(f"{wire.link}", wire.patient_end, wire.doctor_end, clean, clean, 0),
                    wire,
                )
            ]
            self._emulator = UserspaceEmulator(Options(waits=True))
            self._emulator.start(plans, time.monotonic_ns())
            self._since_ns = self._emulator.open()
        return self._since_ns

    def leave(self, until_ns: int) -> Sequence[str]:
        """Another passes everything on from then on (CLOCK_REALTIME, ns).

        Returns:
            Notes on that, if any.

        Raises:
            EmulatorError: a part of the emulator died.
        """
        emulator, self._emulator = self._emulator, None
        return () if emulator is None else emulator.stop(drain=True, until_ns=until_ns).notes


class Handover:
    """Two pipes between the emulator of a session and what joins the links around it.

    Through each goes the instant (CLOCK_REALTIME, ns) from which on the one passes packets on.
    """

    def __init__(self) -> None:
        self._taken, self._released = os.pipe(), os.pipe()

    def take(self, since_ns: int) -> None:
        """The emulator passes packets on from then on."""
        os.write(self._taken[1], _INSTANT.pack(since_ns))

    def wait_taken(self, within_s: float) -> int | None:
        """From when on it does; None where it has not said so in time."""
        return _instant(self._taken[0], within_s)

    def release(self, since_ns: int) -> None:
        """Somebody else passes them on from then on."""
        os.write(self._released[1], _INSTANT.pack(since_ns))

    def wait_released(self) -> int:
        """From when on somebody else does.

        Raises:
            EmulatorError: nobody does in time.
        """
        since_ns = _instant(self._released[0], _WITHIN_S)
        if since_ns is None:
            raise EmulatorError("nobody takes the links over at the end of the session")
        return since_ns

    def close(self) -> None:
        """Give the pipes back."""
        for fd in (*self._taken, *self._released):
            os.close(fd)


def _instant(fd: int, within_s: float) -> int | None:
    if not select.select([fd], [], [], max(0.0, within_s))[0]:
        return None
    (since_ns,) = _INSTANT.unpack(os.read(fd, _INSTANT.size))
    return int(since_ns)
