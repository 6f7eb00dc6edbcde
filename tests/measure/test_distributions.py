"""The distributions against scipy.stats, which the bench does not import."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.measure import distributions as ds

counts = st.integers(1, 200_000)
ratios = st.floats(1e-7, 1 - 1e-7)
tails = st.one_of(st.floats(1e-9, 1 - 1e-9), st.sampled_from([0.05, 0.95, 0.975, 1e-6 / 2]))


@given(counts, ratios, st.data())
def test_binomial_tails(n, p, data):
    k = data.draw(st.integers(-1, n + 1))
    assert ds.binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-300)
    assert ds.binomial_sf(k, n, p) == pytest.approx(stats.binom.sf(k, n, p), rel=1e-9, abs=1e-300)


@given(counts, ratios, tails)
def test_binomial_quantiles_are_the_least_that_do(n, p, q):
    k = ds.binomial_quantile(q, n, p)
    assert ds.binomial_cdf(k, n, p) >= q
    assert k == 0 or ds.binomial_cdf(k - 1, n, p) < q
    assert abs(k - stats.binom.ppf(q, n, p)) <= 1  # a tie may fall to either side
    k = ds.binomial_upper_quantile(q, n, p)
    assert ds.binomial_sf(k, n, p) <= q
    assert k == 0 or ds.binomial_sf(k - 1, n, p) > q
    assert abs(k - stats.binom.isf(q, n, p)) <= 1


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_binomial_where_nothing_is_left_to_chance(n, p):
    sure = n if p else 0
    for k in (-1, sure, n):
        assert ds.binomial_cdf(k, n, p) == (k >= sure)
        assert ds.binomial_sf(k, n, p) == (k < sure)
    assert ds.binomial_quantile(0.3, n, p) == ds.binomial_upper_quantile(0.3, n, p) == sure


@given(tails, st.integers(1, 4000), st.integers(1, 4000))
def test_the_others(q, above, below):
    assert ds.chi2_quantile(q, above) == pytest.approx(stats.chi2.ppf(q, above), rel=1e-8)
    assert ds.f_quantile(q, above, below) == pytest.approx(stats.f.ppf(q, above, below), rel=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.data(), st.sampled_from([1e-6, 0.05, 0.3]))
def test_ranks_between_are_the_tightest(n, m, data, error):
    """The number below is beta-binomial; at both ends one rank more would be wrong too often."""
    k = data.draw(st.integers(1, n))
    low, high = ds.ranks_between(k, n, m, error)
    below = stats.betabinom(m, k, n - k + 1)
    assert 0 <= low < high <= m + 1
    assert below.cdf(low - 1) <= error / 2 + 1e-12
    assert below.cdf(low) > error / 2 - 1e-12
    assert below.sf(high - 1) <= error / 2 + 1e-12
    assert high == 1 or below.sf(high - 2) > error / 2 - 1e-12


@pytest.mark.parametrize(("n", "m", "k"), [(2, 4, 1), (2, 4, 2), (40, 25, 3), (400, 900, 200)])
def test_ranks_between_hold_as_often_as_they_say(n, m, k):
    """Seeded: refused in at most 1 % of 20 000 samples, but for a chance of 1e-6."""
    draw = np.random.default_rng(5)
    low, high = ds.ranks_between(k, n, m, 0.01)
    mine = np.sort(draw.exponential(size=(20_000, n)), axis=1)[:, k - 1]
    others = np.sort(draw.exponential(size=(20_000, m)), axis=1)
    others = np.column_stack([np.full(20_000, -np.inf), others, np.full(20_000, np.inf)])
    refused = ((mine < others[:, low]) | (mine > others[:, high])).sum()
    assert refused <= stats.binom.isf(1e-6, 20_000, 0.01)


@given(st.lists(st.integers(0, 9), max_size=50))
def test_ranks(values):
    assert ds.ranks(np.array(values, dtype=float)).tolist() == stats.rankdata(values).tolist()


@pytest.mark.parametrize(
    "module", ["fixtures.plugin", "bench.studies.run", "bench.studies.analyse"]
)
def test_a_run_starts_without_scipy_stats(module):
    looks = f"import sys, {module}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looks], timeout=60).returncode == 0
