"""Numbers drawn in blocks: the same ones in the same order, however they are taken."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.network.numbers import Draws

BLOCK = 4096
TAKEN = st.lists(
    st.one_of(
        st.none(),  # one
        st.integers(0, 40),
        st.integers(BLOCK - 3, BLOCK + 3),
        st.integers(2 * BLOCK - 2, 2 * BLOCK + 2),
    ),
    max_size=30,
)


def counting():
    """A source whose numbers are 0, 1, 2 … over all its blocks."""
    start = 0

    def fill(count):
        nonlocal start
        start += count
        return np.arange(start - count, start, dtype=np.float64)

    return fill


@given(TAKEN)
@settings(max_examples=200, deadline=None)
def test_one_and_many_take_from_the_same_row(taken):
    draws, got = Draws(counting()), []
    for count in taken:
        got += [draws.one()] if count is None else draws.many(count).tolist()
    assert got == list(range(len(got)))


def test_many_after_all_of_a_block_was_taken_singly():
    draws = Draws(counting())
    assert [draws.one() for _ in range(BLOCK)] == list(range(BLOCK))
    assert draws.many(3).tolist() == [BLOCK, BLOCK + 1, BLOCK + 2]
    assert draws.one() == BLOCK + 3
