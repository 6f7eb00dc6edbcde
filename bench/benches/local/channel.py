"""Messages between the processes of the local bench: JSON lines, some with bytes behind them.

One message is one JSON object on one line. Where it has the key ``bytes``, that many raw bytes
follow the line.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

_MOST_PENDING = 64 << 20
_CHUNK = 1 << 18


class Incoming(NamedTuple):
    """One message: the JSON object and the bytes behind it (often none)."""

    data: dict[str, Any]
    blob: bytes


class Sender:
    """The writing end. Never blocks a timing loop: what the reader does not take stays pending.

    Args:
        sock: a stream socket; made non-blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pending = bytearray()
        sock.setblocking(False)

    def send(self, data: dict[str, Any], blob: bytes = b"") -> None:
        """Queue one message and write what can be written.

        Raises:
            BrokenPipeError: the reader is gone, or has not read for so long that 64 MiB wait.
        """
        if blob:
            data = {**data, "bytes": len(blob)}
        self._pending += json.dumps(data, separators=(",", ":")).encode() + b"\n" + blob
        self._write()
        if len(self._pending) > _MOST_PENDING:
            raise BrokenPipeError("the reader of this channel has stopped reading")

    def _write(self) -> None:
        while self._pending:
            try:
                count = self._sock.send(self._pending[:_CHUNK])
            except BlockingIOError:
                return
            del self._pending[:count]

    def drain(self, within_s: float) -> bool:
        """Write everything, waiting at most ``within_s``. Returns whether nothing is left."""
        deadline = time.monotonic() + within_s
        self._write()
        while self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            select.select([], [self._sock], [], left)
            self._write()
        return True


class Receiver:
    """The reading end: takes bytes as they come, gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Incoming]:
        """Add ``data`` and give the messages that are now complete."""
        self._buffer += data
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                return
            parsed = json.loads(self._buffer[:end])
            size = parsed.get("bytes", 0)
            if len(self._buffer) < end + 1 + size:
                return
            blob = bytes(self._buffer[end + 1 : end + 1 + size])
            del self._buffer[: end + 1 + size]
            yield Incoming(parsed, blob)
