"""Clocks that are known, seen through packets alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bench.measure.clocks import Apparent, compare_clocks

NONE = Apparent(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def path(offset, *, n=4000, seconds=60.0, there=0.010, back=0.012, noise=0.002, seed=1, queue=None):
    """Both directions of a path; ``offset``: of the right clock, from true time in s to s."""
    rng = np.random.default_rng(seed)
    found = []
    for forward, least in ((True, there), (False, back)):
        sent = np.sort(rng.uniform(0, seconds, n))
        delay = least + rng.exponential(noise, n)
        if queue is not None:
            delay += queue(sent, forward)
        arrived = sent + delay
        stamps = [sent, arrived + offset(arrived)] if forward else [sent + offset(sent), arrived]
        left = stamps[0] if forward else stamps[1]
        apparent = np.round((stamps[1] - stamps[0]) * 1e9).astype(np.int64)
        found.append(Apparent(np.round(left * 1e9).astype(np.int64), apparent))
    return found


@given(
    some.floats(-2, 2), some.floats(0.0001, 0.05), some.floats(0.0001, 0.05), some.integers(0, 99)
)
@settings(max_examples=25)
def test_the_offset_lies_inside(offset, there, back, seed):
    found = compare_clocks(
        *path(lambda t: offset + 0 * t, n=300, there=there, back=back, seed=seed)
    )
    assert found.lower_s - 1e-9 <= offset <= found.upper_s + 1e-9
    assert found.half_s >= (there + back) / 2 - 1e-9
    assert found.offset_s == pytest.approx((found.lower_s + found.upper_s) / 2)
    assert found.drift_low - 1e-12 <= 0 <= found.drift_high + 1e-12
    assert not found.steps


def test_half_the_round_trip_remains():
    found = compare_clocks(*path(lambda t: 0.5 + 0 * t))
    assert found.half_s == pytest.approx(0.011, rel=0.01)
    assert found.offset_s == pytest.approx(0.5 - 0.001, abs=1e-5)


@given(some.floats(-2e-4, 2e-4), some.integers(0, 99))
@settings(max_examples=25)
def test_the_drift_lies_inside(drift, seed):
    found = compare_clocks(*path(lambda t: 0.1 + drift * t, n=500, seconds=600.0, seed=seed))
    assert found.drift_low - 1e-9 <= drift <= found.drift_high + 1e-9
    assert found.drift == pytest.approx(drift, abs=2e-5)
    assert not found.steps
    for t in (0.0, 600.0):
        if abs(drift) > 8e-5:
            assert found.lower_s - 1e-6 <= 0.1 + drift * t <= found.upper_s + 1e-6


@pytest.mark.parametrize("size", [0.1, -0.1, 0.03, -0.03, 0.02, -0.02, 0.006, -0.006])
@pytest.mark.parametrize("at", [20.0, 41.0])
def test_a_step_is_found_where_it_was(size, at):
    found = compare_clocks(*path(lambda t: np.where(t < at, 0.2, 0.2 + size)))
    assert len(found.steps) == 1
    step = found.steps[0]
    assert step.t_ns / 1e9 == pytest.approx(at, abs=1.0)
    assert step.size_s == pytest.approx(size, rel=0.2)
    assert step.proven == (abs(size) > 0.025)
    for true in (0.2, 0.2 + size):
        assert found.lower_s - 1e-9 <= true <= found.upper_s + 1e-9


def test_two_steps():
    found = compare_clocks(*path(lambda t: np.select([t < 20, t < 40], [0.0, 0.1], 0.0)))
    assert [round(step.size_s, 2) for step in found.steps] == [0.1, -0.1]


@pytest.mark.parametrize(
    "queue",
    [
        lambda t, forward: np.where((t > 30) & forward, 0.02, 0.0),
        lambda t, forward: np.where(t > 30, 0.02, 0.0),
        lambda t, forward: 0.02 * t / 60,
        lambda t, forward: np.where((t > 20) & (t < 40), 0.3, 0.0),
    ],
    ids=["one way", "both ways", "ramp", "for a while"],
)
def test_a_path_that_changes_is_no_step_of_the_clock(queue):
    found = compare_clocks(*path(lambda t: 0.2 + 0 * t, queue=queue))
    assert not found.steps
    assert found.lower_s <= 0.2 <= found.upper_s
    assert found.drift_low <= 0 <= found.drift_high


def test_clocks_that_no_even_drift_explains_are_not_called_even():
    there_and_back = compare_clocks(*path(lambda t: 0.1 * np.sin(t)))
    assert not there_and_back.even
    assert there_and_back.drift is None
    assert there_and_back.lower_s <= -0.09
    assert there_and_back.upper_s >= 0.09
    assert compare_clocks(*path(lambda t: 0.1 + 0 * t)).even


def test_one_direction_bounds_one_side():
    forward, backward = path(lambda t: 0.2 + 0 * t)
    found = compare_clocks(forward, NONE)
    assert (found.lower_s, found.half_s, found.drift) == (None, None, None)
    assert found.upper_s == pytest.approx(0.21, abs=1e-4)
    assert compare_clocks(NONE, backward).lower_s == pytest.approx(0.2 - 0.012, abs=1e-4)
    assert compare_clocks(NONE, NONE).upper_s is None


def test_few_packets():
    one = Apparent(np.array([5]), np.array([10_000_000]))
    found = compare_clocks(one, one)
    assert (found.lower_s, found.upper_s, found.offset_s) == pytest.approx((-0.01, 0.01, 0.0))


def test_resolution_widens():
    forward, backward = path(lambda t: 0 * t)
    exact, coarse = (compare_clocks(forward, backward, resolution_s=r) for r in (0.0, 1e-3))
    assert coarse.half_s == pytest.approx(exact.half_s + 1e-3)


@pytest.mark.parametrize("noise", [1e-5, 2e-3, 0.02])
def test_noise_is_no_step(noise):
    for seed in range(40):
        n = (100, 300, 1000)[seed % 3]
        given = path(lambda t: 0 * t, n=n, there=1e-4, back=1e-4, noise=noise, seed=seed)
        found = compare_clocks(*given)
        assert not found.steps
        assert found.even
        assert found.lower_s <= 0 <= found.upper_s
