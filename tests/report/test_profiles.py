"""The library as people and programs see it: every entry with its source."""

from __future__ import annotations

import io
import json

from rich.console import Console

from bench.network.library import SCENARIOS
from bench.network.profiles import load_profiles
from bench.report.profiles import print_profiles, profile_json, scenario_json

PROFILES = load_profiles()
LIBRARY = [make() for make in SCENARIOS.values()]


def test_every_profile_tells_its_source_and_what_is_invented():
    for profile in PROFILES.values():
        entry = json.loads(json.dumps(profile_json(profile)))
        assert entry["source"]
        assert entry["synthetic"]
    urumqi = profile_json(PROFILES["urumqi-shanghai-5g"])
    assert urumqi["figures"]["rtt_mean_s"] == 0.10666
    assert "53.33 ms" in urumqi["to_doctor"]


def test_every_scenario_tells_its_steps_roles_and_durations():
    for scenario in LIBRARY:
        entry = json.loads(json.dumps(scenario_json(scenario)))
        assert [step["role"] for step in entry["steps"]] == [s.role for s in scenario.steps]
        durations = [s["duration_s"] for step in entry["steps"] for s in step["segments"]]
        low, high = (sum(pair[i] for pair in durations) for i in (0, 1))
        assert low - 1e-6 <= entry["duration_s"] <= high + 1e-6


def test_people_see_every_name():
    out = Console(file=io.StringIO())
    print_profiles(PROFILES, LIBRARY, console=out)
    text = out.file.getvalue()
    for name in (*PROFILES, *SCENARIOS):
        assert f"  {name}: " in text
    assert "outage (beyond)" in text
