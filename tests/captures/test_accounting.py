"""Whatever two captures hold: every packet is counted once, or the files are refused in words."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bench.captures.matching import Arrival, Fate
from bench.captures.rules import SequenceField, StreamRule
from bench.captures.taps import compare, read_captures
from bench.errors import InputError

MS = 1_000_000
RULES = [StreamRule("counter", 17, 2000, b"DV", SequenceField(2, 1))]


def flow(kit, rng):
    """A flow of RTP, of one payload, of a short counter, of numbers, or of noise; any times."""
    kind, port = int(rng.integers(0, 5)), int(rng.integers(1, 4))
    ends = [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")][int(rng.integers(0, 2))]
    rows = []
    for n in range(int(rng.integers(1, 60))):
        payload = (
            kit.rtp(n, b"x" * 20, ssrc=int(rng.integers(1, 4))),
            b"same",
            b"DV" + bytes([n % 7]) + bytes(20),
            struct.pack(">I", n),
            rng.bytes(int(rng.integers(0, 30))),
        )[kind]
        packet = kit.ipv4(kit.udp(payload, (port, 2000)), ends, ident=int(rng.integers(0, 3)))
        rows.append((kit.START_NS + int(rng.integers(0, 200)) * MS, kit.ethernet(packet)))
    return rows


def captures(kit, tmp_path, rng):
    left = [row for _ in range(int(rng.integers(1, 4))) for row in flow(kit, rng)]
    right = [
        (t + 20 * MS + (int(rng.integers(-5, 20)) * MS if rng.random() < 0.05 else 0), frame)
        for t, frame in left
        if rng.random() < 0.8
    ]
    if rng.random() < 0.3 or not right:
        right += flow(kit, rng)
    snap = int(rng.choice([50, 60, 65535]))
    paths = tmp_path / "left.pcap", tmp_path / "right.pcap"
    for path, rows, most in zip(paths, (left, right), (snap, 65535), strict=True):
        kit.save(path, kit.pcap(sorted(rows, key=lambda row: row[0]), snap=most))
    return paths


def account(found):
    """Packets of both captures, by where they went."""
    for each in found.flows:
        pairs = each.pairs
        assert len(pairs) == len(each.size) == sum(pairs.count(fate) for fate in Fate)
        assert len(pairs.got_ns) == len(each.got_size) == sum(pairs.count(kind) for kind in Arrival)
        assert len(each.number) in (0, len(pairs))
        assert each.rtp is None or len(each.rtp.sequence) == len(pairs)
        assert np.array_equal(pairs.may_be_lost & (pairs.fate != Fate.AMBIGUOUS.value),
                              np.zeros(len(pairs), dtype=bool))  # fmt: skip
        assert bool(np.all(pairs.earliest_ns <= pairs.latest_ns))
    shared = sum(len(each.pairs) + len(each.pairs.got_ns) for each in found.flows)
    alone = sum(count for _, count in found.unshared_left + found.unshared_right)
    return shared + alone + sum(found.undirected)


@pytest.mark.parametrize("nat", [False, True])
@pytest.mark.parametrize("part", range(4))
def test_every_packet_is_counted_once(kit, tmp_path, part, nat):
    paired, remedies = 0, []
    for seed in range(25 * part, 25 * part + 25):
        rng = np.random.default_rng(seed)
        paths = captures(kit, tmp_path, rng)
        rules = RULES if rng.random() < 0.5 else []
        try:
            found = compare(*read_captures(*paths, rules=rules, nat=nat), nat=nat)
        except InputError as error:
            remedies.append(error.remedy)
            continue
        paired += 1
        assert account(found) == len(found.left) + len(found.right)
    assert paired > 5
    assert all(remedies)
