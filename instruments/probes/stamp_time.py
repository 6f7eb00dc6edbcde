"""STAMP's times and error estimates (RFC 8762, 4.2.1; RFC 4656, 4.1.2; RFC 8186, 2.3).

Inside the probe a time is an ``int``: ns since 1970-01-01 on the host's CLOCK_REALTIME.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.units import NS_PER_S

_NTP_TO_UNIX_S = 2_208_988_800
"""From 1900-01-01 to 1970-01-01 (RFC 5905, figure 4)."""

_ERA_S = 1 << 32
_WORD = (1 << 64) - 1
_SYNCHRONISED, _PTP = 0x8000, 0x4000


def encode_time(t_ns: int, ptp: bool = False) -> int:
    """A time as the 64 bits of a STAMP packet: NTP, or PTPv2 truncated (RFC 8877, 4.2 and 4.3).

    PTPv2's seconds are those of the host's clock: that clock's distance from TAI (37 s where it
    keeps UTC) is part of the offset between two clocks, like every other difference.
    """
    seconds, rest_ns = divmod(t_ns, NS_PER_S)
    if ptp:
        return seconds % _ERA_S << 32 | rest_ns
    fraction = ((rest_ns << 32) + NS_PER_S // 2) // NS_PER_S
    return (seconds + _NTP_TO_UNIX_S) % _ERA_S << 32 | fraction


def decode_time(word: int, ptp: bool = False) -> int:
    """The time that 64 bits of a STAMP packet stand for, to the nearest ns.

    NTP's seconds overflow in 2036: those without the most significant bit count from then on
    (RFC 4330, 3), so the times of 1968 to 2104 have one meaning each.
    """
    seconds, rest = (word & _WORD) >> 32, word & 0xFFFFFFFF
    if ptp:
        return seconds * NS_PER_S + rest
    if seconds < 1 << 31:
        seconds += _ERA_S
    return (seconds - _NTP_TO_UNIX_S) * NS_PER_S + ((rest * NS_PER_S + (1 << 31)) >> 32)


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """How far a timestamp may be off: ``multiplier`` × 2^(``scale`` − 32) s (RFC 4656, 4.1.2).

    Attributes:
        synchronised: S: the clock is synchronised to UTC by an external source.
        ptp: Z: the timestamps of this packet are PTPv2 truncated, else NTP (RFC 8186, 2.3).
        scale: 0 to 63.
        multiplier: 1 to 255; 0, which must not be sent, means that nothing is known.
    """

    synchronised: bool
    ptp: bool
    scale: int
    multiplier: int

    @property
    def error_s(self) -> float | None:
        """The estimate in s; None where nothing is known."""
        return math.ldexp(self.multiplier, self.scale - 32) if self.multiplier else None

    def encode(self) -> int:
        """The 16 bits of a packet."""
        return (
            (_SYNCHRONISED if self.synchronised else 0)
            | (_PTP if self.ptp else 0)
            | self.scale << 8
            | self.multiplier
        )

    @classmethod
    def decode(cls, word: int) -> ErrorEstimate:
        """From the 16 bits of a packet."""
        return cls(bool(word & _SYNCHRONISED), bool(word & _PTP), word >> 8 & 0x3F, word & 0xFF)

    @classmethod
    def of(cls, error_s: float, *, synchronised: bool, ptp: bool = False) -> ErrorEstimate:
        """The smallest estimate that is not below ``error_s``."""
        for scale in range(64):
            multiplier = math.ceil(math.ldexp(error_s, 32 - scale))
            if multiplier <= 255:
                return cls(synchronised, ptp, scale, max(1, multiplier))
        return cls(synchronised, ptp, 63, 255)
