"""Reading and writing raw frames: a TPACKET_V2 receive ring and a packet socket.

The ring lives in memory of its own, so it is not bound by ``net.core.rmem_max``, which a user
namespace cannot raise. (TPACKET_V3 hands packets over up to milliseconds late.) A frame is
copied out and given back at once: packets that wait for their due time never fill the ring.
What is due at once may be sent from the ring itself, before its place is given back.

With super-packets on, each frame follows a ``struct virtio_net_hdr`` of ten bytes that says
which segmentation and checksum are still to be done (linux/virtio_net.h); sent with the same
header, it leaves as it came.
"""

from __future__ import annotations

import fcntl
import mmap
import socket
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.emulators.base import EmulatorError

_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP, _PACKET_RX_RING, _PACKET_STATISTICS = 1, 5, 6
_PACKET_VERSION, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 10, 15, 23
_PACKET_MR_PROMISC = 1
_TPACKET_V2 = 1
_SO_TIMESTAMPNS = 35
_ETH_P_ALL = 3
_MAP_POPULATE = 0x8000

_USER, _CHECKSUM_OPEN, _VLAN, _VLAN_TPID = 0x01, 0x08, 0x10, 0x40
_ETH_P_8021Q = 0x8100
_HEADER = struct.Struct("=IIIHHIIHH")  # status len snaplen mac net sec nsec vlan_tci vlan_tpid
_TAG = struct.Struct("!HH")
_ROOM = 128  # ring header, link address and alignment before the frame's bytes
_TAG_BYTES = 4
VNET_BYTES = 10
"""Size of ``struct virtio_net_hdr``."""
_LARGEST_SUPER_BYTES = 1 << 16


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that still lie in the ring, in order of arrival; all arrays of shape (n,).

    ``stamp_ns``: CLOCK_REALTIME. ``sizes``: bytes of each frame, with the VLAN tag that the
    kernel took off (``vlan``: whether it did). ``rows``: their places in the ring, shape (n,
    bytes of a place), in which a frame begins at ``offset``.
    """

    stamp_ns: NDArray[np.int64]
    sizes: NDArray[np.int64]
    vlan: NDArray[np.bool_]
    rows: NDArray[np.uint8]
    offset: int


class ReceiveRing:
    """Everything that arrives on one interface, with the kernel's receive stamps.

    The interface is promiscuous meanwhile: frames to every address pass.

    Args:
        ifname: an interface of the current network namespace.
        frames: places in the ring; arrivals beyond them are dropped and counted.
        super_packets: take packets that the sender has not yet cut into frames.

    Raises:
        EmulatorError: no such interface, or no right to packet sockets.

    Attributes:
        oversize: frames larger than the interface's MTU (offloads on at the sender): they would
            be cut, so they are dropped.
        unfinished: frames whose checksum the sender left to hardware (and that nobody finishes).
    """

    def __init__(self, ifname: str, frames: int = 4096, super_packets: bool = False) -> None:
        largest = _LARGEST_SUPER_BYTES if super_packets else interface_mtu(ifname)
        self._size = 2048
        while self._size < largest + 18 + _ROOM:
            self._size *= 2
        self._frames = frames
        self._before = VNET_BYTES if super_packets else 0
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
        self._rows = np.frombuffer(self._map, np.uint8).reshape(frames, self._size)
        self._fields = self._rows.view(np.uint32)
        self._halves = self._rows.view(np.uint16)

    def _open(self, ifname: str) -> mmap.mmap:
        sock, total = self._socket, self._frames * self._size
        block = min(max(1 << 16, self._size), total)
        # Stamps are then taken where the packet enters the interface, before any queue.
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        if self._before:
            sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        shape = struct.pack("IIII", block, total // block, self._size, self._frames)
        sock.setsockopt(_SOL_PACKET, _PACKET_RX_RING, shape)
        ring = mmap.mmap(
            sock.fileno(),
            total,
            mmap.MAP_SHARED | _MAP_POPULATE,
            mmap.PROT_READ | mmap.PROT_WRITE,
        )
        sock.bind((ifname, _ETH_P_ALL))
        promiscuous = struct.pack("iHH8x", socket.if_nametoindex(ifname), _PACKET_MR_PROMISC, 0)
        sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
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
        unpack, before = _HEADER.unpack_from, self._before
        for _ in range(limit):
            base = index * size
            if not words[base >> 2] & _USER:
                break
            status, length, kept, mac, _, seconds, ns, tci, tpid = unpack(ring, base)
            start = base + mac
            frame = ring[start - before : start + kept]
            words[base >> 2] = 0
            index += 1
            if index == self._frames:
                index = 0
            if status & (_CHECKSUM_OPEN | _VLAN):
                if status & _CHECKSUM_OPEN and not before:
                    self.unfinished += 1
                if status & _VLAN:
                    tag = _TAG.pack(tpid if status & _VLAN_TPID else _ETH_P_8021Q, tci)
                    frame = _tagged(frame, tag, before)
            if kept < length:
                self.oversize += 1
                continue
            taken.append((seconds * 1_000_000_000 + ns, frame))
        self._index = index
        return taken

    def ready(self, count: int) -> bool:
        """Whether ``count`` frames are waiting, none of them round the end of the ring."""
        last = self._index + count - 1
        if last >= self._frames:
            return False
        return bool(self._words[last * self._size >> 2] & _USER)

    def peek(self, limit: int) -> Batch | None:
        """Up to ``limit`` waiting frames, left in the ring until they are given back.

        None where they need to be taken singly (cut ones, link headers that differ).
        """
        start = self._index
        end = min(start + limit, self._frames)
        status = self._fields[start:end, 0]
        ready = (status & _USER) != 0
        if not ready.all():
            end = start + int(ready.argmin())
            status = status[: end - start]
        fields, halves = self._fields[start:end], self._halves[start:end]
        sizes, offsets = fields[:, 2].astype(np.int64), halves[:, 6]
        if end == start or (offsets != offsets[0]).any() or (fields[:, 2] < fields[:, 1]).any():
            return None
        vlan = (status & _VLAN) != 0
        sizes[vlan] += _TAG_BYTES
        stamp_ns = fields[:, 4].astype(np.int64) * 1_000_000_000 + fields[:, 5]
        return Batch(stamp_ns, sizes, vlan, self._rows[start:end], int(offsets[0]))

    def addresses(self, batch: Batch) -> NDArray[np.uint64]:
        """Where each frame (with its header) begins in memory; only without VLAN tags."""
        first = batch.rows.ctypes.data + batch.offset - self._before
        return first + np.arange(len(batch.rows), dtype=np.uint64) * np.uint64(self._size)

    def copy(
        self, batch: Batch, which: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.int64]]:
        """Copies of some frames (None: all), tags put back.

        Returns:
            The memory that holds them, where each begins, and its bytes with its header.
        """
        before = self._before
        sizes = batch.sizes if which is None else batch.sizes[which]
        vlan = batch.vlan if which is None else batch.vlan[which]
        width = int(sizes.max(initial=0)) + before
        start = batch.offset - before
        data = np.empty((len(sizes), _TAG_BYTES + width), dtype=np.uint8)
        rows = batch.rows if which is None else batch.rows[which]
        data[:, _TAG_BYTES:] = rows[:, start : start + width]
        begin = np.full(len(sizes), _TAG_BYTES, dtype=np.uint64)
        if vlan.any():
            begin[vlan] = 0
            self._put_tags(batch, which, data, vlan)
        begin += data.ctypes.data + np.arange(len(sizes), dtype=np.uint64) * np.uint64(
            data.strides[0]
        )
        return data, begin, sizes + before

    def _put_tags(
        self,
        batch: Batch,
        which: NDArray[np.bool_] | None,
        data: NDArray[np.uint8],
        vlan: NDArray[np.bool_],
    ) -> None:
        """Move headers and addresses of tagged frames to the front of their rows, add the tags."""
        head = self._before + 12
        data[vlan, :head] = data[vlan, _TAG_BYTES : _TAG_BYTES + head]
        rows = batch.rows if which is None else batch.rows[which]
        halves = np.ascontiguousarray(rows[vlan, :32]).view(np.uint16)
        known = halves.view(np.uint32)[:, 0] & _VLAN_TPID
        tags = np.empty((len(halves), 2), dtype=">u2")
        tags[:, 0] = np.where(known, halves[:, 13], _ETH_P_8021Q)
        tags[:, 1] = halves[:, 12]
        data[vlan, head : head + _TAG_BYTES] = tags.view(np.uint8)
        if self._before:
            for row in np.flatnonzero(vlan).tolist():
                data[row, :VNET_BYTES] = np.frombuffer(
                    _moved(data[row, :VNET_BYTES].tobytes()), np.uint8
                )

    def give_back(self, count: int) -> None:
        """The places of the next ``count`` frames may be used again."""
        start, end = self._index, self._index + count
        if not self._before:
            self.unfinished += int(np.count_nonzero(self._fields[start:end, 0] & _CHECKSUM_OPEN))
        self._fields[start:end, 0] = 0
        self._index = end if end < self._frames else 0

    def statistics(self) -> tuple[int, int]:
        """Packets the kernel offered and those it dropped, since this was last asked."""
        data = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        offered, dropped = struct.unpack("II", data)
        return offered, dropped

    def close(self) -> None:
        """Give everything back."""
        self._words.release()
        del self._rows, self._fields, self._halves
        self._map.close()
        self._socket.close()


def _tagged(frame: bytes, tag: bytes, before: int) -> bytes:
    """``frame`` with ``tag`` behind its addresses; ``before`` bytes of header go before it."""
    header = _moved(frame[:before]) if before else b""
    return header + frame[before : before + 12] + tag + frame[before + 12 :]


def _moved(header: bytes) -> bytes:
    """A virtio header for a frame that became longer by a tag before what it points at."""
    flags, kind, length, segment, start, offset = struct.unpack("=BBHHHH", header)
    if flags & 1:
        start += _TAG_BYTES
    if length:
        length += _TAG_BYTES
    return struct.pack("=BBHHHH", flags, kind, length, segment, start, offset)
