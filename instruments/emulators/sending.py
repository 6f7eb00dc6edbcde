"""Sending whole frames: singly, or many with one ``sendmmsg(2)``."""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import time

import numpy as np
from numpy.typing import NDArray

from instruments.emulators.base import EmulatorError
from instruments.emulators.interfaces import transmit_drops
from instruments.emulators.lateness import LatenessCounter

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
MOST = 64
"""Most frames of one system call: their times of departure lie between its begin and end."""

_MESSAGE = np.dtype(
    [("name", "u8"), ("name_bytes", "u8"), ("parts", "u8"), ("part_count", "u8"),
     ("control", "u8"), ("control_bytes", "u8"), ("flags", "u8"), ("sent", "u8")]
)  # fmt: skip
"""``struct mmsghdr`` where pointers have 64 bits."""
_PART = np.dtype([("address", "u8"), ("bytes", "u8")])
"""``struct iovec``."""

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


def transmit_socket(ifname: str, super_packets: bool = False) -> socket.socket:
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
        if super_packets:
            sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        sock.bind((ifname, 0))
    except OSError as error:
        sock.close()
        raise EmulatorError(f"cannot send on {ifname}: {error}") from error
    return sock


class Sender:
    """Sends frames out of one interface and counts them, and how late they went.

    Attributes:
        sent: frames that the kernel took; ``failed``: those that it refused.
        late: how long after its due time each went.
    """

    def __init__(self, ifname: str, super_packets: bool = False) -> None:
        self._ifname = ifname
        self._socket = transmit_socket(ifname, super_packets)
        self._fd = self._socket.fileno()
        self._drops_before = transmit_drops(ifname)
        self._parts = np.zeros(MOST, dtype=_PART)
        self._messages = np.zeros(MOST, dtype=_MESSAGE)
        self._messages["parts"] = self._parts.ctypes.data + _PART.itemsize * np.arange(MOST)
        self._messages["part_count"] = 1
        self._address, self._bytes = self._parts["address"], self._parts["bytes"]
        self._first = self._messages.ctypes.data
        self._steps = np.arange(1, MOST + 1)
        self.sent = self.failed = 0
        self.late = LatenessCounter()

    def one(self, frame: bytes) -> bool:
        """Send a frame now; whether the kernel took it."""
        try:
            self._socket.send(frame)
        except OSError:
            self.failed += 1
            return False
        self.sent += 1
        return True

    def one_due(self, due_ns: int, now_ns: int, frame: bytes) -> None:
        """Send a frame that is due since ``due_ns``."""
        if self.one(frame):
            self.late.add(now_ns - due_ns)

    def many_due(
        self,
        due_ns: NDArray[np.int64],
        now_ns: int,
        addresses: NDArray[np.uint64],
        sizes: NDArray[np.int64],
    ) -> None:
        """Send at most ``MOST`` frames that are due, in order, from memory.

        Each is taken to have gone when the call was as far as the frame among them.
        """
        count = len(due_ns)
        failed = self._send(addresses, sizes)
        end_ns = time.monotonic_ns()
        late = now_ns - due_ns + (end_ns - now_ns) * self._steps[:count] // count
        self.late.add_many(late if not failed else np.delete(late, failed))

    def _send(self, addresses: NDArray[np.uint64], sizes: NDArray[np.int64]) -> list[int]:
        """Which of the frames the kernel refused."""
        count = len(sizes)
        self._address[:count] = addresses
        self._bytes[:count] = sizes
        begin, failed = 0, []
        while begin < count:
            first = self._first + begin * _MESSAGE.itemsize
            taken = _sendmmsg(self._fd, first, count - begin, 0)
            if taken <= 0:
                failed.append(begin)
                taken = 1
            begin += taken
        self.sent += count - len(failed)
        self.failed += len(failed)
        return failed

    def patiently(self, frame: bytes, until_ns: int) -> None:
        """Send a frame now, waiting for room where the interface is slow, at most until then."""
        while True:
            try:
                self._socket.send(frame)
            except OSError as error:
                left_ms = (until_ns - time.monotonic_ns()) / 1e6
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS) or left_ms <= 0:
                    self.failed += 1
                    return
                select.select([], [self._socket], [], min(left_ms, 1) * 1e-3)
                continue
            self.sent += 1
            return

    def unsaid(self) -> int:
        """Frames that the kernel took and the interface then dropped.

        Some kernels report success to the sender of a packet that the interface drops.
        """
        return max(0, transmit_drops(self._ifname) - self._drops_before - self.failed)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
