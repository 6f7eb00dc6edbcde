"""Metrics on cases worked out by hand and against slow implementations of their standards."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure import metrics
from bench.measure.availability import availability, delivery, interruptions
from bench.measure.losses import loss_distances, noticeable_rate, runs, transitions
from bench.measure.pairing import pair
from bench.measure.reordering import reordering
from bench.measure.throughput import MOST_BINS, rates
from bench.sessions.packets import table

MS = 1_000_000


def flow(delays_ms, period_ms=10, size=142, end_ms=100_000):
    """Packets every period; ``None`` for one that never arrives."""
    rows = []
    for seq, delay in enumerate(delays_ms):
        sent = round(seq * period_ms * MS)
        rows.append((sent, 0, 0, 0, 1, seq, size))
        if delay is not None:
            rows.append((sent + round(delay * MS), 1, 0, 0, 1, seq, size))
    return pair(table(rows), 0, end_ms * MS)


def test_ipdv_of_consecutive_pairs_that_both_arrived():
    found = metrics.ipdv(flow([5, 8, None, 4, 4, 1]))
    assert found.tolist() == pytest.approx([0.003, 0.0, 0.003])


def test_pdv_is_counted_from_the_smallest():
    assert metrics.pdv(flow([5, 8, None, 4])).tolist() == pytest.approx([0.001, 0.004, 0.0])
    assert len(metrics.pdv(flow([None]))) == 0


@given(some.lists(some.integers(0, 200) | some.none(), max_size=40))
def test_rfc3550_jitter_like_the_code_of_its_appendix(delays):
    """RFC 3550, A.8, in arrival order: transit, d, jitter += (1/16) (d − jitter)."""
    arrivals = sorted(
        (seq * 10 + delay, seq, seq * 10) for seq, delay in enumerate(delays) if delay is not None
    )
    transit, jitter = None, 0.0
    for arrival, _, sent in arrivals:
        now = arrival - sent
        if transit is not None:
            jitter += (1.0 / 16.0) * (abs(now - transit) - jitter)
        transit = now
    found = metrics.rfc3550_jitter(flow(delays))
    if len(arrivals) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(jitter / 1e3, abs=1e-12)


@given(some.lists(some.booleans(), max_size=60))
def test_loss_periods_like_a_slow_count(arrived):
    """RFC 3357, 6.2: runs of consecutive losses."""
    runs, run = [], 0
    for ok in [*arrived, True]:
        if ok and run:
            runs.append(run)
        run = 0 if ok else run + 1
    found = flow([1 if ok else None for ok in arrived])
    assert metrics.loss_periods(found) == runs
    assert metrics.loss(found) == (arrived.count(False), len(arrived))


@given(some.permutations(range(12)))
def test_reordering_like_the_definition(order):
    """RFC 4737, 3.3: a packet is reordered if a later one arrived before it."""
    rows = [(seq, 0, 0, 0, 1, seq, 78) for seq in range(12)]
    rows += [(100 + place, 1, 0, 0, 1, seq, 78) for place, seq in enumerate(order)]
    slow = sum(any(before > seq for before in order[:i]) for i, seq in enumerate(order))
    assert metrics.reordering_ratio(pair(table(rows), 0, 1000)) == pytest.approx(slow / 12)


def test_ratios_of_nothing_are_no_number():
    for ratio in (metrics.reordering_ratio, metrics.duplication_ratio):
        assert math.isnan(ratio(flow([None])))


def test_duplication_ratio():
    rows = [(0, 0, 0, 0, 1, 0, 78), (5, 1, 0, 0, 1, 0, 78), (6, 1, 0, 0, 1, 0, 78)]
    assert metrics.duplication_ratio(pair(table(rows), 0, 1000)) == 1.0


def test_rate_counts_payload_without_headers():
    assert metrics.payload_rate_bps(flow([1] * 100), 1.0) == 100 * 100 * 8
    assert math.isnan(metrics.payload_rate_bps(flow([1]), 0.0))


def test_longest_gap_includes_the_edges():
    arrivals = np.array([100, 400, 500]) * MS
    assert metrics.longest_gap_s(arrivals, 0, 1000 * MS) == 0.5
    assert metrics.longest_gap_s(arrivals, 50 * MS, 600 * MS) == pytest.approx(0.3)
    assert metrics.longest_gap_s(arrivals[:0], 0, 1000 * MS) == 1.0


@given(some.lists(some.integers(-(10**9), 10**9), min_size=1, max_size=80), some.floats(0, 1))
def test_ranks_are_the_smallest_values_that_the_share_does_not_exceed(values, share):
    found = metrics.ranks(np.array(values), (share, 0.0, 1.0))
    slow = next(
        x for x in sorted(values) if sum(v <= x for v in values) >= share * len(values) - 1e-6
    )
    assert found == [slow, min(values), max(values)]


@given(some.lists(some.integers(0, 10**10), min_size=2, max_size=300))
def test_jitter_series_like_the_loop(transit):
    jitter, seen = 0.0, []
    for before, now in pairwise(transit):
        jitter += (abs(now - before) / 1e9 - jitter) / 16
        seen.append(jitter)
    final, largest, mean = metrics.jitter_of(np.array(transit))
    assert final == pytest.approx(seen[-1], rel=1e-12, abs=1e-15)
    assert largest == pytest.approx(max(seen), rel=1e-12, abs=1e-15)
    assert mean == pytest.approx(sum(seen) / len(seen), rel=1e-12, abs=1e-15)


def test_jitter_over_several_pieces(monkeypatch):
    transit = np.random.default_rng(3).integers(0, 10**8, 1000)
    whole = metrics.jitter_of(transit)
    monkeypatch.setattr(metrics, "_PIECE", 7)
    assert metrics.jitter_of(transit) == pytest.approx(whole, rel=1e-12)


# ---- loss patterns ---------------------------------------------------------------------------

RFC3357 = np.array([0, 1, 0, 0, 1, 0, 1, 0, 1, 1], dtype=bool)
"""The stream of RFC 3357, 5.5: its loss distances are 3, 2, 2, 1, in four loss periods."""


def test_loss_distance_and_period_of_the_example_in_rfc3357():
    assert loss_distances(RFC3357).tolist() == [3, 2, 2, 1]
    starts, lengths = runs(RFC3357)
    assert starts.tolist() == [1, 4, 6, 8]
    assert lengths.tolist() == [1, 1, 1, 2]
    assert noticeable_rate(RFC3357, 1) == 1 / 5
    assert noticeable_rate(RFC3357, 2) == 3 / 5
    assert noticeable_rate(np.zeros(3, dtype=bool), 1) is None


@given(some.lists(some.booleans(), max_size=60))
def test_transitions_like_a_slow_count(lost):
    pairs = list(pairwise(lost))
    p, r = transitions(np.array(lost, dtype=bool))
    good, bad = [b for a, b in pairs if not a], [b for a, b in pairs if a]
    assert p == (pytest.approx(sum(good) / len(good)) if good else None)
    assert r == (pytest.approx(sum(not b for b in bad) / len(bad)) if bad else None)


# ---- order -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "extents", "degrees"),
    [
        ([1, 2, 3, 5, 6, 7, 8, 4, 9, 10], [4], (1, 1, 1)),
        ([1, 2, 3, 4, 7, 5, 6, 8, 9, 10], [1, 2], (1, 0, 0)),
        ([1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11], [4, 5, 6], (1, 1, 1)),
    ],
)
def test_examples_of_rfc4737_section_7(order, extents, degrees):
    found = reordering(np.array(order), np.arange(len(order)) * MS)
    assert found.packets == len(extents)
    assert (found.extent_mean, found.extent_max) == (np.mean(extents), max(extents))
    assert found.n_reordered == degrees
    assert found.late_time_max == pytest.approx(max(extents) * 1e-3)


@given(some.permutations(range(14)), some.lists(some.integers(0, 5), min_size=14, max_size=14))
def test_reordering_like_its_definitions(order, steps):
    at = np.cumsum(steps) * MS
    extents, late, degrees = [], [], [0, 0, 0]
    for i, s in enumerate(order):
        earlier = [j for j in range(i) if order[j] > s]
        if not earlier:
            continue
        extents.append(i - earlier[0])
        late.append((at[i] - at[earlier[0]]) / 1e9)
        for n in (1, 2, 3):
            degrees[n - 1] += i >= n and all(order[j] > s for j in range(i - n, i))
    found = reordering(np.array(order), at)
    assert found.packets == len(extents)
    assert found.ratio == len(extents) / 14
    assert found.extent_max == (max(extents) if extents else None)
    assert found.extent_mean == (pytest.approx(np.mean(extents)) if extents else None)
    assert found.late_time_max == (pytest.approx(max(late)) if late else None)
    assert found.n_reordered == tuple(degrees)


def test_order_of_nothing():
    assert reordering(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).ratio is None


# ---- rate ------------------------------------------------------------------------------------


@given(
    some.lists(some.tuples(some.integers(-50, 400), some.integers(0, 1500)), max_size=40),
    some.integers(1, 90), some.integers(0, 300), some.sampled_from([0, 42]),
)  # fmt: skip
def test_rates_like_a_slow_count(packets, width, span, headers):
    times, size = np.array(packets, dtype=np.int64).reshape(-1, 2).T
    found = rates(times * MS, size, width / 1e3, 0, span * MS, headers)
    count = math.ceil(span / width)
    assert len(found.bits_per_s) == count
    for i in range(count):
        inside = [
            max(0, s - headers) for t, s in packets if i * width <= t < min((i + 1) * width, span)
        ]
        seconds = (min((i + 1) * width, span) - i * width) / 1e3
        assert found.seconds[i] == pytest.approx(seconds)
        assert found.bits_per_s[i] == pytest.approx(sum(inside) * 8 / seconds)
    assert len(found.whole) == span // width


def test_stamps_that_cannot_be_right_make_no_bins():
    times = np.array([0, (MOST_BINS + 1) * 10**9])
    assert rates(times, times * 0 + 100, 1.0, 0, int(times[1]) + 1) is None


def test_rates_over_several_pieces(monkeypatch):
    times = np.arange(1000) * MS
    whole = rates(times, times * 0 + 100, 0.1, 0, 1000 * MS)
    monkeypatch.setattr("bench.measure.throughput._PIECE", 7)
    assert rates(times, times * 0 + 100, 0.1, 0, 1000 * MS).bits_per_s.tolist() == (
        whole.bits_per_s.tolist()
    )
    assert whole.bits_per_s.tolist() == [100 * 100 * 8 / 0.1] * 10


# ---- delivery in time, availability ----------------------------------------------------------


@given(some.lists(some.integers(0, 60) | some.none(), max_size=40), some.integers(0, 60))
def test_delivery_like_a_slow_count(delays, limit):
    found = delivery(flow(delays), limit / 1e3)
    missed = [d is None or d > limit for d in delays]
    longest = run = 0
    for each in missed:
        run = run + 1 if each else 0
        longest = max(longest, run)
    assert (found.sent, found.missed, found.longest_run) == (len(delays), sum(missed), longest)
    assert found.late == sum(d is not None and d > limit for d in delays)


def test_downtime_begins_after_the_survival_time():
    """Sent every 10 ms, in time within 5: packets 3 to 6 are missed, 7 comes 2 ms after sending.

    The first missed was due at 35 ms, 7 came at 72 ms: 37 ms, of which 15 are survived.
    """
    found, longest = availability(flow([2, 2, 2, None, 9, None, None, 2, 2, 2]), 0.015, 0.005)
    assert (found.failures, found.down_s) == (1, pytest.approx(0.022))
    assert found.up_s == pytest.approx(0.09 - 0.022)
    assert longest == pytest.approx(0.022)
    assert availability(flow([2, 2, 2, None, 9, None, None, 2, 2]), 0.040, 0.005)[0].failures == 0
    single, _ = availability(flow([2, None, 2, None, 2]), 0.010, 0.005)
    assert single.down_s == 0, "a message lost alone is survived for one interval"


def test_an_outage_to_the_end_counts():
    found, _ = availability(flow([2, 2, None, None, None]), 0.005, 0.005)
    assert found.down_s == pytest.approx(0.020 - 0.005)


def test_an_outage_that_a_late_packet_ends_is_one():
    """Without a deadline: packet 1 ends the outage of packet 0 at 70 ms, all others lie in it."""
    seen = flow([None, 60, None, 0, None, 0, 0, 0, 0])
    begin, end = interruptions(seen, None)
    assert ((begin // MS).tolist(), (end // MS).tolist()) == ([0], [70])


def test_no_availability_without_time():
    assert availability(flow([2]), 0.005, 0.005) is None
    assert availability(flow([]), 0.005, 0.005) is None


@given(
    some.lists(some.integers(0, 60) | some.none(), min_size=2, max_size=30),
    some.none() | some.integers(0, 60), some.integers(0, 50),
)  # fmt: skip
def test_availability_like_a_timer(delays, limit, survival):
    """A packet that is due and missed starts the timer; the next one in time ends it."""
    seen = flow(delays)
    least = min((d for d in delays if d is not None), default=0)
    allowed = least if limit is None else limit
    ok = [d is not None and (limit is None or d <= limit) for d in delays]
    spans, i = [], 0
    while i < len(delays):
        if ok[i]:
            i += 1
            continue
        j = i
        while j < len(delays) and not ok[j]:
            j += 1
        due = i * 10 + allowed
        end = j * 10 + delays[j] if j < len(delays) else (len(delays) - 1) * 10 + allowed
        end = max(end, due)
        if spans and due < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((due, end))
        i = j
    begin, finish = interruptions(seen, None if limit is None else limit / 1e3)
    assert list(zip((begin // MS).tolist(), (finish // MS).tolist(), strict=True)) == spans
    found = availability(seen, survival / 1e3, None if limit is None else limit / 1e3)
    down = sum(max(0, end - start - survival) for start, end in spans)
    assert found[0].down_s == pytest.approx(down / 1e3)
    assert found[0].up_s >= 0
