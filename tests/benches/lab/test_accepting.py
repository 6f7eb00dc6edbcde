"""``--accept`` of what stands at a serial port: seen to follow, confirmed, or not accepted."""

from __future__ import annotations

import datetime
import re
import threading
import time
from contextlib import contextmanager

import pytest

from bench.benches.lab import accepting
from bench.benches.lab.acceptance import accept, acceptances, standing
from bench.benches.lab.accepting import NOBODY, Person, Watch, try_modem, watches_of
from bench.benches.lab.checking import check_laboratory
from bench.benches.lab.contacts import DeviceContacts, Light
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.errors import InputError
from instruments.contacts.box import Output
from instruments.modem.modem import Modem
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.errors import InstrumentError
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript
from tests.support.every_driver import running

DAY = datetime.date(2026, 11, 30)
BUTTON, WHEEL = 0, 1
STOP, BELL = 0, 1
BOX = """title = "Contacts"
[instruments.box]
kind = "contact-box"
address = "{port}"
manufacturer = "telemed-bench"
model = "contact-box-1"
reply = "5s"
inputs.button = {{ number = 0, kind = "contact" }}
inputs.wheel = {{ number = 1, kind = "motion", settle = "0s" }}
outputs.stop = {{ number = 0, safe = 1, seen_by = "button" }}
outputs.bell = {{ number = 1, safe = 0 }}
"""
LINKS = '[links.primary]\nleft = { name = "a" }\nright = { name = "b" }\n'


@contextmanager
def box(folder, more=""):
    """A bench file with a box whose stop is wired to its input, and the simulated box."""
    with RunningLab(Lab({"box": Described("contact-box")})) as lab:
        port = lab.resources["box"].removeprefix("ASRL").removesuffix("::INSTR")
        path = folder / "lab.toml"
        path.write_text(BOX.format(port=port) + more)
        sim = lab.lab.instruments["box"]
        sim.on_output = lambda number, level: number == STOP and sim.drive(BUTTON, level)
        yield load_bench_file(path), sim


def helpful(sim) -> tuple[Person, list[str]]:
    """Who turns the wheel when asked to, and confirms what the box really does."""
    asked = []

    def confirm(question: str) -> str:
        asked.append(question)
        return "A. Person" if f"output bell is {sim.outputs[BELL]}" in question else ""

    return Person(lambda request: sim.drive(WHEEL, 1, 0), confirm), asked


def tried(file, folder, person):
    found, laboratory = check_laboratory(
        file, None, on=DAY, lock_folder=folder / "locks", exercise=True, person=person
    )
    missing = {f.what: f.figure for f in found.findings if f.status == "missing"}
    return found, laboratory, missing


def test_a_box_is_accepted_once_each_contact_was_seen_both_ways(tmp_path) -> None:
    with box(tmp_path) as (file, sim):
        person, asked = helpful(sim)
        found, laboratory, missing = tried(file, tmp_path, person)
        assert not missing
        assert [question.rpartition(":")[0] for question in asked] == [
            "box: output bell is 1, not its safe state", "box: output bell is 0, its safe state",
        ]  # fmt: skip
        seen = found.verified["box"]
        assert seen == (
            "output stop both ways: seen by button",
            "output bell both ways: confirmed by A. Person",
            "input wheel seen at both levels",
            "identity and safe state",
        )
        assert sim.outputs == (1, 0), "left in its safe state"
        (before,) = found.standing
        assert (before["certifiable"], before["accepted"]) == (False, False)
        accept(file.path, laboratory, found.verified, DAY)
        with Laboratory(file, Transcript(), on=DAY, lock_folder=tmp_path / "locks") as lab:
            (after,) = standing(lab, acceptances(file.path))
        assert (after["certifiable"], after["reason"]) == (True, "")
        sim.identity = "telemed-bench,contact-box-1,SIM0001,2"  # another firmware
        with Laboratory(file, Transcript(), on=DAY, lock_folder=tmp_path / "locks") as lab:
            (other,) = standing(lab, acceptances(file.path))
        assert not other["certifiable"]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("unwired", "box button: did not go to 0|button: was at level 0 already"),
        ("stuck on", "box button: did not go to 0 within 0.5 s"),
        ("output stuck", "stop was set to 0"),
        ("nobody", "box bell: nobody confirmed that it is 1: wire an input"),
        ("wheel", "box wheel: was not seen to change both ways"),
        ("inverted", "box button: did not go to 0 within 0.5 s"),
    ],
)
def test_what_is_not_seen_is_not_accepted(tmp_path, monkeypatch, fault, problem) -> None:
    monkeypatch.setattr(accepting, "MOVE_S", 0.2)
    with box(tmp_path) as (file, sim):
        person, _ = helpful(sim)
        if fault == "unwired":
            sim.on_output = lambda number, level: None
        elif fault == "stuck on":
            sim.drive(BUTTON, 1)
            sim.on_output = lambda number, level: None
        elif fault == "inverted":
            sim.on_output = lambda number, level: number == STOP and sim.drive(BUTTON, 1 - level)
        elif fault == "output stuck":
            threading.Timer(0.3, lambda: sim.stuck.add(STOP)).start()
        elif fault == "nobody":
            person = Person(person.tell, NOBODY.confirm)
        else:
            person = Person(NOBODY.tell, person.confirm)
        found, _, missing = tried(file, tmp_path, person)
        assert not found.complete
        assert "box contacts" in missing or "box" in missing
        assert re.search(problem, " ".join(missing.values())), missing


