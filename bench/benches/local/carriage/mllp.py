"""A stream as HL7 v2 over MLLP on TCP: its source connects, the other side listens and answers.

TCP waits ever longer before it tries a dead path again (RFC 6298, 5.5): a connection on which
nothing was acknowledged for a while is given up, and a new one opened.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections import Counter, deque

from bench.benches.local.carriage.base import Carriage, Place
from bench.benches.local.layout import address, other
from bench.devices.hl7.exchange import Connection, Inlet, Outbox
from bench.devices.ports import Message

SILENCE_NS = 1_000_000_000
"""So long no acknowledgement: the connection is given up. Longer where opening it took long."""

ATTEMPT_EVERY_NS = 500_000_000
"""Another attempt to connect is made each so long; those before it may still succeed ..."""

ATTEMPT_LASTS_NS = 3_000_000_000
"""... for so long."""

_LOOK_NS = 100_000_000
_MOST_CONNECTIONS = 16
_MOST_ANSWERS = 1 << 20
_READ_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the peer with a reset
_IN_OUT = select.EPOLLIN | select.EPOLLOUT


def open_mllp(place: Place) -> Carriage:
    """The end of a stream at one side."""
    port = place.stream.port
    here = address(place.link, place.side)
    if place.side == place.stream.source:
        return MllpSender(place, here, (address(place.link, other(place.side)), port))
    return MllpReceiver((here, port))


class MllpSender:
    """The end that sends.

    ``faults``: ``reconnected``, ``dropped`` (made way for newer ones), ``refused``.

    Args:
        place: for its timers.
        here: the address that it connects from.
        there: address and port of the other end.
    """

    def __init__(self, place: Place, here: str, there: tuple[str, int]) -> None:
        self._at, self._here, self._there = place.at, here, there
        self._outbox = Outbox()
        self.faults: Counter[str] = self._outbox.counts
        self._poll = select.epoll()
        self._attempts: dict[int, tuple[socket.socket, int]] = {}
        self._sock: socket.socket | None = None
        self._pending = bytearray()
        self._heard_ns = 0
        self._silence_ns = SILENCE_NS
        self._attempted_ns = -ATTEMPT_EVERY_NS
        self._opened = False
        place.at(0, self._look)

    def fileno(self) -> int:
        """That of the epoll object over its connection and attempts."""
        return self._poll.fileno()

    def send(self, message: Message) -> None:
        """Keep the message, and write it if there is a connection."""
        if not self._outbox.waiting:
            self._heard_ns = time.monotonic_ns()
        self._outbox.put(message)
        if self._sock is not None:
            self._write()

    def take(self) -> Message:
        """Handle what there is to do; nothing ever arrives at this end."""
        for fd, events in self._poll.poll(0):
            if fd in self._attempts:
                self._settle(fd)
            elif self._sock is not None and fd == self._sock.fileno():
                if events & ~select.EPOLLOUT:
                    self._read(self._sock)
                else:
                    self._write()
        raise BlockingIOError

    def close(self) -> None:
        """Let go of everything."""
        for sock, _ in self._attempts.values():
            sock.close()
        if self._sock is not None:
            self._sock.close()
        self._poll.close()

    def _look(self, now_ns: int) -> None:
        self._at(now_ns + _LOOK_NS, self._look)
        now = time.monotonic_ns()
        waits = self._sock is not None and self._outbox.waiting
        if waits and now - self._heard_ns > self._silence_ns:
            self._lost()
        if self._sock is None and now - self._attempted_ns >= ATTEMPT_EVERY_NS:
            self._attempted_ns = now
            self._attempt(now)
        for fd, (_, since) in list(self._attempts.items()):
            if now - since > ATTEMPT_LASTS_NS:
                _reset(self._attempts.pop(fd)[0])

    def _attempt(self, now: int) -> None:
        sock = _prepared(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        try:
            sock.bind((self._here, 0))
            problem = sock.connect_ex(self._there)
        except OSError as error:
            problem = error.errno or errno.EIO
        if problem not in (0, errno.EINPROGRESS):
            sock.close()
            return
        self._attempts[sock.fileno()] = (sock, now)
        self._poll.register(sock.fileno(), select.EPOLLOUT)

    def _settle(self, fd: int) -> None:
        """An attempt came to an end: the first that succeeds is the connection."""
        sock, since = self._attempts.pop(fd)
        self._poll.unregister(fd)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            sock.close()
            return
        for rest, _ in self._attempts.values():
            _reset(rest)
        self._attempts.clear()
        if self._opened:
            self.faults["reconnected"] += 1
        self._opened = True
        self._sock = sock
        self._heard_ns = time.monotonic_ns()
        self._silence_ns = max(SILENCE_NS, 3 * (self._heard_ns - since))
        self._poll.register(fd, select.EPOLLIN)
        self._outbox.connected()
        self._write()

    def _write(self) -> None:
        assert self._sock is not None
        self._pending += self._outbox.to_write()
        try:
            while self._pending:
                del self._pending[: self._sock.send(self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self._lost()
            return
        self._poll.modify(self._sock.fileno(), _IN_OUT if self._pending else select.EPOLLIN)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._heard_ns = time.monotonic_ns()
        try:
            self._outbox.feed(data)
        except ValueError:
            self._lost()
            raise

    def _lost(self) -> None:
        """Give the connection up; the next look opens another."""
        assert self._sock is not None
        _reset(self._sock)
        self._sock = None
        self._pending.clear()


class MllpReceiver:
    """The end that listens, takes messages and acknowledges them.

    ``faults``: ``repeated``, messages that came again over a new connection.

    Args:
        here: address and port to listen at.
    """

    def __init__(self, here: tuple[str, int]) -> None:
        self._inlet = Inlet()
        self.faults: Counter[str] = self._inlet.counts
        self._listener = socket.create_server(here, backlog=_MOST_CONNECTIONS)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._open: dict[int, tuple[socket.socket, Connection]] = {}
        self._arrived: deque[Message | ValueError] = deque()

    def fileno(self) -> int:
        """That of the epoll object over the listener and its connections."""
        return self._poll.fileno()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def send(self, message: Message) -> None:
        """Nothing leaves this end. Raises ``OSError``."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def take(self) -> Message:
        """The next message; those before it are acknowledged already."""
        if not self._arrived:
            for fd, events in self._poll.poll(0):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._open:
                    self._serve(fd, events)
        if not self._arrived:
            raise BlockingIOError
        found = self._arrived.popleft()
        if isinstance(found, ValueError):
            raise found
        return found

    def close(self) -> None:
        """Let go of everything."""
        for sock, _ in self._open.values():
            sock.close()
        self._listener.close()
        self._poll.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # gone again before it was accepted
            return
        self._open[sock.fileno()] = (_prepared(sock), Connection(self._inlet))
        self._poll.register(sock.fileno(), select.EPOLLIN)
        if len(self._open) > _MOST_CONNECTIONS:
            self._drop(next(iter(self._open)))

    def _serve(self, fd: int, events: int) -> None:
        sock, connection = self._open[fd]
        try:
            if events & ~select.EPOLLOUT:
                data = sock.recv(_READ_BYTES)
                if not data:
                    self._drop(fd)
                    return
                self._only(fd)
                self._arrived.extend(connection.feed(data))
            self._answer(sock, connection)
        except BlockingIOError:
            pass
        except ValueError as error:
            self._arrived.append(error)
            self._drop(fd)
        except OSError:
            self._drop(fd)

    def _only(self, fd: int) -> None:
        """Whoever sends has given up the connections that he opened before."""
        for before in list(self._open):
            if before == fd:
                return
            self._drop(before)

    def _answer(self, sock: socket.socket, connection: Connection) -> None:
        answers = connection.answers
        if len(answers) > _MOST_ANSWERS:
            raise OSError(errno.ENOBUFS, "the other end does not read its acknowledgements")
        events = select.EPOLLIN
        try:
            while answers:
                del answers[: sock.send(answers)]
        except BlockingIOError:
            events = _IN_OUT
        self._poll.modify(sock.fileno(), events)

    def _drop(self, fd: int) -> None:
        _reset(self._open.pop(fd)[0])


def _prepared(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _reset(sock: socket.socket) -> None:
    """Close at once: nothing of it is sent again, however long the path was dead."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
