"""Random faults of the simulators in random programs of the drivers: never a wrong number.

``./run proof --only instruments`` runs the same code over many more seeds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import instrument_faults as faults
from instruments.simulators.faults import FAULTS

SEEDS = range(100)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "REPLY_S", 0.05)
        folder = tmp_path_factory.mktemp("faults")
        return [faults.run(seed, folder) for seed in SEEDS]


def test_no_number_is_wrong_and_no_safe_state_is_only_said(found) -> None:
    figures = faults.summed(found)
    assert figures["wrong"] == []
    assert figures["unsafe"] == []
    assert figures["other"] == []
    assert figures["right"] > 60
    assert figures["refused"] > 30


def test_without_faults_nothing_is_refused(found) -> None:
    controls = [one for one in found if not one.faults]
    assert len(controls) == len(SEEDS) / 10
    assert all(one.refused == 0 for one in controls)
    assert sum(one.right for one in controls) > 25


def test_every_driver_and_every_fault_was_there(found) -> None:
    assert {one.role for one in found} == set(faults.SUBJECTS)
    assert set(faults.summed(found)["by_fault"]) == set(FAULTS) - {"drift"}


def test_a_driver_that_believes_late_answers_is_found(tmp_path, monkeypatch) -> None:
    """The count of wrong numbers can be other than 0."""
    monkeypatch.setattr(faults, "REPLY_S", 0.05)

    def believing(one, sim, rng):
        one.channel._line.exchange("VOLT? (@2)", 0.02, True)
        return []

    def late(one, sim, rng):
        with pytest.raises(faults.InstrumentError):
            believing(one, sim, rng)
        answer = one.channel._line.exchange("CURR? (@2)", 5.0, True)
        return [("current", float(answer), sim.number("amperes", 2))]

    subject = faults.SUBJECTS["supply"]
    changed = replace(subject, act=late)
    monkeypatch.setattr(faults, "SUBJECTS", {"supply": changed})
    monkeypatch.setattr(faults, "draw_faults", lambda rng, subject: ("late@VOLT?x1",))
    assert faults.run(1, tmp_path, actions=1).wrong


def test_an_interrupted_proof_goes_on_where_it_was(tmp_path, monkeypatch) -> None:
    path = tmp_path / "results" / "faults.jsonl"
    carried_out: list[int] = []

    def run(seed: int, folder) -> faults.Done:
        carried_out.append(seed)
        if seed == 2 and len(carried_out) == 3:
            raise KeyboardInterrupt
        return faults.Done(seed, "supply", ())

    monkeypatch.setattr(faults, "run", run)
    with pytest.raises(KeyboardInterrupt):
        faults.proof(4, lambda: None, path)
    assert faults.proof(4, lambda: None, path)["runs"] == 4
    assert carried_out == [0, 1, 2, 2, 3]
    monkeypatch.setattr(faults, "state_of_the_project", lambda: "another")
    faults.proof(1, lambda: None, path)
    assert carried_out[-1] == 0
