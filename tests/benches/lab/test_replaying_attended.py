"""Sessions of a real device's contacts and power, carried out again from the transcript."""

from __future__ import annotations

import datetime
import json
import socket
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import serial

from bench.benches.base import BenchError, Nowhere
from bench.benches.lab import other_network
from bench.benches.lab.chapters import FILE
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.replaying import replay
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.network.library.parts import usual_links
from bench.network.scenario import Action, Scenario, Segment, Step
from bench.sessions.recording import Session
from instruments.contacts.protocol import opened, sealed
from instruments.rf import testers
from tests.benches.lab.test_handling import LAMP, STOP
from tests.support.attended import (
    PATIENT,
    Attended,
    Packets,
    altered,
    attended,
    entries_of,
    notes,
)
from tests.support.bench_files import served
from tests.support.host_time import NotShown, shown

ROBOT = find_device("telesurgery-robot")
ACTIONS = (
    Action("all", 0.2, "patient", "local-stop"),
    Action("all", 0.5, "patient", "power-cut:300ms"),
    Action("all", 1.2, "patient", "local-release"),
)
ATTENDED = {"box", "supply"}
NOISE = ("silent for", "is known within", "when is not known", "not on both sides")
"""What a host that stalls has to answer for."""


def session(seed: int, *actions: Action, lasts_s: float = 2.0) -> Session:
    step = Step("all", "hold", "within", (Segment("all", lasts_s, usual_links()),))
    return Session("t", ROBOT, Scenario("s", "S", (step,), actions), seed)


QUICK = ('model = "contact-box-1"\nreply = "5s"', 'model = "contact-box-1"\nreply = "2s"')
SESSIONS = (session(7, *ACTIONS), session(8, ACTIONS[0], ACTIONS[2]))


def run_in(folder, harm=lambda lab, device: None, sessions=SESSIONS):
    """Sessions, a light and harm in the first: the file, how each ended, and their events."""
    ended, events = [], []
    with attended(folder, QUICK) as (path, lab, device):
        lamp = lab.instruments["box"]
        with suppress(BenchError), Attended(path) as bench:  # a box that is stuck is not left safe
            bench.keep_in(folder)
            ready = bench._attending[-1].ready

            def then_lit():
                ready()
                if not ended:
                    lamp.drive(LAMP, 1)
                    harm(lab, device)

            bench._attending[-1].ready = then_lit
            for one in sessions:
                try:
                    recording = bench.run(one, Nowhere())
                except BenchError as error:
                    ended.append(str(error))
                else:
                    ended.append("")
                    events.append(recording.events)
                lamp.drive(LAMP, 0)
    return path, ended, events


@pytest.fixture(scope="module")
def patient():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENT.items():
            patch.setattr(name, value)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, patient):
    def attempt():
        folder = tmp_path_factory.mktemp("attended")
        path, ended, events = run_in(folder)
        if any(noise in said for noise in NOISE for said in ended):
            raise NotShown(str(ended))
        assert ended == ["", ""]
        return folder, path, events

    return shown(attempt)


@pytest.fixture(autouse=True)
def _replays_open_nothing(request, monkeypatch, run):
    """What is carried out again, is so without port, socket or wait."""

    def refuse(*_, **__):
        raise AssertionError("a replay opens nothing, and waits for nothing")

    if "tmp_path_harmed" not in request.fixturenames:
        monkeypatch.setattr(serial, "Serial", refuse)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(time, "sleep", refuse)


@pytest.fixture
def tmp_path_harmed(tmp_path):
    """For what runs in the laboratory itself."""
    return tmp_path


def same_as(entries, again) -> None:
    sent = [e.role for e in entries if e.kind == "tx"]
    told = notes(entries)
    assert again.differences == ()
    assert again.ends == ""
    assert again.left_out == {}
    assert again.messages == {role: sent.count(role) for role in ATTENDED}
    assert again.readings == sum("reads" in note for note in told)
    assert again.actions == sum("came" in note or "raised" in note for note in told)


