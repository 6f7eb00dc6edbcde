"""Streams within flows: RTP sources, application numbers, address translation, known offsets."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections import Counter

import numpy as np
import pytest

from bench.captures.matching import Arrival, Fate
from bench.captures.rules import SequenceField, StreamRule
from bench.captures.taps import compare, read_captures
from bench.errors import InputError

MS = 1_000_000
ENDS = ("10.0.0.1", "10.0.0.2")
OUTSIDE = ("192.0.2.7", "10.0.0.2")


def packet(kit, payload, ends=ENDS, ports=(1000, 2000), **more):
    return kit.ethernet(kit.ipv4(kit.udp(payload, ports), ends, **more))


def saved(kit, tmp_path, left, right, snaps=(65535, 65535)):
    paths = tmp_path / "left.pcap", tmp_path / "right.pcap"
    for path, rows, snap in zip(paths, (left, right), snaps, strict=True):
        kit.save(path, kit.pcap(sorted(rows, key=lambda row: row[0]), snap=snap))
    return paths


def rows_of(kit, frames, start=0, gap=MS):
    return [(kit.START_NS + start + n * gap, frame) for n, frame in enumerate(frames)]


def carried(rows, delay_ns=20 * MS, lost=()):
    return [(t + delay_ns, frame) for n, (t, frame) in enumerate(rows) if n not in lost]


def delays(flow):
    arrived = flow.pairs.fate == Fate.ARRIVED.value
    return set((flow.pairs.received_ns - flow.pairs.sent_ns)[arrived].tolist())


def test_two_rtp_sources_of_one_flow_are_two_streams_over_the_wrap_of_the_sequence(kit, tmp_path):
    frames = [
        packet(kit, kit.rtp(65_500 + n // 2, bytes([n % 251] * 40), ssrc=(11, 22)[n % 2]))
        for n in range(400)
    ]
    rows = rows_of(kit, frames)
    found = compare(*read_captures(*saved(kit, tmp_path, rows, carried(rows, lost={4, 100}))))
    streams = {flow.ssrc: flow for flow in found.flows}
    assert set(streams) == {11, 22}
    assert [streams[ssrc].pairs.count(Fate.LOST) for ssrc in (11, 22)] == [2, 0]
    assert streams[22].pairs.count(Fate.ARRIVED) == 200
    expected = [(65_500 + n) & 0xFFFF for n in range(200)]
    assert streams[22].rtp.sequence.tolist() == expected
    assert streams[22].rtp.timestamp.tolist() == [(65_500 + n) * 160 for n in range(200)]
    assert set(streams[22].rtp.payload_type.tolist()) == {96}
    assert not streams[22].rtp.marker.any()
    assert len(streams[22].got_size) == 200


def test_rtcp_on_the_ports_of_rtp_is_a_stream_of_its_own(kit, tmp_path):
    frames = [packet(kit, kit.rtp(n, b"x" * 40)) for n in range(200)]
    for n in range(0, 200, 40):
        frames[n] = packet(kit, struct.pack(">BBHII", 0x80, 200, 6, n, 99) + bytes(20))
    rows = rows_of(kit, frames)
    found = compare(*read_captures(*saved(kit, tmp_path, rows, carried(rows))))
    assert {flow.ssrc: flow.pairs.count(Fate.ARRIVED) for flow in found.flows} == {None: 5, 99: 195}


def numbered(kit, count, size, changed=b"", gap=MS):
    """Packets that carry a number of ``size`` bytes after a magic, and ``changed``."""
    bits = 8 * size
    frames = [
        packet(kit, b"DV" + (n % (1 << bits)).to_bytes(size) + changed + bytes(20))
        for n in range(count)
    ]
    return rows_of(kit, frames, gap=gap)


def rule(size):
    return StreamRule("waveform", 17, 2000, b"DV", SequenceField(2, size))


def test_a_device_number_pairs_where_the_path_changes_the_payload(kit, tmp_path):
    left, right = numbered(kit, 300, 4, b"before"), numbered(kit, 300, 4, b"behind")
    paths = saved(kit, tmp_path, left, carried(right, lost={7}))
    (flow,) = compare(*read_captures(*paths, rules=[rule(4)])).flows
    assert (flow.rule, flow.pairs.count(Fate.ARRIVED), flow.pairs.count(Fate.LOST)) == (0, 299, 1)
    assert flow.number.tolist() == list(range(300))
    assert delays(flow) == {20 * MS}
    with pytest.raises(InputError, match="no packets in common"):
        compare(*read_captures(*paths))


def test_numbers_that_wrap_pair_by_what_else_the_packets_hold(kit, tmp_path):
    frames = [
        packet(kit, b"DV" + bytes([n % 256]) + struct.pack(">I", n * 4) + bytes(20))
        for n in range(2000)
    ]
    rows = rows_of(kit, frames)
    rng = np.random.default_rng(4)
    lost = set(np.flatnonzero(rng.random(2000) < 0.1).tolist()) | set(range(500, 900))
    paths = saved(kit, tmp_path, rows, carried(rows, lost=lost))
    (flow,) = compare(*read_captures(*paths, rules=[rule(1)])).flows
    assert flow.pairs.count(Fate.ARRIVED) == 2000 - len(lost)
    assert flow.pairs.count(Fate.LOST) == len(lost)
    assert delays(flow) == {20 * MS}


def test_captures_that_overlap_little_do_not_pair_across_the_wrap(kit, tmp_path):
    """By the number alone more packets would pair: those of different turns of the counter."""
    frames = [
        packet(kit, b"DV" + bytes([n % 256]) + struct.pack(">I", n * 4) + bytes(20))
        for n in range(2000)
    ]
    rows = rows_of(kit, frames)
    paths = saved(kit, tmp_path, rows[:1100], carried(rows)[1000:])
    (flow,) = compare(*read_captures(*paths, rules=[rule(1)])).flows
    assert flow.pairs.count(Fate.ARRIVED) == 100
    assert flow.pairs.count(Fate.LOST) == flow.pairs.count(Fate.AMBIGUOUS) == 0
    assert delays(flow) == {20 * MS}


def test_a_path_that_changes_some_payloads_loses_none(kit, tmp_path):
    left, right = numbered(kit, 300, 4, b"before"), numbered(kit, 300, 4, b"behind")
    mixed = [right[n] if n % 3 == 0 else left[n] for n in range(300)]
    paths = saved(kit, tmp_path, left, carried(mixed))
    (flow,) = compare(*read_captures(*paths, rules=[rule(4)])).flows
    assert flow.pairs.count(Fate.ARRIVED) == 300


@pytest.mark.parametrize("same_hosts", [True, False])
def test_numbers_that_wrap_alone_are_never_paired_across_the_wrap(kit, tmp_path, same_hosts):
    """Nothing else in the packet: only delays of other flows can tell the turn of the counter."""
    left, right = numbered(kit, 2000, 1, b"before"), numbered(kit, 2000, 1, b"behind")
    more = other(kit, ENDS if same_hosts else ("10.0.0.8", "10.0.0.9"))
    got = carried(right, lost=range(500, 900)) + carried(more)
    found = compare(*read_captures(*saved(kit, tmp_path, left + more, got), rules=[rule(1)]))
    if not same_hosts:
        assert found.undirected == (2000, 1600)
        assert [flow.name.source_port for flow in found.flows] == [5]
        return
    (flow,) = (flow for flow in found.flows if flow.rule == 0)
    assert flow.pairs.count(Fate.ARRIVED) + flow.pairs.count(Fate.AMBIGUOUS) == 1600
    assert flow.pairs.count(Fate.LOST) == 400
    assert flow.pairs.count(Fate.ARRIVED) > 1550
    assert delays(flow) == {20 * MS}


def other(kit, ends=ENDS):
    """A flow of which the way can be told."""
    return rows_of(kit, [packet(kit, struct.pack(">I", n) * 8, ends, (5, 6)) for n in range(50)])


def test_two_devices_on_one_flow_are_two_streams(kit, tmp_path):
    frames = [
        packet(kit, (b"DV" if n % 2 else b"XY") + struct.pack(">I", n) + bytes(20))
        for n in range(200)
    ]
    rows = rows_of(kit, frames)
    rules = [rule(4), StreamRule("other", 17, 2000, b"XY", SequenceField(2, 4))]
    found = compare(*read_captures(*saved(kit, tmp_path, rows, carried(rows)), rules=rules))
    assert sorted((flow.rule, len(flow.pairs)) for flow in found.flows) == [(0, 100), (1, 100)]


def test_a_packet_cut_at_96_bytes_pairs_with_a_whole_one(kit, tmp_path):
    frames = [packet(kit, struct.pack(">I", n) + bytes(600)) for n in range(200)]
    rows = rows_of(kit, frames)
    paths = saved(kit, tmp_path, rows, carried(rows, lost={9}), snaps=(96, 65535))
    (flow,) = compare(*read_captures(*paths)).flows
    assert (flow.pairs.count(Fate.ARRIVED), flow.pairs.count(Fate.LOST)) == (199, 1)
    assert set(flow.size.tolist()) == {len(frames[0])}


def test_tcp_pairs_by_its_numbers_and_retransmissions_stay_apart(kit, tmp_path):
    frames = [
        kit.ethernet(kit.ipv4(kit.tcp(b"data", sequence=1 + 4 * n), protocol=6, ident=n + 1))
        for n in range(100)
    ]
    again = kit.ethernet(kit.ipv4(kit.tcp(b"data", sequence=1 + 4 * 50), protocol=6, ident=777))
    rows = [*rows_of(kit, frames), (kit.START_NS + 200 * MS, again)]
    (flow,) = compare(*read_captures(*saved(kit, tmp_path, rows, carried(rows, lost={50})))).flows
    assert (flow.pairs.count(Fate.ARRIVED), flow.pairs.count(Fate.LOST)) == (100, 1)
    assert delays(flow) == {20 * MS}
    assert flow.pairs.fate[50] == Fate.LOST.value


def translated(kit, tmp_path, counts=(200, 150)):
    """Two flows out and one back through an address translator."""
    inner = [
        [packet(kit, struct.pack(">II", k, n) * 4, ports=(1000 + k, 2000)) for n in range(count)]
        for k, count in enumerate(counts)
    ]
    outer = [
        [
            packet(kit, struct.pack(">II", k, n) * 4, OUTSIDE, (40_000 + k, 2000), ttl=60)
            for n in range(count)
        ]
        for k, count in enumerate(counts)
    ]
    back_outer = [
        packet(kit, struct.pack(">II", 9, n), OUTSIDE[::-1], (2000, 40_000)) for n in range(90)
    ]
    back_inner = [
        packet(kit, struct.pack(">II", 9, n), ENDS[::-1], (2000, 1000)) for n in range(90)
    ]
    left = [row for each in inner for row in rows_of(kit, each)]
    right = [row for each in outer for row in carried(rows_of(kit, each))]
    left += carried(rows_of(kit, back_inner), 30 * MS)
    right += rows_of(kit, back_outer)
    return saved(kit, tmp_path, left, right)


def test_flows_through_address_translation_are_found_and_named(kit, tmp_path):
    found = compare(*read_captures(*translated(kit, tmp_path), nat=True), nat=True)
    ways = {
        str(flow.name): (str(flow.far_name), flow.forward, flow.pairs.count(Fate.ARRIVED))
        for flow in found.flows
    }
    assert ways == {
        "UDP 10.0.0.1:1000 > 10.0.0.2:2000": ("UDP 192.0.2.7:40000 > 10.0.0.2:2000", True, 200),
        "UDP 10.0.0.1:1001 > 10.0.0.2:2000": ("UDP 192.0.2.7:40001 > 10.0.0.2:2000", True, 150),
        "UDP 10.0.0.2:2000 > 10.0.0.1:1000": ("UDP 10.0.0.2:2000 > 192.0.2.7:40000", False, 90),
    }
    assert [delays(flow) for flow in found.flows if not flow.forward] == [{30 * MS}]


def test_translated_addresses_without_saying_so_share_nothing(kit, tmp_path):
    with pytest.raises(InputError, match=r"no packets in common .*--nat"):
        compare(*read_captures(*translated(kit, tmp_path)))


def test_flows_that_look_alike_are_not_guessed_to_be_one(kit, tmp_path):
    """Two flows with the same packets at either tap: which became which cannot be told."""
    payloads = [struct.pack(">I", n) * 4 for n in range(100)]
    left = [
        row
        for port in (1, 2)
        for row in rows_of(kit, [packet(kit, p, ports=(port, 9)) for p in payloads])
    ]
    right = [
        row
        for port in (3, 4)
        for row in carried(rows_of(kit, [packet(kit, p, OUTSIDE, (port, 9)) for p in payloads]))
    ]
    with pytest.raises(InputError, match="no flow of one capture can be told"):
        compare(*read_captures(*saved(kit, tmp_path, left, right), nat=True), nat=True)


def test_a_known_offset_of_the_clocks_is_taken_off(kit, tmp_path):
    there = other(kit)
    back = rows_of(kit, [packet(kit, struct.pack(">I", n), ENDS[::-1], (6, 5)) for n in range(50)])
    ahead = 500 * MS
    left = there + carried(back, 30 * MS)
    right = carried(carried(there, 20 * MS) + back, ahead)
    captures = read_captures(*saved(kit, tmp_path, left, right))
    with pytest.raises(InputError, match="same way"):
        compare(*captures)
    found = compare(*captures, offset_ns=ahead)
    assert {flow.forward: delays(flow) for flow in found.flows} == {
        True: {20 * MS},
        False: {30 * MS},
    }


def test_flows_of_one_tap_only_are_listed(kit, tmp_path):
    shared, alone = other(kit), rows_of(kit, [packet(kit, b"one", ports=(70, 71))] * 3)
    found = compare(*read_captures(*saved(kit, tmp_path, shared + alone, carried(shared))))
    assert [(str(name), count) for name, count in found.unshared_left] == [
        ("UDP 10.0.0.1:70 > 10.0.0.2:71", 3)
    ]
    assert found.unshared_right == ()


def test_a_receiver_that_captured_longer_is_no_clock_error(kit, tmp_path):
    """A heartbeat of before arrives where the sender's capture holds only a later one."""
    beat = packet(kit, b"beat")
    frames = [packet(kit, struct.pack(">I", n) * 8) for n in range(300)]
    rows = rows_of(kit, frames)
    rows[200] = (rows[200][0], beat)
    right = [*carried(rows, lost={200}), (kit.START_NS - 980 * MS, beat)]
    (flow,) = compare(*read_captures(*saved(kit, tmp_path, rows, right))).flows
    assert flow.pairs.fate[200] == Fate.LOST.value
    assert flow.pairs.count(Arrival.UNMATCHED) == 1


