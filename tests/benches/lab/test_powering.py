"""A supply that feeds a real device: on, cut, and what its exit leaves behind."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from itertools import pairwise

import pytest

from bench.benches.base import BenchError
from bench.benches.lab import powering
from bench.benches.lab.bench import connected
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.hands import Hands, Task, hands_of
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.powering import Power
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.network.library.parts import usual_links
from bench.network.scenario import Action, Scenario, Segment, Step
from bench.sessions.recording import Event, Session
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.simulators.scpi_errors import ScpiError
from instruments.visa.errors import NotApplied, NotSafe, NotWitnessed, Reported
from instruments.visa.transcript import Transcript

OUTPUT = 2
FILE = """title = "Power"
[roles]
supply = "supply"
[instruments.supply]
kind = "keysight-e36312a"
address = "{address}"
manufacturer = "Keysight*"
model = "E36312A"
write_termination = "\\n"
read_termination = "\\n"
connect = "5s"
reply = "5s"
output = 2
limits = {{ voltage_v = [0, 12], current_a = [0, 1] }}
[power]
side = "patient"
voltage_v = 5.0
current_a = 1.0
dark_v = 0.5
boot = "100ms"
leave_on = {leave_on}
"""
LINKS = '[links.primary]\nleft = { name = "a" }\nright = { name = "b" }\n'


@contextmanager
def supply(folder, *, leave_on=False):
    """A bench file, and the simulated supply that it names, on a socket."""
    with RunningLab(Lab({"supply": Described("power-supply")})) as lab:
        path = folder / "lab.toml"
        address = lab.resources["supply"]
        text = FILE.format(address=address, leave_on=str(leave_on).lower())
        path.write_text(text + LINKS)
        yield load_bench_file(path), lab.lab.instruments["supply"]


def taken(file, folder) -> Laboratory:
    return Laboratory(file, Transcript(), lock_folder=folder / "locks")


def volts(sim) -> float:
    return sim.output(OUTPUT)[0]


def session(*actions: Action) -> Session:
    step = Step("cut", "hold", "within", (Segment("cut", 1.5, usual_links()),))
    return Session("t", find_device("telesurgery-robot"), Scenario("s", "S", (step,), actions), 7)


CUT = Action("cut", 0.1, "patient", "power-cut:300ms")


def test_power_comes_before_a_session_and_goes_when_the_laboratory_is_left(tmp_path) -> None:
    with supply(tmp_path) as (file, sim):
        sim.put("output", True, OUTPUT)  # of a run that was killed
        with taken(file, tmp_path) as lab:
            assert volts(sim) == 0
            power = Power(lab.feed)
            began = time.monotonic()
            power.ready()
            assert time.monotonic() - began > 0.1, "it has had the time to start"
            assert volts(sim) == 5.0
            power.ready()
            t0_ns = time.monotonic_ns()
            at, start, end = power.events(t0_ns, 10**9)
            assert (at.name, at.origin, at.side, at.value) == ("power", "contact", "patient", 1)
            assert start.value == {"on": True, "voltage_v": 5.0, "current_a": 0.5}
            assert end.t_ns == 10**9
        assert volts(sim) == 0


def test_a_device_that_must_not_lose_its_power_keeps_it_on_every_way_out(tmp_path) -> None:
    with supply(tmp_path, leave_on=True) as (file, sim):
        with taken(file, tmp_path) as lab:
            assert volts(sim) == 5.0
            power = Power(lab.feed)
            power.ready()
        assert volts(sim) == 5.0
        sim.put("output", False, OUTPUT)  # killed in the middle of a cut
        levels = watched(sim)
        with pytest.raises(ZeroDivisionError):
            fails_in_a_cut(file, tmp_path)
        assert volts(sim) == 5.0
        with taken(file, tmp_path):
            pass
        assert [on for on, _ in levels()] == [False, True, False, True]


def fails_in_a_cut(file, folder) -> None:
    with taken(file, folder) as lab:
        time.sleep(0.05)  # so that who watches sees it on, and off
        lab.feed.off()
        time.sleep(0.05)
        raise ZeroDivisionError


def test_a_supply_that_is_on_otherwise_than_declared_is_not_touched(tmp_path) -> None:
    with supply(tmp_path, leave_on=True) as (file, sim):
        sim.put("volts", 11.0, OUTPUT)
        sim.put("output", True, OUTPUT)
        with pytest.raises(NotSafe, match=r"is on with voltage_v 11, and \[power\] says 5"):
            taken(file, tmp_path).__enter__()
        assert volts(sim) == 10.0, "in its limit of 1 A, as it was"


def watched(sim):
    """Samples of the output, as (on, since) from a thread; call the result for them."""
    found, stop = [], threading.Event()

    def look() -> None:
        while not stop.wait(0.002):
            on = bool(sim.get("output", OUTPUT))
            if not found or found[-1][0] != on:
                found.append((on, time.monotonic_ns()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()

    def end():
        time.sleep(0.01)
        stop.set()
        thread.join()
        return found

    return end


def test_the_power_is_cut_when_it_is_due_for_as_long_as_asked_and_read_back(tmp_path) -> None:
    with supply(tmp_path) as (file, sim), taken(file, tmp_path) as lab:
        power = Power(lab.feed)
        power.ready()
        asked = session(CUT)
        hands = hands_of(asked, [power])
        assert hands.able == {"power-cut:300ms"}
        honest = lab.feed.off
        lab.feed.off = lambda: (honest(), time.sleep(0.2))  # the supply takes its time to say so
        levels = watched(sim)
        t0_ns = time.monotonic_ns()
        hands.begin(t0_ns, lambda *_: None)
        assert hands.end()[0] == asked
        seen = levels()
        action, off, dark, on, up = hands.done
        assert power.events(t0_ns, 1_500_000_000)[0].value == 1
    assert [one for one, _ in seen] == [True, False, True]
    (_, off_ns), (_, on_ns) = seen[1:]
    assert (action.name, action.value, action.origin) == (
        "action", {"name": "power-cut:300ms"}, "bench",
    )  # fmt: skip
    assert [(e.name, e.origin, e.side, e.value) for e in (off, on)] == [
        ("power", "contact", "patient", 0), ("power", "contact", "patient", 1),
    ]  # fmt: skip
    assert 100_000_000 <= action.t_ns <= off_ns - t0_ns + 2_000_000
    assert off.t_ns + t0_ns >= off_ns - 4_000_000, "no earlier than it was off"
    assert on.t_ns + t0_ns <= on_ns, "no later than it was on"
    assert on.t_ns - off.t_ns >= 300_000_000
    assert dark.value["voltage_v"] == 0.0
    assert (dark.value["on"], up.value["on"]) == (False, True)
    assert up.value["voltage_v"] == 5.0
    assert up.value["current_a"] == 0.5
    for value in (dark.value, up.value):
        times = [
            value[key] for key in ("commanded_s", "confirmed_s", "dark_s", "up_s") if key in value
        ]
        assert all(a <= b for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("another supply", r"is off, and 4 V are still there: the device is fed by another"),
        ("somebody", r"was on before it was to be"),
        ("slow", r"to go off: when is not known"),
        ("comes not back", r"gives 0 V, and 5 V are set"),
    ],
)
def test_a_cut_that_is_none_ends_the_session(tmp_path, monkeypatch, fault, problem) -> None:
    monkeypatch.setattr(powering, "UP_S", 0.2)
    with supply(tmp_path) as (file, sim), taken(file, tmp_path) as lab:
        power = Power(lab.feed)
        power.ready()
        hands = hands_of(session(CUT), [power])
        if fault == "another supply":
            sim.output = lambda channel: (4.0, 0.1)
        elif fault == "somebody":
            threading.Timer(0.3, lambda: sim.put("output", True, OUTPUT)).start()
        elif fault == "slow":
            monkeypatch.setattr(powering, "MOST_DOUBT_S", 0.0)
        else:
            sim.output = lambda channel: (0.0, 0.0)  # a wire came off
        hands.begin(time.monotonic_ns(), lambda *_: None)
        with pytest.raises(BenchError, match=problem):
            hands.end()
        if fault == "another supply":
            del sim.output
    assert not sim.get("output", OUTPUT), "whoever leaves makes it safe"


def test_lights_say_nothing_by_being_dark_where_the_power_was_cut() -> None:
    off, on = (Event(t, "patient", "contact", "power", t) for t in (0, 1))
    assert [e.name for e in connected(["lights"], [on])] == ["contacts-wired", "alarms-connected"]
    assert [e.name for e in connected(["lights"], [on, off])] == ["contacts-wired"]
    assert [e.name for e in connected(["power"], [])] == ["contacts-wired"]


def test_what_is_to_be_done_next_waits_its_turn() -> None:
    done: list[str] = []

    def task(name: str, due_ms: int, *further: Task) -> Task:
        return Task(due_ms * 1_000_000, lambda t0_ns: (done.append(name), ((), further))[1])

    hands = Hands(session(), [task("off", 0, task("on", 100)), task("stop", 50)])
    hands.begin(time.monotonic_ns(), lambda *_: None)
    hands.end()
    assert done == ["off", "stop", "on"]


def test_power_that_goes_by_itself_is_seen(tmp_path) -> None:
    with supply(tmp_path) as (file, sim), taken(file, tmp_path) as lab:
        power = Power(lab.feed)
        power.ready()
        sim.put("output", False, OUTPUT)  # its over-current protection, or somebody's hand
        with pytest.raises(NotWitnessed, match="gives 0 V at the end"):
            power.events(time.monotonic_ns(), 1)


def test_a_supply_at_its_limit_does_not_feed_the_device(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(powering, "UP_S", 0.2)
    with supply(tmp_path) as (file, sim), taken(file, tmp_path) as lab:
        sim.offset = -1.0
        with pytest.raises(NotApplied, match=r"gives 4 V, and 5 V are set"):
            Power(lab.feed).ready()


def test_a_session_that_is_given_up_in_a_cut_has_its_power_in_the_next(tmp_path) -> None:
    with supply(tmp_path) as (file, sim), taken(file, tmp_path) as lab:
        power = Power(lab.feed)
        power.ready()
        hands = hands_of(session(Action("cut", 0.0, "patient", "power-cut:20s")), [power])
        hands.begin(time.monotonic_ns(), lambda *_: None)
        until = time.monotonic() + 5
        while volts(sim):
            assert time.monotonic() < until
            time.sleep(0.01)
        hands.stop()
        assert volts(sim) == 0
        power.ready()
        assert volts(sim) == 5.0


def test_the_power_of_the_other_side_is_not_ours_to_cut(tmp_path) -> None:
    with supply(tmp_path) as (file, _), taken(file, tmp_path) as lab:
        asked = session(CUT, Action("cut", 0.1, "doctor", "power-cut:300ms"))
        with pytest.raises(BenchError, match=r"real device: power-cut:300ms \(doctor\)$"):
            hands_of(asked, [Power(lab.feed)])


def test_a_supply_that_reports_an_error_ends_the_session(tmp_path) -> None:
    with supply(tmp_path) as (file, sim), taken(file, tmp_path) as lab:
        power = Power(lab.feed)
        sim.errors.put(ScpiError(-310))
        with pytest.raises(Reported, match="-310"):
            power.ready()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("voltage_v = 5.0", "voltage_v = 24.0", "power.voltage_v = 24.0: is beyond the supply's"),
        ("voltage_v = 5.0", 'voltage_v = "5V"', "power.voltage_v = '5V': is not a number"),
        ("current_a = 1.0", "current_a = 0.0", "power.current_a = 0.0: is beyond the supply's"),
        ("dark_v = 0.5", "dark_v = 3.0", "power.dark_v = 3.0: is no voltage without power"),
        ('boot = "100ms"', 'boot = "1h"', "power.boot = '1h': is too long"),
        ('side = "patient"', 'side = "both"', "power.side = 'both': is unknown"),
        ("leave_on = false", "stay = false", "power.stay: unknown key"),
        ('[roles]\nsupply = "supply"', "", "power: has no supply"),
        ('"TCPIP', '"simulated" #', "power: is a real device's"),
        (LINKS, "", "power: is a real device's"),
    ],
)
def test_what_cannot_feed_a_device_is_refused(tmp_path, old, new, said) -> None:
    text = FILE.format(address="TCPIP::192.0.2.1::5025::SOCKET", leave_on="false") + LINKS
    assert old in text
    path = tmp_path / "lab.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError) as refused:
        load_bench_file(path)
    assert re.search(said, refused.value.line()), refused.value.line()
