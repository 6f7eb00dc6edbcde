"""WC-1 on the virtual bench: healthy robots pass, a defect of any safety assertion fails."""

import dataclasses

import pytest

from bench.judge.verdict import Outcome
from bench.measure import events as ev
from bench.measure.worst_case import wc_1

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
SLOW = "orthopaedic-robot"
JUDGED = {"worst-case": ("WC-1",)}
FAILING = {
    "no-stop-after-takeover": 1.0,
    "remote-overrides-local": 1.0,
    "no-safe-state": 1.0,
    "stale-commands": 1.0,
    "old-sequence": 2.0,
}
"""Defect to the number of assertions that it breaks: order goes with age."""


@pytest.fixture(scope="module")
def healthy(played):
    return played.play(played.device(SLOW, streams=("plan",)), "worst-case")


@pytest.mark.parametrize("robot", ["telesurgery-robot", "rehabilitation-arm"])
def test_healthy_robots_pass_under_a_sound_stimulus(played, robot):
    recording = played.play(played.device(robot), "worst-case")
    assert played.unsound(recording) == []
    found = played.verdict(recording, "WC-1")
    assert (found.verdict, found.value) == (PASS, 0.0), found.reason


def test_a_slower_healthy_robot_passes_with_several_seeds(played, healthy):
    device = played.device(SLOW, streams=("plan",))
    for recording in (healthy, *(played.play(device, "worst-case", seed) for seed in (1, 2, 3))):
        assert played.unsound(recording) == []
        assert played.verdict(recording, "WC-1").verdict is PASS


@pytest.mark.parametrize("defect", FAILING)
def test_each_assertion_counts(played, defect):
    for seed in (1, 8) if defect == "no-stop-after-takeover" else (1,):
        device = played.device(SLOW, defect, streams=("plan",))
        if defect == "old-sequence":  # the replay window would stop the copies before it can err
            kept = tuple(name for name in device.functions if name != "secure-channel")
            device = dataclasses.replace(device, functions=kept)
        found = played.verdict(played.play(device, "worst-case", seed), "WC-1")
        assert (found.verdict, found.value) == (FAIL, FAILING[defect]), found.reason


def test_what_only_the_combination_shows(played):
    device = played.device(SLOW, "no-stop-after-takeover", streams=("plan",))
    for scenario, requirement in (("local-stop", "LOC-1"), ("takeover-delay", "LOC-2")):
        assert played.verdict(played.play(device, scenario), requirement).verdict is PASS


def test_what_cannot_show_it_is_open(played, healthy):
    rows = healthy.packets.rows
    command = healthy.device.stream(healthy.device.watched).code
    arrived = (rows["tap"] == 1) & (rows["stream"] == command)
    late = (rows["t_ns"] // 10**9 == 2) | ((rows["t_ns"] >= 6e9) & (rows["t_ns"] < 6.2e9))
    repeated = arrived & (rows["t_ns"] > 5e9) & (rows["t_ns"] < 6e9)
    cases = {
        "order": rows[~repeated],
        "stale": rows[~(arrived & late)],
        "local-stop": rows[~(arrived & (rows["t_ns"] > 21.6e9))],
    }
    for name, left in cases.items():
        packets = dataclasses.replace(healthy.packets, rows=left)
        forged = dataclasses.replace(healthy, packets=packets)
        assert played.verdict(forged, "WC-1").verdict is OPEN
        with pytest.raises(ev.Cannot, match=f"^{name}: only"):
            wc_1(forged, None)
    declares = {k: v for k, v in healthy.device.declares.items() if k != "takeover_within_s"}
    device = dataclasses.replace(healthy.device, declares=declares)
    found = played.verdict(dataclasses.replace(healthy, device=device), "WC-1")
    assert "not declared: D:takeover_within_s" in found.reason
    clean = played.play(played.device(SLOW, streams=("plan",)), "null-path")
    assert played.verdict(played.shown_clean(healthy, clean), "WC-1").verdict is OPEN
