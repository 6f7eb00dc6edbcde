"""Who carries out what a scenario does to a real device: presses its stop, cuts its power."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.benches.base import BenchError
from bench.benches.lab.in_thread import AtWork
from bench.benches.local.conductor import Order
from bench.benches.local.protocol import Live
from bench.network.attacks import attack_of
from bench.network.scenario import Schedule, ScheduledAction
from bench.sessions.recording import Event, Session
from bench.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do when it is due.

    ``due_ns``: of the session; ``do``: does it, given when the session began (monotonic), and
    tells what was done (events of the session) and what is to be done next.
    """

    due_ns: int
    do: Callable[[int], tuple[Sequence[Event], Sequence[Task]]]


class Attendant(Protocol):
    """Stands beside a real device in its sessions."""

    @property
    def seen(self) -> tuple[str, ...]:
        """What is observed or done of the device, as a recording tells it."""

    def ready(self) -> None:
        """Before a session. Raises: InstrumentError: it cannot be had so."""

    def can(self, action: ScheduledAction) -> bool:
        """Whether it can carry an action out."""

    def task(self, action: ScheduledAction) -> Task:
        """To carry out an action that it can."""

    def events(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        """What was seen in a session that has just ended.

        Args:
            t0_ns: its start, CLOCK_MONOTONIC.
            end_ns: its length.

        Raises:
            InstrumentError: it failed, or what was seen does not show what happened.
        """


def hands_of(session: Session, attending: Iterable[Attendant]) -> Hands | None:
    """Who carries the actions of a session out; None: it has none.

    Raises:
        BenchError: nobody here can do what it asks for.
    """
    attending, tasks, unable = tuple(attending), [], []
    for action in session.schedule().actions:
        if attack_of(action.name) is not None:  # on the network, not at the device
            continue
        able = [one for one in attending if one.can(action)]
        if able:
            tasks.append(able[0].task(action))
        else:
            unable.append(f"{action.name} ({action.side})")
    if unable:
        done = ", ".join(sorted(dict.fromkeys(unable)))
        raise BenchError(f"nobody here can do to a real device: {done}")
    return Hands(session, tasks) if tasks else None


class Hands(AtWork):
    """Carries the actions of one session out when they are due; commands no link.

    Args:
        session: that session.
        tasks: its actions, in order of time.
    """

    def __init__(self, session: Session, tasks: Iterable[Task]) -> None:
        self._session, self._tasks = session, list(tasks)
        super().__init__("hand on the device")
        self._done: list[Event] = []
        self.live = Live(session.scenario.links[0], session.schedule().end_ns + 1)

    @property
    def able(self) -> frozenset[str]:
        """All that the session asks for."""
        return frozenset(action.name for action in self._session.schedule().actions)

    def begin(self, t0_ns: int, order: Order) -> None:
        """Start; see :class:`~bench.benches.local.conductor.Conductor`."""
        self._work.start(lambda: self._run(t0_ns))

    def _run(self, t0_ns: int) -> None:
        while self._tasks:
            task = self._tasks.pop(0)
            left_ns = t0_ns + task.due_ns - time.monotonic_ns()
            if self._work.stopped.wait(max(0.0, left_ns / NS_PER_S)):
                return
            done, further = task.do(t0_ns)
            self._done += done
            for one in further:
                insort(self._tasks, one, key=lambda each: each.due_ns)

    def end(self) -> tuple[Session, Schedule]:
        """What the session was, and when; see :class:`~bench.benches.local.conductor.Conductor`.

        Raises:
            BenchError: an instrument failed, or does not come to an end.
        """
        self._work.join()
        return self._session, self._session.schedule()

    @property
    def done(self) -> tuple[Event, ...]:
        """What was done, and when."""
        return tuple(self._done)
