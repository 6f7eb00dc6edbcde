"""A small process that puts interfaces back when the one that changed them is killed.

Started with the state folder and its owner's process number and start; standard input is a pipe
from the owner and from everything the owner forks. A word through it means that all is in order.
Its end without a word means that all of them are gone: what the journals of that owner say is
then put back, and the journals removed. In a session of its own, deaf to the signals by which
people and programs end things; standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from instruments.emulators.journal import Owner, recover

_READY = b"ready\n"
_DONE = b"done\n"
_LAST_CHILDREN_S = 0.4
"""How long the owner's children may outlive it (the kernel kills them with it)."""

_SOMEBODY_ELSE_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]


class Guardian:
    """The owner's side: starts the process, and tells it when it is not needed any more."""

    def __init__(self, folder: Path, owner: Owner, within_s: float = 5.0) -> None:
        """Start it and wait until it watches.

        Raises:
            OSError: it cannot be started, or does not get ready in time.
        """
        words = [sys.executable, "-S", "-m", "instruments.emulators.guardian"]
        self._process = subprocess.Popen(
            [*words, str(folder), str(owner.pid), str(owner.start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**_environment(), "PYTHONPATH": str(_ROOT)},
            start_new_session=True,
        )
        if not self._said_ready(within_s):
            self.dismiss()
            raise OSError("the guardian process does not start")

    def _said_ready(self, within_s: float) -> bool:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            ready, _, _ = select.select([pipe], [], [], within_s)
            return bool(ready) and os.read(pipe.fileno(), 64) == _READY

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still watches."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """End it; nothing is left to guard."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(_DONE)
            self._process.stdin.flush()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def _watch(owner: Owner) -> bool:
    """Wait; True when the owner is gone without a word."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    try:
        gone = os.pidfd_open(owner.pid)
    except OSError:
        gone = -1
    else:
        poll.register(gone, select.POLLIN)
    if not owner.alive:
        poll.unregister(0)
        return _orphaned()
    while True:
        for fd, _ in poll.poll():
            if fd == gone:
                return _orphaned()
            said = os.read(0, 64)
            if said:
                return False
            if not owner.alive or gone == -1:
                return True
            poll.unregister(0)  # it closed the pipe, and still lives


def _orphaned() -> bool:
    """The owner has ended: wait for its children, a little. True where no word came."""
    deadline = time.monotonic() + _LAST_CHILDREN_S
    while (left := deadline - time.monotonic()) > 0:
        if select.select([0], [], [], left)[0]:
            return not os.read(0, 64)
    return True


def main(words: list[str]) -> None:
    """The guardian's life."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    folder, owner = Path(words[0]), Owner(int(words[1]), int(words[2]))
    os.write(1, _READY)
    os.close(1)
    if _watch(owner):
        recover(folder, owner, _SOMEBODY_ELSE_S)


if __name__ == "__main__":
    main(sys.argv[1:])
