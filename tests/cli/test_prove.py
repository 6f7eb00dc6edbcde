"""bench prove, and runs that no session decides, as a user sees them."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

DEFECT_KEYS = {"defect", "device", "size", "seeds", "detected_in", "by"}
HEALTHY_KEYS = {"sessions", "false_fail", "inconclusive", "error"}
REPORT = """
[declarations.EMC-1]
report = "TR-1"
laboratory = "A laboratory"
date = "2024-01-01"
expires = "{expires}"
"""


def test_json_has_every_key(bench):
    done = bench.call(
        "prove", "--device", "telesurgery-robot", "--defect", "slow-local-stop", "--seeds", "1",
        "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert set(found) == {"defects", "healthy", "left_out"}
    assert found["left_out"] == []
    (entry,) = found["defects"]
    assert entry.keys() >= DEFECT_KEYS
    assert found["healthy"].keys() >= HEALTHY_KEYS
    assert (entry["seeds"], entry["detected_in"], entry["by"]) == (1, 1, ["LOC-1"])
    assert all(type(entry[key]) is int for key in ("seeds", "detected_in"))
    assert all(type(found["healthy"][key]) is int for key in HEALTHY_KEYS)
    assert found["healthy"]["sessions"] == 1, "healthy, in the scenarios that judge the same"


def test_a_table_and_exit_code_1_where_a_defect_goes_undetected(bench):
    done = bench.call(
        "prove", "--device", "telesurgery-robot", "--defect", "slow-local-stop=10ms",
        "--plan", "local_control", "--seeds", "1", "--healthy", "0",
    )  # fmt: skip
    assert done.code == 1, done.err
    assert "0 of 1" in done.out
    assert "seed 1: LOC-1 in local-stop: PASS" in done.out
    assert done.out.splitlines()[-1].startswith("0 of 1 defects detected in every seed")
    assert "defects: 1 of 1" in done.err, "plain lines where nobody sees a bar"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--defect", "nonsense"), ("--defect", "nonsense", "late-alarm")),
        (("--device", "nobody"), ("--device", "nobody")),
        (("--plan", "nowhere"), ("PLAN", "nowhere")),
        (("--defect", "nowhere.py:x"), ("--defect", "nowhere.py")),
        (("--seeds", "0"), ("--seeds", "10")),
    ],
)
def test_bad_input_is_one_line(bench, kit, words, parts):
    kit.one_line(bench.call("prove", *words), *parts)


def test_ctrl_c_ends_it_with_its_processes(bench, kit):
    words = ("prove", "--device", "telesurgery-robot", "--defect", "slow-local-stop")
    process = bench.start(*words, "--seeds", "99", start_new_session=True)
    kit.wait_until(lambda: len(family(process.pid)) >= 2, 60, "a second process")
    began = kit.time.monotonic()
    members = family(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert process.returncode == 130
    kit.wait_until(lambda: not alive(members), 10, "its processes are gone")
    assert kit.time.monotonic() - began < 20
    process.communicate()


def family(pid):
    """The processes below one, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def alive(pids):
    def running(pid):
        try:
            return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    return [pid for pid in pids if running(pid)]


@pytest.mark.parametrize(
    ("expires", "outcome", "reason"),
    [("2999-01-01", "PASS", "declared: TR-1"), ("2025-01-01", "INCONCLUSIVE", "expired")],
)
def test_a_report_is_judged_without_a_session(bench, kit, tmp_path, expires, outcome, reason):
    profile = kit.ROOT / "bench" / "devices" / "data" / "telesurgery-robot.toml"
    file = tmp_path / "robot.toml"
    undeclared = re.sub(r"(?m)^\[declarations\.[^\[]*", "", profile.read_text())
    file.write_text(undeclared + REPORT.format(expires=expires))
    done = bench.run("--device", file, plan="declarations")
    assert done.code == 3, done.err
    verdicts = {v["requirement"]: v for v in done.verdicts}
    assert (verdicts["EMC-1"]["verdict"], verdicts["EMC-1"]["against"]) == (outcome, "declaration")
    assert verdicts["EMC-1"]["reason"].startswith(reason)
    assert (verdicts["LIC-1"]["verdict"], verdicts["LIC-1"]["reason"]) == (
        "INCONCLUSIVE",
        "not declared",
    )
    again = bench.call("judge", done.run, "--json")
    assert again.code == 3
    assert json.loads(again.out)["differences"] == []


def test_a_therapy_device_silent_about_motion_is_never_passed_over(bench, kit, tmp_path):
    profile = kit.ROOT / "bench" / "devices" / "data" / "telesurgery-robot.toml"
    file = tmp_path / "robot.toml"
    text = profile.read_text()
    assert '"motion", ' in text
    text = text.replace('"motion", ', "", 1)
    file.write_text(text)
    done = bench.run("--device", file, "--only", "LOC-1", plan="local_control")
    assert done.code == 3, done.err
    (verdict,) = done.verdicts
    assert (verdict["requirement"], verdict["verdict"]) == ("LOC-1", "INCONCLUSIVE")
    assert "not declared: motion" in verdict["reason"]
    assert bench.call("judge", done.run).code == 3
