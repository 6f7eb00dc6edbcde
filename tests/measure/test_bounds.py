"""Bounds over packets, bits and operating time: published figures, laws, and coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure import bounds as b
from bench.measure import statistics as st

TRIALS = 2000
COVERS = 0.94
DAY_S = 86400.0


# ---- packets ---------------------------------------------------------------------------------


def test_plain_bounds_are_those_of_clopper_and_pearson():
    low, high = b.effective_binomial(3, 1000)
    assert low == st.binomial_lower(3, 1000)
    assert high == st.binomial_upper(3, 1000)
    assert b.effective_binomial(0, 0) == (0.0, 1.0)


@given(some.integers(0, 50), some.integers(1, 5000), some.floats(1, 100), some.floats(0.5, 0.999))
def test_a_design_effect_only_widens(events, more, effect, confidence):
    n = events + more
    low, high = b.effective_binomial(events, n, 1.0, confidence)
    wide_low, wide_high = b.effective_binomial(events, n, effect, confidence)
    assert wide_low <= low <= events / n <= high <= wide_high


def test_six_nines_of_packets():
    found = b.delivery_bounds(0, 2_995_732)
    assert found.value == 1.0
    assert found.lower >= 0.999999
    assert b.delivery_bounds(0, 2_995_000).lower < 0.999999
    assert b.delivery_bounds(0, 0) == b.Bounds(None, 0.0, 1.0)


# ---- bits ------------------------------------------------------------------------------------


def test_bits_for_a_bit_error_ratio():
    bits = b.bits_needed(1e-10)
    assert bits == pytest.approx(2.996e10, rel=1e-3)
    assert bits / 192e3 / DAY_S == pytest.approx(1.8, abs=0.01)
    assert bits / 1e6 / 3600 == pytest.approx(8.3, abs=0.03)
    assert b.bit_error_bounds(0, bits).upper == pytest.approx(1e-10)
    assert b.bit_error_bounds(0, 0) == b.Bounds(None, 0.0, 1.0)
    assert b.bits_needed(1e-10, 0.95, 3) * 1e-10 == pytest.approx(7.75, abs=0.006)


@given(some.integers(0, 30), some.floats(1e3, 1e12), some.integers(1, 5), some.floats(1.001, 10))
def test_more_errors_and_fewer_bits_never_tighten_the_upper_bound(errors, bits, more, times):
    found = b.bit_error_bounds(errors, bits)
    assert b.bit_error_bounds(errors + more, bits).upper >= found.upper
    assert b.bit_error_bounds(errors, bits * times).upper <= found.upper
    assert found.lower <= found.value <= found.upper


def test_packets_without_loss_bound_the_bit_errors_from_above():
    """As tight as counting their bits; packets lost for other reasons only widen it."""
    n, size = 29_956, 800
    upper = b.bit_error_upper_from_loss(st.binomial_upper(0, n), size)
    assert upper == pytest.approx(b.bit_error_bounds(0, n * size).upper, rel=1e-3)
    assert b.bit_error_upper_from_loss(st.binomial_upper(2, n), size) > upper
    assert b.bit_error_upper_from_loss(1.0, size) == 1.0


@pytest.mark.parametrize("mean", [0.5, 4.0, 40.0])
def test_bit_error_bounds_cover(mean):
    errors = np.random.default_rng(7).poisson(mean, TRIALS)
    found = [b.bit_error_bounds(int(k), 1e9) for k in errors]
    assert sum(f.upper >= mean / 1e9 for f in found) / TRIALS >= COVERS
    assert sum(f.lower <= mean / 1e9 for f in found) / TRIALS >= COVERS


# ---- mean time between failures --------------------------------------------------------------


@pytest.mark.parametrize(("failures", "days"), [(0, 89.9), (1, 142.3), (2, 188.9)])
def test_device_days_for_thirty_days(failures, days):
    needed = b.mtbf_time_needed(30.0, 0.95, failures)
    assert needed == pytest.approx(days, abs=0.05)
    assert b.mtbf_bounds(needed, failures).lower == pytest.approx(30.0)


def test_without_a_failure_nothing_bounds_the_mtbf_from_above():
    assert b.mtbf_bounds(100.0, 0) == b.Bounds(None, pytest.approx(33.38, abs=0.01), math.inf)
    assert b.mtbf_bounds(0.0, 0) == b.Bounds(None, 0.0, math.inf)


@pytest.mark.parametrize("expected", [0.3, 2.0, 20.0])
def test_mtbf_bounds_cover_where_a_clock_ends_the_test(expected):
    failures = np.random.default_rng(7).poisson(expected, TRIALS)
    found = [b.mtbf_bounds(expected, int(r)) for r in failures]  # the true MTBF is 1
    assert sum(f.lower <= 1 for f in found) / TRIALS >= COVERS
    assert sum(f.upper >= 1 for f in found) / TRIALS >= COVERS


# ---- availability ----------------------------------------------------------------------------


def test_an_interruption_counts_from_the_survival_time_on():
    found = b.availability_of([0.3, 0.5, 2.0, 4.0], 100.0, 0.5)
    assert found == b.Availability(95.0, 5.0, 2)
    assert b.availability_of([], 100.0, 0.5) == b.Availability(100.0, 0.0, 0)
    for gaps in ([-1.0], [60.0, 60.0]):
        with pytest.raises(ValueError, match="fit"):
            b.availability_of(gaps, 100.0, 0.5)


@pytest.mark.parametrize(
    ("availability", "seconds"), [(0.9999, 259), (0.99999, 25.9), (0.999999, 2.59)]
)
def test_recovery_time_is_the_proxy(availability, seconds):
    assert b.longest_recovery_s(availability, 30 * DAY_S) == pytest.approx(seconds, rel=2e-3)


def test_time_without_an_interruption():
    needed = b.outage_free_time_needed(0.999999, 5.0)
    assert needed / DAY_S == pytest.approx(173, abs=0.5)
    assert b.availability_lower_outage_free(needed, 5.0) == pytest.approx(0.999999, abs=1e-12)
    assert b.availability_lower_outage_free(0.0, 5.0) == 0.0


@given(some.integers(1, 20), some.floats(1, 1e6), some.floats(1e-3, 1e5), some.floats(1.01, 100))
def test_more_down_time_never_raises_a_bound(failures, up_s, down_s, times):
    found = b.availability_bounds(b.Availability(up_s, down_s, failures))
    worse = b.availability_bounds(b.Availability(up_s, down_s * times, failures))
    assert worse.lower <= found.lower <= found.value <= found.upper
    assert worse.upper <= found.upper


def test_availability_without_a_failure_has_no_bound_from_below():
    assert b.availability_bounds(b.Availability(10.0, 0.0, 0)) == b.Bounds(1.0, 0.0, 1.0)
    assert b.availability_bounds(b.Availability(0.0, 0.0, 0)) == b.Bounds(None, 0.0, 1.0)


def renewal(rng, horizon, up, down):
    """Up and down time and failures until the clock ends an alternating renewal process."""
    count = 8 + int(6 * horizon / (up + down))
    ups = rng.exponential(up, size=(TRIALS, count))
    downs = rng.exponential(down, size=(TRIALS, count))
    starts = np.cumsum(ups, axis=1) + np.cumsum(downs, axis=1) - downs
    assert (starts[:, -1] > horizon).all()
    lasts = np.clip(horizon - starts, 0.0, downs)
    return [
        b.Availability(horizon - float(d.sum()), float(d.sum()), int((d > 0).sum())) for d in lasts
    ]


@pytest.mark.parametrize(("horizon", "down"), [(3, 0.01), (10, 0.1), (30, 0.001)])
def test_availability_bounds_cover(horizon, down):
    true = 1 / (1 + down)
    found = [
        b.availability_bounds(a) for a in renewal(np.random.default_rng(7), horizon, 1.0, down)
    ]
    assert sum(f.lower <= true for f in found) / TRIALS >= COVERS
    assert sum(f.upper >= true for f in found) / TRIALS >= COVERS


@given(some.integers(0, 100))
def test_without_an_observation_there_is_no_value(count):
    for found in (b.bit_error_bounds(count, 0.0), b.mtbf_bounds(0.0, count)):
        assert found.value is None
    assert b.bit_error_bounds(count, 0.0).upper == 1.0
    assert b.mtbf_bounds(0.0, count).lower == 0.0
