"""The laws of judging, under hypothesis, and each rule on cases worked out by hand."""

import dataclasses
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from bench.judge.judge import judge
from bench.judge.verdict import Outcome, Specification
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.requirements.model import NEARER_THAN

PASS, FAIL, OPEN, ERROR = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR
LENIENT = {PASS: 0, OPEN: 1, FAIL: 2}
finite = some.floats(0, 1e6)


def spec(**changes):
    plain = Specification(
        requirement="R", device="d", stream="s", metric="delay-p99",
        reference_points="interface-interface", comparator="<=", low=10.0, high=None, unit="s",
        rule="guard-band",
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def bounded(value, lower=None, upper=None, u=0.0, **changes):
    budget = (UncertaintyTerm("tap", u / 2, "test"),)
    plain = Measurement(
        value, "s", 1000, "m", "interface-interface",
        lower=value if lower is None else lower, upper=value if upper is None else upper,
        confidence=0.95, budget=budget, required_terms=("tap",),
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def tried(*trials, u=0.0, **changes):
    worst = max(trials) if trials else None
    return bounded(worst, u=u, trials=trials, n=len(trials), **changes)


def said(a_spec, found):
    return judge(a_spec, found, test="t", session="s").verdict


@pytest.mark.parametrize(
    ("lower", "value", "upper", "u", "verdict"),
    [
        (8, 8.5, 9, 1.0, PASS),
        (8, 8.5, 9, 1.01, OPEN),
        (8, 9.5, 11, 0.0, OPEN),
        (10.5, 11, 12, 0.4, FAIL),
        (10.5, 11, 12, 0.6, OPEN),
        (8, 8.5, None, 0.0, OPEN),
    ],
)
def test_guard_band(lower, value, upper, u, verdict):
    found = dataclasses.replace(bounded(value, u=u), lower=lower, upper=upper)
    assert said(spec(), found) is verdict


def test_simple_acceptance_ignores_the_uncertainty():
    assert said(spec(rule="simple"), bounded(9.9, u=5.0)) is PASS
    assert said(spec(), bounded(9.9, u=5.0)) is OPEN


@pytest.mark.parametrize(
    ("comparator", "at_limit", "inside", "outside"),
    [("<", FAIL, 9, 11), ("<=", PASS, 9, 11), (">", FAIL, 11, 9), (">=", PASS, 11, 9),
     ("==", PASS, 10, 11)],
)  # fmt: skip
def test_comparators_at_their_limit(comparator, at_limit, inside, outside):
    asked = spec(comparator=comparator)
    assert said(asked, bounded(10.0)) is at_limit
    assert said(asked, bounded(float(inside))) is PASS
    assert said(asked, bounded(float(outside))) is FAIL


def test_a_bound_on_the_limit_decides_only_what_it_shows():
    assert said(spec(comparator="<"), bounded(9.5, 9.0, 10.0)) is OPEN
    assert said(spec(comparator="<="), bounded(9.5, 9.0, 10.0)) is PASS
    assert said(spec(comparator=">"), bounded(10.5, 10.0, 11.0)) is OPEN
    assert said(spec(comparator=">="), bounded(10.5, 10.0, 11.0)) is PASS
    assert said(spec(comparator="<="), bounded(10.5, 10.0, 11.0)) is OPEN
    assert said(spec(comparator=">="), bounded(9.5, 9.0, 10.0)) is OPEN


def test_ranges():
    asked = spec(comparator="in", low=5.0, high=10.0)
    assert [said(asked, bounded(v)) for v in (4.9, 5.0, 10.0, 10.1)] == [FAIL, PASS, PASS, FAIL]
    assert said(asked, bounded(5.0, u=0.1)) is OPEN
    result = judge(asked, bounded(9.0), test="t", session="s")
    assert (result.limit, result.margin) == (10.0, 1.0)


def test_fewer_samples_than_planned_never_pass():
    assert said(spec(planned_n=1001), bounded(1.0)) is OPEN
    assert said(spec(planned_n=1000), bounded(1.0)) is PASS


@pytest.mark.parametrize("rule", ["demonstrated", "safety"])
def test_trials(rule):
    asked = spec(rule=rule, planned_n=3)
    assert said(asked, tried(1.0, 2.0, 9.0, u=1.0)) is PASS
    assert said(asked, tried(1.0, 2.0)) is OPEN
    assert said(asked, tried(1.0, 11.0, u=0.5)) is FAIL
    assert said(asked, tried(1.0, math.inf)) is FAIL
    assert said(asked, tried(1.0, 2.0, 9.9, u=0.5)) is OPEN
    assert said(spec(rule=rule, planned_n=0), tried()) is OPEN
    assert said(spec(rule=rule, planned_n=0), bounded(1.0)) is OPEN


def test_a_safety_value_beyond_its_limit_fails_within_the_uncertainty_too():
    assert said(spec(rule="safety"), tried(10.1, u=1.0)) is FAIL
    assert said(spec(rule="demonstrated"), tried(10.1, u=1.0)) is OPEN


def test_confidence_of_trials_is_the_success_probability_they_show():
    result = judge(spec(rule="demonstrated", planned_n=59), tried(*[1.0] * 59), test="t",
                   session="s")  # fmt: skip
    assert result.confidence == pytest.approx(0.95, abs=1e-3)
    assert judge(spec(), bounded(1.0), test="t", session="s").confidence == 0.95


def test_a_response_that_may_still_have_come_is_open():
    asked = spec(rule="demonstrated", comparator="<", low=10.0)
    found = tried(math.inf)
    assert said(asked, dataclasses.replace(found, details={"watched_s": 5.0})) is OPEN
    assert said(asked, dataclasses.replace(found, details={"watched_s": 10.0})) is FAIL


@pytest.mark.parametrize(
    ("asked", "found", "word"),
    [
        (spec(undeclared=("hold_within_s",)), bounded(1.0), "not declared: D:hold_within_s"),
        (spec(), bounded(1.0, problems=("a tap lost packets",)), "a tap lost packets"),
        (spec(), bounded(1.0, required_terms=("tap", "clock")), "lacks clock"),
        (spec(), bounded(1.0, budget=(UncertaintyTerm("tap", math.nan, ""),)), "lacks tap"),
        (spec(), bounded(math.nan), "nothing was measured"),
        (spec(), bounded(None, lower=0.0, upper=0.0), "nothing was measured"),
        (spec(), bounded(1.0, n=0), "nothing was measured"),
        (spec(), bounded(-0.1), "negative"),
        (spec(rule="safety"), bounded(1.0, trials=(1.0, math.nan)), "no value"),
        (spec(rule="safety"), bounded(1.0, trials=(1.0, -1.0)), "no value"),
        (spec(), bounded(1.0, unit="bit/s"), "asked for in"),
        (spec(low=None), bounded(1.0), "no figure"),
        (spec(reference_points="app-app"), bounded(1.0), "nearer points"),
        (spec(reference_points="glass-glass"), bounded(1.0), "nearer points"),
    ],
)  # fmt: skip
def test_what_backs_no_verdict(asked, found, word):
    for value in (found, dataclasses.replace(found, lower=99.0, upper=99.0)):
        result = judge(asked, value, test="t", session="s")
        assert result.verdict is OPEN
        assert word in result.reason


def test_the_benchs_own_fault_is_an_error():
    found = bounded(1.0, errors=("the emulator died",), problems=("x",))
    assert said(spec(undeclared=("x",)), found) is ERROR


def test_nearer_reference_points_never_pass():
    for wanted, nearer in NEARER_THAN.items():
        for points in nearer:
            found = bounded(1.0, reference_points=points)
            assert said(spec(reference_points=wanted), found) is OPEN


# ---- laws ------------------------------------------------------------------------------------

bounds = some.tuples(finite, finite, finite).map(sorted)


@given(bounds, some.floats(0, 100), some.floats(0, 1e6), some.sampled_from(["<", "<="]))
def test_monotone_in_the_value(interval, u, shift, comparator):
    """For an upper limit, a larger value is never judged more leniently."""
    low, value, high = interval
    asked = spec(comparator=comparator, low=500_000.0)
    smaller = said(asked, bounded(value, low, high, u))
    larger = said(asked, bounded(value + shift, low + shift, high + shift, u))
    assert LENIENT[larger] >= LENIENT[smaller]


@given(bounds, some.floats(0, 100), some.floats(0, 1e6), some.sampled_from([">", ">="]))
def test_monotone_for_a_lower_limit(interval, u, shift, comparator):
    low, value, high = interval
    asked = spec(comparator=comparator, low=500_000.0)
    smaller = said(asked, bounded(value, low, high, u))
    larger = said(asked, bounded(value + shift, low + shift, high + shift, u))
    assert LENIENT[larger] <= LENIENT[smaller]


@given(bounds, some.floats(0, 100), some.floats(0, 100), some.sampled_from(["<", ">=", "in"]))
def test_more_uncertainty_decides_nothing_new(interval, u, more, comparator):
    low, value, high = interval
    asked = spec(comparator=comparator, low=1000.0, high=500_000.0)
    before = said(asked, bounded(value, low, high, u))
    after = said(asked, bounded(value, low, high, u + more))
    assert after in (before, OPEN)


@given(bounds, bounds, some.floats(0, 10), some.sampled_from(["<", "<=", ">", ">=", "in"]))
def test_tighter_bounds_never_turn_a_verdict(outer, inner, u, comparator):
    low, _, high = outer
    assume(low <= inner[0] and inner[2] <= high)
    asked = spec(comparator=comparator, low=1000.0, high=500_000.0)
    wide = said(asked, bounded(inner[1], low, high, u))
    tight = said(asked, bounded(inner[1], inner[0], inner[2], u))
    assert wide in (tight, OPEN)


@given(some.lists(finite, min_size=1, max_size=8), some.integers(1, 4), some.floats(0, 10))
def test_more_of_the_same_trials_turn_no_verdict_away(trials, times, u):
    for rule in ("demonstrated", "safety"):
        asked = spec(rule=rule, low=500_000.0, planned_n=len(trials))
        once, often = said(asked, tried(*trials, u=u)), said(asked, tried(*trials * times, u=u))
        assert once is often


@given(
    some.sampled_from([math.nan, None, -1.0, -1e-12, -math.inf]),
    some.sampled_from(["simple", "guard-band", "safety", "demonstrated"]),
    some.sampled_from(["<", "<=", ">", ">=", "in", "=="]),
)
def test_no_number_is_never_a_verdict_on_the_device(value, rule, comparator):
    asked = spec(rule=rule, comparator=comparator, high=20.0)
    trials = () if value is None else (value,)
    found = dataclasses.replace(bounded(1.0), value=value, lower=value, upper=value, trials=trials)
    assert said(asked, found) is OPEN


@given(bounds, some.floats(0, 100), some.integers(-30, 30),
       some.sampled_from(["<", "<=", ">", ">=", "in"]),
       some.sampled_from(["guard-band", "safety", "demonstrated"]))  # fmt: skip
def test_units_change_nothing(interval, u, power, comparator, rule):
    """Scaled by a power of two, which floating point does exactly."""
    low, value, high = interval
    scale = 2.0**power

    def verdict(k):
        asked = spec(comparator=comparator, low=1000.0 * k, high=500_000.0 * k, rule=rule)
        found = bounded(value * k, low * k, high * k, u * k, trials=(value * k,))
        return said(asked, found)

    assert verdict(1.0) is verdict(scale)


@given(bounds, some.floats(0, 100), some.sampled_from(["<", "<=", ">", ">=", "in"]))
def test_the_margin_is_negative_on_a_fail_and_not_on_a_pass(interval, u, comparator):
    low, value, high = interval
    asked = spec(comparator=comparator, low=1000.0, high=500_000.0)
    result = judge(asked, bounded(value, low, high, u), test="t", session="s")
    if result.verdict is PASS:
        assert result.margin >= 0
    if result.verdict is FAIL:
        assert result.margin <= 0
    assert result.reason


def test_a_margin_is_a_number_or_nothing():
    result = judge(spec(rule="safety"), tried(math.inf), test="t", session="s")
    assert (result.verdict, result.value, result.margin) == (FAIL, None, None)
    assert "never" in result.reason


def test_the_reason_carries_figures_and_units():
    reason = judge(spec(low=0.01), bounded(0.002, u=0.0001), test="t", session="s").reason
    assert "2 ms" in reason
    assert "10 ms" in reason
