"""What both sides of every simulated device share: heartbeats, link supervision, the alarms.

A device is composed: a side of it is a :class:`DeviceSide` that holds the parts it needs
(:mod:`~bench.devices.arming`, :mod:`~bench.devices.watch`, :mod:`~bench.devices.traffic` …) and
says what each arriving stream does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from bench.devices.alarms import AlarmSystem
from bench.devices.audit import Audit
from bench.devices.audit_store import AuditStore
from bench.devices.links import LinkSupervisor
from bench.devices.path import NARROW, PROBE_EVERY
from bench.devices.ports import PAD, Message, Port, Send
from bench.devices.profile import DeviceProfile, Stream
from bench.devices.traits import Traits
from bench.network.scenario import Side
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

    ``handlers``: by stream code. ``here``: which side it is.

    Args:
        profile: the device.
        traits: how it behaves.
        port: of the bench.
        log: the medium of its audit log, where one outlives this power-up.
    """

    here: ClassVar[Side]

    def __init__(
        self, profile: DeviceProfile, traits: Traits, port: Port, log: AuditStore | None = None
    ) -> None:
        limits = profile.limits
        self.profile = profile
        self.traits = traits
        self.limits = limits
        self.audit = Audit(traits.audit, port, on_full=self._on_log_full, store=log)
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
        far: Side = "patient" if self.here == "doctor" else "doctor"
        self._pad = _large_bytes(profile, self.here) if traits.links.probes_path else 0
        self._large = _large_codes(profile, far) if traits.links.probes_path else frozenset()
        self._newest = [-1] * self.links.count
        self._wide = [True] * self.links.count
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
        if message.stream in self._large:
            self.links.path.passed(link)

    def leave_by(self, send: Send) -> None:
        """Send packets that way from now on."""
        self.port.send = send

    def operate(self, now_ns: int, action: str) -> None:
        """Somebody does something at this side; here it concerns the audit log or nothing."""
        self.audit.operate(now_ns, action)

    def _on_log_full(self, now_ns: int, full: bool) -> None:
        self.alarms.update(now_ns, "log-full", full)

    def start_heartbeats(self, now_ns: int) -> None:
        """Power on: the log begins, and heartbeats on every link."""
        self.audit.start(now_ns)
        self._beat_due = now_ns
        self.port.at(now_ns, self._beat)
        for code in self._large:
            self.handlers[code] = partial(self._passed, self.handlers.get(code))
        self.handlers[self.control] = partial(self._on_path, self.handlers.get(self.control))

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
        if any(self.links.narrow):
            body[NARROW] = [int(narrow) for narrow in self.links.narrow]
        if self._pad and self._beat_seq % PROBE_EVERY == 0:
            body[PAD] = self._pad
        for link in range(self.links.count):
            self.port.send(now_ns, link, Message(self.control, self._beat_seq, now_ns, 0, body))
        self._beat_seq += 1
        due = self._beat_due + self._period_ns
        self._beat_due = due if due > now_ns - self._period_ns else now_ns + self._period_ns
        self.port.at(self._beat_due, self._beat)

    def _on_path(self, then: Handler | None, now_ns: int, link: int, message: Message) -> None:
        """Look at a heartbeat for what it says about the paths, then as ever.

        Packets go to where the newest authentic heartbeat came from (RFC 9146, section 6, and
        RFC 9000, section 9.3): the other side may have another address since.
        """
        if message.seq > self._newest[link] and self.traits.links.follows_address:
            self._newest[link] = message.seq
            self.port.follow(now_ns, link)
        body = message.body
        if body is not None and self.traits.links.probes_path:
            self.links.peer_narrow(body.get(NARROW, ()) or (0,) * self.links.count)
            if self._large:
                self.links.path.heartbeat(now_ns, link, message.seq, PAD in body)
        if then is not None:
            then(now_ns, link, message)

    def _passed(self, then: Handler | None, now_ns: int, link: int, message: Message) -> None:
        self.links.path.passed(link)
        if then is not None:
            then(now_ns, link, message)

    def _supervise(self, now_ns: int) -> None:
        links = self.links
        for link, heard in links.supervise(now_ns):
            self.port.log(now_ns, "link-state", {"link": LINK_NAMES[link], "up": heard})
        wide = [links.wide(link) for link in range(links.count)]
        if wide != self._wide:
            self._tell_wide(now_ns, wide)
        lost = []
        if not (all(wide) and all(links.heard)):
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

    def _tell_wide(self, now_ns: int, wide: list[bool]) -> None:
        before, self._wide = self._wide, wide
        for link, (large, was) in enumerate(zip(wide, before, strict=True)):
            if large != was:
                state = {"link": LINK_NAMES[link], "up": self.links.heard[link], "large": large}
                self.port.log(now_ns, "link-state", state)

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


def _large(profile: DeviceProfile, source: Side) -> list[Stream]:
    """The streams of a side whose packets are larger than a heartbeat."""
    least = profile.stream(CONTROL).payload_bytes
    return [s for s in profile.active_streams if s.source == source and s.payload_bytes > least]


def _large_bytes(profile: DeviceProfile, source: Side) -> int:
    """The payload of the largest of them; 0: there is none."""
    return max((stream.payload_bytes for stream in _large(profile, source)), default=0)


def _large_codes(profile: DeviceProfile, source: Side) -> frozenset[int]:
    """Those of them whose packets are as large as any: one that arrives shows that all can."""
    largest = _large_bytes(profile, source)
    return frozenset(s.code for s in _large(profile, source) if s.payload_bytes == largest)
