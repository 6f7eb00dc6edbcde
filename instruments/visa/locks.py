"""One owner per physical instrument, among all threads and processes of a user on this host."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from instruments.emulators.journal import state_folder
from instruments.visa.errors import Busy

_AGAIN_S = 0.05


class ResourceLock:
    """A file lock that dies with its holder; held from entering to leaving.

    Two of them exclude each other in one process as well: each opens the file itself.

    Args:
        role: the instrument's role, for messages.
        physical: what names the physical instrument: the same for every way to reach it.
        wait_s: how long to wait for another holder.
        folder: where the lock files are; None: ``instruments`` below the state folder.
    """

    def __init__(
        self,
        role: str,
        physical: str,
        wait_s: float = 0.0,
        folder: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._role, self._physical, self._wait_s = role, physical, wait_s
        self._folder = folder
        self._clock, self._sleep = clock, sleep
        self._fd = -1

    @property
    def path(self) -> Path:
        """The lock file."""
        folder = self._folder or state_folder() / "instruments"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{hashlib.sha256(self._physical.encode()).hexdigest()[:24]}.lock"

    def __enter__(self) -> Self:
        """Take the instrument.

        Raises:
            Busy: somebody else holds it, and still did after ``wait_s``.
        """
        deadline = self._clock() + self._wait_s
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(fd):
                left = deadline - self._clock()
                if left <= 0:
                    raise self._refused(fd)
                self._sleep(min(_AGAIN_S, left))
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def _refused(self, fd: int) -> Busy:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        who = f"process {pid}" if pid else "another process"
        waited = f" (waited {self._wait_s:g} s)" if self._wait_s else ""
        return Busy(self._role, f"{self._physical} is in use by {who}{waited}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
