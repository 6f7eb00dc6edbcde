"""The absolute schedule that every bench follows: what happens when, in ns from the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.network.impairment import Direction, Impairment
from bench.network.radio.exposure import Exposure, Radio
from bench.network.radio.receivers import Reception

Role = Literal["within", "at", "beyond"]
"""Where a step lies against the device's limits. KPI verdicts come from ``within`` and ``at``."""

Side = Literal["patient", "doctor"]


@dataclass(frozen=True, slots=True)
class Window:
    """When a step, or a phase of it, holds."""

    name: str
    kind: str
    role: Role
    judged: bool
    start_ns: int
    end_ns: int
    phases: tuple[tuple[str, int, int], ...] = ()

    def phase(self, name: str) -> tuple[int, int]:
        """Start and end of the named phase.

        Raises:
            KeyError: the step has no such phase.
        """
        for phase, start, end in self.phases:
            if phase == name:
                return start, end
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Change:
    """A link direction takes a new state at ``t_ns``."""

    t_ns: int
    link: str
    direction: Direction
    impairment: Impairment


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """An action at its absolute time."""

    t_ns: int
    side: Side
    name: str


@dataclass(frozen=True, slots=True)
class ScheduledExposure:
    """What the device's radio is exposed to from ``start_ns`` to ``end_ns``.

    ``exposures``: intended; empty: the radio is left alone. ``reception``: what the link gets; of
    a radio without flaws, or as a laboratory has it; None: a real radio receives for itself.
    """

    start_ns: int
    end_ns: int
    step: str
    radio: Radio
    exposures: tuple[Exposure, ...]
    reception: Reception | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a scenario and a seed come to: all times in ns from the start of the session.

    ``exposures``: of the device's radio, where the scenario exposes it to interference.
    """

    windows: tuple[Window, ...]
    changes: tuple[Change, ...]
    actions: tuple[ScheduledAction, ...]
    draws: tuple[tuple[str, float], ...]
    end_ns: int
    links: tuple[str, ...]
    exposures: tuple[ScheduledExposure, ...] = ()

    def of(self, link: str, direction: Direction) -> tuple[tuple[int, Impairment], ...]:
        """The changes of one link direction, for a law or an emulator."""
        return tuple(
            (c.t_ns, c.impairment)
            for c in self.changes
            if c.link == link and c.direction == direction
        )

    def window(self, name: str) -> Window:
        """The window of the named step.

        Raises:
            KeyError: no such step.
        """
        for window in self.windows:
            if window.name == name:
                return window
        raise KeyError(name)

    def at(self, t_ns: int) -> Window | None:
        """The step that holds at ``t_ns``."""
        for window in self.windows:
            if window.start_ns <= t_ns < window.end_ns:
                return window
        return None
