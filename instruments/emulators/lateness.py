"""Counting how late packets leave, cheaply, and saying it in quantiles."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from instruments.emulators.base import Lateness

_LINEAR_US = 8192
_US = 1000
_BUFFER = 4096
LATEST_S = 1e-3
"""Largest p99 lateness inside the envelope."""


class LatenessCounter:
    """Counts of lateness in 1 µs buckets up to 8 ms and octaves above."""

    def __init__(self) -> None:
        self._linear = array("q", bytes(8 * _LINEAR_US))
        self._octaves = [0] * 64
        self._largest_ns = 0
        self._buffer = np.empty(_BUFFER, dtype=np.int64)
        self._filled = 0

    def add(self, late_ns: int) -> None:
        """Count one packet that left ``late_ns`` (zero or more) after its due time."""
        microseconds = late_ns // _US
        if microseconds < _LINEAR_US:
            self._linear[microseconds] += 1
        else:
            self._octaves[microseconds.bit_length()] += 1
        if late_ns > self._largest_ns:
            self._largest_ns = late_ns

    def add_many(self, late_ns: NDArray[np.int64]) -> None:
        """Count packets, at most 4096; shape (n,)."""
        count = len(late_ns)
        if self._filled + count > _BUFFER:
            self._settle()
        self._buffer[self._filled : self._filled + count] = late_ns
        self._filled += count

    def _settle(self) -> None:
        """Put what was added as arrays into the buckets."""
        waiting = self._buffer[: self._filled]
        self._filled = 0
        if not len(waiting):
            return
        buckets = waiting // _US
        small = buckets[buckets < _LINEAR_US]
        linear = np.frombuffer(self._linear, dtype=np.int64)
        linear += np.bincount(small, minlength=_LINEAR_US)
        for bucket in buckets[buckets >= _LINEAR_US].tolist():
            self._octaves[bucket.bit_length()] += 1
        self._largest_ns = max(self._largest_ns, int(waiting.max()))

    def summary(self, histogram: bool = True) -> Lateness:
        """Quantiles of what was counted, and a compact histogram where asked for."""
        self._settle()
        linear = np.frombuffer(self._linear, dtype=np.int64)
        octaves = np.array(self._octaves)
        edges_us = np.append(np.flatnonzero(linear) + 1, 1 << np.flatnonzero(octaves))
        counts = np.append(linear[linear > 0], octaves[octaves > 0])
        total = int(counts.sum())
        if not total:
            return Lateness(0, None, None, None, None)
        places = np.searchsorted(np.cumsum(counts), np.array([0.5, 0.99, 0.999]) * total)
        edges_ns = np.minimum(edges_us[places] * _US, self._largest_ns)
        p50_s, p99_s, p999_s = (edges_ns * 1e-9).tolist()
        buckets = _compact(edges_us.tolist(), counts.tolist()) if histogram else ()
        return Lateness(total, p50_s, p99_s, p999_s, self._largest_ns * 1e-9, buckets)


def beyond_envelope(lateness: Lateness, kernel_drops: int) -> str:
    """Why packets came faster than they can be handled in time; empty where they did not."""
    reasons = []
    if lateness.p99_s is not None and lateness.p99_s > LATEST_S:
        reasons.append(f"p99 lateness {lateness.p99_s * 1e3:.3g} ms above {LATEST_S * 1e3:g} ms")
    if kernel_drops:
        reasons.append(f"{kernel_drops} packets dropped before they were read")
    return "; ".join(reasons)


def _compact(edges_us: list[int], counts: list[int]) -> tuple[tuple[float, int], ...]:
    """Buckets joined to at most eight an octave."""
    joined: dict[int, int] = {}
    for edge_us, count in zip(edges_us, counts, strict=True):
        step = 1 << max(0, (edge_us - 1).bit_length() - 4)
        edge = -(-edge_us // step) * step
        joined[edge] = joined.get(edge, 0) + count
    return tuple((edge * 1e-6, count) for edge, count in joined.items())
