"""Physical interfaces in the place of a session's namespaces: the device is at their far ends."""

from __future__ import annotations

from collections.abc import Sequence

from bench.benches.local.layout import Wire
from bench.benches.local.ring import PacketRing
from bench.network.scenario import Side
from instruments.attacks.messages import Station


class Nics:
    """The interfaces of one session, as they are; what :class:`Topology` is for namespaces.

    Args:
        ends: per link, the interfaces of the patient's and of the doctor's side.

    Attributes:
        wires: what the emulator joins, by link.
        stations: none: nobody attacks a real device here.
    """

    stations: tuple[Station, ...] = ()

    def __init__(self, ends: Sequence[tuple[str, str]]) -> None:
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
