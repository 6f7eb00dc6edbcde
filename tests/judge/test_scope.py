"""The scope: what is left out, why, and with which figures; how long the evidence takes."""

import dataclasses
import itertools

import pytest

from bench.devices.registry import find_device
from bench.judge.planning import seconds_needed
from bench.judge.scope import Candidate, Plan, decide, intended_p99_s, steady_duration_s
from bench.measure.counted import MEASURED
from bench.measure.floor import NoiseFloor, StreamFloor
from bench.network import library
from bench.network.impairment import Delay, Impairment
from bench.requirements.loader import load_catalogue

CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")
STEADY = library.steady().steps[1].segments[0].links["primary"].to_doctor
QUIET = StreamFloor(3e-5, 1e-4, 2e-4, 1e-3, 1e-4, 2e-4, 9999)


def floor(**worse):
    return NoiseFloor("n", {"force-feedback": dataclasses.replace(QUIET, **worse)}, True)


def settle(
    requirement, stream="force-feedback", *, noise=None, budget_s=40.0, needs=(), trials=1,
    catalogue=CATALOGUE, too_long=(), scenario="steady-5g-slice",
):  # fmt: skip
    plan = Plan(budget_s, trials, 0.95, frozenset({"motion"}), dict(too_long))
    candidate = Candidate(requirement, stream, "t", scenario, needs)
    (item,) = decide([candidate], profile=ROBOT, requirements=catalogue, floor=noise,
                     steady=STEADY, plan=plan)  # fmt: skip
    assert item.in_scope is (item.reason == "")
    assert (item.requirement, item.stream, item.test) == (requirement, stream, "t")
    return item


def test_what_the_evidence_suffices_for_is_in_scope():
    delay = settle("000-t2-force-delay", noise=floor())
    assert (delay.in_scope, delay.planned_n) == (True, 299)
    assert delay.duration_s == pytest.approx(1.1 * 299 / 1000)
    assert delay.power_at_half > 0.95
    loss = settle("000-t2-force-loss", noise=floor(), budget_s=33.0)
    assert (loss.in_scope, loss.planned_n) == (True, 30_000)
    assert loss.least_s == pytest.approx(1.1 * 29956 / 1000)
    assert loss.power_at_half == pytest.approx(0.223, abs=1e-3)


def test_what_the_budget_leaves_goes_into_power():
    """Never more than decides on half and on twice the limit, never less than shows it."""
    found = [settle("000-t2-force-loss", budget_s=s) for s in (33.0, 100.0, 400.0, 4000.0)]
    assert [item.duration_s for item in found] == pytest.approx(
        [33.0, 100.0, 384.07, 384.07], abs=0.01
    )
    assert [item.planned_n for item in found] == [30_000, 90_909, 349_156, 349_156]
    powers = [item.power_at_half for item in found]
    assert powers == sorted(powers)
    assert powers[1] < 0.5 < 0.95 < powers[2]


def test_a_longer_session_for_one_stream_gives_another_its_power():
    plan = Plan(400.0, 1, 0.95, frozenset())
    names = (("000-t2-temperature-loss", "temperature"), ("000-t2-audio-loss", "audio-to-doctor"))
    candidates = [Candidate(name, stream, name, "steady-5g-slice") for name, stream in names]
    slow, fast = decide(candidates, profile=ROBOT, requirements=CATALOGUE, floor=None,
                        steady=STEADY, plan=plan)  # fmt: skip
    assert (slow.duration_s, slow.planned_n) == (400.0, int(400 * 25 / 1.1))
    assert fast.planned_n == 3487
    assert slow.power_at_half < 0.5 < 0.95 < fast.power_at_half


@pytest.mark.parametrize(
    ("requirement", "worse", "figures"),
    [
        ("000-t2-force-delay", {"p99": 0.003}, ("limit 10 ms", "noise floor 3 ms")),
        ("000-t2-vibration-delay", {"p99": 0.001}, ("limit 5.5 ms", "noise floor 1 ms")),
        ("000-t2-force-jitter", {"ipdv_p99": 0.0006}, ("limit 2 ms", "noise floor 600 µs")),
        ("000-t2-force-jitter", {"ipdv_p99": float("nan")}, ("limit 2 ms", "noise floor —")),
    ],
)
def test_a_noise_floor_that_is_too_high(requirement, worse, figures):
    assert settle(requirement, noise=floor()).in_scope
    left_out = settle(requirement, noise=floor(**worse))
    assert left_out.reason == "this host's noise floor cannot resolve the limit"
    assert all(figure in left_out.figure for figure in figures)
    assert settle(requirement, noise=None).in_scope, "a bench without noise resolves everything"


def test_a_host_without_a_noise_floor_resolves_no_time():
    empty = NoiseFloor("n", {}, True)
    assert "no noise floor" in settle("000-t2-force-delay", noise=empty).figure
    assert settle("000-t2-force-loss", noise=empty).in_scope
    assert settle("000-t2-force-rate", noise=empty).in_scope


def test_noise_does_not_matter_to_a_limit_far_away():
    assert settle("000-t2-temperature-delay", "temperature", noise=floor(p99=0.05)).in_scope


def test_evidence_that_takes_too_long():
    stream = ROBOT.stream("temperature")
    needed = seconds_needed(stream, "loss", 1e-3, 0.95)
    left_out = settle("000-t2-temperature-loss", "temperature", budget_s=needed - 1)
    assert left_out.reason == "the evidence takes longer than this run"
    assert f"2995 packets at {stream.packets_per_s:g}/s" in left_out.figure
    assert "budget" in left_out.figure
    assert settle("000-t2-temperature-loss", "temperature", budget_s=needed).in_scope


