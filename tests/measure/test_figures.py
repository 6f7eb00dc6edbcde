"""The figures of a stream: complete, consistent, and never a number where there is none."""

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.captures.matching import Tap, Watch
from bench.captures.matching import pair as pair_taps
from bench.measure import metrics
from bench.measure.figures import stream_figures
from bench.measure.pairing import Flow, flow_of_pairs
from bench.measure.throughput import MOST_BINS
from bench.sessions.codec import to_json

MS = 1_000_000
KEYS = {
    "sent", "received", "lost", "loss", "duplicated", "reordered", "ambiguous", "unmatched",
    "in_flight", "delay", "ipdv_p99", "pdv_p999", "rfc3550_jitter", "throughput", "longest_gap",
}  # fmt: skip


def figures(flow, **others):
    given = {"bin_s": 0.1, "survival_s": 0.02, "deadline_s": 0.02, "fit": False} | others
    return stream_figures(flow, **given)


def made(delays_ms, period_ms=10, size=142, in_flight=()):
    n = len(delays_ms)
    sent = np.arange(n, dtype=np.int64) * period_ms * MS + 10**15
    received = np.array(
        [-1 if d is None else s + round(d * MS) for s, d in zip(sent, delays_ms, strict=True)],
        dtype=np.int64,
    )
    zero, flying = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    flying[list(in_flight)] = True
    return Flow(sent, received, np.arange(n), zero, zero + size, flying, 0, 0, 0)


def numbers(value):
    if isinstance(value, dict):
        return [x for each in value.values() for x in numbers(each)]
    if isinstance(value, list | tuple):
        return [x for each in value for x in numbers(each)]
    return [value]


@given(data=some.data())
def test_counts_add_up_and_all_is_json(doubtful, data):
    flow = doubtful.flow_from(data.draw(doubtful.packets))
    found = figures(flow, headers_bytes=42)
    assert found.sent == found.received + found.lost + found.ambiguous + found.in_flight
    assert found.sent == len(flow)
    text = to_json(found)
    assert set(text) >= KEYS
    assert set(text["delay"]) >= {"min", "p50", "p99", "p999", "max", "mean"}
    json.dumps(text, allow_nan=False)
    assert all(x is None or isinstance(x, str) or math.isfinite(x) for x in numbers(text))
    if found.loss is not None:
        assert found.loss_low <= found.loss <= found.loss_high
    if found.on_time.ratio is not None and found.on_time.best is not None:
        assert 0 <= found.on_time.ratio <= found.on_time.best <= 1
    if found.availability.ratio is not None:
        assert 0 <= found.availability.ratio <= 1
    rng = np.random.default_rng(len(flow))
    for _ in range(3):
        truth = figures(doubtful.truth_of(flow, rng))
        if truth.loss is not None:
            assert found.loss_low - 1e-12 <= truth.loss <= found.loss_high + 1e-12


@given(
    some.lists(some.tuples(some.integers(0, 6), some.integers(0, 50)), max_size=30),
    some.lists(some.tuples(some.integers(0, 6), some.integers(0, 80)), max_size=30),
)
def test_counts_add_up_for_any_two_taps(sent, got):
    near, far = (sorted(each, key=lambda p: p[1]) for each in (sent, got))
    taps = [
        Tap(np.array([t for _, t in each], dtype=np.int64),
            np.array([k for k, _ in each], dtype=np.uint64))
        for each in (near, far)
    ]  # fmt: skip
    pairs = pair_taps(*taps, Watch(0, 60))
    n = len(near)
    flow = flow_of_pairs(pairs, np.full(n, 100), np.arange(n))
    found = figures(flow)
    assert found.sent == found.received + found.lost + found.ambiguous + found.in_flight
    assert found.received + found.duplicated + found.unmatched <= len(far)


