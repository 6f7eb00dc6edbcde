"""Streams give way in their declared order when the network carries less than all of them.

The doctor's side measures what arrives and reports it with every heartbeat: the queueing delay of
the heartbeats over their shortest delay, the share of the frames' packets that is missing, and the
rate of payload. From the rate that still arrives in an overload the patient's side estimates the
available one, and sheds streams, the lowest priority first, until the others fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.devices.ports import Port
from bench.devices.traffic import PeriodicSource
from bench.units import ns

WINDOW_BEATS = 5
"""Heartbeats over which the doctor's side counts what arrives."""

OVERLOAD_LOSS = 0.02
"""Share of the frames' packets whose loss means that a queue overflows."""

USED = 0.85
"""Share of the estimated rate that is used, so that the queue drains."""

SETTLE_S = 0.6
"""What was shed must show its effect before more is."""

FALLING = 0.7
"""A queue that shrank to this share meanwhile is draining."""


@dataclass(frozen=True, slots=True)
class ShapingTraits:
    """How a device sheds. ``order``: which streams give way first."""

    sheds: bool = True
    order: Literal["declared", "reversed", "top-first"] = "declared"
    after_s: float = 0.0


class Receipts:
    """The doctor's side: counts what arrives between heartbeats, and reports it."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._counts: deque[tuple[int, int, int]] = deque(maxlen=WINDOW_BEATS)
        self._ages: deque[int] = deque(maxlen=WINDOW_BEATS)
        self._base_ns = 1 << 62
        self._bits = self._sent = self._received = 0

    def frame(self, payload_bytes: int, received: int, count: int) -> None:
        """``received`` of ``count`` packets of that payload arrived."""
        self._bits += 8 * payload_bytes * received
        self._sent += count
        self._received += received

    def heartbeat(self, age_ns: int) -> None:
        """A heartbeat of that age arrived on the link in use."""
        self._ages.append(age_ns)
        self._base_ns = min(self._base_ns, age_ns)

    def report(self) -> list[float]:
        """Queueing delay in ms, share of packets lost, rate in kbit/s, of the last heartbeats."""
        self._counts.append((self._bits, self._sent, self._received))
        self._bits = self._sent = self._received = 0
        bits = sum(count[0] for count in self._counts)
        sent = sum(count[1] for count in self._counts)
        lost = sent - sum(count[2] for count in self._counts)
        queue_ns = min(self._ages, default=self._base_ns) - self._base_ns
        kbps = bits / (len(self._counts) * self._period_s) / 1e3
        return [round(queue_ns / 1e6, 1), round(lost / sent, 3) if sent else 0.0, round(kbps)]


class Shaper:
    """The patient's side: decides which streams are sent.

    Args:
        sources: the streams that the doctor's side counts, of this side.
        limits: the device's ``overload_queue_s`` and ``restore_after_s``.
        traits: how it does it.
        port: for its log.
    """

    def __init__(
        self,
        sources: Sequence[PeriodicSource],
        limits: Mapping[str, float],
        traits: ShapingTraits,
        port: Port,
    ) -> None:
        declared = sorted(sources, key=lambda source: source.stream.served.priority or 256)
        first, rest = declared[:1], declared[1:]
        self._order = {
            "declared": declared,
            "reversed": first + rest[::-1],
            "top-first": declared[::-1],
        }[traits.order]
        self._queue_ms = limits["overload_queue_s"] * 1e3
        self._restore_ns = ns(limits["restore_after_s"])
        self._settle_ns = ns(SETTLE_S)
        self._after_ns = ns(traits.after_s)
        self._sheds = traits.sheds
        self._port = port
        self._changed_ns = -self._settle_ns
        self._over_since_ns: int | None = None
        self._good_since_ns: int | None = None
        self._queue_at_change_ms = 0.0

    def report(self, now_ns: int, queue_ms: float, loss: float, kbps: float) -> None:
        """What the doctor's side says arrives."""
        if not self._sheds:
            return
        if queue_ms <= self._queue_ms and loss <= OVERLOAD_LOSS:
            self._over_since_ns = None
            if self._good_since_ns is None:
                self._good_since_ns = now_ns
            if now_ns - max(self._good_since_ns, self._changed_ns) >= self._restore_ns:
                self._restore(now_ns)
            return
        self._good_since_ns = None
        if self._over_since_ns is None:
            self._over_since_ns = now_ns
        if now_ns - self._over_since_ns < self._after_ns:
            return
        if now_ns - self._changed_ns < self._settle_ns:
            return
        draining = loss <= OVERLOAD_LOSS and queue_ms < FALLING * self._queue_at_change_ms
        self._queue_at_change_ms = queue_ms
        if not draining:
            self._shed(now_ns, kbps * 1e3 * USED)

    def _shed(self, now_ns: int, available_bps: float) -> None:
        """Keep what fits from the first on; at least the last one that runs goes."""
        running = [source for source in self._order if not source.shed]
        total_bps, kept = 0.0, 1
        for place, source in enumerate(running):
            total_bps += source.stream.rate_bps
            if place and total_bps > available_bps:
                break
            kept = place + 1
        gone = running[min(kept, len(running) - 1) :] if len(running) > 1 else []
        for source in gone:
            source.shed = True
        if gone:
            self._changed_ns = now_ns
            names = [source.stream.name for source in gone]
            self._port.log(now_ns, "streams-shed", {"streams": names, "available": available_bps})

    def _restore(self, now_ns: int) -> None:
        """Try the first that was shed."""
        for source in self._order:
            if source.shed:
                source.shed = False
                self._changed_ns = now_ns
                self._port.log(now_ns, "stream-restored", {"stream": source.stream.name})
                return
