"""What ``bench run`` leaves: the folder as the architecture lists it, sealed, judged again."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET

import pytest

RUN_KEYS = {
    "run_id", "completion", "start", "end", "content_hash", "order", "command", "versions",
    "git_commit", "host", "kernel", "scope", "noise_floor", "plan", "bench", "backend", "device",
    "seed", "full", "only", "allow_inconclusive", "certify", "options", "defects", "trials",
    "catalogue_sha256", "sessions",
}  # fmt: skip
VERDICT_KEYS = {
    "requirement", "test", "device", "stream", "metric", "reference_points", "verdict", "value",
    "unit", "uncertainty", "n", "confidence", "limit", "comparator", "margin", "rule", "reason",
    "reading", "against", "session", "attempt",
}  # fmt: skip
BEHAVIOURS = {"MON-2", "LIM-1", "LIM-2", "FAIL-1", "FAIL-3", "SW-1", "REC-1", "LOC-1", "MOB-1"}
SESSION_FILES = {
    "session.json", "packets.parquet", "events.jsonl", "stimulus.json", "transcript.jsonl",
}  # fmt: skip


def test_a_healthy_robot_passes_everything_in_scope(whole_run):
    assert whole_run.code == 0, whole_run.err
    assert {v["verdict"] for v in whole_run.verdicts} == {"PASS"}
    scope = whole_run.identity["scope"]
    inside = [(i["requirement"], i["stream"], i["test"]) for i in scope if i["in_scope"]]
    assert len(inside) >= 50
    judged = [(v["requirement"], v["stream"], v["test"]) for v in whole_run.verdicts]
    assert sorted(judged) == sorted(inside)
    assert {requirement for requirement, _, _ in inside} >= BEHAVIOURS
    for item in scope:
        assert item["in_scope"] or item["reason"], item
    assert "PASS" in whole_run.out
    assert "not a statement of conformity" in whole_run.out
    assert whole_run.out.strip().endswith(f"Report: {whole_run.run / 'report.html'}")


def test_a_run_judges_what_was_planned(bench, kit, whole_run):
    """One path: the same candidates, decisions, counts and trials."""
    words = (*kit.PLANS, *(f"--only={name}" for name in whole_run.identity["only"]))
    done = bench.call("plan", *words, "--device", kit.DEVICE, "--bench", "virtual", "--json")
    assert done.code == 0, done.err
    planned = json.loads(done.out)
    scope = whole_run.identity["scope"]
    assert len(scope) == len(planned["requirements"])
    known = {
        (row["requirement"], row["stream"], row["test"]): row for row in planned["requirements"]
    }
    for item in scope:
        row = known[item["requirement"], item["stream"], item["test"]]
        assert (row["in_scope"], row["reason"]) == (item["in_scope"], item["reason"])
        if item["in_scope"]:
            assert row["planned_n"] == item["planned_n"]
            assert row["power_at_half"] == item["power_at_half"]
    assert whole_run.identity["trials"] == planned["trials"]
    kpi = [v for v in whole_run.verdicts if v["stream"]]
    assert kpi
    for verdict in kpi:
        row = known[verdict["requirement"], verdict["stream"], verdict["test"]]
        assert verdict["n"] >= row["planned_n"]


def test_the_folder_is_as_described(whole_run, kit):
    run = whole_run.run
    plans = " ".join(kit.PLANS)
    assert {path.name for path in run.iterdir()} == {
        "run.json", "verdicts.json", "sessions", "report.html", "junit.xml", "allure",
        "SHA256SUMS",
    }  # fmt: skip
    identity = whole_run.identity
    assert identity.keys() >= RUN_KEYS
    assert identity["completion"] == "complete"
    assert identity["run_id"] == run.name
    assert identity["device"]["name"] == "telesurgery-robot"
    assert (identity["bench"], identity["seed"], identity["plan"]) == ("virtual", 7, plans)
    assert identity["command"][:2] == ["bench", "run"]
    for verdict in whole_run.verdicts:
        assert verdict.keys() >= VERDICT_KEYS
    sessions = {path.name for path in (run / "sessions").iterdir()}
    assert identity["sessions"] == {"complete": len(sessions), "failed": 0, "incomplete": 0}
    for name in sessions:
        folder = run / "sessions" / name
        assert {path.name for path in folder.iterdir()} == SESSION_FILES
        session = kit.read(folder / "session.json")
        assert (session["id"], session["completion"]) == (name, "complete")
        assert session["device"]["name"] == "telesurgery-robot"
        assert session["seed"] == 7
        assert kit.read(folder / "stimulus.json")["steps"]
    assert {v["session"] for v in whole_run.verdicts} <= sessions


def test_the_reports_say_what_the_verdicts_say(whole_run, kit):
    run = whole_run.run
    count = len(whole_run.verdicts)
    suite = ET.parse(run / "junit.xml").getroot()
    assert int(suite.get("failures")) == int(suite.get("errors")) == 0
    assert int(suite.get("tests")) >= count
    results = [kit.read(path) for path in (run / "allure").glob("*-result.json")]
    assert sum(result["status"] == "passed" for result in results) == count
    assert (run / "allure" / "environment.properties").exists()
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "not a statement of conformity" in html
    assert 'src="http' not in html
    assert 'href="http' not in html.replace('<a href="http', "")


def test_verify_and_judge_again(whole_run, bench, kit):
    run = whole_run.run
    assert bench.call("verify", run).code == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    done = bench.call("judge", run, "--json")
    assert done.code == 0, done.err
    again = kit.json.loads(done.out)
    assert again["differences"] == []
    assert sorted(map(str, again["verdicts"])) == sorted(map(str, whole_run.verdicts))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.fixture
def copy(small_run, tmp_path):
    """A sealed run that may be spoilt."""
    run = tmp_path / small_run.run.name
    shutil.copytree(small_run.run, run)
    return run


def test_the_seal_holds(copy, bench, kit):
    done = bench.call("verify", copy)
    assert done.code == 0, done.out
    found = kit.json.loads(bench.call("verify", copy, "--json").out)
    assert found == {"run": str(copy), "ok": True, "problems": []}


@pytest.mark.parametrize(
    "pattern",
    [
        "run.json", "verdicts.json", "report.html", "junit.xml", "allure/*-result.json",
        "sessions/local-stop-*/packets.parquet", "sessions/local-stop-*/events.jsonl",
        "sessions/null-path-*/session.json", "SHA256SUMS",
    ],
)  # fmt: skip
def test_an_edited_file_no_longer_verifies(copy, bench, pattern):
    file = next(copy.glob(pattern))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done = bench.call("verify", copy)
    assert done.code == 1
    assert file.name in done.out or file.name == "SHA256SUMS"
    assert "NOT VERIFIED" in done.out


@pytest.mark.parametrize("how", ["added", "removed", "added folder", "unsealed", "linked"])
def test_files_that_come_and_go_no_longer_verify(copy, bench, how):
    events = next(copy.glob("sessions/local-stop-*/events.jsonl"))
    if how == "added":
        (events.parent / "extra.txt").write_text("")
    elif how == "removed":
        events.unlink()
    elif how == "added folder":
        (copy / "sessions" / "another").mkdir()
        (copy / "sessions" / "another" / "session.json").write_text("{}")
    elif how == "unsealed":
        (copy / "SHA256SUMS").unlink()
    else:
        events.rename(copy.parent / "elsewhere")
        events.symlink_to(copy.parent / "elsewhere")
    assert bench.call("verify", copy).code == 1


def test_a_turned_verdict_is_found_without_the_seal(copy, bench, kit):
    """Judging again rests on the recording alone."""
    file = copy / "verdicts.json"
    file.write_text(file.read_text().replace('"PASS"', '"FAIL"'))
    done = bench.call("judge", copy, "--json")
    assert done.code == 4
    assert kit.json.loads(done.out)["differences"]
    file.write_text('{"verdicts": []}\n')
    done = bench.call("judge", copy)
    assert done.code == 4
    assert "no stored verdict, now PASS" in done.out


def test_a_report_of_a_sealed_run_is_written_elsewhere(copy, bench, kit, tmp_path):
    done = bench.call("report", copy)
    assert done.code == 0, done.err
    assert done.out.strip() == str(tmp_path / f"{copy.name}-report.html")
    assert (tmp_path / f"{copy.name}-report.html").stat().st_size > 10_000
    done = bench.call("report", copy, "--output", tmp_path / "mine.html")
    assert done.code == 0
    assert (tmp_path / "mine.html").exists()
    for inside in (copy / "report.html", copy / "sessions" / "new.html"):
        kit.one_line(bench.call("report", copy, "--output", inside), "sealed run", "--output")
    kit.one_line(bench.call("report", copy, "--output", "/proc/x/y.html"), "cannot be written")
    assert bench.call("verify", copy).code == 0


def test_results_go_below_the_folder_one_stands_in(bench, tmp_path):
    words = ("--only=LOC-1", "--results=results")
    done = bench.run(*words, results=tmp_path / "results", cwd=tmp_path)
    assert done.code == 0, done.err
    assert bench.call("verify", done.run).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
