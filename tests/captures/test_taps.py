"""Two captures of one path: flows, ways, and every pair of files that cannot be right."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bench.captures.matching import Fate
from bench.captures.taps import compare, read_captures
from bench.errors import InputError

MS = 1_000_000
ENDS = ("10.0.0.1", "10.0.0.2")
BACK = ENDS[::-1]


def frames(kit, count=200, start=0, ends=ENDS, ports=(1000, 2000)):
    made = kit.numbered(count, ends=ends, ports=ports)
    return [(kit.START_NS + start + n * MS, frame) for n, frame in enumerate(made)]


def later(rows, by_ns):
    return [(t_ns + by_ns, frame) for t_ns, frame in rows]


def taps(kit, tmp_path, left, right):
    paths = [tmp_path / "left.pcap", tmp_path / "right.pcap"]
    for path, rows in zip(paths, (left, right), strict=True):
        kit.save(path, kit.pcap(sorted(rows, key=lambda row: row[0])))
    return compare(*read_captures(*paths))


def test_both_directions(kit, tmp_path):
    there = frames(kit)
    back = frames(kit, 150, ends=BACK, ports=(2000, 1000))
    found = taps(kit, tmp_path, there + later(back, 30 * MS), later(there, 20 * MS) + back)
    ways = {
        flow.name.source: (flow.forward, flow.pairs.count(Fate.ARRIVED)) for flow in found.flows
    }
    assert ways == {"10.0.0.1": (True, 200), "10.0.0.2": (False, 150)}
    delays = {
        flow.forward: set((flow.pairs.received_ns - flow.pairs.sent_ns).tolist())
        for flow in found.flows
    }
    assert delays == {True: {20 * MS}, False: {30 * MS}}


def test_different_snaplens_pair_all_the_same(kit, tmp_path):
    rows = frames(kit)
    left = kit.save(tmp_path / "l.pcap", kit.pcap(rows))
    right = kit.save(tmp_path / "r.pcap", kit.pcap(later(rows, MS), snap=62))
    found = compare(*read_captures(left, right))
    assert found.flows[0].pairs.count(Fate.ARRIVED) == 200


def test_identification_tells_equal_payloads_apart_unless_it_is_rewritten(kit, tmp_path):
    def row(n, ident):
        payload = b"same" if n % 2 else struct.pack(">I", n)
        return kit.START_NS + n * MS, kit.ethernet(kit.ipv4(kit.udp(payload), ident=ident))

    rng = np.random.default_rng(1)
    delays = rng.integers(5 * MS, 30 * MS, 300)
    left = [row(n, n + 1) for n in range(300)]
    kept = [(t + int(d), f) for (t, f), d in zip(left, delays, strict=True)]
    found = taps(kit, tmp_path, left, kept)
    assert found.flows[0].pairs.count(Fate.ARRIVED) == 300
    rewritten = [(row(n, 0)[0] + int(d), row(n, 0)[1]) for n, d in enumerate(delays)]
    found = taps(kit, tmp_path, left, rewritten)
    assert found.flows[0].pairs.count(Fate.ARRIVED) >= 150
    assert found.flows[0].pairs.count(Fate.LOST) == 0


def test_rtp_pairs_by_its_header_also_where_the_payload_changed(kit, tmp_path):
    def rows(body):
        made = [kit.ethernet(kit.ipv4(kit.udp(kit.rtp(n, body)))) for n in range(100)]
        return [(kit.START_NS + n * MS, frame) for n, frame in enumerate(made)]

    found = taps(kit, tmp_path, rows(b"before"), later(rows(b"behind"), 5 * MS))
    assert found.flows[0].pairs.count(Fate.ARRIVED) == 100


def alike(kit, ends):
    same = kit.ethernet(kit.ipv4(kit.udp(b"same", (5, 6)), ends))
    return [(kit.START_NS + n * MS, same) for n in range(50)]


def test_flows_in_which_all_look_alike_are_ambiguous(kit, tmp_path):
    rows = frames(kit) + alike(kit, ENDS)
    found = taps(kit, tmp_path, rows, later(rows, 20 * MS))
    assert [flow.pairs.count(Fate.AMBIGUOUS) for flow in found.flows] == [0, 50]
    assert found.undirected == (0, 0)


def test_nothing_is_said_of_them_where_no_flow_of_the_same_hosts_shows_way_and_delay(kit, tmp_path):
    rows = frames(kit) + alike(kit, ("10.0.0.3", "10.0.0.4"))
    found = taps(kit, tmp_path, rows, later(rows, 20 * MS))
    assert found.undirected == (50, 50)
    assert len(found.flows) == 1


def refused(kit, tmp_path, left, right):
    with pytest.raises(InputError) as caught:
        taps(kit, tmp_path, left, right)
    assert caught.value.remedy
    assert "left.pcap" in str(caught.value) or "right.pcap" in str(caught.value)
    return str(caught.value)


def test_wrong_order_of_the_files(kit, tmp_path):
    rows = frames(kit)
    said = refused(kit, tmp_path, later(rows, 20 * MS), rows)
    assert "earlier in the second capture than in the first, by 20 ms" in said
    assert "give the two files in the other order" in said


def test_no_common_packets(kit, tmp_path):
    said = refused(kit, tmp_path, frames(kit), frames(kit, ends=("10.9.0.1", "10.9.0.2")))
    assert "no packets in common" in said
    other = kit.numbered(400)[200:]
    rows = [(kit.START_NS + n * MS, frame) for n, frame in enumerate(other)]
    assert "no packets in common" in refused(kit, tmp_path, frames(kit), rows)


def test_one_capture_twice(kit, tmp_path):
    assert "at the same instant" in refused(kit, tmp_path, frames(kit), frames(kit))


def test_clocks_further_apart_than_the_delay(kit, tmp_path):
    there, back = frames(kit), frames(kit, ends=BACK, ports=(2000, 1000))
    left = there + later(back, 20 * MS)
    right = later(later(there, 20 * MS) + back, 500 * MS)
    said = refused(kit, tmp_path, left, right)
    assert "both seem to go the same way" in said
    assert "synchronise the clocks" in said


def test_a_clock_that_is_set_back(kit, tmp_path):
    rows = frames(kit)
    arrived = later(rows[:100], 20 * MS) + later(rows[100:], 20 * MS - 5_000 * MS)
    path = kit.save(tmp_path / "left.pcap", kit.pcap(rows))
    stepped = kit.save(tmp_path / "right.pcap", kit.pcap(arrived))
    with pytest.raises(InputError, match=r"right.pcap: time goes back by 4.999 s after packet 100"):
        compare(*read_captures(path, stepped))


def test_a_clock_that_is_set_forward(kit, tmp_path):
    rows = frames(kit)
    left = rows[:100] + later(rows[100:], 3_000 * MS)
    said = refused(kit, tmp_path, left, later(rows, 20 * MS))
    assert "arrive before they are sent, by up to 2.98 s" in said
