"""The parts of the local bench, each by itself."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import time

import numpy as np
import pytest

from bench.benches.live import LiveView
from bench.benches.local import bench as bench_module
from bench.benches.local import tap as tap_module
from bench.benches.local.bench import check_device
from bench.benches.local.channel import Receiver, Sender
from bench.benches.local.emulation import netem_refusal
from bench.benches.local.pcapng import INBOUND, OUTBOUND, file_header, packet_blocks
from bench.benches.local.port import FRAME_WAIT_NS, Bursts
from bench.benches.local.probe import in_child
from bench.benches.local.ring import Frames
from bench.benches.local.summary import applied_changes, health, merged_lateness
from bench.benches.local.tap import Look, Streams, Tap, rows_of
from bench.captures.flows import read_capture
from bench.devices.ports import Message
from bench.devices.wire import encode
from bench.errors import InputError
from bench.network.impairment import Delay, Impairment
from bench.sessions.packets import ROW

MS = 1_000_000


# ---- channel


def test_messages_survive_any_cut():
    near, far = socket.socketpair()
    with near, far:
        sender = Sender(near)
        sent = [({"a": 1}, b""), ({"rows": 2}, b'{"x"\n: 1}\0'), ({"b": [1, "\n"]}, b"")]
        for data, blob in sent:
            sender.send(data, blob)
        assert sender.drain(1.0)
        stream = far.recv(65536)
    for size in (1, 2, 7, len(stream)):
        receiver = Receiver()
        got = [
            message
            for i in range(0, len(stream), size)
            for message in receiver.feed(stream[i : i + size])
        ]
        assert [message.blob for message in got] == [blob for _, blob in sent]
        assert [{k: v for k, v in m.data.items() if k != "bytes"} for m in got] == [
            data for data, _ in sent
        ]


def test_a_sender_never_blocks_and_never_loses():
    near, far = socket.socketpair()
    with near, far:
        sender = Sender(near)
        started = time.monotonic()
        for number in range(2000):
            sender.send({"n": number, "pad": "x" * 1000})
        assert time.monotonic() - started < 10.0
        assert not sender.drain(0.0)
        receiver, numbers = Receiver(), []
        while len(numbers) < 2000:
            numbers += [m.data["n"] for m in receiver.feed(far.recv(1 << 20))]
            sender.drain(0.0)
        assert numbers == list(range(2000))


def test_a_gone_reader_is_an_error():
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(BrokenPipeError):
        Sender(near).send({"a": 1})


# ---- bursts


class Clock:
    """Timers for Bursts, and what it delivers."""

    def __init__(self, count):
        self.timers = []
        self.out = []
        self.bursts = Bursts(
            count,
            lambda t, call: self.timers.append((t, call)),
            lambda now, message, received, of: self.out.append((now, message.seq, received, of)),
        )

    def packet(self, now_ns, seq):
        self.until(now_ns)
        self.bursts.packet(now_ns, Message(2, seq, 0))

    def until(self, now_ns):
        while self.timers and min(t for t, _ in self.timers) <= now_ns:
            entry = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(entry)
            entry[1](entry[0])


def test_a_whole_burst_is_handed_over_with_its_last_packet():
    clock = Clock(3)
    for now, seq in enumerate((0, 2, 1, 3, 4, 5)):
        clock.packet(now, seq)
    clock.until(10**9)
    assert clock.out == [(2, 0, 3, 3), (5, 3, 3, 3)]


def test_a_burst_with_a_gap_ends_with_the_next_one():
    clock = Clock(3)
    clock.packet(0, 1)
    clock.packet(1, 2)
    clock.packet(5 * MS, 3)
    assert clock.out == [(5 * MS, 1, 2, 3)]


def test_a_burst_with_a_gap_ends_after_its_wait():
    clock = Clock(3)
    clock.packet(0, 0)
    clock.packet(15 * MS, 1)  # slow, but still coming: the wait counts from here
    clock.until(15 * MS + FRAME_WAIT_NS - 1)
    assert clock.out == []
    clock.until(15 * MS + FRAME_WAIT_NS)
    assert clock.out == [(15 * MS + FRAME_WAIT_NS, 0, 2, 3)]
    clock.packet(40 * MS, 2)  # too late: the burst has ended
    clock.until(10**9)
    assert len(clock.out) == 1


def test_duplicates_and_old_packets_do_not_count():
    clock = Clock(2)
    for now, seq in enumerate((4, 4, 4, 1, 5, 5)):
        clock.packet(now, seq)
    clock.until(10**9)
    assert clock.out == [(4, 4, 2, 2)]


# ---- carriages


def test_a_device_with_a_carriage_that_is_not_there_is_refused(kit, monkeypatch):
    device = kit.session(1.0).device
    check_device(device)
    monkeypatch.setattr(bench_module, "OPENERS", {})
    with pytest.raises(InputError, match="no such carriage"):
        check_device(device)


# ---- rows and captures


def tcp(payload, sequence, ports):
    """A segment with 12 bytes of options, as with time stamps."""
    return struct.pack("!HHIIHHHH12x", *ports, sequence, 7, 0x8018, 100, 0, 0) + payload


def frames(payloads, *, port=7001, to=1, protocol=17):
    """Ethernet frames as a ring gives them, 1 µs apart from 1 s on; of TCP whole segments."""
    packets = []
    for payload in payloads:
        udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
        udp = payload if protocol == 6 else udp
        ip = struct.pack("!BBHHHBBH4B4B", 0x45, 0, 20 + len(udp), 0, 0, 64, protocol, 0,
                         10, 77, 0, 3 - to, 10, 77, 0, to)  # fmt: skip
        packets.append(bytes(12) + b"\x08\x00" + ip + udp)
    data = np.full((len(packets), 190), 0xEE, dtype=np.uint8)  # what an older packet left there
    for row, packet in zip(data, packets, strict=True):
        captured = packet[:128]
        row[: len(captured)] = np.frombuffer(captured, dtype=np.uint8)
    lengths = np.array([len(packet) for packet in packets], dtype=np.int64)
    stamps = 1_000_000_000 + 1000 * np.arange(len(packets), dtype=np.int64)
    return Frames(stamps, lengths, np.arange(len(packets)) % 2 == 0, data), packets


STREAMS = Streams.of([("slow", 7000, 0), ("fast", 7001, 1)])


def test_rows_of_packets():
    numbers = (0, 1, 255, 256, 0x01020304, 0xFFFFFFFF)
    given, packets = frames([encode(Message(1, n, 5), 36 + n % 7) for n in numbers])
    rows, foreign, _ = rows_of([Look(given, 1, 0, 999_999_000)], STREAMS)
    assert foreign == 0
    assert rows.dtype == ROW
    assert rows["seq"].tolist() == list(numbers)
    assert rows["t_ns"].tolist() == [1000 * (i + 1) for i in range(len(numbers))]
    assert rows["size"].tolist() == [len(packet) for packet in packets]
    assert set(rows["stream"].tolist()) == {1}
    assert set(rows["direction"].tolist()) == {0}
    to_doctor, _ = frames([encode(Message(1, 1, 5), 36)], to=2)
    assert rows_of([Look(to_doctor, 0, 1, 0)], STREAMS)[0]["direction"].tolist() == [1]


@pytest.mark.parametrize(
    "given",
    [
        frames([encode(Message(1, 1, 5), 36)], port=7009),
        frames([encode(Message(0, 1, 5), 36)]),  # another stream's packet on this port
        frames([tcp(encode(Message(1, 1, 5), 36), 5, (7001, 7001))], protocol=6),
        frames([b"XX" + encode(Message(1, 1, 5), 36)[2:]]),
        frames([encode(Message(1, 1, 5), 22)[:7]]),
    ],
    ids=["port", "stream", "protocol", "magic", "short"],
)
def test_what_is_not_the_devices_is_counted_and_gives_no_row(given):
    rows, foreign, _ = rows_of([Look(given[0], 1, 0, 0)], STREAMS)
    assert len(rows) == 0
    assert foreign == 1


def test_over_tcp_segments_are_rows_and_the_rest_is_overhead():
    streams = Streams.of([("records", 7003, 3, "mllp")])
    forth, back = (40000, 7003), (7003, 40000)
    given, packets = frames(
        [
            tcp(b"", 99, forth),  # opening
            tcp(b"", 50, back),
            tcp(b"MSH|", 100, forth),
            tcp(b"MSH|", 100, forth),  # sent again
            tcp(b"MSA|", 51, back),
            tcp(b"", 7, (40000, 7004)),  # somebody else's
        ],
        protocol=6,
    )
    rows, foreign, overhead = rows_of([Look(given, 1, 0, 0)], streams)
    assert (foreign, overhead) == (1, 3)
    assert rows["seq"].tolist() == [100, 100]
    assert rows["size"].tolist() == [len(packets[2])] * 2
    assert set(rows["stream"].tolist()) == {3}


def test_of_dtls_records_with_data_are_rows_and_handshakes_are_overhead():
    def record(kind, number, version=b"\xfe\xfd", epoch=1):
        head = bytes((kind,)) + version + epoch.to_bytes(2, "big") + number.to_bytes(6, "big")
        return head + b"\0\x1e" + bytes(30)

    streams = Streams.of([("control", 7001, 0, "dtls")])
    given, _ = frames(
        [
            record(22, 0, b"\xfe\xff", 0), record(20, 5, epoch=0), record(22, 0), record(21, 9),
            record(23, 1), record(23, 2**32 + 2), record(23, 3, epoch=2), record(23, 4, b"\3\3"),
            encode(Message(0, 1, 5), 36),
        ]
    )  # fmt: skip
    rows, foreign, overhead = rows_of([Look(given, 1, 0, 0)], streams)
    assert rows["seq"].tolist() == [1, 2]
    assert (foreign, overhead) == (3, 4)


def test_looks_keep_their_tap_link_and_clock():
    first, _ = frames([encode(Message(1, n, 5), 40) for n in (3, 4)])
    stray, _ = frames([b"stray"])
    last, _ = frames([encode(Message(0, 9, 5), 60)], port=7000, to=2)
    looks = [Look(first, 0, 0, 1_000_000_000), Look(stray, 1, 0, 7), Look(last, 1, 1, 999_999_990)]
    rows, foreign, _ = rows_of(looks, STREAMS)
    assert foreign == 1
    assert [tuple(row) for row in rows.tolist()] == [
        (0, 0, 0, 0, 1, 3, 82), (1000, 0, 0, 0, 1, 4, 82), (10, 1, 1, 1, 0, 9, 102)
    ]  # fmt: skip
    assert len(rows_of([], STREAMS)[0]) == 0


def test_the_tap_and_its_capture_file_never_disagree(tmp_path):
    rng = np.random.default_rng(4)
    payloads = [encode(Message(1, int(n), 5), int(rng.integers(30, 900))) for n in range(300)]
    payloads += [b"TB", b"TB\x01\x01\0\0\0", bytes(90)]
    rng.shuffle(payloads)
    given, _ = frames(payloads)
    flags = np.where(given.outgoing, OUTBOUND, INBOUND)
    path = tmp_path / "tap.pcapng"
    blocks = packet_blocks(np.zeros(303, "i8"), given.stamps_ns, given.lengths, flags, given.data)
    path.write_bytes(file_header(["p0"], "") + blocks)
    rows, foreign, _ = rows_of([Look(given, 1, 0, 0)], STREAMS)
    found = read_capture(path, rules=STREAMS.rules)
    ours = found.rule >= 0
    assert foreign == 3
    assert STREAMS.codes[found.rule[ours]].tolist() == rows["stream"].tolist()
    assert found.number[ours].tolist() == rows["seq"].tolist()
    assert found.t_ns[ours].tolist() == rows["t_ns"].tolist()
    assert found.size[ours].tolist() == rows["size"].tolist()


def test_capture_blocks_hold_the_bytes_as_they_were():
    given, packets = frames([bytes(range(size)) for size in (0, 1, 2, 3, 85, 86, 87, 200)])
    flags = np.where(given.outgoing, OUTBOUND, INBOUND)
    text = packet_blocks(np.ones(8, "i8"), given.stamps_ns, given.lengths, flags, given.data)
    at = 0
    for number, packet in enumerate(packets):
        kind, size, interface, high, low, captured, length = struct.unpack_from("<7I", text, at)
        assert (kind, interface, length, captured) == (6, 1, len(packet), min(128, len(packet)))
        assert high << 32 | low == given.stamps_ns[number]
        padded = captured + -captured % 4
        assert text[at + 28 : at + 28 + padded] == packet[:128].ljust(padded, b"\0")
        code, width, flag, end = struct.unpack_from("<HHII", text, at + 28 + padded)
        assert (code, width, flag, end) == (2, 4, OUTBOUND if number % 2 == 0 else INBOUND, 0)
        assert struct.unpack_from("<I", text, at + size - 4) == (size,)
        at += size
    assert at == len(text)


class Once:
    """A ring that gives packets once."""

    drops = 0

    def __init__(self, given):
        self.waiting = [given]

    def take(self):
        return self.waiting.pop() if self.waiting else None

    def count_drops(self):
        return 0


def test_a_capture_is_in_order_of_time_however_late_the_tap_looks(tmp_path):
    """Of two interfaces, whose packets of the same 300 ms it finds in two rings."""
    rings = []
    for shift in (0, 1):
        given, _ = frames([encode(Message(1, 2 * n + shift, 5), 36) for n in range(300)])
        stamps = 1_000_000_000 + (2 * np.arange(300) + shift) * MS // 2
        rings.append(Once(given._replace(stamps_ns=stamps)))
    path = tmp_path / "tap.pcapng"
    near, far = socket.socketpair()
    with near, far, path.open("wb", buffering=0) as file:
        file.write(file_header(["p0", "p1"], ""))
        points = [tap_module.TapPoint(ring, 0, n, n, file.fileno()) for n, ring in enumerate(rings)]
        Tap(points, STREAMS, Sender(near), time.monotonic_ns()).run(0)
    found = read_capture(path, rules=STREAMS.rules)
    assert found.number.tolist() == list(range(600))
    assert (np.diff(found.t_ns) > 0).all()


def test_the_capture_header_names_interfaces_and_resolution():
    text = file_header(["p0", "p1"], "session x")
    size = struct.unpack_from("<I", text, 4)[0]
    assert struct.unpack_from("<IHH", text, 8) == (0x1A2B3C4D, 1, 0)
    assert b"session x" in text[:size]
    for name in (b"p0", b"p1"):
        kind, block = struct.unpack_from("<II", text, size)
        assert kind == 1
        body = text[size : size + block]
        assert struct.unpack_from("<HHI", body, 8) == (1, 0, 128)
        assert b"\x02\x00\x02\x00" + name in body
        assert b"\x09\x00\x01\x00\x09" in body
        size += block
    assert size == len(text)


def test_a_full_ring_counts_what_it_dropped(local_host):
    def overflow():
        from bench.benches.local import kernel
        from bench.benches.local.ring import PacketRing

        kernel.enter_own_namespaces()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            kernel.interface_up(sock, "lo")
            ring = PacketRing("lo", slots=256)
            for number in range(400):
                sock.sendto(number.to_bytes(4, "big"), ("127.0.0.1", 9))
        seen = []
        while (taken := ring.take()) is not None:
            seen.append(len(taken.stamps_ns))
        drops = ring.count_drops()
        ring.close()
        return {"seen": sum(seen), "drops": drops, "again": drops}

    found = in_child(overflow)
    # Every datagram passes lo twice (out and in), and each is answered: port unreachable.
    assert found["seen"] == 256
    assert found["drops"] >= 2 * 400 - 256


class Empty:
    """A ring without packets."""

    drops = 3

    def take(self):
        return None

    def count_drops(self):
        return self.drops


def run_tap(offsets, monkeypatch):
    near, far = socket.socketpair()
    with near, far:
        it = itertools.chain(offsets, itertools.repeat(offsets[-1]))
        monkeypatch.setattr(tap_module, "clock_offset_ns", lambda: next(it))
        sender = Sender(near)
        point = tap_module.TapPoint(Empty(), 0, 0, 0, None)
        Tap([point], STREAMS, sender, time.monotonic_ns()).run(60 * MS)
        sender.drain(1.0)
        return list(Receiver().feed(far.recv(65536)))[-1].data["done"]


def test_a_clock_step_is_found(monkeypatch):
    assert run_tap([7_000, 7_040, 7_010], monkeypatch)["clock_step_ns"] == 40
    assert run_tap([7_000, 1_007_000], monkeypatch)["clock_step_ns"] == 1_000_000


def test_tap_drops_are_reported(monkeypatch):
    assert run_tap([0], monkeypatch)["drops"] == 3


# ---- summary


AGENT = "received undecodable send_errors receive_drops timers cpu_ns"
LATE = "timer_late_p50_ns timer_late_p99_ns timer_late_max_ns"
COUNTED = "rx tx accepted before_start in_flight unread kernel_drops tx_errors oversize"
COUNTED += " copies damaged skipped undecided withheld"
ODD = "unfinished_checksums clock_steps emulator_drops"


def agent_report(**changes):
    figures = dict.fromkeys(f"{AGENT} {LATE}".split(), 0)
    return {**figures, "socket_errors": [], "scheduling": "fifo", **changes}


def direction_report(**changes):
    figures = dict.fromkeys(f"{COUNTED} {ODD}".split(), 0)
    return {
        **figures, "link": "primary", "direction": "to-patient", "fates": {"lost": 4},
        "lateness": None, "changes": [], "clock_largest_step_s": 0.0, "cpu_s": 0.5, **changes,
    }  # fmt: skip


def reports(**changes):
    done = {
        "tap": {"drops": 0, "packets": 5, "foreign": 0, "clock_step_ns": 20, "cpu_ns": 1},
        "emulator": {"directions": [direction_report()], "notes": []},
        "patient": agent_report(),
        "doctor": agent_report(),
    }
    return {**done, **changes}


def test_health_of_a_clean_session():
    found = health(reports())
    assert (found.tap_drops, found.emulator_drops, found.notes) == (0, 0, ())
    assert found.clock_step_s == 20e-9
    assert found.counters["primary/to-patient/lost"] == 4
    json.dumps(dict(found.counters))
    faults = {"control/not-yet": 4}
    assert (
        health(reports(doctor=agent_report(faults=faults))).counters["doctor/control/not-yet"] == 4
    )


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"doctor": agent_report(send_errors=2)}, "emulator_drops", 2),
        ({"patient": agent_report(receive_drops=3)}, "emulator_drops", 3),
        (
            {"emulator": {"directions": [direction_report(emulator_drops=4)], "notes": []}},
            "emulator_drops",
            4,
        ),
        (
            {
                "emulator": {
                    "directions": [direction_report(clock_largest_step_s=0.5)],
                    "notes": [],
                }
            },
            "clock_step_s",
            0.5,
        ),
    ],
)
def test_what_the_bench_lost_is_in_the_health(changes, field, value):
    assert getattr(health(reports(**changes)), field) == value


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"doctor": agent_report(timer_late_max_ns=9_000_000)},
            "doctor side ran up to 9.0 ms late",
        ),
        ({"patient": agent_report(scheduling="nice")}, "patient side ran without real-time"),
        ({"patient": agent_report(socket_errors=["refused"])}, "patient side: refused"),
        (
            {"patient": agent_report(faults={"control/not-yet": 4, "control/refused (x)": 3})},
            "3 times at the patient side: control/refused (x)",
        ),
        ({"doctor": agent_report(undecodable=2)}, "2 packets that the doctor side could not"),
        (
            {"emulator": {"directions": [direction_report(unfinished_checksums=1)], "notes": []}},
            "checksum offload was on at primary/to-patient",
        ),
        (
            {
                "emulator": {
                    "directions": [direction_report(changes=[{"read_back": False}])],
                    "notes": [],
                }
            },
            "1 changes not as commanded",
        ),
    ],
)
def test_what_was_odd_is_noted(changes, note):
    (found,) = health(reports(**changes)).notes
    assert note in found


def test_lateness_is_merged_over_directions():
    assert merged_lateness([None]) == {}
    one = {"max_s": 0.0009, "histogram": [(0.0001, 98), (0.001, 2)]}
    two = {"max_s": 0.002, "histogram": [(0.0001, 900), (0.002, 1)]}
    merged = merged_lateness([one, None, two])
    assert merged == {"p50": 0.0001, "p99": 0.0001, "p999": 0.001, "max": 0.002}
    assert merged_lateness([one])["p99"] == 0.0009


def test_changes_keep_the_schedules_order(kit):
    schedule = kit.session(1.0, Impairment(delay=Delay(0.01))).schedule()
    entries = [
        direction_report(
            link=link,
            direction=direction,
            changes=[{"t_ns": 0, "commanded_ns": 0, "confirmed_ns": 5, "effective_ns": effective}],
        )
        for link, direction, effective in (
            ("standby", "to-doctor", None),
            ("primary", "to-patient", 7),
            ("primary", "to-doctor", 8),
        )
    ]
    applied = applied_changes(schedule, {"directions": entries})
    assert [(c.link, c.direction, c.effective_ns, c.commanded_ns) for c in applied] == [
        ("primary", "to-patient", 7, 0),
        ("primary", "to-doctor", 8, 0),
        ("standby", "to-patient", None, None),
        ("standby", "to-doctor", 5, 0),
    ]
    assert applied[0].intended == "10 ms"


def test_netem_is_not_asked_for_what_it_would_distort(kit):
    assert netem_refusal(kit.session(1.0, Impairment(delay=Delay(0.01))).schedule()) is None
    refused = netem_refusal(kit.session(1.0, Impairment(hold=True)).schedule())
    assert isinstance(refused, InputError)


# ---- live view


def test_the_live_view_compares_the_taps(kit):
    session = kit.session(10.0)
    view = LiveView(session, session.schedule())
    rows = []
    for seq in range(3000):
        t_ns = seq * MS
        rows.append((t_ns, 0, 0, 0, 1, seq, 78))
        if seq % 4:
            rows.append((t_ns + 2 * MS, 1, 0, 0, 1, seq, 78))
    view.add(np.array(rows, dtype=ROW))
    assert view.progress(100 * MS) is None
    report = view.progress(3000 * MS)
    assert report is not None
    assert (report.step, report.role, report.end_s) == ("only", "within", 10.0)
    assert report.streams == {"haptic-command": (0.002, 0.25)}
    assert view.progress(3100 * MS) is None
    assert view.progress(20_000 * MS) is None
