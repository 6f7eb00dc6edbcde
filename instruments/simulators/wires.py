"""How messages and responses travel: SCPI over a stream, lines as over telnet, HTTP requests."""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import unquote_to_bytes

from instruments.simulators.scpi_syntax import Framer


class Wire(Protocol):
    """One connection's way of writing messages and responses."""

    def feed(self, data: bytes) -> list[bytes | None]:
        """The messages that are whole now; None for one that was too long."""

    def wrap(self, response: bytes) -> bytes:
        """A response as it is sent."""

    @property
    def once(self) -> bool:
        """The connection ends after a response."""


class ScpiWire:
    """Program messages that end with a line feed; so do responses."""

    once = False

    def __init__(self) -> None:
        self._framer = Framer()

    def feed(self, data: bytes) -> list[bytes | None]:
        """The messages that are whole now; None for one that was too long."""
        return self._framer.feed(data)

    def wrap(self, response: bytes) -> bytes:
        """With a line feed."""
        return response + b"\n"


_NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].", re.DOTALL)
_LONGEST_LINE = 4096


class LineOrHttpWire:
    """Lines as over telnet, or HTTP: what the first line of a connection looks like, it is.

    Telnet's negotiations are left out; lines end with CR, LF or both.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._http: bool | None = None

    @property
    def once(self) -> bool:
        """HTTP closes after each response."""
        return bool(self._http)

    def feed(self, data: bytes) -> list[bytes | None]:
        """The messages that are whole now; None for one that was too long."""
        self._buffer += data
        if self._http is None and len(self._buffer) >= 4:
            self._http = self._buffer.startswith(b"GET ")
        if self._http is None and b"\r" not in self._buffer and b"\n" not in self._buffer:
            return []
        return self._requests() if self._http else self._lines()

    def _requests(self) -> list[bytes | None]:
        if len(self._buffer) > 4 * _LONGEST_LINE:
            self._buffer = b""
            return [None]
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return []
        self._buffer = rest
        words = head.split(b"\r\n")[0].split(b" ")
        target = words[1].lstrip(b"/") if len(words) > 1 else b""
        command, asked, _ = target.partition(b"?")  # what follows the mark is ignored
        return [unquote_to_bytes(command) + asked]

    def _lines(self) -> list[bytes | None]:
        pieces = re.split(rb"[\r\n]+", _NEGOTIATION.sub(b"", self._buffer))
        self._buffer = pieces.pop()
        found: list[bytes | None] = [piece for piece in pieces if piece]
        if len(self._buffer) > _LONGEST_LINE:
            self._buffer = b""
            found.append(None)
        return found

    def wrap(self, response: bytes) -> bytes:
        """A line, or an HTTP response."""
        if not self._http:
            return response + b"\r\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(response)}"
        return head.encode() + b"\r\nConnection: close\r\n\r\n" + response
