"""The long proofs, small and seeded: ``./run proof`` runs the same code longer."""

import os
import subprocess

import pytest

from bench.devices.defects import DEFECTS
from benchmarks import proof


def nothing():
    """No progress display."""


def test_the_healthy_robot_passes_everything_it_is_judged_on():
    figures = proof.healthy(2, nothing)
    judged = sum(len(scenarios) for scenarios in proof.JUDGED.values())
    assert figures["outcomes"] == {"PASS": 2 * judged}


def test_two_recordings_of_one_seed_are_the_same():
    assert proof.repeat(0, nothing) == {"different": []}


@pytest.mark.parametrize(
    "name",
    ["silent-outage", "late-alarm", "never-switches", "stale-commands", "ignores-local-stop"],
)
def test_a_defect_is_caught_over_seeds(monkeypatch, name):
    monkeypatch.setattr(proof, "DEFECTS", {name: DEFECTS[name]})
    assert proof.defects(2, nothing)["caught"] == {name: 2}


def test_what_a_killed_run_left_would_be_found():
    entry = "TELEMED_BENCH_PROOF=of-this-test"
    name, value = entry.split("=")
    left = subprocess.Popen(["sleep", "20"], env={**os.environ, name: value})
    try:
        assert proof.processes_with(entry) == [left.pid]
    finally:
        left.kill()
        left.wait()
    assert proof.processes_with(entry) == []
