"""Scenarios: a seeded timeline of steps, and the absolute schedule it compiles to.

A scenario is data. :func:`compile_scenario` draws what is to be drawn from the seed, logs each
draw, and gives the schedule that every bench follows: windows, changes and actions in integer
nanoseconds from the start of the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.errors import InputError
from bench.network.cells import NO_CELLS, CellChanged, course
from bench.network.drawn import Drawn as Drawn
from bench.network.effects import Effect
from bench.network.impairment import CLEAN, DIRECTIONS, Direction, Impairment
from bench.network.interference import effects_of
from bench.network.radio.exposure import (
    FLAWLESS,
    Exposure,
    Radio,
    RadioFlaws,
    receives_nothing,
    reception_of,
)
from bench.network.radio.receivers import Reception
from bench.network.schedule import Change as Change
from bench.network.schedule import Role as Role
from bench.network.schedule import Schedule as Schedule
from bench.network.schedule import ScheduledAction as ScheduledAction
from bench.network.schedule import ScheduledExposure as ScheduledExposure
from bench.network.schedule import Side as Side
from bench.network.schedule import Window as Window
from bench.network.seeds import generator
from bench.units import ns


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
class Disturbance(Segment):
    """A segment that acts on the state its links are in, whatever that is.

    ``links``, where given, says what that state is from here on. ``on``: the links that it acts
    on. ``effects``: what happens to each direction; one that is not named keeps its state. Equal
    effects of both directions share their draws. ``lasting``: the new state stays; else the links
    return, when the segment ends, to the lasting state they were in. ``then``: later changes in
    the segment: seconds from its start, ascending, and the effects (nothing in them is drawn;
    what lies beyond the end does not happen).
    """

    on: tuple[str, ...] = ()
    effects: Mapping[Direction, Effect] = field(default_factory=dict)
    lasting: bool = False
    then: tuple[tuple[float, Mapping[Direction, Effect]], ...] = ()


@dataclass(frozen=True, slots=True)
class Interference(Segment):
    """A segment in which a radio receives beside unintended signals; none: it is left alone.

    ``links``, where given, says what the links are from here on, the radio apart. The radio's link
    gets what the radio makes of it (:func:`bench.network.interference.impairment_of`), and
    returns when the segment ends.
    """

    radio: Radio | None = None
    exposures: tuple[Exposure, ...] = ()


@dataclass(frozen=True, slots=True)
class CellChange(Segment):
    """A segment in which a laboratory takes the serving cell away until the modem has another.

    The attenuation of the cell's path rises by ``step_db`` every ``every_s``; the modem must
    report another cell within ``within_s`` of the segment's start. ``link``: of the device, that
    its modem carries; where the cells are simulated it gets what the modem receives, and holds for
    ``gap_s`` when the cell changes. ``links`` as in :class:`Disturbance`. Its length is known: it
    is not drawn.
    """

    link: str = "primary"
    within_s: float = 1.0
    every_s: float = 0.25
    step_db: float = 2.0
    gap_s: float | Drawn = 0.0


SEARCHING = "searching"
"""The phase in which a radio with that flaw receives nothing after an interferer has gone."""


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

    Names: ``local-stop``, ``local-release``, ``takeover``, ``takeover-release``,
    ``supervisor-leaves``, ``supervisor-returns`` (patient side);
    ``rearm``, ``clear``, ``start-operation`` (doctor side);
    ``crypto:off``, ``test-point:on`` (service mode); ``attack:…`` (:mod:`bench.network.attacks`),
    which the bench carries out at that side instead of the device.
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


def interferences(scenario: Scenario) -> tuple[Interference, ...]:
    """The segments of a scenario in which a radio is exposed or left alone, in order."""
    segments = (segment for step in scenario.steps for segment in step.segments)
    return tuple(segment for segment in segments if isinstance(segment, Interference))


def cell_changes(scenario: Scenario) -> tuple[tuple[Step, CellChange], ...]:
    """The segments of a scenario in which the serving cell changes, each with its step."""
    return tuple(
        (step, segment)
        for step in scenario.steps
        for segment in step.segments
        if isinstance(segment, CellChange)
    )


def compile_scenario(
    scenario: Scenario,
    seed: int,
    receptions: Sequence[Reception | None] = (),
    flaws: RadioFlaws = FLAWLESS,
    cells: Sequence[CellChanged] = (),
) -> Schedule:
    """Draw and lay out a scenario.

    Args:
        scenario: its steps.
        seed: of the draws.
        receptions: of the device's radio, one for each of :func:`interferences`, where a
            laboratory knows them; without, they are reckoned. None: a real radio receives for
            itself, and nothing is done to its link.
        flaws: of the device's radio.
        cells: how a laboratory changed the serving cell, one for each of :func:`cell_changes`;
            without, nothing happens there.

    Returns:
        The schedule; the same arguments always give the same one.

    Raises:
        InputError: an effect that a link cannot have (half of no rate), or a radio whose link the
            scenario does not have.
    """
    known = _receptions(scenario, receptions, flaws)
    layout = _Layout(scenario, generator(seed, "scenario", scenario.name), known, flaws, cells)
    starts = {step.name: layout.add(step).start_ns for step in scenario.steps}
    actions = sorted(
        (ScheduledAction(starts[a.step] + ns(a.after_s), a.side, a.name) for a in scenario.actions),
        key=lambda action: action.t_ns,
    )
    return Schedule(
        tuple(layout.windows),
        tuple(sorted(layout.changes, key=lambda change: change.t_ns)),
        tuple(actions),
        tuple(layout.draws),
        layout.now,
        scenario.links,
        tuple(layout.exposures),
    )


def _receptions(
    scenario: Scenario, given: Sequence[Reception | None], flaws: RadioFlaws
) -> list[Reception | None]:
    """One for each of :func:`interferences`."""
    segments = interferences(scenario)
    if given and len(given) != len(segments):
        raise ValueError(f"{len(given)} receptions for {len(segments)} segments")
    found: list[Reception | None] = []
    for number, segment in enumerate(segments):
        if segment.radio is None or segment.radio.link not in scenario.links:
            raise InputError(
                "the radio carries no link of this scenario",
                remedy=f"give it one of {', '.join(scenario.links)}",
                field="radio.link",
                value=segment.radio.link if segment.radio else None,
            )
        own = reception_of(segment.radio, segment.exposures, flaws)
        found.append(given[number] if given else own)
    return found


_Key = tuple[str, Direction]


class _Layout:
    """Lays out one step after another.

    ``state``: what each link direction is in; ``lasting``: what it returns to when a disturbance
    that does not last is over. ``first``: whether a step begins.
    """

    def __init__(
        self,
        scenario: Scenario,
        rng: np.random.Generator,
        receptions: Sequence[Reception | None] = (),
        flaws: RadioFlaws = FLAWLESS,
        cells: Sequence[CellChanged] = (),
    ) -> None:
        self.rng = rng
        self.cells = list(cells)
        self.receptions = list(receptions)
        self.flaws = flaws
        self.exposures: list[ScheduledExposure] = []
        self.state: dict[_Key, Impairment] = {
            (link, direction): CLEAN for link in scenario.links for direction in DIRECTIONS
        }
        self.lasting = dict(self.state)
        self.changes: list[Change] = []
        self.windows: list[Window] = []
        self.draws: list[tuple[str, float]] = []
        self.now = 0
        self.first = True

    def add(self, step: Step) -> Window:
        start, phases = self.now, []
        for number, segment in enumerate(self._laid_out(step)):
            self.first = number == 0
            label = f"{step.name}/{segment.phase}"
            duration_s = segment.duration_s
            if isinstance(duration_s, Drawn):
                duration_s = duration_s.draw(self.rng)
                self.draws.append((label, duration_s))
            end = self.now + ns(duration_s)
            if isinstance(segment, Interference):
                segment = self._interfered(segment, step.name, end)
            if isinstance(segment, Disturbance):
                self._disturb(segment, label, end)
            else:
                self._set(segment, end)
            searching = [t for t in self._searching(segment) if t < end]
            phases += [(SEARCHING, self.now, t) for t in searching]
            phases.append((segment.phase, searching[0] if searching else self.now, end))
            self.now = end
        window = Window(
            step.name, step.kind, step.role, step.judged, start, self.now, tuple(phases)
        )
        self.windows.append(window)
        return window

    def _laid_out(self, step: Step) -> Iterator[Segment]:
        """Its segments; a change of cell as what the link went through."""
        for segment in step.segments:
            if not isinstance(segment, CellChange):
                yield segment
                continue
            assert not isinstance(segment.duration_s, Drawn), "its length is known"
            changed = self.cells.pop(0) if self.cells else NO_CELLS
            gap_s = segment.gap_s
            if isinstance(gap_s, Drawn):
                gap_s = gap_s.draw(self.rng)
                self.draws.append((f"{step.name}/{segment.phase}/gap", gap_s))
            links = segment.links
            for phase, duration_s, effects in course(
                changed, segment.phase, segment.duration_s, gap_s
            ):
                yield Disturbance(phase, duration_s, links, on=(segment.link,), effects=effects)
                links = {}

    def _interfered(self, segment: Interference, step: str, end_ns: int) -> Disturbance:
        """What the radio receives as a disturbance of its link; a flawed one recovers late."""
        radio, reception = segment.radio, self.receptions[len(self.exposures)]
        assert radio is not None
        self.exposures.append(
            ScheduledExposure(self.now, end_ns, step, radio, segment.exposures, reception)
        )
        gone = next((e for e in reversed(self.exposures) if e.exposures), None)
        first = reception
        then: tuple[tuple[float, Mapping[Direction, Effect]], ...] = ()
        if gone is not None and not segment.exposures and reception is not None:
            late_s = self.flaws.recovers_after_s - (self.now - gone.end_ns) / 1e9
            if late_s > 0:
                first = receives_nothing(reception)
                then = ((late_s, effects_of(reception, radio)),)
        return Disturbance(
            segment.phase, segment.duration_s, segment.links, on=(radio.link,),
            effects={} if first is None else effects_of(first, radio), then=then,
        )  # fmt: skip

    def _searching(self, segment: Segment) -> list[int]:
        """When a flawed radio that searches for its network has found it again, within a segment.

        Its phase begins only there: before it the state is another one.
        """
        if not self.flaws.recovers_after_s or not isinstance(segment, Disturbance):
            return []
        return [self.now + ns(after_s) for after_s, _ in segment.then]

    def _set(self, segment: Segment, end_ns: int) -> None:
        """Named links take their state; the others return to their own."""
        wanted = _states(segment.links)
        self._return(wanted)
        for key, target in wanted.items():
            self._take(segment, key, target, end_ns)
            self.lasting[key] = target

    def _disturb(self, segment: Disturbance, label: str, end_ns: int) -> None:
        given = _states(segment.links)
        self.state |= given
        self.lasting |= given
        settled = self._settled(segment, label)
        wanted = {
            (link, direction): effect.apply(self._before(effect)[link, direction])
            for link in segment.on
            for direction, effect in settled.items()
        }
        self._return({**given, **wanted})
        self.changes += [
            Change(self.now, *key, state) for key, state in given.items() if key not in wanted
        ]
        for key, target in wanted.items():
            if key in given or target != self.state[key]:
                self._take(segment, key, target, end_ns)
            if segment.lasting:
                self.lasting[key] = target
        self._later(segment, end_ns)

    def _before(self, effect: Effect) -> Mapping[_Key, Impairment]:
        return self._in_force() if effect.of == "now" else self.lasting

    def _in_force(self) -> Mapping[_Key, Impairment]:
        """What a segment follows on: a disturbance of an earlier step is over."""
        return self.lasting if self.first else self.state

    def _settled(self, segment: Disturbance, label: str) -> dict[Direction, Effect]:
        """The effects with everything drawn; equal ones draw once."""
        done: list[tuple[Effect, Effect]] = []
        settled = {}
        for direction, effect in segment.effects.items():
            known = next((result for given, result in done if given == effect), None)
            if known is None:
                of = self._before(effect)
                least_s = min(
                    (of[link, way].delay.mean_s for link in segment.on for way in segment.effects),
                    default=0.0,
                )
                known, draws = effect.settle(self.rng, least_s)
                place = f"/{direction}" if done else ""
                self.draws += [(f"{label}{place}/{name}", value) for name, value in draws]
                done.append((effect, known))
            settled[direction] = known
        return settled

    def _return(self, wanted: Mapping[_Key, Impairment]) -> None:
        """Links that the segment does not touch return from a disturbance that is over."""
        for key, lasting in self.lasting.items():
            if key not in wanted and self.state[key] != lasting:
                self.changes.append(Change(self.now, *key, lasting))
                self.state[key] = lasting

    def _take(self, segment: Segment, key: _Key, target: Impairment, end_ns: int) -> None:
        self.changes += _segment_changes(
            segment, *key, self._in_force()[key], target, self.now, end_ns
        )
        self.state[key] = target

    def _later(self, segment: Disturbance, end_ns: int) -> None:
        for offset_s, effects in segment.then:
            t_ns = self.now + ns(offset_s)
            if t_ns >= end_ns:
                break
            for link in segment.on:
                for direction, effect in effects.items():
                    key = (link, direction)
                    target = effect.apply(self.lasting[key])
                    if target != self.state[key]:
                        self.changes.append(Change(t_ns, link, direction, target))
                        self.state[key] = target


def _states(links: Mapping[str, LinkState]) -> dict[_Key, Impairment]:
    return {
        (link, direction): state.direction(direction)
        for link, state in links.items()
        for direction in DIRECTIONS
    }


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
        delay = replace(wanted.delay, mean_s=mean_s, spread_s=spread_s)
        out.append(
            Change(t_ns, link, direction, wanted.with_(delay=delay) if i + 1 < count else wanted)
        )
    return out
