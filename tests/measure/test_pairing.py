"""Pairing against a slow implementation and on cases worked out by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure import metrics
from bench.measure.pairing import (
    MISSING,
    REUSED_NS,
    Flow,
    by_sequence,
    distinct,
    pair,
    pair_segments,
)
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
    assert (found.duplicates, found.unmatched, found.reordered) == (1, 1, 1)
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


# ---- segments of TCP


def segments(*rows, end_ms=100_000):
    return pair_segments(table(rows), 0, end_ms * MS)


def test_of_a_segment_the_first_sending_and_the_first_arrival_count():
    found = segments(
        row(0, DOCTOR, 100), row(5 * MS, PATIENT, 100),
        row(10 * MS, DOCTOR, 200), row(210 * MS, DOCTOR, 200), row(216 * MS, PATIENT, 200),
        row(20 * MS, DOCTOR, 300), row(25 * MS, PATIENT, 300),
        row(30 * MS, DOCTOR, 400), row(230 * MS, DOCTOR, 400),  # sent twice, arrived twice
        row(36 * MS, PATIENT, 400), row(236 * MS, PATIENT, 400),
        row(40 * MS, DOCTOR, 500), row(240 * MS, DOCTOR, 500), row(640 * MS, DOCTOR, 500),
        row(50 * MS, DOCTOR, 600, size=900), row(55 * MS, PATIENT, 600, size=900),
    )  # fmt: skip
    assert (found.seq & 0xFFFFFFFF).tolist() == [100, 200, 300, 400, 500, 600]
    assert found.received_ns.tolist() == [t * MS for t in (5, 216, 25, 36)] + [MISSING, 55 * MS]
    assert metrics.loss(found) == (1, 6)
    assert (found.duplicates, found.unmatched, found.reordered) == (0, 0, 0)
    assert not found.ambiguous.any()


def test_one_that_may_still_come_is_in_flight_and_copies_and_strays_are_counted():
    found = segments(
        row(0, DOCTOR, 100), row(50 * MS, PATIENT, 100), row(51 * MS, PATIENT, 100),
        row(100 * MS, DOCTOR, 200), row(960 * MS, DOCTOR, 200), row(970 * MS, DOCTOR, 300),
        row(300 * MS, DOCTOR, 250), row(500 * MS, DOCTOR, 250), row(1 * MS, PATIENT, 999),
        end_ms=1000,
    )  # fmt: skip
    assert found.in_flight.tolist() == [False, True, False, True]
    assert found.lost.tolist() == [False, False, True, False]
    assert (found.duplicates, found.unmatched) == (1, 1)


def test_the_same_number_on_two_links_is_two_packets():
    found = segments(
        row(0, DOCTOR, 7), row(5 * MS, PATIENT, 7),
        row(1 * MS, DOCTOR, 7, link=1), row(900 * MS, PATIENT, 7, link=1),
    )  # fmt: skip
    assert found.link.tolist() == [0, 1]
    assert by_sequence(found) is found
    assert found.delay_s.tolist() == [0.005, 0.899]


def test_lost_segments_that_may_have_come_within_a_longer_one_are_in_doubt():
    """Three of 100 bytes are lost and sent again as one; another is lost for good."""
    found = segments(
        row(0, DOCTOR, 100, size=166), row(1 * MS, DOCTOR, 200, size=166),
        row(2 * MS, DOCTOR, 300, size=166), row(3 * MS, DOCTOR, 400, size=166),
        row(200 * MS, DOCTOR, 100, size=366), row(206 * MS, PATIENT, 100, size=366),
    )  # fmt: skip
    assert found.received_ns.tolist() == [206 * MS, MISSING, MISSING, MISSING]
    assert found.ambiguous.tolist() == [False, True, True, True]  # headers may be as short as 54
    assert metrics.loss(found.best()) == (0, 4)
    assert metrics.loss(found.worst()) == (3, 4)
    shorter = segments(
        row(0, DOCTOR, 100, size=166), row(1 * MS, DOCTOR, 200, size=166),
        row(200 * MS, DOCTOR, 100, size=166), row(206 * MS, PATIENT, 100, size=154),
    )  # fmt: skip
    assert shorter.lost.tolist() == [False, True]
    behind = segments(  # right behind one that arrived later than it was sent itself
        row(0, DOCTOR, 100, size=166), row(1 * MS, DOCTOR, 200, size=166),
        row(5 * MS, PATIENT, 100, size=166),
    )  # fmt: skip
    assert behind.lost.tolist() == [False, True]
    before = segments(  # what arrived before it was sent does not hold it
        row(0, DOCTOR, 100, size=366), row(5 * MS, PATIENT, 100, size=366),
        row(9 * MS, DOCTOR, 200, size=166),
    )  # fmt: skip
    assert before.lost.tolist() == [False, True]


def test_a_number_that_comes_again_much_later_joins_nothing():
    rows = [
        row(0, DOCTOR, 100), row(REUSED_NS + 1, DOCTOR, 100),
        row(REUSED_NS + 5 * MS, PATIENT, 100),
    ]  # fmt: skip
    found = segments(*rows)
    assert len(found) - distinct(found.seq) == 1
    assert len(segments(*[(t - (t > 0), *rest) for t, *rest in rows])) == 1


@given(
    some.dictionaries(
        some.tuples(some.integers(0, 1), some.integers(0, 2**32 - 1)),
        some.tuples(
            some.integers(0, 5000),
            some.lists(some.tuples(some.integers(1, 900), some.none() | some.integers(0, 300)),
                       min_size=1, max_size=4),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_segments_like_a_slow_pairing(connections):
    """connections: link and number, when first sent, and of each sending: the wait for the next,
    and its delay (or lost)."""
    rows, expected = [], {}
    for (link, seq), (start, sendings) in connections.items():
        t, arrivals = start, []
        for wait, delay in sendings:
            rows.append(row(t * MS, DOCTOR, seq, link, size=60))
            if delay is not None:
                arrivals.append(t + delay)
                rows.append(row((t + delay) * MS, PATIENT, seq, link, size=60))
            t += wait
        expected[link << 32 | seq] = (start, min(arrivals, default=None))
    found = segments(*rows)
    assert len(found) == len(expected)
    assert (np.diff(found.sent_ns) >= 0).all()
    for row_of, key in enumerate(found.seq.tolist()):
        start, arrival = expected[key]
        assert found.sent_ns[row_of] == start * MS
        assert found.received_ns[row_of] == (MISSING if arrival is None else arrival * MS)
        assert found.arrived[row_of] or found.lost[row_of] or found.ambiguous[row_of]
    assert (found.duplicates, found.unmatched) == (0, 0)


@pytest.mark.parametrize("shift", [1, 10**12])
def test_a_shift_of_time_changes_no_delay(shift):
    rows = [row(0, DOCTOR, 0), row(3, PATIENT, 0), row(5, DOCTOR, 1), row(7, PATIENT, 1)]
    later = [(t + shift, *rest) for t, *rest in rows]
    assert pair(table(rows), 0, 100).delay_s.tolist() == pytest.approx(
        pair(table(later), 0, 100 + shift).delay_s.tolist()
    )


def pairs(fates, earliest, latest, may_be_lost, in_flight=()):
    """A flow of hand-made fates: L lost, A arrived (at ``earliest``), ? ambiguous, F in flight."""
    n = len(fates)
    sent, zero = np.arange(n) * 10, np.zeros(n, dtype=np.int64)
    kinds = np.array(list(fates))
    received = np.where(kinds == "A", earliest, MISSING)
    return Flow(
        sent, received, np.arange(n), zero, zero, kinds == "F", 0, 0, 0,
        kinds == "?", np.array(earliest), np.array(latest), np.array(may_be_lost, dtype=bool),
    )  # fmt: skip


def test_ambiguous_packets_settle_at_either_end():
    found = pairs("AL?F??", [5, -1, 25, -1, 48, -1], [5, -1, 29, -1, 49, -1], [0, 0, 0, 0, 1, 1])
    assert found.lost.tolist() == [False, True, False, False, False, False]
    assert found.decidable.tolist() == [True, True, False, False, False, False]
    worst, best = found.worst(), found.best()
    assert worst.received_ns.tolist() == [5, -1, 29, -1, -1, -1]
    assert worst.lost.tolist() == [False, True, False, False, True, True]
    assert best.received_ns.tolist() == [5, -1, 25, -1, 48, -1]
    assert best.in_flight.tolist() == [False, False, False, True, False, True]
    assert not worst.ambiguous.any()
    assert not best.ambiguous.any()
    assert found.select(found.ambiguous).latest_ns.tolist() == [29, 49, -1]


def test_a_flow_without_doubt_says_so():
    found = flow(row(0, DOCTOR, 0), row(3 * MS, PATIENT, 0), row(1, DOCTOR, 1))
    assert not found.ambiguous.any()
    assert not found.may_be_lost.any()
    assert found.earliest_ns.tolist() == found.latest_ns.tolist() == [3 * MS, MISSING]
    assert found.worst() is found
    assert found.best() is found


def test_the_same_number_sent_twice_is_not_guessed():
    rows = [row(t * MS, DOCTOR, t) for t in range(20)]
    rows += [row((t + 3) * MS, PATIENT, t) for t in range(20)]
    found = flow(*rows, row(500 * MS, DOCTOR, 7))
    assert int(found.ambiguous.sum() + found.lost.sum() + found.in_flight.sum()) >= 1
    total = found.arrived.sum() + found.lost.sum() + found.in_flight.sum() + found.ambiguous.sum()
    assert total == len(found) == 21


@given(
    some.lists(
        some.tuples(
            some.integers(0, 5), some.sampled_from("LA?F"), some.integers(0, 30),
            some.integers(0, 30), some.booleans(), some.booleans(),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_copies_on_two_links_merge_at_every_way_the_doubt_may_end(copies):
    """Merge, then settle by any choice of the doubt: never outside what the merged flow says."""
    fates, early, late, lossy = [], [], [], []
    for _, fate, a, b, may, known in copies:
        some_known = fate == "A" or (fate == "?" and (known or not may))
        fates.append(fate)
        early.append(100 + min(a, b) if some_known else MISSING)
        late.append((100 + max(a, b) if fate == "?" else early[-1]) if some_known else MISSING)
        lossy.append(fate == "?" and may)
    whole = pairs("".join(fates), early, late, lossy) if copies else flow()
    whole = dataclasses.replace(whole, seq=np.array([c[0] for c in copies], dtype=np.int64))
    merged = by_sequence(whole)
    rng = np.random.default_rng(len(copies))
    for _ in range(5):
        truth = {}
        for i in range(len(whole)):
            at = {"A": early[i], "L": None, "F": None}.get(fates[i])
            if fates[i] == "?" and early[i] != MISSING and not (lossy[i] and rng.random() < 0.5):
                at = int(rng.integers(early[i], late[i] + 1))
            if at is not None:
                truth[copies[i][0]] = min(at, truth.get(copies[i][0], 1 << 40))
        for i, seq in enumerate(merged.seq.tolist()):
            if merged.ambiguous[i]:
                assert merged.received_ns[i] == MISSING
                if seq in truth:
                    assert merged.earliest_ns[i] <= truth[seq] <= merged.latest_ns[i]
                else:
                    assert merged.may_be_lost[i]
            else:
                assert merged.received_ns[i] == truth.get(seq, MISSING)


def test_a_sure_copy_on_one_link_settles_that_none_is_lost():
    found = pairs("?A", [5, 30], [20, 30], [1, 0])
    merged = by_sequence(dataclasses.replace(found, seq=np.array([0, 0])))
    assert merged.ambiguous.tolist() == [True]
    assert merged.may_be_lost.tolist() == [False]
    assert (merged.earliest_ns.tolist(), merged.latest_ns.tolist()) == ([5], [30])
    assert merged.worst().received_ns.tolist() == [30]
    late = pairs("?A", [31, 30], [40, 30], [1, 0])
    merged = by_sequence(dataclasses.replace(late, seq=np.array([0, 0])))
    assert not merged.ambiguous.any()
    assert merged.received_ns.tolist() == [30]


def test_a_segment_sent_again_is_one_packet_from_its_first_sending_to_its_first_arrival():
    """Over TCP a number comes again with every sending (docs/carriages.md)."""
    ms, rows = 1_000_000, []

    def sent(n, t_ms, *, lost=False):
        number = (2**32 - 500 + 100 * n) % 2**32
        rows.append((t_ms * ms, 1, 1, 0, 3, number, 154))
        if not lost:
            rows.append(((t_ms + 5) * ms, 0, 1, 0, 3, number, 154))

    for n in range(20):
        sent(n, 50 * n, lost=n in (7, 12))
    sent(7, 550)
    sent(9, 650)  # in vain: it had arrived
    flow = by_sequence(pair(table(rows), 1, 10**10))
    assert len(flow) == 20
    assert not flow.ambiguous.any()
    assert np.flatnonzero(flow.lost).tolist() == [12]
    assert sorted((flow.delay_s * 1e3).round().tolist()) == [5.0] * 18 + [205.0]
