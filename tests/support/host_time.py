"""Whether this host kept time while a test looked on, as a process sees it that does nothing else.

A bench says INCONCLUSIVE of what a host spoilt that stalls. Then a test of real packets shows
nothing: it is tried again, and skipped, loudly, where the host never kept time. It fails where
the host did: then it was the bench.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")

TRIES = 4
MEDIAN_LATE_S, P99_LATE_S, WORST_LATE_S = 0.5e-3, 1e-3, 0.05
"""What a process that only keeps time may be late; where a session begins and ends the kernel
takes its time for what is mapped."""
LEAST_IDLE = 0.15
"""Share of the processors' time that nobody wanted: with less, somebody waited for them."""
TICK_S = 0.005
_TICK = struct.Struct("=dd")


class NotShown(Exception):
    """A try showed nothing, for a reason that the host may have to answer for."""


@dataclass
class HostTime:
    """Wakes of one who had nothing else to do: (when it was due, how late it was), s.

    When: CLOCK_MONOTONIC. ``idle``: share of the processors' time.
    """

    wakes: list[tuple[float, float]] = field(default_factory=list)
    idle: float = 1.0

    def late_s(self, share: float) -> float:
        """That quantile of the lateness; 0 where there was no wake."""
        late = sorted(late for _, late in self.wakes)
        return late[min(int(len(late) * share), len(late) - 1)] if late else 0.0

    def between(self, begin_ns: int, end_ns: int) -> HostTime:
        """Of its wakes those in that time."""
        wakes = [wake for wake in self.wakes if begin_ns <= wake[0] * 1e9 <= end_ns]
        return replace(self, wakes=wakes)

    def kept(self, worst_s: float = WORST_LATE_S) -> bool:
        """Whether it was in time, and had processors to spare."""
        return (
            self.late_s(0.5) <= MEDIAN_LATE_S
            and self.late_s(0.99) <= P99_LATE_S
            and self.late_s(1.0) <= worst_s
            and self.idle >= LEAST_IDLE
        )

    def __str__(self) -> str:
        shares = {"median": 0.5, "p99": 0.99, "worst": 1.0}
        late = ", ".join(f"{self.late_s(q) * 1e3:.1f} ms ({name})" for name, q in shares.items())
        return f"a sleeper woke late by {late}, processors idle {self.idle:.0%}"


@contextlib.contextmanager
def watched() -> Iterator[HostTime]:
    """What is yielded holds, afterwards, how the host kept time meanwhile."""
    host = HostTime()
    stop_read, stop_write = os.pipe()
    read, write = os.pipe()
    before = _processor_time()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(stop_write)
            os.close(read)
            with os.fdopen(write, "wb") as answer:
                answer.writelines(_TICK.pack(*wake) for wake in _wakes(stop_read))
        finally:
            os._exit(0)
    os.close(stop_read)
    os.close(write)
    try:
        yield host
    finally:
        os.close(stop_write)
        with os.fdopen(read, "rb") as told:
            host.wakes = list(_TICK.iter_unpack(told.read()))  # type: ignore[arg-type]
        os.waitpid(pid, 0)
        idle, whole = (now - then for now, then in zip(_processor_time(), before, strict=True))
        host.idle = idle / whole if whole else 1.0


def _wakes(stop: int) -> list[tuple[float, float]]:
    """Until ``stop`` closes."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    wakes, due, ended = [], time.monotonic(), []
    while not ended:
        due += TICK_S
        ended = select.select([stop], [], [], max(0.0, due - time.monotonic()))[0]
        now = time.monotonic()
        wakes.append((due, max(0.0, now - due)))
        due = max(due, now - TICK_S)
    return wakes


def _processor_time() -> tuple[int, int]:
    """Of all processors, proc_stat(5): time idle or with nice work, whole time.

    What keeps a processor awake (:mod:`bench.benches.local.awake`) is as nice as can be.
    """
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, waiting, *rest = map(int, words)
    return nice + idle + waiting, user + nice + system + idle + waiting + sum(rest)


def shown(attempt: Callable[[], T], tries: int = TRIES) -> T:
    """What the first ``attempt`` gives that does not raise :class:`NotShown`.

    Fails where none does and the host kept time in two of them, else skips.
    """
    hosts, reason = [], ""
    for _ in range(tries):
        with watched() as host:
            try:
                return attempt()
            except NotShown as error:
                reason = str(error)
        hosts.append(host)
    nothing_shown(reason, hosts)


def nothing_shown(reason: str, hosts: list[HostTime]) -> NoReturn:
    """Fail where the host kept time in two tries (one is chance), else skip."""
    text = f"{reason}, {len(hosts)} times; {'; '.join(map(str, hosts))}"
    if sum(host.kept() for host in hosts) >= min(2, len(hosts)):
        pytest.fail(f"nothing was shown although the host kept time: {text}")
    kept_no_time(text)


def kept_no_time(what: str) -> NoReturn:
    """Skip: one who does nothing but keep time could not, and so nothing was shown."""
    pytest.skip(f"NOT SHOWN, the host kept no time: {what}")


def demand(host: HostTime, worst_s: float = WORST_LATE_S) -> None:
    """Skip what rests on the host having kept time where it did not."""
    if not host.kept(worst_s):
        kept_no_time(str(host))
