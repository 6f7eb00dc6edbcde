"""A contact box around sessions: the stop is pressed, and what is not shown is an error."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bench.benches.base import BenchError
from bench.benches.lab import bench as lab_bench
from bench.benches.lab.bench import LabBench
from bench.benches.lab.contacts import DeviceContacts, Light
from bench.benches.lab.file import SHIPPED, load_bench_file
from bench.benches.lab.handling import Contacts
from bench.benches.lab.hands import hands_of
from bench.devices.registry import find_device
from bench.network.attacks import Attack
from bench.network.library.parts import usual_links
from bench.network.scenario import Action, Scenario, Segment, Step
from bench.sessions.recording import Session
from instruments.contacts.box import ContactBox, Output
from instruments.contacts.witness import Input
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.errors import NotWitnessed
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript

INPUTS = {"wheel": Input(0, "motion", settle_s=0.0), "lamp": Input(1, "light", settle_s=0.001)}
OUTPUTS = {"stop": Output(0, safe=1), "lamp-test": Output(1, safe=0)}
WHEEL, LAMP = 0, 1
STOP, TEST = 0, 1
STILL_S, DARK_S = 0.4, 0.3
WIRED = DeviceContacts(
    "box", "wheel", STILL_S, "stop", "lamp-test", DARK_S, {"network-delay": Light("lamp", "medium")}
)


class Device:
    """Turns its wheel while its stop is not pressed, and shows its light while it is tested."""

    def __init__(self, sim):
        self._sim, self._end = sim, threading.Event()
        self.runs, self.lamp_works = True, True
        sim.on_output = self._told
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def _told(self, number, level):
        if number == TEST and self.lamp_works:
            self._sim.drive(LAMP, level)

    def _turn(self):
        level = 0
        while not self._end.wait(0.01):
            if self.runs and not self._sim.outputs[STOP]:
                level = 1 - level
                self._sim.drive(WHEEL, level)

    def end(self):
        self._end.set()
        self._thread.join()


@contextmanager
def device(folder):
    """Contacts of a device whose box is in its safe state, and the device."""
    with RunningLab(Lab({"box": Described("contact-box")})) as lab:
        port = lab.resources["box"].removeprefix("ASRL").removesuffix("::INSTR")
        ours = Identity("telemed-bench", "contact-box-1")
        with ContactBox(
            "box", port, ours, INPUTS, OUTPUTS, 5.0, Transcript(), lock_folder=folder
        ) as box:
            box.make_safe()
            one = Device(lab.lab.instruments["box"])
            try:
                yield Contacts(box, WIRED), one
            finally:
                one.end()


def session(*actions: Action) -> Session:
    step = Step("stop", "local-stop", "within", (Segment("stop", 1.8, usual_links()),))
    return Session("t", find_device("telesurgery-robot"), Scenario("s", "S", (step,), actions), 7)


PRESSED = (
    Action("stop", 0.2, "patient", "local-stop"),
    Action("stop", 1.0, "patient", "local-release"),
)


@pytest.mark.real_time  # the clocks of host and box must be known within 20 ms
def test_it_presses_the_stop_and_sees_the_drive_stand_still_and_go_on(tmp_path) -> None:
    with device(tmp_path) as (contacts, one):
        contacts.ready()
        asked = session(*PRESSED)
        hands = hands_of(asked, [contacts])
        assert hands is not None
        t0_ns = time.monotonic_ns()
        hands.begin(t0_ns, lambda *_: None)
        time.sleep(0.4)
        one._sim.drive(LAMP, 1)
        time.sleep(0.2)
        one._sim.drive(LAMP, 0)
        time.sleep(1.2)
        assert hands.end()[0] == asked
        seen = contacts.events(t0_ns, 1_800_000_000)
        # What was is let go of before the next session, and nothing of that one is lost.
        contacts.ready()
        kept = contacts._box.record()
        t0_ns = time.monotonic_ns()
        one._sim.drive(LAMP, 1)
        time.sleep(0.2)
        again = contacts.events(t0_ns, 200_000_000)
    assert kept.beats[0][0] > kept.pairs[0].t_us
    assert len(kept.beats) < 30
    assert [e.value for e in again if e.name == "motion"] == [1]
    assert [e.value["on"] for e in again if e.name == "alarm-signal"] == [True]
    pressed, button, released, _ = hands.done
    assert (pressed.origin, pressed.value) == ("bench", {"name": "local-stop"})
    assert (button.name, button.value, button.t_ns) == ("stop-button", 1, pressed.t_ns)
    assert pressed.t_ns >= 200_000_000
    assert released.t_ns >= 1_000_000_000
    motion = [(e.t_ns, e.value) for e in seen if e.name == "motion"]
    assert [level for _, level in motion] == [1, 0, 1]
    assert pressed.t_ns - 50_000_000 < motion[1][0] < released.t_ns
    assert motion[2][0] >= released.t_ns
    signals = [e for e in seen if e.name == "alarm-signal"]
    assert [e.value["on"] for e in signals] == [True, False]
    assert all(e.independent for e in signals)


def test_the_box_forgets_up_to_its_last_heartbeat_and_nothing_behind_it(tmp_path) -> None:
    with device(tmp_path) as (contacts, one):
        box, level = contacts._box, 0
        lamp = box._heard.edges["lamp"]
        for _ in range(50):  # a heartbeat may come in between: then once more
            known, level = len(lamp), 1 - level
            one._sim.drive(LAMP, level)
            until = time.monotonic() + 5
            while len(lamp) == known:
                assert time.monotonic() < until
                time.sleep(0.001)
            if known and box._heard.beats[-1][0] < lamp[-1].t_us and box._heard.pairs:
                break
        kept = [edge for edge in lamp if edge.t_us > box._heard.beats[-1][0]]
        box.forget()
        assert kept == lamp[: len(kept)]
        assert len(kept) == len(lamp) >= 1
        assert len(box._heard.beats) < 5


def test_a_drive_that_never_moves_again_may_be_an_unplugged_encoder(tmp_path) -> None:
    with device(tmp_path) as (contacts, one):
        contacts.ready()
        t0_ns = time.monotonic_ns()
        one.runs = False
        time.sleep(0.3)
        with pytest.raises(NotWitnessed, match="unplugged looks the same"):
            contacts.events(t0_ns, 300_000_000)


def test_a_light_that_does_not_follow_its_test_shows_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("bench.benches.lab.handling.TEST_S", 0.3)
    with device(tmp_path) as (contacts, one):
        contacts.ready()
        t0_ns = time.monotonic_ns()
        one.lamp_works = False
        with pytest.raises(NotWitnessed, match=r"did not light .* of its test"):
            contacts.events(t0_ns, 1)
        assert one._sim.outputs[TEST] == 0, "the test is let go"
        with pytest.raises(NotWitnessed, match="did not light"):
            contacts.ready()


def test_what_no_output_does_is_refused(tmp_path) -> None:
    with device(tmp_path) as (contacts, _):
        assert hands_of(session(), [contacts]) is None
        with pytest.raises(BenchError, match="nobody here can do to a real device: takeover"):
            hands_of(session(*PRESSED, Action("stop", 1.2, "patient", "takeover")), [contacts])


def test_a_box_that_fails_ends_the_session(tmp_path) -> None:
    with device(tmp_path) as (contacts, one):
        contacts.ready()
        hands = hands_of(session(*PRESSED), [contacts])
        one._sim.stuck.add(STOP)
        hands.begin(time.monotonic_ns(), lambda *_: None)
        with pytest.raises(BenchError, match="an instrument failed"):
            hands.end()
        assert "stop" in hands.problem


def test_a_flood_is_offered_where_stop_and_drive_are_wired(monkeypatch):
    def offered(contacts):
        return "flooder" in LabBench(replace(load_bench_file(SHIPPED), contacts=contacts)).offers

    assert offered(WIRED)
    assert not offered(None)
    assert not offered(replace(WIRED, motion=""))
    assert not offered(replace(WIRED, stop=""))
    monkeypatch.setattr(lab_bench, "find_spec", lambda name: None)  # without the extra
    assert not offered(WIRED)


def test_attacks_are_nobodys_to_carry_out_at_the_device():
    step = Step("flood", "flood", "beyond", (Segment("flood", 1.0, usual_links()),))
    flood = Attack("flood", count=10, rate_per_s=100.0).action("flood", 0.1)
    scenario = Scenario("flood", "Flood", (step,), (flood,))
    assert hands_of(Session("t", find_device("telesurgery-robot"), scenario, 1), ()) is None