def test_what_does_not_apply():
    carried = settle("000-t2-video-3d-delay", "")
    assert carried.reason == "the device carries no stream of kind video-3d"
    assert "option" in carried.figure
    needs = settle("LOC-1", "", needs=("motion", "real-packets", "antenna"))
    assert needs.reason == "bench or device lacks real-packets, antenna"


def test_a_behaviour_takes_the_trials_of_the_plan():
    assert settle("LOC-1", "", needs=("motion",), trials=59).planned_n == 59


# ---- figures that no plan measures -----------------------------------------------------------


def entry(**changes):
    """The catalogue with one entry of another kind."""
    made = dataclasses.replace(CATALOGUE["000-t2-force-loss"], id="X", **changes)
    return {**CATALOGUE, "X": made}


@pytest.mark.parametrize("metric", sorted(set(CATALOGUE.metrics) - set(MEASURED)))
def test_a_metric_that_no_plan_measures_is_left_out_with_a_reason(metric):
    streams, figures = ("force-feedback", ""), (None, 0.0, 0.5, 1.0, 2.592e6)
    for stream, low, comparator in itertools.product(streams, figures, ("<", ">", "in")):
        high = 3e6 if comparator == "in" else None
        catalogue = entry(metric=metric, low=low, high=high, comparator=comparator)
        item = settle("X", stream, catalogue=catalogue)
        assert not item.in_scope
        assert item.reason == f"not measured by this plan: {metric}"


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"metric": "delivery-ratio", "low": 0.999999, "comparator": ">="},
         "99.9999 % at 95 % needs 50 min at 1 kHz"),
        ({"metric": "bit-error-ratio", "low": 1e-10}, "BER 1e-10 at 288 kbit/s needs 29 h"),
        ({"metric": "mtbf", "low": 2.592e6, "comparator": ">", "unit": "s"},
         "MTBF 30 days at 95 % needs 90 days of operation without a failure"),
        ({"metric": "availability", "low": 0.999999, "comparator": ">="},
         "99.9999 % available at 95 % needs 173 days without an interruption"),
    ],
)  # fmt: skip
def test_what_it_would_take_is_said(changes, figure):
    assert figure in settle("X", catalogue=entry(**changes)).figure


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"low": None}, "the document gives no figure"),
        ({"low": 0.0}, "no amount of evidence shows it"),
        ({"direction": "to-patient"}, "asked for to-patient; the stream flows to-doctor"),
        ({"reference_points": "glass-glass"}, "not measured by this plan: measured interface"),
        ({"reference_points": "stop-motion"}, "not measured by this plan: measured interface"),
    ],
)
def test_what_cannot_come_to_a_verdict_is_left_out(changes, reason):
    assert settle("X", catalogue=entry()).in_scope
    assert settle("X", catalogue=entry(**changes)).reason.startswith(reason)


def test_what_is_asked_of_another_class_says_so():
    item = settle("X", "", catalogue=entry(device_class="diagnosis"))
    assert item.reason == "asked of devices of class diagnosis"
    assert item.figure == "this one is of class therapy"
    assert settle("X", catalogue=entry(device_class="any")).in_scope


def test_a_figure_for_no_single_stream():
    item = settle("X", "", catalogue=entry(stream="any"))
    assert item.reason == "not measured by this plan: it concerns no single stream"


def test_a_behaviour_that_the_bench_does_not_know():
    made = dataclasses.replace(CATALOGUE["LOC-1"], id="NEW-1")
    left_out = settle("NEW-1", "", catalogue={**CATALOGUE, "NEW-1": made})
    assert left_out.reason == "not measured by this plan: time-to-stop"


def test_trials_for_which_there_is_no_time():
    left_out = settle("LOC-1", "", scenario="local-stop", too_long={"local-stop": "6 s"})
    assert (left_out.reason, left_out.figure) == ("its trials take longer than this run", "6 s")
    other = settle("000-t2-force-delay", scenario="minute-sets", too_long={"minute-sets": "2 min"})
    assert (other.in_scope, other.figure) == (False, "2 min")


@pytest.mark.parametrize(
    ("state", "metric", "seconds"),
    [
        (Impairment(delay=Delay(0.01)), "delay-p99", 0.01),
        (Impairment(delay=Delay(0.01, "uniform", 0.002)), "delay-p99", 0.012),
        (Impairment(delay=Delay(0.01, "normal", 0.001)), "delay-p999", 0.014),
        (Impairment(delay=Delay(0.01, "uniform", 0.002)), "ipdv-p99", 0.004),
        (Impairment(rate_bps=1e6), "delay-p99", 102 * 8 / 1e6),
    ],
)
def test_what_the_steady_step_alone_gives(state, metric, seconds):
    stream = ROBOT.stream("force-feedback")
    assert intended_p99_s(stream, state, metric) == pytest.approx(seconds)


def test_the_steady_session_lasts_for_everything_in_scope_and_nothing_else():
    items = [
        settle("000-t2-force-delay"),
        settle("000-t2-force-loss", budget_s=33.0),
        settle("000-t2-temperature-loss", "temperature", budget_s=10.0),
        settle("LOC-1", ""),
    ]
    assert not items[2].in_scope
    items[2] = dataclasses.replace(items[2], duration_s=1e4)
    assert steady_duration_s(items, 10.0) == 33.0
    assert steady_duration_s(items[:1], 10.0) == 10.0
    assert steady_duration_s([], 2.0) == 2.0
