"""What the attack process and the bench tell each other, over a socket that keeps messages whole.

One message is one packet of a ``SOCK_SEQPACKET`` pair: a line of JSON, then the bytes of a payload
(often none). Times are CLOCK_MONOTONIC in ns. A direction (``way``) is an index into
:data:`bench.network.impairment.DIRECTIONS`; a flow is a link, a direction and a UDP destination
port.

To the process (``do``):

``stand``: where to stand (:class:`Station` of each link, and the lengths of payload to expect);
always first. ``watch``: tell what passes of a flow on every link, at most ``most_per_s`` (0: all);
of ``protocol`` ``tcp``, whose ``port`` may be either end's, segments with data.
``ask``: hold the next packet of a flow from ``from_ns`` on, ask, and let it go unanswered after
``within_ns``. ``answer``: how the packet
``id`` goes on: at once, or after ``held_ns`` more while later ones pass it; where ``altered`` is
true, marked as such, and with another payload where one follows. ``send``: a packet made up, to the
device's side, from any address. ``announce``: an ARP answer that nobody asked for. ``end``: say how
it went, and end.

Where a real device is at the far ends of interfaces the process is on no path
(:mod:`instruments.attacks.beside`): ``beside`` comes first, then ``attack`` (kind, link, way, port,
count, rate) as each is due, and ``end``.

From the process (``is``):

``ready``. ``passed``: a packet of a watched flow passed; ``segment``: one of TCP did. ``asked``:
one is held. ``arrived``: one for an address of the attackers. ``acted``: a packet of an ``attack``
that begins as the payload does; ``ended``: a flood has. ``done``: counts.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Station:
    """Where the process stands on one link, and who is at its ends.

    ``side``: the interface towards the doctor's side; ``path``: that towards the emulator.
    ``patient``, ``doctor``: hardware address and IPv4 address of each. ``own``: the attackers'
    hardware address; ``altered``: what an altered or delayed packet bears as its source.
    """

    side: str
    path: str
    patient: tuple[str, str]
    doctor: tuple[str, str]
    own: str
    altered: str


def stand(stations: Sequence[Station], lengths: Sequence[int]) -> dict[str, Any]:
    """The first message to the process."""
    return {"do": "stand", "links": [asdict(each) for each in stations], "lengths": list(lengths)}


def beside(links: Sequence[Mapping[str, str]], seed: int) -> dict[str, Any]:
    """The first message to a process that is on no path.

    Args:
        links: by link, the interfaces towards the ``patient`` and the ``doctor``, and the
            attackers' ``own`` hardware address.
        seed: of all draws.
    """
    return {"do": "beside", "links": list(links), "seed": seed}


def stations_of(message: Mapping[str, Any]) -> tuple[Station, ...]:
    """The stations in that message."""
    return tuple(
        Station(**{**link, "patient": tuple(link["patient"]), "doctor": tuple(link["doctor"])})
        for link in message["links"]
    )


def packed(data: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """One message as bytes."""
    return json.dumps(data, separators=(",", ":")).encode() + b"\n" + payload


def unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A message and its payload.

    Raises:
        ValueError: it is none.
    """
    line, _, payload = data.partition(b"\n")
    parsed = json.loads(line)
    if not isinstance(parsed, dict):
        raise ValueError("no message of the attack process")
    return parsed, payload


def channel() -> tuple[socket.socket, socket.socket]:
    """A pair of ends for :func:`packed` messages."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, 1 << 21)
    return ends
