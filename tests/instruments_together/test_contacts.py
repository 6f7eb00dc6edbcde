"""The contact box on a pseudo terminal: what it witnesses, and what is never "no event"."""

from __future__ import annotations

import contextlib
import time
from contextlib import contextmanager

import pytest

from bench.errors import InputError
from bench.tables import read_toml
from instruments.contacts.box import ContactBox, Output
from instruments.contacts.files import box_of
from instruments.contacts.witness import Input
from instruments.safety import SafeState
from instruments.simulators.faults import read_fault
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.errors import (
    Broken,
    InstrumentError,
    NotApplied,
    NotWitnessed,
    Reported,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript, check_entries

OURS = Identity("telemed-bench", "contact-box-1")
INPUTS = {
    "button": Input(0, "contact"),
    "lamp": Input(1, "light"),
    "horn": Input(2, "sound"),
    "encoder": Input(3, "motion", settle_s=0.0),
}
OUTPUTS = {"stop": Output(0, safe=1), "takeover": Output(1, safe=0)}
BUTTON, LAMP, HORN, ENCODER = range(4)


@contextmanager
def box(folder, *faults: str, reply_s: float = 5.0, identity: Identity = OURS):
    """A box that is open, and its simulator."""
    described = Described("contact-box", faults=tuple(read_fault(text) for text in faults))
    with RunningLab(Lab({"box": described})) as lab:
        port = lab.resources["box"].removeprefix("ASRL").removesuffix("::INSTR")
        driver = ContactBox(
            "box", port, identity, INPUTS, OUTPUTS, reply_s, Transcript(), lock_folder=folder
        )
        yield driver, lab.lab.instruments["box"]


def soon(found, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def settled(live, begun_ns: int, seconds: float) -> None:
    """Until the record covers this time: a heartbeat, and a comparison of the clocks, beyond it."""

    def covered() -> bool:
        pairs = live.record().pairs
        return bool(pairs) and pairs[-1].before_ns > begun_ns + seconds * 1e9 + 0.4e9

    soon(covered)


def exercised(sim, *numbers: int) -> None:
    """Each input changes there and back, for long enough to count: it is plugged in."""
    for level in (1, 0):
        for number in numbers:
            sim.drive(number, level)
        time.sleep(0.03)


def in_time(live) -> None:
    """The clocks have been compared."""
    soon(lambda: len(live.record().pairs) > 2)


def test_light_sound_motion_and_a_bouncing_contact_are_witnessed_in_time(tmp_path) -> None:
    with box(tmp_path) as (driver, sim), driver as live:
        in_time(live)
        exercised(sim, BUTTON, LAMP, HORN, ENCODER)
        begun_ns = time.monotonic_ns()
        time.sleep(0.03)
        sim.on_output = lambda number, level: sim.drive(LAMP, level)
        pair = live.set("stop", 1)
        bounced_ns = sim.drive(BUTTON, 1, 0, 1, 0, 1)
        moved_ns = [sim.drive(ENCODER, level) for level in (1, 0, 1)][-1]
        levels = live.levels()
        time.sleep(0.3)
        ended_ns = time.monotonic_ns()
        exercised(sim, HORN, ENCODER)
        settled(live, ended_ns, 0.0)
        record = live.record()
        assert record.fault == ""
        lamp = record.first("lamp", begun_ns, 0.25)
        assert pair.before_ns - lamp.uncertainty_ns <= lamp.t_ns
        assert lamp.t_ns <= pair.after_ns + lamp.uncertainty_ns
        button = record.first("button", begun_ns, 0.25)
        assert abs(button.t_ns - bounced_ns) <= button.uncertainty_ns
        assert [change.edges for change in record.changes("button")] == [1, 1, 5]
        last = record.last_motion("encoder", begun_ns, 0.25)
        assert abs(last.t_ns - moved_ns) <= last.uncertainty_ns
        assert record.last_motion("encoder", moved_ns + last.uncertainty_ns, 0.1) is None
        assert record.first("horn", begun_ns, 0.25) is None
        assert levels == {
            "button": 1, "lamp": 1, "horn": 0, "encoder": 1, "stop": 1, "takeover": 0
        }  # fmt: skip
        said = "".join(e["data"] for e in driver._transcript.entries if e["kind"] == "rx")
        stamps = [int(line.split(" ")[1]) for line in said.splitlines()]
        assert stamps[0] > stamps[-1]  # the box's clock has wrapped meanwhile
    check_entries(driver._transcript.entries)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A record in which the button was tested before and behind 0.3 s, the lamp is on, the rest
    was never touched; when the 0.3 s began and ended, ns."""
    with box(tmp_path_factory.mktemp("box")) as (driver, sim), driver as live:
        in_time(live)
        sim.drive(LAMP, 1)
        exercised(sim, BUTTON)
        begun_ns = time.monotonic_ns()
        time.sleep(0.3)
        ended_ns = time.monotonic_ns()
        exercised(sim, BUTTON)
        settled(live, ended_ns, 0.0)
        return live.record(), begun_ns, ended_ns


def test_what_was_not_tested_may_be_unplugged(quiet) -> None:
    record, begun_ns, ended_ns = quiet
    assert record.first("button", begun_ns, 0.25) is None
    with pytest.raises(NotWitnessed, match=r"did not change before .* unplugged"):
        record.first("horn", begun_ns, 0.25)
    with pytest.raises(NotWitnessed, match="did not change before"):
        record.last_motion("encoder", begun_ns, 0.25)
    with pytest.raises(NotWitnessed, match="did not change after"):
        record.first("button", ended_ns + 150_000_000, 0.1)


def test_what_is_on_all_the_time_may_be_stuck(quiet) -> None:
    record, begun_ns, _ = quiet
    with pytest.raises(NotWitnessed, match="stuck"):
        record.first("lamp", begun_ns, 0.25)


def test_nothing_is_said_of_times_that_the_record_has_not(quiet) -> None:
    record, begun_ns, ended_ns = quiet
    with pytest.raises(NotWitnessed, match="ends before"):
        record.first("button", ended_ns + 150_000_000, 60.0)
    with pytest.raises(NotWitnessed, match="begins after"):
        record.first("horn", begun_ns - 60_000_000_000, 0.2)


def test_an_edge_that_the_box_lost_is_found_by_its_heartbeats(tmp_path) -> None:
    with box(tmp_path) as (driver, sim), driver as live:
        in_time(live)
        exercised(sim, HORN)
        begun_ns = time.monotonic_ns()
        sim.lose(HORN, 1)
        settled(live, begun_ns, 0.2)
        with pytest.raises(NotWitnessed, match="do not agree"):
            live.record().first("horn", begun_ns, 0.2)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda sim: setattr(sim, "silent", True), "silent|no answer|tell its time"),
        (lambda sim: setattr(sim, "dropped", 3), "has lost 3 edges"),
        (lambda sim: setattr(sim, "_number", 7_000), "lines were lost"),
    ],
    ids=["unplugged", "edges lost", "lines lost"],
)
def test_a_box_that_fails_is_never_no_event(tmp_path, harm, words) -> None:
    with box(tmp_path, reply_s=1.0) as (driver, sim), driver as live:
        in_time(live)
        exercised(sim, BUTTON)
        begun_ns = time.monotonic_ns()
        harm(sim)
        soon(lambda: live.record().fault)
        with pytest.raises(NotWitnessed, match=words):
            live.record().first("button", begun_ns, 0.05)
        with pytest.raises(Broken):
            live.set("stop", 1)


def test_a_contact_that_chatters_is_a_fault(tmp_path) -> None:
    with box(tmp_path) as (driver, sim), driver as live:
        in_time(live)
        begun_ns = time.monotonic_ns()
        sim.drive(BUTTON, *[1, 0] * 30, 1)
        settled(live, begun_ns, 0.1)
        with pytest.raises(NotWitnessed, match="chatters: 61 edges"):
            live.record().first("button", begun_ns, 0.1)


def test_outputs_are_read_back_and_made_safe(tmp_path) -> None:
    with box(tmp_path) as (driver, sim), driver as live:
        with SafeState([live]):
            assert sim.outputs == (1, 0)
            live.set("stop", 0)
            live.set("takeover", 1)
            with pytest.raises(InputError, match="no output"):
                live.set("go", 1)
        assert sim.outputs == (1, 0)
        sim.stuck.add(0)
        with pytest.raises(NotApplied, match="stop was set to 0"):
            live.set("stop", 0)
        sim.inject(1, "")
        with pytest.raises(Reported):
            live.levels()


def test_a_box_that_came_back_is_made_safe_again(tmp_path) -> None:
    with box(tmp_path, reply_s=1.0) as (driver, sim), driver as live:
        live.set("stop", 0)
        sim.silent = True
        soon(lambda: live.record().fault)
        with pytest.raises(Unreachable):
            live.make_safe()
        sim.silent = False
        live.make_safe()
        assert sim.outputs == (1, 0)


@pytest.mark.parametrize(
    "fault", ["mute@SETx1", "half@SETx1", "late=300ms@SETx1", "delay=2s@SETx1", "no-result@SETx1"]
)
def test_faults_of_the_line_end_in_errors(tmp_path, fault) -> None:
    with box(tmp_path, fault, reply_s=0.5) as (driver, _), driver as live:
        with contextlib.suppress(InstrumentError):
            live.set("takeover", 1)
        soon(lambda: live.record().fault)  # late: the lines that overtake it are out of order
        with pytest.raises(Broken):
            live.set("takeover", 1)


def test_another_box_or_none_is_refused(tmp_path) -> None:
    with (
        box(tmp_path, "identity=Another,box,0,0") as (driver, _),
        pytest.raises(WrongIdentity),
        driver,
    ):
        pytest.fail("opened")
    with box(tmp_path, "mute", reply_s=0.3) as (driver, _), pytest.raises(Unreachable), driver:
        pytest.fail("opened")


def test_a_box_of_a_bench_file(tmp_path) -> None:
    text = """
        [instruments.box]
        kind = "contact-box"
        address = "PORT"
        manufacturer = "telemed-bench"
        model = "contact-box-*"
        reply = "5s"
        [instruments.box.inputs]
        motion = { number = 3, kind = "motion" }
        lamp = { number = 1, kind = "light", settle = "5ms" }
        [instruments.box.outputs]
        stop = { number = 0, safe = 1 }
    """

    def read(text: str):
        path = tmp_path / "bench.toml"
        path.write_text(text)
        table = read_toml(path, "the bench file").only(("instruments",))
        return box_of("box", table.named("instruments")["box"])

    with box(tmp_path) as (driver, sim):
        found = read(text.replace("PORT", driver._port))
        assert found.inputs["motion"].settle_s == 0
        assert found.inputs["lamp"].settle_s == 0.005
        with found.session(Transcript(), tmp_path) as live:
            live.make_safe()
            assert sim.outputs == (1, 0)
    for wrong in (("number = 3", "number = 4"), ('"light"', '"smell"'), ("safe = 1", "safe = 2"),
                  ("number = 1", "number = 3"), ('"5s"', '"0s"'), ("safe", "danger")):  # fmt: skip
        with pytest.raises(InputError):
            read(text.replace(*wrong))
