"""Who commands the changes of a link, or acts on the device, while a session runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bench.benches.local.protocol import Live
from bench.network.impairment import Direction, Impairment
from bench.network.scenario import Schedule
from bench.sessions.recording import Session

Order = Callable[[str, Direction, int, Impairment], None]
"""Command a change: link, direction, session time in ns, state."""


class Conductor(Protocol):
    """Works in a thread of its own, from the start of the session on."""

    @property
    def live(self) -> Live:
        """What it commands."""

    @property
    def able(self) -> frozenset[str]:
        """The actions of a session that it carries out, by name."""

    @property
    def problem(self) -> str:
        """Why it gave up; empty while it has not."""

    def begin(self, t0_ns: int, order: Order) -> None:
        """The session starts at ``t0_ns`` (CLOCK_MONOTONIC); ``order`` may be called from then."""

    def end(self) -> tuple[Session, Schedule]:
        """Once the session has ended: what it was in fact, and when.

        Raises:
            BenchError: it gave up, or does not end.
        """
