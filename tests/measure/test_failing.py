"""The adaptive search against the full grid: sharp, noisy and non-monotone devices."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from bench.measure.failing import LAPSE, TRIES, WIDTHS, full, most_points, search


def logistic(boundary, width, rng):
    """A device whose failures follow a logistic curve over the place of the level."""

    def respond(place):
        share = special.expit((place - boundary) / width)
        return bool(rng.random() < LAPSE + (1 - 2 * LAPSE) * share)

    return respond


@pytest.mark.parametrize("count", [16, 21, 31])
def test_a_sharp_device_has_the_boundary_of_the_full_grid_for_less_than_six_tenths(count):
    points = []
    for first in range(count + 1):
        found = search(count, lambda place, first=first: place >= first)
        whole = full(count, lambda place, first=first: place >= first)
        assert (found.kept, found.fails) == (whole.kept, whole.fails) == (first - 1, first)
        assert found.monotone
        assert not found.problem
        points.append(found.points)
        assert whole.points == count
    assert max(points) == most_points(count)
    assert count == 16 or max(points) <= 0.6 * count
    assert max(points) < count


def test_twenty_levels_are_enough_to_save_four_tenths_wherever_a_device_fails_sharply():
    assert {count for count in range(5, 46) if most_points(count) > 0.6 * count} == set(
        range(5, 20)
    )


@given(st.integers(5, 60), st.data())
def test_the_interval_always_holds_what_was_seen_of_a_sharp_device(count, data):
    first = data.draw(st.integers(0, count))
    found = search(count, lambda place: place >= first)
    assert found.kept < first <= found.fails
    assert found.saved == 1 - found.points / count


@pytest.mark.parametrize("count", [16, 21])
def test_a_device_as_noisy_as_was_thought_of_lies_in_the_interval_as_often_as_stated(count):
    """Devices from the widths' own distribution: 95 % or more, with an error below 1e-3."""
    rng = np.random.default_rng(3)
    shares = [share for _, share in WIDTHS]
    hits, trials = 0, 150
    for _ in range(trials):
        width = WIDTHS[rng.choice(len(WIDTHS), p=shares)][0]
        boundary = rng.uniform(-1, count)
        found = search(count, logistic(boundary, width, rng))
        hits += found.kept <= boundary <= found.fails
        assert found.points <= count + 2 * 3 + TRIES or not found.monotone
    assert hits / trials >= 0.95 - 3.1 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("width", [0.3, 0.7, 1.5])
def test_whatever_the_width_the_boundary_lies_no_further_than_a_width_outside(width):
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(80):
        boundary = rng.uniform(0, 21)
        found = search(21, logistic(boundary, width, rng))
        hits += found.kept - max(1, width) <= boundary <= found.fails + max(1, width)
    assert hits >= 0.95 * 80


@pytest.mark.parametrize("island", [range(5), range(2, 8), range(4, 9)])
@pytest.mark.parametrize("first", [12, 16, 20])
def test_a_range_of_failures_below_the_boundary_is_found_and_the_whole_grid_taken(island, first):
    def fails(place):
        return place >= first or place in island

    found, whole = search(21, fails), full(21, fails)
    assert not found.monotone
    assert not whole.monotone
    assert (found.kept, found.fails) == (whole.kept, whole.fails) == (island[0] - 1, island[0])


def test_a_device_that_works_again_above_is_found():
    found = search(21, lambda place: 9 <= place < 18)
    assert (found.monotone, found.fails) == (False, 9)


@pytest.mark.parametrize("count", [9, 21])
def test_a_range_of_failures_and_one_above_it_that_works_are_noticed_if_as_wide_as_a_gap(count):
    """Every device that fails over one range, works again above it and then fails for good."""
    widest = max(3, count // 6)
    for low in range(count):
        for high in range(low + widest, count):
            for first in range(high + widest, count + 1):

                def fails(place, low=low, high=high, first=first):
                    return low <= place < high or place >= first

                found = search(count, fails)
                assert (found.monotone, found.fails) == (False, low), (low, high, first)


@pytest.mark.parametrize("count", [5, 8, 21, 40])
def test_the_top_is_tried_and_no_gap_is_wider_than_a_sixth_or_three_levels(count):
    for first in range(count + 1):
        for confidence in (0.8, 0.95, 0.999):
            found = search(count, lambda place, first=first: place >= first, confidence)
            tried = sorted({-1, *(t.place for t in found.trials)})
            assert tried[-1] == count - 1
            assert max(b - a for a, b in pairwise(tried)) <= max(3, count // 6)


def test_where_nothing_is_shown_nothing_is_claimed():
    found = search(21, lambda place: None if place == 11 else place >= 12)
    assert (found.kept, found.fails, found.confidence) == (-1, 21, 0.0)
    assert found.problem == "nothing was shown at level 12 in 3 trials"
    assert full(21, lambda place: None).problem


def test_a_trial_that_shows_nothing_is_made_again():
    shown = iter([None, None])
    found = search(21, lambda place: next(shown, place >= 12))
    assert (found.kept, found.fails, found.problem) == (11, 12, "")
    assert [t.failed for t in found.trials[:2]] == [None, None]
