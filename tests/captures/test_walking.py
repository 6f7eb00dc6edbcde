"""Walking many places at once finds what walking record by record finds, whatever the bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.captures import blocks, walking
from bench.captures.blocks import Damaged, PcapngWalker, PcapWalker

SECOND = 1_700_000_000


def record(payload, second=SECOND, length=None):
    kept = len(payload) if length is None else length
    return struct.pack("<IIII", second, 5, kept, kept) + payload


def block(payload, kind=6):
    payload += bytes(-len(payload) % 4)
    size = len(payload) + 32
    body = struct.pack("<IIIII", 0, 0, 9, len(payload), max(1, len(payload))) + payload
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


INTERFACE = struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)
STATISTICS = struct.pack("<IIIIII", 5, 24, 0, 0, 0, 24)
SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
TURNED = struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)

# what a payload may hold to lead a walker astray: a header, or several, on or off the chain
DECOYS = [
    record(b"", length=9),
    record(b"x" * 30) * 3,
    record(b"", length=100_000),
    record(b"", length=0),
    block(b"y" * 20) * 3,
    struct.pack("<II", 6, 8),
    SECTION,
]

payloads = st.one_of(
    st.binary(max_size=80),
    st.builds(
        lambda front, decoy, back: front + decoy + back,
        st.binary(max_size=9), st.sampled_from(DECOYS), st.binary(max_size=9),
    ),
)  # fmt: skip


def one_by_one(make, buffer, end, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(walking, "SAMPLE", 1 << 40)
        return outcome(make(), buffer, end)


def outcome(walker, buffer, end):
    try:
        found, used = walker.walk(buffer, end)
    except Damaged as damage:
        return damage.at, damage.why
    names = ("at", "captured", "length", "link", "t_ns")
    columns = [np.concatenate([getattr(each, name) for each in found]).tolist() for name in names]
    return columns, used, len(walker.interfaces), walker.dropped


def check(make, data, end, monkeypatch):
    buffer = np.zeros(len(data) + 128, dtype=np.uint8)
    buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    slow = one_by_one(make, buffer, end, monkeypatch)
    with monkeypatch.context() as patch:
        for name, value in (("SAMPLE", 4), ("STRIDE", 10)):
            patch.setattr(walking, name, value)
        assert outcome(make(), buffer, end) == slow
    return slow


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@given(
    bodies=st.lists(payloads, min_size=40, max_size=120),
    cut=st.integers(0, 200),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3),
)
def test_pcap(patched, bodies, cut, flips):
    data = bytearray(b"".join(record(each or b"0") for each in bodies))
    for place, value in flips:
        data[place % len(data)] = value
    check(lambda: PcapWalker("<", 1, 1_000_000_000), bytes(data), max(1, len(data) - cut), patched)


@given(
    bodies=st.lists(
        st.one_of(
            st.builds(block, payloads), st.just(STATISTICS), st.just(INTERFACE),
            st.builds(lambda body: block(body, 2), payloads),
        ),
        min_size=40, max_size=120,
    ),
    second=st.sampled_from([b"", SECTION + INTERFACE, TURNED]),
    cut=st.integers(0, 200),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3),
)  # fmt: skip
def test_pcapng(patched, bodies, second, cut, flips):
    half = len(bodies) // 2
    data = SECTION + INTERFACE + b"".join(bodies[:half]) + second + b"".join(bodies[half:])
    data = bytearray(data)
    for place, value in flips:
        data[place % len(data)] = value
    check(PcapngWalker, bytes(data), max(12, len(data) - cut), patched)


def test_decoys_in_every_packet_are_not_believed(monkeypatch):
    """All walkers start in payloads that look like chains of their own."""
    decoy = record(b"x" * 24) * 40
    data = b"".join(record(bytes(n % 50) + decoy) for n in range(300))
    found = check(lambda: PcapWalker("<", 1, 1_000_000_000), data, len(data), monkeypatch)
    assert len(found[0][0]) == 300


def test_most_records_are_found_in_step(monkeypatch):
    """Not by falling back: few records are walked one by one."""
    rng = np.random.default_rng(3)
    data = b"".join(record(rng.bytes(int(size))) for size in rng.integers(40, 1400, 5000))
    walked = []
    own = blocks._PcapRecords.follow
    monkeypatch.setattr(
        blocks._PcapRecords,
        "follow",
        lambda *given: walked.append(found := own(*given)) or found,
    )
    buffer = np.zeros(len(data) + 128, dtype=np.uint8)
    buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    found, used = PcapWalker("<", 1, 1_000_000_000).walk(buffer, len(data))
    assert (sum(len(each) for each in found), used) == (5000, len(data))
    assert sum(len(places) for places, _ in walked) < 200
