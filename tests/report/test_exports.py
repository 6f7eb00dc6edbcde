"""JUnit and Allure: valid files in which nothing but a PASS reads as passed."""

import dataclasses
import json
from collections import Counter
from xml.etree import ElementTree as Xml

import pytest

from bench.judge.outcomes import MAPPING
from bench.judge.verdict import Outcome
from bench.report.allure import write_allure
from bench.report.data import WATERMARK, report_data
from bench.report.junit import write_junit


def cases(report, folder):
    path = folder / "junit.xml"
    write_junit(report, path)
    root = Xml.parse(path).getroot()
    return root, {case.get("name"): case for case in root.iter("testcase")}


def results(report, folder):
    write_allure(report, folder / "allure")
    files = sorted((folder / "allure").glob("*-result.json"))
    return [json.loads(file.read_text()) for file in files]


def test_junit_maps_every_verdict(report, tmp_path):
    root, found = cases(report, tmp_path)
    assert len(found) == len(report.verdicts) + len(report.out_of_scope)
    kinds = {name: [c.tag for c in case if c.tag != "properties"] for name, case in found.items()}
    assert kinds["SW-1"] == ["failure"]
    assert kinds["LIM-2"] == kinds["MOB-1"] == ["error"]
    assert kinds["LOC-1"] == []
    assert kinds["KPI-T2-force-loss haptic-command"] == ["skipped"]
    assert found["MOB-1"].find("error").get("type") == "INCONCLUSIVE"
    assert found["LIM-2"].find("error").get("type") == "ERROR"
    assert "outside 5 %" in found["MOB-1"].find("error").get("message")
    skipped = found["KPI-T2-force-loss haptic-command"].find("skipped").get("message")
    assert "29956 samples" in skipped
    totals = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert totals == {"tests": "25", "failures": "1", "errors": "2", "skipped": "3"}


def test_junit_carries_figures_class_and_watermark(report, tmp_path):
    root, found = cases(report, tmp_path)
    case = found["KPI-T2-force-delay haptic-command"]
    assert case.get("classname") == "testplans.therapy.test_kpi"
    assert case.get("file") == "testplans/therapy/test_kpi.py"
    figures = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert (figures["value"], figures["limit"]) == ("0.00261", "0.01")
    assert float(figures["margin"]) == pytest.approx(0.00739)
    suite = {p.get("name"): p.get("value") for p in root.find("testsuite/properties")}
    assert suite["watermark"] == WATERMARK


def test_the_mapping_is_one_table():
    for outcome in Outcome:
        mapped = MAPPING[outcome]
        assert (mapped.allure == "passed") == (outcome is Outcome.PASS)
    assert MAPPING[Outcome.FAIL].junit == "failure"
    assert MAPPING[Outcome.ERROR].junit == MAPPING[Outcome.INCONCLUSIVE].junit == "error"


def test_allure_results_map_status_and_name_the_requirement(report, tmp_path):
    found = {result["name"]: result for result in results(report, tmp_path)}
    assert len(found) == len(report.verdicts) + len(report.out_of_scope)
    status = Counter(result["status"] for result in found.values())
    assert status == {"passed": 19, "failed": 1, "broken": 1, "unknown": 1, "skipped": 3}
    force = found["KPI-T2-force-delay haptic-command: Delay of force"]
    assert force["links"][0]["name"] == "KPI-T2-force-delay"
    assert {"name": "requirement", "value": "KPI-T2-force-delay"} in force["labels"]
    assert force["statusDetails"]["message"].startswith("PASS: ")
    assert force["start"] < force["stop"]
    assert WATERMARK in force["description"]
    assert found["MOB-1: Limits hold, or alarm, at a handover"]["status"] == "unknown"


def test_allure_attaches_plots_and_tables_that_exist(report, tmp_path):
    for result in results(report, tmp_path):
        for attachment in result.get("attachments", []):
            assert (tmp_path / "allure" / attachment["source"]).stat().st_size > 0
        if result["fullName"].endswith("::LOC-1"):
            kinds = {a["name"]: a["type"] for a in result["attachments"]}
    assert kinds == {
        "Verdict": "application/json",
        "Session over time": "image/svg+xml",
        "Stimulus": "text/csv",
    }
    for file in (tmp_path / "allure").glob("*.svg"):
        assert Xml.parse(file).getroot().tag.endswith("svg")


def test_allure_environment_is_a_java_properties_file(sample, tmp_path):
    write_allure(report_data(sample.run_record(host="b\u00e4nk=1\nx=2\\")), tmp_path / "allure")
    lines = (tmp_path / "allure" / "environment.properties").read_text("ascii").splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert values["watermark"] == WATERMARK.replace("—", "\\u2014")
    assert values["seed"] == "7"
    assert values["host"] == "b\\u00e4nk=1 x=2\\\\"
    assert "x" not in values


def test_allure_leaves_nothing_of_an_earlier_run(report, tmp_path):
    results(report, tmp_path)
    again = results(report_data({"completion": "complete"}), tmp_path)
    assert again == []


def test_a_killed_run_never_looks_green(report, tmp_path):
    data = dataclasses.replace(report, run={"completion": "incomplete"}, verdicts=())
    root, found = cases(data, tmp_path)
    in_scope = sum(1 for item in data.scope if item["in_scope"])
    assert root.get("errors") == str(in_scope + 1)
    assert found["run"].find("error") is not None
    statuses = {result["status"] for result in results(data, tmp_path)}
    assert statuses == {"unknown", "skipped"}
    empty, found = cases(report_data({}), tmp_path)
    assert empty.get("errors") == "1"


def test_one_requirement_in_two_sessions_keeps_two_names(report, tmp_path):
    one = next(v for v in report.verdicts if v["requirement"] == "MON-2")
    two = dict(one, session="radio-link-failure-0123abcd")
    _, found = cases(dataclasses.replace(report, verdicts=(one, two, two), scope=()), tmp_path)
    assert list(found) == [
        "MON-2 in blackout",
        "MON-2 in radio-link-failure",
        "MON-2 in radio-link-failure (2)",
    ]


def test_hostile_text_stays_text(report, tmp_path):
    bad = "</testcase><x a='\"&\x00\x1b[0m"
    verdict = dict(report.verdicts[0], requirement=bad, stream=bad, reason=bad, test=bad, value=bad)
    data = dataclasses.replace(report, verdicts=(dict(verdict, verdict="FAIL"),), scope=())
    root, found = cases(data, tmp_path)
    assert len(found) == 1
    assert root.get("failures") == "1"
    (result,) = results(data, tmp_path)
    assert result["status"] == "failed"
