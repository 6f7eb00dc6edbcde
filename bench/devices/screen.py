"""The doctor's screen: shows pictures, finds out when one is frozen, and takes its live sign down.

A sensor on the screen sees, for each picture, whether it is new (each frame carries its number)
and whether the live sign is lit; it reports when either changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.devices.ports import Port
from bench.devices.profile import Stream
from bench.units import ns

LOOK_NS = 20_000_000
"""How often the device looks at its pictures, and the sensor at the screen."""

SENSOR_STILL_NS = 150_000_000
"""A picture that showed no new frame for so long is still for the sensor."""

ENOUGH = 0.9
"""A frame is shown when at least this share of its packets arrived; the rest is concealed."""


@dataclass(frozen=True, slots=True)
class ScreenTraits:
    """How a screen marks frozen pictures.

    ``marks``: it does at all. ``late_s``: how much later than its limit says. ``any_packet``: it
    takes whatever arrives for a sign of life. ``loops``: it repeats old frames and takes them for
    new.
    """

    marks: bool = True
    late_s: float = 0.0
    any_packet: bool = False
    loops: bool = False


class Screen:
    """Shows the pictures of some streams, each with its live sign.

    Args:
        streams: those shown.
        freeze_s: a picture without a new frame for longer is not live.
        traits: how it does it.
        port: where timers, and what the sensor sees, leave.
    """

    def __init__(
        self, streams: Iterable[Stream], freeze_s: float, traits: ScreenTraits, port: Port
    ) -> None:
        self._pictures = {stream.code: _Picture(stream.name) for stream in streams}
        self._freeze_ns = ns(freeze_s + traits.late_s)
        self._traits = traits
        self._port = port
        self._due = 0
        self._heard_ns = -1

    def start(self, now_ns: int) -> None:
        """Begin to look."""
        self._due = now_ns + LOOK_NS
        self._port.at(self._due, self._look)

    def heard(self, now_ns: int) -> None:
        """Something arrived, whatever it was."""
        self._heard_ns = now_ns

    def show(self, now_ns: int, code: int, number: int) -> None:
        """A frame is shown; one that is not newer than the last is no new picture."""
        picture = self._pictures.get(code)
        if picture is None or number <= picture.number:
            return
        picture.number, picture.shown_ns = number, now_ns
        if not (picture.fresh and picture.live):
            picture.fresh = picture.live = True
            self._see(now_ns, picture)

    def _look(self, now_ns: int) -> None:
        self._due = max(self._due, now_ns - LOOK_NS) + LOOK_NS
        self._port.at(self._due, self._look)
        traits = self._traits
        for picture in self._pictures.values():
            if picture.shown_ns < 0:
                continue
            fresh = now_ns - picture.shown_ns <= SENSOR_STILL_NS
            alive_ns = self._heard_ns if traits.any_packet else picture.shown_ns
            frozen = traits.marks and not traits.loops and now_ns - alive_ns > self._freeze_ns
            live = picture.live and not frozen
            if (fresh, live) != (picture.fresh, picture.live):
                picture.fresh, picture.live = fresh, live
                self._see(now_ns, picture)

    def _see(self, now_ns: int, picture: _Picture) -> None:
        self._port.signal(
            now_ns,
            "picture",
            {
                "stream": picture.name,
                "new": picture.fresh,
                "live": picture.live,
                "last_new_ns": picture.shown_ns,
            },
        )


class _Picture:
    """One picture: the frame shown last and when, and what the sensor saw last."""

    __slots__ = ("fresh", "live", "name", "number", "shown_ns")

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = self.shown_ns = -1
        self.fresh = self.live = False
