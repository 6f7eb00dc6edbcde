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


class Nics:
    """The interfaces of one session, as they are; what :class:`Topology` is for namespaces.

    Args:
        ends: the interfaces.

    Attributes:
        wires: what the emulator joins, by link.
        stations: none: nobody attacks a real device here.
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

    def join(self) -> None:
        """Pass everything on from now.

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
