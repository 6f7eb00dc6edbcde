"""The sequential test: Wald's lines by hand, its error rates by simulation, its cut-off."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure.sequential import Sprt

TRIALS = 2000
LOSS = Sprt(5e-5, 1e-4)
TRIAL = Sprt(0.025, 0.05)
PLANS = [LOSS, TRIAL, Sprt(0.01, 0.04, 0.1, 0.02), Sprt(0.5, 0.9)]


def decided(plan, p, most, seed=7, trials=TRIALS):
    """Decisions and sizes of tests on samples with the probability ``p``."""
    rng = np.random.default_rng([seed, int(1e6 * p)])
    found = []
    for _ in range(trials):
        count = int(most * p + 6 * math.sqrt(most * p) + 10)
        found.append(plan.run(np.cumsum(rng.geometric(p, size=count)), most))
    outcomes = [outcome for outcome, _ in found]
    return {o: outcomes.count(o) / trials for o in set(outcomes)}, np.mean([n for _, n in found])


def slow(plan, at, n):
    """The same by the definition, sample by sample."""
    ratio, events = 0.0, set(at.tolist())
    for i in range(1, n + 1):
        bad, good = (
            (plan.bad, plan.good) if i in events else (1 - plan.bad, 1 - plan.good)
        )  # fmt: skip
        ratio += math.log(bad / good)
        if ratio >= math.log((1 - plan.beta) / plan.alpha):
            return "reject", i
        if ratio <= math.log(plan.beta / (1 - plan.alpha)):
            return "accept", i
    return "undecided", n


@given(some.sampled_from(PLANS[1:]), some.lists(some.integers(1, 400), max_size=40, unique=True))
def test_the_lines_are_those_of_the_likelihood_ratio(plan, places):
    at = np.array(sorted(places), dtype=np.int64)
    assert plan.run(at, 400) == slow(plan, at, 400)


@pytest.mark.parametrize("plan", PLANS)
def test_error_rates(plan):
    most = int(40 * plan.expected_n(math.sqrt(plan.good * plan.bad)))
    good, good_n = decided(plan, plan.good, most)
    bad, bad_n = decided(plan, plan.bad, most)
    # Wald's limits and three standard errors of 2 000 tests
    assert good.get("reject", 0) <= plan.alpha / (1 - plan.beta) + 3 * math.sqrt(0.05 / TRIALS)
    assert bad.get("accept", 0) <= plan.beta / (1 - plan.alpha) + 3 * math.sqrt(0.05 / TRIALS)
    assert good.get("undecided", 0) + bad.get("undecided", 0) == 0
    for n, p in ((good_n, plan.good), (bad_n, plan.bad)):
        assert n == pytest.approx(plan.expected_n(p), rel=0.3)


def test_it_ends_sooner_than_a_fixed_count():
    """A fixed count that tells 5e-5 from 1e-4 with the same risks takes about twice as many."""
    fixed = next(
        n
        for n in range(100_000, 900_000, 5000)
        if any(_tails(n, k)[0] <= 0.05 and _tails(n, k)[1] <= 0.05 for k in range(1, 90))
    )
    assert LOSS.expected_n(LOSS.good) < 0.6 * fixed


def _tails(n, k):
    from scipy import stats

    return stats.poisson.sf(k, n * LOSS.good), stats.poisson.cdf(k, n * LOSS.bad)


def test_the_cut_off_costs_decisions_and_never_makes_an_error():
    cut = dataclasses.replace(TRIAL, most=250)
    for p in (TRIAL.good, TRIAL.bad):
        whole, _ = decided(TRIAL, p, 10_000)
        short, n = decided(cut, p, 10_000)
        assert short["undecided"] > 0.1
        assert n <= 250
        for outcome in ("accept", "reject"):
            assert short.get(outcome, 0) <= whole.get(outcome, 0)


def test_no_evidence_decides_nothing():
    assert TRIAL.run(np.zeros(0, dtype=np.int64), 0) == ("undecided", 0)
    assert TRIAL.run(np.zeros(0, dtype=np.int64), 10**6)[0] == "accept"
    assert TRIAL.run(np.arange(1, 200), 199)[0] == "reject"


@pytest.mark.parametrize(
    "words", [(0.1, 0.1), (0.2, 0.1), (0.0, 0.1), (0.1, 1.0), (0.1, 0.2, 0.0), (0.1, 0.2, 0.1, 0.6)]
)
def test_plans_that_are_none(words):
    with pytest.raises(ValueError, match=r"must lie|rising order"):
        Sprt(*words)


def test_expected_size_between_the_two_is_the_largest():
    at = [LOSS.expected_n(p) for p in np.geomspace(LOSS.good / 4, LOSS.bad * 4, 41)]
    assert 10 < int(np.argmax(at)) < 30
    assert LOSS.expected_n(0.0) == pytest.approx(
        math.log(0.95 / 0.05) / math.log((1 - LOSS.good) / (1 - LOSS.bad))
    )
