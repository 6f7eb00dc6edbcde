"""What an open question still takes: said, and true when that much of the same has come."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.devices.registry import find_device
from bench.judge.judge import judge
from bench.judge.shortfall import WITHIN_UNCERTAINTY
from bench.judge.specify import specify
from bench.judge.verdict import Outcome, Specification
from bench.measure.bounds import effective_binomial
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.requirements.loader import load_catalogue

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")


def asked(limit=1e-3, rule="guard-band", **changes):
    plain = Specification("R", "d", "s", "loss", "interface-interface", "<", limit, None, "1", rule)
    return dataclasses.replace(plain, **changes)


def lossy(lost, n, effect=1.0):
    lower, upper = effective_binomial(lost, n, effect)
    return Measurement(
        lost / n, "1", n, "loss", "interface-interface", lower=lower, upper=upper,
        confidence=0.95, details={"lost": float(lost), "design_effect": effect},
    )  # fmt: skip


def verdict(spec, found):
    return judge(spec, found, test="t", session="s")


def needed(reason):
    return int(re.search(r"about (\d+) samples", reason)[1])


@given(some.integers(0, 40), some.integers(1000, 100_000), some.floats(1, 10))
def test_as_many_losses_as_said_decide(lost, n, effect):
    found = verdict(asked(), lossy(lost, n, effect))
    if found.verdict is not OPEN or lost == n / 1000:
        return
    if "would decide" in found.reason:
        total = needed(found.reason)
        more = lossy(round(lost / n * total), total, effect)
        nearly = [verdict(asked(), lossy(round(lost / n * t), t, effect)).verdict
                  for t in (total, int(1.02 * total), int(1.05 * total))]  # fmt: skip
        assert more.n > n
        assert nearly.count(OPEN) < 3


def test_the_count_is_named():
    found = verdict(asked(), lossy(0, 1000))
    assert found.verdict is OPEN
    assert needed(found.reason) == pytest.approx(2995, rel=0.01)
    assert "1995 more" in found.reason or re.search(r"20\d\d more", found.reason)


def test_fewer_than_planned_says_how_many_are_missing():
    found = verdict(asked(planned_n=29_956), lossy(0, 20_000))
    assert found.verdict is OPEN
    assert "9956 more samples are needed" in found.reason
    trials = Measurement(0.1, "1", 4, "m", "interface-interface", trials=(0.1,) * 4)
    found = verdict(asked(1.0, "demonstrated", planned_n=59), trials)
    assert "55 more trials are needed" in found.reason


def delays(value, lower, upper, u=0.0, needed_n=None):
    return Measurement(
        value, "s", 1000, "delay-p99", "interface-interface", lower=lower, upper=upper,
        confidence=0.95, needed_n=needed_n, budget=(UncertaintyTerm("tap", u / 2, ""),),
    )  # fmt: skip


def test_a_percentile_needs_four_times_the_samples_for_half_the_width():
    spec = asked(10.0, unit="s")
    assert needed(verdict(spec, delays(8.0, 7.0, 12.0)).reason) == 4000
    assert needed(verdict(spec, delays(12.0, 9.0, 14.0)).reason) == 2250
    assert needed(verdict(spec, delays(8.0, 7.0, None, needed_n=3000)).reason) == 3000


def test_no_count_helps_against_the_uncertainty():
    spec = asked(10.0, unit="s")
    assert WITHIN_UNCERTAINTY in verdict(spec, delays(9.5, 9.4, 9.6, u=1.0)).reason
    simple = dataclasses.replace(spec, rule="simple")
    assert verdict(simple, delays(9.5, 9.4, 9.6, u=1.0)).verdict is PASS


@given(
    some.floats(0, 20), some.none() | some.floats(0, 1), some.none() | some.floats(1, 3),
    some.floats(0, 5), some.sampled_from(["<", "<=", ">", ">=", "in", "=="]),
    some.integers(0, 3000), some.sampled_from(["simple", "guard-band"]),
)  # fmt: skip
def test_whatever_is_open_a_reason_comes(value, lower, upper, u, comparator, planned, rule):
    spec = asked(10.0, rule, comparator=comparator, high=12.0, unit="s", planned_n=planned)
    found = delays(
        value, None if lower is None else value * lower, None if upper is None else value * upper, u
    )
    assert verdict(spec, found).reason


# ---- the rule of a run -----------------------------------------------------------------------


def test_a_rule_for_the_run_leaves_safety_and_demonstrated_alone():
    seen = set()
    for entry in CATALOGUE.values():
        own = specify(entry, ROBOT, "", planned_n=1, confidence=0.95)
        chosen = specify(entry, ROBOT, "", planned_n=1, confidence=0.95, rule="simple")
        seen.add(own.rule)
        if own.rule in ("safety", "demonstrated"):
            assert chosen == own
        else:
            assert (chosen.rule, chosen.chosen, own.chosen) == ("simple", True, False)
    assert {"guard-band", "safety", "demonstrated"} <= seen


def test_a_verdict_names_the_rule_that_was_chosen():
    plain = verdict(asked(), lossy(0, 9000)).rule
    chosen = verdict(asked(rule="simple", chosen=True), lossy(0, 9000)).rule
    assert plain == "guard band w = U (ILAC-G8:09/2019), bound at 95% confidence"
    assert chosen.startswith("simple acceptance (ILAC-G8:09/2019)")
    assert chosen.endswith("chosen for this run")


@given(some.floats(0, 20), some.floats(0, 1), some.floats(1, 2), some.floats(0, 5))
def test_simple_acceptance_decides_all_that_the_guard_band_decides(value, lower, upper, u):
    spec = asked(10.0, unit="s")
    found = delays(value, value * lower, value * upper, u)
    guarded = verdict(spec, found).verdict
    if guarded is not OPEN:
        assert verdict(dataclasses.replace(spec, rule="simple"), found).verdict is guarded
