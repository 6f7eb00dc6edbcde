"""Real sessions of a stand-in device over the userspace emulator."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.benches.base import BenchError
from bench.benches.local import bench as local_bench
from bench.benches.local import collect
from bench.measure.pairing import by_sequence, pair
from bench.network.impairment import Delay, Impairment, bernoulli
from bench.network.scenario import Action
from bench.sessions.packets import TAPS
from bench.studies.analyse import Question, analyse
from tests.support.host_time import demand

pytestmark = pytest.mark.usefixtures("local_host")


@pytest.fixture(scope="module")
def watched_clean(kit, local_host, tmp_path_factory):
    """A clean session of 1.5 s, with captures and a local stop, and how the host kept time."""
    stop = Action("only", 0.7, "patient", "local-stop")
    session = kit.session(1.5, actions=(stop,))
    return kit.watched_run(session, lambda: kit.sink(tmp_path_factory.mktemp("captures")))


@pytest.fixture(scope="module")
def clean(watched_clean):
    """The clean session: (recording, sink)."""
    return watched_clean[:2]


@pytest.fixture(scope="module")
def in_time(kit, watched_clean):
    """The clean session, during which the host kept time: (recording, sink)."""
    demand(watched_clean[2], kit.worst_late_s)
    return watched_clean[:2]


@pytest.fixture(scope="module")
def watched_impaired(kit, local_host):
    """20 ms each way and 10 % loss on the primary link, for 2 s, and how the host kept time."""
    impairment = Impairment(delay=Delay(0.02), loss=bernoulli(0.1))
    return kit.watched_run(kit.session(2.0, impairment))


@pytest.fixture(scope="module")
def impaired(kit, watched_impaired):
    """The recording of the impaired session, during which the host kept time."""
    recording, _, host = watched_impaired
    demand(host, kit.worst_late_s)
    return recording


@pytest.fixture(scope="module")
def altered(kit, local_host):
    """A tenth of the packets comes twice, a tenth or so damaged, for 2 s."""
    impairment = Impairment(delay=Delay(0.005), duplication=0.1, ber=1e-4)
    session = kit.session(2.0, impairment)
    # The emulator counts every packet; the taps' rows are without those of a handshake.
    plain = tuple(replace(stream, carriage="datagram") for stream in session.device.streams)
    session = replace(session, device=replace(session.device, streams=plain))
    return kit.watched_run(session)[0]


def surely_there(rows):
    """Of rows of sent packets those older than 0.1 s at the end: others may be on their way."""
    end_ns = rows.column("t_ns").max() - 100_000_000
    return rows.column("seq")[rows.column("t_ns") < end_ns]


def delays_ns(recording, stream, direction, link=0):
    """One-way delays of the matched packets, ns."""
    at = recording.packets.where(stream=stream, direction=direction, link=link)
    sender, receiver = ("doctor", "patient") if direction == 0 else ("patient", "doctor")
    sent, arrived = at.where(tap=sender), at.where(tap=receiver)
    _, i, j = np.intersect1d(sent.column("seq"), arrived.column("seq"), return_indices=True)
    return arrived.column("t_ns")[j] - sent.column("t_ns")[i]


def test_every_packet_is_at_both_taps(clean):
    recording, _ = clean
    packets = recording.packets
    for stream, direction, link, least in (
        (0, 0, 0, 65), (0, 0, 1, 65), (0, 1, 0, 65), (0, 1, 1, 65), (1, 0, 0, 1450), (2, 1, 0, 360)
    ):  # fmt: skip
        there = packets.where(stream=stream, direction=direction, link=link)
        sender, receiver = ("doctor", "patient") if direction == 0 else ("patient", "doctor")
        sent = there.where(tap=sender)
        assert len(sent) >= least
        # The control stream begins when its handshake is over.
        first = sent.column("seq").min() if stream == 0 else 0
        assert np.array_equal(np.sort(sent.column("seq")), first + np.arange(len(sent)))
        arrived = there.where(tap=receiver).column("seq")
        assert set(surely_there(sent)) <= set(arrived) <= set(sent.column("seq"))
    assert recording.health.tap_drops == 0
    assert recording.health.emulator_drops == 0
    assert recording.health.complete


def test_delays_of_a_clean_link_are_small_and_never_negative(in_time):
    recording, _ = in_time
    delays = np.concatenate([delays_ns(recording, 1, 0), delays_ns(recording, 2, 1)])
    assert delays.min() >= 0
    assert np.median(delays) < 1e6


def test_sizes_are_those_of_the_profile(clean, kit):
    recording, _ = clean
    for stream in (kit.standin.CONTROL, kit.standin.COMMAND, kit.standin.VIDEO):
        sizes = recording.packets.where(stream=stream.code).column("size")
        assert set(sizes[sizes > 0].tolist()) == {stream.frame_bytes}


def test_rows_and_events_came_while_it_ran_and_are_the_recording(in_time):
    recording, sink = in_time
    assert len(sink.rows) >= 5  # about fifteen
    assert sum(len(rows) for rows in sink.rows) == len(recording.packets)
    assert len(sink.events) == len(recording.events)
    assert any(report.streams.get("haptic-command") for report in sink.reports)
    delay_s, loss = sink.reports[-1].streams["haptic-command"]
    assert 0 < delay_s < 1e-3
    assert loss == 0


def test_events_of_all_sources(in_time):
    recording, _ = in_time
    (step,) = recording.named("step")
    assert (step.t_ns, step.side, step.value) == (0, "bench", {"name": "only", "role": "within"})
    brakes = recording.named("brake")
    assert {event.side for event in brakes} == {"patient", "doctor"}
    assert all(event.origin == "contact" and 0 < event.t_ns < 5e7 for event in brakes)
    (action,) = recording.named("action")
    assert action.side == "patient"
    assert action.value == {"name": "local-stop"}
    assert 0.7e9 <= action.t_ns < 0.8e9
    (pressed,) = recording.named("stop-button")
    assert pressed.t_ns >= action.t_ns


def test_bursts_are_put_together(in_time, impaired):
    recording, _ = in_time
    bursts = {event.value["seq"]: event.value for event in recording.named("burst", side="doctor")}
    arrived = recording.packets.where(tap="doctor", stream=2, direction=1)
    seq, t_ns = arrived.column("seq"), arrived.column("t_ns")
    whole = 0
    for frame in range(len(seq) // 5):
        came = t_ns[seq // 5 == frame]
        # One that came within less than the wait for more is whole, unless the end cut it off.
        if len(came) == 5 and np.ptp(came) < 15e6 and came.max() < 1.4e9:
            assert bursts[frame * 5]["received"] == bursts[frame * 5]["of"] == 5
            whole += 1
    assert whole >= 60
    lossy = [event.value["received"] for event in impaired.named("burst", side="doctor")]
    # 10 % loss: P(no burst of 95 is incomplete) = 0.59 ** 95 < 1e-21
    assert min(lossy) < 5
    arrived = impaired.packets.where(tap="doctor", stream=2, direction=1)
    assert len(arrived) - 25 <= sum(lossy) <= len(arrived) + 5  # some on their way to the device


def test_the_actuator_row_repeats_the_command(clean):
    recording, _ = clean
    executed = recording.packets.where(tap="actuator")
    assert TAPS[2] == "actuator"
    assert len(executed) > 1400
    assert set(executed.column("link").tolist()) == {255}
    arrived = recording.packets.where(tap="patient", stream=1)
    first = dict(zip(arrived.column("seq").tolist(), arrived.column("t_ns").tolist(), strict=True))
    for seq, t_ns in zip(executed.column("seq").tolist(), executed.column("t_ns"), strict=True):
        assert t_ns > first[seq]


def test_timers_do_not_drift(in_time):
    recording, _ = in_time
    sent = recording.packets.where(tap="doctor", stream=1, direction=0).column("t_ns")
    due = np.arange(len(sent)) * 1_000_000
    late = sent - due - sent[0]
    assert abs(np.median(late[-100:])) < 2e6


def test_an_impairment_is_achieved_and_reported(impaired):
    for stream, direction in ((1, 0), (2, 1)):
        delays = delays_ns(impaired, stream, direction)
        assert delays.min() >= 20e6
        assert np.median(delays) < 21e6
    sent = surely_there(impaired.packets.where(tap="doctor", stream=1))
    assert len(sent) > 1800
    arrived = impaired.packets.where(tap="patient", stream=1, direction=0).column("seq")
    lost = len(set(sent.tolist()) - set(arrived.tolist()))
    # Binomial(1900, 0.1), ± 6 σ: error < 1e-8.
    assert abs(lost - 0.1 * len(sent)) < 6 * (0.09 * len(sent)) ** 0.5
    assert np.median(delays_ns(impaired, 0, 0, link=1)) < 1e6
    assert [change.link for change in impaired.changes].count("primary") == 2
    assert all(change.effective_ns is not None for change in impaired.changes)
    health = impaired.health
    assert 0 < health.lateness_s["p50"] <= health.lateness_s["p99"] <= health.lateness_s["max"]
    assert health.counters["primary/to-patient/lost"] > 100
    assert health.clock_step_s < 1e-4


def blocks(data: bytes):
    """Type and body of every pcapng block, read by the specification alone."""
    at = 0
    while at < len(data):
        kind = int.from_bytes(data[at : at + 4], "little")
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        assert size % 4 == 0
        assert data[at + size - 4 : at + size] == data[at + 4 : at + 8]
        yield kind, data[at + 8 : at + size - 4]
        at += size
    assert at == len(data)


def told(payload: bytes) -> tuple[int, int]:
    """Stream and number of a packet, read by the carriages' specifications alone."""
    if payload[0] >> 6 == 2:  # RTP: the last byte of its source, the number in its extension
        return payload[11], int.from_bytes(payload[17:21], "big")
    if payload[0] == 23:  # DTLS: data, numbered in clear
        assert payload[1:5] == b"\xfe\xfd\0\1"
        return 0, int.from_bytes(payload[5:11], "big")
    assert payload[:2] == b"TB"
    return payload[3], int.from_bytes(payload[4:8], "big")


