"""``bench run --dry-run``: what it prints is what a run in the simulated laboratory then sends."""

from __future__ import annotations

import json
from itertools import groupby

import pytest

from instruments.visa.transcript import read_transcript
from tests.support.bench_files import written
from tests.support.coexistence_plans import PLAN, light_robot

NOTHING_OPENED = """
import socket
from instruments.simulators.lab import RunningLab
from instruments.visa.locks import ResourceLock
import serial

def refuse(*_, **__):
    raise AssertionError("a dry run opens nothing")

RunningLab.__init__ = socket.create_connection = socket.socket.connect = refuse
ResourceLock.__enter__ = serial.Serial.__init__ = refuse
"""


def dry(bench, *words):
    done = bench.call("run", "coexistence", "--dry-run", *words, "--json", setup=NOTHING_OPENED)
    assert done.code in (0, 2, 3), done.err
    assert not done.runs
    return done.code, json.loads(done.out)["parts"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("dry") / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    return light_robot(tmp_path_factory.mktemp("robot"))


def sent(entries):
    return [f"{e.role}: {e.data.strip()}" for e in entries if e.kind == "tx"]


def without_answers(lines):
    return [line.split(" -> ")[0] for line in lines]


def each_once(lines):
    """Without what is asked again and again."""
    return [line for line, _ in groupby(lines)]


def asked_once(lines):
    """Without the second question for errors, which every other message has."""
    return [line.replace(";:SYST:ERR?;:SYST:ERR?", ";:SYST:ERR?") for line in lines]


def test_the_fixed_part_is_what_a_run_sends_in_the_same_order(bench, robot, plan) -> None:
    words = ("--device", str(robot), "--coexistence", str(plan))
    code, parts = dry(bench, *words)
    assert code == 0
    done = bench.call("run", "coexistence", *words, within=180)
    assert done.code == 0, done.err
    entries = read_transcript(done.run / "transcript.jsonl")
    points = json.loads((done.run / "run.json").read_text())["coexistence"]["columns"][0]["points"]
    search = next(
        number
        for number, entry in enumerate(entries)
        if entry.role == "laboratory" and f'"{points[0]["session"]}"' in entry.data
    )
    assert [part["fixed"] for part in parts] == [True, True, True, False, False, False]
    printed = without_answers([line for part in parts[:4] for line in part["commands"]])
    asked, before = each_once(printed), each_once(sent(entries[:search]))
    assert printed[: len(parts[0]["commands"])] == sent(entries)[: len(parts[0]["commands"])]
    assert asked == before[: len(asked)]
    assert {line.partition(":")[0] for line in before[len(asked) :]} == {"other"}
    assert len(printed) > 400
    leave = without_answers(parts[-1]["commands"])
    assert asked_once(leave) == asked_once(sent(entries)[-len(leave) :])
    assert [part["title"] for part in parts] == [
        "take: who answers, then the safe state", "session coexistence",
        "session interferer-beyond", "the other network: LTE terminal of a visitor, 5 m away",
        "search lte20 in the channel", "leave: the safe state",
    ]  # fmt: skip
    adaptive = parts[4]
    assert (
        "depends on answers: each trial is at one of 5 levels, I/U -12 to +12 dB"
        in adaptive["note"]
    )
    levels = {line for line in sent(entries[search:]) if ":SOUR1:POW " in line}
    ends = {line for line in adaptive["commands"] if ":SOUR1:POW " in line}
    assert levels & ends


def test_what_is_out_of_range_is_told_and_the_rest_is_printed(bench, robot, plan, tmp_path) -> None:
    far = tmp_path / "far.toml"
    far.write_text(PLAN.replace('highest = "12dB"', 'highest = "72dB"'))
    code, parts = dry(bench, "--device", str(robot), "--coexistence", str(far))
    assert code == 2
    (search,) = [part for part in parts if part["title"].startswith("search")]
    assert len(search["problems"]) == 3  # of 15 levels: those above -15.6 dBm
    assert search["problems"][-1].startswith("I/U +72 dB, 2 dBm: ")
    assert "is out of the reach of this laboratory; ask for " in search["problems"][-1]
    assert [part["problems"] for part in parts if part is not search] == [[]] * 5

    low = written(tmp_path, ("level_dbm = -20 ", "level_dbm = 20 "))
    code, parts = dry(
        bench, "--device", str(robot), "--bench", str(low), "--coexistence", str(plan)
    )
    assert code == 2
    problem = parts[1]["problems"][0]
    assert "generator.level_dbm = 20.0: is out of range" in problem
    assert "give -100 to 10 dBm" in problem
    assert not any(":POW 20" in line for part in parts for line in part["commands"])


def test_a_record_that_is_expired_is_told_with_the_exit_code_of_a_run(
    bench, robot, plan, tmp_path
) -> None:
    file = written(tmp_path, calibration=("due = 2099-12-31", "due = 2026-11-29"))
    code, parts = dry(
        bench, "--device", str(robot), "--bench", str(file), "--coexistence", str(plan)
    )
    assert code == 3
    assert "expired on 2026-11-29" in parts[1]["problems"][0]


def test_for_people_it_is_a_line_for_each_command(bench, robot, plan) -> None:
    words = ("--device", str(robot), "--coexistence", str(plan))
    done = bench.call("run", "coexistence", "--dry-run", *words, setup=NOTHING_OPENED)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "# take: who answers, then the safe state"
    assert lines[1] == "generator: *IDN? -> Rohde&Schwarz SMW200A"
    assert "generator: :SOUR1:POW -20" in lines


def test_a_bench_without_instruments_is_refused(bench, kit) -> None:
    done = bench.call(
        "run", "coexistence", "--dry-run", "--device", "glucose-meter", "--bench", "virtual"
    )
    kit.one_line(done, "--bench = 'virtual': has no instruments")
