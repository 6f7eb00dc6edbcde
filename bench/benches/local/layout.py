"""Names and addresses of a session's interfaces."""

from __future__ import annotations

from dataclasses import dataclass

from bench.network.scenario import Side

SIDES: tuple[Side, Side] = ("patient", "doctor")
LARGEST_PAYLOAD = 1500 - 20 - 8
"""Largest UDP payload that one Ethernet frame carries."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The two ends of one link in the wire namespace."""

    link: int
    patient_end: str
    doctor_end: str


def interface(side: Side, link: int) -> str:
    """The name of a side's interface on the link of that index."""
    return f"{side[0]}{link}"


def hardware_address(side: Side, link: int) -> str:
    """The MAC address of that interface: locally administered, fixed."""
    return f"02:00:4d:00:{link:02x}:{1 if side == 'patient' else 2:02x}"


def address(link: int, side: Side) -> str:
    """The IPv4 address of ``side`` on the link of that index."""
    return f"10.77.{link}.{1 if side == 'patient' else 2}"


def other(side: Side) -> Side:
    """The other side."""
    return "doctor" if side == "patient" else "patient"
