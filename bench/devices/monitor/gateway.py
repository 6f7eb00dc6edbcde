"""The patient side of a monitor: a gateway at the bedside that joins its patient's devices."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.devices.audit_store import AuditStore
from bench.devices.monitor.patient import PatientSimulator
from bench.devices.monitor.streams import ACKNOWLEDGEMENT, ALARM, live_of, records_of, sources
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile, Stream
from bench.devices.reports import TECHNICAL, AlarmReporter, SetClock
from bench.devices.side import CONTROL, DeviceSide
from bench.devices.store import Forwarder, Journal, Medium
from bench.devices.supervision import NetworkSupervisor
from bench.devices.traffic import PeriodicSource
from bench.devices.traits import Traits
from bench.devices.watch import WatchReading
from bench.units import ns

CONNECT = "connect-devices"
"""The action ``connect-devices:3``: the first three of the devices are plugged in, no other."""

_LOOK_NS = 100_000_000
"""How often the patient's state is looked at."""


class Plug:
    """A device's place at the gateway: the port of its live streams while it is plugged in."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self.at = port.at
        self.plugged = True

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """As :class:`~bench.devices.ports.Port`."""
        if self.plugged:
            self._port.send(now_ns, link, message)

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """As :class:`~bench.devices.ports.Port`."""
        if self.plugged:
            self._port.send_burst(now_ns, link, message, count)


def conditions(profile: DeviceProfile) -> tuple[str, ...]:
    """The states of a patient that the device has an alarm for."""
    return tuple(alarm.name for alarm in profile.alarms if alarm.name not in TECHNICAL)


class Gateway(DeviceSide):
    """Measures, keeps and forwards records; sends waveforms and pictures; alarms.

    It goes on measuring and alarming at the bedside whatever the network does.

    Args:
        medium: the memory that keeps its records without power.
        log: the medium of its audit log.
        patient: the bench's.
    """

    here = "patient"

    def __init__(
        self,
        profile: DeviceProfile,
        traits: Traits,
        port: Port,
        medium: Medium,
        log: AuditStore,
        patient: PatientSimulator,
    ) -> None:
        super().__init__(profile, traits, port, log)
        port = self.port
        limits = self.limits
        self.handlers |= {
            profile.stream(ACKNOWLEDGEMENT).code: self._on_acknowledgement,
            self.control: self._on_heartbeat,
        }
        self.network = NetworkSupervisor(
            limits,
            self.alarms,
            port,
            on_look=self._on_look,
            on_guard=self._on_guard,
            nerves=traits.nerves,
        )
        self._patient = patient
        self._conditions = conditions(profile)
        self._sources = sources(profile)
        self._plugs = {source: Plug(port) for source in self._sources}
        self._sets = {
            source: SetClock(traits.reports.period_s or limits["report_period_s"])
            for source in self._sources
        }
        self._record_ns = ns(limits["record_period_s"])
        journal = Journal(medium, int(limits["record_capacity"]), traits.store)
        self._store = Forwarder(journal, traits.store, limits, port, self._send_record)
        self._codes = {source: records_of(profile, source).code for source in self._sources}
        self._record_seq = 0
        self._reporter = AlarmReporter(profile.stream(ALARM), port, self._send, traits.reports)
        self._live = [PeriodicSource(s, self._port_of(s), self.links) for s in self._others()]

    def start(self, now_ns: int) -> None:
        """Power on; the devices take their measurements one after the other in a period."""
        self.start_heartbeats(now_ns)
        self.network.start(now_ns)
        self._store.start(now_ns)
        self._reporter.start(now_ns)
        for live in self._live:
            live.start(now_ns)
        for place, source in enumerate(self._sources, 1):
            first = now_ns + place * self._record_ns // len(self._sources)
            self.port.at(first, partial(self._measure, source, first))
        self._look(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """``connect-devices:n`` here; what happens to the patient is the simulator's."""
        name, _, count = action.partition(":")
        if name == CONNECT:
            for place, source in enumerate(self._sources):
                self._plugs[source].plugged = place < int(count)
        else:
            self._patient.operate(now_ns, action)
            super().operate(now_ns, action)

    def heartbeat_body(self) -> dict[str, Any]:
        """The alarms whose condition holds."""
        return {"alarms": list(self.alarms.active)}

    def on_beat(self, now_ns: int) -> None:
        """Let the store know of the connection."""
        self._store.connection(now_ns, self.connected)
        self.alarms.update(now_ns, "records-full", self._store.full)

    # ---- measuring and reporting ---------------------------------------------------------------

    def _measure(self, source: str, due: int, now_ns: int) -> None:
        due = max(due, now_ns - self._record_ns) + self._record_ns
        self.port.at(due, partial(self._measure, source, due))
        if not self._plugs[source].plugged:
            return
        applied = self._patient.measure(now_ns, source)
        a_set = self._sets[source].due(now_ns, self._record_ns // 2)
        if a_set:
            self._reporter.set_sent(now_ns)
        plugged = [name for name in self._sources if self._plugs[name].plugged]
        if plugged.index(source) >= self.traits.reports.served:
            return
        kind = "set" if a_set else "trend"
        self._store.put(now_ns, {**applied, "kind": kind, "at_ns": now_ns})

    def _send_record(self, now_ns: int, body: dict[str, Any]) -> None:
        code = self._codes.get(body.get("source", ""), self._codes[self._sources[0]])
        self._send(now_ns, Message(code, self._record_seq, now_ns, 0, body))
        self._record_seq += 1

    def _send(self, now_ns: int, message: Message) -> None:
        self.port.send(now_ns, self.links.active, message)

    def _look(self, now_ns: int) -> None:
        """Look at the patient."""
        for name in self._conditions:
            self.alarms.update(now_ns, name, name == self._patient.condition)
        active = self.alarms.active
        self._reporter.update(now_ns, (name for name in self._conditions if name in active))
        self.port.at(now_ns + _LOOK_NS, self._look)

    # ---- the network ---------------------------------------------------------------------------

    def _on_acknowledgement(self, now_ns: int, link: int, message: Message) -> None:
        self.network.watch.packet(now_ns, message.seq, message.sent_ns)
        if message.body is not None:
            self._store.acknowledged(message.body["next"])

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        if message.body is not None:
            self.links.peer_hears(message.body["heard"])

    def _on_look(self, now_ns: int, reading: WatchReading) -> None:
        """A network outside its limits changes nothing at the bedside: the alarm is the answer."""

    def _on_guard(self, now_ns: int, silence_ns: int) -> None:
        """As above."""

    # ---- what is sent whatever is measured -----------------------------------------------------

    def _others(self) -> list[Stream]:
        own = {CONTROL, ACKNOWLEDGEMENT, ALARM}
        own |= {records_of(self.profile, source).name for source in self._sources}
        streams = self.profile.active_streams
        return [s for s in streams if s.source == "patient" and s.name not in own]

    def _port_of(self, stream: Stream) -> Any:
        for source in self._sources:
            if stream in live_of(self.profile, source):
                return self._plugs[source]
        return self.port
