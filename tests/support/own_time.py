"""How long a process takes by its own doing: without what this host gave to others meanwhile."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path


def queued_s(pid: int) -> float:
    """How long a process's first thread was ready to run and others had the processors, s.

    From its start, also of one that has ended and was not waited for. proc_pid_schedstat(5); 0
    where the kernel does not count it.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) * 1e-9
    except OSError:
        return 0.0


def took_to_end(pid: int, began: float, within_s: float = 20.0) -> float:
    """Wait for a child's end: how long it took from ``began`` (``time.monotonic()``) on, s.

    What it stood in the processors' queue from now on is left out. It can be waited for afterwards.

    Raises:
        TimeoutError: it does not end.
    """
    queued = queued_s(pid)
    child = os.pidfd_open(pid)
    try:
        if not select.select([child], [], [], within_s)[0]:
            raise TimeoutError(f"process {pid} did not end within {within_s:g} s")
    finally:
        os.close(child)
    return time.monotonic() - began - (queued_s(pid) - queued)
