"""Scenarios as TOML files (docs/scenarios.md has the format and an example)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import cast, get_args

from bench.errors import InputError
from bench.network import events, replay, traces
from bench.network.amounts import RELATIVE, duration_from, fixed_s, phase_from, placed, relative
from bench.network.effects import Effect
from bench.network.impairment import CLEAN, DIRECTIONS, Direction, Impairment
from bench.network.impairment_files import fields_from, impairment_from
from bench.network.profiles import directions_from, find_profile
from bench.network.radio.exposure import Radio
from bench.network.radio.exposure_files import exposure_from, radio_from
from bench.network.scenario import (
    Action,
    Disturbance,
    Interference,
    LinkState,
    Role,
    Scenario,
    Segment,
    Side,
    Step,
    both,
    compile_scenario,
)
from bench.tables import Table, read_toml

_COMMON = ("name", "role", "judged", "note", "link", "direction")
_ACTIONS: Mapping[str, Side] = {
    "local-stop": "patient",
    "local-release": "patient",
    "takeover": "patient",
    "takeover-release": "patient",
    "supervisor-leaves": "patient",
    "supervisor-returns": "patient",
    "rearm": "doctor",
    "clear": "doctor",
    "start-operation": "doctor",
}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a kind of step makes of its table."""

    segments: tuple[Segment, ...]
    note: str = ""
    kind: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """The links and directions of a step, and what the links are when nothing disturbs them."""

    on: tuple[str, ...]
    directions: tuple[Direction, ...]
    base: Mapping[str, LinkState]
    radio: Radio | None = None


def load_scenario(path: Path) -> Scenario:
    """A scenario from a file.

    Raises:
        InputError: a broken file, an unknown key or name, or a scenario that cannot be; names
            file, field, value and remedy.
    """
    table = read_toml(path, "the scenario").only(
        ("name", "title", "steps"), ("source", "links", "actions", "radio")
    )
    base = _links(table)
    radio = _radio(table, base) if "radio" in table.data else None
    steps, sources = _steps(table, base, radio)
    scenario = Scenario(
        table.text("name"),
        table.text("title"),
        steps,
        _actions(table, {step.name for step in steps}),
        "; ".join([table.text("source", "not stated"), *sources]),
        tuple(base),
    )
    _check(scenario, path)
    return scenario


def _links(table: Table) -> dict[str, LinkState]:
    """The links and their states before anything happens; ``primary``, clean, if none is named."""
    links = table.named("links")
    return {name: _link(item) for name, item in links.items()} or {"primary": both(CLEAN)}


def _link(table: Table) -> LinkState:
    if "profile" in table.data:
        table.only(("profile",))
        return _profile(table, "profile")
    table.only((), ("profile", "both", *DIRECTIONS))
    return LinkState(*directions_from(table)) if table.data else both(CLEAN)


def _profile(table: Table, key: str) -> LinkState:
    """A profile by name or file; a file lies beside the scenario."""
    name = table.text(key)
    beside = table.file.parent / name
    wanted = str(beside) if ".toml" in name and not Path(name).is_absolute() else name
    profile = placed(table, key, lambda: find_profile(wanted))
    return LinkState(profile.to_patient, profile.to_doctor)


def _radio(table: Table, links: Mapping[str, LinkState]) -> Radio:
    radio = radio_from(table.table("radio"))
    if radio.link not in links:
        table.table("radio").fail("link", "there is no such link", f"use {', '.join(links)}")
    return radio


# Steps


def _steps(
    table: Table, base: Mapping[str, LinkState], radio: Radio | None
) -> tuple[tuple[Step, ...], list[str]]:
    tables = table.tables("steps", "name")
    if not tables:
        table.fail("steps", "has no steps", "add [[steps]] with kind and duration")
    steps: list[Step] = []
    sources: list[str] = []
    for number, item in enumerate(tables, 1):
        step, source = _step(item, number, base, radio)
        if step.name in [known.name for known in steps]:
            item.fail("name", "comes twice", "give each step a name of its own")
        if not steps:  # the links are in their state from the start, whatever the first step does
            head = replace(step.segments[0], links=dict(base))
            step = replace(step, segments=(head, *step.segments[1:]))
        steps.append(step)
        sources += [source] if source and source not in sources else []
    return tuple(steps), sources


