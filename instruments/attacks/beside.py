"""Attacks beside the path of a device that is at the far ends of physical interfaces.

Nothing of the device's goes through this process: it looks at what leaves the bench towards a
side, and puts packets of its own on the same interface. They are copies of packets that passed, or
made of one: addresses and ports are those of the flow, and every one bears the attackers' hardware
address. The device's packets never wait for it.
"""

from __future__ import annotations

import ctypes
import random
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from instruments.attacks.frames import Maker, mac, payload_of, port_of
from instruments.attacks.messages import LARGEST
from instruments.attacks.process import AttackProcess

LAGS_NS = (100_000, 20_000_000, 400_000_000)
"""How long after a packet its copies come, in turn."""
DRAWN = 8
"""Bytes at the end of a payload that are drawn, where it is altered: where a tag would be."""

_HEAD = 64
"""Bytes of a payload that are told: its number is among them."""
_BATCH = 64
_ROOM = 4 << 20
_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_LEAVING = struct.pack(
    "HBBIHBBIHBBIHBBI",
    *(0x30, 0, 0, 0xFFFFF004),  # ldb the packet's type
    *(0x15, 0, 1, 4),  # jeq PACKET_OUTGOING
    *(0x06, 0, 0, 0x40000),
    *(0x06, 0, 0, 0),
)
"""What leaves an interface, and nothing of what arrives there (linux/filter.h)."""


class _Exit:
    """Where one direction of one link leaves the bench: what passed there last, by UDP port."""

    def __init__(self, ifname: str) -> None:
        self.passed: dict[int, bytes] = {}
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        program = ctypes.create_string_buffer(_LEAVING)
        where = struct.pack("HxxxxxxP", len(_LEAVING) // 8, ctypes.addressof(program))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self.socket.setblocking(False)
        self.socket.bind((ifname, _ALL))

    def look(self, own: bytes) -> int:
        """Remember the last packet of each port; how many frames there were."""
        for number in range(_BATCH):
            try:
                frame = self.socket.recv(LARGEST)
            except BlockingIOError:
                return number
            port = port_of(frame)
            if port >= 0 and frame[6:12] != own:
                self.passed[port] = frame
        return _BATCH


class Beside(AttackProcess):
    """Everything the attack process does where it is on no path.

    Args:
        links: by link, the interfaces towards the ``patient`` and the ``doctor``, and the
            attackers' ``own`` hardware address.
        seed: of all draws.
        bench: the other end of :mod:`instruments.attacks.messages`.

    Raises:
        OSError: no such interface, or no right to packet sockets.
    """

    def __init__(self, links: Sequence[Mapping[str, str]], seed: int, bench: socket.socket) -> None:
        super().__init__(bench)
        self._maker, self._draw = Maker(), random.Random(seed)
        self._own = [mac(link["own"]) for link in links]
        self._exits = [[_Exit(link[side]) for side in ("patient", "doctor")] for link in links]
        self._acts: dict[str, Callable[[dict[str, Any], int, bytes], None]] = {
            "replay": self._replay, "inject": self._inject, "flood": self._flood,
        }  # fmt: skip
        self._heard = self._made = self._nothing = self._unsent = 0

    def sources(self) -> Mapping[int, Callable[[], object]]:
        """Where the bench's packets leave, on every link towards both sides."""
        return {
            one.socket.fileno(): partial(self._look, one, self._own[link])
            for link, pair in enumerate(self._exits)
            for one in pair
        }

    def _look(self, one: _Exit, own: bytes) -> None:
        self._heard += one.look(own)

    def counts(self) -> dict[str, int]:
        """What was done, and what was not."""
        return {
            "heard": self._heard, "made": self._made, "refused": self.refused,
            "untold": self.untold, "nothing": self._nothing, "unsent": self._unsent,
        }  # fmt: skip

    # ---- what the bench says --------------------------------------------------------------------

    def _do_attack(self, said: dict[str, Any], payload: bytes) -> None:
        self._act(said, 0, time.monotonic_ns())

    def _act(self, said: dict[str, Any], number: int, due_ns: int) -> None:
        """One of an attack's packets, and the next when it is due, however late this one was."""
        passed = self._exits[said["link"]][said["way"]].passed.get(said["port"])
        if passed is None:
            self._nothing += 1
        else:
            self._acts[said["kind"]](said, number, passed)
        if number + 1 < said["count"]:
            following_ns = due_ns + round(1e9 / said["rate_per_s"])
            self._later(following_ns, partial(self._act, said, number + 1, following_ns))
        elif said["kind"] == "flood":
            self._tell({**said, "is": "ended", "t_ns": time.monotonic_ns()})

    # ---- attacks --------------------------------------------------------------------------------

    def _replay(self, said: dict[str, Any], number: int, passed: bytes) -> None:
        """A copy of what passed last, a while later; every fourth on the next link."""
        link = said["link"]
        if number % 4 == 3:
            other = (link + 1) % len(self._exits)
            there = self._exits[other][said["way"]].passed.get(said["port"])
            if there is not None:  # who is at the ends there is known
                link, passed = other, self._maker.changed(there, there[6:12], payload_of(passed))
        self._acted(said, passed)
        due_ns = time.monotonic_ns() + LAGS_NS[number % len(LAGS_NS)]
        self._later(due_ns, partial(self._send, link, said["way"], passed, None))

    def _inject(self, said: dict[str, Any], number: int, passed: bytes) -> None:
        """Made of what passed last: a bit of it, its end, or all of it is drawn, in turn."""
        payload = bytearray(payload_of(passed))
        if number % 3 == 0 and payload:
            payload[self._draw.randrange(len(payload))] ^= 1 << self._draw.randrange(8)
        else:
            last = DRAWN if number % 3 == 1 else len(payload)
            payload = self._drawn(payload, last)
        self._acted(said, passed)
        self._send(said["link"], said["way"], passed, bytes(payload))

    def _flood(self, said: dict[str, Any], number: int, passed: bytes) -> None:
        """Copies of what passed last, as they are and with their end drawn, in turn."""
        altered = None
        if number % 2:
            altered = bytes(self._drawn(bytearray(payload_of(passed)), DRAWN))
        said["sent"] = said.get("sent", 0) + self._send(said["link"], said["way"], passed, altered)

    def _drawn(self, payload: bytearray, last: int) -> bytearray:
        last = min(last, len(payload))
        payload[len(payload) - last :] = self._draw.randbytes(last)
        return payload

    def _send(self, link: int, way: int, frame: bytes, payload: bytes | None) -> bool:
        """Put one on the wire, with another payload where one is given; whether it went."""
        if not self._affordable():
            return False
        made = self._maker.changed(frame, self._own[link], payload)
        try:
            self._exits[link][way].socket.send(made)
        except OSError:
            self._unsent += 1
            return False
        self._made += 1
        return True

    # ---- telling --------------------------------------------------------------------------------

    def _acted(self, said: dict[str, Any], passed: bytes) -> None:
        told = {**said, "is": "acted", "t_ns": time.monotonic_ns()}
        self._tell(told, payload_of(passed)[:_HEAD])
