"""Simulated instruments on real sockets: one event loop, any number of clients at once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from instruments.simulators.faults import Answer, FaultPlan, Subject
from instruments.simulators.wires import Wire

MOST_CLIENTS = 64
_CHUNK = 1 << 16

Tell = Callable[[dict[str, object]], None]
"""Is told what happened, as an event."""


@dataclass
class Served:
    """One instrument and how it is reached.

    Attributes:
        role: its name.
        instrument: without input or output of its own.
        wire: makes one connection's way of writing.
        plan: its faults.
        strict: what it does not understand ends the connection.
        tell: is told what was refused.
    """

    role: str
    instrument: Subject
    wire: Callable[[], Wire]
    plan: FaultPlan
    strict: bool = False
    tell: Tell = field(default=lambda event: None)

    def answer(self, message: bytes | None) -> Answer:
        """Carry a message out as the faults have it; in strict mode errors end the connection."""
        answer = self.plan.answer(self.instrument, message)
        errors = answer.outcome.errors if answer.outcome else []
        if errors and self.strict:
            answer.close = True
            text = "" if message is None else message.decode("latin-1")[:200]
            self.tell(
                {"event": "refused", "role": self.role, "message": text, "errors": list(errors)}
            )
        return answer


class TcpServer:
    """A TCP port with an instrument behind it.

    Args:
        served: the instrument.
        host: address to listen on.
        port: 0: a free one.

    Raises:
        OSError: the port is taken, or there is no right to it.
    """

    def __init__(self, served: Served, host: str = "127.0.0.1", port: int = 0) -> None:
        self._served = served
        self._host = host
        self._socket = _bound(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._reopening: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def resource(self) -> str:
        """As VISA names it."""
        return f"TCPIP::{self._host}::{self.port}::SOCKET"

    async def start(self) -> None:
        """Listen, unless a fault refuses connections from the start."""
        refuse_s = self._served.plan.at_start()
        if refuse_s is None:
            await self._listen()
        else:
            self._open_again(refuse_s)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._client, sock=self._socket)

    def close(self) -> None:
        """End all connections and give the port back."""
        if self._reopening is not None:
            self._reopening.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        self._stop_listening()
        self._socket.close()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    def _refuse(self, seconds: float) -> None:
        """Close everything and keep the port, so that connections are refused."""
        self._stop_listening()
        self._socket.close()
        self._socket = _bound(self._host, self.port)
        self._open_again(seconds)

    def _open_again(self, seconds: float) -> None:
        if math.isfinite(seconds):
            loop = asyncio.get_running_loop()
            self._reopening = loop.call_later(seconds, self._spawn_listen)

    def _spawn_listen(self) -> None:
        task = asyncio.get_running_loop().create_task(self._listen())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= MOST_CLIENTS:
            writer.close()
            return
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire, held = self._served.wire(), [b""]
        while data := await reader.read(_CHUNK):
            for message in wire.feed(data):
                answer = self._served.answer(message)
                await _send(answer, wire, held, writer.write)
                await writer.drain()
                if answer.refuse_s is not None:
                    self._refuse(answer.refuse_s)
                sent = answer.response is not None and answer.apart_s is None
                if answer.close or (wire.once and sent):
                    return


async def _send(
    answer: Answer, wire: Wire, held: list[bytes], write: Callable[[bytes], None]
) -> None:
    """Write a response as the answer has it; ``held`` is what waits for the next one."""
    response = answer.response
    if response is None:
        return
    sent = wire.wrap(response)
    if answer.cut:
        sent = sent[: len(sent) // 2]
    if answer.apart_s is not None:
        if math.isfinite(answer.apart_s):
            asyncio.get_running_loop().call_later(answer.apart_s, write, sent)
        else:
            held[0] += sent
        return
    if answer.after_s:
        await asyncio.sleep(answer.after_s)
    write(held[0] + sent)
    held[0] = b""


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


@runtime_checkable
class Chatty(Protocol):
    """An instrument that also speaks without being asked; it is asked every ``period_s``."""

    period_s: float

    def news(self) -> bytes:
        """What it says now of its own accord; empty: nothing."""


class PtyServer:
    """A pseudo terminal with an instrument behind it.

    Args:
        served: the instrument.
        chatty: asked again and again for what it says unasked.

    Raises:
        OSError: the host has no more pseudo terminals.
    """

    def __init__(self, served: Served, chatty: Chatty) -> None:
        if sys.platform == "win32":
            raise OSError(f"{sys.platform} has no pseudo terminals")
        import tty

        self._served, self._chatty = served, chatty
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self.path = os.ttyname(self._far)
        self._wire = served.wire()
        self._held = [b""]
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(1024)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def resource(self) -> str:
        """As VISA names it."""
        return f"ASRL{self.path}::INSTR"

    async def start(self) -> None:
        """Answer what is written to the terminal."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._near, self._read)
        self._tasks = [loop.create_task(self._work()), loop.create_task(self._talk())]

    def close(self) -> None:
        """Give the terminal back."""
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)
        os.close(self._far)

    def _read(self) -> None:
        with contextlib.suppress(OSError, asyncio.QueueFull):
            self._queue.put_nowait(os.read(self._near, _CHUNK))

    async def _work(self) -> None:
        while True:
            for message in self._wire.feed(await self._queue.get()):
                answer = self._served.answer(message)
                await _send(answer, self._wire, self._held, self._write)

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(self._chatty.period_s)
            if news := self._chatty.news():
                self._write(news)

    def _write(self, data: bytes) -> None:
        """What nobody reads is lost, as on a serial line."""
        with contextlib.suppress(OSError):
            os.write(self._near, data)
