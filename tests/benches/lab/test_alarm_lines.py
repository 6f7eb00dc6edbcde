"""A device's alarms over a serial line: a pseudo terminal, with the device at its other end."""

from __future__ import annotations

import os
import re
import time
import tty
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.benches.base import BenchError
from bench.benches.lab.alarms import Alarms, listening
from bench.benches.lab.alarms_serial import SerialAlarms
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.heard import AlarmSource
from bench.benches.lab.lines import LineForm, read_line
from bench.errors import InputError

FORM = LineForm(
    re.compile("A,(?P<alarm>[A-Z]+),(?P<priority>[A-Z]),(?P<state>[01])"),
    re.compile("OK|VERSION .*"),
    frozenset({"1"}),
    frozenset({"0"}),
    {"H": "high", "M": "medium"},
    alive_s=0.3,
)
NAMES = {"NET": "network-loss"}
ON, OFF, ALIVE = b"A,NET,M,1\r\n", b"A,NET,M,0\r\n", b"OK\r\n"


class Device:
    """The other end of the line."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        self._slave = slave

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def lives(self, seconds: float) -> None:
        """Says that it is there for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.say(ALIVE)
            time.sleep(0.05)

    def gone(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            os.close(self.master)
            self._slave = -1


@contextmanager
def line(folder, **changes):
    """A device, and what hears it."""
    device = Device()
    form = replace(FORM, **changes)
    source = AlarmSource(device.port, 0, "patient", "self-reported", "serial-lines", NAMES, form)
    try:
        with SerialAlarms(source, lock_folder=folder) as alarms:
            device.say(ALIVE)  # may be the end of an older one
            yield device, alarms
    finally:
        device.gone()


def settled(alarms: SerialAlarms, count: int) -> None:
    until = time.monotonic() + 5
    while len(alarms._came) + len(alarms._problems) < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_line_counts_when_its_end_arrives(tmp_path) -> None:
    with line(tmp_path) as (device, alarms):
        device.lives(0.1)
        t0_ns = time.monotonic_ns()
        device.say(ON[:4])
        device.say(b"")
        time.sleep(0.02)
        device.say(ON[4:])
        settled(alarms, 1)
        device.lives(0.1)
        device.say(ON + OFF)
        settled(alarms, 3)
        end_ns = time.monotonic_ns() - t0_ns
        on, off = alarms.events(t0_ns, end_ns)
    assert (on.side, on.origin, on.name) == ("patient", "log", "alarm-signal")
    assert on.value == {"alarm": "network-loss", "priority": "medium", "on": True}
    assert off.value["on"] is False
    assert 20_000_000 <= on.t_ns < off.t_ns <= end_ns


def test_bad_lines_are_counted_and_told_and_leave_no_silence(tmp_path) -> None:
    with line(tmp_path) as (device, alarms):
        device.lives(0.1)
        t0_ns = time.monotonic_ns()
        device.say(b"B,NET,M,1\r\nA,NET,X,1\r\n\xff\xfe\r\n" + ALIVE + b"A,,M,1\n")
        settled(alarms, 4)
        end_ns = time.monotonic_ns() - t0_ns
        with pytest.raises(BenchError) as told:
            alarms.events(t0_ns, end_ns)
        text = str(told.value)
        assert "'B,NET,M,1' fits neither pattern nor other" in text
        assert "'A,NET,X,1' has a priority or state that is not declared" in text
        assert "is not ASCII" in text
        assert text.endswith("(4 times in all)")
        incomplete, *came = alarms.broken(t0_ns, end_ns)
        assert incomplete.name == "alarms-incomplete"
        assert "(4 times in all)" in incomplete.value[0]
        assert came == []
        device.lives(0.1)
        t0_ns = time.monotonic_ns()
        assert alarms.events(t0_ns, 1) == (), "they were the earlier session's"


def test_a_line_without_an_end_is_told(tmp_path) -> None:
    with line(tmp_path) as (device, alarms):
        device.lives(0.1)
        t0_ns = time.monotonic_ns()
        for _ in range(3):
            device.say(b"x" * 2000)
        settled(alarms, 1)
        with pytest.raises(BenchError, match="a line without an end"):
            alarms.events(t0_ns, time.monotonic_ns() - t0_ns)


def test_who_says_nothing_may_not_be_there(tmp_path) -> None:
    with line(tmp_path) as (device, alarms):
        t0_ns = time.monotonic_ns() + 50_000_000
        device.lives(0.2)
        assert alarms.events(t0_ns, 100_000_000) == ()
        time.sleep(0.5)
        device.lives(0.2)
        with pytest.raises(BenchError, match=r"silent for more than 0.3 s"):
            alarms.events(t0_ns, 800_000_000)
        t0_ns = time.monotonic_ns()
        device.say(b"?\r\n?\r\n")
        settled(alarms, 2)
        assert not alarms.absence(t0_ns, t0_ns), "those before were heard"
        time.sleep(0.4)
        device.say(b"?\r\n")
        settled(alarms, 3)
        assert "silent" in alarms.absence(t0_ns, time.monotonic_ns()), "no sign of life"


def test_a_port_that_goes_is_no_silence(tmp_path) -> None:
    with line(tmp_path, alive_s=30.0) as (device, alarms):
        device.lives(0.1)
        t0_ns = time.monotonic_ns()
        device.gone()
        until = time.monotonic() + 5
        while len(alarms._connected) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        with pytest.raises(BenchError, match="not connected for the whole session"):
            alarms.events(t0_ns, time.monotonic_ns() - t0_ns)


def test_what_a_device_said_before_it_lost_its_power_is_forgotten(tmp_path) -> None:
    with line(tmp_path) as (device, alarms):
        device.say(ALIVE + ON)
        settled(alarms, 1)
        t0_ns = time.monotonic_ns()
        assert [e.value["on"] for e in alarms.events(t0_ns, 1)] == [True]
        alarms.forget(t0_ns)
        device.lives(0.05)
        assert alarms.events(time.monotonic_ns(), 1) == ()


@given(st.binary(max_size=40))
def test_whatever_comes_is_an_alarm_another_line_or_refused(data) -> None:
    try:
        found = read_line(data, FORM, NAMES)
    except ValueError:
        return
    assert found is None or set(found) == {"alarm", "priority", "on"}
    assert FORM.other.fullmatch(data.decode()) or FORM.pattern.fullmatch(data.decode())


# ---- the bench file -----------------------------------------------------------------------------

FILE = """title = "Lines"
[links.primary]
left = { name = "a" }
right = { name = "b" }
[device]
alarms = "/dev/ttyUSB0"
side = "patient"
witness = "self-reported"
protocol = "serial-lines"
events = { NET = "network-loss" }
[device.line]
baud = 9600
pattern = 'A,(?P<alarm>[A-Z]+),(?P<priority>[HM]),(?P<state>[01])'
on = ["1"]
off = ["0"]
priorities = { H = "high", M = "medium" }
other = "OK"
alive = "2s"
"""


def test_a_bench_file_declares_the_line(tmp_path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(FILE + 'parity = "even"\ndata_bits = 7\n')
    source = load_bench_file(path).alarms
    assert source.host == "/dev/ttyUSB0"
    assert (source.line.baud, source.line.parity, source.line.data_bits) == (9600, "even", 7)
    found = read_line(b"A,NET,H,1", source.line, source.events)
    assert found == {"alarm": "network-loss", "priority": "high", "on": True}
    assert isinstance(listening(source), SerialAlarms)
    plain = replace(source, host="127.0.0.1", protocol="json-lines", line=None)
    assert isinstance(listening(plain), Alarms)
    with pytest.raises(InputError, match=r"device.alarms = '/dev/ttyUSB0': cannot be opened"):
        SerialAlarms(source, lock_folder=tmp_path).__enter__()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(?P<state>[01])", "[01]", "line.pattern.*has no group state"),
        ("(?P<state>[01])", "(?P<state>[01]", "line.pattern.*is no regular expression"),
        ('off = ["0"]', 'off = ["0", "1"]', "line.on.*do not tell apart"),
        ('on = ["1"]', "on = []", "line.on.*do not tell apart"),
        ('H = "high"', 'H = "loud"', "priorities.H = 'loud': is unknown"),
        ('{ H = "high", M = "medium" }', "{}", "priorities.*names none"),
        ('alive = "2s"\n', "", "line.alive: is missing"),
        ('alive = "2s"', 'alive = "2min"', "line.alive = '2min': is no such time"),
        ("baud = 9600", 'baud = "9600"', "line.baud = '9600': is not possible"),
        ('protocol = "serial-lines"\n', "", "is no address"),
        ('"serial-lines"', '"hl7"', "is no address"),
        ("[device.line]", "[device.lines]", "device.lines: unknown key"),
    ],
)
def test_what_a_file_cannot_declare(tmp_path, old, new, said) -> None:
    assert old in FILE
    path = tmp_path / "lab.toml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(InputError) as refused:
        load_bench_file(path)
    assert re.search(said, refused.value.line()), refused.value.line()


def test_the_form_of_a_line_belongs_to_serial_lines(tmp_path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(
        FILE.replace('"serial-lines"', '"hl7"').replace("/dev/ttyUSB0", "127.0.0.1:4010")
    )
    with pytest.raises(InputError, match=r"device.line: belongs to protocol"):
        load_bench_file(path)
