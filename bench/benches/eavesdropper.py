"""Who only listens: which flows passed, and whether known content in them could be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.devices.association import visible
from bench.devices.ports import Message
from bench.devices.profile import DeviceProfile
from bench.network.impairment import DIRECTIONS

_HANDSHAKE = ("hello", "welcome")


@dataclass(slots=True)
class Overheard:
    """One flow.

    ``marked``: packets that left the application with known content, as the bench knows;
    ``readable``: those of which a listener could read it.
    """

    packets: int = 0
    marked: int = 0
    readable: int = 0


class Eavesdropper:
    """Counts by stream and direction. The handshake is in clear by design and not counted."""

    def __init__(self, profile: DeviceProfile) -> None:
        self._names = {stream.code: stream.name for stream in profile.streams}
        self._flows: dict[tuple[int, int], Overheard] = {}
        self._suites: set[str] = set()

    def packet(self, way: int, message: Message, count: int) -> None:
        """``count`` packets of the device's passed."""
        body = message.body
        if body is not None and visible(message) and any(key in body for key in _HANDSHAKE):
            said = body.get("welcome")
            if isinstance(said, dict):
                self._suites.add(str(said.get("suite")))
            return
        known = bool(message.value or body)
        self.seen(way, message.stream, count, marked=known, readable=known and visible(message))

    def seen(self, way: int, code: int, count: int, *, marked: bool, readable: bool) -> None:
        """``count`` packets of a stream passed, with known content or not, to be read or not."""
        flow = self._flows.get((code, way))
        if flow is None:
            flow = self._flows[code, way] = Overheard()
        flow.packets += count
        flow.marked += count * marked
        flow.readable += count * readable

    def suite(self, name: str) -> None:
        """A server chose a suite."""
        self._suites.add(name)

    def report(self) -> dict[str, Any]:
        """As JSON data."""
        flows = [
            {"stream": self._names[code], "way": DIRECTIONS[way], **asdict(flow)}
            for (code, way), flow in sorted(self._flows.items())
        ]
        return {"flows": flows, "suites": sorted(self._suites)}
