"""Where the keys of two taps meet: as a dictionary finds it, packet by packet."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.captures import lining
from bench.captures.lining import line_up, lines, meet


def places(keys):
    found = defaultdict(list)
    for place, key in enumerate(keys):
        found[key].append(place)
    return found


def by_hand(sent, got):
    near, far = places(sent), places(got)
    place = [-1] * len(sent)
    again, alike = [], []
    for key in near.keys() & far.keys():
        if len(near[key]) == 1:
            place[near[key][0]] = far[key][0]
            again += [(later, near[key][0]) for later in far[key][1:]]
        else:
            alike.append((near[key], far[key]))
    return place, sorted(again), sorted(alike)


def found_by(lines_):
    groups = np.unique(lines_.near.group)
    assert np.array_equal(groups, np.unique(lines_.far.group))
    alike = [
        tuple(side.rows[side.group == group].tolist() for side in (lines_.near, lines_.far))
        for group in groups
    ]
    again = zip(lines_.again.tolist(), lines_.again_of.tolist(), strict=True)
    return lines_.place.tolist(), sorted(again), sorted(alike)


KEYS = st.lists(st.integers(0, 25), max_size=60)


@pytest.mark.parametrize("high_bits", ["spread", "all alike"])
@given(sent=KEYS, got=KEYS)
def test_lines_are_those_of_a_dictionary(high_bits, sent, got):
    arrays = [np.array(each, dtype=np.uint64) for each in (sent, got)]
    with pytest.MonkeyPatch.context() as patch:
        if high_bits == "all alike":  # small keys, not mixed, agree in all bits that are sorted
            patch.setattr(lining, "mixed", lambda values, _more: values.copy())
        assert found_by(line_up(*arrays)) == by_hand(sent, got)
        swapped = lines(meet(*arrays).swapped(), len(got))
        assert found_by(swapped) == by_hand(got, sent)


@given(sent=KEYS, got=KEYS)
def test_common_counts_every_packet_that_could_pair(sent, got):
    near, far = places(sent), places(got)
    expected = sum(min(len(near[key]), len(far[key])) for key in near.keys() & far.keys())
    meeting = meet(np.array(sent, dtype=np.uint64), np.array(got, dtype=np.uint64))
    assert meeting.common == expected


def test_many_random_keys():
    rng = np.random.default_rng(5)
    sent = rng.integers(0, 1 << 63, 200_000, dtype=np.uint64)
    sent[rng.integers(0, len(sent), 5000)] = sent[:5000]
    got = rng.permutation(sent[rng.random(len(sent)) < 0.9])
    assert found_by(line_up(sent, got))[0] == by_hand(sent.tolist(), got.tolist())[0]
