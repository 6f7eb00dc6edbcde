"""The station beside the patient: it sends, watches its network, and alarms."""

from __future__ import annotations

from typing import Any

from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.side import DeviceSide
from bench.devices.studio import Studio
from bench.devices.supervision import NetworkSupervisor
from bench.devices.traits import Traits
from bench.devices.watch import WatchReading


class StationSide(DeviceSide):
    """Sends whatever its state; what arrives moves nothing."""

    here = "patient"

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        port = self.port
        self.handlers |= {
            profile.stream(profile.watched).code: self._on_watched,
            self.control: self._on_heartbeat,
        }
        self.studio = Studio(profile, traits.studio, port, self.links)
        self.network = NetworkSupervisor(
            self.limits,
            self.alarms,
            port,
            on_look=self._on_look,
            on_guard=self._on_guard,
            nerves=traits.nerves,
        )

    def start(self, now_ns: int) -> None:
        """Power on."""
        self.start_heartbeats(now_ns)
        self.studio.start(now_ns)
        self.network.start(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """What the studio knows, and the log."""
        self.studio.operate(now_ns, action)
        super().operate(now_ns, action)

    def heartbeat_body(self) -> dict[str, Any]:
        """The alarms, for the console."""
        return {"alarms": list(self.alarms.active)}

    def on_beat(self, now_ns: int) -> None:
        """Nothing beyond what both sides do."""

    def _on_watched(self, now_ns: int, link: int, message: Message) -> None:
        self.network.watch.packet(now_ns, message.seq, message.sent_ns)

    def _on_look(self, now_ns: int, reading: WatchReading) -> None:
        """The alarms are all that a condition asks for."""

    def _on_guard(self, now_ns: int, silence_ns: int) -> None:
        """As for :meth:`_on_look`."""

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        body = message.body
        if body is None:
            return
        self.links.peer_hears(body["heard"])
        self.studio.heartbeat(now_ns, body)
