"""What carries one stream on one link between the two sides of a simulated device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bench.benches.local.carriage.credentials import Identity
from bench.devices.ports import Message
from bench.devices.profile import Stream
from bench.network.scenario import Side

At = Callable[[int, Callable[[int], None]], None]
"""Asks for one call at a time: ``at(t_ns, call)``, then ``call(now_ns)`` in the agent's loop."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a carriage works: which stream, on the link of which index, at which side.

    ``at``: its timers. Times are ns of the session. ``identity``: the side's certificate and whom
    it believes, where the session has any.
    """

    stream: Stream
    link: int
    side: Side
    at: At
    identity: Identity | None = None


class Carriage(Protocol):
    """One stream on one link, both ways, at one side. Nothing of it may ever block.

    Over TCP it connects, listens and connects again by itself, in :meth:`take` and in timers. It
    has one descriptor for all its life: where connections come and go, that of an epoll object of
    its own that holds them, or the end of a socketpair at which a thread hands over.

    ``faults``: what went wrong or was refused, by name; goes into the session's counters.
    """

    faults: Counter[str]

    def fileno(self) -> int:
        """Readable while :meth:`take` has something to do."""

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            OSError: the bench lost it.
            ValueError: its body does not fit into the stream's payload.
        """

    def take(self) -> Message:
        """The next message that arrived.

        Raises:
            BlockingIOError: none is left; everything else there was to do is done.
            ValueError: something arrived that is no message.
            OSError: the network said no; there may be more.
        """

    def power(self, on: bool) -> None:
        """The side lost its power, or has it again: connections and what was kept for them go.

        While it is off nothing leaves the side (:class:`bench.benches.local.port.LocalPort`).
        """

    def close(self) -> None:
        """Let go of everything."""
