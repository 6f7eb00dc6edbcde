"""Drawn durations: inside their bounds, of the law they name, and the uniform one as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import InputError
from bench.network.drawn import (
    Between,
    Drawn,
    DrawnChoice,
    DrawnExponential,
    DrawnLognormal,
    DrawnNormal,
    choice,
)

N = 4000
KS_LIMIT = 0.0447
"""The distance of N draws from their law exceeds this with a probability below 1e-6
(Massart: 2 exp(-2 N d²))."""

LAWS = {
    "uniform": (Drawn(0.05, 0.15), stats.uniform(0.05, 0.10)),
    "normal": (
        DrawnNormal(0.05, 0.15, 0.09, 0.03),
        stats.truncnorm((0.05 - 0.09) / 0.03, (0.15 - 0.09) / 0.03, 0.09, 0.03),
    ),
    "exponential": (
        DrawnExponential(0.01, 0.2, 0.05),
        stats.truncexpon((0.2 - 0.01) / 0.05, 0.01, 0.05),
    ),
}


def draws(law, seed=1, count=N):
    rng = np.random.default_rng(seed)
    return np.array([law.draw(rng) for _ in range(count)])


def test_the_limit_is_what_it_says():
    assert 2 * math.exp(-2 * N * KS_LIMIT**2) < 1e-6


@pytest.mark.parametrize("name", LAWS)
def test_draws_follow_their_law(name):
    law, reference = LAWS[name]
    sample = draws(law)
    assert law.low_s <= sample.min() <= sample.max() <= law.high_s
    assert stats.kstest(sample, reference.cdf).statistic < KS_LIMIT
    assert law.expected_s == pytest.approx(reference.mean(), rel=1e-3)


def test_lognormal_is_normal_in_the_logarithm():
    law = DrawnLognormal(1.0, 30.0, 5.0, 0.8)
    edges = [(math.log(edge) - math.log(5.0)) / 0.8 for edge in (1.0, 30.0)]
    reference = stats.truncnorm(*edges, math.log(5.0), 0.8)
    sample = draws(law)
    assert 1.0 <= sample.min() <= sample.max() <= 30.0
    assert stats.kstest(np.log(sample), reference.cdf).statistic < KS_LIMIT


def test_uniform_draws_are_those_of_the_generator():
    """Seeds of earlier recordings keep their draws, to the last bit."""
    ours, theirs = np.random.default_rng(5), np.random.default_rng(5)
    for low_s, high_s in [(0.05, 0.15), (0.06, 0.15), (0.5, 1.0), (1.0, 2.0), (0.3, 0.3)]:
        for _ in range(500):
            assert Drawn(low_s, high_s).draw(ours) == float(theirs.uniform(low_s, high_s))


def test_choice_keeps_its_weights():
    law = choice((0.3, 0.1, 0.2), (1.0, 2.0, 0.0))
    sample = draws(law)
    assert set(sample) == {0.1, 0.3}
    share = (sample == 0.1).mean()
    bound = 5 * math.sqrt(2 / 9 / N)  # five standard deviations
    assert abs(share - 2 / 3) < bound
    assert law.expected_s == pytest.approx((2 * 0.1 + 0.3) / 3, rel=1e-3)
    assert law.quantile(1.0) == 0.3


@given(
    low=st.floats(0, 10),
    width=st.floats(1e-3, 10),
    place=st.floats(0, 1),
    spread=st.floats(0.05, 2),
)
def test_quantiles_ascend_inside_the_bounds(low, width, place, spread):
    high, middle = low + width, low + width / 2
    for law in (
        Drawn(low, high),
        DrawnNormal(low, high, middle, spread * width),
        DrawnLognormal(low, high, middle, spread),
        DrawnExponential(low, high, spread * width),
        choice((low, middle, high)),
    ):
        ends = [law.quantile(at) for at in (0.0, place, 1.0)]
        assert low <= ends[0] <= ends[1] <= ends[2] <= high + 1e-12
        assert low <= law.draw(np.random.default_rng(1)) <= high


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Drawn(0.2, 0.1), "lower one first"),
        (lambda: Drawn(-0.1, 0.1), "zero or more"),
        (lambda: Drawn(0.0, math.inf), "zero or more"),
        (lambda: Drawn(math.nan, 1.0), "zero or more"),
        (lambda: DrawnNormal(0.1, 0.2, 5.0, 0.1), "outside of its bounds"),
        (lambda: DrawnNormal(0.1, 0.2, 0.15, 0.0), "above zero"),
        (lambda: DrawnLognormal(0.1, 0.2, 0.0, 0.1), "above zero"),
        (lambda: DrawnExponential(0.1, 0.2, -1.0), "above zero"),
        (lambda: choice(()), "choice"),
        (lambda: choice((0.1, 0.2), (1.0,)), "one weight"),
        (lambda: choice((0.1, 0.2), (0.0, 0.0)), "one weight"),
        (lambda: DrawnChoice(0.0, 1.0, (0.5,)), "bounds of a choice"),
        (lambda: Between(2.0, 1.0), "low bound"),
    ],
)
def test_laws_that_are_none_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
