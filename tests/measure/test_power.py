"""Power: figures worked out with scipy, and that the planned count keeps it beyond that count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from bench.measure import power
from bench.measure import statistics as st


@given(some.integers(1, 3000), some.floats(1e-3, 0.5), some.floats(0.6, 0.99))
def test_counts_that_decide_are_those_of_the_bounds(n, p, confidence):
    allowed = power.most_passing(n, p, confidence)
    if allowed >= 0:
        assert st.binomial_upper(allowed, n, confidence) <= p * (1 + 1e-9)
    assert allowed + 1 >= n or st.binomial_upper(allowed + 1, n, confidence) > p * (1 - 1e-9)
    failing = power.fewest_failing(n, p, confidence)
    if failing <= n:
        assert st.binomial_lower(failing, n, confidence) >= p * (1 - 1e-9)
    if failing > 1:
        assert st.binomial_lower(failing - 1, n, confidence) <= p * (1 + 1e-9)


def test_zero_failures_alone_have_little_power():
    assert power.pass_power(29_956, 1e-4, 5e-5) == pytest.approx(np.exp(-1.4978), abs=1e-3)
    assert power.pass_power(59, 0.05, 0.025) == pytest.approx(0.975**59)
    assert power.pass_power(10, 0.01, 0.0) == 0.0, "too few show nothing"


@pytest.mark.parametrize(
    ("p", "good", "bad"),
    [(1e-4, 5e-5, 2e-4), (1e-2, 5e-3, 2e-2), (0.05, 0.025, 0.1), (0.01, 1e-4, 0.1), (0.5, 0.25, 1)],
)
def test_planned_samples_decide_and_more_of_them_too(p, good, bad):
    planned = power.samples_for_power(p, good, bad)
    for n in np.unique(np.linspace(planned, 1.6 * planned, 60).astype(int)):
        assert power.pass_power(int(n), p, good) >= power.POWER + power.RESERVE
        assert power.fail_power(int(n), p, bad) >= power.POWER + power.RESERVE
    assert planned == st.trials_needed(p, 0.95, power.most_passing(planned, p))


def test_about_thirty_five_expected_events_tell_half_from_the_limit():
    assert power.samples_for_power(1e-4, 5e-5, 2e-4) * 1e-4 == pytest.approx(34.9, abs=0.1)
    k = power.most_passing(349_156, 1e-4)
    assert stats.binom.cdf(k, 349_156, 5e-5) > 0.95


@pytest.mark.parametrize("odds", [(0.1, 0.1, 0.2), (0.1, 0.05, 0.1), (0.1, -0.1, 0.2)])
def test_what_no_evidence_tells_apart(odds):
    p, good, bad = odds
    with pytest.raises(ValueError, match="rising order"):
        power.samples_for_power(p, good, bad)
