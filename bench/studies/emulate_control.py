"""The control channel of ``bench emulate``: a Unix socket on which others send lines of JSON.

Never waits for anybody: a client that does not read what it is told is let go.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.errors import InputError

_LONGEST_LINE = 1 << 20
_MOST_CLIENTS = 16
_LONGEST_PATH = 107


class Client:
    """One who has connected."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._text = b""
        self.gone = False

    def fileno(self) -> int:
        """For select."""
        return self._sock.fileno()

    def take(self) -> list[dict[str, Any]]:
        """The requests that have come since; what is no JSON object is answered with an error."""
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        *lines, self._text = (self._text + data).split(b"\n")
        if len(self._text) > _LONGEST_LINE:
            self.tell({"event": "error", "message": "a line is longer than 1 MiB"})
            self.close()
        return [request for line in lines if line.strip() and (request := self._read(line))]

    def _read(self, line: bytes) -> dict[str, Any] | None:
        try:
            request = json.loads(line)
        except ValueError as error:
            self.tell({"event": "error", "message": f"not JSON: {error}"})
            return None
        if isinstance(request, dict):
            return request
        self.tell({"event": "error", "message": "not a JSON object"})
        return None

    def tell(self, answer: dict[str, Any]) -> None:
        """Send one line; a client that is gone or does not read is let go."""
        if self.gone:
            return
        data = json.dumps(answer).encode() + b"\n"
        try:
            if self._sock.send(data) < len(data):
                self.close()
        except OSError:
            self.close()

    def close(self) -> None:
        """Let it go; harmless when repeated."""
        self.gone = True
        self._sock.close()


class ControlSocket:
    """Listens from entering to leaving.

    Args:
        path: where; only this user can connect.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clients: list[Client] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises:
            InputError: the path is taken, too long, or cannot be made.
        """
        try:
            os.fchmod(self._listener.fileno(), 0o600)
            self._listener.bind(str(self.path))
            self._listener.listen(_MOST_CLIENTS)
        except OSError as error:
            self._listener.close()
            raise _refused(self.path, error.strerror or str(error)) from error
        self._listener.setblocking(False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self.clients:
            client.close()
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def fileno(self) -> int:
        """For select: readable when somebody wants to connect."""
        return self._listener.fileno()

    def accept(self) -> Client | None:
        """Take the next one in, if there is one and not too many."""
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            self.clients = [client for client in self.clients if not client.gone]
            if len(self.clients) < _MOST_CLIENTS:
                self.clients.append(Client(sock))
                return self.clients[-1]
            sock.close()
        return None


def check_path(path: Path) -> Path:
    """The absolute path, with a dead socket that stood there taken away.

    Raises:
        InputError: something else stands there, somebody listens there, or it is too long.
    """
    path = path.absolute()
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise _refused(path, f"is longer than {_LONGEST_PATH} bytes")
    if not path.parent.is_dir():
        raise _refused(path, "its folder does not exist")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return path
    if not stat.S_ISSOCK(found.st_mode):
        raise _refused(path, "something else stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return path
        except OSError as error:
            raise _refused(path, error.strerror or str(error)) from error
    raise _refused(path, "another process listens there")


def _refused(path: Path, problem: str) -> InputError:
    return InputError(problem, remedy="give another path", field="--control", value=str(path))
