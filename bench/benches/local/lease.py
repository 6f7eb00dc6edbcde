"""One local session per host at a time: a lease that dies with its holder."""

from __future__ import annotations

import errno
import socket
import struct
import time
from types import TracebackType
from typing import Self

from bench.errors import InputError

NAME = "\0telemed-bench-local"
"""An abstract socket: no file, so nothing stays behind when the holder is killed."""

_AGAIN_S = 0.1


class Lease:
    """Held from entering to leaving.

    Args:
        wait_s: how long to wait for another holder.
        name: the abstract socket that stands for it.
    """

    def __init__(self, wait_s: float = 0.0, name: str = NAME) -> None:
        self._wait_s = wait_s
        self._name = name
        self._sock: socket.socket | None = None

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            InputError: somebody else holds it (and still did after ``wait_s``).
        """
        deadline = time.monotonic() + self._wait_s
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            while not _bound(sock, self._name):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._refused()
                time.sleep(min(_AGAIN_S, left))
            sock.listen(16)
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        return self

    def _refused(self) -> InputError:
        pid = holder(self._name)
        who = f"process {pid}" if pid else "another process"
        waited = f" (waited {self._wait_s:g} s)" if self._wait_s else ""
        return InputError(
            f"the local bench of this host is in use by {who}{waited}",
            remedy="wait for it to end, end it, or use --bench virtual",
            field="--bench",
            value="local",
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _bound(sock: socket.socket, name: str) -> bool:
    try:
        sock.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def holder(name: str = NAME) -> int | None:
    """The process that holds the lease, where it can be known."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(name)
            raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return None
    pid, _, _ = struct.unpack("iII", raw)
    return pid or None
