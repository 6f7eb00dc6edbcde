"""Periodic streams: what a device sends whatever its state (video, audio, vital signs)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.devices.links import LinkSupervisor
from bench.devices.ports import Port, plain
from bench.devices.profile import Stream
from bench.units import ns

MARK = 0x7E1E
"""The value that every packet of data carries: known content, by which plain text is known."""


class PeriodicSource:
    """Sends one stream at its declared period, on the side's active link.

    The timer keeps absolute time; after a stall of more than 20 periods it starts afresh instead
    of sending everything it missed.

    ``stalled``: its camera or encoder gives nothing. ``shed``: it gives way to other streams.
    ``mark``: what the next message carries as its value, once: something to be seen or heard that
    happens at the source. While it does not send, no number is used up.
    """

    __slots__ = (
        "_code", "_count", "_due", "_links", "_period", "_port", "_seq",
        "mark", "shed", "stalled", "stream",
    )  # fmt: skip

    def __init__(
        self, stream: Stream, port: Port, links: LinkSupervisor, pace: float = 1.0
    ) -> None:
        self.stream = stream
        self.stalled = self.shed = False
        self.mark = 0
        self._code = stream.code
        self._count = stream.packets
        self._period = ns(stream.period_s * pace)
        self._port = port
        self._links = links
        self._seq = 0
        self._due = 0

    def start(self, now_ns: int) -> None:
        """Begin; streams are staggered by their code so that they do not leave together."""
        self._due = now_ns + self._code * 137_000
        self._port.at(self._due, self._tick)

    def _tick(self, now_ns: int) -> None:
        if not (self.stalled or self.shed):
            message = plain(self._code, self._seq, now_ns, self.mark or MARK)
            self.mark = 0
            self._seq += self._count
            if self._count == 1:
                self._port.send(now_ns, self._links.active, message)
            else:
                self._port.send_burst(now_ns, self._links.active, message, self._count)
        due = self._due + self._period
        if due < now_ns - 20 * self._period:
            due = now_ns + self._period
        self._due = due
        self._port.at(due, self._tick)


def periodic_sources(
    streams: Iterable[Stream],
    side: str,
    port: Port,
    links: LinkSupervisor,
    pace: Mapping[str, float] | None = None,
) -> list[PeriodicSource]:
    """A source for every stream of that side. ``pace``: its period over the declared one."""
    pace = pace or {}
    return [
        PeriodicSource(s, port, links, pace.get(s.name, 1.0)) for s in streams if s.source == side
    ]
