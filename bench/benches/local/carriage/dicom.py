"""A stream of image sets as DICOM in TLS: each chunk one instance, sent by C-STORE.

The library that speaks DICOM works in threads and blocks. It runs in a process of its own per
link and side (:mod:`~bench.benches.local.carriage.dicom_peer`), which takes and hands over
chunks through a socketpair: the agent's loop never waits for it. A chunk whose C-STORE fails is
lost to the device, which sends it again by itself.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable

from bench.benches.local import kernel
from bench.benches.local.carriage.base import Place
from bench.benches.local.layout import address, other
from bench.devices.ports import Message

_READ_BYTES = 1 << 16
_MOST_FILES = 4096
_NICE = -10


class Dicom:
    """One end: of a chunk's packets the first makes the instance, and every one arrives or none.

    ``faults``: ``unreachable``, ``unanswered``, ``refused``, ``stale`` and ``dropped`` chunks at
    the end that sends; ``refused (why)``, sessions that OpenSSL ended, at either.
    """

    def __init__(self, place: Place) -> None:
        # Here and not above: only sessions that need it load the library.
        from bench.benches.local.carriage import dicom_peer

        identity = place.identity
        if identity is None:
            raise ValueError("DICOM in TLS needs an identity")
        stream, here = place.stream, address(place.link, place.side)
        self.faults: Counter[str] = Counter()
        self._packets = stream.packets
        self._rest: deque[Message] = deque()
        self._sends = place.side == stream.source
        there = (address(place.link, other(place.side)), stream.port)
        size = stream.payload_bytes * stream.packets
        self._run: Callable[[socket.socket], None] = (
            (lambda channel: dicom_peer.store(channel, here, there, size, identity))
            if self._sends
            else (lambda channel: dicom_peer.provide(channel, (here, stream.port), identity))
        )
        self._poll = select.epoll()
        self._ended: list[int] = []
        self._sock: socket.socket | None = None
        self._begin()

    def _begin(self) -> None:
        self._sock, self._pid = _process(self._run)
        self._poll.register(self._sock.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """That of an epoll object over the socketpair's near end."""
        return self._poll.fileno()

    def power(self, on: bool) -> None:
        """Off: the process ends at once, and its connections with it. On: another begins."""
        if on:
            self._begin()
        elif self._sock is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._ended.append(self._pid)  # to be reaped later: that may take a moment
            self._sock.close()
            self._sock = None
            self._rest.clear()

    def send(self, message: Message) -> None:
        """Hand a chunk over, with its first packet."""
        if not self._sends:
            raise OSError("this end takes images and sends none")
        if message.seq % self._packets or self._sock is None:
            return
        try:
            self._sock.send(json.dumps((time.monotonic_ns(), message)).encode())
        except BlockingIOError:
            self.faults["dropped"] += 1

    def take(self) -> Message:
        """The next packet of the chunks that arrived."""
        while not self._rest:
            if self._sock is None:
                raise BlockingIOError
            data = self._sock.recv(_READ_BYTES)
            if not data:
                raise RuntimeError("the process that speaks DICOM ended")
            kind, told = json.loads(data)
            if kind == "fault":
                self.faults[told] += 1
            elif kind == "wrong":
                raise ValueError(told)
            elif kind == "broken":
                raise RuntimeError(told)
            else:
                first = Message(*told)
                seqs = range(first.seq, first.seq + self._packets)
                self._rest.extend(first._replace(seq=seq) for seq in seqs)
        return self._rest.popleft()

    def close(self) -> None:
        """End the process."""
        if self._sock is not None:
            self._sock.close()
            self._ended.append(self._pid)
            self._sock = None
        for pid in self._ended:
            os.waitpid(pid, 0)
        self._ended.clear()
        self._poll.close()


def _process(run: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """A child at the other end of a socketpair; it ends with this process, or once that closes."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid:
        far.close()
        near.setblocking(False)
        return near, pid
    try:
        kernel.die_with_parent(parent)
        gc.freeze()  # what is the parent's is never tidied up here
        gc.enable()
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        with contextlib.suppress(PermissionError):  # a user namespace
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        # Nothing of the parent's may stay open because of this process.
        os.closerange(3, far.fileno())
        os.closerange(far.fileno() + 1, _MOST_FILES)
        run(far)
    except BaseException:
        far.send(json.dumps(("broken", traceback.format_exc()[-4000:])).encode())
    finally:
        os._exit(0)
