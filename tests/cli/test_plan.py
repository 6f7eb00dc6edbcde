"""bench plan: what a run would judge, before it starts; test_run_folder.py: that it does."""

from __future__ import annotations

import json
import re

import pytest

DEVICE = ("--device", "telesurgery-robot")


@pytest.fixture(scope="module")
def planned(bench, kit):
    done = bench.call("plan", *kit.PLANS, *DEVICE, "--bench", "virtual", "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    return json.loads(done.out)


def test_it_names_what_each_requirement_takes(planned):
    loss = next(
        row for row in planned["requirements"]
        if (row["requirement"], row["stream"]) == ("000-t2-force-loss", "force-feedback")
    )  # fmt: skip
    assert loss["needed_n"] == 29956
    assert loss["needed_s"] == pytest.approx(32.95, abs=0.01)
    assert loss["rate_per_s"] == 1000
    assert loss["needs"] == "loss 0.0001 at 95 % needs 30 s at 1 kHz"
    assert loss["in_scope"] is True
    assert loss["power_at_half"] > 0.9
    assert loss["planned_n"] == loss["power_n"] > loss["sprt_expected_n"] > loss["needed_n"]
    stop = next(row for row in planned["requirements"] if row["requirement"] == "LOC-1")
    demonstrated, probability = stop["claims"]
    assert (demonstrated["trials"], probability["trials"]) == (1, 59)
    assert probability["duration_s"] == pytest.approx(59 * 6.0)
    again = next(row for row in planned["requirements"] if row["requirement"] == "REC-1")
    assert "59 reconnections after 600 s need 9.8 h" in again["needs"]


def test_every_row_has_every_key_and_what_is_left_out_its_reason(planned):
    first = planned["requirements"][0]
    for row in planned["requirements"]:
        assert list(row) == list(first)
        assert row["in_scope"] is (row["reason"] == "")
        assert (row["planned_n"] is None) is (not row["in_scope"])
    assert planned["duration_s"] == pytest.approx(
        sum(each["count"] * each["each_s"] for each in planned["sessions"])
    )


def test_lines_for_people(bench, kit):
    done = bench.call("plan", *kit.PLANS, *DEVICE, "--bench", "local")
    assert done.code == 0, done.err
    assert "the noise floor of this host is measured first" in done.out
    assert "2995 packets at 25/s take 131.8 s; this run's budget is 40 s" in done.out
    assert "passes half the limit in 16 % of runs" in done.out, "weak power is said"
    assert re.match(r"\d+ to judge, \d+ left out; \d+ sessions", done.out.splitlines()[-1])


def test_what_the_profile_alone_decides_takes_no_session(bench, tmp_path, kit):
    profile = kit.ROOT / "bench" / "devices" / "data" / "telesurgery-robot.toml"
    file = tmp_path / "robot.toml"
    file.write_text(profile.read_text().replace('"motion", ', ""))
    words = ("plan", "declarations", "local_control", "--device", file, "--bench", "virtual")
    done = bench.call(*words)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "in   EMC-1: no session; a report that the profile names" in lines
    assert "in   LOC-1 local-stop: no session; nothing: motion is not declared" in lines
    data = json.loads(bench.call(*words, "--json").out)
    assert [s["scenario"] for s in data["sessions"]] == ["null-path"]


def test_nothing_is_made(bench, tmp_path):
    done = bench.call("plan", "therapy", *DEVICE, "--bench", "virtual", cwd=tmp_path)
    assert done.code == 0, done.err
    assert list(tmp_path.iterdir()) == []


def test_a_path_an_option_and_one_requirement(bench, kit):
    done = bench.call(
        "plan", "testplans/therapy", *DEVICE, "--bench=virtual", "--option=video-3d",
        "--only=000-t2-video-3d-loss", "--json", cwd=kit.ROOT,
    )  # fmt: skip
    (row,) = json.loads(done.out)["requirements"]
    assert (row["stream"], row["in_scope"]) == ("video-3d", True)


def test_full_and_budget(bench, kit):
    words = ("plan", *kit.PLANS, *DEVICE, "--bench=virtual", "--json")
    full = json.loads(bench.call(*words, "--full", "--confidence=0.99").out)
    assert (full["trials"], full["confidence"]) == (90, 0.99)
    assert all(r["power_at_half"] is None or r["power_at_half"] >= 0.9
               for r in full["requirements"])  # fmt: skip
    short = json.loads(bench.call(*words, "--budget=2min").out)
    assert short["duration_s"] <= 120
    left_out = [row for row in short["requirements"] if "longer than this run" in row["reason"]]
    assert left_out
    assert all(row["figure"] for row in left_out)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("nowhere", *DEVICE), ("PLAN", "nowhere", "therapy", "all")),
        (("therapy", "nowhere", *DEVICE), ("PLAN", "nowhere", "therapy")),
        (("all", "therapy", *DEVICE), ("PLAN", "therapy", "all")),
        (("all", "--device=robot"), ("--device", "telesurgery-robot")),
        (("therapy", "--device=robot"), ("--device", "telesurgery-robot")),
        (("therapy", *DEVICE, "--bench=mars"), ("--bench", "mars", "virtual")),
        (("therapy", *DEVICE, "--option=x-ray"), ("--option", "video-3d")),
        (("therapy", *DEVICE, "--only=LOC-11"), ("LOC-11", "LOC-1")),
        (("therapy", *DEVICE, "--budget=2"), ("--budget", "20ms")),
        (("therapy", *DEVICE, "--budget=2h", "--full"), ("--budget", "--full")),
        (("therapy", *DEVICE, "--confidence=95"), ("--confidence", "0.95")),
    ],
)
def test_bad_input_is_one_line(bench, kit, words, parts):
    kit.one_line(bench.call("plan", *words), *parts)


# ---- a run by a chosen rule, within a budget -------------------------------------------------


def test_a_rule_for_the_run_is_recorded_and_derived_again(bench):
    words = ("--only=000-t2-force-delay", "--only=LOC-1", "--budget=40s")
    done = bench.run(*words, "--rule=simple", "--confidence=0.9")
    assert done.code == 0, done.err
    identity = done.identity
    asked = {name: identity[name] for name in ("rule", "confidence", "budget_s", "trials")}
    assert asked == {"rule": "simple", "confidence": 0.9, "budget_s": 40.0, "trials": 3}
    rules = {v["requirement"]: v["rule"] for v in done.verdicts}
    assert rules["000-t2-force-delay"].startswith("simple acceptance")
    assert "90%" in rules["000-t2-force-delay"]
    assert rules["LOC-1"].startswith("safety")
    again = bench.call("judge", done.run, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["differences"] == []


def test_without_a_rule_each_requirement_keeps_its_own(small_run):
    assert (small_run.identity["rule"], small_run.identity["confidence"]) == (None, 0.95)
    assert small_run.identity["trials"] == 1


@pytest.mark.parametrize(
    ("word", "parts"),
    [("--rule=safety", ("--rule", "simple, guard-band")), ("--budget=-2h", ("--budget",)),
     ("--confidence=2", ("--confidence", "0.95"))],
)  # fmt: skip
def test_a_run_refuses_what_a_plan_refuses(bench, kit, word, parts):
    done = bench.run("--only=LOC-1", word)
    kit.one_line(done, *parts)
    assert done.runs == []