def test_a_run_with_a_box_and_a_supply_is_carried_out_again_with_nothing_left_out(run) -> None:
    folder, path, events = run
    entries = entries_of(folder)
    again = replay(load_bench_file(path), folder / FILE)
    same_as(entries, again)
    assert len(again.sessions) == 2
    assert again.messages["box"] > 60
    assert again.readings > 20
    done = [note["does"] for note in notes(entries) if "does" in note]
    attending = ["Power.ready", "Contacts.ready", "Contacts.press", "Power.cut", "Power.dark",
                 "Power.restore", "Contacts.press", "Power.events", "Contacts.events",
                 "Power.ready", "Contacts.ready", "Contacts.press", "Contacts.press",
                 "Power.events", "Contacts.events"]  # fmt: skip
    assert [name for name in done if name in set(attending)] == attending
    assert [e.value for e in events[0] if e.name == "motion"] == [1, 0, 1]
    assert [e.value for e in events[0] if e.name == "power"] == [1, 0, 1]
    assert [e.value["on"] for e in events[0] if e.name == "alarm-signal"] == [True]


# ---- what differs -------------------------------------------------------------------------------


def line_of(path, n: int):
    return json.loads(path.read_text().splitlines()[n - 1])


def said_by_box(word: str, place: int, by: int, which: int):
    """Changes a number in one line of the box, wherever its bytes were cut."""

    def change(entries) -> None:
        left, seen = b"", 0
        for entry in entries:
            if (entry["role"], entry["kind"]) != ("box", "rx"):
                continue
            *lines, left = (left + entry["data"].encode("latin-1")).split(b"\n")
            found = []
            for line in lines:
                words = opened(line).split(" ")
                seen += words[2:4] == word.split(" ")
                if words[2:4] == word.split(" ") and seen == which:
                    words[place] = str((int(words[place]) + by) % (1 << 32))
                    seen += 1
                found.append(sealed(" ".join(words)))
            entry["data"] = b"".join(found).decode("latin-1")
        assert seen > which

    return change


def found_in(run, folder, change):
    """The one difference of a changed transcript, and the entry of its line."""
    run_folder, path, _ = run
    file = altered(run_folder, folder, change)
    (found,) = replay(load_bench_file(path), file).differences
    assert found.file == FILE
    return found, line_of(file, found.line)


def test_an_edge_of_a_light_at_another_time_is_found(run, tmp_path) -> None:
    lit = said_by_box("E 1", 1, 2000, 3)  # after two edges of the lamp's test
    found, entry = found_in(run, tmp_path, lit)
    assert (found.what, found.role) == ("reading", "laboratory")
    assert json.loads(entry["data"])["reads"] == "box"
    assert found.session == SESSIONS[0].id
    assert found.now != found.then == entry["data"]


def test_an_edge_of_the_encoder_in_the_middle_of_its_motion_is_found(run, tmp_path) -> None:
    _, entry = found_in(run, tmp_path, said_by_box("E 0", 1, 300, 150))
    assert json.loads(entry["data"])["reads"] == "box"


