"""The jitter filter over many packets at once, against the recursion packet by packet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure.smoothing import smoothed


def one_by_one(differences, before=0.0):
    found, jitter = [], before
    for each in differences:
        jitter += (each - jitter) / 16
        found.append(jitter)
    return found


sizes = some.floats(0, 10, allow_subnormal=False)


@given(some.lists(sizes, max_size=60), sizes)
def test_it_is_the_recursion(differences, before):
    found = smoothed(np.array(differences, dtype=float), before)
    assert found == pytest.approx(one_by_one(differences, before), rel=1e-12, abs=1e-15)


@given(some.lists(sizes, max_size=200), some.integers(0, 200))
def test_a_series_may_come_in_pieces(differences, cut):
    whole = smoothed(np.array(differences, dtype=float))
    first = smoothed(np.array(differences[:cut], dtype=float))
    rest = smoothed(np.array(differences[cut:], dtype=float), first[-1] if len(first) else 0.0)
    assert np.concatenate([first, rest]) == pytest.approx(whole, rel=1e-12, abs=1e-15)


def test_a_long_series():
    differences = np.random.default_rng(3).exponential(1e-3, 100_003)
    assert smoothed(differences) == pytest.approx(one_by_one(differences), rel=1e-12)
