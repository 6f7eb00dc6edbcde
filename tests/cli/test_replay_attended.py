"""``bench run`` of a real device's contacts and power, and ``bench check FILE --replay RUN``."""

from __future__ import annotations

import json
import shutil

import pytest

from instruments.visa.transcript import read_transcript
from tests.benches.lab.test_replaying_attended import NOISE, said_by_box
from tests.cli.test_replay import replayed
from tests.support.attended import PATIENT, altered, attended
from tests.support.host_time import NotShown, shown

PATIENTLY = "import importlib\n" + "\n".join(
    f"importlib.import_module({name.rpartition('.')[0]!r}).{name.rpartition('.')[2]} = {value}"
    for name, value in PATIENT.items()
)
ONLY_VIRTUAL = f"""{PATIENTLY}
import bench.benches.lab.bench as lab
from tests.support.attended import VirtualPackets
lab._packet_bench = lambda file: VirtualPackets()
lab.LabBench._join = lambda self, stack: None
"""
"""What carries the packets, in that process."""


@pytest.fixture(scope="module")
def run(bench, tmp_path_factory):
    """The stop of a device that is wired to a box and fed by a supply; the bench file."""

    def attempt():
        folder = tmp_path_factory.mktemp("attended")
        with attended(folder) as (path, _, _):
            done = bench.call(
                "run", "local_control", "--device", "telesurgery-robot", "--bench", str(path),
                "--only", "LOC-1", within=180, setup=ONLY_VIRTUAL,
            )  # fmt: skip
        if any(noise in done.out for noise in NOISE):
            raise NotShown(done.out)
        assert done.code in (0, 1), done.err  # whether it stopped in time is the host's, here
        return done.run, path

    return shown(attempt)


def test_a_whole_run_is_carried_out_again_with_nothing_left_out(bench, run) -> None:
    folder, path = run
    (verdict,) = json.loads((folder / "verdicts.json").read_text())["verdicts"]
    assert verdict["requirement"] == "LOC-1"
    assert verdict["verdict"] in ("PASS", "FAIL")
    found = replayed(bench, path, folder, PATIENTLY)
    assert found["same"] is True
    (again,) = found["transcripts"]
    entries = read_transcript(folder / "transcript.jsonl")
    sent = [entry.role for entry in entries if entry.kind == "tx"]
    assert again["messages"] == {role: sent.count(role) for role in ("box", "supply")}
    assert again["left_out"] == {}
    told = [json.loads(entry.data) for entry in entries if entry.role == "laboratory"]
    assert again["actions"] == sum("came" in note for note in told) == 10
    assert again["readings"] == sum("reads" in note for note in told) > 10
    assert set(again["sessions"]) == {one.name for one in (folder / "sessions").iterdir()}
    said = bench.call("check", str(path), "--replay", str(folder), setup=PATIENTLY)
    assert "box" in said.out.splitlines()[0]
    assert "are not carried out again" not in said.out


def copied(run, into, change=None):
    copy = into / run.name
    shutil.copytree(run, copy)
    if change is not None:
        altered(run, copy, change)
    return copy


def test_what_was_read_otherwise_is_told_with_file_line_and_session(bench, run, tmp_path) -> None:
    folder, path = run
    pressed = said_by_box("E 0", 1, 400, 150)
    copy = copied(folder, tmp_path, pressed)
    done = bench.call("check", str(path), "--replay", str(copy), setup=PATIENTLY)
    assert done.code == 1
    (line,) = [text for text in done.out.splitlines() if text.startswith("differs: ")]
    number = int(line.partition("transcript.jsonl, line ")[2].partition(",")[0])
    entry = json.loads((folder / "transcript.jsonl").read_text().splitlines()[number - 1])
    assert json.loads(entry["data"])["reads"] == "box"
    assert any(f"session {one.name}: " in line for one in (folder / "sessions").iterdir())


def test_a_stored_contact_that_the_transcript_does_not_tell_is_found(bench, run, tmp_path) -> None:
    folder, path = run
    copy = copied(folder, tmp_path)
    (session,) = (copy / "sessions").glob("local-stop-*")
    text = (session / "events.jsonl").read_text()
    events = [json.loads(line) for line in text.splitlines()]
    pressed = next(event for event in events if event["name"] == "stop-button")
    line = next(line for line in text.splitlines() if json.loads(line) == pressed)
    other = line.replace(str(pressed["t_ns"]), str(pressed["t_ns"] + 5_000_000))
    (session / "events.jsonl").write_text(text.replace(line, other, 1))
    found = replayed(bench, path, copy, PATIENTLY)
    assert found["transcripts"][0]["differences"] == []
    stored, told = sorted(found["unlike"])
    for text, t_ns in ((stored, pressed["t_ns"]), (told, pressed["t_ns"] + 5_000_000)):
        assert text.startswith(f"sessions/{session.name}/events.jsonl: stop-button 1 at ")
        assert f"{t_ns / 1e9:.9f}" in text


def test_a_changed_byte_breaks_the_chain(bench, kit, run, tmp_path) -> None:
    folder, path = run
    copy = copied(folder, tmp_path)
    text = (copy / "transcript.jsonl").read_text()
    assert " OK " in text
    (copy / "transcript.jsonl").write_text(text.replace(" OK ", " NO ", 1))
    done = bench.call("check", str(path), "--replay", str(copy))
    kit.one_line(done, "breaks the hash chain", "transcript.jsonl")
