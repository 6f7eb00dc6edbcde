"""Planned and supervised motion: a plan must have arrived whole, and a person must stand by.

The doctor's side sends the pieces of a plan in turn until the patient's side says that it has all
of them. Motion is allowed only then, and only while the supervisor beside the patient holds the
enabling switch.
"""

from __future__ import annotations

from bench.devices.links import LinkSupervisor
from bench.devices.ports import Message, Port
from bench.devices.profile import Stream
from bench.units import ns

PLAN = "plan"
PIECES = 40
"""Packets that a plan is made of."""


class PlanSender:
    """Sends piece after piece, and those again that are missing, until the other side has all."""

    def __init__(self, stream: Stream, port: Port, links: LinkSupervisor) -> None:
        self._stream = stream
        self._port = port
        self._links = links
        self._period_ns = ns(stream.period_s)
        self._seq = 0
        self.missing: tuple[int, ...] = tuple(range(PIECES))

    def start(self, now_ns: int) -> None:
        """Begin to send."""
        self._port.at(now_ns + self._period_ns, self._tick)

    def _tick(self, now_ns: int) -> None:
        if not self.missing:
            return
        piece = self.missing[self._seq % len(self.missing)]
        message = Message(self._stream.code, self._seq, now_ns, piece)
        self._port.send(now_ns, self._links.active, message)
        self._seq += 1
        self._port.at(now_ns + self._period_ns, self._tick)


class Plan:
    """What the patient's side has of the plan, and whether the supervisor stands by."""

    def __init__(self) -> None:
        self._missing = set(range(PIECES))
        self.supervised = True

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """One piece arrived."""
        self._missing.discard(message.value)

    @property
    def missing(self) -> list[int]:
        """The pieces that have not arrived, ascending."""
        return sorted(self._missing)

    @property
    def allows_motion(self) -> bool:
        """The plan is whole and somebody stands by."""
        return self.supervised and not self._missing
