"""Pairs between two taps: never a wrong one, and every packet counted once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.captures.matching import MISSING, Arrival, Fate, Tap, Watch, pair

MS = 1_000_000
ALWAYS = Watch(-(1 << 60), 1 << 60)


def tap(rows):
    """Rows of (time in ns, key), sorted by time."""
    rows = sorted(rows, key=lambda row: row[0])
    times = np.array([t for t, _ in rows], dtype=np.int64)
    return Tap(times, np.array([key for _, key in rows], dtype=np.uint64))


def carry(keys, delays_ns, gap_ns=MS, lost=(), twice=()):
    """Send ``keys`` and let them arrive; also the true sender of each arrival."""
    sent = [(n * gap_ns, key) for n, key in enumerate(keys)]
    got = [
        (n * gap_ns + delays_ns[n] + again * 1000, key, n)
        for n, key in enumerate(keys)
        if n not in lost
        for again in range(2 if n in twice else 1)
    ]
    got.sort(key=lambda row: row[0])
    return tap(sent), tap([row[:2] for row in got]), [row[2] for row in got]


def counts(found):
    return {fate.name: found.count(fate) for fate in Fate}


def check(found, truth):
    """Counts add up, and no pair is wrong."""
    assert sum(counts(found).values()) == len(found.sent_ns)
    assert sum(found.count(kind) for kind in Arrival) == len(found.got_ns)
    paired = np.flatnonzero(found.place != MISSING)
    assert len(paired) == found.count(Fate.ARRIVED) == found.count(Arrival.PAIRED)
    assert len(set(found.place[paired].tolist())) == len(paired)
    assert [truth[at] for at in found.place[paired].tolist()] == paired.tolist()


def test_unique_packets_with_loss_duplicates_and_reordering():
    delays = [20 * MS + (5 * MS if n % 7 == 0 else 0) for n in range(200)]
    sent, got, truth = carry(range(200), delays, lost={3, 50}, twice={4, 60})
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found) == {"LOST": 2, "ARRIVED": 198, "IN_FLIGHT": 0, "AMBIGUOUS": 0}
    assert found.count(Arrival.DUPLICATE) == 2
    assert found.received_ns[3] == MISSING
    assert found.received_ns[7] == 7 * MS + 25 * MS


def test_alien_arrivals_are_unmatched():
    sent, got, _ = carry(range(50), [MS] * 50)
    more = Tap(np.append(got.t_ns, 99 * MS), np.append(got.key, np.uint64(999)))
    assert pair(sent, more, ALWAYS).count(Arrival.UNMATCHED) == 1


def test_in_flight_at_the_edges():
    delays = [20 * MS + n % 3 * MS for n in range(100)]
    sent, got, _ = carry(range(100), delays)
    seen = (got.t_ns >= 40 * MS) & (got.t_ns <= 90 * MS)
    found = pair(sent, Tap(got.t_ns[seen], got.key[seen]), Watch(40 * MS, 90 * MS))
    arrived = int(seen.sum())
    assert counts(found) == {
        "LOST": 0, "ARRIVED": arrived, "IN_FLIGHT": 100 - arrived, "AMBIGUOUS": 0,
    }  # fmt: skip


def test_loss_before_the_end_is_loss():
    sent, got, _ = carry(range(100), [5 * MS] * 100, lost={50})
    assert pair(sent, got, Watch(5 * MS, 104 * MS)).count(Fate.LOST) == 1


def heartbeats(count, every):
    """Numbered packets, and each so often the same one."""
    return [0 if n % every == 0 else n for n in range(count)]


def test_repeated_packets_pair_in_order_between_unique_ones():
    keys = heartbeats(400, 5)
    sent, got, truth = carry(keys, [50 * MS] * 400)
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert found.count(Fate.ARRIVED) == 400


def test_a_lost_heartbeat_is_found_by_its_neighbours():
    keys = heartbeats(400, 5)
    sent, got, truth = carry(keys, [50 * MS] * 400, lost={100, 101, 205})
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found) == {"LOST": 3, "ARRIVED": 397, "IN_FLIGHT": 0, "AMBIGUOUS": 0}


def test_neighbours_alike_of_which_one_is_lost_are_ambiguous():
    keys = [0 if n in (100, 101) else n + 1 for n in range(300)]
    rng = np.random.default_rng(1)
    delays = np.sort(rng.integers(0, 10 * MS, 300)) + 50 * MS
    sent, got, truth = carry(keys, delays.tolist(), lost={100})
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found)["AMBIGUOUS"] == 2
    assert found.count(Arrival.AMBIGUOUS) == 1


def test_loss_and_duplication_of_neighbours_alike_are_not_taken_for_two_arrivals():
    keys = [0 if n in (100, 101) else n + 1 for n in range(300)]
    delays = (50 * MS + np.arange(300) * 20_000).tolist()
    sent, got, truth = carry(keys, delays, lost={100}, twice={101, 7})
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found)["AMBIGUOUS"] == 2
    assert found.count(Arrival.AMBIGUOUS) == 2


def test_identical_packets_only_are_never_guessed():
    sent, got, truth = carry([7] * 100, [50 * MS] * 100)
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found)["AMBIGUOUS"] == 100
    assert found.count(Arrival.AMBIGUOUS) == 100


def test_repeated_on_a_reordering_path_far_apart():
    """No order to go by: the range of the delays decides."""
    rng = np.random.default_rng(2)
    keys = heartbeats(2000, 40)
    delays = rng.integers(10 * MS, 15 * MS, 2000).tolist()
    sent, got, truth = carry(keys, delays, lost={40, 41, 800}, twice={80, 81})
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found) == {"LOST": 3, "ARRIVED": 1997, "IN_FLIGHT": 0, "AMBIGUOUS": 0}
    assert found.count(Arrival.DUPLICATE) == 2


def test_repeated_on_a_reordering_path_close_together_is_ambiguous():
    rng = np.random.default_rng(3)
    keys = heartbeats(2000, 3)
    delays = rng.integers(10 * MS, 30 * MS, 2000).tolist()
    sent, got, truth = carry(keys, delays, lost={30})
    found = pair(sent, got, ALWAYS)
    assert counts(found)["AMBIGUOUS"] > 600
    check(found, truth)


def test_nothing_arrived():
    found = pair(tap([(1, 1), (2, 2)]), tap([]), ALWAYS)
    assert counts(found)["LOST"] == 2
    assert found.received_ns.tolist() == [MISSING, MISSING]


@st.composite
def traffic(draw):
    """A flow in which copies of one packet are further apart than delays can vary."""
    count = draw(st.integers(60, 300))
    kinds = draw(st.integers(0, 3))
    spread = draw(st.sampled_from([0, 100, 2000, 8_000]))  # µs
    apart = 40  # packets, of 1 ms: more than four times the spread
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    keys = list(range(10, count + 10))
    for kind in range(kinds):
        for place in range(int(rng.integers(0, apart)), count, apart + int(rng.integers(0, 9))):
            keys[place] = kind
    delays = 20 * MS + rng.integers(0, spread * 1000 + 1, count)
    if draw(st.booleans()):  # a path that keeps the order
        arrivals = np.maximum.accumulate(delays + np.arange(count) * MS)
        delays = arrivals - np.arange(count) * MS
    lost = set(np.flatnonzero(rng.random(count) < draw(st.sampled_from([0, 0.02, 0.2]))).tolist())
    twice = set(np.flatnonzero(rng.random(count) < draw(st.sampled_from([0, 0.02]))).tolist())
    return keys, delays.tolist(), lost, twice - lost


@given(traffic())
def test_unambiguous_traffic_is_paired_without_fault(given_traffic):
    keys, delays, lost, twice = given_traffic
    sent, got, truth = carry(keys, delays, lost=lost, twice=twice)
    found = pair(sent, got, ALWAYS)
    check(found, truth)
    assert counts(found)["AMBIGUOUS"] == 0
    assert counts(found)["LOST"] == len(lost)
    assert found.count(Arrival.DUPLICATE) == len(twice)
    assert found.count(Arrival.UNMATCHED) == 0


@given(
    keys=st.lists(st.integers(0, 12), min_size=1, max_size=80),
    got=st.lists(st.integers(0, 14), max_size=80),
    spread=st.integers(0, 20),
)
def test_any_traffic_counts_add_up(keys, got, spread):
    sent = tap([(n * MS, key) for n, key in enumerate(keys)])
    arrivals = tap([(n * MS * spread // 10, key) for n, key in enumerate(got)])
    found = pair(sent, arrivals, Watch(0, 80 * MS))
    assert sum(counts(found).values()) == len(keys)
    assert sum(found.count(kind) for kind in Arrival) == len(got)
    paired = found.place[found.place != MISSING]
    assert len(set(paired.tolist())) == len(paired) == found.count(Arrival.PAIRED)
    rows = np.flatnonzero(found.place != MISSING)
    assert np.array_equal(sent.key[rows], arrivals.key[paired])


@pytest.mark.parametrize("count", [3, 10, 31])
def test_few_unique_packets_widen_what_is_possible(count):
    """Three delays say little of the others: what they do not exclude stays ambiguous."""
    keys = [5 if n % 2 else n + 10 for n in range(2 * count)]
    delays = [20 * MS + n % 3 * MS // 2 for n in range(2 * count)]
    delays[1] = 40 * MS  # the path does not keep the order
    sent, got, truth = carry(keys, delays)
    check(pair(sent, got, ALWAYS), truth)
