"""The console: it shows, plays and displays; its user guides the patient."""

from __future__ import annotations

from typing import Any

from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.side import CONTROL, DeviceSide
from bench.devices.traffic import periodic_sources
from bench.devices.traits import Traits
from bench.devices.viewer import Viewer
from bench.units import ns


class ConsoleSide(DeviceSide):
    """Sends its streams at their periods, and shows what arrives."""

    here = "doctor"

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        port = self.port
        beats_s = profile.stream(CONTROL).period_s
        self.viewer = Viewer(profile, traits, port, self.links, beats_s)
        self.handlers |= dict.fromkeys(self.viewer.codes, self.viewer.packet)
        self.handlers[self.control] = self._on_heartbeat
        others = [s for s in profile.active_streams if s.name != CONTROL]
        self._sources = periodic_sources(others, "doctor", port, self.links, traits.pace)
        self._silence_ns = ns(self.limits["command_silence_alarm_s"])
        self._last_beat_ns = -1

    def start(self, now_ns: int) -> None:
        """Power on."""
        self.start_heartbeats(now_ns)
        self.viewer.start(now_ns)
        for source in self._sources:
            source.start(now_ns)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """A frame arrived, whole or not."""
        super().receive_burst(now_ns, link, message, received, count)
        self.viewer.burst(now_ns, link, message, received, count)

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        self._last_beat_ns = now_ns
        body = message.body
        if body is not None:
            self.links.peer_hears(body["heard"])
        self.viewer.heartbeat(now_ns, link, message)

    def on_beat(self, now_ns: int) -> None:
        """Watch the station's heartbeats."""
        silent = self._last_beat_ns >= 0 and now_ns - self._last_beat_ns > self._silence_ns
        self.alarms.update(now_ns, "network-interrupted", silent)

    def heartbeat_body(self) -> dict[str, Any]:
        """What the viewer reports to the station."""
        return self.viewer.report()
