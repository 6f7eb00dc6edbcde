"""``bench check FILE`` as a user sees it."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.support.bench_files import served, written

FAULTS = "[[simulated.paths]]"


def test_a_laboratory_as_json_and_its_exit_codes(bench, tmp_path) -> None:
    done = bench.call("check", "simulated-lab", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["complete"] is True
    assert [one["role"] for one in found["instruments"]] == [
        "generator", "analyser", "attenuator", "supply",
        "serving", "neighbour", "fading", "other", "modem",
    ]  # fmt: skip
    fault = f'[simulated.faults]\ngenerator = ["refuse"]\n{FAULTS}'
    done = bench.call("check", str(written(tmp_path, (FAULTS, fault))))
    assert done.code == 3
    assert "missing   generator" in done.out
    assert "remedy: switch it on" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--accept",), "--accept: is for a laboratory"),
        (("simulated-lab", "--accept"), "what is simulated is never accepted"),
        (("simulated-lab", "--clean"), "--clean: is for the host"),
        (("none.toml",), "none.toml: no such file"),
    ],
)
def test_what_it_refuses(bench, words, message) -> None:
    done = bench.call("check", *words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_run_that_is_ended_leaves_the_instruments_safe(bench, tmp_path) -> None:
    with served(tmp_path) as (path, hardware):
        words = ("run", "coexistence", "--bench", path, "--device", "tele-ultrasound-robot")
        process = bench.start(*words, "--only", "COEX-1", "--results", tmp_path / "results")
        try:
            until = time.monotonic() + 60
            while not hardware.state().emissions and time.monotonic() < until:
                time.sleep(0.005)
            assert hardware.state().emissions, "never exposed"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 130
        state = hardware.state()
        assert not state.emissions
        assert state.attenuations_db["attenuator:1"] == 90.0


def test_an_instrument_that_fails_is_a_verdict_of_error_with_its_cause(bench, tmp_path) -> None:
    fault = f'[simulated.faults]\ngenerator = ["half@FREQ?x1"]\n{FAULTS}'
    path = written(tmp_path, (FAULTS, fault), ('reply = "5s"', 'reply = "300ms"'))
    words = ("--bench", path, "--device", "tele-ultrasound-robot", "--only", "COEX-1")
    done = bench.run(*words, plan="coexistence")
    assert done.code == 4
    (verdict,) = done.verdicts
    assert verdict["verdict"] == "ERROR"
    assert "an instrument failed: generator: :SOUR1:FREQ?" in verdict["reason"]
    assert "half of one came" in verdict["reason"]
