import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.failing import Boundary
from bench.measure.failure_region import Column, Met, Point, likelihood_of
from bench.measure.likelihood import (
    Failing,
    Surroundings,
    likelihood_beside,
    likelihood_beside_all,
)
from bench.network.radio.exposure import Exposure

dbm = st.floats(-120, -20)


def test_it_is_the_share_of_the_time_in_which_the_level_stays_below():
    """Simulated: levels drawn, the boundary drawn within its interval and uncertainty."""
    rng = np.random.default_rng(1)
    failing, met = Failing(-72.0, -70.0, 1.2), Surroundings(0.3, -75.0, 4.0)
    found = likelihood_beside(failing, met)
    n = 400_000
    level = rng.normal(-75.0, 4.0, n)
    boundary = rng.uniform(-72.0, -70.0, n) + rng.normal(0, 0.6, n)
    there = rng.random(n) < 0.3
    assert found.value == pytest.approx(1 - (there & (level > boundary)).mean(), abs=0.003)
    assert found.low < found.value < found.high


@given(dbm, st.floats(0, 20), st.floats(0, 3), st.floats(0, 1), dbm, st.floats(0, 10))
def test_bounds_enclose_and_uncertainty_only_widens(kept, width, u, present, mean, deviation):
    met = Surroundings(present, mean, deviation)
    found = likelihood_beside(Failing(kept, kept + width, u), met)
    wider = likelihood_beside(Failing(kept, kept + width, u + 1), met)
    assert 0 <= found.low <= found.high <= 1
    assert wider.low <= found.low <= found.high <= wider.high
    if deviation > 0.1:
        assert found.low - 1e-9 <= found.high + 1e-9


def test_above_what_was_tried_nothing_is_taken_for_granted():
    met = Surroundings(1.0, -60.0, 3.0)
    found = likelihood_beside(Failing(-65.0, math.inf, 0.0), met)
    assert found.low == found.value == pytest.approx(0.0478, abs=1e-3)
    assert found.high == 1.0
    never = likelihood_beside(Failing(-math.inf, -80.0, 0.0), met)
    assert never.low == never.value == 0.0


def test_signals_are_independent():
    one = likelihood_beside(Failing(-70, -68, 1), Surroundings(0.5, -70, 2))
    both = likelihood_beside_all([one, one])
    assert (both.value, both.low, both.high) == (one.value**2, one.low**2, one.high**2)


def column(problem="", kept=3, fails=4):
    levels = tuple(-80.0 + 2 * n for n in range(8))
    boundary = Boundary(8, kept, fails, 0.95, True, (), problem)
    exposure = Exposure("s", 3.5e9, -70.0, 18e6)
    point = Point(exposure, 0.0, True, "", 1.2, "analyser", 1e6, "id", 0)
    return Column("s", 0.0, 1.0, levels, boundary, (point,))


def test_a_region_without_what_its_surroundings_name_has_no_likelihood():
    met = Met("s", 0.0, 1.0, Surroundings(0.3, -80, 4))
    assert column().failing() == Failing(-74.0, -72.0, 1.2)
    total, each, problem = likelihood_of((column(),), (met,))
    assert (problem, list(each)) == ("", ["s in the channel"])
    assert total.low < total.value < total.high
    other = Met("s", 40e6, 0.5, met.surroundings)
    assert likelihood_of((column(),), (other,))[2] == "s at +40 MHz, duty 50 % was not explored"
    assert likelihood_of((column("no evidence"),), (met,))[0] is None
    assert likelihood_of((column(),), ()) == (None, {}, "no surroundings are declared")
    assert column("no evidence").failing() == Failing(-math.inf, math.inf, 1.2)