def test_another_relation_of_the_clocks_is_found(run, tmp_path) -> None:
    """The box's time in a comparison; and the host's, by the stamp of what was sent."""
    asked = [
        e for e in entries_of(run[0]) if e.role == "box" and b"PING" in e.raw and e.kind == "tx"
    ]
    number = asked[len(asked) // 3].raw.split()[0].decode()
    _, entry = found_in(run, tmp_path / "box", said_by_box(f"OK {number}", 1, 500, 1))
    assert json.loads(entry["data"])["reads"] == "box"

    def earlier(entries) -> None:
        entries[asked[len(asked) // 3].n]["t_ns"] -= 500_000

    _, entry = found_in(run, tmp_path / "host", earlier)
    assert json.loads(entry["data"])["reads"] == "box"


def test_a_supply_that_reads_something_else_is_found(run, tmp_path) -> None:
    def less(entries) -> None:
        read = [
            number + 1
            for number, entry in enumerate(entries)
            if entry["kind"] == "tx" and "MEAS:VOLT" in entry["data"]
        ]
        value = entries[read[1]]["data"]
        assert "+5.0" in value
        entries[read[1]]["data"] = value.replace("+5.0", "+4.9")

    found, entry = found_in(run, tmp_path, less)
    assert found.what == "reading"
    assert json.loads(entry["data"]) == {"reads": "supply", "voltage_v": 5.0}
    assert '"voltage_v": 4.9' in found.now
    assert found.session == SESSIONS[0].id


def test_another_time_of_a_cut_is_found(run, tmp_path) -> None:
    def a_nanosecond_later(entries) -> None:
        told = [(e, json.loads(e["data"])) for e in entries if e["role"] == "laboratory"]
        cut = next(n for n, (_, note) in enumerate(told) if note.get("does") == "Power.cut")
        clock, note = told[cut + 1]
        clock["data"] = json.dumps({"clock_ns": note["clock_ns"] + 1})

    found, entry = found_in(run, tmp_path, a_nanosecond_later)
    assert found.what == "reading"
    assert "came" in json.loads(entry["data"])


def test_another_answer_to_what_its_levels_are_is_found(run, tmp_path) -> None:
    """The lamp is dark in an answer to GET that had it lit."""
    lit = next(note["levels"] for note in notes(entries_of(run[0])) if "levels" in note)
    assert lit["lamp"] == 1
    asked = next(e for e in entries_of(run[0]) if e.role == "box" and b" GET*" in e.raw)
    number = asked.raw.split()[0].decode()
    found, entry = found_in(run, tmp_path, said_by_box(f"OK {number}", 4, -(1 << LAMP), 1))
    assert json.loads(entry["data"])["levels"] == lit
    assert json.loads(found.now.removeprefix("comes to "))["levels"] == {**lit, "lamp": 0}


def test_a_changed_byte_breaks_the_chain(run, tmp_path) -> None:
    folder, path, _ = run
    text = (folder / FILE).read_text()
    for number, (old, new) in enumerate(((" PING*", " PONG*"), ("VOLT 5", "VOLT 6"))):
        assert old in text
        file = tmp_path / f"{number}.jsonl"
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match="breaks the hash chain"):
            replay(load_bench_file(path), file)


@pytest.mark.parametrize(
    ("changes", "role", "now"),
    [
        ((("voltage_v = 5.0", "voltage_v = 4.0"),), "supply", "VOLT 4"),
        (
            (("stop = { number = 0", "stop = { number = 1"),
             ("lamp-test = { number = 1", "lamp-test = { number = 0")),
            "box", "SET 1 1",
        ),
    ],
)  # fmt: skip
def test_another_bench_file_is_found_in_what_is_sent(run, tmp_path, changes, role, now) -> None:
    folder, path, _ = run
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    other = tmp_path / "lab.toml"
    other.write_text(text)
    (found,) = replay(load_bench_file(other), folder / FILE).differences
    assert (found.what, found.role) == ("sent", role)
    assert now in found.now
    assert line_of(folder / FILE, found.line)["kind"] == "tx"


def test_a_run_that_was_killed_is_carried_out_again_up_to_there(run, tmp_path) -> None:
    folder, path, _ = run
    lines = (folder / FILE).read_text().splitlines(keepends=True)
    for action in ("Power.cut", "Contacts.events", "Contacts.ready"):
        at = next(n for n, line in enumerate(lines) if action in line) + 2
        file = tmp_path / f"{action}.jsonl"
        file.write_text("".join(lines[:at]) + lines[at][:9])
        again = replay(load_bench_file(path), file)
        assert again.ends == f"the run was cut short within {action}"
        assert again.differences == ()
        assert again.left_out == {}


def test_an_older_transcript_leaves_them_out(run, tmp_path) -> None:
    folder, path, _ = run

    def older(entries):
        return [e for e in entries if e["role"] != "laboratory" or "session" in e["data"]]

    again = replay(load_bench_file(path), altered(folder, tmp_path, older))
    sent = [e.role for e in entries_of(folder) if e.kind == "tx"]
    assert again.left_out == {role: sent.count(role) for role in ATTENDED}
    assert again.differences == ()
    assert again.messages == {}


# ---- power that stays, and another network ------------------------------------------------------


def test_a_device_that_keeps_its_power_on_every_way_out(tmp_path_harmed) -> None:
    folder = tmp_path_harmed
    kept = ("leave_on = false", "leave_on = true")
    with attended(folder, QUICK, kept) as (path, _, _), Attended(path) as bench:
        bench.keep_in(folder)
    entries = entries_of(folder)
    told = [next(iter(note)) for note in notes(entries)]
    assert told.count("clock_ns") > 2, "it was switched on as it was taken"
    same_as(entries, replay(load_bench_file(path), folder / FILE))
    # Of what the bench file has no more, all is missing.
    head = path.read_text().replace('contacts = "box"\n', "").partition("[instruments.box]")[0]
    path.write_text(head)
    (found,) = replay(load_bench_file(path), folder / FILE).differences
    assert (found.role, found.now, found.then) == ("box", "is not in the bench file", "is opened")


POWERED = """
[power]
side = "patient"
voltage_v = 5.0
current_a = 1.0
dark_v = 0.5
boot = "100ms"
[links.primary]
left = { name = "a" }
right = { name = "b" }
[arming]
by = "test"
at = NOW
holds = "1h"
phantom_in_place = true
area_clear = true
hardware_stop_tested = true
"""


class Sends(Packets):
    """A device that sends all the time, as the taps see it."""

    def recording(self, session, schedule):
        made = super().recording(session, schedule)
        rows = {"t_ns": np.arange(0, schedule.end_ns, 10**7)}
        seen = SimpleNamespace(where=lambda **_: SimpleNamespace(rows=rows))
        return replace(made, packets=seen)


def test_another_network_beside_a_real_device_is_measured_again(
    tmp_path_harmed, monkeypatch
) -> None:
    monkeypatch.setattr(testers, "EVERY_S", 0.01)
    monkeypatch.setattr(testers, "COUNT_EVERY_S", 0.01)
    monkeypatch.setattr(other_network, "_COUNT_TAKES_S", 0.2)
    folder, now = tmp_path_harmed, datetime.datetime.now(datetime.UTC).isoformat()
    with served(folder, ('packets = "virtual"', 'packets = "links"')) as (path, lab):
        path.write_text(path.read_text() + POWERED.replace("NOW", now))
        supply = lab.instruments["supply"]
        with Attended(path, Sends()) as bench:
            bench.keep_in(folder)
            found = bench.disturbed(find_device("tele-ultrasound-robot"), 7)
            assert supply.output(2)[0] == 5.0, "it has its power again"
    assert found.problem == ""
    assert found.alone.blocks == found.beside.blocks == 5000
    entries = entries_of(folder)
    done = [note["does"] for note in notes(entries) if "does" in note]
    assert done[-3:] == ["Neighbour.alone", "Neighbour.count", "Neighbour.end"]
    again = replay(load_bench_file(path), folder / FILE)
    assert (again.differences, again.ends, again.left_out) == ((), "", {})
    sent = [entry.role for entry in entries if entry.kind == "tx"]
    assert again.messages == {role: sent.count(role) for role in set(sent)}
    assert again.actions == sum("came" in note for note in notes(entries))


# ---- what failed --------------------------------------------------------------------------------


def stuck(lab, device) -> None:
    lab.instruments["box"].stuck.add(STOP)


def unplugged(lab, device) -> None:
    device.runs = False


def broken_lamp(lab, device) -> None:
    device.lamp_works = False
    lab.instruments["box"].drive(LAMP, 0)


def box_stops(lab, device) -> None:
    threading.Timer(0.9, lambda: setattr(lab.instruments["box"], "silent", True)).start()


def other_supply(lab, device) -> None:
    lab.instruments["supply"].output = lambda channel: (5.0, 0.1)


HARMS = {
    stuck: "stop was set",
    unplugged: "unplugged looks",
    broken_lamp: "did not light within",
    box_stops: "box: ",
    other_supply: "fed by another",
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_failed_fails_again_in_the_same_way(tmp_path_harmed, monkeypatch, harm) -> None:
    monkeypatch.setattr("bench.benches.lab.handling.TEST_S", 0.5)

    def attempt():
        folder = Path(tempfile.mkdtemp(dir=tmp_path_harmed))
        path, ended, _ = run_in(folder, harm, SESSIONS[:1])
        if any(noise in ended[0] for noise in NOISE) and HARMS[harm] not in ended[0]:
            raise NotShown(ended[0])
        assert HARMS[harm] in ended[0], ended
        return folder, path

    folder, path = shown(attempt)
    same_as(entries_of(folder), replay(load_bench_file(path), folder / FILE))