def test_the_stop_of_a_device_that_nobody_armed_is_not_let_go(tmp_path) -> None:
    with box(tmp_path, LINKS) as (file, sim):
        person, asked = helpful(sim)
        levels = set()
        sim.on_output = lambda number, level: levels.add((number, level))
        _, _, missing = tried(file, tmp_path, person)
        assert missing["box contacts"] == "nobody has armed the device"
        assert levels <= {(STOP, 1)}
        assert not asked


def test_the_lights_of_the_alarm_test_are_seen_by_their_inputs() -> None:
    outputs = {"stop": Output(0, 1, "button"), "test": Output(1, 1), "bell": Output(1, 0)}
    wired = DeviceContacts("box", alarm_test="test", lights={"loss": Light("lamp", "high")})
    assert watches_of(outputs, wired) == {
        "stop": (Watch("button", 1, accepting.FOLLOW_S),),
        "test": (Watch("lamp", 0, accepting.TEST_S),),
        "bell": (),
    }
    assert watches_of(outputs, None)["test"] == ()


def test_only_a_contact_sees_an_output(tmp_path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(BOX.format(port="/dev/x").replace('seen_by = "button"', 'seen_by = "wheel"'))
    with pytest.raises(InputError, match=r"stop.seen_by = 'wheel': is unknown; use one of button"):
        load_bench_file(path)


# ---- the modem ----------------------------------------------------------------------------------


@contextmanager
def camping(folder):
    """A modem on a simulated tester's cell, and the simulated modem."""
    with running("tester", "modem") as lab:
        tester, sim = (lab.lab.instruments[name] for name in ("tester", "modem"))
        tester.put("cell", True, 1)
        tester.put("level", -85.0, 1)
        port = lab.resources["modem"].removeprefix("ASRL").removesuffix("::INSTR")
        quectel = Identity("Quectel", "EG25-G")
        with Modem("modem", port, quectel, 5.0, Transcript(), lock_folder=folder) as modem:
            yield modem, sim


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("no cell", "has no serving cell for 1 s"),
        ("another cell", "showed .*, then "),
        ("silent", "radio off: no report of its registration within 1 s"),
        ("wrong report", "reported cell 0000ABCD, and shows another"),
        ("late", "no answer within 0.2 s"),
        ("lost", "reported more than is kept"),
    ],
)
def test_a_modem_that_does_not_do_what_its_driver_says(
    tmp_path, monkeypatch, fault, problem
) -> None:
    monkeypatch.setattr(accepting, "CAMP_S", 1.0)
    with camping(tmp_path) as (modem, sim):
        honest, of = sim.serving_cell, sim._registration
        if fault == "no cell":
            sim.serving_cell = lambda: '+QENG: "servingcell","SEARCH"'
        elif fault == "another cell":
            turn = iter(range(1000))
            sim.serving_cell = lambda: honest().replace("ABC01", f"ABD{next(turn):02X}")
        elif fault == "silent":
            sim.news = lambda: b""
        elif fault == "wrong report":
            sim._registration = lambda name: of(name).replace("000ABC01", "0000ABCD")
        elif fault == "lost":
            modem.dropped = 1
        else:
            modem._reply_s = 0.2
            sim.extended_quality = lambda: time.sleep(0.3) or "+CESQ: 99,99,255,255,20,40"
        with pytest.raises(InstrumentError, match=problem):
            try_modem(modem)
        assert sim.radio_level() == "+CFUN: 1", "its radio is on again"


def test_a_modem_that_reports_apart_while_it_is_asked(tmp_path) -> None:
    with camping(tmp_path) as (modem, _):
        answers, cell, reports = try_modem(modem)
        assert answers == "AT answers"
        assert cell.startswith("serving cell twice: LTE 001-01 cell ABC01")
        assert re.fullmatch(r"unasked, apart: [2-9] reports of registration", reports)
        assert not [event for event in modem.events if not event.line.startswith("+CEREG: ")]
