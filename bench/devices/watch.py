"""What a device watches about its network: delay, loss and silence of the command stream.

Delay is watched as the smallest age within a window, so that a single late packet is no alarm
and a network whose every packet is late is one. Loss is watched over a sliding window of whole
buckets. Nothing here decides what to do about it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bench.units import NS_PER_S, ns

_NONE = 1 << 62


@dataclass(frozen=True, slots=True)
class WatchReading:
    """One look at the network.

    ``delay_s``: windowed minimum age, ``None`` with too few packets.
    ``loss``: ratio over the loss window. ``lost``: packets missing in it. ``spread_s``: largest
    less smallest age in the window, ``None`` with too few packets.
    """

    delay_s: float | None
    loss: float
    lost: int
    spread_s: float | None = None


class NetworkWatch:
    """Counts one incoming stream in buckets of ``delay_window_s``.

    Args:
        delay_window_s: length of a bucket, and the window of the smallest age.
        loss_window_s: length of the loss window.
        least_packets: a bucket with fewer says nothing about the delay.
    """

    def __init__(
        self, *, delay_window_s: float, loss_window_s: float, least_packets: int = 1
    ) -> None:
        self._least_packets = max(1, least_packets)
        buckets = max(1, round(loss_window_s / delay_window_s))
        self._history: deque[tuple[int, int]] = deque(maxlen=buckets)
        self._minimum_ns = _NONE
        self._maximum_ns = -_NONE
        self._received = 0
        self._highest = -1
        self._highest_before = -1
        self.last_ns = -1

    def packet(self, now_ns: int, seq: int, sent_ns: int) -> None:
        """One packet arrived."""
        age = now_ns - sent_ns
        if age < self._minimum_ns:
            self._minimum_ns = age
        if age > self._maximum_ns:
            self._maximum_ns = age
        if seq > self._highest:
            if self._highest < 0:
                self._highest_before = seq - 1
            self._highest = seq
        self._received += 1
        self.last_ns = now_ns

    def silence_s(self, now_ns: int) -> float:
        """Time since the last packet; infinite before the first."""
        return (now_ns - self.last_ns) / NS_PER_S if self.last_ns >= 0 else float("inf")

    def bucket(self) -> WatchReading:
        """Close the bucket and read."""
        expected = self._highest - self._highest_before
        self._history.append((expected, self._received))
        enough = self._received >= self._least_packets
        delay_s = self._minimum_ns / NS_PER_S if enough else None
        spread_s = (self._maximum_ns - self._minimum_ns) / NS_PER_S if enough else None
        self._highest_before = self._highest
        self._minimum_ns, self._maximum_ns, self._received = _NONE, -_NONE, 0
        sent = sum(e for e, _ in self._history)
        lost = max(0, sent - sum(r for _, r in self._history))
        return WatchReading(delay_s, lost / sent if sent else 0.0, lost, spread_s)


class Persistence:
    """A condition with hysteresis: set at once, cleared after ``clear_after_s`` without it."""

    def __init__(self, clear_after_s: float) -> None:
        self._clear_ns = ns(clear_after_s)
        self._absent_since: int | None = None
        self.present = False

    def update(self, now_ns: int, over: bool, under: bool) -> bool:
        """``over``: beyond the limit now. ``under``: clearly inside it now."""
        if over:
            self.present, self._absent_since = True, None
        elif not under:
            self._absent_since = None
        elif self.present:
            if self._absent_since is None:
                self._absent_since = now_ns
            if now_ns - self._absent_since >= self._clear_ns:
                self.present = False
        return self.present
