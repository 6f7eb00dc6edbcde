"""Flows with ambiguous packets, and the truths that they leave open."""

import numpy as np
from hypothesis import strategies as some

from bench.measure.pairing import MISSING, Flow

packets = some.lists(
    some.tuples(
        some.sampled_from("AAAALF??"), some.integers(-5, 60), some.integers(-5, 60),
        some.booleans(), some.booleans(),
    ),
    max_size=40,
)  # fmt: skip
"""Fate, one delay, another, whether it may be lost, whether an arrival is known; per packet."""

PERIOD_NS = 10_000_000
MS = 1_000_000


def flow_from(drawn):
    """A packet every 10 ms, delays in ms."""
    n = len(drawn)
    sent = np.arange(n, dtype=np.int64) * PERIOD_NS + 10**12
    kind = np.array([each[0] for each in drawn], dtype="U1")
    low = np.array([min(each[1:3]) for each in drawn], dtype=np.int64) * MS + sent
    high = np.array([max(each[1:3]) for each in drawn], dtype=np.int64) * MS + sent
    may = np.array([each[3] for each in drawn], dtype=bool) & (kind == "?")
    known = np.array([each[4] for each in drawn], dtype=bool) | ~may
    some_arrival = (kind == "A") | ((kind == "?") & known)
    high = np.where(kind == "A", low, high)
    zero = np.zeros(n, dtype=np.int64)
    return Flow(
        sent, np.where(kind == "A", low, MISSING), np.arange(n), zero, zero + 142, kind == "F",
        0, 0, 0, kind == "?", np.where(some_arrival, low, MISSING),
        np.where(some_arrival, high, MISSING), may,
    )  # fmt: skip


def truth_of(flow, rng):
    """One way in which the doubt may end."""
    here = flow.ambiguous & (flow.earliest_ns != MISSING)
    here &= ~(flow.may_be_lost & (rng.random(len(flow)) < 0.5))
    share = rng.choice([0.0, 1.0, 0.5, rng.random()], len(flow))
    spread = (flow.latest_ns - flow.earliest_ns) * share
    received = np.where(here, flow.earliest_ns + spread.astype(np.int64), flow.received_ns)
    return Flow(flow.sent_ns, received, flow.seq, flow.link, flow.size, flow.in_flight, 0, 0, 0)
