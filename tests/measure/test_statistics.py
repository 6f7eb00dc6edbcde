"""Bounds and sample sizes against published figures and against simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.measure import statistics as st


@pytest.mark.parametrize(
    ("p", "n"),
    [(1e-2, 299), (1e-3, 2995), (1e-4, 29956), (1e-5, 299572), (1e-6, 2995731)],
)
def test_zero_losses_needed(p, n):
    assert st.trials_needed(p) == n
    assert st.binomial_upper(0, n) <= p < st.binomial_upper(0, n - 1)


def test_bit_errors_need_thirty_thousand_million():
    bits = st.trials_needed(1e-10)
    assert bits == pytest.approx(2.996e10, rel=1e-3)
    assert bits / 192e3 / 86400 == pytest.approx(1.8, abs=0.01)
    assert bits / 1e6 / 3600 == pytest.approx(8.3, abs=0.03)


@pytest.mark.parametrize(("allowed", "product"), [(0, 3.00), (1, 4.74), (2, 6.30), (3, 7.75)])
def test_allowed_losses_cost_samples(allowed, product):
    assert st.trials_needed(1e-5, 0.95, allowed) * 1e-5 == pytest.approx(product, abs=0.006)


@pytest.mark.parametrize(("quantile", "n"), [(0.95, 59), (0.99, 299), (0.999, 2995)])
def test_percentiles_without_exceedance(quantile, n):
    assert st.quantile_samples_needed(quantile) == n
    sample = np.arange(n, dtype=float)
    assert st.quantile_upper(sample, quantile) == n - 1
    assert st.quantile_upper(sample[1:], quantile) is None


@pytest.mark.parametrize(("n", "allowed"), [(1000, 4), (10_000, 83)])
def test_allowed_exceedances_of_the_99th_percentile(n, allowed):
    upper = st.quantile_upper(np.arange(n, dtype=float), 0.99)
    assert n - 1 - upper == allowed


@pytest.mark.parametrize(("trials", "shown"), [(1, 0.05), (59, 0.95), (299, 0.99)])
def test_demonstrated_success_probability(trials, shown):
    assert st.demonstrated_probability(trials) == pytest.approx(shown, abs=5e-4)
    assert st.demonstrated_probability(0) == 0.0


@pytest.mark.parametrize(("p", "n"), [(0.05, 93), (0.01, 473)])
def test_trials_with_one_failure(p, n):
    assert st.trials_needed(p, 0.95, 1) == n


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 40), (39, 40), (40, 40)])
def test_clopper_pearson_inverts_the_binomial(k, n):
    upper, lower = st.binomial_upper(k, n), st.binomial_lower(k, n)
    if k < n:
        assert stats.binom.cdf(k, n, upper) == pytest.approx(0.05)
    if k > 0:
        assert stats.binom.sf(k - 1, n, lower) == pytest.approx(0.05)
    assert 0 <= lower <= k / n <= upper <= 1


def test_bounds_without_trials_say_nothing():
    assert (st.binomial_lower(0, 0), st.binomial_upper(0, 0)) == (0.0, 1.0)
    assert st.quantile_upper(np.zeros(0), 0.99) is None
    assert st.quantile_lower(np.zeros(0), 0.99) is None
    for p in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="not a probability"):
            st.trials_needed(p)


def test_percentile_bounds_cover_as_often_as_they_say():
    """2 000 samples of 600: each bound misses in at most 5 % (+ 4 σ of that count)."""
    rng = np.random.default_rng(7)
    true = stats.expon.ppf(0.99)
    samples = np.sort(rng.exponential(size=(2000, 600)), axis=1)
    over = sum(st.quantile_lower(s, 0.99) > true for s in samples)
    under = sum(st.quantile_upper(s, 0.99) < true for s in samples)
    assert max(over, under) <= 0.05 * 2000 + 4 * math.sqrt(2000 * 0.05 * 0.95)


def test_sample_quantile_is_an_order_statistic():
    ordered = np.arange(1, 101, dtype=float)
    assert st.quantile(ordered, 0.99) == 99
    assert st.quantile(ordered, 1.0) == 100
    assert st.quantile(ordered[:1], 0.99) == 1


def _gilbert(rng, n, to_bad, to_good):
    flips, bad, out = rng.random(n), False, np.zeros(n, dtype=bool)
    for i in range(n):
        bad = flips[i] >= to_good if bad else flips[i] < to_bad
        out[i] = bad
    return out


def test_design_effect_of_bursts():
    """Gilbert loss: ρ = 1 − p_GB − p_BG."""
    flags = _gilbert(np.random.default_rng(7), 200_000, 0.01, 0.24)
    assert st.burst_design_effect(flags) == pytest.approx((1 + 0.75) / (1 - 0.75), rel=0.1)


def test_a_single_burst_is_seen_and_chance_is_not():
    flags = np.zeros(2000, dtype=bool)
    flags[1000:1009] = True
    assert st.burst_design_effect(flags) > 9
    scattered = np.zeros(2000, dtype=bool)
    scattered[::250] = True
    assert st.burst_design_effect(scattered) == 1.0
    rng = np.random.default_rng(7)
    effects = [st.burst_design_effect(rng.random(330) < 0.01) for _ in range(2000)]
    assert sum(e > 1 for e in effects) <= 10  # 1 in 1 000 meant; P(more than 10) < 1e-5


def test_effective_sample_of_a_series_that_follows_itself():
    rng = np.random.default_rng(7)
    series = np.zeros(50_000)
    for i, noise in enumerate(rng.normal(size=len(series))):
        series[i] = 0.6 * series[i - 1] + noise
    assert st.autocorrelation_effect(series) == pytest.approx(1.6 / 0.4, rel=0.1)
    assert st.autocorrelation_effect(np.ones(100)) == 1.0
    assert st.autocorrelation_effect(np.tile([1.0, 2.0], 100)) == 1.0
    effects = [st.autocorrelation_effect(rng.normal(size=330)) for _ in range(2000)]
    assert sum(e > 1 for e in effects) <= 14  # 3 σ: 2.7 in 2 000 expected
