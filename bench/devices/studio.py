"""What the patient's side sends whatever its state: its sources, and who may act on them.

Actions: ``stall-video``, ``resume-video`` (the camera or its encoder gives nothing), ``mark`` (a
flash and a click before camera, probe and microphone, which every presented stream carries).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bench.devices.links import LinkSupervisor
from bench.devices.ports import Port
from bench.devices.profile import DeviceProfile
from bench.devices.shaping import Shaper, ShapingTraits
from bench.devices.traffic import PeriodicSource, periodic_sources


@dataclass(frozen=True, slots=True)
class StudioTraits:
    """What a patient's side sends. ``undeclared``: also a stream that no profile names."""

    shaping: ShapingTraits = field(default_factory=ShapingTraits)
    undeclared: bool = False


class Studio:
    """The sources of the patient's side, shaped where the device has priorities.

    Args:
        profile: the device's.
        traits: how it does it.
        port: where packets and timers leave.
        links: the side's.
    """

    def __init__(
        self, profile: DeviceProfile, traits: StudioTraits, port: Port, links: LinkSupervisor
    ) -> None:
        self.sources = periodic_sources(profile.active_streams, "patient", port, links)
        self._marks = 0
        self._shaper: Shaper | None = None
        if "priorities" in profile.functions:
            self._shaper = Shaper(self.sources, profile.limits, traits.shaping, port)
        self._hidden: list[PeriodicSource] = []
        if traits.undeclared:
            code = len(profile.streams)
            like = replace(profile.streams[0], name="", code=code, packets=1, period_s=0.5)
            self._hidden = [PeriodicSource(like, port, links)]

    def start(self, now_ns: int) -> None:
        """Power on."""
        for source in (*self.sources, *self._hidden):
            source.start(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """Somebody does something before the cameras, or to them."""
        if action == "mark":
            self._marks += 1
        for source in self.sources:
            presents = source.stream.served.presents
            if action in ("stall-video", "resume-video") and presents == "picture":
                source.stalled = action == "stall-video"
            elif action == "mark" and presents:
                source.mark = self._marks

    def heartbeat(self, now_ns: int, body: dict[str, Any]) -> None:
        """The doctor's side says what arrives there."""
        if self._shaper is not None and "net" in body:
            self._shaper.report(now_ns, *body["net"])
