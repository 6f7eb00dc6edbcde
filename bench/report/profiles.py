"""The library of link profiles and scenarios, with their sources, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from bench.network.profiles import LinkProfile
from bench.network.scenario import Drawn, Scenario, compile_scenario
from bench.units import show_duration


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
        "source": scenario.source,
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
                        "links": {
                            name: {
                                "to_patient": state.to_patient.describe(),
                                "to_doctor": state.to_doctor.describe(),
                            }
                            for name, state in segment.links.items()
                        },
                    }
                    for segment in step.segments
                ],
            }
            for step in scenario.steps
        ],
    }


def _duration(given: float | Drawn) -> list[float]:
    """Shortest and longest, in s."""
    return [given.low_s, given.high_s] if isinstance(given, Drawn) else [given, given]


def print_profiles(
    profiles: Mapping[str, LinkProfile],
    scenarios: Iterable[Scenario],
    *,
    console: Console | None = None,
) -> None:
    """Every profile with its source and what about it is invented, then every scenario."""
    console = console or Console()

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style or None, highlight=False, markup=False, soft_wrap=True)

    say("link profiles", "bold")
    for profile in profiles.values():
        say(f"  {profile.name}: {profile.title}")
        ways = {profile.to_patient.describe(), profile.to_doctor.describe()}
        say(f"      {' / '.join(sorted(ways))}")
        say(f"      source: {profile.source}; {profile.synthetic}", "dim")
    say("scenarios", "bold")
    for scenario in scenarios:
        steps = ", ".join(f"{step.name} ({step.role})" for step in scenario.steps)
        length_s = compile_scenario(scenario, 7).end_ns / 1e9
        say(f"  {scenario.name}: {scenario.title}, {show_duration(length_s)}")
        say(f"      {steps}")
        if scenario.source:
            say(f"      source: {scenario.source}", "dim")
