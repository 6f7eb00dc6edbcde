"""The pure part of the contact box: lines, clocks, debouncing, and what a record can witness."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.contacts.protocol import Said, said, sealed
from instruments.contacts.timing import RESOLUTION_NS, Pair, stamp
from instruments.contacts.witness import Edge, Input, Record, debounced
from instruments.visa.errors import NotWitnessed

SETTLE_US = 20_000


@given(
    st.integers(0, 65535), st.integers(0, (1 << 32) - 1), st.integers(0, 200), st.integers(1, 255)
)
@settings(max_examples=50, deadline=None)
def test_a_line_is_read_back_and_one_changed_byte_is_seen(number, t_us, at, flip) -> None:
    line = sealed(f"{number} {t_us} E 1 0")
    assert said(line) == Said(number, t_us, "E", ("1", "0"))
    at %= len(line) - 2  # without CR LF
    changed = line[:at] + bytes([line[at] ^ flip]) + line[at + 1 :]
    with pytest.raises(ValueError, match=r"checksum|no line"):
        said(changed)


@given(
    st.floats(0.995, 1.005), st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
                                      min_size=2, max_size=6), st.data(),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_the_true_time_lies_within_the_uncertainty(rate, delays, data) -> None:
    """A clock that runs at a rate of its own, asked over a line that takes its time both ways."""
    pairs = []
    for n, (there_us, back_us) in enumerate(delays):
        true_ns = 10**12 + n * 100_000_000
        t_us = round((true_ns - 10**12) * rate / 1000) + 5_000_000
        pairs.append(Pair(true_ns - there_us * 1000, t_us, true_ns + back_us * 1000))
    t_us = data.draw(st.integers(pairs[0].t_us, pairs[-1].t_us))
    found = stamp(tuple(pairs), t_us)
    true_ns = 10**12 + (t_us - 5_000_000) * 1000 / rate
    assert abs(found.t_ns - true_ns) <= found.uncertainty_ns


def test_no_time_beyond_the_pairs_nor_between_distant_ones() -> None:
    pairs = (Pair(0, 0, 1000), Pair(10**9, 10**6, 10**9 + 1000))
    assert stamp(pairs, 0).uncertainty_ns == 500 + RESOLUTION_NS
    for t_us in (-1, 10**6 + 1):
        with pytest.raises(ValueError, match="both sides"):
            stamp(pairs, t_us)
    with pytest.raises(ValueError, match=r"for 3 s"):
        stamp((pairs[0], Pair(3 * 10**9, 3 * 10**6, 3 * 10**9 + 1000)), 10**6)
    with pytest.raises(ValueError, match="times as fast"):
        stamp((pairs[0], Pair(2 * 10**9, 10**6, 2 * 10**9 + 1000)), 500)


@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 1)), max_size=30))
@settings(max_examples=100, deadline=None)
def test_debounced_changes_alternate_begin_with_an_edge_and_leave_nothing_out(steps) -> None:
    edges, t_us, level = [], 0, 0
    for gap_us, wanted in steps:
        t_us += gap_us + 1
        if wanted != level:
            level = wanted
            edges.append(Edge(t_us, level))
    found = debounced(edges, SETTLE_US, 0)
    assert [change.level for change in found] == [1 - n % 2 for n in range(len(found))]
    assert {change.t_us for change in found} <= {edge.t_us for edge in edges}
    assert (found[-1].level if found else 0) == level
    lasting = [
        edge
        for n, edge in enumerate(edges)
        if all(after.t_us - edge.t_us >= SETTLE_US for after in edges[n + 1 : n + 2])
    ]
    before = 0
    wanted_changes = []
    for edge in lasting:
        if edge.level != before:
            wanted_changes.append(edge.level)
        before = edge.level
    assert [change.level for change in found] == wanted_changes


SECOND = 10**9


def record(**changes) -> Record:
    """Five seconds, with a button that is pressed from 2 s to 4 s, exactly timed."""
    beats = tuple((n * 100_000, 1 if 20 <= n < 40 else 0) for n in range(51))
    pairs = tuple(Pair(t * 1000, t, t * 1000) for t, _ in beats)
    edges = {"button": (Edge(2_000_000, 1), Edge(4_000_000, 0))}
    given = {"inputs": {"button": Input(0, "contact")}, "edges": edges, "beats": beats,
             "pairs": pairs}  # fmt: skip
    return Record(**given | changes)


def test_a_press_a_release_and_nothing_between_them() -> None:
    found = record()
    assert found.first("button", SECOND, 3).t_ns == 2 * SECOND
    assert found.first("button", SECOND, 3.5, level=0).t_ns == 4 * SECOND
    assert found.first("button", round(2.1 * SECOND), 1.5, level=0) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fault": "the port is gone"}, "port is gone"),
        ({"beats": record().beats[:23] + record().beats[27:]}, "silent for 0.5 s"),
        ({"edges": {"button": ()}}, "do not agree|did not change"),
        ({"edges": {"button": (Edge(2_000_000, 1),)}}, "do not agree|did not change"),
        ({"beats": record().beats[22:]}, "begins after|already"),
        ({"beats": record().beats[:30]}, "ends before"),
        ({"pairs": ()}, "not compared"),
    ],
)
def test_whatever_is_missing_nothing_is_not_said(changes, words) -> None:
    with pytest.raises(NotWitnessed, match=words):
        replace(record(), **changes).first("button", round(2.1 * SECOND), 1.5, level=0)


def test_at_a_limit_within_the_uncertainty_nothing_is_said() -> None:
    for after_ns, within_s in ((2 * SECOND + 1000, 1), (SECOND, 1.000001)):
        with pytest.raises(NotWitnessed, match="of a limit"):
            record().first("button", after_ns, within_s)
