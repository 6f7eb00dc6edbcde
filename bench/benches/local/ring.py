"""A packet socket with a receive ring in shared memory (TPACKET_V2), read in bulk with numpy.

The kernel writes every packet of an interface, both ways, with its own stamp into the ring; the
reader may come late without losing any or disturbing the stamps.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.benches.local.pcapng import SNAP_BYTES

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_TPACKET_V2 = 1
_SO_TIMESTAMPNS, _SO_ATTACH_FILTER = 35, 26
_ETH_P_ALL = 3
_STATUS_USER = 1
_OUTGOING = 4

_SLOT_BYTES = 256
_BLOCK_BYTES = 1 << 16
_LOOK_AHEAD = 2048

_SLOT = np.dtype(
    {
        # struct tpacket2_hdr, then struct sockaddr_ll (linux/if_packet.h)
        "names": ["status", "length", "captured", "mac", "sec", "nsec", "kind"],
        "formats": ["u4", "u4", "u4", "u2", "u4", "u4", "u1"],
        "offsets": [0, 4, 8, 12, 16, 20, 42],
        "itemsize": _SLOT_BYTES,
    }
)


class Frames(NamedTuple):
    """Packets taken from a ring, in order of capture.

    ``stamps_ns``: kernel stamps, CLOCK_REALTIME, shape ``(n,)``. ``lengths``: bytes, Ethernet
    header to payload. ``outgoing``: sent by this interface, not received. ``data``: the first
    bytes, shape ``(n, k)``; beyond a packet's own length they mean nothing.
    """

    stamps_ns: NDArray[np.int64]
    lengths: NDArray[np.int64]
    outgoing: NDArray[np.bool_]
    data: NDArray[np.uint8]


class PacketRing:
    """All packets of one interface of the present network namespace.

    Args:
        interface: its name.
        slots: how many packets the ring holds, rounded up to whole blocks.
        snap_bytes: how much of each packet is kept.

    Raises:
        OSError: no such interface, or packet capture is not allowed.
    """

    def __init__(self, interface: str, *, slots: int = 32768, snap_bytes: int = SNAP_BYTES) -> None:
        self.interface = interface
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._set_up(interface, slots, snap_bytes)
        except OSError:
            self._sock.close()
            raise
        self._head = 0
        self.drops = 0

    def _set_up(self, interface: str, slots: int, snap_bytes: int) -> None:
        blocks = -(-slots * _SLOT_BYTES // _BLOCK_BYTES)
        self._slots = blocks * _BLOCK_BYTES // _SLOT_BYTES
        self._sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        # Without this the kernel stamps when it copies, not when the packet passes.
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._snap(snap_bytes)
        request = struct.pack("IIII", _BLOCK_BYTES, blocks, _SLOT_BYTES, self._slots)
        self._sock.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._map = mmap.mmap(
            self._sock.fileno(),
            blocks * _BLOCK_BYTES,
            mmap.MAP_SHARED,
            mmap.PROT_READ | mmap.PROT_WRITE,
        )
        self._bytes = np.frombuffer(self._map, dtype=np.uint8).reshape(self._slots, _SLOT_BYTES)
        self._headers = self._bytes.reshape(-1).view(_SLOT)
        self._status = self._headers["status"]
        self._sock.bind((interface, _ETH_P_ALL))

    def _snap(self, snap_bytes: int) -> None:
        """A one-instruction filter ("return n"): the kernel copies no more than that."""
        code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, snap_bytes))
        program = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
        if sys.maxsize < 2**32:
            program = struct.pack("HxxP", 1, ctypes.addressof(code))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def fileno(self) -> int:
        """The packet socket."""
        return self._sock.fileno()

    def take(self) -> Frames | None:
        """The packets that wait (some of them, if many), or ``None``.

        Raises:
            OSError: the kernel lays packets out in a way this reader does not know.
        """
        ready = (self._status[self._head : self._head + _LOOK_AHEAD] & _STATUS_USER) != 0
        count = len(ready) if ready.all() else int(ready.argmin())
        if count == 0:
            return None
        span = slice(self._head, self._head + count)
        raw = self._bytes[span].copy()
        self._status[span] = 0
        self._head = (self._head + count) % self._slots
        header = raw.reshape(-1).view(_SLOT)
        mac = int(header["mac"][0])
        if (header["mac"] != mac).any() or mac >= _SLOT_BYTES:
            raise OSError(f"packets of {self.interface} lie at unexpected places in the ring")
        stamps = header["sec"].astype(np.int64) * 1_000_000_000 + header["nsec"]
        outgoing = header["kind"] == _OUTGOING
        return Frames(stamps, header["length"].astype(np.int64), outgoing, raw[:, mac:])

    def count_drops(self) -> int:
        """Packets that found no room in the ring since it was made."""
        raw = self._sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        # Reading the counter resets it.
        self.drops += struct.unpack("II", raw)[1]
        return self.drops

    def close(self) -> None:
        """Give ring and socket back: the mapping alone would keep the namespace alive."""
        del self._status, self._headers, self._bytes
        self._map.close()
        self._sock.close()