@pytest.mark.parametrize("side", ["patient", "doctor"])
def test_capture_files_hold_every_packet(clean, side):
    recording, sink = clean
    read = list(blocks((sink.folder / f"{side}.pcapng").read_bytes()))
    assert [kind for kind, _ in read[:3]] == [0x0A0D0D0A, 1, 1]
    packets = [body for kind, body in read if kind == 6]
    rows = recording.packets.where(tap=side)
    assert len(packets) >= len(rows)
    seen, handshakes = set(), 0
    for body in packets:
        captured, length = (int.from_bytes(body[i : i + 4], "little") for i in (12, 16))
        assert captured == min(length, 128)
        payload = body[20 + 42 : 20 + captured]
        if payload[0] in (20, 22):  # of the DTLS handshake
            handshakes += 1
            continue
        stamp = int.from_bytes(body[4:8], "little") << 32 | int.from_bytes(body[8:12], "little")
        assert abs(stamp - time.time_ns()) < 3600e9
        outgoing = body[-8:-4] == b"\x02\0\0\0"
        seen.add((*told(payload), outgoing))
    for name, is_out in (("patient", side == "patient"), ("doctor", side == "doctor")):
        direction = 1 if name == "patient" else 0
        part = rows.where(direction=direction)
        expected = set(
            zip(part.column("stream").tolist(), part.column("seq").tolist(), strict=True)
        )
        assert {(s, n) for s, n, outgoing in seen if outgoing == is_out} >= expected


