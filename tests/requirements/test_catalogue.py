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
FIGURES = {  # what each row of table 2 has a figure for
    **dict.fromkeys(("video-2d", "video-3d", "audio"), "delay jitter loss rate"),
    **dict.fromkeys(("force", "vibration"), "delay jitter loss rate"),
    **dict.fromkeys(("temperature", "blood-pressure"), "delay loss rate"),
    **dict.fromkeys(("heart-rate", "respiration", "ecg", "emg", "eeg"), "delay rate"),
}


def test_holds_table_2_and_the_behaviours_of_the_therapy_plan():
    wanted = {f"000-t2-{row}-{name}" for row, names in FIGURES.items() for name in names.split()}
    assert set(CATALOGUE) == wanted | set(BEHAVIOURS)


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
    both = CATALOGUE.for_stream(("force", "vibration"))
    assert {entry.stream for entry in both} == {"force", "vibration"}
    assert len(both) == 8
    assert CATALOGUE.for_stream(("force",), "monitoring") == ()
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
    for entry in CATALOGUE.requirements.values():
        assert set(entry.declared) <= known, entry.id


def test_robot_carries_every_row_in_the_stated_direction():
    for entry in CATALOGUE.requirements.values():
        if entry.kind == "behaviour":
            continue
        flows = {stream.direction for stream in ROBOT.streams if entry.stream in stream.kinds}
        stated = {"to-patient", "to-doctor"} if entry.direction == "both" else {entry.direction}
        assert flows == stated, entry.id


def test_robot_streams_fit_the_documented_rates():
    for stream in ROBOT.streams:
        for entry in CATALOGUE.for_stream(stream.kinds):
            if entry.metric != "rate":
                continue
            if entry.comparator == "in":
                assert entry.low <= stream.rate_bps <= entry.high, entry.id
            else:
                assert stream.rate_bps < entry.low, entry.id
