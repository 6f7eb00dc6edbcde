"""The doctor side of a monitor: the central station."""

from __future__ import annotations

from typing import Any

from bench.devices.audit_store import AuditStore
from bench.devices.monitor.gateway import conditions
from bench.devices.monitor.streams import ACKNOWLEDGEMENT, ALARM, records_of, sources
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.side import CONTROL, DeviceSide
from bench.devices.store import Inbox, Medium
from bench.devices.traffic import periodic_sources
from bench.devices.traits import Traits
from bench.units import ns

_SILENT_PERIODS = 5
"""Alarm messages that may be missing before the station takes the bedside for interrupted."""


class Station(DeviceSide):
    """Takes the records, hands them on at its output, and signals the patient's alarms.

    Args:
        medium: the memory that keeps its records without power.
        log: the medium of its audit log.
    """

    here = "doctor"

    def __init__(
        self,
        profile: DeviceProfile,
        traits: Traits,
        port: Port,
        medium: Medium,
        log: AuditStore,
    ) -> None:
        super().__init__(profile, traits, port, log)
        port = self.port
        stream = profile.stream(ACKNOWLEDGEMENT)
        self._code = stream.code
        self._ack_ns = ns(stream.period_s)
        alarm = profile.stream(ALARM)
        self._silence_ns = _SILENT_PERIODS * ns(alarm.period_s)
        self.handlers |= {alarm.code: self._on_alarm, self.control: self._on_heartbeat}
        for source in sources(profile):
            self.handlers[records_of(profile, source).code] = self._on_record
        others = [s for s in profile.active_streams if s.name not in (ACKNOWLEDGEMENT, CONTROL)]
        self._sources = periodic_sources(others, "doctor", port, self.links, traits.pace)
        self._conditions = conditions(profile)
        self._inbox = Inbox(medium)
        self._seq = 0
        self._due = 0
        self._alarm_seq = -1
        self._alarm_ns = -1

    def start(self, now_ns: int) -> None:
        """Power on."""
        self.start_heartbeats(now_ns)
        for source in self._sources:
            source.start(now_ns)
        self._due = now_ns
        self._acknowledge(now_ns)

    def heartbeat_body(self) -> dict[str, Any]:
        """Nothing beyond what every side tells."""
        return {}

    def on_beat(self, now_ns: int) -> None:
        """Watch that the bedside still tells its alarms."""
        silent = self._alarm_ns >= 0 and now_ns - self._alarm_ns > self._silence_ns
        self.alarms.update(now_ns, "network-interrupted", silent)

    def _acknowledge(self, now_ns: int) -> None:
        body = {"next": self._inbox.expected}
        message = Message(self._code, self._seq, now_ns, 0, body)
        self.port.send(now_ns, self.links.active, message)
        self._seq += 1
        self._due = max(self._due, now_ns - 20 * self._ack_ns) + self._ack_ns
        self.port.at(self._due, self._acknowledge)

    def _on_record(self, now_ns: int, link: int, message: Message) -> None:
        record = self._inbox.accept(message.body) if message.body is not None else None
        if record is not None:
            self.port.signal(now_ns, "record", dict(record))

    def _on_alarm(self, now_ns: int, link: int, message: Message) -> None:
        self._alarm_ns = now_ns
        if message.seq <= self._alarm_seq or message.body is None:
            return
        self._alarm_seq = message.seq
        for name in self._conditions:
            self.alarms.update(now_ns, name, name in message.body["on"])

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        if message.body is not None:
            self.links.peer_hears(message.body["heard"])
