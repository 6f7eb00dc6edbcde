"""Headers of every kind: flows, keys that hold on the path, and what tells packets apart."""

from __future__ import annotations

import random
import struct
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.captures.blocks import Records
from bench.captures.flows import read_capture
from bench.captures.headers import columns

UDP_FLOW = "UDP 10.0.0.1:1000 > 10.0.0.2:2000"


def one(kit, tmp_path, frames, link=1, snap=262144, **given):
    path = tmp_path / "a.pcap"
    data = kit.pcap([(n, frame) for n, frame in enumerate(frames)], link=link, snap=snap)
    return read_capture(kit.save(path, data), **given)


def test_every_link_type_shows_the_same_packet(kit, tmp_path):
    for packet in (kit.ipv4(kit.udp(b"payload")), kit.ipv6(kit.udp(b"payload"))):
        keys = set()
        for link, frame in (
            (1, kit.ethernet(packet)),
            (1, kit.ethernet(packet, [(0x8100, 5)])),
            (1, kit.ethernet(packet, [(0x88A8, 7), (0x8100, 5)])),
            (113, kit.cooked(packet)),
            (276, kit.cooked2(packet)),
            (101, packet),
            (12, packet),
            (0, struct.pack("<I", 2) + packet),
        ):
            found = one(kit, tmp_path, [frame], link)
            keys.add((found.key[0], found.ids[0], found.size[0], str(found.names[0])))
        assert len(keys) == 1


@pytest.mark.parametrize(
    ("packet", "flow"),
    [
        (lambda k: k.ipv4(k.udp(b"x")), UDP_FLOW),
        (lambda k: k.ipv4(k.udp(b"x"), options=bytes([1] * 8)), UDP_FLOW),
        (lambda k: k.ipv4(k.tcp(b"x"), protocol=6), "TCP 10.0.0.1:1000 > 10.0.0.2:2000"),
        (lambda k: k.ipv4(b"\x08\x00abcdef", protocol=1), "protocol 1 10.0.0.1:0 > 10.0.0.2:0"),
        (lambda k: k.ipv6(k.udp(b"x")), "UDP [fd00::1]:1000 > [fd00::2]:2000"),
        (
            lambda k: k.ipv6(k.tcp(b"x"), protocol=6, extensions=[(0, bytes(6)), (60, bytes(14))]),
            "TCP [fd00::1]:1000 > [fd00::2]:2000",
        ),
        (
            lambda k: k.ipv6(k.udp(b"x"), extensions=[(44, bytes([0, 1, 0, 0, 0, 9]))]),
            "UDP [fd00::1]:1000 > [fd00::2]:2000",
        ),
        (
            lambda k: k.ipv6(b"in the middle of it", extensions=[(44, bytes([1, 1, 0, 0, 0, 9]))]),
            "UDP [fd00::1]:0 > [fd00::2]:0",
        ),
        (lambda k: k.ipv4(b"in the middle of it", part=0x2010), "UDP 10.0.0.1:0 > 10.0.0.2:0"),
    ],
)  # fmt: skip
def test_flows(kit, tmp_path, packet, flow):
    found = one(kit, tmp_path, [kit.ethernet(packet(kit))])
    assert [str(name) for name in found.names] == [flow]
    assert found.names[0].reverse.reverse == found.names[0]


def test_what_changes_on_the_path_does_not_change_the_key(kit, tmp_path):
    sent = kit.ipv4(kit.udp(b"payload"), ident=7)
    forwarded = kit.ipv4(kit.udp(b"payload"), ident=7, ttl=60, tos=0xB9)
    found = one(kit, tmp_path, [kit.ethernet(sent), kit.ethernet(forwarded, [(0x8100, 9)])])
    assert len(set(found.key.tolist())) == 1
    assert found.ip_id.tolist() == [7, 7]
    six = [kit.ethernet(kit.ipv6(kit.udp(b"payload"), hops=hops)) for hops in (64, 3)]
    assert len(set(one(kit, tmp_path, six).key.tolist())) == 1


def test_what_tells_packets_apart(kit, tmp_path):
    base = bytes(range(64))
    packets = [kit.ipv4(kit.udp(base))]
    for place in range(64):
        packets.append(kit.ipv4(kit.udp(base[:place] + b"\xff" + base[place + 1 :])))
    packets += [kit.ipv4(kit.udp(base[:size])) for size in range(64)]
    packets += [kit.ipv4(kit.udp(base), ("10.0.0.1", "10.0.0.3"))]
    packets += [kit.ipv4(kit.udp(base, ports)) for ports in ((1, 2000), (1000, 1))]
    packets += [kit.ipv4(kit.tcp(base, sequence=n), protocol=6) for n in range(5)]
    found = one(kit, tmp_path, [kit.ethernet(packet) for packet in packets])
    assert len(set(found.key.tolist())) == len(packets)


