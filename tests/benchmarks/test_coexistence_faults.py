"""Random faults of the laboratory: a few of the proof's runs, and what its figures count."""

import pytest

from benchmarks import coexistence_faults as proof
from instruments.rf import analysers, testers
from instruments.simulators.outcome import Outcome

DRAWN = {number: proof.drawn(number) for number in range(400)}
QUICK = [number for number, (_, text, _, _) in DRAWN.items() if "stuck" not in text]
"""Without those that wait a minute for the end of an operation."""


SWEEP_S = 5.0
"""What a sweep may take here, else a minute: far more than a simulated one, or any delay, takes."""


@pytest.fixture(scope="module", autouse=True)
def impatient():
    """Nobody waits long for instruments that are simulated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysers, "SWEEP_S", SWEEP_S)
        patch.setattr(testers, "EVERY_S", 0.01)
        yield


@pytest.fixture(scope="module")
def ended(impatient):
    return [proof.carry_out(number) for number in QUICK[:8]]


def test_no_fault_ends_in_a_wrong_verdict_and_every_one_says_why(ended):
    found = proof.figures(ended)
    assert found["false_pass"] == found["false_fail"] == found["crashed"] == []
    assert found["without_cause"] == []
    assert found["controls"] == found["controls_right"] >= 2


def test_one_number_is_one_run():
    assert proof.drawn(7) == DRAWN[7]
    for role, text, _, _ in DRAWN.values():
        if role:
            proof.read_fault(text, field="f", file=proof.SHIPPED)
            assert role in proof.laboratory().described
    assert [number for number, (role, *_) in DRAWN.items() if not role] == list(range(0, 400, 5))
    late = [after for _, _, after, _ in DRAWN.values() if after is not None]
    assert 120 < len(late) < 200
    assert 0 <= min(late) < 10
    assert 80 < max(late) < proof.MESSAGES


class Counting:
    """An instrument that answers everything."""

    def __init__(self):
        self.handled = []

    def sorts(self, message):
        return frozenset({"query"})

    def handle(self, message, strikes=None):
        self.handled.append(message)
        return Outcome(b"1", [])


def test_a_late_fault_strikes_from_its_message_on():
    later = proof.Later(proof.read_fault("mutex2"), 3)
    subject, answers = Counting(), []
    for place in range(6):
        answers.append(later.answer(subject, b"ATT?").response)
        assert later.struck == (place >= 3)
    assert answers == [b"1", b"1", b"1", None, None, b"1"]
    assert len(subject.handled) == 6


def test_a_late_fault_strikes_the_session_and_not_the_taking_of_the_laboratory(monkeypatch):
    late = ("attenuator", "mute", 0, {})
    monkeypatch.setattr(proof, "drawn", lambda number: late)
    ended = proof.carry_out(1)
    assert (ended.verdict, ended.struck, ended.after) == ("ERROR", True, 0)
    assert "attenuator: is broken" in ended.reason
    assert "cannot be used" not in ended.reason  # as it is told while the laboratory is taken
    assert ended.cause_named


def test_figures_count_wrong_verdicts():
    runs = [
        proof.Ended(1, "f", "deaf-radio", "PASS", "r"),
        proof.Ended(2, "f", "", "FAIL", "r"),
        proof.Ended(3, "f", "", "ERROR", ""),
        proof.Ended(4, "supply: f", "", "ERROR", "the analyser is mute; a supplying one", 5, False),
        proof.Ended(6, "supply: f", "", "ERROR", "supply: no answer", 8),
        proof.Ended(5, "", "", "INCONCLUSIVE", "r"),
        proof.Ended(10, "", "deaf-radio", "FAIL", "r"),
    ]
    found = proof.figures(runs)
    assert [one["number"] for one in found["false_pass"]] == [1]
    assert [one["number"] for one in found["false_fail"]] == [2]
    assert [one["number"] for one in found["without_cause"]] == [3]
    assert [one["number"] for one in found["cause_not_named"]] == [3, 4]
    assert (found["late_fault"], found["late_fault_that_did_not_strike"]) == (2, 1)
    assert found["verdicts_with_late_fault"] == {"ERROR": 1}
    assert (found["controls"], found["controls_right"]) == (2, 1)


def test_an_interrupted_proof_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "r" / "c.jsonl"
    assert proof.kept_in(path).done == {}
    one = proof.Ended(3, "f", "", "PASS", "r")
    proof.kept_in(path).keep(one)
    with path.open("a") as file:
        file.write('{"number": 4, "fau')
    assert proof.kept_in(path).done == {3: one}
    monkeypatch.setattr(proof, "state", lambda: "another")
    assert proof.kept_in(path).done == {}
