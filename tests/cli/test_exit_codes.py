"""Every exit code by a real path, and what a program reads on standard output."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.own_time import queued_s

DATA = Path(__file__).parents[2] / "bench" / "devices" / "data"
PROFILE = DATA / "telesurgery-robot.toml"

BROKEN = """
from dataclasses import replace
from bench.devices import registry

def patient(profile, port):
    real = registry.MACHINES["remote-robot"]["patient"](profile, port)
    class Broken:
        def __getattr__(self, name):
            return getattr(real, name)
        def operate(self, now_ns, name):
            raise ZeroDivisionError("a bug in the device")
    return Broken()

registry.MACHINES["broken"] = registry.MACHINES["remote-robot"] | {"patient": patient}

def robot():
    return replace(registry.find_device("telesurgery-robot"), name="broken", machine="broken")
"""


@pytest.fixture(scope="module")
def undeclared(tmp_path_factory):
    """The robot without a word on how fast it switches over."""
    file = tmp_path_factory.mktemp("device") / "robot.toml"
    text = PROFILE.read_text()
    assert 'switchover_gap = "500ms"\n' in text
    file.write_text(text.replace('switchover_gap = "500ms"\n', ""))
    return file


def test_inconclusive_is_3(bench, undeclared):
    done = bench.run("--device", undeclared, "--only=SW-1", "--only=LOC-1")
    assert done.code == 3, done.err
    assert done.outcomes() == {
        ("SW-1", "primary-flap"): "INCONCLUSIVE",
        ("SW-1", "primary-outage"): "INCONCLUSIVE",
        ("SW-1", "radio-link-failure"): "INCONCLUSIVE",
        ("SW-1", "primary-stall"): "INCONCLUSIVE",
        ("LOC-1", ""): "PASS",
    }
    assert "not declared" in next(v for v in done.verdicts if v["requirement"] == "SW-1")["reason"]
    assert bench.call("judge", done.run).code == 3
    assert bench.call("verify", done.run).code == 0


def test_inconclusive_may_be_allowed_and_that_is_recorded(bench, tmp_path):
    file = tmp_path / "robot.toml"
    text = PROFILE.read_text()
    assert 'local_stop_within = "50ms"\n' in text
    file.write_text(text.replace('local_stop_within = "50ms"\n', ""))
    done = bench.run("--device", file, "--only=LOC-1", "--allow-inconclusive")
    assert done.code == 0, done.err
    assert set(done.outcomes().values()) == {"INCONCLUSIVE"}
    assert done.identity["allow_inconclusive"] is True
    assert "INCONCLUSIVE" in done.out
    assert bench.call("judge", done.run).code == 0


def test_allowing_inconclusive_allows_nothing_else(bench):
    words = ("--only=LOC-1", "--defect=ignores-local-stop", "--allow-inconclusive")
    assert bench.run(*words).code == 1


def test_nothing_in_scope_is_3(bench, kit):
    """Nothing was shown: no way to end well."""
    requirement = next(
        key for key in _catalogue() if key.endswith("video-3d-delay")
    )  # the robot carries no 3D video without its option
    done = bench.run(f"--only={requirement}")
    assert done.code == 3, done.err
    assert done.verdicts == []
    assert "carries no stream of kind video-3d" in done.out
    assert "nothing was in scope" in done.err


def _catalogue():
    from bench.requirements.loader import load_catalogue

    return list(load_catalogue())


def test_a_device_that_raises_is_the_benchs_own_fault(bench, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    done = bench.run("--device=broken.py:robot", "--only=LOC-1", "--only=SW-1", cwd=tmp_path)
    assert done.code == 4, done.err
    outcomes = done.outcomes()
    assert outcomes.pop(("LOC-1", "")) == "ERROR"
    assert set(outcomes.values()) == {"PASS"}
    error = next(v for v in done.verdicts if v["verdict"] == "ERROR")
    assert error["reason"] == "ZeroDivisionError: a bug in the device"
    assert error["value"] is None
    assert done.identity["completion"] == "complete"
    assert done.identity["sessions"]["failed"] == 1
    assert bench.call("verify", done.run).code == 0
    again = bench.call("judge", done.run, "--json")
    assert again.code == 4
    assert json.loads(again.out)["differences"] == []


PLAN = """
import pytest

@pytest.mark.requirement("LOC-1")
@pytest.mark.scenario("local-stop")
def test_it(recordings, judge):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "judged nothing"),
        ("raise LookupError('a bug in the plan')", "a bug in the plan"),
        ("pytest.skip('no time')", ""),
        ("judge(recordings); judge(recordings)", "judged more than once"),
    ],
)
def test_a_plan_that_comes_to_no_verdict_is_4(bench, tmp_path, body, said):
    (tmp_path / "test_own.py").write_text(PLAN.format(body=body))
    done = bench.run(plan=tmp_path)
    assert done.code == 4, done.err
    assert said in done.err
    verdict = done.verdicts[0]
    if "judge" in body:
        assert verdict["verdict"] == "PASS"
    else:
        assert (verdict["verdict"], verdict["reason"]) == (
            "ERROR", "its test ended without a verdict",
        )  # fmt: skip
    assert len(done.verdicts) == 1


