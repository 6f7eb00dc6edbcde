"""A real device's alarms over TCP: what counts, and what is no evidence of silence."""

from __future__ import annotations

import socket
import time

import pytest

from bench.benches.base import BenchError
from bench.benches.lab.alarms import Alarms, AlarmSource
from bench.benches.lab.file import load_bench_file
from bench.errors import InputError
from tests.support.bench_files import written

SELF = AlarmSource("127.0.0.1", 0, "patient", "self-reported")
ON = b'{"alarm": "network-loss", "priority": "medium", "on": true}\n'
LINKS = '[links.primary]\nleft = { name = "a" }\nright = { name = "b" }\n'


def settled(alarms: Alarms, count: int) -> None:
    until = time.monotonic() + 5
    while len(alarms._connected) + len(alarms._came) + len(alarms._problems) < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_alarms_count_when_they_arrive() -> None:
    with Alarms(SELF) as alarms, socket.create_connection(("127.0.0.1", alarms.port)) as device:
        settled(alarms, 1)
        t0_ns = time.monotonic_ns()
        device.sendall(ON[:10])
        device.sendall(ON[10:])
        settled(alarms, 2)
        (event,) = alarms.events(t0_ns, 10**9)
        assert (event.side, event.origin, event.name) == ("patient", "log", "alarm-signal")
        assert event.value == {"alarm": "network-loss", "priority": "medium", "on": True}
        assert 0 < event.t_ns < 10**9
        assert alarms.events(time.monotonic_ns(), 10**9) == ()


def test_a_sensor_is_an_independent_witness() -> None:
    source = AlarmSource("127.0.0.1", 0, "doctor", "independent")
    with Alarms(source) as alarms, socket.create_connection(("127.0.0.1", alarms.port)) as lamp:
        t0_ns = time.monotonic_ns() + 10**8
        time.sleep(0.15)
        lamp.sendall(ON)
        settled(alarms, 2)
        assert [event.independent for event in alarms.events(t0_ns, 10**9)] == [True]


@pytest.mark.parametrize(
    "line",
    [
        b"alarm!\n", b'{"alarm": "x", "on": true}\n', b"[]\n", b"\n",
        b'{"alarm": "x", "priority": "urgent", "on": true}\n',
        b'{"alarm": "x", "priority": "high", "on": 1}\n',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_no_silence(line) -> None:
    with Alarms(SELF) as alarms, socket.create_connection(("127.0.0.1", alarms.port)) as device:
        settled(alarms, 1)
        t0_ns = time.monotonic_ns()
        device.sendall(line)
        settled(alarms, 2)
        with pytest.raises(BenchError, match=r"alarms cannot be read"):
            alarms.events(t0_ns, 10**9)


def test_without_a_connection_from_start_to_end_there_is_no_evidence() -> None:
    with Alarms(SELF) as alarms:
        with pytest.raises(BenchError, match=r"not connected for the whole session"):
            alarms.events(time.monotonic_ns(), 10**9)
        t0_ns = time.monotonic_ns()
        with socket.create_connection(("127.0.0.1", alarms.port)):
            settled(alarms, 1)
            with pytest.raises(BenchError, match=r"not connected"):  # it came too late
                alarms.events(t0_ns, 10**9)
            t0_ns = time.monotonic_ns()
            assert alarms.events(t0_ns, 10**7) == ()
        settled(alarms, 2)
        with pytest.raises(BenchError, match=r"not connected"):
            alarms.events(t0_ns, time.monotonic_ns() - t0_ns + 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            '[device]\nalarms = "4010"\nside = "doctor"\nwitness = "independent"',
            "device.alarms = '4010': is no address",
        ),
        ('[device]\nalarms = "h:1"\nside = "doctor"', "device.witness: is missing"),
        (
            '[device]\nalarms = "h:1"\nside = "both"\nwitness = "independent"',
            "use one of patient, doctor",
        ),
    ],
)
def test_what_a_device_table_cannot_say(tmp_path, table, message) -> None:
    change = ("[verification]", f"{LINKS}{table}\n[verification]")
    packets = ('packets = "virtual"', 'packets = "links"')
    with pytest.raises(InputError, match=message):
        load_bench_file(written(tmp_path, packets, change))


def test_packets_and_links_fit_each_other(tmp_path) -> None:
    with pytest.raises(InputError, match=r"does not fit \[links\]"):
        load_bench_file(written(tmp_path, ("[verification]", f"{LINKS}[verification]")))
    links = ('packets = "virtual"', 'packets = "links"')
    with pytest.raises(InputError, match=r"does not fit \[links\]"):
        load_bench_file(written(tmp_path, links))
