"""What both sides of every simulated device share: heartbeats, link supervision, the alarms.

A device is composed: a side of it is a :class:`DeviceSide` that holds the parts it needs
(:mod:`~bench.devices.arming`, :mod:`~bench.devices.watch`, :mod:`~bench.devices.traffic` …) and
says what each arriving stream does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.devices.alarms import AlarmSystem
from bench.devices.audit import Audit
from bench.devices.links import LinkSupervisor
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits
from bench.units import ns

LINK_NAMES = ("primary", "standby")
CONTROL = "control"
"""The stream of heartbeats, state and requests that every simulated device has, both ways."""

Handler = Callable[[int, int, Message], None]
"""What an arriving packet does: ``(now_ns, link, message)``."""


class DeviceSide:
    """The part of a device that is the same on both sides.

    Sub-classes fill :attr:`handlers`, give the heartbeat's body and what happens at every
    heartbeat. Streams without a handler only show that their link works.

    ``handlers``: by stream code.
    """

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        limits = profile.limits
        self.profile = profile
        self.traits = traits
        self.limits = limits
        self.audit = Audit(traits.audit, port, on_full=self._on_log_full)
        self.port = port = self.audit.port
        self.links = LinkSupervisor(
            len(LINK_NAMES),
            silence_s=limits["link_silence_s"],
            switch_back_after_s=limits["switch_back_after_s"],
            switches=traits.switches,
            traits=traits.links,
        )
        self.alarms = AlarmSystem(
            profile.alarms,
            port,
            signal_after_s=traits.signal_after_s,
            minimum_signal_s=limits["alarm_minimum_s"],
            priority=traits.priority,
            muted=traits.muted,
            signal_after=traits.signal_after,
        )
        self.control = profile.stream(CONTROL).code
        self.handlers: dict[int, Handler] = {}
        self.connected = False
        self._connect_after_ns = ns(traits.reconnect_after_s)
        self._usable_since: int | None = None
        self._was_connected = False
        self._period_ns = ns(profile.stream(CONTROL).period_s)
        self._beat_due = 0
        self._beat_seq = 0

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """A packet arrived."""
        self.links.last_heard_ns[link] = now_ns
        handler = self.handlers.get(message[0])
        if handler is not None:
            handler(now_ns, link, message)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """A burst (a video frame) arrived, whole or not."""
        self.links.last_heard_ns[link] = now_ns

    def operate(self, now_ns: int, action: str) -> None:
        """Somebody does something at this side; here it concerns the audit log or nothing."""
        self.audit.operate(now_ns, action)

    def _on_log_full(self, now_ns: int, full: bool) -> None:
        self.alarms.update(now_ns, "log-full", full)

    def start_heartbeats(self, now_ns: int) -> None:
        """Begin to send heartbeats on every link."""
        self._beat_due = now_ns
        self.port.at(now_ns, self._beat)

    def heartbeat_body(self) -> dict[str, Any]:
        """What this side tells the other with every heartbeat."""
        raise NotImplementedError

    def on_beat(self, now_ns: int) -> None:
        """Called with every heartbeat sent, after the links were supervised."""
        raise NotImplementedError

    def _beat(self, now_ns: int) -> None:
        self._supervise(now_ns)
        self.on_beat(now_ns)
        body = self.heartbeat_body()
        body["heard"] = [int(hears) for hears in self.links.hears]
        for link in range(self.links.count):
            self.port.send(now_ns, link, Message(self.control, self._beat_seq, now_ns, 0, body))
        self._beat_seq += 1
        due = self._beat_due + self._period_ns
        self._beat_due = due if due > now_ns - self._period_ns else now_ns + self._period_ns
        self.port.at(self._beat_due, self._beat)

    def _supervise(self, now_ns: int) -> None:
        links = self.links
        for link, heard in links.supervise(now_ns):
            self.port.log(now_ns, "link-state", {"link": LINK_NAMES[link], "up": heard})
        lost = [LINK_NAMES[i] for i in range(links.count) if links.announced(now_ns, i)]
        self.alarms.update(now_ns, "link-lost", bool(lost), lost)
        switched = links.choose(now_ns)
        if switched is not None:
            before, after, reason = switched
            self.port.log(
                now_ns,
                "link-switch",
                {"from": LINK_NAMES[before], "to": LINK_NAMES[after], "reason": reason},
            )
        self._track_connection(now_ns)

    def _track_connection(self, now_ns: int) -> None:
        """Connected while some link works both ways (a slow device, by defect, later)."""
        if not self.links.connected:
            self._usable_since = None
            connected = False
        else:
            if self._usable_since is None:
                self._usable_since = now_ns
            delay = self._connect_after_ns if self._was_connected else 0
            connected = self.connected or now_ns - self._usable_since >= delay
        if connected != self.connected:
            self.connected = connected
            self._was_connected = self._was_connected or connected
            self.port.log(now_ns, "connection", {"up": connected})