def test_own_plan_from_elsewhere(bench, tmp_path):
    (tmp_path / "test_own.py").write_text(PLAN.format(body="judge(recordings)"))
    done = bench.run(plan="test_own.py", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.verdicts[0]["requirement"] == "LOC-1"


NOISY = "print('chatter of a plan')\n    import os; os.system('echo chatter of a child')\n    "


def test_json_lines_and_nothing_else(bench, tmp_path):
    (tmp_path / "test_own.py").write_text(PLAN.format(body=f"{NOISY}judge(recordings)"))
    done = bench.run("--json", plan=tmp_path)
    assert done.code == 0, done.err
    assert "chatter" not in done.out
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["event"] for line in lines] == [
        "ready", "run", "session", "scope", "session", "verdict", "end",
    ]  # fmt: skip
    by_event = {line["event"]: line for line in lines}
    assert by_event["run"]["folder"] == str(done.run)
    assert by_event["verdict"]["verdict"]["verdict"] == "PASS"
    end = by_event["end"]
    assert end["completion"] == "complete"
    assert end["verdicts"] == done.verdicts
    assert end["report"] == str(done.run / "report.html")


def test_json_is_ready_within_5_s_and_flushed(bench):
    """The installed command itself, from a cold start, read line by line as it comes."""
    results = bench.folder()
    words = ("therapy", "--device", "telesurgery-robot", "--bench", "virtual", "--json")
    started = time.monotonic()
    # Its evidence takes minutes of session time: several seconds of this clock.
    process = bench.start("run", *words, "--only", "000-t2-force-loss", "--results", results)
    try:
        assert json.loads(process.stdout.readline()) == {"event": "ready"}
        assert time.monotonic() - started - queued_s(process.pid) < 5.0
        seen = [json.loads(process.stdout.readline())["event"] for _ in range(4)]
        assert seen == ["run", "session", "scope", "session"]
        time.sleep(0.5)
        assert process.poll() is None, "the lines come while it runs, not at its end"
    finally:
        process.kill()
        process.communicate()


def test_json_reader_that_goes_away_ends_the_run(bench, kit):
    results = bench.folder()
    words = ("alarms", "therapy", "--device", "telesurgery-robot", "--bench", "virtual", "--json")
    process = bench.start("run", *words, "--results", results)
    try:
        assert json.loads(process.stdout.readline()) == {"event": "ready"}
        process.stdout.close()
        assert process.wait(60) == 130
        assert "Traceback" not in process.stderr.read()
        (run,) = results.iterdir()
        assert kit.read(run / "run.json")["completion"] == "incomplete"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_check_says_what_this_host_can_do(bench):
    done = bench.call("check", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found.keys() == {"findings", "best_bench", "reason", "removed", "restored"}
    assert found["best_bench"] in ("local", "virtual")
    assert found["removed"] == []
    for finding in found["findings"]:
        assert finding.keys() == {"what", "status", "figure", "meaning", "remedy"}
    names = {finding["what"] for finding in found["findings"]}
    assert {"privileges", "netem", "packet capture", "clocks"} <= names
    spoken = bench.call("check")
    assert spoken.code == 0
    assert f"best bench here: {found['best_bench']}" in spoken.out
    for name in names:
        assert name in spoken.out


def test_clean_removes_what_dead_runs_left_and_nothing_else(bench, kit, tmp_path):
    from instruments.emulators.journal import process_start

    ended = kit.subprocess.Popen(["true"])
    start = process_start(ended.pid)
    ended.wait()
    dead = tmp_path / f"telemed-bench-{ended.pid}-{start or 1}"
    mine = tmp_path / f"telemed-bench-{kit.os.getpid()}-{process_start(kit.os.getpid())}"
    other = tmp_path / "telemed-bench-notes"
    for folder in (dead, mine, other):
        (folder / "inside").mkdir(parents=True)
    setup = f"""
import tempfile
import bench.benches.check as check
tempfile.tempdir = {str(tmp_path)!r}
check.facts = lambda probe: {{"refused": "not looked at here"}}
"""
    kept = bench.call("check", "--json", setup=setup)
    assert json.loads(kept.out)["removed"] == []
    assert dead.exists()
    done = bench.call("check", "--clean", "--json", setup=setup)
    assert json.loads(done.out)["removed"] == [str(dead)]
    assert not dead.exists()
    assert (mine / "inside").exists()
    assert (other / "inside").exists()
    spoken = bench.call("check", "--clean", setup=setup)
    assert spoken.code == 0
    assert "removed" not in spoken.out
