"""The scope: what is left out, why, and with which figures; how long the evidence takes."""

import dataclasses

import pytest

from bench.devices.registry import find_device
from bench.judge.planning import seconds_needed
from bench.judge.scope import Candidate, Plan, decide, intended_p99_s, steady_duration_s
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


def settle(requirement, stream="force-feedback", *, noise=None, budget_s=40.0, needs=(), trials=1):
    plan = Plan(budget_s, trials, 0.95, frozenset({"haptics"}))
    candidate = Candidate(requirement, stream, "t", "steady-5g-slice", needs)
    (item,) = decide([candidate], profile=ROBOT, requirements=CATALOGUE, floor=noise,
                     steady=STEADY, plan=plan)  # fmt: skip
    assert item.in_scope is (item.reason == "")
    assert (item.requirement, item.stream, item.test) == (requirement, stream, "t")
    return item


def test_what_the_evidence_suffices_for_is_in_scope():
    delay = settle("000-t2-force-delay", noise=floor())
    assert (delay.in_scope, delay.planned_n) == (True, 299)
    assert delay.duration_s == pytest.approx(1.1 * 299 / 1000)
    loss = settle("000-t2-force-loss", noise=floor())
    assert (loss.in_scope, loss.planned_n) == (True, 29956)


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
    assert f"2995 samples at {stream.packets_per_s:g}/s" in left_out.figure
    assert "budget" in left_out.figure
    assert settle("000-t2-temperature-loss", "temperature", budget_s=needed).in_scope


def test_what_does_not_apply():
    carried = settle("000-t2-video-3d-delay", "")
    assert carried.reason == "the device carries no stream of kind video-3d"
    assert "option" in carried.figure
    needs = settle("LOC-1", "", needs=("haptics", "real-packets", "antenna"))
    assert needs.reason == "bench or device lacks real-packets, antenna"


def test_a_behaviour_takes_the_trials_of_the_plan():
    assert settle("LOC-1", "", needs=("haptics",), trials=59).planned_n == 59


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
        settle("000-t2-force-loss"),
        settle("000-t2-temperature-loss", "temperature", budget_s=10.0),
        settle("LOC-1", ""),
    ]
    assert not items[2].in_scope
    items[2] = dataclasses.replace(items[2], duration_s=1e4)
    assert steady_duration_s(items, 10.0) == pytest.approx(1.1 * 29956 / 1000)
    assert steady_duration_s(items[:1], 10.0) == 10.0
    assert steady_duration_s([], 2.0) == 2.0
