"""The library of link profiles, events and scenarios with their sources, as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from bench.network.drawn import Drawn, longest_s, shortest_s
from bench.network.events import SURROGATE, Event
from bench.network.impairment import Direction
from bench.network.profiles import LinkProfile
from bench.network.scenario import Disturbance, Scenario, Segment, compile_scenario
from bench.units import show_duration

UNSOURCED = "this project; its figures are chosen, not measured"


def profile_json(profile: LinkProfile) -> dict[str, Any]:
    """A link profile; ``figures`` in SI, what the source gives."""
    return {
        "name": profile.name,
        "title": profile.title,
        "source": profile.source,
        "synthetic": profile.synthetic,
        "to_patient": profile.to_patient.describe(),
        "to_doctor": profile.to_doctor.describe(),
        "figures": dict(profile.figures),
    }


def scenario_json(scenario: Scenario) -> dict[str, Any]:
    """A scenario: its steps with role and links; ``duration_s`` as drawn with seed 7."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "source": scenario.source or UNSOURCED,
        "duration_s": compile_scenario(scenario, 7).end_ns / 1e9,
        "steps": [
            {
                "name": step.name,
                "kind": step.kind,
                "role": step.role,
                "judged": step.judged,
                "segments": [
                    {
                        "phase": segment.phase,
                        "duration_s": _duration(segment.duration_s),
                        "ramp": bool(segment.ramp),
                        "links": _links(segment),
                    }
                    for segment in step.segments
                ],
            }
            for step in scenario.steps
        ],
    }


def event_json(event: Event) -> dict[str, Any]:
    """An event: its phases with shortest and longest duration in s and what they do to a link."""
    return {
        "name": event.name,
        "kind": event.kind,
        "title": event.title,
        "typical": event.typical,
        "source": event.source,
        "surrogate": SURROGATE,
        "phases": [
            {
                "phase": phase.name,
                "duration_s": _duration(phase.duration_s),
                "law": _law(phase.duration_s),
                "effect": phase.effect.describe(),
                "ramp": phase.ramp,
                "lasting": phase.lasting,
            }
            for phase in event.phases
        ],
    }


def library_json(
    profiles: Mapping[str, LinkProfile], scenarios: Iterable[Scenario], events: Iterable[Event]
) -> dict[str, Any]:
    """All of the library; top-level keys ``profiles``, ``scenarios``, ``events``."""
    return {
        "profiles": [profile_json(profile) for profile in profiles.values()],
        "scenarios": [scenario_json(scenario) for scenario in scenarios],
        "events": [event_json(event) for event in events],
    }


def _links(segment: Segment) -> dict[str, dict[str, str]]:
    """What each link is in, or what happens to it."""
    words = {
        name: {"to_patient": state.to_patient.describe(), "to_doctor": state.to_doctor.describe()}
        for name, state in segment.links.items()
    }
    if isinstance(segment, Disturbance):
        keys: Mapping[Direction, str] = {"to-patient": "to_patient", "to-doctor": "to_doctor"}
        for name in segment.on:
            acting = {keys[way]: effect.describe() for way, effect in segment.effects.items()}
            words[name] = {"to_patient": "as before", "to_doctor": "as before", **acting}
    return words


def _duration(given: float | Drawn) -> list[float]:
    """Shortest and longest, in s."""
    return [shortest_s(given), longest_s(given)]


def _law(given: float | Drawn) -> str:
    return given.describe() if isinstance(given, Drawn) else "fixed"


def print_profiles(
    profiles: Mapping[str, LinkProfile],
    scenarios: Iterable[Scenario],
    events: Iterable[Event] = (),
    *,
    console: Console | None = None,
) -> None:
    """Every profile with its source and what about it is invented, every event, every scenario."""
    console = console or Console()

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style or None, highlight=False, markup=False, soft_wrap=True)

    say("link profiles", "bold")
    for profile in profiles.values():
        say(f"  {profile.name}: {profile.title}")
        ways = {profile.to_patient.describe(), profile.to_doctor.describe()}
        say(f"      {' / '.join(sorted(ways))}")
        say(f"      source: {profile.source}; {profile.synthetic}", "dim")
    say(f"events ({SURROGATE})", "bold")
    for event in events:
        say(f"  {event.name}: {event.title}")
        say(f"      {event.typical}")
        say(f"      source: {event.source}", "dim")
    say("scenarios", "bold")
    for scenario in scenarios:
        steps = ", ".join(f"{step.name} ({step.role})" for step in scenario.steps)
        length_s = compile_scenario(scenario, 7).end_ns / 1e9
        say(f"  {scenario.name}: {scenario.title}, {show_duration(length_s)}")
        say(f"      {steps}")
        say(f"      source: {scenario.source or UNSOURCED}", "dim")
