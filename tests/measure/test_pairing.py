"""Pairing against a slow implementation and on cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure import metrics
from bench.measure.pairing import MISSING, by_sequence, pair
from bench.sessions.packets import table

DOCTOR, PATIENT = 0, 1
MS = 1_000_000


def row(t_ns, tap, seq, link=0, direction=0, size=78):
    return (t_ns, tap, direction, link, 1, seq, size)


def flow(*rows, end_ms=1000):
    return pair(table(rows), 0, end_ms * MS)


def test_pairs_by_link_and_sequence():
    found = flow(
        row(0, DOCTOR, 0), row(3 * MS, PATIENT, 0),
        row(1 * MS, DOCTOR, 1), row(9 * MS, PATIENT, 1, link=1),
        row(1 * MS, DOCTOR, 1, link=1),
    )  # fmt: skip
    assert found.received_ns.tolist() == [3 * MS, MISSING, 9 * MS]
    assert found.link.tolist() == [0, 0, 1]
    assert found.lost.tolist() == [False, True, False]
    merged = by_sequence(found)
    assert merged.seq.tolist() == [0, 1]
    assert merged.lost.tolist() == [False, False]
    assert merged.delay_s.tolist() == [0.003, 0.008]


def test_the_other_direction_is_sent_at_the_patient():
    rows = [row(0, PATIENT, 0, direction=1), row(4 * MS, DOCTOR, 0, direction=1)]
    assert pair(table(rows), 1, 1000 * MS).delay_s.tolist() == [0.004]


def test_what_is_in_flight_is_not_lost():
    found = flow(
        row(0, DOCTOR, 0), row(50 * MS, PATIENT, 0), row(900 * MS, DOCTOR, 1),
        row(960 * MS, DOCTOR, 2),
    )  # fmt: skip
    assert found.in_flight.tolist() == [False, False, True]
    assert found.lost.tolist() == [False, True, False]
    assert metrics.loss(found) == (1, 2)


def test_duplicates_strays_and_reordering_are_counted_apart():
    found = flow(
        row(0, DOCTOR, 0), row(1 * MS, DOCTOR, 1), row(2 * MS, DOCTOR, 2),
        row(3 * MS, PATIENT, 0), row(4 * MS, PATIENT, 2), row(5 * MS, PATIENT, 1),
        row(6 * MS, PATIENT, 1), row(7 * MS, PATIENT, 9),
    )  # fmt: skip
    assert (found.duplicates, found.unmatched, found.reordered) == (1, 1, 2)
    assert found.delay_s.tolist() == [0.003, 0.004, 0.002]


def test_negative_delay_is_not_hidden():
    assert flow(row(5 * MS, DOCTOR, 0), row(4 * MS, PATIENT, 0)).delay_s.min() < 0


def test_empty():
    found = flow()
    assert len(found) == 0
    assert len(by_sequence(found)) == 0
    assert metrics.loss(found) == (0, 0)


@given(
    some.lists(
        some.tuples(
            some.integers(0, 30), some.integers(0, 1), some.integers(0, 50),
            some.none() | some.integers(0, 20), some.integers(0, 2),
        ),
        max_size=30, unique_by=lambda p: (p[0], p[1]),
    )
)  # fmt: skip
def test_like_a_slow_pairing(packets):
    """packets: sequence, link, sent, delay (or lost), further copies."""
    rows, expected = [], {}
    for seq, link, sent, delay, copies in packets:
        rows.append(row(sent, DOCTOR, seq, link))
        expected[link, seq] = MISSING if delay is None else sent + delay
        if delay is not None:
            rows += [row(sent + delay + i, PATIENT, seq, link) for i in range(copies + 1)]
    found = flow(*rows)
    got = dict(zip(zip(found.link.tolist(), found.seq.tolist(), strict=True),
                   found.received_ns.tolist(), strict=True))  # fmt: skip
    assert got == expected
    assert found.duplicates == sum(c for *_, d, c in packets if d is not None)
    assert found.unmatched == 0
    assert (np.diff(found.sent_ns) >= 0).all()
    merged = by_sequence(found)
    best = {}
    for seq, _, sent, delay, _ in packets:
        if delay is not None:
            best[seq] = min(best.get(seq, 1 << 40), sent + delay)
    assert dict(zip(merged.seq.tolist(), merged.received_ns.tolist(), strict=True)) == {
        seq: best.get(seq, MISSING) for seq, *_ in packets
    }


@pytest.mark.parametrize("shift", [1, 10**12])
def test_a_shift_of_time_changes_no_delay(shift):
    rows = [row(0, DOCTOR, 0), row(3, PATIENT, 0), row(5, DOCTOR, 1), row(7, PATIENT, 1)]
    later = [(t + shift, *rest) for t, *rest in rows]
    assert pair(table(rows), 0, 100).delay_s.tolist() == pytest.approx(
        pair(table(later), 0, 100 + shift).delay_s.tolist()
    )
