"""Packets that wait for their due time (CLOCK_MONOTONIC ns), and letting them go."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from ctypes import string_at
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from bench.network.laws import NEVER
from instruments.emulators.sending import MOST, Sender


class Block:
    """Packets decided together: due times, ascending, and where each lies in ``memory``.

    All arrays of shape (n,), n at least 1; ``sizes`` in bytes.
    """

    __slots__ = ("addresses", "due_ns", "head_ns", "memory", "sizes")

    def __init__(
        self,
        due_ns: NDArray[np.int64],
        memory: NDArray[np.uint8],
        addresses: NDArray[np.uint64],
        sizes: NDArray[np.int64],
    ) -> None:
        self.due_ns, self.memory, self.addresses, self.sizes = due_ns, memory, addresses, sizes
        self.head_ns = int(due_ns[0])

    def skip(self, count: int) -> bool:
        """Leave the first packets out; whether there are others."""
        if count == len(self.due_ns):
            return False
        self.due_ns, self.sizes = self.due_ns[count:], self.sizes[count:]
        self.addresses = self.addresses[count:]
        self.head_ns = int(self.due_ns[0])
        return True

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Each packet as (due, bytes)."""
        places = zip(
            self.due_ns.tolist(), self.addresses.tolist(), self.sizes.tolist(), strict=True
        )
        for due, address, size in places:
            yield due, string_at(address, size)


class InOrder:
    """Packets whose due times ascend in the order in which they are added."""

    def __init__(self) -> None:
        self._queue: deque[tuple[int, bytes] | Block] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, due_ns: int, frame: bytes) -> None:
        """Add one packet."""
        self._queue.append((due_ns, frame))
        self._count += 1

    def add_block(self, block: Block) -> None:
        """Add packets that were decided together."""
        self._queue.append(block)
        self._count += len(block.due_ns)

    def head_ns(self) -> int:
        """When the next packet is due."""
        if not self._queue:
            return NEVER
        head = self._queue[0]
        return head.head_ns if isinstance(head, Block) else head[0]

    def release(self, sender: Sender) -> int:
        """Send what is due, at most ``MOST`` or so; how many."""
        queue, now, count = self._queue, time.monotonic_ns, 0
        while queue and count < MOST:
            head = queue[0]
            t_ns = now()
            if isinstance(head, Block):
                if head.head_ns > t_ns:
                    break
                ready = int(head.due_ns[:MOST].searchsorted(t_ns, "right"))
                addresses, sizes = head.addresses[:ready], head.sizes[:ready]
                sender.many_due(head.due_ns[:ready], t_ns, addresses, sizes)
                if not head.skip(ready):
                    queue.popleft()
                count += ready
            else:
                due_ns, frame = head
                if due_ns > t_ns:
                    break
                queue.popleft()
                sender.one_due(due_ns, t_ns, frame)
                count += 1
        self._count -= count
        return count

    def take_all(self) -> Iterator[tuple[int, bytes]]:
        """Everything that waits as (due, frame) in order; nothing waits afterwards."""
        queue, self._queue, self._count = self._queue, deque(), 0
        for entry in queue:
            if isinstance(entry, Block):
                yield from entry.frames()
            else:
                yield entry


class ByDue:
    """Packets in any order; those due at the same time go in the order in which they came."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, bytes]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due_ns: int, frame: bytes) -> None:
        """Add one packet."""
        self._added += 1
        heappush(self._heap, (due_ns, self._added, frame))

    def head_ns(self) -> int:
        """When the next packet is due."""
        return self._heap[0][0] if self._heap else NEVER

    def release(self, sender: Sender) -> int:
        """Send what is due, at most ``MOST``; how many."""
        heap, now = self._heap, time.monotonic_ns
        for count in range(MOST):
            t_ns = now()
            if not heap or heap[0][0] > t_ns:
                return count
            due_ns, _, frame = heappop(heap)
            sender.one_due(due_ns, t_ns, frame)
        return MOST

    def take_all(self) -> Iterator[tuple[int, bytes]]:
        """Everything that waits as (due, frame) in order; nothing waits afterwards."""
        heap, self._heap = sorted(self._heap), []
        for due_ns, _, frame in heap:
            yield due_ns, frame
