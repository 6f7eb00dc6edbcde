"""Random faults of the laboratory: a few of the proof's runs, and what its figures count."""

import pytest

from benchmarks import coexistence_faults as proof

QUICK = [
    number
    for number in range(60)
    if "stuck" not in proof.fault_of(proof.random.Random(f"coexistence {number}"))[1]
]
"""Without those that wait a minute for the end of an operation."""


@pytest.fixture(scope="module")
def ended():
    return [proof.carry_out(number) for number in QUICK[:8]]


def test_no_fault_ends_in_a_wrong_verdict_and_every_one_says_why(ended):
    found = proof.figures(ended)
    assert found["false_pass"] == found["false_fail"] == found["crashed"] == []
    assert found["without_cause"] == []
    assert found["controls"] == found["controls_right"] >= 2


def test_one_number_is_one_run():
    assert proof.fault_of(proof.random.Random("x")) == proof.fault_of(proof.random.Random("x"))
    for number in range(400):
        role, text = proof.fault_of(proof.random.Random(f"coexistence {number}"))
        proof.read_fault(text, field="f", file=proof.SHIPPED)
        assert role in proof.laboratory().described


def test_figures_count_wrong_verdicts():
    runs = [
        proof.Ended(1, "f", "deaf-radio", "PASS", "r"),
        proof.Ended(2, "f", "", "FAIL", "r"),
        proof.Ended(3, "f", "", "ERROR", ""),
        proof.Ended(5, "", "", "INCONCLUSIVE", "r"),
        proof.Ended(10, "", "deaf-radio", "FAIL", "r"),
    ]
    found = proof.figures(runs)
    assert [one["number"] for one in found["false_pass"]] == [1]
    assert [one["number"] for one in found["false_fail"]] == [2]
    assert [one["number"] for one in found["without_cause"]] == [3]
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
