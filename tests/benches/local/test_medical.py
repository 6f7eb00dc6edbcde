"""Real sessions of a bedside and of an imaging unit: HL7 and DICOM in TLS cross the emulator."""

from dataclasses import replace
from itertools import pairwise

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import rdpcap

from bench.devices.registry import find_device
from bench.measure.kpi import evidence_problems, flow_problems, measure_kpi
from bench.measure.pairing import flow_of
from bench.network.impairment import Delay, Impairment
from bench.network.scenario import Action, LinkState, Scenario, Segment, Step, both
from bench.sessions.recording import Session

pytestmark = pytest.mark.usefixtures("local_host")

CLEAR = both(Impairment(delay=Delay(0.005)))
DOWN = LinkState(*[replace(Impairment(), up=False)] * 2)
SILENT_S = 2.2


def session_of(device, names, segments, actions=()):
    """A session with those of the device's streams only, over both links alike."""
    streams = (replace(s, option="" if s.name in names else "off") for s in device.streams)
    step = Step(
        "only",
        "hold",
        "within",
        tuple(Segment(name, s, {"primary": x, "standby": x}) for name, s, x in segments),
    )
    scenario = Scenario("medical", "Medical formats", (step,), actions)
    return Session("medical", replace(device, streams=tuple(streams)), scenario, seed=7)


def played(kit, session, folder):
    """The recording, from a host that starts it in time."""
    return kit.run(kit.kept_bench(), session, kit.sink(folder))


@pytest.fixture(scope="module")
def bedside(kit, local_host, tmp_path_factory):
    """An ICU bed through an outage of both links: the recording and its captures' folder."""
    names = ("control", "acknowledgement", "alarm", "monitor-records", "pump-records")
    segments = (("before", 2.0, CLEAR), ("outage", SILENT_S, DOWN), ("after", 3.3, CLEAR))
    actions = (Action("only", 1.0, "patient", "patient-alarm"),)
    folder = tmp_path_factory.mktemp("bedside")
    session = session_of(find_device("icu-bed"), names, segments, actions)
    return played(kit, session, folder), folder


@pytest.fixture(scope="module")
def imaging(kit, local_host, tmp_path_factory):
    """A DR/CT unit that sends an image set of 20 chunks."""
    names = ("control", "operator-input", "images")
    actions = (Action("only", 1.0, "patient", "acquire:640kB"),)
    folder = tmp_path_factory.mktemp("imaging")
    session = session_of(find_device("mobile-dr-ct"), names, (("send", 5.0, CLEAR),), actions)
    return played(kit, session, folder), folder


def counters(recording, *names):
    return [recording.health.counters.get(name, 0) for name in names]


def test_records_and_alarms_travel_as_hl7_and_survive_an_outage(bedside):
    recording, folder = bedside
    assert evidence_problems(recording) == []
    assert (
        counters(recording, "tap/foreign", "doctor/undecodable", "patient/undecodable") == [0] * 3
    )
    for source in ("monitor", "pump"):
        made, got = (
            [
                e.value["serial"]
                for e in recording.named(name, side=side)
                if e.value["source"] == source
            ]
            for name, side in (("measurement", "patient"), ("record", "doctor"))
        )
        assert got == made[: len(got)], "a record was lost, doubled or overtaken"
        # Those of the outage came too, within the second and a half that the promise leaves.
        assert len(got) >= len(made) - 2
    assert any(
        e.value["alarm"] == "asystole" and e.value["on"]
        for e in recording.named("alarm-signal", side="doctor")
    )
    assert counters(recording, "patient/alarm/reconnected") != [0]
    assert_enciphered(folder, (b"MSH|", b"MSA|", b"PID|", b"MONITOR", b"STATION"))


def assert_enciphered(folder, words):
    """The captures show TLS, and nothing of what is in it: of each packet the first bytes."""
    for side in ("patient", "doctor"):
        captured = (folder / f"{side}.pcapng").read_bytes()
        assert [word for word in words if word in captured] == []
        assert captured.count(b"\x17\x03\x03") > 20  # records with data (RFC 8446, 5.2)
        assert b"\x16\x03\x01" in captured  # an opening


def test_the_taps_see_segments_with_data_of_the_declared_streams(bedside):
    recording, _ = bedside
    alarm = recording.device.stream("alarm").code
    sent, arrived = (
        recording.packets.where(stream=alarm, tap=tap) for tap in ("patient", "doctor")
    )
    assert len(sent) > 30
    assert set(arrived.column("seq").tolist()) <= set(sent.column("seq").tolist())


def first_seen(file, port):
    """When each segment with data on its way to a port was first seen, and how often; by ends."""
    seen = {}
    for packet in rdpcap(str(file)):
        if TCP in packet and packet[TCP].dport == port:
            size = packet[IP].len - 4 * packet[IP].ihl - 4 * packet[TCP].dataofs
            if size:
                key = packet[IP].src, packet[TCP].sport, packet[TCP].seq
                time_s, count = seen.get(key, (float(packet.time), 0))
                seen[key] = time_s, count + 1
    return seen


