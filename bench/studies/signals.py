"""How ``bench emulate`` hears that it shall end, or that its emulator has."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

_INTERRUPTED = 130
_END_WITHIN_S = 1.9
_SAME_S = 0.3
"""Signals so close together are one: a terminal and a wrapper may both pass it on."""


class Signals:
    """SIGINT, SIGTERM and SIGHUP end the command in order, and within 2 s in any case.

    :meth:`allow` gives it longer, until the next signal. Its own handlers, also where SIGINT came
    in ignored (a command in the background); SIGHUP stays ignored where it came in so (nohup).
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self._came_s, self._ends_s = 0.0, math.inf
        self._owner = os.getpid()
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, Any] = {}
        self._deadline: threading.Timer | None = None

    def __enter__(self) -> Self:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._deadline is not None:
            self._deadline.cancel()
        os.close(self._read)
        os.close(self._write)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if os.getpid() != self._owner or (self.came is not None and now - self._came_s < _SAME_S):
            return
        self.came, self._came_s = self.came or number, now
        with contextlib.suppress(BlockingIOError):  # nobody has heard thousands of them
            os.write(self._write, b"!")
        if now + _END_WITHIN_S < self._ends_s:
            self._end_within(_END_WITHIN_S)

    def _end_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._ends_s = time.monotonic() + seconds
        self._deadline = threading.Timer(seconds, os._exit, (_INTERRUPTED,))
        self._deadline.daemon = True
        self._deadline.start()

    def allow(self, seconds: float) -> None:
        """Let the end take so much longer, unless another signal comes."""
        if self.came is not None:
            self._end_within(seconds + _END_WITHIN_S)

    def hear(self) -> None:
        """Take note of the one that has come: only another one makes this readable again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 1)

    def fileno(self) -> int:
        """For select: readable once one has come that was not heard."""
        return self._read


@contextlib.contextmanager
def children_deaf() -> Iterator[None]:
    """Children that are started within never hear what is sent to the whole process group."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ProcessEnds:
    """Descriptors that become readable when one of the processes ends."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.fds = [os.pidfd_open(pid) for pid in pids]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: object) -> None:
        for fd in self.fds:
            os.close(fd)
