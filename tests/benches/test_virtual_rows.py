"""What the virtual bench's recorder notes becomes the same rows as when written one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.benches.virtual_rows import RowNotes, kind_of
from bench.sessions.packets import joined, merge, packed

crossings = st.lists(
    st.tuples(
        st.integers(0, 50),  # left
        st.one_of(st.none(), st.integers(0, 30)),  # how much later it came
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**20),
    ),
    max_size=40,
).map(lambda all_: sorted(all_, key=lambda one: one[0]))


def rows_of(crossing):
    """The rows of one, as tuples in the order of ROW."""
    left, later, way, link, stream, seq, size = crossing
    yield left, way, way, link, stream, seq, size
    if later is not None:
        yield left + later, 1 - way, way, link, stream, seq, size


@given(crossings, st.lists(st.integers(0, 90), max_size=4).map(sorted))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_rows_taken_in_parts_are_those_of_all_packets(all_, cuts):
    notes, parts, left = RowNotes(), [], list(all_)
    for cut in [*cuts, 1000]:
        while left and left[0][0] < cut:
            t_ns, later, way, link, stream, seq, size = left.pop(0)
            came = -2 if later is None else t_ns + later
            notes.crossings.extend((t_ns, came, kind_of(way, link, stream, size), seq))
        part = notes.take(cut)
        assert not len(part) or part["t_ns"].max() < cut
        parts.append(part)
    expected = merge([packed(row for crossing in all_ for row in rows_of(crossing))]).rows
    assert joined(parts).rows.tobytes() == expected.tobytes()


def test_single_rows_and_arrays_come_with_the_others():
    notes = RowNotes()
    notes.singles.append((5, 2, 0, 255, 1, 9, 0))
    notes.arrays.append(packed([(3, 0, 0, 0, 1, 9, 100)]))
    assert notes.take(4)["t_ns"].tolist() == [3]
    assert notes.take(6)["t_ns"].tolist() == [5]
    assert len(notes.take(100)) == 0


def test_parts_that_overlap_are_sorted():
    early, late = packed([(1, 0, 0, 0, 1, 1, 60)]), packed([(2, 0, 0, 0, 1, 2, 60)])
    whole = merge([early, late]).rows.tobytes()
    assert joined([late, early]).rows.tobytes() == whole
    assert joined([early, np.zeros(0, early.dtype), late]).rows.tobytes() == whole
    assert len(joined([])) == 0
