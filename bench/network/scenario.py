"""Scenarios: a seeded timeline of steps, and the absolute schedule it compiles to.

A scenario is data. :func:`compile_scenario` draws what is to be drawn from the seed, logs each
draw, and gives the schedule that every bench follows: windows, changes and actions in integer
nanoseconds from the start of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.network.impairment import CLEAN, DIRECTIONS, Delay, Direction, Impairment
from bench.network.seeds import generator
from bench.units import ns

Role = Literal["within", "at", "beyond"]
"""Where a step lies against the device's limits. KPI verdicts come from ``within`` and ``at``."""

Side = Literal["patient", "doctor"]


@dataclass(frozen=True, slots=True)
class LinkState:
    """Both directions of one link."""

    to_patient: Impairment
    to_doctor: Impairment

    def direction(self, direction: Direction) -> Impairment:
        """The impairment of one direction."""
        return self.to_patient if direction == "to-patient" else self.to_doctor


def both(impairment: Impairment) -> LinkState:
    """The same impairment in both directions."""
    return LinkState(impairment, impairment)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A duration drawn uniformly from ``low_s`` to ``high_s``; the draw is logged."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with one state per named link.

    Links that are not named keep their state. With ``ramp`` the mean delay goes linearly from
    the state before to the one named, in increments of ``increment_s``; all else changes at once.
    """

    phase: str
    duration_s: float | Drawn
    links: Mapping[str, LinkState] = field(default_factory=dict)
    ramp: bool = False
    increment_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """One named step of a scenario.

    ``judged`` false marks time that no KPI counts (settling, recovery).
    """

    name: str
    kind: str
    role: Role
    segments: tuple[Segment, ...]
    judged: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Something done to the device at a point in time, counted from the start of ``step``.

    Names: ``local-stop``, ``local-release`` (patient side); ``rearm``, ``clear`` (doctor side).
    """

    step: str
    after_s: float
    side: Side
    name: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A seeded timeline. ``source`` says where its figures come from."""

    name: str
    title: str
    steps: tuple[Step, ...]
    actions: tuple[Action, ...] = ()
    source: str = ""
    links: tuple[str, ...] = ("primary", "standby")


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
class Schedule:
    """What a scenario and a seed come to: all times in ns from the start of the session."""

    windows: tuple[Window, ...]
    changes: tuple[Change, ...]
    actions: tuple[ScheduledAction, ...]
    draws: tuple[tuple[str, float], ...]
    end_ns: int
    links: tuple[str, ...]

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


def compile_scenario(scenario: Scenario, seed: int) -> Schedule:
    """Draw and lay out a scenario.

    Returns:
        The schedule; the same scenario and seed always give the same one.
    """
    rng = generator(seed, "scenario", scenario.name)
    state: dict[tuple[str, Direction], Impairment] = {
        (link, direction): CLEAN for link in scenario.links for direction in DIRECTIONS
    }
    changes: list[Change] = []
    windows: list[Window] = []
    draws: list[tuple[str, float]] = []
    starts: dict[str, int] = {}
    now = 0
    for step in scenario.steps:
        starts[step.name] = step_start = now
        phases = []
        for segment in step.segments:
            duration_s = segment.duration_s
            if isinstance(duration_s, Drawn):
                duration_s = float(rng.uniform(duration_s.low_s, duration_s.high_s))
                draws.append((f"{step.name}/{segment.phase}", duration_s))
            end = now + ns(duration_s)
            for link, target in segment.links.items():
                for direction in DIRECTIONS:
                    key = (link, direction)
                    wanted = target.direction(direction)
                    changes += _segment_changes(
                        segment, link, direction, state[key], wanted, now, end
                    )
                    state[key] = wanted
            phases.append((segment.phase, now, end))
            now = end
        windows.append(
            Window(step.name, step.kind, step.role, step.judged, step_start, now, tuple(phases))
        )
    changes.sort(key=lambda change: change.t_ns)
    actions = sorted(
        (ScheduledAction(starts[a.step] + ns(a.after_s), a.side, a.name) for a in scenario.actions),
        key=lambda action: action.t_ns,
    )
    return Schedule(
        tuple(windows), tuple(changes), tuple(actions), tuple(draws), now, scenario.links
    )


def _segment_changes(
    segment: Segment,
    link: str,
    direction: Direction,
    before: Impairment,
    wanted: Impairment,
    start_ns: int,
    end_ns: int,
) -> list[Change]:
    if not segment.ramp:
        return [Change(start_ns, link, direction, wanted)]
    count = max(1, round((end_ns - start_ns) / ns(segment.increment_s)))
    first, last = before.delay.mean_s, wanted.delay.mean_s
    out = []
    for i in range(count):
        t_ns = start_ns + (end_ns - start_ns) * i // count
        mean_s = first + (last - first) * (i + 1) / count
        spread_s = min(wanted.delay.spread_s, mean_s / 4)  # never cut at zero on the way
        delay = Delay(mean_s, wanted.delay.law, spread_s) if i + 1 < count else wanted.delay
        out.append(Change(t_ns, link, direction, wanted.with_(delay=delay)))
    return out
