"""Precedence and precise timers for the processes that keep time on a shared host."""

from __future__ import annotations

import ctypes
import os
import platform

_PR_SET_TIMERSLACK = 29
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_BETTER_NICE = -10
_SHORT_SLICE_NS = 100_000

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """``struct sched_attr`` of sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    )


def set_timer_slack(slack_ns: int = 1) -> None:
    """How much later than asked the kernel may wake this thread to save power."""
    _libc.prctl(ctypes.c_int(_PR_SET_TIMERSLACK), ctypes.c_ulong(slack_ns), 0, 0, 0)


def prefer_timing(priority: int, pid: int = 0) -> str:
    """Ask the scheduler for precedence, the best it grants.

    Real-time FIFO; a better nice value; a short time slice, which needs no privilege and lets a
    process that sleeps most of its time run sooner after it wakes (Linux 6.12 and newer).

    Returns:
        ``fifo``, ``nice``, ``short slice`` or ``normal``: what was granted.
    """
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))
        return "fifo"
    except OSError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, pid, _BETTER_NICE)
        return "nice"
    except OSError:
        return "short slice" if _shorten_slice(pid) else "normal"


def _shorten_slice(pid: int) -> bool:
    call = _SCHED_SETATTR.get(platform.machine())
    if call is None or not _kernel_at_least(6, 12):
        return False
    wanted = _Attributes(policy=os.SCHED_OTHER, runtime_ns=_SHORT_SLICE_NS)
    wanted.size = ctypes.sizeof(wanted)
    return int(_libc.syscall(call, pid, ctypes.byref(wanted), 0)) == 0


def _kernel_at_least(major: int, minor: int) -> bool:
    found = platform.release().split(".")[:2]
    return all(part.isdigit() for part in found) and tuple(map(int, found)) >= (major, minor)
