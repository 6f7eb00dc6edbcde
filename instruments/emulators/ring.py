"""Reading and writing raw frames: a TPACKET_V2 receive ring and a packet socket.

The ring lives in memory of its own, so it is not bound by ``net.core.rmem_max``, which a user
namespace cannot raise. (TPACKET_V3 hands packets over up to milliseconds late.) A frame is
copied out and given back at once: packets that wait for their due time never fill the ring.
"""

from __future__ import annotations

import fcntl
import mmap
import socket
import struct

from instruments.emulators.base import EmulatorError

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS = 5, 6
_PACKET_VERSION, _PACKET_IGNORE_OUTGOING = 10, 23
_TPACKET_V2 = 1
_SO_TIMESTAMPNS = 35
_ETH_P_ALL = 3
_MAP_POPULATE = 0x8000

_USER, _CHECKSUM_OPEN, _VLAN, _VLAN_TPID = 0x01, 0x08, 0x10, 0x40
_ETH_P_8021Q = 0x8100
_HEADER = struct.Struct("=IIIHHIIHH")  # status len snaplen mac net sec nsec vlan_tci vlan_tpid
_TAG = struct.Struct("!HH")
_ROOM = 128  # ring header, link address and alignment before the frame's bytes


def interface_mtu(ifname: str) -> int:
    """The MTU of ``ifname`` in bytes.

    Raises:
        EmulatorError: no such interface in this network namespace.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, 0x8921, struct.pack("16s24x", ifname.encode()))
        except OSError as error:
            raise EmulatorError(f"no interface {ifname} in this network namespace") from error
    return int(struct.unpack_from("i", answer, 16)[0])


class ReceiveRing:
    """Everything that arrives on one interface, with the kernel's receive stamps.

    Args:
        ifname: an interface of the current network namespace.
        frames: places in the ring; arrivals beyond them are dropped and counted.

    Raises:
        EmulatorError: no such interface, or no right to packet sockets.

    Attributes:
        oversize: frames larger than the interface's MTU (offloads on at the sender): they would
            be cut, so they are dropped.
        unfinished: frames whose checksum the sender left to hardware.
    """

    def __init__(self, ifname: str, frames: int = 4096) -> None:
        self._size = 2048
        while self._size < interface_mtu(ifname) + 18 + _ROOM:
            self._size *= 2
        self._frames = frames
        self._index = 0
        self.oversize = 0
        self.unfinished = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise EmulatorError(f"cannot open a packet socket: {error}") from error
        try:
            self._map = self._open(ifname)
        except OSError as error:
            self._socket.close()
            raise EmulatorError(f"cannot receive on {ifname}: {error}") from error
        self._words = memoryview(self._map).cast("I")

    def _open(self, ifname: str) -> mmap.mmap:
        sock, total = self._socket, self._frames * self._size
        block = min(1 << 16, total)
        # Stamps are then taken where the packet enters the interface, before any queue.
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        shape = struct.pack("IIII", block, total // block, self._size, self._frames)
        sock.setsockopt(_SOL_PACKET, _PACKET_RX_RING, shape)
        ring = mmap.mmap(
            sock.fileno(),
            total,
            mmap.MAP_SHARED | _MAP_POPULATE,
            mmap.PROT_READ | mmap.PROT_WRITE,
        )
        sock.bind((ifname, _ETH_P_ALL))
        return ring

    def fileno(self) -> int:
        """For poll: readable when a frame is waiting."""
        return self._socket.fileno()

    def take(self, limit: int) -> list[tuple[int, bytes]]:
        """Up to ``limit`` frames in order of arrival, as (CLOCK_REALTIME ns, bytes).

        VLAN tags that the kernel took off are put back.
        """
        taken: list[tuple[int, bytes]] = []
        words, ring, size, index = self._words, self._map, self._size, self._index
        unpack = _HEADER.unpack_from
        for _ in range(limit):
            base = index * size
            if not words[base >> 2] & _USER:
                break
            status, length, kept, mac, _, seconds, ns, tci, tpid = unpack(ring, base)
            start = base + mac
            frame = ring[start : start + kept]
            words[base >> 2] = 0
            index += 1
            if index == self._frames:
                index = 0
            if status & (_CHECKSUM_OPEN | _VLAN):
                if status & _CHECKSUM_OPEN:
                    self.unfinished += 1
                if status & _VLAN:
                    tag = _TAG.pack(tpid if status & _VLAN_TPID else _ETH_P_8021Q, tci)
                    frame = frame[:12] + tag + frame[12:]
            if kept < length:
                self.oversize += 1
                continue
            taken.append((seconds * 1_000_000_000 + ns, frame))
        self._index = index
        return taken

    def statistics(self) -> tuple[int, int]:
        """Packets the kernel offered and those it dropped, since this was last asked."""
        data = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        offered, dropped = struct.unpack("II", data)
        return offered, dropped

    def close(self) -> None:
        """Give everything back."""
        self._words.release()
        self._map.close()
        self._socket.close()


def transmit_socket(ifname: str) -> socket.socket:
    """A raw socket that sends whole frames out of ``ifname`` and receives nothing.

    Raises:
        EmulatorError: no such interface, or no right to packet sockets.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except OSError as error:
        raise EmulatorError(f"cannot open a packet socket: {error}") from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        sock.bind((ifname, 0))
    except OSError as error:
        sock.close()
        raise EmulatorError(f"cannot send on {ifname}: {error}") from error
    return sock
