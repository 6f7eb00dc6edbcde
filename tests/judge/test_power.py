"""Power: with the planned count a device at half its limit passes in nine of ten runs, and one at
twice its limit fails; through the figures and the rules of a run, bursts looked for included.
"""

import dataclasses

import numpy as np
import pytest

from bench.devices.registry import find_device
from bench.judge.judge import judge
from bench.judge.needs import TRIAL_SUCCESS, full_trials
from bench.judge.planning import odds_of, odds_of_share
from bench.judge.verdict import Outcome, Specification
from bench.measure import statistics as st
from bench.measure.bounds import effective_binomial
from bench.measure.kpi import LOSS_CHANCE, _quantile
from bench.measure.measurement import Measurement

TRIALS = 600
MANY = 2000
"""Where a share is compared, not bounded."""
POWER = 0.9
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ROBOT = find_device("telesurgery-robot")
LIMIT_S = 0.010


def asked(limit, planned, comparator="<", unit="1", rule="guard-band"):
    return Specification(
        "R", "d", "s", "m", "interface-interface", comparator, limit, None, unit, rule,
        planned_n=planned,
    )  # fmt: skip


def share(outcomes, wanted):
    return sum(outcome is wanted for outcome in outcomes) / len(outcomes)


def said(spec, **figures):
    found = Measurement(
        unit=spec.unit, method="m", reference_points="interface-interface", confidence=0.95,
        **figures,
    )  # fmt: skip
    return judge(spec, found, test="t", session="s").verdict


# ---- loss ------------------------------------------------------------------------------------


def loss_verdicts(limit, n, true, seed=7, trials=TRIALS):
    """Of independent losses: what ``kpi._loss`` finds, from their places alone."""
    rng = np.random.default_rng([seed, n])
    spec = asked(limit, n)
    outcomes = []
    for _ in range(trials):
        flags = np.zeros(n, dtype=bool)
        flags[rng.integers(0, n, rng.binomial(n, true))] = True
        lost = int(flags.sum())
        effect = st.burst_design_effect(flags, LOSS_CHANCE)
        lower, upper = effective_binomial(lost, n, effect)
        details = {"lost": float(lost), "design_effect": effect}
        outcomes.append(said(spec, value=lost / n, n=n, lower=lower, upper=upper, details=details))
    return outcomes


@pytest.mark.parametrize("limit", [1e-2, 1e-3, 1e-4])
def test_loss(limit):
    planned = odds_of("loss", limit).needed_for_power(0.95)
    half, twice = (loss_verdicts(limit, planned, limit * k) for k in (0.5, 2))
    assert share(half, PASS) >= POWER
    assert share(half, FAIL) == 0
    assert share(twice, FAIL) >= POWER
    assert share(twice, PASS) == 0


def test_the_fewest_packets_have_the_power_that_the_plan_states():
    odds = odds_of("loss", 1e-3)
    fewest = odds.needed(0.95)
    stated = odds.power_at_half(fewest, 0.95)
    found = loss_verdicts(1e-3, fewest, 5e-4, trials=MANY)
    assert share(found, PASS) == pytest.approx(stated, abs=0.035)
    assert stated < 0.25


# ---- percentiles -----------------------------------------------------------------------------


def tails(rng, shape):
    """Delays above a fixed one with exponential tails, and their 99th percentile."""
    return rng.exponential(size=shape), -np.log(0.01)


def variations(rng, shape):
    """Between neighbours of such delays: again exponential."""
    delay = rng.exponential(size=(shape[0], shape[1] + 1))
    return np.abs(np.diff(delay, axis=1)), -np.log(0.01)


@pytest.mark.parametrize(
    ("metric", "make", "trials"),
    [("delay-p99", tails, TRIALS), ("ipdv-p99", variations, TRIALS), ("delay-p999", tails, 500)],
)
def test_percentile(metric, make, trials):
    q = 0.999 if metric.endswith("999") else 0.99
    planned = odds_of(metric, LIMIT_S).needed_for_power(0.95)
    spec = asked(LIMIT_S, planned, unit="s")
    series, _ = make(np.random.default_rng(7), (trials, planned))
    unit = -np.log(1 - q)
    for times, wanted in ((0.5, PASS), (2.0, FAIL)):
        scaled = series / unit * LIMIT_S * times
        outcomes = [said(spec, **{k: v for k, v in _quantile(s, q, 0.95).items()}) for s in scaled]
        assert share(outcomes, wanted) >= POWER, (metric, times)
        assert share(outcomes, FAIL if wanted is PASS else PASS) == 0


# ---- trials ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["demonstrated", "safety"])
@pytest.mark.parametrize("trials", [1, 59])
def test_trials(rule, trials):
    """Reaction times about half and about twice the limit, a fifth of it apart (1 sigma)."""
    spec = asked(1.0, trials, "<=", "s", rule)
    rng = np.random.default_rng([7, trials])
    for centre, wanted in ((0.5, PASS), (2.0, FAIL)):
        times = np.abs(rng.normal(centre, 0.1 * centre, size=(TRIALS, trials)))
        outcomes = [
            said(spec, value=float(max(t)), n=trials, trials=tuple(t.tolist())) for t in times
        ]
        assert share(outcomes, wanted) >= POWER


def test_trials_that_claim_a_probability():
    """59 of 59 shows 95 %, and passes a device that fails half as often in one run of five."""
    odds = odds_of_share(1 - TRIAL_SUCCESS)
    rng = np.random.default_rng(7)
    few, planned = full_trials(0.95), odds.needed_for_power(0.95)
    assert few == 59
    stated = odds.power_at_half(few, 0.95)
    assert stated == pytest.approx(np.mean(rng.binomial(few, 0.025, 20_000) == 0), abs=0.01)
    for true, bound in ((0.025, "upper"), (0.1, "lower")):
        failed = rng.binomial(planned, true, TRIALS)
        upper = [st.binomial_upper(int(k), planned) <= 0.05 for k in failed]
        lower = [st.binomial_lower(int(k), planned) > 0.05 for k in failed]
        assert np.mean(upper if bound == "upper" else lower) >= POWER


def test_the_planned_counts_are_those_that_the_scope_names():
    """What is tried above is what a run with time enough sets out to collect."""
    from bench.judge.scope import Candidate, Plan, decide
    from bench.network import library
    from bench.requirements.loader import load_catalogue

    catalogue = load_catalogue()
    steady = library.steady().steps[1].segments[0].links["primary"].to_doctor
    plan = Plan(4000.0, 59, 0.95, frozenset({"motion"}))
    metrics = {"000-t2-force-loss": "loss", "000-t2-force-delay": "delay-p99",
               "000-t2-force-jitter": "ipdv-p99"}  # fmt: skip
    candidates = [Candidate(name, "force-feedback", name, "steady-5g-slice") for name in metrics]
    for item in decide(candidates, profile=ROBOT, requirements=catalogue, floor=None,
                       steady=steady, plan=plan):  # fmt: skip
        limit = catalogue.get(item.requirement).limit
        odds = odds_of(metrics[item.requirement], limit)
        assert item.planned_n == odds.needed_for_power(0.95)
        assert item.power_at_half >= POWER
        assert dataclasses.replace(item).in_scope
