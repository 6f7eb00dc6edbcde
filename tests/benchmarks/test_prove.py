"""The long proof of bench prove: what was carried out is kept, and nothing of another state is."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.studies.prove_units import Done, Seen
from benchmarks import prove

DONE = Done("a device a-defect=1.0 3", 1, (Seen("LOC-1", "local-stop", "FAIL", 0.05, "s", "x"),))


def test_what_was_kept_comes_back(tmp_path):
    path = tmp_path / "results" / "prove.jsonl"
    kept = prove.kept_units(path, "one state")
    assert kept.done == {}
    kept.keep(DONE)
    assert prove.kept_units(path, "one state").done == {DONE.key: DONE}


def test_a_line_that_was_cut_off_is_carried_out_again(tmp_path):
    path = tmp_path / "prove.jsonl"
    kept = prove.kept_units(path, "one state")
    kept.keep(DONE)
    kept.keep(Done("another 4", 1, ()))
    path.write_text(path.read_text()[:-20])
    again = prove.kept_units(path, "one state")
    assert again.done == {DONE.key: DONE}
    again.keep(Done("another 4", 1, ()))  # not joined to what was cut off
    assert set(prove.kept_units(path, "one state").done) == {DONE.key, "another 4"}


def test_what_another_state_of_the_project_came_to_is_thrown_away(tmp_path):
    path = tmp_path / "prove.jsonl"
    prove.kept_units(path, "one state").keep(DONE)
    assert prove.kept_units(path, "another").done == {}
    assert json.loads(path.read_text()) == {"state": "another"}


def test_the_state_is_that_of_the_code(tmp_path, monkeypatch):
    for folder in ("bench", "fixtures", "testplans"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(prove, "TOP", tmp_path)
    before = prove.state_of_the_project()
    (tmp_path / "bench" / "new.py").write_text("x = 1\n")
    after = prove.state_of_the_project()
    assert before != after == prove.state_of_the_project()
    (tmp_path / "bench" / "report").mkdir()
    (tmp_path / "bench" / "report" / "new.py").write_text("x = 1\n")
    assert after == prove.state_of_the_project()


def test_no_unit_rests_on_what_the_state_leaves_out():
    """Nothing of it is imported where units are carried out, but for what writes and shows runs."""
    carry_out = (
        "import sys; from bench.studies import prove, prove_run, prove_units as units;"
        "from bench.requirements.loader import load_catalogue as load;"
        "subjects = prove_run.subjects_of(prove_run.Wish(defects=('unguarded-stop',)));"
        "defects = prove.chosen_defects({}, subjects);"
        "case = prove.faulty(subjects, defects, load(), everywhere=False)[0];"
        "units.carry_out(case.unit(1)); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", carry_out], capture_output=True, text=True, timeout=120, check=True
    )
    used = {name.replace(".", "/") for name in done.stdout.split()}
    assert "bench/benches/virtual" in used
    shown = ("bench/report", "bench/runs")
    assert set(shown) < set(prove.ELSEWHERE)
    assert not [n for n in used if n.startswith(prove.ELSEWHERE) and not n.startswith(shown)]


def test_the_table_goes_between_its_marks(tmp_path, monkeypatch):
    page = tmp_path / "prove.md"
    page.write_text(f"before\n\n{prove.BEGIN}\n\nold\n\n{prove.END}\n\nafter\n")
    monkeypatch.setattr(prove, "DOCS", page)
    prove._publish("new")
    assert page.read_text() == f"before\n\n{prove.BEGIN}\n\nnew\n\n{prove.END}\n\nafter\n"


def test_the_page_has_its_marks():
    text = prove.DOCS.read_text(encoding="utf-8")
    assert 0 < text.index(prove.BEGIN) < text.index(prove.END)
