"""Metrics on cases worked out by hand and against slow implementations of their standards."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure import metrics
from bench.measure.pairing import pair
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