def test_padding_and_what_lies_behind_the_key_do_not_count(kit, tmp_path):
    short = kit.ethernet(kit.ipv4(kit.udp(b"x")))
    long = [kit.ethernet(kit.ipv4(kit.udp(bytes(64) + end))) for end in (b"a", b"b")]
    found = one(kit, tmp_path, [short, short[:-10] + b"\xff" * 10, *long])
    assert found.key[0] == found.key[1]
    assert found.key[2] == found.key[3]


def test_cut_packets(kit, tmp_path):
    frames = [kit.ethernet(kit.ipv4(kit.udp(bytes([n]) * 200))) for n in range(4)]
    full = one(kit, tmp_path, frames)
    cut = one(kit, tmp_path, frames, snap=14 + 20 + 8 + 20)
    assert (full.least_payload, cut.least_payload) == (64, 20)
    assert cut.size.tolist() == full.size.tolist()
    assert set(cut.key.tolist()).isdisjoint(full.key.tolist())
    same = one(kit, tmp_path, frames, payload_bytes=20)
    assert same.key.tolist() == cut.key.tolist()
    headless = one(kit, tmp_path, [*frames, kit.numbered(1)[0][:30]])
    assert (len(headless), headless.others) == (4, 1)


def test_rtp(kit, tmp_path):
    packets = [kit.rtp(n, bytes([n % 7]) * 30) for n in range(20)]
    changed = [kit.rtp(n, b"other" * 6) for n in range(20)]
    rtcp = struct.pack(">BBH", 0x80, 200, 6) + bytes(24)
    found = [
        one(kit, tmp_path, [kit.ethernet(kit.ipv4(kit.udp(p))) for p in each])
        for each in (packets, changed, [rtcp, b"plain text here"])
    ]
    assert found[0].head.tolist() == [int.from_bytes(packet[:8]) for packet in packets]
    assert found[1].head.tolist() == found[0].head.tolist()
    assert set(found[0].tag.tolist()) == {99}
    assert not found[2].head.any()
    assert not found[2].tag.any()


def test_tcp_numbers(kit, tmp_path):
    packets = [kit.tcp(bytes(n), sequence=2**32 - 3 + n) for n in range(3)]
    found = one(kit, tmp_path, [kit.ethernet(kit.ipv4(p, protocol=6)) for p in packets])
    assert found.head.tolist() == [(2**32 - 3 + n) << 32 | 7 for n in range(3)]
    assert found.tag.tolist() == [0x18 << 24 | n for n in range(3)]


def test_without_addresses_translated_packets_have_equal_keys(kit, tmp_path):
    def frames(ends, ports):
        return [
            kit.ethernet(kit.ipv4(body, ends, protocol=protocol))
            for n in range(5)
            for protocol, body in (
                (17, kit.udp(bytes([n]) * 9, ports)),
                (6, kit.tcp(bytes([n]) * 9, ports, sequence=n)),
            )
        ]

    inside = frames(("10.0.0.1", "10.0.0.2"), (1000, 2000))
    outside = frames(("192.0.2.1", "10.0.0.2"), (40000, 2000))
    found = [one(kit, tmp_path, each, addresses=False) for each in (inside, outside)]
    assert found[0].key.tolist() == found[1].key.tolist()
    assert len(set(found[0].key.tolist())) == 10
    assert found[0].names != found[1].names
    known = [one(kit, tmp_path, each) for each in (inside, outside)]
    assert not set(known[0].key.tolist()) & set(known[1].key.tolist())