def test_the_control_stream_is_real_dtls(clean):
    recording, sink = clean
    counters = recording.health.counters
    # Two links, each end of each sees at least four flights.
    assert counters["tap/overhead"] >= 16
    assert counters["tap/foreign"] == 0
    faults = {key: n for key, n in counters.items() if "/control/" in key}
    assert all(key.endswith("/not-yet") for key in faults), faults
    for side in ("patient", "doctor"):
        data = (sink.folder / f"{side}.pcapng").read_bytes()
        assert b"TB\1\0" not in data  # the control stream's own header
        assert b"TB\1\1" in data  # the command's, which is plain
        assert b'"side"' not in data


def test_a_heartbeat_bears_one_number_on_both_links(in_time):
    recording, _ = in_time
    for direction, tap in ((0, "doctor"), (1, "patient")):
        sent = recording.packets.where(tap=tap, stream=0, direction=direction)
        links = [sent.where(link=link) for link in (0, 1)]
        both, i, j = np.intersect1d(*(each.column("seq") for each in links), return_indices=True)
        assert len(both) > 60
        apart = links[0].column("t_ns")[i] - links[1].column("t_ns")[j]
        assert np.abs(apart).max() < 10e6  # beats are 20 ms apart
        merged = by_sequence(pair(sent, direction, recording.schedule.end_ns))
        assert len(merged) <= len(both) + 5


