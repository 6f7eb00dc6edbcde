"""The queue of a link near its rate: right laws pass however it fell, wrong ones do not."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.queueing import damaged, order_of_sending, queue_of
from bench.measure.stimulus import achieved
from bench.network.impairment import Delay, FourState, GilbertElliott, Impairment, bernoulli
from bench.network.laws import LOST, QUEUE_DROP
from bench.network.scenario import Scenario, Segment, Step, both

OFFERED_BPS = 8 * ((442 + 24) * 50 + (582 + 24) * 10)
"""Heartbeats, and every fifth time another packet, sent in the same moment before them."""
LENGTH_S = 12.0
BIT_ERRORS = 0.072
"""Share of these packets that have one at 2e-5 per bit."""


def near_its_rate(load=1.0, loss=0.2, delay_s=0.02, **more):
    """A state whose rate is used up so far by the packets that are not lost."""
    model = bernoulli(loss) if isinstance(loss, float) else loss
    ratio = 0.0 if model is None else model.ratio
    return Impairment(
        Delay(delay_s, "uniform", 0.0003), loss=model,
        rate_bps=OFFERED_BPS * (1 - ratio) / load, **more,
    )  # fmt: skip


def played(synthetic, seed, *parts, thinned=0.0):
    """Packets by a law of ``(s, state)``; some of those that arrive are ``thinned`` out."""
    segments = tuple(
        Segment(f"p{i}", length_s, {"primary": both(state)})
        for i, (length_s, state) in enumerate(parts)
    )
    scenario = Scenario("q", "", (Step("s", "hold", "within", segments),))
    made = synthetic.Builder(scenario, seed=seed)
    made.stream("control", direction="to-doctor", start_s=1e-10)
    made.stream("emg", start_s=0.0, period_s=0.1)
    draws = np.random.default_rng(seed)

    def thin(rows):
        return rows[(rows["tap"] == synthetic.PATIENT) | (draws.random(len(rows)) >= thinned)]

    made.tweak = thin
    return made.recording()


def instead_of(played_recording, meant_recording):
    """A recording whose bench was to do what another one did."""
    return dataclasses.replace(
        played_recording, schedule=meant_recording.schedule, changes=meant_recording.changes
    )


def refused(recording):
    return [
        s.reason for s in achieved(recording, None)
        if (s.link, s.direction) == ("primary", "to-doctor") and not s.ok
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "thinned"),
    [
        ([(LENGTH_S, near_its_rate(0.9))], 0.0),
        ([(LENGTH_S, near_its_rate(1.0))], 0.0),
        ([(LENGTH_S, near_its_rate(1.0, loss=0.01))], 0.0),
        ([(LENGTH_S, near_its_rate(1.05, queue_s=0.1))], 0.0),
        ([(LENGTH_S, near_its_rate(1.0, queue_packets=8))], 0.0),
        ([(LENGTH_S, near_its_rate(1.0, loss=GilbertElliott(0.05, 0.3)))], 0.0),
        ([(LENGTH_S, near_its_rate(1.0, loss=FourState(0.05, 0.4)))], 0.0),
        ([(LENGTH_S, near_its_rate(1.0, loss=None, ber=2e-5))], BIT_ERRORS),
        ([(5.0, near_its_rate(1.1)), (1.0, near_its_rate(0.9)), (6.0, near_its_rate(0.8))], 0.0),
        ([(40.0, near_its_rate(1.0))], 0.0),
    ],
    ids=["0.9", "1.0", "rare", "full", "packets", "bursts", "states", "bits", "left-over", "long"],
)
def test_a_right_law_near_its_rate_is_never_refused(synthetic, parts, thinned):
    """By one draw of the law, instead of the queue that these packets made, many would be."""
    for seed in range(4 if parts[0][0] > LENGTH_S else 16):
        assert refused(played(synthetic, seed, *parts, thinned=thinned)) == [], seed


EDGE = near_its_rate(1.0)
FAR = near_its_rate(0.9, delay_s=0.1)


def rated(state, share):
    return state.with_(rate_bps=share * state.rate_bps)


@pytest.mark.parametrize(
    ("meant", "parts"),
    [
        (EDGE, [(LENGTH_S, rated(EDGE, 0.9))]),
        (EDGE, [(LENGTH_S, rated(EDGE, 1.1))]),
        (FAR, [(LENGTH_S, rated(FAR, 0.9))]),
        (EDGE, [(LENGTH_S, EDGE.with_(rate_bps=None))]),
        (FAR, [(LENGTH_S, FAR.with_(delay=Delay(0.11, "uniform", 0.0003)))]),
        (FAR, [(LENGTH_S, FAR.with_(delay=Delay(0.09, "uniform", 0.0003)))]),
        (EDGE, [(0.7 * LENGTH_S, EDGE), (0.3 * LENGTH_S, EDGE.with_(rate_bps=None))]),
        (EDGE, [(0.2 * LENGTH_S, EDGE.with_(rate_bps=None)), (0.8 * LENGTH_S, EDGE)]),
        (EDGE, [(LENGTH_S, EDGE.with_(queue_s=0.04))]),
        (near_its_rate(1.05, queue_s=0.1), [(LENGTH_S, near_its_rate(1.05, queue_s=0.2))]),
    ],
    ids=["slow", "fast", "slow-0.9", "unlimited", "later", "sooner", "first-part", "last-part",
         "short-queue", "long-queue"],
)  # fmt: skip
def test_a_wrong_law_near_its_rate_is_refused(synthetic, meant, parts):
    for seed in range(6):
        recording = played(synthetic, seed, *parts)
        wanted = played(synthetic, seed, (LENGTH_S, meant))
        assert refused(instead_of(recording, wanted)), seed


@given(
    st.integers(0, 10_000), st.sampled_from([None, 1, 4]), st.floats(0.001, 0.1),
    st.integers(4, 20),
)  # fmt: skip
def test_the_queue_is_the_law_s_own(seed, places, queue_s, gap_ms):
    """A packet that finds a place leaves after its wait, its service and the delay."""
    state = Impairment(Delay(0.01), rate_bps=1e6, queue_s=queue_s, queue_packets=places)
    draws = np.random.default_rng(seed)
    sent_ns = 1_000_000 * np.cumsum(draws.integers(0, gap_ms, 200))
    size = draws.integers(60, 1500, 200)
    joined = draws.random(200) < 0.8
    found = queue_of([(0, state)], "m", sent_ns, size, joined)
    service_ns = (8e3 * (size + 24)).astype(np.int64)
    full = found.wait_ns > queue_s * 1e9
    if places:
        full |= found.ahead >= places
    due_ns = sent_ns + found.wait_ns + service_ns + 10_000_000
    expected = np.where(joined, np.where(full, QUEUE_DROP, due_ns), LOST)
    np.testing.assert_array_equal(found.due_ns, expected)


def test_packets_sent_at_once_joined_as_they_arrived():
    sent_ns, seen_ns = np.array([[5, 5, 1, 5, 9, 9], [30, 10, 99, -1, -1, 40]])
    assert order_of_sending(sent_ns, seen_ns).tolist() == [2, 1, 0, 3, 5, 4]


def test_bit_errors_took_their_place_as_often_as_the_law_has_them():
    sent_ns, size = np.arange(20_000, dtype=np.int64), np.full(20_000, 1000)
    missing = sent_ns % 4 == 0
    hurt = -np.expm1(8000 * np.log1p(-1e-4))
    for loss, share in ((0.0, 1.0), (0.1, 0.9 * hurt / (0.1 + 0.9 * hurt))):
        changes = [(0, Impairment()), (10_000, Impairment(loss=bernoulli(loss), ber=1e-4))]
        found = damaged(changes, "m", sent_ns, size, missing)
        assert not found[:10_000].any()
        assert not found[~missing].any()
        assert found.sum() / 2500 == pytest.approx(share, abs=5 * 0.5 / 50)