@given(some.lists(some.integers(-3, 60) | some.none(), max_size=60))
def test_figures_like_slow_ones(delays):
    found = figures(made(delays))
    arrived = sorted(d for d in delays if d is not None)
    assert (found.received, found.lost) == (len(arrived), delays.count(None))
    steps = sorted(abs(b - a) for a, b in pairwise(delays) if a is not None and b is not None)
    for spread, values in ((found.delay, arrived), (found.ipdv, steps)):
        if not values:
            assert set(dataclasses.astuple(spread)) == {None}
            continue
        for name, share in (("min", 0), ("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1)):
            rank = max(1, math.ceil(share * len(values) - 1e-9))
            assert getattr(spread, name) == pytest.approx(values[rank - 1] / 1e3)
        assert spread.mean == pytest.approx(sum(values) / len(values) / 1e3)
    assert found.ipdv_p99 == found.ipdv.p99
    if arrived:
        assert found.pdv.p999 == found.pdv_p999
        assert found.pdv.max == pytest.approx((arrived[-1] - arrived[0]) / 1e3)
        times = sorted(i * 10 + d for i, d in enumerate(delays) if d is not None)
        edges = [
            min(arrived[0], times[0]),
            *times,
            max((len(delays) - 1) * 10 + arrived[0], times[-1]),
        ]
        gaps = [b - a for a, b in pairwise(edges)]
        assert found.longest_gap == pytest.approx(max(gaps) / 1e3)
        if times[-1] > times[0]:
            seconds = (times[-1] - times[0]) / 1e3
            assert found.throughput == pytest.approx(len(times) * 142 * 8 / seconds)
    else:
        assert found.longest_gap is None
        assert found.throughput is None


def test_jitter_is_that_of_the_metric():
    rng = np.random.default_rng(5)
    flow = made(rng.integers(1, 40, 500).tolist())
    found = figures(flow)
    assert found.rfc3550_jitter == pytest.approx(metrics.rfc3550_jitter(flow))
    assert found.rfc3550_jitter_mean <= found.rfc3550_jitter_max
    assert found.reordering.packets > 0


def test_rates_with_and_without_headers():
    found = figures(made([5] * 101), headers_bytes=42)
    assert found.throughput == pytest.approx(101 * 142 * 8)
    assert found.payload_rate == pytest.approx(101 * 100 * 8)
    assert found.sent_rate == pytest.approx(101 * 142 * 8)
    assert (found.bins.bins, found.bins.min, found.bins.max) == (10, 113600.0, 113600.0)
    assert figures(made([5] * 101)).payload_rate is None


def test_what_was_not_asked_for_is_not_there():
    found = figures(made([5, 6]), survival_s=None, deadline_s=None)
    assert found.on_time is None
    assert found.availability is None


def test_a_bursty_path_is_told_by_its_model():
    rng = np.random.default_rng(8)
    bad, delays = False, []
    for _ in range(20_000):
        bad = rng.random() < (0.7 if bad else 0.01)
        delays.append(None if bad else 5)
    found = figures(made(delays), fit=True).loss_pattern
    assert found.p_good_to_bad == pytest.approx(0.01, rel=0.2)
    assert found.p_bad_to_good == pytest.approx(0.3, rel=0.2)
    assert found.model in ("gilbert", "gilbert-loss", "gilbert-elliott")
    assert found.fitted_p_bad_to_good == pytest.approx(0.3, rel=0.25)
    assert found.period_mean == pytest.approx(1 / 0.3, rel=0.2)
    assert sum(count for _, count in found.lengths) == found.periods
    assert sum(length * count for length, count in found.lengths) == delays.count(None)


def test_late_is_lost_for_delivery_in_time():
    found = figures(made([5, 25, None, 5, 5]), deadline_s=0.02)
    assert (found.on_time.ratio, found.on_time.late, found.on_time.longest_run) == (0.6, 1, 2)
    assert found.loss == 0.2


def test_doubt_counts_at_its_worse_end_for_delivery_and_availability(doubtful):
    arrived, unclear = ("A", 5, 5, False, True), ("?", 5, 5, True, True)
    flow = doubtful.flow_from([arrived] * 5 + [unclear] * 5 + [arrived] * 10)
    found = figures(flow)
    assert (found.on_time.ratio, found.on_time.best) == (0.75, 1.0)
    assert found.on_time.longest_run == 5
    assert found.availability.failures == 1
    assert (found.loss_low, found.loss, found.loss_high) == (0.0, 0.0, 0.25)


def test_an_outage_at_the_end_is_a_gap():
    assert figures(made([5] * 10 + [None] * 10)).longest_gap == pytest.approx(0.1)
    flying = made([5] * 10 + [None] * 10, in_flight=range(10, 20))
    assert figures(flying).longest_gap == pytest.approx(0.01)
    assert figures(flying).in_flight == 10


def test_stamps_that_cannot_be_right_do_not_take_the_memory():
    flow = made([5, 5])
    flow.received_ns[1] += (MOST_BINS + 1) * 100 * MS
    assert figures(flow).bins is None


def test_figures_change_nothing(doubtful):
    drawn = [("A", 5, 5, False, True), ("?", 5, 60, False, True), ("L", 0, 0, False, False)] * 9
    flow = doubtful.flow_from(drawn)
    before = [getattr(flow, f.name) for f in dataclasses.fields(flow)]
    kept = [x.copy() if isinstance(x, np.ndarray) else x for x in before]
    assert figures(flow) == figures(flow)
    for was, now in zip(kept, before, strict=True):
        assert np.array_equal(was, now)
