"""``bench emulate`` without interfaces: its words, its control channel, its records."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from bench.commands import emulate as command
from bench.errors import InputError
from bench.network.delays import Delay
from bench.network.impairment import (
    CLEAN,
    FourState,
    GilbertElliott,
    Impairment,
    Reordering,
    Slot,
    bernoulli,
)
from bench.network.library import find_scenario
from bench.network.scenario import compile_scenario
from bench.report.emulate import Display, warnings
from bench.studies import emulate
from bench.studies.emulate import _Session, run_emulation
from bench.studies.emulate_control import Client, ControlSocket, check_path
from bench.studies.emulate_words import (
    Asked,
    Words,
    changes_of,
    impairment_of,
    interfaces_of,
    read_backend,
    read_seed,
)
from bench.studies.signals import Signals
from instruments.emulators.base import ChangeReport, DirectionReport, EmulatorError, EmulatorReport


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ({}, CLEAN),
        ({"delay": "20ms"}, Impairment(Delay(0.02))),
        ({"delay": "20ms", "jitter": "2ms"}, Impairment(Delay(0.02, "uniform", 0.002))),
        (
            {"delay": "20ms", "jitter": "2ms", "distribution": "paretonormal", "order": "allow"},
            Impairment(Delay(0.02, "paretonormal", 0.002), order="allow"),
        ),
        ({"loss": "0.1%"}, Impairment(loss=bernoulli(0.001))),
        ({"loss": "0"}, CLEAN),
        (
            {"loss_model": "gilbert-elliott 1% 25%"},
            Impairment(loss=GilbertElliott(0.01, 0.25)),
        ),
        (
            {"loss_model": "gilbert-elliott 1% 25% 80% 0.1%"},
            Impairment(loss=GilbertElliott(0.01, 0.25, loss_bad=0.8, loss_good=0.001)),
        ),
        (
            {"loss_model": "four-state 1% 30% 20% 50% 0.1%"},
            Impairment(loss=FourState(p13=0.01, p31=0.3, p32=0.2, p23=0.5, p14=0.001)),
        ),
        (
            {"duplicate": "0.1%", "ber": "1e-7", "delay": "1ms", "reorder": "1%", "order": "allow"},
            Impairment(
                Delay(0.001), "allow", duplication=0.001, ber=1e-7, reordering=Reordering(0.01)
            ),
        ),
        ({"rate": "100mbit", "queue": "50ms"}, Impairment(rate_bps=1e8, queue_s=0.05)),
        ({"rate": "2 Gbit/s", "queue": "100"}, Impairment(rate_bps=2e9, queue_packets=100)),
        ({"slot": "5ms-10ms"}, Impairment(slot=Slot(0.005, 0.01))),
        ({"mtu": "1280"}, Impairment(mtu_bytes=1280)),
        ({"mtu": "9kB"}, Impairment(mtu_bytes=9000)),
        ({"slot": "5ms"}, Impairment(slot=Slot(0.005, 0.005))),
        ({"hold": True}, Impairment(hold=True)),
        ({"down": True}, Impairment(up=False)),
    ],
)
def test_what_the_words_mean(words, meant):
    assert impairment_of(Words(**words)) == meant


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ({"delay": "20"}, ("--delay = '20'", "no unit")),
        ({"delay": "20ms 2ms"}, ("--delay", "more than one figure", "--jitter")),
        ({"delay": "1ms", "jitter": "2ms"}, ("--jitter = '2ms'", "larger than the delay")),
        (
            {"delay": "1ms", "jitter": "0.5ms", "distribution": "normal"},
            ("--jitter = '0.5ms'", "three standard deviations"),
        ),
        ({"delay": "1ms", "distribution": "normal"}, ("--distribution", "needs a jitter")),
        (
            {"delay": "9ms", "jitter": "1ms", "distribution": "gauss"},
            ("--distribution = 'gauss'", "paretonormal"),
        ),
        ({"loss": "1% 25%"}, ("--loss = '1% 25%'", "correlation", "--loss-model")),
        ({"duplicate": "1% 25%"}, ("--duplicate", "correlation")),
        ({"delay": "1ms", "reorder": "1% 50%", "order": "allow"}, ("--reorder", "correlation")),
        ({"loss": "120%"}, ("--loss", "outside 0 to 1")),
        ({"loss": "1%", "loss_model": "four-state 1% 2%"}, ("--loss", "--loss-model")),
        ({"loss_model": "bursty 1%"}, ("--loss-model", "gilbert-elliott")),
        ({"loss_model": "gilbert-elliott 1%"}, ("few", "p_bad_to_good [loss_bad [loss_good]]")),
        ({"loss_model": "four-state 1% 2% 3% 4% 5% 6%"}, ("--loss-model", "many")),
        ({"loss_model": "gilbert-elliott 1% x"}, ("p_bad_to_good", "'x'")),
        ({"delay": "1ms", "reorder": "1%"}, ("--reorder = '1%'", 'order = "allow"')),
        ({"order": "maybe"}, ("--order = 'maybe'", "preserve")),
        ({"queue": "50ms"}, ("--queue", "--rate")),
        ({"rate": "100MB/s"}, ("--rate", "bytes")),
        (
            {"rate": "1gbit", "delay": "100ms", "queue": "10"},
            ("--queue = '10'", "rate x delay"),
        ),
        ({"slot": "10ms-5ms"}, ("--slot = '10ms-5ms'", "low <= high")),
        ({"mtu": "67"}, ("--mtu = '67'", "below 68 bytes")),
        ({"mtu": "long"}, ("--mtu", "64kB")),
        ({"slot": "0ms"}, ("--slot", "5ms-10ms")),
        ({"hold": True, "down": True}, ("--hold", "both hold and drop")),
    ],
)
def test_what_cannot_be_is_refused_by_option_and_remedy(words, parts):
    with pytest.raises(InputError) as caught:
        impairment_of(Words(**words))
    line = caught.value.line()
    assert "\n" not in line
    for part in parts:
        assert part in line


def test_directions_profiles_and_scenarios():
    slow = Words(delay="5ms")
    changes, schedule, link = changes_of(slow, None, None, "both", 7)
    assert (schedule, link) == (None, None)
    assert changes["to-doctor"] == changes["to-patient"] == ((0, Impairment(Delay(0.005))),)
    changes, _, _ = changes_of(slow, None, None, "left-to-right", 7)
    assert (len(changes["to-doctor"]), changes["to-patient"]) == (1, ())
    changes, _, _ = changes_of(slow, None, None, "right-to-left", 7)
    assert (changes["to-doctor"], len(changes["to-patient"])) == ((), 1)
    changes, _, _ = changes_of(Words(), "urumqi-shanghai-5g", None, "both", 7)
    assert changes["to-doctor"][0][1].delay.mean_s == 0.05333
    changes, schedule, link = changes_of(Words(), None, "nr-handover", "right-to-left", 7)
    assert changes["to-patient"] == schedule.of("primary", "to-patient")
    assert changes["to-doctor"] == ()
    assert link == "primary"
    changes, _, link = changes_of(Words(), None, "blackout", "both", 7, "standby")
    assert (changes["to-doctor"], link) == (
        compile_scenario(find_scenario("blackout"), 7).of("standby", "to-doctor"),
        "standby",
    )
    with pytest.raises(InputError, match=r"--link = 'third'.*primary, standby"):
        changes_of(Words(), None, "blackout", "both", 7, "third")
    with pytest.raises(InputError, match=r"--profile: does not go with --delay"):
        changes_of(slow, "null", None, "both", 7)
    with pytest.raises(InputError, match="left-to-right or right-to-left"):
        changes_of(slow, None, None, "up", 7)
    with pytest.raises(InputError, match="unknown link profile"):
        changes_of(Words(), "nosuch", None, "both", 7)
    with pytest.raises(InputError, match="no such file"):
        changes_of(Words(), None, "nosuch.toml", "both", 7)


def test_interfaces_by_option_or_bench_file(tmp_path):
    assert interfaces_of("a", "b", None, None) == ("a", "b")
    file = tmp_path / "bench.toml"
    file.write_text('[links.primary]\nleft = {name = "lo"}\nright = {name = "nosuch9"}\n')
    with pytest.raises(InputError, match=r"right.name = 'nosuch9'"):
        interfaces_of(None, None, file, None)
    with pytest.raises(InputError, match=r"--left = 'a': does not go with --bench-file"):
        interfaces_of("a", None, file, None)
    with pytest.raises(InputError, match=r"--right: is missing"):
        interfaces_of("a", None, None, None)


def test_seed_and_backend_are_read_strictly():
    assert read_seed("12") == 12
    assert read_backend("auto") == "auto"
    for bad in ("-1", "1.5", "²", str(2**32)):
        with pytest.raises(InputError, match="--seed"):
            read_seed(bad)
    with pytest.raises(InputError, match="--backend"):
        read_backend("tc")


# The control channel


def test_a_dead_socket_is_taken_over_and_nothing_else(tmp_path):
    path = tmp_path / "c"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert check_path(path) == path
    assert not path.exists()
    with ControlSocket(path):
        with pytest.raises(InputError, match="another process listens"):
            check_path(path)
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(InputError, match="something else stands there"):
        check_path(path)
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="longer than 107 bytes"):
        check_path(tmp_path / ("x" * 120))


def test_a_client_is_read_in_pieces_and_let_go_when_it_does_not_read():
    near, far = socket.socketpair()
    client = Client(near)
    assert client.take() == []
    far.sendall(b'{"get": "coun')
    assert client.take() == []
    far.sendall(b'ters"}\nrubbish\n')
    assert client.take() == [{"get": "counters"}]
    assert b"not JSON" in far.recv(1000)
    for _ in range(100_000):
        client.tell({"event": "counters", "rx": 1})
        if client.gone:
            break
    assert client.gone
    far.close()


def test_a_record_that_fits_only_in_part_is_not_followed_by_another():
    near, far = socket.socketpair()
    client = Client(near)
    client.tell({"event": "change", "table": "x" * (16 << 20)})
    assert client.gone
    far.close()


def test_a_line_without_end_is_cut_off():
    near, far = socket.socketpair()
    client = Client(near)
    for _ in range(40):
        far.sendall(b"x" * 60_000)
        client.take()
        if client.gone:
            break
    assert client.gone
    assert b"longer" in far.recv(1000)
    far.close()


# The session, with an emulator and a custody that only say what they were told


class FakeEmulator:
    def __init__(self):
        self.told, self.plans, self.met = [], [], {}

    def start(self, plans, t0_monotonic_ns):
        self.plans, self.t0 = plans, t0_monotonic_ns
        self.known = {way: list(plans[0].changes(way)) for way in ("to-patient", "to-doctor")}

    def change(self, link, direction, impairment, at_ns=None):
        t_ns = time.monotonic_ns() - self.t0 + 5_000_000 if at_ns is None else at_ns
        self.known[direction].append((t_ns, impairment))
        return t_ns

    def snapshot(self):
        now = time.monotonic_ns() - self.t0
        return EmulatorReport("fake", tuple(
            DirectionReport("primary", way, 3, 3, 3, {"lost": 0, "queue_drop": 0, "down": 0},
                            changes=tuple(
                ChangeReport(t, t if t <= now else None, effective_ns=self.met.get((way, t)))
                for t, _ in known))
            for way, known in self.known.items()
        ))  # fmt: skip

    def stop(self, drain=False, patience=None):
        self.told.append(("stop", drain))
        return self.snapshot()


class FakeCustody:
    notes = ("a note",)
    guarded = 0

    def without_carrier(self):
        return ("fb",)

    def keep_guarded(self):
        self.guarded += 1
        return False


class Kept:
    wants_counters = False

    def __init__(self):
        self.records = []

    def tell(self, record):
        json.dumps(record)
        self.records.append(record)

    def of(self, event):
        return [record for record in self.records if record["event"] == event]


def play(tmp_path, changes, end_ns, emulator=None, during=lambda: None, watcher=None):
    asked = Asked("fa", "fb", changes, seed=3, end_ns=end_ns, scenario="s")
    emulator, custody, watcher = emulator or FakeEmulator(), FakeCustody(), watcher or Kept()
    with ControlSocket(tmp_path / "c") as control, Signals() as signals:
        session = _Session(asked, "fake", emulator, custody, control, watcher)
        during()
        end = session.run(signals)
    return end, watcher, emulator, custody


SLOW = Impairment(Delay(0.01))


def test_each_change_is_told_once_with_its_times(tmp_path):
    changes = {"to-doctor": ((0, SLOW), (200_000_000, CLEAN)), "to-patient": ()}
    emulator = FakeEmulator()
    emulator.met["to-doctor", 200_000_000] = 200_030_000
    end, watcher, _, custody = play(tmp_path, changes, 700_000_000, emulator)
    (ready,) = watcher.of("ready")
    assert watcher.records[0] is ready
    assert 0 <= ready["time"] < 0.5
    assert ready["notes"] == ["a note", "nothing is connected at fb yet"]
    assert (ready["ends"], ready["seed"], ready["scenario"]) == (0.7, 3, "s")
    first, second = watcher.of("change")
    assert first["direction"] == second["direction"] == "left-to-right"
    assert (first["scheduled"], first["effective"]) == (0, None)  # superseded, never met
    assert (second["scheduled"], second["effective"]) == (0.2, 0.20003)
    assert second["impairment"]["delay"]["mean_s"] == 0
    assert end["reason"] == "scenario"
    assert emulator.told == [("stop", True)]
    assert custody.guarded >= 1


def test_what_is_never_met_is_told_after_a_second(tmp_path):
    """The change itself ends this: were it told at the end only, the scenario would end first."""
    watcher = Kept()
    tell = watcher.tell

    def end_it(record):
        tell(record)
        if record["event"] == "change":
            os.kill(os.getpid(), signal.SIGTERM)

    watcher.tell = end_it
    changes = {"to-doctor": ((0, SLOW),), "to-patient": ()}
    end, *_ = play(tmp_path, changes, 15_000_000_000, watcher=watcher)
    (change,) = watcher.of("change")
    assert change["effective"] is None
    assert end["time"] < 14


def test_an_emulator_that_fails_is_stopped(tmp_path):
    class Failing(FakeEmulator):
        def snapshot(self):
            raise EmulatorError("broke")

        def stop(self, drain=False, patience=None):
            self.told.append(("stop", drain))
            raise EmulatorError("broke again")

    emulator = Failing()
    with pytest.raises(EmulatorError, match=r"broke$"):
        play(tmp_path, {"to-doctor": ((0, SLOW),), "to-patient": ()}, None, emulator)
    assert emulator.told == [("stop", True)]


def test_a_signal_ends_it_and_its_handlers_go(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    began = time.monotonic()

    def interrupt():
        os.kill(os.getpid(), signal.SIGTERM)

    end, watcher, _, _ = play(tmp_path, {"to-doctor": (), "to-patient": ()}, None, during=interrupt)
    assert end["reason"] == "interrupted"
    assert watcher.of("ready") == []
    assert signal.getsignal(signal.SIGINT) is before
    assert time.monotonic() - began < 10


class TestSignals:
    """The first ends the command, another one what the first still waits for."""

    def test_the_first_one_heard_the_next_makes_it_readable_again(self):
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.came == signal.SIGTERM
            signals.hear()
            os.kill(os.getpid(), signal.SIGINT)  # the same one, passed on twice
            assert select.select([signals], [], [], 0)[0] == []
            time.sleep(0.35)
            os.kill(os.getpid(), signal.SIGINT)
            assert select.select([signals], [], [], 0)[0] == [signals]
            assert signals.came == signal.SIGTERM

    def test_hearing_where_none_has_come_keeps_the_next(self):
        with Signals() as signals:
            signals.hear()
            os.kill(os.getpid(), signal.SIGTERM)
            assert select.select([signals], [], [], 0)[0] == [signals]

    def test_what_is_allowed_lasts_until_the_next_signal(self, monkeypatch):
        armed = []

        class Timer(threading.Timer):
            def __init__(self, seconds, *rest):
                armed.append(seconds)
                super().__init__(60.0, lambda: None)

        monkeypatch.setattr(threading, "Timer", Timer)
        with Signals() as signals:
            signals.allow(30.0)
            assert armed == []
            os.kill(os.getpid(), signal.SIGTERM)
            signals.allow(30.0)
            time.sleep(0.35)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.35)
            os.kill(os.getpid(), signal.SIGTERM)  # gives it no more time
        assert armed == [1.9, 31.9, 1.9]


def test_a_long_drain_is_told_and_a_signal_ends_it(tmp_path):
    """A drain of 30 s of which nothing is left to wait for once a second signal has come."""

    class Slow(FakeEmulator):
        def stop(self, drain=False, patience=None):
            patience.draining(7, 30.0)
            assert select.select([patience], [], [], 0)[0] == []
            time.sleep(0.35)
            os.kill(os.getpid(), signal.SIGTERM)
            assert select.select([patience], [], [], 0)[0] == [patience]
            return self.snapshot()

    def interrupt():
        os.kill(os.getpid(), signal.SIGTERM)

    changes = {"to-doctor": ((0, SLOW),), "to-patient": ()}
    end, watcher, _, _ = play(tmp_path, changes, None, Slow(), during=interrupt)
    (told,) = watcher.of("draining")
    assert (told["waiting"], told["within"]) == (7, 30.0)
    assert end["reason"] == "interrupted"


def test_a_drain_that_nobody_notices_is_not_told(tmp_path):
    class Quick(FakeEmulator):
        def stop(self, drain=False, patience=None):
            patience.draining(7, 1.5)
            return self.snapshot()

    changes = {"to-doctor": ((0, SLOW),), "to-patient": ()}
    _, watcher, _, _ = play(tmp_path, changes, 100_000_000, Quick())
    assert watcher.of("draining") == []


def test_half_of_a_command_is_never_carried_out(tmp_path):
    """One direction has a later change: the other is not changed either."""
    emulator = FakeEmulator()
    changes = {"to-doctor": ((0, SLOW), (500_000_000, CLEAN)), "to-patient": ((0, SLOW),)}
    near, far = socket.socketpair()
    far.sendall(b'{"impairment": {"up": false}, "at": 0.4}\n')
    far.settimeout(5)

    class Given(ControlSocket):
        def __enter__(self):
            super().__enter__()
            self.clients.append(Client(near))
            return self

    asked = Asked("fa", "fb", changes, end_ns=600_000_000)
    with Given(tmp_path / "c") as control, Signals() as signals:
        _Session(asked, "fake", emulator, FakeCustody(), control, Kept()).run(signals)
    answer = json.loads(far.recv(1000))
    assert answer["event"] == "error"
    assert "0.5 s" in answer["message"]
    assert [len(known) for known in emulator.known.values()] == [1, 2]
    far.close()


def test_auto_takes_netem_only_where_it_can_do_all(monkeypatch):
    def asked(backend, state=SLOW):
        return Asked("fa", "fb", {"to-doctor": ((0, state),), "to-patient": ()}, backend=backend)

    monkeypatch.setattr(emulate, "find_links", lambda names, force: ("a", "b"))
    monkeypatch.setattr(emulate, "own_qdisc", lambda link: "")
    monkeypatch.setattr(emulate, "netem_problem", lambda: "")
    assert emulate._backend(asked("auto")) == "netem"
    assert emulate._backend(asked("auto", Impairment(hold=True))) == "userspace"
    with pytest.raises(InputError):
        emulate._backend(asked("netem", Impairment(hold=True)))
    monkeypatch.setattr(emulate, "own_qdisc", lambda link: "htb 1:")
    assert emulate._backend(asked("auto")) == "userspace"
    monkeypatch.setattr(emulate, "own_qdisc", lambda link: "")
    monkeypatch.setattr(emulate, "netem_problem", lambda: "no module")
    assert emulate._backend(asked("auto")) == "userspace"
    with pytest.raises(InputError, match=r"no module.*--backend userspace"):
        emulate._backend(asked("netem"))


def test_another_system_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InputError, match="run it on Linux"):
        command.emulate.__wrapped__("a", "b")


def test_bad_interfaces_start_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("TELEMED_BENCH_STATE", str(tmp_path / "state"))
    asked = Asked("nosuch0", "nosuch1", {"to-doctor": (), "to-patient": ()}, backend="userspace")
    made = []

    def make(backend):
        made.append(FakeEmulator())
        return made[-1]

    with pytest.raises(InputError, match="nosuch0"):
        run_emulation(asked, Kept(), make)
    assert all(not emulator.plans for emulator in made)
    assert list(Path(tmp_path / "state").iterdir()) == []


# What people see


def counted(**changes):
    return {
        "rx": 10, "tx": 9, "fates": {"lost": 1, "queue_drop": 0, "down": 0}, "in_flight": 0,
        "lateness": {"n": 9, "p99_s": 2e-4}, "impairment": "5 ms", "unfinished_checksums": 0,
        "emulator_drops": 0, "beyond_envelope": "",
    } | changes  # fmt: skip


def test_a_terminal_shows_live_counters():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160)
    with Display(console) as display:
        assert display.wants_counters
        for number in range(3):
            record = {"event": "counters", "time": 1.0 + number}
            ways = {"left-to-right": counted(rx=10 + 100 * number), "right-to-left": counted()}
            display.tell(record | ways)
    text = out.getvalue()
    assert "packets/s" in text
    assert " 100 " in text
    assert "200 µs" in text


def test_what_makes_it_doubtful_is_said():
    assert warnings(counted()) == []
    (text,) = warnings(counted(unfinished_checksums=4))
    assert "ethtool -K" in text
    assert "dropped 2" in warnings(counted(emulator_drops=2))[0]
    assert warnings(counted(beyond_envelope="too much")) == ["too much"]


def test_people_are_told_of_a_long_end_and_of_what_was_dropped():
    out = io.StringIO()
    with Display(Console(file=out, width=160)) as display:
        display.tell({"event": "draining", "time": 1.0, "waiting": 7, "within": 31.0})
        ways = {"left-to-right": counted(), "right-to-left": counted()}
        notes = ["7 packets still waited and were dropped"]
        display.tell({"event": "end", "time": 2.0, "reason": "interrupted", "notes": notes} | ways)
    text = out.getvalue()
    assert "7 packets are still under way, for 31 s at most; Ctrl-C drops them" in text
    assert "note: 7 packets still waited and were dropped" in text
