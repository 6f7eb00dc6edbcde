"""What the doctor sees and hears: pictures, sound, and the state of the network.

Composes the parts that a device's functions ask for: the screen (:mod:`~bench.devices.screen`), the
display of the network (:mod:`~bench.devices.readout`), the play-out buffer
(:mod:`~bench.devices.playout`) and the receipts for the sender
(:mod:`~bench.devices.shaping`).
"""

from __future__ import annotations

from typing import Any

from bench.devices.links import LinkSupervisor
from bench.devices.playout import PlayOut
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.readout import Readout
from bench.devices.screen import ENOUGH, Screen
from bench.devices.shaping import Receipts
from bench.devices.traits import Traits


class Viewer:
    """The doctor's view of a device. Parts that the device has no function for are absent."""

    def __init__(
        self,
        profile: DeviceProfile,
        traits: Traits,
        port: Port,
        links: LinkSupervisor,
        heartbeats_s: float,
    ) -> None:
        limits, functions = profile.limits, profile.functions
        streams = [s for s in profile.active_streams if s.source == "patient"]
        shown = [s for s in streams if s.served.presents]
        self._links = links
        self._any_packet = traits.screen.any_packet
        self._payload = {s.code: s.payload_bytes for s in streams}
        self._shown = frozenset(s.code for s in shown)
        self._screen: Screen | None = None
        if "picture" in functions:
            pictures = [s for s in shown if s.served.presents == "picture"]
            self._screen = Screen(pictures, limits["picture_freeze_s"], traits.screen, port)
        self._play_out = PlayOut(shown, limits, traits.play_out, port, self._show)
        self._readout: Readout | None = None
        if "network-display" in functions:
            self._readout = Readout(limits, profile.declares, traits.readout, port)
        self._receipts = Receipts(heartbeats_s) if "priorities" in functions else None
        self.codes = tuple(
            s.code for s in streams if s.packets == 1 and (self._receipts or s in shown)
        )
        """The streams of single packets that :meth:`packet` wants to see."""

    def start(self, now_ns: int) -> None:
        """Power on."""
        if self._screen is not None:
            self._screen.start(now_ns)
        if self._readout is not None:
            self._readout.start(now_ns)

    def packet(self, now_ns: int, link: int, message: Message) -> None:
        """One packet of a stream of single packets arrived."""
        self.burst(now_ns, link, message, 1, 1)

    def burst(self, now_ns: int, link: int, message: Message, received: int, count: int) -> None:
        """A frame arrived, whole or not."""
        code = message.stream
        if self._receipts is not None:
            self._receipts.frame(self._payload[code], received, count)
        if code in self._shown and received >= ENOUGH * count:
            self._play_out.unit(now_ns, message)

    def heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        """A heartbeat arrived."""
        active = self._links.active
        if self._readout is not None:
            self._readout.packet(now_ns, link, active, message.seq, message.sent_ns)
        if self._receipts is not None and link == active:
            self._receipts.heartbeat(now_ns - message.sent_ns)
        if self._any_packet and self._screen is not None:
            self._screen.heard(now_ns)

    def report(self) -> dict[str, Any]:
        """What the heartbeat to the patient's side carries of it."""
        return {} if self._receipts is None else {"net": self._receipts.report()}

    def _show(self, now_ns: int, code: int, number: int) -> None:
        if self._screen is not None:
            self._screen.show(now_ns, code, number)
