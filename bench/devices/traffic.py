"""Periodic streams: what a device sends whatever its state (video, audio, vital signs)."""

from __future__ import annotations

from collections.abc import Iterable

from bench.devices.links import LinkSupervisor
from bench.devices.ports import Message, Port
from bench.devices.profile import Stream
from bench.units import ns

MARK = 0x7E1E
"""The value that every packet of data carries: known content, by which plain text is known."""


class PeriodicSource:
    """Sends one stream at its declared period, on the side's active link.

    The timer keeps absolute time; after a stall of more than 20 periods it starts afresh instead
    of sending everything it missed.
    """

    __slots__ = ("_code", "_count", "_due", "_links", "_period", "_port", "_seq")

    def __init__(self, stream: Stream, port: Port, links: LinkSupervisor) -> None:
        self._code = stream.code
        self._count = stream.packets
        self._period = ns(stream.period_s)
        self._port = port
        self._links = links
        self._seq = 0
        self._due = 0

    def start(self, now_ns: int) -> None:
        """Begin; streams are staggered by their code so that they do not leave together."""
        self._due = now_ns + self._code * 137_000
        self._port.at(self._due, self._tick)

    def _tick(self, now_ns: int) -> None:
        message = Message(self._code, self._seq, now_ns, MARK)
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
    streams: Iterable[Stream], side: str, port: Port, links: LinkSupervisor
) -> list[PeriodicSource]:
    """A source for every stream of that side."""
    return [PeriodicSource(s, port, links) for s in streams if s.source == side]
