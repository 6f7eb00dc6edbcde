"""What the attack process is wherever it stands: its loop, its timers, its words, its bound.

The bench says what is to be done (:mod:`instruments.attacks.messages`); packets made up are bounded
by :data:`MOST_PER_S`.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import Any

from instruments.attacks.messages import LARGEST, packed, unpacked

MOST_PER_S = 5000
"""Packets made up per s, of all kinds and links together; more are refused and counted."""

_BATCH = 32
_IDLE_S = 0.02


class AttackProcess:
    """Follows the bench until it says ``end`` or is gone. A message is for the method of its name.

    Args:
        bench: the other end of :mod:`instruments.attacks.messages`.

    Attributes:
        refused: packets that were beyond the bound; ``untold``: words that the bench did not take.
    """

    def __init__(self, bench: socket.socket) -> None:
        self._bench = bench
        bench.setblocking(False)
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._number = count().__next__
        self._budget, self._budget_ns = float(MOST_PER_S), 0
        self._ended = False
        self.refused = self.untold = 0

    def sources(self) -> Mapping[int, Callable[[], object]]:
        """What is to be called when a descriptor is readable."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """What was done, and what the process itself lost."""
        raise NotImplementedError

    def run(self) -> None:
        """Look at what passes and do what is said, then tell the counts."""
        poll, sources = select.epoll(), {**self.sources(), self._bench.fileno(): self._hear}
        for fd in sources:
            poll.register(fd, select.EPOLLIN)
        self._tell({"is": "ready"})
        while not self._ended:
            wait_s = _IDLE_S
            if self._timers:
                wait_s = min(wait_s, max(0.0, (self._timers[0][0] - time.monotonic_ns()) / 1e9))
            for fd, _ in poll.poll(wait_s):
                sources[fd]()
            now = time.monotonic_ns()
            while self._timers and self._timers[0][0] <= now:
                heappop(self._timers)[2]()
        self._tell({"is": "done", **self.counts()})

    def _hear(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._bench.recv(LARGEST)
            except BlockingIOError:
                return
            if not data:
                self._ended = True
                return
            said, payload = unpacked(data)
            getattr(self, f"_do_{said['do']}")(said, payload)

    def _do_end(self, said: dict[str, Any], payload: bytes) -> None:
        self._ended = True

    def _affordable(self) -> bool:
        """Whether one more packet may be made up now; counted where not."""
        now = time.monotonic_ns()
        earned = (now - self._budget_ns) * 1e-9 * MOST_PER_S
        self._budget = min(float(MOST_PER_S) / 10, self._budget + earned)
        self._budget_ns = now
        if self._budget < 1:
            self.refused += 1
            return False
        self._budget -= 1
        return True

    def _later(self, due_ns: int, call: Callable[[], object]) -> None:
        heappush(self._timers, (due_ns, self._number(), call))

    def _tell(self, data: dict[str, Any], payload: bytes = b"") -> None:
        try:
            self._bench.send(packed(data, payload))
        except BlockingIOError:
            self.untold += 1
        except (BrokenPipeError, ConnectionResetError):
            self._ended = True
