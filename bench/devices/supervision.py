"""A side's judgement of its network: delay, loss, jitter and silence of the stream it watches.

Composed of :class:`~bench.devices.watch.NetworkWatch` and one hysteresis per condition; raises the
alarms ``network-delay``, ``network-loss``, ``network-jitter`` and ``network-interrupted`` where the
device has them. Jitter is watched where the limits give ``command_jitter``.
What else is to be done about a condition is the device's own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.devices.alarms import AlarmSystem
from bench.devices.ports import Port
from bench.devices.quality import JitterWatch
from bench.devices.watch import NetworkWatch, Persistence, WatchReading
from bench.units import ns

GUARD_NS = 10_000_000
"""How often the watched stream's silence is looked at."""


@dataclass(frozen=True, slots=True)
class NervesTraits:
    """How easily a device alarms.

    ``at``: share of its limits at which it already does. ``silence_at``: as well, for silence.
    ``every_s``: it alarms so often for nothing; 0 never.
    """

    at: float = 1.0
    silence_at: float = 1.0
    every_s: float = 0.0


def nervous(limits: Mapping[str, float], traits: NervesTraits) -> Mapping[str, float]:
    """The limits on which a device with such nerves acts."""
    shares = {
        "command_delay_s": traits.at,
        "command_loss": traits.at,
        "command_silence_alarm_s": traits.silence_at,
    }
    return {name: value * shares.get(name, 1.0) for name, value in limits.items()}


class NetworkSupervisor:
    """Watches one incoming stream and keeps the three conditions of it.

    Args:
        limits: the device's, with the ``command_…`` figures and ``clear_after_s``.
        alarms: told of every condition.
        port: for the timers.
        on_look: called ``(now_ns, reading)`` once per delay window, after the conditions are set.
        on_guard: called ``(now_ns, silence_ns)`` once per guard period, from the first packet on.
        nerves: how easily it alarms; as its limits say where ``None``.

    ``watching``: false judges nothing (a deliberate defect).
    """

    def __init__(
        self,
        limits: Mapping[str, float],
        alarms: AlarmSystem,
        port: Port,
        *,
        on_look: Callable[[int, WatchReading], None],
        on_guard: Callable[[int, int], None],
        nerves: NervesTraits | None = None,
    ) -> None:
        nerves = nerves or NervesTraits()
        limits = nervous(limits, nerves)
        self._every_ns = ns(nerves.every_s)
        self.watch = NetworkWatch(
            delay_window_s=limits["command_delay_window_s"],
            loss_window_s=limits["command_loss_window_s"],
            least_packets=int(limits["command_delay_packets"]),
        )
        self.delay = Persistence(limits["clear_after_s"])
        self.loss = Persistence(limits["clear_after_s"])
        self.silence = Persistence(limits["clear_after_s"])
        self.jitter = Persistence(limits["clear_after_s"])
        self.watching = True
        self._jitter_watch = _jitter_watch(limits)
        self._limits = limits
        self._alarms = alarms
        self._port = port
        self._on_look, self._on_guard = on_look, on_guard
        self._bucket_ns = ns(limits["command_delay_window_s"])
        self._silence_alarm_ns = ns(limits["command_silence_alarm_s"])
        self._look_due = self._guard_due = 0

    @property
    def heard(self) -> bool:
        """Something of the stream has arrived at all."""
        return self.watch.last_ns >= 0

    @property
    def abnormal(self) -> bool:
        """Some condition holds."""
        conditions = (self.delay, self.loss, self.silence, self.jitter)
        return any(condition.present for condition in conditions)

    def start(self, now_ns: int) -> None:
        """Begin to look."""
        self._look_due = now_ns + self._bucket_ns
        self._guard_due = now_ns + GUARD_NS
        self._port.at(self._look_due, self._look)
        self._port.at(self._guard_due, self._guard)
        if self._every_ns:
            self._port.at(now_ns + self._every_ns, self._cry)

    def _cry(self, now_ns: int) -> None:
        """Alarm for nothing; the next look takes it back."""
        self._alarms.update(now_ns, "network-delay", True)
        self._port.at(now_ns + self._every_ns, self._cry)

    def _look(self, now_ns: int) -> None:
        reading = self.watch.bucket()
        if self.watching:
            self._judge(now_ns, reading)
        self._on_look(now_ns, reading)
        self._look_due = max(self._look_due, now_ns - self._bucket_ns) + self._bucket_ns
        self._port.at(self._look_due, self._look)

    def _judge(self, now_ns: int, reading: WatchReading) -> None:
        limits = self._limits
        limit, delay_s = limits["command_delay_s"], reading.delay_s
        late = self.delay.update(
            now_ns,
            delay_s is not None and delay_s > limit,
            delay_s is not None and delay_s < limits["clear_ratio"] * limit,
        )
        loss_limit = limits["command_loss"]
        lossy = self.loss.update(
            now_ns,
            reading.loss > loss_limit and reading.lost >= limits["command_loss_packets"],
            reading.loss <= limits["clear_ratio"] * loss_limit,
        )
        self._alarms.update(now_ns, "network-delay", late, delay_s)
        self._alarms.update(now_ns, "network-loss", lossy, reading.loss)
        if self._jitter_watch is not None:
            over, under = self._jitter_watch.look(reading.spread_s)
            unsteady = self.jitter.update(now_ns, over, under)
            self._alarms.update(now_ns, "network-jitter", unsteady, reading.spread_s)

    def _guard(self, now_ns: int) -> None:
        self._guard_due = max(self._guard_due, now_ns - GUARD_NS) + GUARD_NS
        self._port.at(self._guard_due, self._guard)
        if not self.heard or not self.watching:
            return
        silence_ns, alarm_ns = now_ns - self.watch.last_ns, self._silence_alarm_ns
        silent = self.silence.update(now_ns, silence_ns > alarm_ns, silence_ns < alarm_ns // 2)
        self._alarms.update(now_ns, "network-interrupted", silent, silence_ns / 1e9)
        self._on_guard(now_ns, silence_ns)


def _jitter_watch(limits: Mapping[str, float]) -> JitterWatch | None:
    if "command_jitter_s" not in limits:
        return None
    windows = round(limits["command_jitter_window_s"] / limits["command_delay_window_s"])
    return JitterWatch(windows, limits["command_jitter_s"], limits["clear_ratio"])
