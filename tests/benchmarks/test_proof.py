"""The long proofs, small and seeded: ``./run proof`` runs the same code longer."""

import os
import subprocess
import time

from benchmarks import proof


def nothing():
    """No progress display."""


def test_two_recordings_of_one_seed_are_the_same(monkeypatch):
    names = ("nr-handover", "operation", "rogue-network", "records-outage")
    few = {name: proof.library.SCENARIOS[name] for name in names}
    monkeypatch.setattr(proof.library, "SCENARIOS", few)
    assert proof.repeat(0, nothing) == {"different": []}


def test_what_a_killed_run_left_would_be_found():
    entry = "TELEMED_BENCH_PROOF=of-this-test"
    name, value = entry.split("=")
    left = subprocess.Popen(["sleep", "20"], env={**os.environ, name: value})
    try:
        until = time.monotonic() + 10
        while not (found := proof.processes_with(entry)):  # it may not be there as a whole yet
            assert time.monotonic() < until
            time.sleep(0.01)
        assert found == [left.pid]
    finally:
        left.kill()
        left.wait()
    assert proof.processes_with(entry) == []
