"""A stream as HL7 v2 over MLLP in TLS: its source connects, the other side listens and answers.

Both sides show certificates (IHE ITI-19, Authenticate Node).
TCP waits ever longer before it tries a dead path again (RFC 6298, 5.5): a connection on which
nothing was acknowledged for a while is given up, and a new one opened.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import Counter, deque

from OpenSSL import SSL

from bench.benches.local.carriage.base import Carriage, Place
from bench.benches.local.carriage.pipe import Pipe
from bench.benches.local.carriage.tls import Refused, context
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
_APART_NS = 4_000_000
"""Opening a session costs a side some ms: its streams do not try at the same instant."""
_MOST_CONNECTIONS = 16
_MOST_ANSWERS = 1 << 20
_IN_OUT = select.EPOLLIN | select.EPOLLOUT


def open_mllp(place: Place) -> Carriage:
    """The end of a stream at one side."""
    if place.identity is None:
        raise ValueError("HL7 in TLS needs an identity")
    port, made = place.stream.port, context(place.identity)
    here = address(place.link, place.side)
    if place.side == place.stream.source:
        return MllpSender(place, here, (address(place.link, other(place.side)), port), made)
    return MllpReceiver((here, port), made)


class MllpSender:
    """The end that sends.

    ``faults``: ``reconnected``, ``dropped`` (made way for newer ones), ``refused`` (messages, by
    the other end), ``refused (why)`` (sessions, by OpenSSL at either end).

    Args:
        place: for its timers.
        here: the address that it connects from.
        there: address and port of the other end.
        made: the context of its TLS; none leaves it in clear.
    """

    def __init__(
        self, place: Place, here: str, there: tuple[str, int], made: SSL.Context | None = None
    ) -> None:
        self._at, self._here, self._there, self._context = place.at, here, there, made
        self._outbox = Outbox()
        self.faults: Counter[str] = self._outbox.counts
        self._poll = select.epoll()
        self._attempts: dict[int, tuple[Pipe, int]] = {}
        self._pipe: Pipe | None = None
        self._heard_ns = 0
        self._silence_ns = SILENCE_NS
        self._attempted_ns = -ATTEMPT_EVERY_NS
        self._opened = False
        self._off = False
        place.at((_APART_NS * (2 * place.stream.code + place.link)) % _LOOK_NS, self._look)

    def fileno(self) -> int:
        """That of the epoll object over its connection and attempts."""
        return self._poll.fileno()

    def send(self, message: Message) -> None:
        """Keep the message, and write it if there is a connection."""
        if not self._outbox.waiting:
            self._heard_ns = time.monotonic_ns()
        self._outbox.put(message)
        if self._pipe is not None:
            self._write(self._pipe)

    def take(self) -> Message:
        """Handle what there is to do; nothing ever arrives at this end."""
        for fd, events in self._poll.poll(0):
            if fd in self._attempts:
                self._settle(fd)
            elif self._pipe is not None and fd == self._pipe.fileno():
                if events & ~select.EPOLLOUT:
                    self._read(self._pipe)
                else:
                    self._write(self._pipe)
        raise BlockingIOError

    def power(self, on: bool) -> None:
        """Off: nothing is left, neither connections nor messages. On: it connects anew."""
        self._off = not on
        if self._off:
            self._outbox.forget()
            self._give_up_attempts()
            if self._pipe is not None:
                self._lost()

    def close(self) -> None:
        """Let go of everything."""
        for pipe, _ in self._attempts.values():
            pipe.close()
        if self._pipe is not None:
            self._pipe.close()
        self._poll.close()

    def _give_up_attempts(self) -> None:
        for pipe, _ in self._attempts.values():
            pipe.reset()
        self._attempts.clear()

    def _look(self, now_ns: int) -> None:
        self._at(now_ns + _LOOK_NS, self._look)
        if self._off:
            return
        now = time.monotonic_ns()
        waits = self._pipe is not None and self._outbox.waiting
        if waits and now - self._heard_ns > self._silence_ns:
            self._lost()
        if self._pipe is None and now - self._attempted_ns >= ATTEMPT_EVERY_NS:
            self._attempted_ns = now
            self._attempt(now)
        for fd, (_, since) in list(self._attempts.items()):
            if now - since > ATTEMPT_LASTS_NS:
                self._attempts.pop(fd)[0].reset()

    def _attempt(self, now: int) -> None:
        pipe = Pipe(socket.socket(socket.AF_INET, socket.SOCK_STREAM), self._context, server=False)
        try:
            pipe.sock.bind((self._here, 0))
            problem = pipe.sock.connect_ex(self._there)
        except OSError as error:
            problem = error.errno or errno.EIO
        if problem not in (0, errno.EINPROGRESS):
            pipe.close()
            return
        self._attempts[pipe.fileno()] = (pipe, now)
        self._poll.register(pipe.fileno(), select.EPOLLOUT)

    def _settle(self, fd: int) -> None:
        """Something happened to an attempt: the first that stands is the connection."""
        pipe, since = self._attempts[fd]
        try:
            pipe.go_on()
        except OSError as error:
            self._told(error)
            del self._attempts[fd]
            pipe.close()
            return
        if pipe.stands:
            self._begin(fd, since)
        else:
            self._watch(pipe)

    def _begin(self, fd: int, since: int) -> None:
        pipe, _ = self._attempts.pop(fd)
        self._give_up_attempts()
        if self._opened:
            self.faults["reconnected"] += 1
        self._opened = True
        self._pipe = pipe
        self._heard_ns = time.monotonic_ns()
        self._silence_ns = max(SILENCE_NS, 3 * (self._heard_ns - since))
        self._outbox.connected()
        self._write(pipe)

    def _write(self, pipe: Pipe) -> None:
        try:
            pipe.write(self._outbox.to_write())
        except OSError:
            self._lost()
            return
        self._watch(pipe)

    def _watch(self, pipe: Pipe) -> None:
        self._poll.modify(pipe.fileno(), _IN_OUT if pipe.unwritten else select.EPOLLIN)

    def _read(self, pipe: Pipe) -> None:
        try:
            data = pipe.read()
        except OSError as error:
            self._told(error)
            self._lost()
            return
        if data:
            self._heard_ns = time.monotonic_ns()
        try:
            self._outbox.feed(data)
        except ValueError:
            self._lost()
            raise

    def _told(self, error: OSError) -> None:
        if isinstance(error, Refused):
            self.faults[f"refused ({error})"] += 1

    def _lost(self) -> None:
        """Give the connection up; the next look opens another."""
        assert self._pipe is not None
        self._pipe.reset()
        self._pipe = None


class MllpReceiver:
    """The end that listens, takes messages and acknowledges them.

    ``faults``: ``repeated``, messages that came again over a new connection; ``refused (why)``,
    sessions that OpenSSL ended.

    Args:
        here: address and port to listen at.
        made: the context of its TLS; none leaves it in clear.
    """

    def __init__(self, here: tuple[str, int], made: SSL.Context | None = None) -> None:
        self._context = made
        self._inlet = Inlet()
        self.faults: Counter[str] = self._inlet.counts
        self._poll = select.epoll()
        self._here = here
        self._listen()
        self._open: dict[int, tuple[Pipe, Connection]] = {}
        self._arrived: deque[Message | ValueError] = deque()

    def _listen(self) -> None:
        self._listener = socket.create_server(self._here, backlog=_MOST_CONNECTIONS)
        self._listener.setblocking(False)
        self._poll.register(self._listener.fileno(), select.EPOLLIN)

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

    def power(self, on: bool) -> None:
        """Off: no connection and no memory of messages is left. On: it listens again."""
        if on:
            self._listen()
            return
        self._listener.close()
        self._inlet.forget()
        self._arrived.clear()
        for fd in list(self._open):
            self._drop(fd)

    def close(self) -> None:
        """Let go of everything."""
        for pipe, _ in self._open.values():
            pipe.close()
        self._listener.close()
        self._poll.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # gone again before it was accepted
            return
        pipe = Pipe(sock, self._context, server=True)
        self._open[pipe.fileno()] = (pipe, Connection(self._inlet))
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        if len(self._open) > _MOST_CONNECTIONS:
            opening = (fd for fd, (each, _) in self._open.items() if not each.stands)
            self._drop(next(opening, next(iter(self._open))))

    def _serve(self, fd: int, events: int) -> None:
        pipe, connection = self._open[fd]
        try:
            if events & ~select.EPOLLOUT:
                data = pipe.read()
                if data:
                    self._only(fd)
                    self._arrived.extend(connection.feed(data))
            self._answer(pipe, connection)
        except ValueError as error:
            self._arrived.append(error)
            self._drop(fd)
        except Refused as error:
            self.faults[f"refused ({error})"] += 1
            self._open.pop(fd)[0].close()
        except OSError:
            self._drop(fd)

    def _only(self, fd: int) -> None:
        """Whoever sends has given up the connections that he opened before."""
        for before in list(self._open):
            if before == fd:
                return
            self._drop(before)

    def _answer(self, pipe: Pipe, connection: Connection) -> None:
        if connection.answers:
            pipe.write(connection.answers)
            connection.answers.clear()
        else:
            pipe.flush()
        if len(pipe.unwritten) > _MOST_ANSWERS:
            raise OSError(errno.ENOBUFS, "the other end does not read its acknowledgements")
        self._poll.modify(pipe.fileno(), _IN_OUT if pipe.unwritten else select.EPOLLIN)

    def _drop(self, fd: int) -> None:
        self._open.pop(fd)[0].reset()
