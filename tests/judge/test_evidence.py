"""Laws of evidence under hypothesis: less of it never turns anything but a PASS into a PASS."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.judge.judge import judge
from bench.judge.verdict import Outcome, Specification
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.requirements.model import NEARER_THAN

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
POINTS = ("interface-interface", "app-app", "glass-glass", "stop-motion", "fault-signal", "none")
RULES = ("simple", "guard-band", "safety", "demonstrated")
UPPER, LOWER = ("<", "<="), (">", ">=")


@some.composite
def specifications(draw, rules=RULES, comparators=(*UPPER, *LOWER, "in", "==")):
    low = draw(some.floats(0.001, 10))
    return Specification(
        requirement="R", device="d", stream="s", metric="m",
        reference_points="interface-interface", comparator=draw(some.sampled_from(comparators)),
        low=low, high=low + draw(some.floats(0, 10)), unit="s", rule=draw(some.sampled_from(rules)),
        planned_n=draw(some.integers(1, 6)),
    )  # fmt: skip


@some.composite
def measurements(draw, points="interface-interface"):
    trials = tuple(draw(some.lists(some.floats(0, 20) | some.just(math.inf), min_size=1,
                                   max_size=6)))  # fmt: skip
    value = max(trials)
    names = ("tap", "clock")
    return Measurement(
        value, "s", len(trials), "m", points,
        lower=draw(some.none() | some.floats(0, 1).map(lambda x: x * value if x else 0.0)),
        upper=draw(some.none() | some.floats(1, 2).map(lambda x: x * value)),
        confidence=0.95,
        budget=tuple(UncertaintyTerm(n, draw(some.floats(0, 1)), "") for n in names),
        required_terms=names, trials=trials,
    )  # fmt: skip


def said(spec, found):
    return judge(spec, found, test="t", session="s").verdict


WEAKER = {
    "fewer": lambda m: dataclasses.replace(
        m, n=m.n - 1, trials=m.trials[:-1], value=max(m.trials[:-1], default=None)
    ),
    "no upper bound": lambda m: dataclasses.replace(m, upper=None),
    "no lower bound": lambda m: dataclasses.replace(m, lower=None),
    "a term less": lambda m: dataclasses.replace(m, budget=m.budget[:1]),
    "a term without a value": lambda m: dataclasses.replace(
        m, budget=(dataclasses.replace(m.budget[0], standard=math.nan), m.budget[1])
    ),
    "a wider term": lambda m: dataclasses.replace(
        m, budget=(dataclasses.replace(m.budget[0], standard=2.0), m.budget[1])
    ),
    "a problem": lambda m: dataclasses.replace(m, problems=("a tap lost packets",)),
    "an error": lambda m: dataclasses.replace(m, errors=("the emulator died",)),
    "no value": lambda m: dataclasses.replace(m, value=None),
    "NaN": lambda m: dataclasses.replace(m, value=math.nan),
    "a trial without a value": lambda m: dataclasses.replace(m, trials=(*m.trials, math.nan)),
    "a negative trial": lambda m: dataclasses.replace(m, trials=(*m.trials, -1e-9)),
    "less confidence": lambda m: dataclasses.replace(m, confidence=0.9),
    "no confidence": lambda m: dataclasses.replace(m, confidence=None),
    "another unit": lambda m: dataclasses.replace(m, unit="bit/s"),
}


@pytest.mark.parametrize("how", WEAKER)
@given(data=some.data())
def test_less_evidence_never_passes_what_did_not(how, data):
    spec, found = data.draw(specifications()), data.draw(measurements())
    # A run plans its trials beforehand and counts all: there are never more than planned.
    spec = dataclasses.replace(spec, planned_n=max(spec.planned_n, found.n))
    if said(spec, found) is not PASS:
        assert said(spec, WEAKER[how](found)) is not PASS


@pytest.mark.parametrize("how", [h for h in WEAKER if h not in ("a wider term", "no lower bound")])
@given(data=some.data())
def test_less_evidence_never_fails_what_did_not(how, data):
    spec, found = data.draw(specifications()), data.draw(measurements())
    if said(spec, found) is not FAIL:
        assert said(spec, WEAKER[how](found)) is not FAIL


VOID = ("a term less", "a term without a value", "a problem", "no value", "NaN",
        "a trial without a value", "a negative trial", "another unit")  # fmt: skip


@pytest.mark.parametrize("how", VOID)
@given(data=some.data())
def test_void_evidence_is_open_under_every_rule(how, data):
    spec, found = data.draw(specifications()), data.draw(measurements())
    assert said(spec, WEAKER[how](found)) is OPEN


@given(specifications(rules=("simple", "guard-band")), measurements())
def test_weaker_confidence_than_asked_for_decides_nothing(spec, found):
    for confidence in (None, 0.0, 0.9499):
        assert said(spec, dataclasses.replace(found, confidence=confidence)) is OPEN


@given(specifications(rules=("simple", "guard-band")), some.floats(0.1, 10), some.floats(1e-6, 5))
def test_bounds_that_do_not_hold_the_value_decide_nothing(spec, value, off):
    sound = Measurement(value, "s", 9, "m", "interface-interface", confidence=0.95)
    above = dataclasses.replace(sound, lower=value + off, upper=value + 2 * off)
    below = dataclasses.replace(sound, lower=max(0.0, value - 2 * off), upper=value - off)
    nothing = dataclasses.replace(sound, lower=math.nan, upper=math.nan)
    for found in (above, below, nothing):
        assert said(spec, found) is OPEN


@given(specifications(), measurements(), some.sampled_from(POINTS), some.sampled_from(POINTS))
def test_between_other_points(spec, found, asked, measured):
    """Nearer or unrelated points show nothing; farther ones can only keep an upper limit."""
    spec = dataclasses.replace(spec, reference_points=asked)
    found = dataclasses.replace(found, reference_points=measured)
    same = said(spec, dataclasses.replace(found, reference_points=asked))
    verdict = said(spec, found)
    farther = asked in NEARER_THAN.get(measured, ())
    if asked == measured:
        assert verdict is same
    elif farther and spec.comparator in UPPER and same is PASS:
        assert verdict is PASS
    else:
        assert verdict is OPEN


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("comparator", "value", "verdict"),
    [("<=", 1.0, PASS), ("<", 1.0, PASS), ("<=", 9.0, OPEN), (">=", 9.0, OPEN), (">", 1.0, OPEN)],
)
def test_a_longer_way_answers_for_a_shorter_one(rule, comparator, value, verdict):
    """App to app within 5 s: interface to interface too. App to app beyond it shows nothing."""
    spec = Specification(
        "R", "d", "s", "m", "interface-interface", comparator, 5.0, None, "s", rule
    )
    found = Measurement(
        value, "s", 1, "m", "app-app", value, value, confidence=0.95, trials=(value,)
    )
    assert said(spec, found) is verdict


@given(specifications(rules=("safety",), comparators=UPPER), measurements())
def test_one_failure_of_a_safety_assertion_fails_it(spec, found):
    beyond = dataclasses.replace(found, trials=(*found.trials, spec.low + 1), value=math.inf)
    assert said(spec, beyond) is FAIL


@given(specifications(rules=("safety", "demonstrated")), measurements())
def test_fewer_trials_than_planned_never_pass(spec, found):
    assert said(dataclasses.replace(spec, planned_n=found.n + 1), found) is not PASS
