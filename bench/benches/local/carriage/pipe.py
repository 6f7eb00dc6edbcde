"""One TCP connection of a carriage, in TLS where there is a context. Nothing blocks."""

from __future__ import annotations

import errno
import os
import socket
import struct

from OpenSSL import SSL

from bench.benches.local.carriage.tls import Tls

_READ_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the peer with a reset


class Pipe:
    """A socket that connects, or that was accepted.

    ``unwritten``: bytes that the network did not take yet.

    Args:
        sock: made non-blocking.
        context: of TLS; none leaves it in clear.
        server: which end this is.
    """

    def __init__(self, sock: socket.socket, context: SSL.Context | None, *, server: bool) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.unwritten = bytearray()
        self._tls = Tls(context, server=server) if context is not None else None
        self._there = server

    def fileno(self) -> int:
        """The socket's."""
        return self.sock.fileno()

    @property
    def stands(self) -> bool:
        """Whether messages can be written."""
        return self._there and (self._tls is None or self._tls.stands)

    def go_on(self) -> None:
        """Open it further, after something happened to the socket.

        Raises:
            Refused: OpenSSL ended it.
            OSError: it cannot be reached, or ended.
        """
        if self._there:
            self.read()
            return
        problem = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            raise OSError(problem, os.strerror(problem))
        self._there = True
        if self._tls is not None:
            self._tls.feed(b"")
            self.flush()

    def read(self) -> bytes:
        """What came, deciphered; maybe nothing.

        Raises:
            Refused: OpenSSL ended it.
            OSError: it ended.
        """
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if self._tls is None:
            return data
        try:
            return self._tls.feed(data)
        finally:
            self.flush()

    def write(self, data: bytes | bytearray) -> None:
        """Write, or keep what the network does not take.

        Raises:
            OSError: it ended.
        """
        if self._tls is None:
            self.unwritten += data
        else:
            self._tls.seal(bytes(data))
        self.flush()

    def flush(self) -> None:
        """Write what was kept. Raises ``OSError``: it ended."""
        if self._tls is not None:
            self.unwritten += self._tls.out()
        try:
            while self.unwritten:
                del self.unwritten[: self.sock.send(self.unwritten)]
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close it in order: what was written still arrives."""
        self.sock.close()

    def reset(self) -> None:
        """Close at once: nothing of it is sent again, however long the path was dead."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()
