"""The library as people and programs see it: every entry with its source."""

from __future__ import annotations

import io
import json

from rich.console import Console

from bench.network.events import EVENTS, SURROGATE, event_segments
from bench.network.library import SCENARIOS
from bench.network.profiles import load_profiles
from bench.network.scenario import Scenario, Segment, Step, both
from bench.report.profiles import (
    event_json,
    library_json,
    print_profiles,
    profile_json,
    scenario_json,
)

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


def test_every_scenario_tells_its_source():
    assert all(scenario_json(scenario)["source"] for scenario in LIBRARY)


def test_every_event_tells_its_source_phases_and_durations():
    for event in EVENTS.values():
        entry = json.loads(json.dumps(event_json(event)))
        assert entry["source"] == event.source
        assert entry["surrogate"] == SURROGATE
        assert [phase["phase"] for phase in entry["phases"]] == [p.name for p in event.phases]
        for phase in entry["phases"]:
            low_s, high_s = phase["duration_s"]
            assert 0 < low_s <= high_s
            assert (phase["law"] == "fixed") == (low_s == high_s)
            assert phase["effect"]
    gap = event_json(EVENTS["nr"])["phases"][1]
    assert gap["duration_s"] == [0.05, 0.15]
    assert gap["effect"] == "hold, then release"


def test_steps_of_events_say_what_they_do_to_which_direction():
    profile = PROFILES["5g-short-haul-slice"]
    settle = Segment("settle", 1.0, {"primary": both(profile.to_patient)})
    segments = (settle, *event_segments(EVENTS["nr"], ("primary",), ("to-doctor",)))
    scenario = Scenario("x", "X", (Step("s", "handover", "at", segments),))
    entry = scenario_json(scenario)["steps"][0]["segments"]
    assert "2.5 ms" in entry[0]["links"]["primary"]["to_patient"]
    gap = entry[2]["links"]["primary"]
    assert gap == {"to_patient": "as before", "to_doctor": "hold, then release"}


def test_the_library_keeps_its_keys():
    found = library_json(PROFILES, LIBRARY, EVENTS.values())
    assert set(found) == {"profiles", "scenarios", "events"}
    assert [entry["name"] for entry in found["events"]] == list(EVENTS)
    assert [entry["name"] for entry in found["scenarios"]] == list(SCENARIOS)


def test_people_see_every_name():
    out = Console(file=io.StringIO())
    print_profiles(PROFILES, LIBRARY, EVENTS.values(), console=out)
    text = out.file.getvalue()
    for name in (*PROFILES, *EVENTS, *SCENARIOS):
        assert f"  {name}: " in text
    assert "outage (beyond)" in text
    assert text.count("source: ") == len(PROFILES) + len(EVENTS) + len(SCENARIOS)
    assert SURROGATE in text
