"""Rates over time: how many bits were sent or arrived in bins of equal width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.units import NS_PER_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_BINS = 1 << 20
"""A capture that spans more bins has stamps that cannot be right, or too narrow bins."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Bits in consecutive bins of ``bin_s`` from ``start_ns``; arrays of shape ``(bins,)``.

    ``seconds``: how much of each bin was observed: all of it but for the last.
    ``bits_per_s``: the bits by these seconds; NaN where none was.
    """

    start_ns: int
    bin_s: float
    seconds: Floats
    bits_per_s: Floats

    @property
    def whole(self) -> Floats:
        """The rates of the bins that were observed from edge to edge."""
        return self.bits_per_s[self.seconds >= self.bin_s * (1 - 1e-9)]


def rates(
    times_ns: Ints, size: Ints, bin_s: float, start_ns: int, end_ns: int, headers_bytes: int = 0
) -> Rates | None:
    """The rate in bins from ``start_ns`` to ``end_ns``; None for more than :data:`MOST_BINS`.

    Args:
        times_ns: when each packet passed; those outside are left out.
        size: bytes of each.
        bin_s: width of a bin.
        start_ns, end_ns: what was observed; a last bin that it cuts counts for its part only.
        headers_bytes: of each packet, not counted.
    """
    width = max(1, round(bin_s * NS_PER_S))
    span = max(0, end_ns - start_ns)
    count = -(-span // width)
    if count > MOST_BINS:
        return None
    total = np.zeros(count)
    for at in range(0, len(times_ns), _PIECE):
        times = times_ns[at : at + _PIECE] - start_ns
        bytes_ = np.maximum(size[at : at + _PIECE] - headers_bytes, 0)
        inside = (times >= 0) & (times < span)
        place = times[inside] // width
        total += np.bincount(place, weights=bytes_[inside], minlength=count)[:count]
    seconds = np.full(count, width / NS_PER_S)
    if count:
        seconds[-1] = (span - (count - 1) * width) / NS_PER_S
    return Rates(start_ns, width / NS_PER_S, seconds, total * 8 / seconds)
