"""``bench check FILE --replay RUN``: a run in the simulated laboratory again, without it."""

from __future__ import annotations

import json
import shutil

import pytest

from instruments.visa.transcript import read_transcript
from tests.support.bench_files import written
from tests.support.coexistence_plans import PLAN, light_robot

NO_SIMULATOR = """
import socket
import serial
from instruments.simulators.lab import RunningLab

def refuse(*_, **__):
    raise AssertionError("a replay opens nothing")

RunningLab.__init__ = socket.create_connection = socket.socket.connect = refuse
serial.Serial.open = refuse
"""
"""What serves simulated instruments, and every connection, is an error in that process."""


@pytest.fixture(scope="module")
def run(bench, tmp_path_factory):
    """A coexistence run with its search, in the simulated laboratory."""
    folder = tmp_path_factory.mktemp("replayed")
    plan = folder / "plan.toml"
    plan.write_text(PLAN)
    done = bench.call(
        "run", "coexistence", "--device", str(light_robot(folder)), "--coexistence", str(plan),
        within=180,
    )  # fmt: skip
    assert done.code == 0, done.err
    return done.run


def replayed(bench, file, run, setup=""):
    words = ("check", str(file), "--replay", str(run), "--json")
    done = bench.call(*words, setup=NO_SIMULATOR + setup)
    assert done.code in (0, 1), done.err
    found = json.loads(done.out)
    assert done.code == (0 if found["same"] else 1)
    return found


def test_a_whole_run_is_carried_out_again_without_instruments(bench, run) -> None:
    found = replayed(bench, "simulated-lab", run)
    assert found["same"] is True
    (again,) = found["transcripts"]
    entries = read_transcript(run / "transcript.jsonl")
    sent = [entry.role for entry in entries if entry.kind == "tx"]
    assert again["messages"] == {role: sent.count(role) for role in set(sent)}
    assert set(sent) == {
        "generator", "analyser", "attenuator", "supply", "modem", "serving", "neighbour", "fading",
        "other",
    }  # fmt: skip
    notes = [json.loads(entry.data) for entry in entries if entry.role == "laboratory"]
    assert again["readings"] == sum("reads" in note for note in notes) > 20
    points = json.loads((run / "run.json").read_text())["coexistence"]["columns"][0]["points"]
    stored = {folder.name for folder in (run / "sessions").iterdir()}
    assert set(again["sessions"]) == stored | {point["session"] for point in points}
    assert found["presented"] == 2  # one of each judged session
    assert again["left_out"] == {}


def test_another_level_in_the_bench_file_is_found_in_what_is_sent(bench, run, tmp_path) -> None:
    file = written(tmp_path, ("level_dbm = -20 ", "level_dbm = -21 "))
    found = replayed(bench, file, run)
    ((one,),) = [again["differences"] for again in found["transcripts"]]
    assert one["what"] == "sent"
    assert one["role"] == "generator"
    assert ":SOUR1:POW -21" in one["now"]
    assert ":SOUR1:POW -20" in one["then"]
    line = (run / "transcript.jsonl").read_text().splitlines()[one["line"] - 1]
    assert json.loads(line)["data"] == ":SOUR1:POW -20\n"
    assert one["session"].startswith("coexistence-")
    told = bench.call("check", str(file), "--replay", str(run))
    assert told.code == 1
    assert f"transcript.jsonl, line {one['line']}, session {one['session']}" in told.out


def test_another_reading_of_the_same_answers_is_found(bench, run, tmp_path) -> None:
    file = written(tmp_path, ("noise_bandwidth_ratio = 1.0 ", "noise_bandwidth_ratio = 1.1 "))
    ((one,),) = [again["differences"] for again in replayed(bench, file, run)["transcripts"]]
    assert one["what"] == "reading"
    assert '"reads": "analyser"' in one["then"]


BOX = """[instruments.box]
kind = "contact-box"
address = "simulated"
manufacturer = "telemed-bench"
model = "contact-box-1"
reply = "5s"
inputs.lamp = { number = 1, kind = "light" }
outputs.stop = { number = 0, safe = 1 }

"""


def test_a_change_of_cell_is_carried_out_again_with_modem_testers_and_a_box(
    bench, tmp_path
) -> None:
    file = written(tmp_path, ("[other_network]\n", f"{BOX}[other_network]\n"))
    done = bench.call(
        "run", "mobility", "--device", "tele-ultrasound-robot", "--bench", str(file),
        "--only", "MOB-1", within=180,
    )  # fmt: skip
    assert done.code == 0, done.err
    found = replayed(bench, file, done.run)
    assert found["same"] is True
    (again,) = found["transcripts"]
    sent = [e.role for e in read_transcript(done.run / "transcript.jsonl") if e.kind == "tx"]
    assert again["messages"] == {role: sent.count(role) for role in set(sent)}
    assert again["messages"]["modem"] > 15
    assert again["messages"]["box"] > 5
    assert again["left_out"] == {}
    assert again["actions"] == 3  # camped, changed, quiet


def changed(run, folder, name, old, new):
    copy = folder / run.name
    shutil.copytree(run, copy)
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1))
    return copy


def test_a_changed_byte_breaks_the_chain(bench, kit, run, tmp_path) -> None:
    names = ["transcript.jsonl"]
    names += [
        f"sessions/{one.name}/transcript.jsonl" for one in (run / "sessions").glob("coexist*")
    ]
    for number, name in enumerate(names):
        copy = changed(run, tmp_path / str(number), name, ":SOUR1:POW -20", ":SOUR1:POW -29")
        done = bench.call("check", "simulated-lab", "--replay", str(copy))
        kit.one_line(done, "breaks the hash chain", name)


def test_a_stored_level_that_the_transcript_does_not_tell_is_found(bench, run, tmp_path) -> None:
    (session,) = (run / "sessions").glob("coexistence-*")
    name = f"sessions/{session.name}/events.jsonl"
    events = [json.loads(line) for line in (run / name).read_text().splitlines()]
    shown = [e["value"] for e in events if e["name"] == "exposure" and e["value"]["exposures"]]
    level = f'"level_dbm": {shown[0]["exposures"][0]["level_dbm"]}'
    copy = changed(run, tmp_path, name, level, '"level_dbm": -70.5')
    found = replayed(bench, "simulated-lab", copy)
    assert found["transcripts"][0]["differences"] == []
    assert len(found["unlike"]) == 1
    assert "-70.5 dBm" in found["unlike"][0]


def test_a_run_that_was_killed_is_carried_out_again_up_to_there(bench, run, tmp_path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    lines = (copy / "transcript.jsonl").read_text().splitlines(keepends=True)
    within = next(n for n, line in enumerate(lines) if "Laboratory.witness" in line)
    (copy / "transcript.jsonl").write_text("".join(lines[: within + 3]) + lines[within + 3][:9])
    (again,) = replayed(bench, "simulated-lab", copy)["transcripts"]
    assert again["ends"] == "the run was cut short within Laboratory.witness"
    assert again["differences"] == []
    assert again["readings"] >= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--replay", "RUN"), "--replay: is for a laboratory"),
        (("simulated-lab", "--accept", "--replay", "RUN"), "--accept: is for a laboratory that is"),
        (("simulated-lab", "--replay", "SMALL"), "holds no transcript of a laboratory"),
    ],
)
def test_what_it_refuses(bench, kit, run, small_run, words, message) -> None:
    names = {"RUN": str(run), "SMALL": str(small_run.run)}
    done = bench.call("check", *(names.get(word, word) for word in words))
    kit.one_line(done, message)
