"""A real device's alarms over TCP: what counts, and what is no evidence of silence."""

from __future__ import annotations

import socket
import time

import hl7
import hl7.client
import pytest

from bench.benches.base import BenchError
from bench.benches.lab.alarms import Alarms
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.heard import AlarmSource
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
        (later,) = alarms.events(time.monotonic_ns(), 10**9)
        assert (later.t_ns, later.value) == (0, event.value)


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


def test_what_goes_on_is_told_once_and_what_was_on_at_the_start() -> None:
    with Alarms(SELF) as alarms, socket.create_connection(("127.0.0.1", alarms.port)) as device:
        settled(alarms, 1)
        device.sendall(ON)
        settled(alarms, 2)
        t0_ns = time.monotonic_ns()
        device.sendall(ON + ON.replace(b"medium", b"high") + ON.replace(b"true", b"false"))
        settled(alarms, 5)
        found = alarms.events(t0_ns, 10**9)
    assert [(e.value["priority"], e.value["on"]) for e in found] == [
        ("medium", True), ("high", True), ("medium", False)
    ]  # fmt: skip
    assert found[0].t_ns == 0 < found[1].t_ns


# ---- HL7 ----------------------------------------------------------------------------------------

HL7 = AlarmSource(
    "127.0.0.1", 0, "patient", "self-reported", "hl7", {"MDC_EVT_COMM_ERR": "network-interrupted"}
)
HEAD = "MSH|^~\\&|DEVICE|WARD|BENCH|LAB|20261130102000+0000||ORU^R40^ORU_R40|M1|P|2.6\r"
GROUP = "OBR|1|A1|A1|196616^MDC_EVT_ALARM^MDC|||20261130102000+0000\r"


def alert(event="0^MDC_EVT_COMM_ERR^MDC", flags="PM~ST", phase="start", state="active") -> str:
    """One alert: event, phase and state, a facet each."""
    lines = [f"CWE|196616^MDC_EVT_ALARM^MDC|1.0.0.0.1|{event}|||{flags}|||F"]
    lines += [f"ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.0.0.0.2|{phase}||||||F"] if phase else []
    lines += [f"ST|68482^MDC_ATTR_ALARM_STATE^MDC|1.0.0.0.3|{state}||||||F"] if state else []
    return "".join(f"OBX|{number}|{line}\r" for number, line in enumerate(lines, 1))


def test_alerts_of_a_client_that_is_not_ours_count_and_are_acknowledged() -> None:
    with Alarms(HL7) as alarms, hl7.client.MLLPClient("127.0.0.1", alarms.port) as device:
        settled(alarms, 1)
        t0_ns = time.monotonic_ns()
        both = GROUP + alert() + GROUP + alert("199684^MDC_EVT_ECG_ASYSTOLE^MDC", "PH~SP")
        answer = hl7.parse(device.send_message(HEAD + both).strip(b"\x0b\x1c\r").decode())
        assert (str(answer["MSA"][0][1]), str(answer["MSA"][0][2])) == ("AA", "M1")
        device.send_message(HEAD + GROUP + alert(phase="continue"))
        device.send_message(HEAD + GROUP + alert(phase="end", state="inactive"))
        settled(alarms, 5)
        found = [event.value for event in alarms.events(t0_ns, 10**10)]
    assert found == [
        {"alarm": "network-interrupted", "priority": "medium", "on": True},
        {"alarm": "MDC_EVT_ECG_ASYSTOLE", "priority": "high", "on": True},
        {"alarm": "network-interrupted", "priority": "medium", "on": False},
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD.replace("R40", "R01") + GROUP + alert(), "is no ORU"),
        (HEAD + GROUP, "no OBX of MDC_EVT_ALARM"),
        (HEAD + GROUP + alert(flags="ST"), "without event or priority"),
        (HEAD + GROUP + alert(flags="PH~PM"), "without event or priority"),
        (HEAD + GROUP + alert(event=""), "without event or priority"),
        (HEAD + GROUP + alert(phase="", state=""), "neither phase nor state"),
        (HEAD + GROUP + alert(phase="tpoint"), "'tpoint' is none of"),
        (HEAD + GROUP + alert(state="unknown"), "'unknown' is none of"),
    ],
)
def test_an_alert_that_does_not_say_enough_is_no_silence(text, problem) -> None:
    with Alarms(HL7) as alarms, hl7.client.MLLPClient("127.0.0.1", alarms.port) as device:
        settled(alarms, 1)
        t0_ns = time.monotonic_ns()
        answer = device.send_message(text)
        assert b"MSA|AE|M1" in answer
        settled(alarms, 2)
        with pytest.raises(BenchError, match=f"alarms cannot be read: HL7: .*{problem}"):
            alarms.events(t0_ns, 10**10)


def test_what_is_no_mllp_ends_the_connection() -> None:
    with Alarms(HL7) as alarms, socket.create_connection(("127.0.0.1", alarms.port)) as device:
        settled(alarms, 1)
        t0_ns = time.monotonic_ns()
        device.sendall(ON)
        assert device.recv(10) == b""
        settled(alarms, 3)
        with pytest.raises(BenchError, match="alarms cannot be read: MLLP"):
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
            '[device]\nalarms = "h:1"\nside = "doctor"\nwitness = "independent"\n'
            'events = { MDC_EVT_COMM_ERR = "link-lost" }',
            'device.events: are those of HL7; give protocol = "hl7"',
        ),
        (
            '[device]\nalarms = "h:1"\nside = "doctor"\nwitness = "independent"\nprotocol = "snmp"',
            "device.protocol = 'snmp': is unknown; use one of json-lines, hl7",
        ),
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
