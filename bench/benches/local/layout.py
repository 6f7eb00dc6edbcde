"""Names and addresses of a session's interfaces, and of attackers and further clients.

Further clients have addresses of their own, in a network behind a router: ``10.80.x.y`` on the
first link, ``10.81.x.y`` on the second, where ``x.y`` is the client's number. What attackers put on
the wire bears a hardware address of theirs, so that the taps tell it from the device's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.network.scenario import Side

SIDES: tuple[Side, Side] = ("patient", "doctor")
LARGEST_PAYLOAD = 1500 - 20 - 8
"""Largest UDP payload that one Ethernet frame carries."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The two ends of one link in the wire namespace.

    ``radio``: the interfaces to the patient's and to the doctor's side of a radio hop between them,
    which somebody else carries packets over; empty where there is none.
    """

    link: int
    patient_end: str
    doctor_end: str
    radio: tuple[str, ...] = ()


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


ATTACKERS = bytes.fromhex("02004da7")
"""How hardware addresses of attackers begin."""


def attacker_hardware_address(link: int, *, altered: bool = False) -> str:
    """That of attackers and of their router on the link of that index.

    Args:
        altered: that which a packet of the device's bears after they altered or held it back.
    """
    return (ATTACKERS + bytes((link, 2 if altered else 1))).hex(":")


def router_address(link: int) -> str:
    """The router to the further clients' network of that link."""
    return f"10.77.{link}.254"


def peer_network(link: int) -> str:
    """The further clients' network of that link."""
    return f"10.{80 + link}.0.0"


def peer_address(link: int, peer: int) -> str:
    """The IPv4 address of the further client of that number (1 to 65534)."""
    return f"10.{80 + link}.{peer >> 8}.{peer & 0xFF}"


def peer_of(ip: str) -> int:
    """The number of the further client at an address; 0 of any other address."""
    first, second, high, low = map(int, ip.split("."))
    return high << 8 | low if first == 10 and second >= 80 else 0
