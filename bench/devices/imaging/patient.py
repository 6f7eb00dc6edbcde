"""The patient side of an imaging device: the modality."""

from __future__ import annotations

from typing import Any

from bench.devices.backup import RecordStore
from bench.devices.imaging.streams import IMAGES, INPUT
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.side import CONTROL, DeviceSide
from bench.devices.supervision import NetworkSupervisor
from bench.devices.traffic import periodic_sources
from bench.devices.traits import Traits
from bench.devices.transfer import ImageSender, ImageSet
from bench.devices.watch import WatchReading
from bench.units import size_bytes

ACQUIRE = "acquire"


class Modality(DeviceSide):
    """Sends image sets and its other streams; alarms when the operator's input does not come."""

    here = "patient"

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        port = self.port
        images = profile.stream(IMAGES)
        self.handlers |= {
            profile.stream(INPUT).code: self._on_input,
            self.control: self._on_heartbeat,
        }
        others = [s for s in profile.active_streams if s.name not in (CONTROL, IMAGES)]
        self._sources = periodic_sources(others, "patient", port, self.links)
        self.network = NetworkSupervisor(
            self.limits,
            self.alarms,
            port,
            on_look=self._on_look,
            on_guard=self._on_guard,
            nerves=traits.nerves,
        )
        self.sender = ImageSender(images, port, self.links, self.limits, traits.transfer)
        self.store = RecordStore(self.limits, traits.backup, port)
        self._chunk_bytes = images.payload_bytes * images.packets
        self._acquired = 0

    def start(self, now_ns: int) -> None:
        """Power on: heartbeats, streams and records begin."""
        self.start_heartbeats(now_ns)
        for source in self._sources:
            source.start(now_ns)
        self.network.start(now_ns)
        self.store.start(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """``acquire:SIZE`` makes an image set and sends it; the rest is the record store's."""
        name, _, size = action.partition(":")
        if name != ACQUIRE:
            self.store.operate(now_ns, action)
            super().operate(now_ns, action)
            return
        chunks = -(-size_bytes(size, field=ACQUIRE) // self._chunk_bytes)
        made = ImageSet(self._acquired, chunks)
        self._acquired += 1
        self.port.contact(
            now_ns,
            "image-acquired",
            {"set": made.number, "bytes": chunks * self._chunk_bytes, "sha256": made.sha256},
        )
        self.sender.offer(now_ns, made)

    def heartbeat_body(self) -> dict[str, Any]:
        """The alarms, for the console."""
        return {"alarms": list(self.alarms.active)}

    def on_beat(self, now_ns: int) -> None:
        """The transfer follows the connection."""
        self.sender.connection(now_ns, self.connected)
        self.sender.tick(now_ns)

    def _on_input(self, now_ns: int, link: int, message: Message) -> None:
        self.network.watch.packet(now_ns, message.seq, message.sent_ns)

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        if message.body is not None:
            self.links.peer_hears(message.body["heard"])
            self.sender.report(now_ns, message)

    def _on_look(self, now_ns: int, reading: WatchReading) -> None:
        """Nothing moves: the alarms are all that answers a bad network."""

    def _on_guard(self, now_ns: int, silence_ns: int) -> None:
        """As :meth:`_on_look`."""
