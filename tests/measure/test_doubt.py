"""Whatever the truth of the ambiguous packets is, it lies between the bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure import doubt, metrics
from bench.measure.kpi import METRICS, measure_flow
from bench.measure.statistics import quantile

SERIES = {
    "delay": (doubt.delays, metrics.delay_or_never),
    "ipdv": (doubt.variations, metrics.ipdv),
    "pdv": (doubt.above_least, metrics.pdv),
}
ONE = 1e-12


def plain(q):
    def figure(series):
        value = quantile(np.sort(series), q) if len(series) else None
        return {"value": value, "lower": value, "upper": value}

    return figure


@pytest.mark.parametrize("name", SERIES)
@given(data=some.data())
def test_quantiles_of_every_truth_lie_between(doubtful, name, data):
    flows = [doubtful.flow_from(data.draw(doubtful.packets)) for _ in range(2)]
    q = data.draw(some.sampled_from([0.01, 0.5, 0.9, 0.99]))
    between, exact = SERIES[name]
    found = doubt.bounded([between(each) for each in flows], plain(q))
    rng = np.random.default_rng(len(flows[0]))
    for _ in range(8):
        series = np.concatenate([exact(doubtful.truth_of(each, rng)) for each in flows])
        if len(series):
            true = quantile(np.sort(series), q)
            assert found["lower"] - ONE <= true <= found["upper"] + ONE
    if found["value"] is not None:
        assert found["lower"] <= found["value"] <= found["upper"]


@given(data=some.data())
def test_jitter_of_every_truth_lies_between(doubtful, data):
    flow = doubtful.flow_from(data.draw(doubtful.packets))
    lower, value, upper = doubt.jitter(flow)
    rng = np.random.default_rng(len(flow))
    for _ in range(8):
        true = metrics.rfc3550_jitter(doubtful.truth_of(flow, rng))
        if not math.isnan(value) and not math.isnan(true):
            assert lower - ONE <= true <= upper + ONE
            assert lower <= value <= upper


@given(data=some.data())
def test_loss_and_largest_delay_of_every_truth_lie_between(doubtful, data):
    flow = doubtful.flow_from(data.draw(doubtful.packets))
    largest = doubt.largest_delay([flow])

    def ratio(parts):
        lost, n = metrics.loss(parts[0])
        value = lost / n if n else None
        return {"value": value, "lower": value, "upper": value, "details": {}}

    found = doubt.loss_bounds([flow], ratio)
    rng = np.random.default_rng(len(flow))
    for _ in range(8):
        truth = doubtful.truth_of(flow, rng)
        lost, n = metrics.loss(truth)
        if n:
            assert found["lower"] - ONE <= lost / n <= found["upper"] + ONE
        if len(truth.delay_s):
            assert truth.delay_s.max() <= largest["upper"] + ONE
            assert largest["lower"] is None or largest["lower"] <= truth.delay_s.max() + ONE


def measured(flow, metric):
    return measure_flow([flow], 1.0, metric, confidence=0.95, budget=(), terms=())


@pytest.mark.parametrize("metric", METRICS)
@given(data=some.data())
def test_any_flow_can_be_measured(doubtful, metric, data):
    found = measured(doubtful.flow_from(data.draw(doubtful.packets)), metric)
    if found.value is None:
        return
    for low, high in ((found.lower, found.value), (found.value, found.upper)):
        assert low is None or high is None or not low > high + ONE
    if len(found.trials):
        pytest.fail("a KPI has no trials")


def test_doubt_moves_both_bounds_of_loss(doubtful):
    arrived, lost = ("A", 5, 5, False, True), ("?", 5, 5, True, True)
    clean, unclear = (
        measured(doubtful.flow_from(([first] + [arrived] * 30) * 200), "loss")
        for first in (arrived, lost)
    )
    assert clean.value == unclear.value == 0
    assert clean.upper < 0.001
    assert unclear.upper >= 1 / 31
    assert unclear.lower == 0
    assert unclear.details["ambiguous"] == 200


def test_doubt_moves_the_bounds_of_times(doubtful):
    arrived, lost, late = (
        ("A", 5, 5, False, True), ("?", 5, 5, True, True), ("?", 5, 60, False, True),
    )  # fmt: skip
    found = {
        metric: measured(doubtful.flow_from(([late] + [arrived] * 30) * 200), metric)
        for metric in METRICS
    }
    ends = {name: (each.lower, each.value, each.upper) for name, each in found.items()}
    assert ends["delay-p99"] == pytest.approx((0.005, 0.005, 0.060))
    assert ends["delay-max"] == pytest.approx((0.005, 0.005, 0.060))
    assert ends["ipdv-p99"] == pytest.approx((0, 0, 0.055))
    assert ends["pdv-p999"] == pytest.approx((0, 0, 0.055))
    assert ends["rfc3550-jitter"] == pytest.approx((0, 0, 0.055 * (15 / 16) ** 24))
    assert ends["loss"][:2] == (0, 0)
    unclear = measured(doubtful.flow_from(([lost] + [arrived] * 30) * 200), "delay-p99")
    assert unclear.upper == math.inf


def test_a_flow_of_nothing_is_a_problem(doubtful):
    found = measured(doubtful.flow_from([]), "loss")
    assert found.value is None
    assert found.problems
    with pytest.raises(KeyError):
        measured(doubtful.flow_from([]), "throughput")
