"""Headers of every kind: flows, keys that hold on the path, and what tells packets apart."""

from __future__ import annotations

import struct

import pytest

from bench.captures.flows import read_capture

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
