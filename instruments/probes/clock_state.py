"""What the kernel knows about its own clock: adjtimex(2), through the C library."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """``struct timex``, as far as it is read; the kernel fills more."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 40),
    )


@dataclass(frozen=True, slots=True)
class ClockState:
    """Whether CLOCK_REALTIME follows an external source, and how far off it may be.

    Attributes:
        synchronised: something (an NTP or PTP daemon) has told the kernel so.
        error_s: the kernel's bound of the error; 16 s, its largest, where nobody tells it.
        known: False where the kernel could not be asked; the others say the worst then.
    """

    synchronised: bool
    error_s: float
    known: bool


WORST = ClockState(synchronised=False, error_s=16.0, known=False)


def clock_state() -> ClockState:
    """Ask the kernel; changes nothing and needs no privilege."""
    if not sys.platform.startswith("linux"):
        return WORST
    timex = _Timex(modes=0)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        return WORST
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return ClockState(synchronised, timex.maxerror / 1e6, known=True)