def _step(
    table: Table, number: int, base: Mapping[str, LinkState], radio: Radio | None
) -> tuple[Step, str]:
    kind = table.choice("kind", _KINDS, None)
    required, optional, make = _KINDS[kind]
    table.only(("kind", *required), (*_COMMON, *optional))
    parts = make(table, replace(_place(table, base), radio=radio))
    role = cast(Role, table.choice("role", get_args(Role), "within"))
    judged = table.flag("judged") if "judged" in table.data else True
    own = table.text("note") if "note" in table.data else ""
    note = "; ".join(text for text in (own, parts.note) if text)
    name = table.text("name", f"{kind}-{number}")
    return Step(name, parts.kind or kind, role, parts.segments, judged, note), parts.source


def _place(table: Table, base: Mapping[str, LinkState]) -> _Place:
    given = table.data.get("link", list(base))
    on = (table.text("link"),) if isinstance(given, str) else table.texts("link") or tuple(base)
    for name in on:
        if name not in base:
            table.fail("link", f"there is no link {name}", f"use {', '.join(base)}")
    way = table.choice("direction", ("both", *DIRECTIONS), "both")
    directions = DIRECTIONS if way == "both" else (cast(Direction, way),)
    return _Place(on, directions, base)


def _hold(table: Table, place: _Place) -> _Parts:
    return _Parts(_towards(table, place, None))


def _ramp(table: Table, place: _Place) -> _Parts:
    if not {"state", "change"} & set(table.data):
        table.fail("change", "is missing", "say where the ramp leads, like change.delay")
    increment_s = table.quantity("increment", "s") if "increment" in table.data else 0.05
    if not increment_s >= 1e-3:
        table.fail("increment", "is below a millisecond", "give 1ms or more")
    return _Parts(_towards(table, place, increment_s))


def _null(table: Table, place: _Place) -> _Parts:
    effects = dict.fromkeys(place.directions, _become(CLEAN))
    return _Parts((Disturbance("null", duration_from(table), on=place.on, effects=effects),))


def _outage(table: Table, place: _Place) -> _Parts:
    mode = _mode(table)
    return _Parts((events.outage(duration_from(table), place.on, place.directions, mode),))


def _flap(table: Table, place: _Place) -> _Parts:
    count = table.data["count"]
    if type(count) is not int or count < 1:
        table.fail("count", "is not a whole number above zero", "write it like 5")
    down, up = duration_from(table, "down"), duration_from(table, "up")
    return _Parts(events.flap(count, down, up, place.on, place.directions, _mode(table)))


def _handover(table: Table, place: _Place) -> _Parts:
    event = events.find_event(table.choice("event", events.EVENTS))
    known = {phase.name: phase for phase in event.phases}
    given = table.table("phases").only((), known)
    changed = {name: phase_from(given.table(name), known[name]) for name in given.data}
    event = events.with_phases(event, changed)
    segments = events.event_segments(event, place.on, place.directions)
    note = events.event_note(event) + ("; phases changed by the file" if changed else "")
    return _Parts(segments, note, event.kind, f"{event.title}: {event.source}")


def _trace(table: Table, place: _Place) -> _Parts:
    form = table.choice("format", ("mahimahi", "csv"))
    if form == "csv" and "window" in table.data:
        table.fail("window", "belongs to Mahimahi traces", "leave it out")
    window_s = table.quantity("window", "s") if "window" in table.data else traces.WINDOW_S
    path = table.file.parent / table.text("file")
    interpolation = table.choice("interpolation", get_args(replay.Interpolation), "hold")
    increment_s = table.quantity("increment", "s") if "increment" in table.data else 0.05

    def make() -> tuple[tuple[Disturbance, ...], str]:
        return replay.replay(
            traces.read_trace(path, form, window_s),
            place.on,
            place.directions,
            length_s=fixed_s(table, "duration") if "duration" in table.data else None,
            wrap=table.flag("wrap"),
            interpolation=cast(replay.Interpolation, interpolation),
            increment_s=increment_s,
        )

    segments, note = placed(table, "file", make)
    return _Parts(segments, note, source=note)


def _interferer(table: Table, place: _Place) -> _Parts:
    """Without exposures the radio is alone with its wanted signal."""
    for key in ("link", "direction"):
        if key in table.data:
            table.fail(key, "is that of the radio", "leave it out")
    if place.radio is None:
        table.fail("kind", "needs a radio", "add [radio] with link, technology and frequency")
    exposures = tuple(exposure_from(one) for one in table.tables("exposures", "signal"))
    phase = "exposed" if exposures else "alone"
    segment = Interference(phase, duration_from(table), radio=place.radio, exposures=exposures)
    said = ", ".join(one.describe() for one in exposures)
    return _Parts((segment,), said or "the radio alone")


_Maker = Callable[[Table, _Place], _Parts]

_KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], _Maker]] = {
    "hold": (("duration",), ("state", "change"), _hold),
    "loss": (("duration",), ("state", "change"), _hold),
    "profile": (("duration",), ("state", "change"), _hold),
    "ramp": (("duration",), ("state", "change", "increment"), _ramp),
    "null": (("duration",), (), _null),
    "outage": (("duration",), ("mode",), _outage),
    "blackout": (("duration",), ("mode",), _outage),
    "flap": (("count", "down", "up"), ("mode",), _flap),
    "handover": (("event",), ("phases",), _handover),
    "interferer": (("duration",), ("exposures",), _interferer),
    "trace": (
        ("file", "format"),
        ("duration", "wrap", "interpolation", "increment", "window"),
        _trace,
    ),
}
"""Kind to its required keys, its optional ones, and what makes its segments."""

KINDS = tuple(_KINDS)


# States


def _towards(table: Table, place: _Place, increment_s: float | None) -> tuple[Disturbance, ...]:
    """A state that stays: ``state`` is complete, ``change`` replaces parts of each link's own."""
    if {"state", "change"} <= set(table.data):
        table.fail("change", "comes with a state", "give one: state (complete) or change (parts)")
    duration_s = duration_from(table)
    effects = _effects(table, place)
    phase = table.text("kind")
    return (events.lasting_segment(phase, duration_s, place.on, effects, increment_s),)


def _effects(table: Table, place: _Place) -> dict[Direction, Effect]:
    if "state" in table.data:
        target = _state(table, place)
        return {way: _become(target.direction(way)) for way in place.directions}
    if "change" in table.data:
        return dict.fromkeys(place.directions, _change(table.table("change")))
    return {}


def _state(table: Table, place: _Place) -> LinkState:
    given = table.data["state"]
    if given == "base":
        states = [place.base[name] for name in place.on]
        if any(state != states[0] for state in states):
            table.fail("state", "the links differ in their base", "make it a step for each link")
        return states[0]
    if isinstance(given, str):
        return _profile(table, "state")
    inner = table.table("state")
    if {"both", *DIRECTIONS} & set(inner.data):
        inner.only((), ("both", *DIRECTIONS))
        return LinkState(*directions_from(inner))
    return both(impairment_from(inner))


def _become(impairment: Impairment) -> Effect:
    """The complete state, whatever was before."""
    names = [item.name for item in fields(Impairment)]
    return Effect(fields=tuple((name, getattr(impairment, name)) for name in names))


def _change(table: Table) -> Effect:
    """An effect from the keys of an impairment: what they name changes, and nothing else."""
    effect = relative(table, Effect(), RELATIVE)
    own = {key: value for key, value in table.data.items() if key not in RELATIVE}
    named = Table(own, table.where, table.file)
    values = fields_from(named)
    if "delay" in values and not {"law", "jitter", "table"} & set(own):
        return replace(effect, delay_s=values.pop("delay").mean_s, fields=tuple(values.items()))
    if "delay" in values and "delay" not in own and own.get("law") != "table":
        table.fail("delay", "is missing", "give a law or a jitter together with its delay")
    return replace(effect, fields=tuple(values.items()))


def _mode(table: Table) -> events.Mode:
    return cast(events.Mode, table.choice("mode", get_args(events.Mode), "drop"))


# The whole


def _actions(table: Table, steps: set[str]) -> tuple[Action, ...]:
    made = []
    for item in table.tables("actions", "name"):
        item.only(("step", "after", "name"))
        step = item.choice("step", steps)
        name = item.choice("name", _ACTIONS)
        made.append(Action(step, item.quantity("after", "s"), _ACTIONS[name], name))
    return tuple(made)


def _check(scenario: Scenario, path: Path) -> None:
    """Lay it out once, so that what cannot be is said before anything runs."""
    try:
        schedule = compile_scenario(scenario, 0)
    except InputError as error:
        raise InputError(
            error.problem,
            remedy=error.remedy,
            file=path,
            field=error.field,
            value=error.value,
        ) from error
    for link in scenario.links:
        for direction in DIRECTIONS:
            if schedule.of(link, direction)[-1][1].hold:
                raise InputError(
                    "the scenario ends while a link holds: what waits would be lost",
                    remedy='end it with a step of kind "hold", or use mode = "drop"',
                    file=path,
                    field="steps",
                    value=f"{link}, {direction}",
                )
    if schedule.actions and schedule.actions[-1].t_ns >= schedule.end_ns:
        raise InputError(
            "comes after the end of the scenario",
            remedy="make its step longer, or act earlier",
            file=path,
            field="actions",
            value=schedule.actions[-1].name,
        )
