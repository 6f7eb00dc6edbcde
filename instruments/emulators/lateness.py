"""Counting how late packets leave, cheaply, and saying it in quantiles."""

from __future__ import annotations

from instruments.emulators.base import Lateness

_LINEAR_US = 8192
_US = 1000


class LatenessCounter:
    """Counts of lateness in 1 µs buckets up to 8 ms and octaves above.

    The forwarder adds to ``linear`` and ``octaves`` itself where a call would cost too much.
    """

    def __init__(self) -> None:
        self.linear = [0] * _LINEAR_US
        self.octaves = [0] * 64
        self.largest_ns = 0

    def add(self, late_ns: int) -> None:
        """Count one packet that left ``late_ns`` (zero or more) after its due time."""
        microseconds = late_ns // _US
        if microseconds < _LINEAR_US:
            self.linear[microseconds] += 1
        else:
            self.octaves[microseconds.bit_length()] += 1
        if late_ns > self.largest_ns:
            self.largest_ns = late_ns

    def summary(self) -> Lateness:
        """Quantiles and a compact histogram of what was counted."""
        buckets = [(index + 1, count) for index, count in enumerate(self.linear) if count]
        buckets += [(1 << bits, count) for bits, count in enumerate(self.octaves) if count]
        total = sum(count for _, count in buckets)
        if not total:
            return Lateness(0, None, None, None, None)
        return Lateness(
            total,
            self._quantile(buckets, total, 0.5),
            self._quantile(buckets, total, 0.99),
            self._quantile(buckets, total, 0.999),
            self.largest_ns * 1e-9,
            _compact(buckets),
        )

    def _quantile(self, buckets: list[tuple[int, int]], total: int, share: float) -> float:
        seen = 0
        for edge_us, count in buckets:
            seen += count
            if seen >= share * total:
                return min(edge_us * _US, self.largest_ns) * 1e-9
        return self.largest_ns * 1e-9


def _compact(buckets: list[tuple[int, int]]) -> tuple[tuple[float, int], ...]:
    """Buckets joined to at most eight an octave."""
    joined: dict[int, int] = {}
    for edge_us, count in buckets:
        step = 1 << max(0, (edge_us - 1).bit_length() - 4)
        edge = -(-edge_us // step) * step
        joined[edge] = joined.get(edge, 0) + count
    return tuple((edge * 1e-6, count) for edge, count in joined.items())
