"""Round trips at one tap against a connection whose every event is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.measure.round_trip import Segments, round_trips

MS = 1_000_000
ACK, SYN, FIN = 16, 2, 1
TURN = 1 << 32


def segments(rows):
    """(time, sequence, acknowledgement, payload, flags)"""
    t, seq, ack, size, flags = (np.array(c, dtype=np.int64) for c in zip(*rows, strict=True)) if (
        rows
    ) else [np.zeros(0, dtype=np.int64)] * 5  # fmt: skip
    head = (seq % TURN).astype(np.uint64) << np.uint64(32) | (ack % TURN).astype(np.uint64)
    return Segments(t, head, (flags << 24 | size).astype(np.uint32))


def found(there, back):
    trips = round_trips(segments(there), segments(back))
    return list(zip(trips.sent_ns.tolist(), trips.rtt_ns.tolist(), strict=True))


@pytest.mark.parametrize("first", [100, TURN - 1, TURN - 150, TURN // 2 - 5])
def test_a_handshake_and_data_over_the_turn_of_the_numbers(first):
    there = [
        (0, first, 0, 0, SYN), (20, first + 1, 7, 100, ACK), (30, first + 101, 7, 50, ACK),
        (60, first + 151, 7, 0, ACK | FIN),
    ]  # fmt: skip
    back = [
        (9, 6, first + 1, 0, ACK | SYN), (41, 7, first + 101, 0, ACK),
        (45, 7, first + 151, 0, ACK), (46, 7, first + 151, 0, ACK), (75, 7, first + 152, 0, ACK),
    ]  # fmt: skip
    assert found(there, back) == [(0, 9), (20, 21), (30, 15), (60, 15)]


def test_karns_rule():
    """The second segment is sent twice, the third waits for it: neither tells a round trip."""
    there = [(0, 0, 1, 10, ACK), (1, 10, 1, 10, ACK), (2, 20, 1, 10, ACK), (50, 10, 1, 10, ACK)]
    back = [(9, 1, 10, 0, ACK), (11, 1, 10, 0, ACK), (59, 1, 30, 0, ACK)]
    assert found(there, back) == [(0, 9)]


def test_acknowledged_together_is_no_round_trip_of_the_first():
    there = [(0, 0, 1, 10, ACK), (5, 10, 1, 10, ACK)]
    assert found(there, [(30, 1, 20, 0, ACK)]) == [(5, 25)]


def test_nothing():
    assert found([], []) == []
    assert found([(0, 0, 1, 10, ACK)], []) == []
    assert found([(0, 0, 1, 0, ACK)], [(1, 1, 10, 0, ACK)]) == []


@given(
    some.integers(0, TURN - 1),
    some.lists(some.tuples(some.integers(0, 40), some.integers(0, 3)), max_size=25),
    some.lists(some.tuples(some.integers(0, 60), some.integers(-4, 110)), max_size=25),
)
def test_like_a_search_for_every_segment(first, sent, acked):
    """Segments of 0 to 3 bytes anywhere in a few, against every acknowledgement."""
    t, there = 0, []
    for place, size in sent:
        t += 2
        there.append((t, first + place, 1, size, ACK))
    back = [(2 * i + 1 + at % 3, 1, first + value, 0, ACK) for i, (at, value) in enumerate(acked)]
    back.sort()
    slow = []
    for i, (at, seq, _, size, _) in enumerate(there):
        if not size:
            continue
        before = [(q, n) for _, q, _, n, _ in there[:i] if n]
        after = [(q, n) for _, q, _, n, _ in there[i + 1 :] if n]
        if any(q + n > seq for q, n in before) or any(q < seq + size for q, n in after):
            continue
        first_to_reach = next((a for a in back if a[2] >= seq + size), None)
        if first_to_reach and first_to_reach[2] == seq + size and first_to_reach[0] >= at:
            slow.append((at, first_to_reach[0] - at))
    assert found(there, back) == slow
