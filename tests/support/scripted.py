"""A scripted peer on a loopback socket: answers lines as told, late, half, or drops."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instruments.visa.channels import SCPI, Dialect
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript

IDN = "Acme,Model 1,S123,1.0"
IDENTITY = Identity("Acme", "Model 1", "S123")


@dataclass(frozen=True)
class Late:
    """Answer, but only when somebody sets ``when``."""

    text: str
    when: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Half:
    """The beginning of an answer, and nothing more."""

    text: str


class Drop:
    """Close the connection."""


Answer = str | None | Late | Half | Drop


@dataclass
class Script:
    """What the peer answers: ``table`` first, then its state; ``lines`` is what it was sent.

    ``SYST:ERR?;:X?;:SYST:ERR?`` is answered like the questions in it, one after the other.
    A command ``X value`` sets ``state["X"]``, which ``X?`` answers. ``once`` answers are used up.
    """

    table: dict[str, Answer] = field(default_factory=dict)
    once: dict[str, list[Answer]] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    errors_after: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)

    def __call__(self, line: str) -> Answer:
        if ";:SYST:ERR?" in line:
            return self._guarded(line.split(";"))
        self.lines.append(line)
        if line in self.errors_after:
            self.errors.append(self.errors_after[line])
        if self.once.get(line):
            return self.once[line].pop(0)
        if line in self.table:
            return self.table[line]
        if line.endswith(";*OPC?"):
            self(line.removesuffix(";*OPC?"))
            self.lines.pop()
            return "1"
        if line == "*IDN?":
            return IDN
        if line == "SYST:ERR?":
            return self.errors.pop(0) if self.errors else '0,"No error"'
        head, _, value = line.partition(" ")
        if "?" in head:
            return self.state.get(line.replace("?", ""), self.state.get(head[:-1]))
        if head not in self.frozen:
            key, _, channel = value.partition(",(@")
            self.state[f"{head} (@{channel}" if channel else head] = key
        return None

    def _guarded(self, parts: list[str]) -> Answer:
        """As an instrument answers several questions in one message; a fault strikes them all."""
        found = [self(self._written(part)) for part in parts]
        faults = [one for one in found if not isinstance(one, str)]
        if faults:
            return faults[0]
        texts = [str(one).split("\n") for one in found]
        more = [line for lines in texts for line in lines[1:]]
        return "\n".join((";".join(lines[0] for lines in texts), *more))

    def _written(self, part: str) -> str:
        """With the colon before it, or without, as the script knows it."""
        known = {*self.table, *self.once, *self.errors_after, *(f"{key}?" for key in self.state)}
        return part if part in known else part.removeprefix(":")


class Peer:
    """Serves any number of connections, one thread each, until closed."""

    def __init__(
        self, script: Callable[[str], Answer], end: str = "\n", greeting: str = ""
    ) -> None:
        self.script, self._end, self._greeting = script, end, greeting
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                self._open.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            if self._greeting:
                sock.sendall(self._greeting.encode())
            lines = sock.makefile("r", encoding="latin-1", newline="\n")
            first = True
            for line in lines:
                self.connections += first
                first = False
                answer = self.script(line.rstrip("\r\n"))
                if isinstance(answer, Drop):
                    sock.shutdown(socket.SHUT_RDWR)
                    return
                if isinstance(answer, Late):
                    answer.when.wait(10)
                    answer = answer.text
                if isinstance(answer, Half):
                    sock.sendall(answer.text.encode("latin-1"))
                elif answer is not None:
                    sock.sendall((answer + self._end).encode("latin-1"))

    def refuse(self) -> None:
        """Take no more connections; those that are stay."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def close(self) -> None:
        self.refuse()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(2)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resource(peer: Peer, role: str = "generator", **changes: Any) -> Resource:
    given = {
        "role": role,
        "address": peer.address,
        "identity": IDENTITY,
        "write_termination": "\n",
        "read_termination": "\n",
        "connect_s": 2.0,
        "reply_s": 5.0,
    }
    return Resource(**(given | changes))


def session(
    peer: Peer,
    folder: Path,
    transcript: Transcript | None = None,
    dialect: Dialect = SCPI,
    sleep: Callable[[float], None] = time.sleep,
    **changes: Any,
) -> Session:
    return Session(
        resource(peer, **changes),
        transcript or Transcript(),
        dialect,
        lock_folder=folder,
        sleep=sleep,
    )
