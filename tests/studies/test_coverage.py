"""Traceability both ways, from what is collected, the catalogue and stored verdicts."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench.devices.profile import Declaration
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.scope import Candidate
from bench.judge.verdict import Outcome
from bench.report.coverage import print_coverage
from bench.requirements.loader import load_catalogue
from bench.requirements.model import Source, Statement
from bench.studies.collection import Collected, collect
from bench.studies.coverage import Coverage, coverage, stored_runs
from bench.studies.invoke import plan_folders

CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")
TODAY = date(2026, 11, 21)
TESTS = Collected(
    (
        Candidate("LOC-1", "", "stop", "local-stop"),
        Candidate("SW-1", "", "switch[a]", "primary-outage"),
        Candidate("SW-1", "", "switch[b]", "radio-link-failure"),
        Candidate("000-t2-force-delay", "haptic-command", "kpi[force]", "steady-5g-slice"),
        Candidate("000-t2-video-3d-delay", "", "kpi[3d]", "steady-5g-slice"),
    ),
    ("wanders",),
)


def statement(*mission: str) -> Statement:
    source = Source("000", "d", "p", "t")
    return Statement(f"S-{'-'.join(mission)}", source, "r", "any", "behaviour", mission)


def run(start: str, *verdicts: tuple[str, str]) -> SimpleNamespace:
    return SimpleNamespace(
        path=Path(f"run-{start}"),
        identity={"start": start},
        verdicts=[SimpleNamespace(requirement=r, verdict=Outcome(v)) for r, v in verdicts],
    )


def found(*runs: SimpleNamespace, statements: tuple[Statement, ...] = (), device=ROBOT) -> Coverage:
    catalogue = dataclasses.replace(CATALOGUE, statements={s.id: s for s in statements})
    return coverage(catalogue, [TESTS], runs, [device], TODAY)


def line(of: Coverage, name: str):
    return next(line for line in of.lines if line.id == name)


def test_tests_by_requirement_and_requirements_by_test():
    all_of_it = found()
    assert line(all_of_it, "SW-1").tests == ("switch[a]", "switch[b]")
    assert all_of_it.tests()["switch[b]"] == ("SW-1",)
    assert all_of_it.tests()["wanders"] == ()
    assert all_of_it.uncited == ("wanders",)
    assert {line.id for line in all_of_it.lines} == set(CATALOGUE)


def test_a_stream_that_no_device_carries_is_not_covered():
    entry = line(found(), "000-t2-video-3d-delay")
    assert (entry.covered, entry.tests) == (False, ())
    assert entry in found().uncovered


def test_the_newest_run_counts_and_its_worst_verdict():
    old = run("2026-11-20", ("SW-1", "FAIL"), ("LOC-1", "PASS"))
    new = run("2026-11-21", ("SW-1", "PASS"), ("SW-1", "INCONCLUSIVE"))
    for order in ((old, new), (new, old)):
        entry = line(found(*order), "SW-1")
        assert (entry.last_verdict, entry.last_run) == ("INCONCLUSIVE", "run-2026-11-21")
        assert line(found(*order), "LOC-1").last_verdict == "PASS"
    assert line(found(), "LOC-1").last_verdict is None


def test_a_statement_is_answered_by_all_of_its_behaviours():
    both, lacking = statement("SW-1", "LOC-1"), statement("SW-1", "REC-1")
    of = found(run("1", ("SW-1", "PASS")), statements=(both, lacking))
    assert line(of, both.id).covered
    assert line(of, both.id).last_verdict is None, "LOC-1 was never judged"
    assert line(of, both.id).tests == ("switch[a]", "switch[b]", "stop")
    assert line(of, lacking.id).why_not == "no test judges REC-1"
    judged = found(run("1", ("SW-1", "PASS"), ("LOC-1", "FAIL")), statements=(both,))
    assert line(judged, both.id).last_verdict == "FAIL"
    assert both.id not in judged.tests().get("stop", ())


def test_a_behaviour_without_a_defect_that_its_tests_must_catch_is_not_covered():
    assert line(found(), "SW-1").defects == ("never-switches", "old-sequence")
    assert line(found(), "SW-1").covered
    of = coverage(CATALOGUE, [TESTS], [], [ROBOT], TODAY, defects={})
    assert line(of, "SW-1").why_not == "no deliberate defect breaks it"
    assert line(of, "SW-1") in of.uncovered
    assert line(of, "000-t2-force-delay").covered, "a figure needs a test only"


def test_a_test_of_a_declaration_covers_it():
    emc = Collected((Candidate("EMC-1", "", "report", ""),), ())
    silent = dataclasses.replace(ROBOT, declarations={})
    of = coverage(CATALOGUE, [emc], [], [silent], TODAY)
    assert (line(of, "EMC-1").covered, line(of, "EMC-1").tests) == (True, ("report",))
    assert not line(of, "EXP-1").covered


def test_a_declaration_covers_where_it_stands():
    emc = dataclasses.replace(CATALOGUE.get("LOC-1"), id="EMC-X", kind="declaration")
    catalogue = dataclasses.replace(CATALOGUE, requirements={"EMC-X": emc}, statements={})
    none = Collected((), ())
    without = coverage(catalogue, [none], [], [ROBOT], TODAY).lines[0]
    assert (without.covered, without.why_not) == (False, "no device profile declares it")
    assert without.declaration == "telesurgery-robot: not declared"
    named = dataclasses.replace(
        ROBOT, declarations={"EMC-X": Declaration("TR", "Lab", "2026-01-01")}
    )
    assert coverage(catalogue, [none], [], [named], TODAY).lines[0].covered


def test_it_can_be_read_by_programs_and_people():
    of = found(run("1", ("SW-1", "PASS")), statements=(statement("SW-1"),))
    data = json.loads(json.dumps(of.to_json()))
    entry = next(e for e in data["requirements"] if e["id"] == "SW-1")
    assert (entry["tests"], entry["last_verdict"]) == (["switch[a]", "switch[b]"], "PASS")
    assert data["uncited"] == ["wanders"]
    out = Console(file=io.StringIO())
    print_coverage(of, console=out)
    text = out.file.getvalue()
    assert "SW-1: PASS in run-1; switch (2 tests)" in text
    assert "wanders" in text
    assert "000-t2-video-3d-delay" in text
    assert "SW-1: 2 tests; never-switches, old-sequence" in text
    assert "LOC-2: no test; no test judges it" in text


def test_damaged_and_unfinished_runs_are_left_aside(ended, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "other").mkdir()
    assert stored_runs(tmp_path) == ()
    assert stored_runs(tmp_path / "nowhere") == ()
    assert [run.path for run in stored_runs(ended.parent)] == [ended]


def test_collecting_the_plans_that_exist():
    folders = plan_folders()
    assert "therapy" in folders
    plain = collect([folders["therapy"]], "telesurgery-robot")
    stereo = collect([folders["therapy"]], "telesurgery-robot", options=("video-3d",))
    assert {c.stream for c in stereo.candidates} - {c.stream for c in plain.candidates} == {
        "video-3d"
    }
    assert plain.uncited == ()
    with pytest.raises(InputError, match=r"--device = 'nobody': unknown device; use one of"):
        collect([folders["therapy"]], "nobody")
    with pytest.raises(InputError, match=r"nothing was collected|not found"):
        collect([Path("nowhere")], "telesurgery-robot")


def test_a_test_without_a_requirement_is_told(tmp_path):
    (tmp_path / "test_own.py").write_text("def test_nothing(device):\n    pass\n")
    assert collect([tmp_path], "telesurgery-robot").uncited == ("test_own.py::test_nothing",)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "test_broken.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(InputError, match=r"test_broken\.py: cannot be collected"):
        collect([broken], "telesurgery-robot")
