"""``bench run coexistence`` as a user sees it: the simulated laboratory, over its sockets."""

from __future__ import annotations

import json
import re
from statistics import NormalDist

import pytest

from bench.benches.lab.file import SHIPPED
from bench.report.plots import COLOURS
from tests.support.coexistence_plans import PLAN, light_robot

TOLD_AS_IT_GOES = """
import os, time
from bench.studies.coexistence.explore import Trials
carried_out, out, begun = Trials.carry_out, os.readlink("/proc/self/fd/1"), []

def waiting(self, exposure):
    deadline = time.monotonic() + 20
    while open(out, encoding="utf-8").read().count(", I/U ") < len(begun):
        assert time.monotonic() < deadline, "the last point was not told before the next one"
        time.sleep(0.01)
    begun.append(exposure)
    return carried_out(self, exposure)

Trials.carry_out = waiting
"""
"""Each point is carried out only when the one before it can be read on stdout."""


def test_it_exposes_searches_judges_and_reports(bench, tmp_path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    done = bench.call(
        "run", "coexistence", "--device", str(light_robot(tmp_path)), "--coexistence", str(plan),
        "--json", reports=True, setup=TOLD_AS_IT_GOES, within=180,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert {v["requirement"]: v["verdict"] for v in done.verdicts} == {
        "COEX-1": "PASS", "MON-2": "PASS", "SW-1": "PASS",
    }  # fmt: skip
    assert done.identity["laboratory"]["simulated"] == [
        "analyser", "attenuator", "fading", "generator", "modem", "neighbour", "other", "serving",
        "supply",
    ]  # fmt: skip
    found = done.identity["coexistence"]
    (column,) = found["columns"]
    assert (column["boundary"]["kept"], column["boundary"]["fails"]) == (3, 4)
    assert all("FSW" in point["verified_by"] for point in column["points"])
    assert 0 < found["likelihood"]["low"] <= found["likelihood"]["value"] <= 1
    told = [json.loads(line) for line in done.out.splitlines()]
    said = [one["text"] for one in told if one["event"] == "note"]
    assert any("5 levels are too few to save 40 %" in text for text in said)
    assert any("I/U" in text and "kept" in text for text in said)
    assert any("I/U" in text and "lost" in text for text in said)
    assert len([text for text in said if ", I/U " in text]) == len(column["points"]) >= 3
    the_report_shows(found, (done.run / "report.html").read_text())
    again = bench.call("judge", str(done.run), "--json")
    assert again.code == 0, again.err
    assert bench.call("verify", str(done.run)).code == 0


def the_report_shows(found, text) -> None:
    """Every point in the plot, the ratios between which it fails, and the likelihood by hand."""
    part = text[text.index('<h2 id="coexistence">') : text.index('<h2 id="sessions">')]
    (column,) = found["columns"]
    points = column["points"]
    (svg,) = re.findall(r'<svg role="img" aria-label="Ratio of unintended.*?</svg>', part, re.S)
    drawn = []
    for failed, colour in ((False, COLOURS[0]), (True, COLOURS[1])):
        marks = re.findall(rf'<use [^>]* y="([0-9.]+)" style="fill: {colour.lower()};[^>]*>', svg)
        drawn += [(float(height), failed) for height in marks]
    by_ratio = sorted((point["ratio_db"], point["failed"]) for point in points)
    assert [failed for _, failed in sorted(drawn, reverse=True)] == [last for _, last in by_ratio]
    assert svg.count("opacity: 0.22") == 1
    assert "<td>lte20 in the channel</td><td>+6 to +12 dB</td>" in part
    doubt_db = max(point["uncertainty_db"] for point in points)
    wanted_dbm = found["radio"]["wanted_dbm"]
    by_hand = [
        100 * (1 - 0.5 * (1 - NormalDist(-62, 4).cdf(level)))
        for level in (wanted_dbm + 6 - doubt_db, wanted_dbm + 12 + doubt_db)
    ]
    shown = re.search(r"<b>([0-9.]+) % \(([0-9.]+) to ([0-9.]+) %\)</b>", part)
    assert shown is not None
    value, low, high = map(float, shown.groups())
    assert [low, high] == pytest.approx(by_hand, abs=0.02)
    assert low < value < high


def test_what_it_refuses(bench, tmp_path) -> None:
    done = bench.call(
        "run", "coexistence", "--device", "tele-ultrasound-robot", "--bench", "virtual",
        "--coexistence", str(tmp_path / "none.toml"),
    )  # fmt: skip
    assert done.code == 2
    assert "none.toml: no such file" in done.err


@pytest.mark.parametrize("how", [(), ("--bench", "LAB")])
def test_a_plan_of_another_method_than_the_laboratorys_is_refused_before_the_first_session(
    bench, kit, tmp_path, how
) -> None:
    for file in SHIPPED.parent.glob("simulated-lab*.toml"):
        (tmp_path / file.name).write_text(file.read_text())
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.replace('"conducted"', '"open"'))
    done = bench.call(
        "run", "coexistence", "--device", "tele-ultrasound-robot", "--coexistence", str(plan),
        *(word.replace("LAB", str(tmp_path / SHIPPED.name)) for word in how),
    )  # fmt: skip
    kit.one_line(done, "plan.toml: method = 'open'", "its bench file says conducted")
    assert not done.runs