def body_of(kit, kind, rng):
    payload = rng.randbytes(rng.choice([0, 1, 11, 12, 40, 64, 90]))
    ports = rng.choice([(1000, 2000), (5, 6)])
    if kind == 17:
        rtp = kit.rtp(rng.randrange(9), payload, rng.randrange(2**32))
        return kit.udp(rng.choice([payload, rtp]), ports)
    if kind == 6:
        options = 4 * rng.randrange(0, 11)
        head = bytearray(kit.tcp(bytes(options) + payload, ports, rng.randrange(2**32)))
        head[12:14] = bytes([(5 + options // 4) << 4, rng.randrange(256)])
        return bytes(head)
    return payload


def any_frame(kit, rng):
    kind = rng.choice([17, 17, 6, 1])
    body = body_of(kit, kind, rng)
    if rng.random() < 0.2:
        packet = kit.ipv6(body, protocol=kind)
    else:
        part = rng.choice([0, 0, 0, 0x4000, 0x2000, 0x2010, 0x10])
        options = rng.choice([b"", b"", bytes([1] * 8)])
        packet = kit.ipv4(body, protocol=kind, ident=rng.randrange(9), part=part, options=options)
    frame = bytearray(kit.ethernet(packet, rng.choice([[], [(0x8100, 1)]])))
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        frame[rng.randrange(len(frame))] = rng.randrange(256)
    return bytes(frame[: rng.choice([len(frame), rng.randrange(1, len(frame) + 1)])])


@given(seed=st.integers(0, 2**32), addresses=st.booleans(), payload_bytes=st.integers(0, 64))
def test_the_quick_way_gives_the_same_columns(kit, seed, addresses, payload_bytes):
    rng = random.Random(seed)
    frames = [any_frame(kit, rng) for _ in range(40)]
    ends = np.cumsum([len(frame) for frame in frames])
    buffer = np.frombuffer(b"".join(frames) + rng.randbytes(128), dtype=np.uint8)
    captured = np.array([len(frame) for frame in frames])
    one = np.ones(len(frames), dtype=np.int64)
    records = Records(ends - captured, captured, captured, one, one)
    quick, slow = (
        columns(buffer, records, payload_bytes, addresses=addresses, plain=plain)
        for plain in (True, False)
    )
    for each in fields(quick):
        ours, theirs = getattr(quick, each.name), getattr(slow, each.name)
        assert ours.dtype == theirs.dtype, each.name
        assert ours.tolist() == theirs.tolist(), each.name


def fragments(kit, ident, payload, ports=(1000, 2000), size=24):
    """An IPv4 datagram in pieces."""
    whole = kit.udp(payload, ports)
    places = range(0, len(whole), size)
    return [
        kit.ethernet(
            kit.ipv4(
                whole[at : at + size],
                ident=ident,
                part=at // 8 | (0x2000 if at + size < len(whole) else 0),
            )
        )
        for at in places
    ]


def test_fragments_belong_to_the_flow_of_their_first(kit, tmp_path):
    one_ = fragments(kit, 1, bytes(80))
    two = fragments(kit, 2, b"other" * 12, ports=(5, 6))
    mixed = [one_[0], two[2], one_[1], two[0], one_[2], two[1], one_[3]]
    found = one(kit, tmp_path, mixed)
    assert found.fragments == 0
    names = [str(found.names[n]) for n in found.flow]
    here, there = UDP_FLOW, "UDP 10.0.0.1:5 > 10.0.0.2:6"
    assert names == [here, there, here, there, here, there, here]
    assert len(found.names) == len(found.ids) == 2
    assert len(set(found.key.tolist())) == len(mixed)


def test_fragments_without_their_first_are_counted(kit, tmp_path):
    first, *later = fragments(kit, 1, bytes(80))
    found = one(kit, tmp_path, [*kit.numbered(2), *later])
    assert (found.fragments, len(found)) == (3, 5)
    assert {str(name) for name in found.names} == {UDP_FLOW, "UDP 10.0.0.1:0 > 10.0.0.2:0"}
    long_after = kit.pcap([(0, first), (61_000_000_000, later[0]), (61_000_000_001, later[1])])
    found = read_capture(kit.save(tmp_path / "b.pcap", long_after))
    assert found.fragments == 2


def test_an_identification_that_comes_again_means_the_nearest_first_fragment(kit, tmp_path):
    frames, names = [], []
    for n in range(6):
        ports = (1000 + n, 2000)
        first, *later = fragments(kit, 7, bytes(80), ports)
        second = 1_000_000_000 * 20 * n
        pieces = [*later, first] if n % 2 else [first, *later]
        frames += [(second + place, piece) for place, piece in enumerate(pieces)]
        names += [ports[0]] * len(pieces)
    found = read_capture(kit.save(tmp_path / "a.pcap", kit.pcap(frames)))
    assert found.fragments == 0
    assert [found.names[n].source_port for n in found.flow] == names


def test_ipv6_fragments(kit, tmp_path):
    whole = kit.udp(bytes(range(40)))

    def piece(at, more, ident):
        head = struct.pack(">HI", at | more, ident)
        body = whole[at : at + 24]
        return kit.ethernet(kit.ipv6(body, extensions=[(44, head)]))

    found = one(kit, tmp_path, [piece(24, 0, 7), piece(0, 1, 7), piece(24, 0, 8)])
    assert found.fragments == 1
    assert [str(found.names[n]) for n in found.flow][:2] == [
        "UDP [fd00::1]:1000 > [fd00::2]:2000"
    ] * 2


def test_more_flows_than_slots(kit, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.captures.flows._SLOTS", 4)
    monkeypatch.setattr("bench.captures.flows.BATCH", 7)
    frames = [kit.numbered(1, ports=(n % 23 + 1, n % 5 + 1))[0] for n in range(300)]
    found = one(kit, tmp_path, frames)
    assert len(found.names) == 115
    names = [(found.names[n].source_port, found.names[n].destination_port) for n in found.flow]
    assert names == [(n % 23 + 1, n % 5 + 1) for n in range(300)]
