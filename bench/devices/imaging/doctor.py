"""The doctor side of an imaging device: the reading room, or the remote console."""

from __future__ import annotations

from typing import Any

from bench.devices.imaging.streams import IMAGES
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.side import CONTROL, DeviceSide
from bench.devices.traffic import periodic_sources
from bench.devices.traits import Traits
from bench.devices.transfer import ImageReceiver


class ReadingRoom(DeviceSide):
    """Sends the operator's input and voice; shows the image sets that arrive."""

    here = "doctor"

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        port = self.port
        self._images = profile.stream(IMAGES).code
        self.handlers |= {self.control: self._on_heartbeat}
        others = [s for s in profile.active_streams if s.name != CONTROL]
        self._sources = periodic_sources(others, "doctor", port, self.links)
        self.receiver = ImageReceiver(traits.transfer, show=self._show, refuse=self._refuse)

    def start(self, now_ns: int) -> None:
        """Power on."""
        self.start_heartbeats(now_ns)
        for source in self._sources:
            source.start(now_ns)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """A chunk of an image set, or a frame of another stream."""
        super().receive_burst(now_ns, link, message, received, count)
        if message.stream == self._images:
            self.receiver.burst(now_ns, message, received, count)

    def heartbeat_body(self) -> dict[str, Any]:
        """What is held of the image set on its way."""
        return {"images": self.receiver.report()}

    def on_beat(self, now_ns: int) -> None:
        """Nothing beyond what both sides do."""

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        if message.body is not None:
            self.links.peer_hears(message.body["heard"])

    def _show(self, now_ns: int, number: int, sha256: str) -> None:
        self.port.signal(now_ns, "image", {"set": number, "sha256": sha256})

    def _refuse(self, now_ns: int, number: int) -> None:
        self.port.log(now_ns, "image-refused", {"set": number})