# Beside tshark


def tshark_counts(path):
    """Packets by addresses, ports and RTP source, as tshark counts them."""
    names = ("ip.src", "udp.srcport", "ip.dst", "udp.dstport", "rtp.ssrc")
    command = ["tshark", "-r", str(path), "-d", "udp.port==2000,rtp", "-T", "fields"]
    command += [part for name in names for part in ("-e", name)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return Counter(tuple(line.split("\t")) for line in text.splitlines())


def our_counts(found, side):
    counts = Counter()
    for flow in found.flows:
        sender = flow.forward == (side == "left")
        ssrc = "" if flow.ssrc is None else f"0x{flow.ssrc:08x}"
        name = flow.name
        key = (name.source, str(name.source_port), name.destination, str(name.destination_port))
        counts[(*key, ssrc)] = len(flow.pairs.sent_ns if sender else flow.pairs.got_ns)
    return counts


@pytest.mark.skipif(
    shutil.which("tshark") is None,
    reason="NOT COMPARED WITH TSHARK: it is not installed (apt-get install tshark)",
)
@pytest.mark.parametrize("seed", [1, 2])
def test_tshark_counts_the_same_packets_of_every_stream(kit, tmp_path, seed):
    rng = np.random.default_rng(seed)
    voice = [
        packet(kit, kit.rtp(65_000 + n // 2, bytes([n % 251] * 40), ssrc=(11, 22)[n % 2]))
        for n in range(2000)
    ]
    there = rows_of(kit, voice) + other(kit)
    back = rows_of(
        kit, [packet(kit, struct.pack(">I", n), ENDS[::-1], (2001, 1001)) for n in range(500)]
    )
    lost = {
        name: set(np.flatnonzero(rng.random(2000) < 0.05).tolist()) for name in ("there", "back")
    }
    again = [(t + 20 * MS + 1000, frame) for t, frame in there[::97]]
    left = there + carried(back, 30 * MS, lost["back"])
    right = carried(there, 20 * MS, lost["there"]) + again + back
    paths = saved(kit, tmp_path, left, right)
    found = compare(*read_captures(*paths))
    for side, path in zip(("left", "right"), paths, strict=True):
        assert our_counts(found, side) == tshark_counts(path)
