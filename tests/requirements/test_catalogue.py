"""The built-in catalogue: what it holds, and that its parts fit the rest of the bench."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

import bench.devices
from bench.devices.load import load_profile
from bench.errors import InputError
from bench.judge.verdict import Rule
from bench.requirements.loader import RULES, load_catalogue

CATALOGUE = load_catalogue()
TABLE_2 = [e for e in CATALOGUE.requirements.values() if e.id.startswith("000-t2-")]
ROBOT = load_profile(Path(bench.devices.__file__).parent / "data" / "telesurgery-robot.toml")

BEHAVIOURS = {
    "MON-2": ("time-to-alarm", "alarm.within_s", "demonstrated"),
    "LIM-1": ("time-to-hold", "hold_within_s", "demonstrated"),
    "LIM-2": ("time-to-hold", "loss_action_within_s", "demonstrated"),
    "FAIL-1": ("command-age", "command_age_s", "safety"),
    "FAIL-3": ("time-to-safe-state", "safe_state_within_s", "demonstrated"),
    "SW-1": ("switchover-gap", "switchover_gap_s", "demonstrated"),
    "REC-1": ("time-to-reconnect", "reconnect_within_s", "demonstrated"),
    "LOC-1": ("time-to-stop", "local_stop_within_s", "safety"),
    "MOB-1": ("handover-response", "alarm.within_s", "demonstrated"),
}
TOPICS = {  # of the mission's table, and how many ids each has
    **dict.fromkeys(("SYNC", "REC", "WC", "ENV", "COEX", "EMC", "EXP", "LIC", "TRAIN"), 1),
    **dict.fromkeys(("PRE", "LIFE"), 1),
    **dict.fromkeys(("CON", "PATH", "LOC", "MOB", "DAT", "LOG", "ICU", "US"), 2),
    **dict.fromkeys(("LIM", "SW", "OPS"), 3),
    **dict.fromkeys(("MON", "FAIL"), 4),
    "SEC": 7,
}
MISSION = {f"{topic}-{n}" for topic, count in TOPICS.items() for n in range(1, count + 1)}
DECLARATIONS = {"EMC-1", "EXP-1", "LIC-1", "TRAIN-1"}
FIGURES = {  # what each row of table 2 has a figure for
    **dict.fromkeys(("video-2d", "video-3d", "audio"), "delay jitter loss rate"),
    **dict.fromkeys(("force", "vibration"), "delay jitter loss rate"),
    **dict.fromkeys(("temperature", "blood-pressure"), "delay loss rate"),
    **dict.fromkeys(("heart-rate", "respiration", "ecg", "emg", "eeg"), "delay rate"),
}


def test_holds_table_2_and_the_behaviours_of_the_therapy_plan():
    wanted = {f"000-t2-{row}-{name}" for row, names in FIGURES.items() for name in names.split()}
    assert {name for name in CATALOGUE if name.startswith("000-t2-")} == wanted
    assert set(BEHAVIOURS) <= set(CATALOGUE)


def test_every_behaviour_of_the_mission_is_an_entry():
    """An id is a behaviour that a test shows, or one that only a declaration can answer."""
    kinds = {name: CATALOGUE.requirements[name].kind for name in MISSION if name in CATALOGUE}
    assert sorted(MISSION - set(kinds)) == []
    assert {name for name, kind in kinds.items() if kind == "declaration"} >= DECLARATIONS
    assert set(kinds.values()) <= {"behaviour", "declaration"}


def test_statements_name_behaviours_of_the_mission():
    for statement in CATALOGUE.statements.values():
        assert statement.mission, statement.id
        assert set(statement.mission) <= MISSION, statement.id


def test_figures_name_behaviours_of_the_mission():
    for entry in CATALOGUE.requirements.values():
        assert set(entry.mission) <= MISSION, entry.id


def test_holds_what_a_second_reader_found():
    """A reader of the five documents counted about 270 figures and 270 statements."""
    figures = [e for e in CATALOGUE.requirements.values() if e.kind not in ("behaviour",)]
    assert len([e for e in figures if e.low is not None]) >= 270
    assert len(CATALOGUE.statements) >= 270


def test_every_document_is_cited_by_figures_and_statements():
    """004 demands functions: it may have no figure on communication."""
    entries = [e for e in CATALOGUE.requirements.values() if e.low is not None]
    assert {entry.source.file for entry in entries} >= set(CATALOGUE.documents) - {"004"}
    cited = {statement.source.file for statement in CATALOGUE.statements.values()}
    assert cited == set(CATALOGUE.documents)


def test_conflicts_are_told_on_both_sides():
    known = {**CATALOGUE.requirements, **CATALOGUE.statements}
    for entry in known.values():
        for other in entry.conflicts:
            assert entry.id in known[other].conflicts
            assert other != entry.id


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_behaviour(name):
    entry = CATALOGUE.get(name)
    assert (entry.metric, entry.declared[0], entry.rule) == BEHAVIOURS[name]
    assert (entry.kind, entry.unit, entry.comparator) == ("behaviour", "s", "<=")


@pytest.mark.parametrize("entry", CATALOGUE.requirements.values(), ids=lambda entry: entry.id)
def test_entry_is_whole(entry):
    assert sum(reading.default for reading in entry.readings) == 1
    default = entry.readings[0]
    assert default.default
    assert (default.low, default.high, default.comparator) == (
        entry.low,
        entry.high,
        entry.comparator,
    )
    assert (default.metric, default.reference_points) == (entry.metric, entry.reference_points)
    assert len(entry.readings) == len(set(entry.readings))
    assert all(reading.metric in CATALOGUE.metrics for reading in entry.readings)
    assert all(reading.reason for reading in entry.readings[1:])
    assert CATALOGUE.metrics[entry.metric].unit == entry.unit


def metrics_of(name: str) -> list[tuple]:
    return [(r.metric, r.reference_points) for r in CATALOGUE.get(name).readings]


def test_rival_metrics():
    interfaces = "interface-interface"
    delay = [("delay-p99", interfaces), ("delay-p999", interfaces), ("delay-p99", "app-app")]
    jitter = [(m, interfaces) for m in ("ipdv-p99", "pdv-p999", "rfc3550-jitter")]
    assert metrics_of("000-t2-ecg-delay") == delay
    assert metrics_of("000-t2-audio-jitter") == jitter
    assert metrics_of("000-t2-force-delay") == [delay[0], *delay]
    assert metrics_of("000-t2-video-3d-jitter") == [jitter[0], *jitter]
    assert metrics_of("000-t2-force-loss") == [("loss", interfaces)]


def test_rival_metrics_keep_the_default_figure():
    readings = CATALOGUE.get("000-t2-force-delay").readings
    assert [reading.low for reading in readings] == [0.010, 0.003, 0.010, 0.010]


def test_for_stream():
    both = CATALOGUE.for_stream(("force", "vibration"), "therapy")
    assert {entry.stream for entry in both} == {"force", "vibration"}
    assert {entry.id for entry in both if entry.source.place.startswith("表 2")} == {
        f"000-t2-{stream}-{name}"
        for stream in ("force", "vibration")
        for name in FIGURES[stream].split()
    }
    for entry in CATALOGUE.for_stream(("force", "any"), "teaching"):
        assert entry.device_class in ("teaching", "any")
    unbound = {entry.id for entry in CATALOGUE.for_stream(("any",), "teaching")}
    assert "REC-1" in unbound  # asked of any class
    assert "000-t2-force-delay" not in unbound
    assert CATALOGUE.for_stream(()) == ()


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("rec-1", "REC-1"),
        ("000-t2-force-dealy", "000-t2-force-delay"),
        ("zzzzzz", "bench requirements"),
    ],
)
def test_unknown_id_names_the_closest(asked, hint):
    with pytest.raises(InputError) as caught:
        CATALOGUE.get(asked)
    assert hint in str(caught.value)
    assert asked in str(caught.value)


@pytest.mark.parametrize("name", ["REC-1", "000-t2-ecg-rate", *list(CATALOGUE.statements)[:1]])
def test_entry_gives_requirements_and_statements_alike(name):
    assert CATALOGUE.entry(name).id == name


def test_a_statement_is_no_requirement():
    name = next(iter(CATALOGUE.statements))
    with pytest.raises(InputError):
        CATALOGUE.get(name)
    with pytest.raises(InputError, match="bench requirements"):
        CATALOGUE.entry("zzzzzz")


def test_fingerprint_is_of_the_content(tmp_path):
    assert load_catalogue().sha256 == CATALOGUE.sha256
    empty = tmp_path / "empty.toml"
    empty.write_text("# nothing but a comment\n")
    assert load_catalogue([empty]).sha256 == CATALOGUE.sha256


def test_rules_are_those_of_the_judge():
    assert set(RULES) == set(get_args(Rule))
    assert {entry.rule for entry in CATALOGUE.requirements.values()} <= set(get_args(Rule))


def test_declared_keys_are_those_of_a_device():
    known = {*ROBOT.declares, "alarm.within_s"}
    for name in BEHAVIOURS:
        assert set(CATALOGUE.get(name).declared) <= known, name


def test_robot_carries_every_row_in_the_stated_direction():
    for entry in TABLE_2:
        flows = {stream.direction for stream in ROBOT.streams if entry.stream in stream.kinds}
        stated = {"to-patient", "to-doctor"} if entry.direction == "both" else {entry.direction}
        assert flows == stated, entry.id


def test_robot_streams_fit_the_documented_rates():
    for stream in ROBOT.streams:
        for entry in TABLE_2:
            if entry.metric != "rate" or entry.stream not in stream.kinds:
                continue
            if entry.comparator == "in":
                assert entry.low <= stream.rate_bps <= entry.high, entry.id
            else:
                assert stream.rate_bps < entry.low, entry.id
