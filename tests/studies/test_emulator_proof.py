"""The short proof before a run: made where there is an emulator, and a failure spoils the run."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.benches.base import BenchError
from bench.measure.floor import NoiseFloor, StreamFloor
from bench.measure.kpi import time_budget
from bench.report.sessions import _proof_line
from bench.studies import certify
from bench.studies.certificate import Certificate
from bench.studies.certify import certify as certify_virtual
from bench.studies.emulator_proof import prove_emulator, with_emulator

LOCAL = SimpleNamespace(name="local", backend="userspace")


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return certify_virtual("virtual", seed=7, quick=True)


def given(monkeypatch, answer):
    def short_proof(backend, seed, *, lease):
        assert (backend, seed, lease) == ("userspace", 7, False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(certify, "short_proof", short_proof)


def test_a_bench_without_packets_has_no_emulator_to_prove():
    assert prove_emulator(SimpleNamespace(name="virtual"), 7) == (None, "")


def test_what_holds_is_recorded_and_spoils_nothing(monkeypatch, certificate):
    given(monkeypatch, certificate)
    found, unsound = prove_emulator(LOCAL, 7)
    assert found["verdict"] == "holds"
    assert unsound == ""
    assert "holds" in _proof_line(found)


def test_another_behaviour_than_was_told_spoils_the_run_and_lateness_does_not(
    monkeypatch, certificate
):
    late = replace(certificate.rows[0], verdict="inconclusive", reason="late by 5 ms")
    given(monkeypatch, replace(certificate, rows=(late,)))
    found, unsound = prove_emulator(LOCAL, 7)
    assert found["verdict"] == "inconclusive"
    assert unsound == ""
    assert "late by 5 ms" in _proof_line(found)

    wrong = replace(late, verdict="fails", reason="3 packets lost that were to pass")
    given(monkeypatch, replace(certificate, rows=(late, wrong)))
    found, unsound = prove_emulator(LOCAL, 7)
    assert found["verdict"] == "fails"
    assert "does not do what it is told" in unsound
    assert wrong.reason in unsound


def test_a_proof_that_could_not_be_made_says_so(monkeypatch):
    given(monkeypatch, BenchError("no address left\nmore"))
    found, unsound = prove_emulator(LOCAL, 7)
    assert (found["verdict"], found["reason"], unsound) == ("not made", "no address left", "")
    assert "no address left" in _proof_line(found)


def test_its_error_is_a_term_of_every_time_that_is_judged(certificate):
    one = StreamFloor(3e-5, 1e-4, 2e-4, 1e-3, 1e-4, 2e-4, 9)
    floor = NoiseFloor("n", {"force": one}, True)
    recording = SimpleNamespace(bench="local", health=SimpleNamespace(clock_step_s=0.0))

    def terms(proof):
        found = time_budget([recording], "force", with_emulator(floor, proof))
        return {term.name: term.standard for term in found}

    proof = {**certificate.to_json(), "uncertainty": {"delay_error_p50_s": 3e-3}}
    assert terms(proof)["emulator"] == pytest.approx(3e-3 / 3**0.5)
    for none in (None, {"verdict": "not made"}):
        assert "emulator" not in terms(none)
    assert with_emulator(None, proof) is None