@pytest.mark.skipif(
    shutil.which("tshark") is None,
    reason="NOT COMPARED WITH TSHARK: it is not installed (apt-get install tshark)",
)
def test_the_control_stream_is_real_dtls_in_tsharks_eyes(clean):
    recording, sink = clean
    fields = ("dtls.record.content_type", "dtls.record.epoch", "dtls.record.sequence_number",
              "dtls.handshake.ciphersuite", "dtls.handshake.type", "ip.src")  # fmt: skip
    command = ["tshark", "-r", str(sink.folder / "doctor.pcapng"), "-d", "udp.port==7000,dtls",
               "-Y", "dtls && ip.addr==10.77.0.1", "-T", "fields"]  # fmt: skip
    command += [word for field in fields for word in ("-e", field)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    packets = [line.split("\t") for line in text.splitlines()]
    data = [packet for packet in packets if packet[0] == "23"]
    assert {packet[1] for packet in data} == {"1"}
    for source, tap, direction in (("10.77.0.2", "doctor", 0), ("10.77.0.1", "doctor", 1)):
        rows = recording.packets.where(tap=tap, stream=0, direction=direction, link=0)
        theirs = {int(packet[2]) for packet in data if packet[5] == source}
        assert set(rows.column("seq").tolist()) <= theirs
        assert len(theirs) - len(rows) <= 5
    chosen = {packet[3] for packet in packets if "2" in packet[4].split(",")}
    assert chosen == {"0xc02c"}  # TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384


def test_video_is_real_rtp_in_our_own_eyes(clean, kit):
    recording, sink = clean
    paths = [sink.folder / f"{side}.pcapng" for side in ("patient", "doctor")]
    rows = recording.packets.where(stream=kit.standin.VIDEO.code)
    sent, arrived = (rows.where(tap=tap) for tap in ("patient", "doctor"))
    for device in (None, recording.device):
        found = analyse(*paths, Question(device=device, fit=False)).streams
        (video,) = (each for each in found if each.ssrc is not None)
        assert video.ssrc == 0x54420102
        assert video.numbered
        assert abs(video.figures.sent - len(sent)) <= 5  # the capture goes on after the end
        assert abs(video.figures.received - len(arrived)) <= 5
        assert video.figures.lost == 0
    assert video.stream == "video-2d"


@pytest.mark.skipif(
    shutil.which("tshark") is None,
    reason="NOT COMPARED WITH TSHARK: it is not installed (apt-get install tshark)",
)
def test_video_is_real_rtp_in_tsharks_eyes(clean, kit):
    recording, sink = clean
    fields = ("rtp.version", "rtp.p_type", "rtp.ssrc", "rtp.marker", "rtp.seq", "rtp.timestamp",
              "rtp.ext.profile", "rtp.ext.rfc5285.id", "frame.len")  # fmt: skip
    command = ["tshark", "-r", str(sink.folder / "patient.pcapng"), "-d", "udp.port==7002,rtp",
               "-Y", "udp.port==7002", "-T", "fields"]  # fmt: skip
    command += [word for field in fields for word in ("-e", field)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    packets = [line.split("\t") for line in text.splitlines()]
    sent = recording.packets.where(tap="patient", stream=kit.standin.VIDEO.code)
    assert len(packets) >= len(sent) > 300
    seq = np.array([int(packet[4]) for packet in packets])
    stamp = np.array([int(packet[5]) for packet in packets])
    for packet in packets:
        assert packet[:3] == ["2", "96", "0x54420102"]
        assert packet[6:] == ["0xbede", "1,2", str(kit.standin.VIDEO.frame_bytes)]
    assert set(sent.column("seq")) <= set(seq.tolist())
    markers = [packet[3].lower() in ("1", "true") for packet in packets]
    assert markers == [number % 5 == 4 for number in seq]
    frames = [stamp[seq // 5 == frame] for frame in range(len(seq) // 5)]
    assert all(len(set(each.tolist())) == 1 for each in frames)
    steps = np.diff([each[0] for each in frames])
    assert abs(np.median(steps) - 1800) < 90  # 20 ms of 90 kHz: median of 70, whatever stalls


@pytest.mark.parametrize("defect", ["crash", "crash-in-build"])
def test_a_crashed_side_is_a_bench_error_with_its_text(kit, defect):
    with kit.bench() as bench:
        with pytest.raises(BenchError, match=r"(?s)patient process failed.*deliberate"):
            kit.run(bench, kit.session(60.0, **{defect: 0.1}), kit.sink())
        # and the bench can go on
        assert len(kit.run(bench, kit.session(0.2), kit.sink()).packets)


def test_a_killed_side_is_a_bench_error(kit):
    with kit.bench() as bench, pytest.raises(BenchError, match=r"patient process .*signal 9"):
        kit.run(bench, kit.session(60.0, killed=0.1), kit.sink())


def test_a_hanging_side_meets_the_deadline(kit, monkeypatch):
    monkeypatch.setattr(collect, "_GRACE_S", 2.0)
    with kit.bench() as bench, pytest.raises(BenchError, match=r"no report from patient$"):
        kit.run(bench, kit.session(0.3, hang=0.1), kit.sink())


@pytest.mark.parametrize("header", [True, False])
def test_a_full_disk_is_an_os_error(kit, monkeypatch, header):
    if not header:  # then it is the tap process that meets it
        monkeypatch.setattr(local_bench, "_capture_header", lambda session, side: b"")
    sink = kit.sink(Path("/dev"))
    sink.capture_path = lambda name: Path("/dev/full")
    with kit.bench() as bench:
        with pytest.raises(OSError, match="No space left on device") as caught:
            kit.run(bench, kit.session(60.0), sink)
        assert caught.value.errno == errno.ENOSPC
        assert "\n" not in str(caught.value)


def test_a_failing_sink_ends_the_session(kit):
    sink = kit.sink()
    sink.packets = lambda rows: os.fsencode(rows)
    with kit.bench() as bench:
        started = time.monotonic()
        with pytest.raises(TypeError):
            kit.run(bench, kit.session(60.0), sink)
        assert time.monotonic() - started < 30


def test_copies_arrive_and_damaged_packets_do_not(altered):
    """What the taps count is what the emulator says it did, packet for packet."""
    counters, packets = altered.health.counters, altered.packets
    for direction, name in ((0, "primary/to-patient"), (1, "primary/to-doctor")):
        near, far = ("doctor", "patient") if direction == 0 else ("patient", "doctor")
        link = packets.where(direction=direction, link=0)
        assert counters[f"{name}/copies"] > 20
        assert counters[f"{name}/damaged"] > 20
        assert counters[f"{name}/withheld"] == counters[f"{name}/damaged"]
        expected = (
            len(link.where(tap=near)) + counters[f"{name}/copies"] - counters[f"{name}/withheld"]
        )
        waiting = counters[f"{name}/in_flight"] + counters[f"{name}/unread"]
        assert expected - waiting - 20 <= len(link.where(tap=far)) <= expected
    undecodable = [counters[f"{side}/undecodable"] for side in ("patient", "doctor")]
    assert undecodable == [0, 0]
