"""Pairs against the truth: what a simulated path did to every packet, and what two taps saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from bench.captures.matching import Arrival, Fate, Tap, Watch, pair

MS = 1_000_000
ALWAYS = (-(1 << 60), 1 << 60)


@dataclass
class Path:
    """Packets by number: when sent, with which key, and every arrival as (time, packet)."""

    sent_ns: np.ndarray
    key: np.ndarray
    arrivals: list[tuple[int, int]]
    near: tuple[int, int]
    far: tuple[int, int]


REPEATS = ("never", "random", "cycle", "heartbeat", "kinds")


def draw_keys(rng, count, repeats):
    keys = np.arange(1000, 1000 + count)
    if repeats == "random":
        keys[rng.random(count) < rng.choice([0.01, 0.1, 0.5])] = 7
    elif repeats == "cycle":
        keys = np.arange(count) % int(rng.integers(2, 300))
    elif repeats == "heartbeat":
        keys[:: int(rng.integers(2, 200))] = 3
    elif repeats == "kinds":
        some = rng.random(count) < 0.1
        keys[some] = rng.integers(0, 5, int(some.sum()))
        start = int(rng.integers(0, count - 10))
        keys[start : start + 4] = 9
    return keys


def draw_arrivals(rng, sent):
    """Delay and jitter, in order or not, an outage with a queue, 3 ms reordering, loss, copies."""
    count = len(sent)
    jitter = int(rng.choice([0, 20_000, 500_000, 3 * MS, 15 * MS]))
    at = sent + int(rng.integers(1, 60)) * MS + rng.integers(0, jitter + 1, count)
    if rng.random() < 0.5:
        at = np.maximum.accumulate(at)
    if rng.random() < 0.2:
        start, length = int(rng.integers(0, sent[-1] + 1)), int(rng.integers(10, 100)) * MS
        held = (at > start) & (at < start + length)
        at[held] = start + length + np.arange(held.sum()) * 1000
    if rng.random() < 0.5:
        moved = rng.random(count) < rng.choice([0.001, 0.01, 0.1])
        at[moved] += rng.integers(0, 3 * MS + 1, int(moved.sum()))
    lost = rng.random(count) < rng.choice([0, 0.001, 0.01, 0.1, 0.3])
    if rng.random() < 0.3:
        start = int(rng.integers(0, count))
        lost[start : start + int(rng.integers(1, 60))] = True
    twice = (rng.random(count) < rng.choice([0, 0, 0.001, 0.01, 0.1])) & ~lost
    rows = [(int(at[n]), n) for n in np.flatnonzero(~lost).tolist()]
    rows += [(int(at[n]) + int(rng.integers(0, 2 * MS)), n) for n in np.flatnonzero(twice).tolist()]
    return sorted(rows)


def draw_path(seed, repeats):
    rng = np.random.default_rng([seed, REPEATS.index(repeats)])
    count, gap = int(rng.integers(800, 3000)), int(rng.choice([200_000, MS, 5 * MS]))
    sent = np.cumsum(rng.integers(gap // 2, gap * 3 // 2, count))
    keys, arrivals = draw_keys(rng, count, repeats), draw_arrivals(rng, sent)
    span = int(sent[-1])
    windows = []
    for _ in range(2):  # captures that start later or end earlier, and overlap
        start, end = rng.integers(-span // 5, span // 4), rng.integers(span * 3 // 4, span * 6 // 5)
        windows.append((int(start), int(end)) if rng.random() < 0.5 else ALWAYS)
    return Path(sent, keys, arrivals, *windows)


def seen(path):
    """What the taps saw: packets, arrivals, and their numbers."""
    sent = np.flatnonzero((path.sent_ns >= path.near[0]) & (path.sent_ns <= path.near[1]))
    got = [row for row in path.arrivals if path.far[0] <= row[0] <= path.far[1]]
    return sent, np.array([t for t, _ in got]), np.array([number for _, number in got])


def judge(path):
    """Every fault of the pairing, by kind; and how many packets are ambiguous."""
    sent, got_ns, number = seen(path)
    near = Tap(path.sent_ns[sent], path.key[sent].astype(np.uint64))
    far = Tap(got_ns, path.key[number].astype(np.uint64))
    found = pair(near, far, Watch(*path.far), Watch(*path.near))
    first: dict[int, int] = {}
    for place, packet in enumerate(number.tolist()):
        first.setdefault(packet, place)
    faults = []
    for row, packet in enumerate(sent.tolist()):
        truth, fate = first.get(packet), Fate(found.fate[row])
        if fate is Fate.ARRIVED and found.place[row] != truth:
            faults.append("wrong pair")
        if fate in (Fate.LOST, Fate.IN_FLIGHT) and truth is not None:
            faults.append(f"{fate.name} but arrived")
        if fate is Fate.AMBIGUOUS and truth is None and not found.may_be_lost[row]:
            faults.append("surely arrived but did not")
        if fate is Fate.AMBIGUOUS and truth is not None:
            inside = found.earliest_ns[row] <= got_ns[truth] <= found.latest_ns[row]
            faults += [] if inside else ["arrived outside its bounds"]
    known = set(sent.tolist())
    for place, packet in enumerate(number.tolist()):
        kind = Arrival(found.kind[place])
        if kind is Arrival.UNMATCHED and packet in known:
            faults.append("unmatched but sent")
        if kind is Arrival.DUPLICATE and (packet not in known or first[packet] == place):
            faults.append("no duplicate")
    return Counter(faults), found


@pytest.mark.parametrize("repeats", REPEATS)
def test_no_pair_is_wrong_and_nothing_that_arrived_is_lost(repeats):
    ambiguous = {"ambiguous": 0, "all": 0}
    for seed in range(60):
        path = draw_path(seed, repeats)
        faults, found = judge(path)
        assert not faults, (seed, faults)
        ambiguous["ambiguous"] += found.count(Fate.AMBIGUOUS)
        ambiguous["all"] += len(found)
    if repeats == "never":
        assert ambiguous["ambiguous"] < 0.001 * ambiguous["all"]
    elif repeats != "cycle":
        assert ambiguous["ambiguous"] < 0.2 * ambiguous["all"]


@pytest.mark.parametrize("seed", range(20))
def test_loss_is_the_truth_where_nothing_repeats(seed):
    path = draw_path(seed, "never")
    path.near = path.far = ALWAYS
    faults, found = judge(path)
    arrived = {packet for _, packet in path.arrivals}
    assert not faults
    assert found.count(Fate.LOST) == len(path.sent_ns) - len(arrived)
    assert found.count(Arrival.DUPLICATE) == len(path.arrivals) - len(arrived)
    assert found.count(Arrival.UNMATCHED) == 0


def test_a_heartbeat_from_before_the_capture_is_no_pair():
    """Unique at the sending tap, but what arrives was sent before it captured."""
    sent = [(n * MS, 100 + n) for n in range(100)]
    got = [(t + 20 * MS, key) for t, key in sent]
    sent[40] = (40 * MS, 7)
    got[40] = (5 * MS, 7)  # sent at -15 ms; the one of 40 ms got lost
    taps = [
        Tap(np.array([t for t, _ in rows]), np.array([key for _, key in rows], dtype=np.uint64))
        for rows in (sent, sorted(got))
    ]
    found = pair(*taps, Watch(0, 200 * MS), Watch(0, 99 * MS))
    assert Fate(found.fate[40]) is Fate.LOST
    assert found.count(Fate.ARRIVED) == 99
    assert found.count(Arrival.UNMATCHED) == 1


def test_a_heartbeat_from_after_the_capture_is_not_taken_for_an_earlier_one():
    sent = [(n * MS, 100 + n) for n in range(100)]
    got = [(t + 20 * MS, key) for t, key in sent]
    sent[40] = (40 * MS, 7)
    got[40] = (300 * MS, 7)  # sent at 280 ms; the one of 40 ms got lost
    taps = [
        Tap(np.array([t for t, _ in rows]), np.array([key for _, key in rows], dtype=np.uint64))
        for rows in (sent, sorted(got))
    ]
    found = pair(*taps, Watch(0, 400 * MS), Watch(0, 99 * MS))
    assert Fate(found.fate[40]) is Fate.AMBIGUOUS
    assert found.may_be_lost.tolist() == [n == 40 for n in range(100)]
    assert found.earliest_ns[40] == found.latest_ns[40] == 300 * MS


def test_what_was_overtaken_by_all_later_packets_is_lost_not_in_flight():
    sent = [(n * MS, n) for n in range(100)]
    delays = [30 * MS if n == 10 else 20 * MS for n in range(100)]
    got = sorted(
        (t + delay, key) for (t, key), delay in zip(sent, delays, strict=True) if key != 85
    )
    seen_ = [row for row in got if row[0] <= 115 * MS]
    taps = [
        Tap(np.array([t for t, _ in rows]), np.array([key for _, key in rows], dtype=np.uint64))
        for rows in (sent, seen_)
    ]
    found = pair(*taps, Watch(0, 115 * MS))
    # Delays reach 30 ms, so what was sent after 85 ms may be on its way; 95 arrived though, and
    # nothing was overtaken by more than 9 ms.
    assert [Fate(value).name for value in found.fate[[85, 96, 99]]] == [
        "LOST",
        "IN_FLIGHT",
        "IN_FLIGHT",
    ]


def test_an_arrival_too_many_is_no_duplicate_while_a_packet_nearby_has_none():
    """A late packet next to its like: its arrival could be taken for a copy of the other's."""
    sent = [(n * MS, 1000 + n) for n in range(400)]
    sent[100], sent[102] = (100 * MS, 7), (102 * MS, 7)
    delay = [22_500_000 if n == 100 else 20 * MS for n in range(400)]
    got = sorted(
        (t + late, key, n) for n, ((t, key), late) in enumerate(zip(sent, delay, strict=True))
    )
    near = Tap(np.array([t for t, _ in sent]), np.array([key for _, key in sent], dtype=np.uint64))
    far = Tap(
        np.array([t for t, _, _ in got]), np.array([key for _, key, _ in got], dtype=np.uint64)
    )
    found = pair(near, far, Watch(*ALWAYS))
    for row in (100, 102):
        assert Fate(found.fate[row]) is Fate.AMBIGUOUS
        assert (found.earliest_ns[row], found.latest_ns[row]) == (122 * MS, 122_500_000)
    assert found.count(Fate.LOST) == found.count(Arrival.DUPLICATE) == 0
