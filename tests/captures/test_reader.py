"""Capture files of every kind give the same packets; bad ones a clear message."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.captures.flows import read_capture
from bench.captures.reader import CaptureReader
from bench.errors import InputError

COUNT = 50


@pytest.fixture
def frames(kit):
    return [(kit.START_NS + n * 1_234_567, f) for n, f in enumerate(kit.numbered(COUNT))]


def read(kit, tmp_path, data):
    return read_capture(kit.save(tmp_path / "a.pcap", data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_pcap(kit, tmp_path, frames, order, nanoseconds):
    found = read(kit, tmp_path, kit.pcap(frames, order=order, nanoseconds=nanoseconds))
    step = 1 if nanoseconds else 1000
    assert found.t_ns.tolist() == [t_ns // step * step for t_ns, _ in frames]
    assert found.resolution_s == step / 1e9
    assert [str(name) for name in found.names] == ["UDP 10.0.0.1:1000 > 10.0.0.2:2000"]
    assert set(found.size.tolist()) == {14 + 20 + 8 + 100}
    assert len(set(found.key.tolist())) == COUNT
    assert (found.others, found.truncated, found.dropped) == (0, False, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcap_of_a_patched_libpcap(kit, tmp_path, frames, order):
    plain = read(kit, tmp_path, kit.pcap(frames, nanoseconds=False))
    found = read(kit, tmp_path, kit.patched_pcap(frames, order))
    assert found.t_ns.tolist() == plain.t_ns.tolist()
    assert found.key.tolist() == plain.key.tolist()


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_is_pcap(kit, tmp_path, frames, order):
    plain = read(kit, tmp_path, kit.pcap(frames))
    found = read(kit, tmp_path, kit.pcapng(frames, order=order))
    assert found.t_ns.tolist() == plain.t_ns.tolist()
    assert found.key.tolist() == plain.key.tolist()


@pytest.mark.parametrize(
    ("resolution", "per_second"),
    [(None, 10**6), (3, 10**3), (6, 10**6), (9, 10**9), (12, 10**12), (0x80 | 20, 2**20),
     (0x80 | 32, 2**32), (0x80 | 10, 2**10)],
)  # fmt: skip
def test_time_resolutions(kit, tmp_path, resolution, per_second):
    frame = kit.numbered(1)[0]
    ticks = [7 * per_second, 7 * per_second + per_second // 4 + 1]
    data = kit.section() + kit.interface(resolution=resolution, offset_s=1000)
    data += b"".join(kit.enhanced(0, tick, frame) for tick in ticks)
    found = read(kit, tmp_path, data)
    exact = [1000 * 10**9 + tick * 10**9 // per_second for tick in ticks]
    assert found.t_ns.tolist() == pytest.approx(exact, abs=1)
    assert found.resolution_s == max(1e-9, 1 / per_second)


def test_several_interfaces_sections_and_blocks_of_other_kinds(kit, tmp_path):
    one, two, three, four = kit.numbered(4)
    data = (
        kit.section()
        + kit.interface(resolution=6)
        + kit.block(0x0BAD, b"custom!!")
        + kit.interface(link=101, resolution=9)
        + kit.enhanced(0, 5_000_000, one, comment="a comment")
        + kit.enhanced(1, 6_000_000_000, two[14:])
        + kit.statistics(0, 3)
        + kit.statistics(1, 4)
        + kit.section(">")
        + kit.interface(">", resolution=9)
        + kit.enhanced(0, 7_000_000_000, three, ">")
        + kit.block(3, struct.pack(">I", len(four)) + four + bytes(-len(four) % 4), ">")
    )
    found = read(kit, tmp_path, data)
    assert found.t_ns.tolist() == [5 * 10**9, 6 * 10**9, 7 * 10**9]
    assert len(found.names) == 1
    assert found.dropped == 7
    assert found.without_time == 1
    assert found.size.tolist() == [142] * 3


def test_old_packet_blocks(kit, tmp_path):
    frame = kit.numbered(1)[0]
    body = struct.pack("<HHIIII", 0, 2, 0, 5_000_000, len(frame), len(frame)) + frame
    data = kit.section() + kit.interface() + kit.block(2, body + bytes(-len(frame) % 4))
    assert read(kit, tmp_path, data).t_ns.tolist() == [5 * 10**9]


def test_truncated_last_record_is_used_up_to_there(kit, tmp_path, frames):
    for data in (kit.pcap(frames), kit.pcapng(frames)):
        whole = read(kit, tmp_path, data)
        for cut in (1, 10, 100, 141):
            found = read(kit, tmp_path, data[:-cut])
            assert found.truncated
            assert found.key.tolist() == whole.key.tolist()[:-1]


def test_pieces_smaller_than_the_file_change_nothing(kit, tmp_path, frames, monkeypatch):
    whole = [read(kit, tmp_path, write(frames)) for write in (kit.pcap, kit.pcapng)]
    for piece in (211, 300, 1000, 4096):
        monkeypatch.setattr("bench.captures.reader.PIECE", piece)
        for before, write in zip(whole, (kit.pcap, kit.pcapng), strict=True):
            found = read(kit, tmp_path, write(frames))
            assert found.t_ns.tolist() == before.t_ns.tolist()
            assert found.key.tolist() == before.key.tolist()
            assert not found.truncated


def test_memory_is_bounded_by_the_piece(kit, tmp_path, frames, monkeypatch):
    monkeypatch.setattr("bench.captures.reader.PIECE", 1000)
    path = kit.save(tmp_path / "a.pcap", kit.pcap(frames))
    sizes = [(len(buffer), len(records)) for buffer, records in CaptureReader(path)]
    assert all(size < 1200 and count <= 6 for size, count in sizes)
    assert sum(count for _, count in sizes) == COUNT


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"time,delay\n1,2\n3,4\n5,6\n7,8", "not a capture"),
    "short": (b"\xd4\xc3", "not a capture"),
    "gzip": (b"\x1f\x8b" + bytes(40), "is packed (gzip)"),
    "zeros": (bytes(100), "not a capture"),
}


@pytest.mark.parametrize("case", BAD)
def test_not_a_capture(kit, tmp_path, case):
    data, words = BAD[case]
    with pytest.raises(InputError) as caught:
        read(kit, tmp_path, data)
    assert words in str(caught.value)
    assert str(tmp_path / "a.pcap") in str(caught.value)
    assert caught.value.remedy


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_capture(tmp_path / "none.pcap")
    with pytest.raises(InputError, match="cannot be read"):
        read_capture(tmp_path)


def test_no_packets(kit, tmp_path):
    with pytest.raises(InputError, match="holds no packets"):
        read(kit, tmp_path, kit.pcap([]))
    arp = bytes(12) + b"\x08\x06" + bytes(46)
    with pytest.raises(InputError, match="no IP packet among its 2"):
        read(kit, tmp_path, kit.pcap([(1, arp), (2, arp)]))


def test_damage_is_named_with_its_place_in_later_pieces(kit, tmp_path, frames, monkeypatch):
    monkeypatch.setattr("bench.captures.reader.PIECE", 1000)
    good, at = kit.pcap(frames), 24 + 30 * (16 + len(frames[0][1]))
    with pytest.raises(InputError, match=f"is damaged at byte {at}:"):
        read(kit, tmp_path, good[: at + 4] + b"\xff\xff\xff\xff" + good[at + 8 :])


def test_damage_is_named_with_its_place(kit, tmp_path, frames):
    good = kit.pcap(frames)
    record = 16 + len(frames[0][1])
    at = 24 + 3 * record
    wrong_fraction = good[: at + 4] + b"\xff\xff\xff\xff" + good[at + 8 :]
    endless = good[: at + 8] + b"\xff\xff\xff\x7f" + good[at + 12 :]
    for data in (wrong_fraction, endless):
        with pytest.raises(InputError, match=f"is damaged at byte {at}:"):
            read(kit, tmp_path, data)
    good = kit.pcapng(frames)
    at = len(good) - 4
    with pytest.raises(InputError, match="is damaged at byte"):
        read(kit, tmp_path, good[:at] + b"\x01\x00\x00\x00")
    with pytest.raises(InputError, match="is damaged"):
        read(kit, tmp_path, kit.section() + kit.enhanced(0, 1, frames[0][1]))  # no interface


def test_a_capture_that_is_still_being_written(kit, tmp_path, frames, monkeypatch):
    """Read while it grows: whole records only, and no more than was there."""
    monkeypatch.setattr("bench.captures.reader.PIECE", 1000)
    data = kit.pcap(frames)
    record = 16 + len(frames[0][1])
    there = 24 + 20 * record + 30
    path = kit.save(tmp_path / "a.pcap", data[:there])
    reader, seen = CaptureReader(path), 0
    for _, records in reader:
        seen += len(records)
        with path.open("ab") as file:
            file.write(data[there : there + 10])
            there += 10
    assert reader.truncated
    assert seen == 20
    with path.open("ab") as file:
        file.write(data[there:])
    assert len(read_capture(path)) == COUNT


def originals(kit):
    """Captures with something of everything."""
    fragment = kit.ethernet(kit.ipv4(bytes(24), part=0x2001))
    packets = [
        *kit.numbered(6, size=30),
        kit.ethernet(kit.ipv4(kit.udp(kit.rtp(1, bytes(20)))), [(0x88A8, 7), (0x8100, 5)]),
        kit.ethernet(kit.ipv4(kit.tcp(b"abc"), protocol=6, options=bytes([1] * 8))),
        kit.ethernet(kit.ipv6(kit.udp(b"x"), extensions=[(0, bytes(6)), (44, bytes(6))])),
        fragment,
        kit.ethernet(kit.ipv4(kit.udp(bytes(16)), part=0x2000)),
    ]
    frames = [(kit.START_NS + n * 1000, frame) for n, frame in enumerate(packets)]
    mixed = (
        kit.section() + kit.interface(resolution=9) + kit.interface(link=101, resolution=0x80 | 20)
        + b"".join(kit.enhanced(0, t_ns, frame, comment="why") for t_ns, frame in frames)
        + kit.enhanced(1, 1 << 50, packets[0][14:]) + kit.statistics(1, 3)
        + kit.section(">") + kit.interface(">", link=113, offset_s=-5)
        + kit.enhanced(0, 9, kit.cooked(packets[0][14:]), ">")
    )  # fmt: skip
    return [kit.pcap(frames, order=">", snap=60), kit.pcapng(frames), mixed, kit.pcap(frames * 30)]


changes = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "copy"]),
        st.integers(0, 1 << 16),
        st.binary(min_size=1, max_size=9) | st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f"]),
    ),
    max_size=6,
)


@settings(max_examples=300)
@given(which=st.integers(0, 3), made=changes, end=st.integers(0, 1 << 16) | st.just(1 << 16))
def test_mutated_captures_never_crash(kit, tmp_path_factory, which, made, end):
    data = bytearray(originals(kit)[which])
    for kind, place, value in made:
        at = place % (len(data) + 1)
        if kind == "set":
            data[at : at + len(value)] = value
        elif kind == "cut":
            del data[at : at + len(value)]
        elif kind == "insert":
            data[at:at] = value
        else:
            data[at:at] = data[: at // 2]
    path = kit.save(tmp_path_factory.mktemp("mutated") / "a.pcap", bytes(data[:end]))
    try:
        found = read_capture(path)
    except InputError:
        return
    assert len(found) + found.others + found.without_time <= len(data) // 12
    assert np.all(np.bincount(found.flow, minlength=len(found.names)) > 0)
    assert len(found.ids) == len(found.names)
    assert 0 <= found.fragments <= len(found)