def test_what_tcp_sent_again_withholds_no_verdict_and_is_paired_as_the_captures_say(bedside):
    recording, folder = bedside
    stream = recording.device.stream("alarm")
    sent, got = (
        first_seen(folder / f"{side}.pcapng", stream.port) for side in ("patient", "doctor")
    )
    again = [key for key, (_, count) in sent.items() if count > 1]
    assert again  # each alarm of the outage is sent again until its connection is given up
    flow = flow_of(recording, "alarm")
    assert flow_problems(recording, flow, "alarm") == []
    assert not any("already used" in p for p in measure_kpi(
        [recording], "alarm", "loss", confidence=0.95, floor=None).problems)  # fmt: skip
    found = {  # link and number, as the taps say it; no two connections met here
        (f"10.77.{key >> 32}.1", key & 0xFFFFFFFF): delay_ns
        for key, delay_ns in zip(
            flow.seq[flow.arrived].tolist(),
            (flow.received_ns - flow.sent_ns)[flow.arrived].tolist(),
            strict=True,
        )
    }
    truth = {
        (host, number): (got[host, port, number][0] - since) * 1e9
        for (host, port, number), (since, _) in sent.items()
        if (host, port, number) in got
    }
    assert len(truth) > 30
    # Captures begin before the session and end after it, by what is then still on its way.
    assert set(found) <= set(truth)
    assert len(truth) - len(found) <= 5
    for key, delay_ns in found.items():
        assert delay_ns == pytest.approx(truth[key], abs=5_000)  # a float of seconds since 1970


def test_an_image_set_travels_as_dicom_instances(imaging):
    recording, folder = imaging
    assert evidence_problems(recording) == []
    assert counters(recording, "tap/foreign", "doctor/undecodable") == [0, 0]
    (made,) = recording.named("image-acquired", side="patient")
    (shown,) = recording.named("image", side="doctor")
    assert shown.value["sha256"] == made.value["sha256"]
    assert_enciphered(folder, (b"1.2.840", b"STATION", b"SIMULATED"))
    images = recording.device.stream("images").code
    arrived = recording.packets.where(stream=images, tap="doctor")
    assert arrived.column("size").sum() > made.value["bytes"]


POWERLESS_S = 1.0
FAR = both(Impairment(delay=Delay(0.15)))


@pytest.fixture(scope="module")
def powerless(kit, local_host, tmp_path_factory):
    """An ICU bed that loses its power for a second while answers to it are on a long way."""
    names = ("control", "acknowledgement", "alarm", "monitor-records")
    actions = (Action("only", 1.6, "patient", f"power-cut:{POWERLESS_S:g}s"),)
    folder = tmp_path_factory.mktemp("powerless")
    session = session_of(find_device("icu-bed"), names, (("on", 4.6, FAR),), actions)
    return played(kit, session, folder), folder


def sent_by(packets, host):
    return [packet for packet in packets if packet[IP].src == f"10.77.0.{host}"]


def test_without_power_a_device_is_silent_and_then_opens_its_connections_anew(powerless):
    recording, folder = powerless
    assert evidence_problems(recording) == []
    packets = [p for p in rdpcap(str(folder / "patient.pcapng")) if IP in p]
    own = sent_by(packets, 1)
    gaps = [(float(b.time - a.time), float(a.time)) for a, b in pairwise(own)]
    longest, since = max(gaps)
    # Not a packet: no acknowledgement, nothing sent again, no word that connections are gone ...
    assert longest > 0.98 * POWERLESS_S
    answers = [
        p for p in sent_by(packets, 2)
        if TCP in p and len(p[TCP].payload) and since < p.time < since + longest
    ]  # fmt: skip
    assert answers  # ... though some asked for it
    # Afterwards every segment is of a connection that was opened afterwards.
    for name in ("alarm", "monitor-records"):
        port = recording.device.stream(name).port
        for both_ends in (packets, [p for p in rdpcap(str(folder / "doctor.pcapng")) if IP in p]):
            later = [
                p for p in sent_by(both_ends, 1)
                if TCP in p and p[TCP].dport == port and p.time >= since + longest - 1e-6
            ]  # fmt: skip
            opened = {p[TCP].sport for p in later if p[TCP].flags == "S"}
            assert opened
            assert {p[TCP].sport for p in later if len(p[TCP].payload)} <= opened
    serials = [e.value["serial"] for e in recording.named("record", side="doctor")]
    assert serials == sorted(set(serials))
    power = [e for e in recording.named("power", side="patient")]
    assert [e.value for e in power] == [1, 0, 1]
    assert any(e.t_ns > power[2].t_ns for e in recording.named("record", side="doctor"))
