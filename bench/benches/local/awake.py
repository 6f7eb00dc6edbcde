"""Processors that stay awake: who sleeps on a halted one is woken late.

Bare metal leaves a deep idle state in some 0.1 ms; a virtual processor that has halted waits for
its hypervisor to let it run again, which takes milliseconds where others share the machine.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.benches.local import kernel

_LATENCY = Path("/dev/cpu_dma_latency")
_DRIVER = Path("/sys/devices/system/cpu/cpuidle/current_driver")
_PROCESSORS = Path("/proc/cpuinfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_SPIN = ("/bin/sh", "-c", "while :; do :; done")
_NICEST = 19
_TRIES, _BETWEEN_S = 20, 0.03
_ending: list[subprocess.Popen[bytes]] = []
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
        asked, halts = stack.enter_context(_no_latency()), _halts()
        busy = False
        if halts and not _limited():
            busy = stack.enter_context(_busy(sorted(os.sched_getaffinity(0))))
        yield "busy" if busy else "latency" if asked and not halts else ""


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
def _busy(processors: list[int]) -> Iterator[bool]:
    """One process for each, where that can be had; they end with this one, however it ends."""
    running = []
    try:
        with contextlib.suppress(OSError):
            for processor in processors:
                running.append(_spinning(processor))
        yield len(running) == len(processors)
    finally:
        for process in running:
            _end(process)


def _spinning(processor: int) -> subprocess.Popen[bytes]:
    """A small process: one that shared this one's memory would take long to end in its class."""
    process = subprocess.Popen(
        _SPIN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(kernel.die_with_parent, os.getpid()),
        start_new_session=True,  # Ctrl-C is for others; and an autogroup of its own
    )
    try:
        _give_way(process.pid)
        os.sched_setaffinity(process.pid, {processor})
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICEST)  # its time is counted apart
    except OSError:
        _end(process)
        raise
    return process


def _give_way(pid: int) -> None:
    """Its class counts within its autogroup only (sched(7)): make that one as nice as can be."""
    for _ in range(_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(f"{_NICEST}")
        except FileNotFoundError:  # a kernel without them
            return
        except BlockingIOError:  # the unprivileged may not write as often as that
            time.sleep(_BETWEEN_S)
        else:
            return
    raise BlockingIOError


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill one; beside other work it has hardly time to die in the idle class."""
    permitted = True
    try:
        os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, process.pid, 0)
    except OSError:
        permitted = False  # it is waited for when it is over
    process.kill()
    _ending.append(process)
    for each in tuple(_ending):
        if permitted:
            each.wait()
        if each.poll() is not None:
            _ending.remove(each)
