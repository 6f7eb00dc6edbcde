"""Processors that stay awake: who sleeps on a halted one is woken late.

Bare metal leaves a deep idle state in some 0.1 ms; a virtual processor that has halted waits for
its hypervisor to let it run again, which takes milliseconds where others share the machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

from bench.benches.local import kernel

_LATENCY = Path("/dev/cpu_dma_latency")
_DRIVER = Path("/sys/devices/system/cpu/cpuidle/current_driver")
_PROCESSORS = Path("/proc/cpuinfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_MOST_FILES = 65_536
_ending: list[int] = []
"""Killed, and not waited for yet."""


@contextlib.contextmanager
def processors_awake() -> Iterator[str]:
    """Keep this process's processors from idle states meanwhile.

    Asks the kernel for a latency of 0 (pm_qos_interface.rst of the Linux documentation). In a
    guest whose idle processors only halt, where that is without effect, a process of the idle
    class (SCHED_IDLE, sched(7)) keeps each one busy: whoever else wants it takes it at once. Not
    where a control group limits the processors' time, of which these would use up a part.

    Yields:
        ``latency``, ``busy``, or empty where neither is possible.
    """
    with contextlib.ExitStack() as stack:
        done = "latency" if stack.enter_context(_no_latency()) else ""
        if _halts() and not _limited():
            stack.enter_context(_busy(sorted(os.sched_getaffinity(0))))
            done = "busy"
        yield done


@contextlib.contextmanager
def _no_latency() -> Iterator[bool]:
    """Holds as long as the file is open."""
    try:
        fd = os.open(_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        os.write(fd, struct.pack("=i", 0))
        yield True
    finally:
        os.close(fd)


def _halts() -> bool:
    """Whether this is a guest without an idle driver, whose processors the request cannot reach."""
    with contextlib.suppress(OSError):
        if _DRIVER.read_text().strip() != "none":
            return False
    with contextlib.suppress(OSError):
        said = _PROCESSORS.read_text()
        if "User Mode Linux" in said:  # a process of its host, which says its host's flags
            return False
        lines = said.splitlines()
        return any(line.startswith("flags") and "hypervisor" in line.split() for line in lines)
    return False


def _limited() -> bool:
    """Whether a control group of this process, or one above it, has a quota (cgroups(7))."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        own = (_GROUPS / controllers if controllers else _GROUPS) / place.lstrip("/")
        for group in (own, *own.parents):
            for name in ("cpu.max", "cpu.cfs_quota_us"):
                with contextlib.suppress(OSError):
                    if (group / name).read_text().split()[0] not in ("max", "-1"):
                        return True
            if group == _GROUPS:
                break
    return False


@contextlib.contextmanager
def _busy(processors: list[int]) -> Iterator[None]:
    """One process for each; they end with this one, however it ends."""
    parent = os.getpid()
    pids = []
    try:
        for processor in processors:
            pid = os.fork()
            if pid == 0:
                _spin(processor, parent)
            pids.append(pid)
        yield
    finally:
        for pid in pids:
            _end(pid)


def _end(pid: int) -> None:
    """Kill one; beside other work it has no time to die of in the idle class."""
    wait = 0
    try:
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, pid, 0)
    except OSError:  # not permitted: it is waited for when it is over
        wait = os.WNOHANG
    os.kill(pid, signal.SIGKILL)
    _ending.append(pid)
    for each in tuple(_ending):
        if os.waitpid(each, wait)[0]:
            _ending.remove(each)


def _spin(processor: int, parent: int) -> None:
    """A child's whole life; never returns."""
    try:
        kernel.die_with_parent(parent)
        os.closerange(0, _MOST_FILES)  # whose other ends wait for them to be closed
        os.sched_setaffinity(0, {processor})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.nice(19)  # its time is counted apart
        while True:
            for _ in range(1_000_000):
                pass
    finally:
        os._exit(0)
