"""The law of one link direction: what it decides for each packet, exactly or within bounds.

Statistical bounds hold with an error probability below 1e-6 for a random seed; the seeds are
fixed, so the tests never flicker.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from bench.network.impairment import (
    CLEAN,
    FRAMING_BYTES,
    Delay,
    GilbertElliott,
    Impairment,
    bernoulli,
)
from bench.network.laws import DOWN, FATES, LOST, QUEUE_DROP, TOO_LONG, DirectionLaw

MS = 1_000_000
S = 1000 * MS
ERROR = 1e-6


def law_of(*changes, seed=7, name="primary/to-patient"):
    return DirectionLaw(changes, seed=seed, name=name)


def steady(impairment, **how):
    return law_of((0, impairment), **how)


def offer_every(law, period_ns, count, size=100, start_ns=0):
    return [law.offer(start_ns + i * period_ns, size) for i in range(count)]


# Delay


def test_clean_link_passes_at_once():
    assert offer_every(law_of(), MS, 5) == [i * MS for i in range(5)]


@given(mean_ns=st.integers(0, 10 * S), arrivals=st.lists(st.integers(0, S), max_size=20))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_constant_delay_is_exact(mean_ns, arrivals):
    law = steady(Impairment(delay=Delay(mean_ns / S)))
    for t_ns in sorted(arrivals):
        assert law.offer(t_ns, 100) == t_ns + mean_ns


def delays(delay, count=100_000):
    law = steady(Impairment(delay=delay, order="allow"))
    dues = offer_every(law, MS, count)
    return np.array(dues) - np.arange(count) * MS


def test_uniform_delay():
    got = delays(Delay(0.010, "uniform", 0.002))
    assert got.min() >= 8 * MS
    assert got.max() <= 12 * MS
    # Kolmogorov-Smirnov distance to the uniform law; 2 exp(-2 n d²) = 1e-6
    sample = np.sort((got - 8 * MS) / (4 * MS))
    distance = np.abs(sample - np.linspace(0, 1, len(sample))).max()
    assert distance < math.sqrt(math.log(2 / ERROR) / (2 * len(got))) + 1 / len(got)


def test_normal_delay():
    got = delays(Delay(0.010, "normal", 0.002)) / MS
    assert got.min() >= 2 - 1e-6
    assert got.max() <= 18 + 1e-6
    assert got.mean() == pytest.approx(10, abs=5 * 2 / math.sqrt(len(got)))
    assert got.std() == pytest.approx(2, abs=5 * 2 / math.sqrt(2 * len(got)) + 0.002)


@pytest.mark.parametrize("order", ["preserve", "allow"])
def test_normal_delay_is_cut_at_zero(order):
    """Four standard deviations reach below zero here; no packet leaves before it arrives."""
    impairment = Impairment(delay=Delay(0.003, "normal", 0.001), order=order)
    scalar, burst = steady(impairment), steady(impairment)
    for t_ns in range(0, 1000 * S, S):
        dues = [scalar.offer(t_ns, 100) for _ in range(50)]
        assert min(dues) >= t_ns
        assert burst.offer_burst(t_ns, np.full(50, 100)).tolist() == dues


# Order

JITTERY = Impairment(delay=Delay(0.010, "uniform", 0.008))


def test_order_is_preserved_by_default():
    dues = offer_every(steady(JITTERY), MS, 5000)
    assert dues == sorted(dues)


def test_order_is_given_up_only_when_allowed():
    dues = offer_every(steady(JITTERY.with_(order="allow")), MS, 5000)
    assert dues != sorted(dues)


def test_order_is_preserved_behind_packets_that_were_allowed_to_overtake():
    law = law_of((0, Impairment(delay=Delay(0.050), order="allow")), (MS, CLEAN))
    assert [law.offer(0, 100), law.offer(2 * MS, 100)] == [50 * MS, 50 * MS]


def test_order_is_preserved_across_a_falling_delay():
    law = law_of((0, Impairment(delay=Delay(0.050))), (10 * MS, Impairment(delay=Delay(0.001))))
    assert law.offer(9 * MS, 100) == 59 * MS
    assert law.offer(10 * MS, 100) == 59 * MS
    assert law.offer(70 * MS, 100) == 71 * MS


# Loss


@pytest.mark.parametrize("p", [0.0, 1e-3, 0.05, 0.5, 1.0])
def test_independent_loss_is_binomial(p):
    count = 100_000
    law = steady(Impairment(loss=bernoulli(p)))
    lost = offer_every(law, MS, count).count(LOST)
    assert binom.ppf(ERROR / 2, count, p) <= lost <= binom.ppf(1 - ERROR / 2, count, p)
    assert law.fates[LOST] == lost
    assert law.accepted == count - lost


def test_independent_losses_do_not_cluster():
    fates = offer_every(steady(Impairment(loss=bernoulli(0.1))), MS, 100_000)
    lost = np.array(fates) == LOST
    after_a_loss = lost[1:][lost[:-1]]
    count = len(after_a_loss)
    low, high = binom.ppf([ERROR / 2, 1 - ERROR / 2], count, 0.1)
    assert low <= after_a_loss.sum() <= high


def bursts_of(lost):
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lost.astype(int), [0]))))
    return edges[1::2] - edges[::2]


def test_gilbert_elliott_loss_and_bursts():
    to_bad, to_good, count = 0.01, 0.25, 200_000
    model = GilbertElliott(to_bad, to_good)
    fates = offer_every(steady(Impairment(loss=model)), MS, count)
    lost = np.array(fates) == LOST
    ratio = to_bad / (to_bad + to_good)
    assert model.ratio == pytest.approx(ratio)
    correlation = 1 - to_bad - to_good
    inflated = (1 + correlation) / (1 - correlation)  # variance of the mean of the chain
    sigma = math.sqrt(ratio * (1 - ratio) / count * inflated)
    assert lost.mean() == pytest.approx(ratio, abs=5 * sigma)
    bursts = bursts_of(lost)  # geometric: mean 1 / to_good
    sigma = math.sqrt(1 - to_good) / to_good / math.sqrt(len(bursts))
    assert bursts.mean() == pytest.approx(1 / to_good, abs=5 * sigma)


def test_gilbert_elliott_with_partial_loss_in_both_states():
    model = GilbertElliott(0.05, 0.2, loss_good=0.01, loss_bad=0.6)
    count = 200_000
    lost = np.array(offer_every(steady(Impairment(loss=model)), MS, count)) == LOST
    assert model.ratio == pytest.approx(0.2 * 0.6 + 0.8 * 0.01)
    sigma = math.sqrt(model.ratio * (1 - model.ratio) / count * (1.75 / 0.25))
    assert lost.mean() == pytest.approx(model.ratio, abs=5 * sigma)


# Rate and queue


@given(
    rate_bps=st.integers(10_000, 10**9),
    sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=30),
)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_rate_serialises_exactly(rate_bps, sizes):
    law = steady(Impairment(rate_bps=float(rate_bps), queue_s=1e6))
    bits = 0
    for number, size in enumerate(sizes, 1):
        bits += (size + FRAMING_BYTES) * 8
        assert abs(law.offer(0, size) - bits * S / rate_bps) <= number  # 1 ns a packet


def test_rate_pays_the_framing_and_idles_between_packets():
    law = steady(Impairment(delay=Delay(0.001), rate_bps=8e6))  # 1 µs a byte
    assert law.offer(0, 976) == MS + MS
    assert law.offer(0, 476) == MS + MS + MS // 2
    assert law.offer(10 * MS, 976) == 12 * MS


def test_queue_drops_the_tail_and_bounds_the_wait():
    queue_ns = 20 * MS
    law = steady(Impairment(rate_bps=8e6, queue_s=0.020))
    service_ns = MS  # 976 + 24 bytes
    fates = [law.offer(t_ns, 976) for t_ns in range(0, 200 * MS, MS // 4)]
    waits = [due - i * MS // 4 - service_ns for i, due in enumerate(fates) if due >= 0]
    assert min(waits) >= 0
    assert queue_ns - service_ns < max(waits) <= queue_ns
    assert set(fates) & set(FATES) == {QUEUE_DROP}
    dues = [due for due in fates if due >= 0]
    assert set(np.diff(dues)) == {service_ns}  # the line never idles, and never runs faster
    assert law.fates[QUEUE_DROP] == len(fates) - len(dues)


# Down, hold


def test_a_packet_may_wait_exactly_as_long_as_the_queue():
    law = steady(Impairment(rate_bps=8e6, queue_s=0.002))
    assert [law.offer(0, 976) for _ in range(4)] == [1 * MS, 2 * MS, 3 * MS, QUEUE_DROP]


def test_down_drops_everything():
    law = law_of((5 * MS, Impairment(up=False)), (10 * MS, CLEAN))
    fates = offer_every(law, MS, 12)
    assert fates == [0, MS, 2 * MS, 3 * MS, 4 * MS, *[DOWN] * 5, 10 * MS, 11 * MS]
    assert law.fates == {LOST: 0, QUEUE_DROP: 0, DOWN: 5, TOO_LONG: 0}


def test_hold_releases_in_order_with_the_later_state():
    later = Impairment(delay=Delay(0.002), rate_bps=8e6)
    law = law_of((0, CLEAN), (10 * MS, Impairment(hold=True)), (50 * MS, later))
    assert law.offer(9 * MS, 976) == 9 * MS
    held = offer_every(law, MS, 40, size=976, start_ns=10 * MS)
    assert held == [50 * MS + 2 * MS + (i + 1) * MS for i in range(40)]
    # a packet after the release queues behind the burst
    assert law.offer(51 * MS, 976) == held[-1] + MS


def test_hold_keeps_packets_in_flight():
    slow, hold = Impairment(delay=Delay(0.030)), Impairment(hold=True)
    law = law_of((0, slow), (10 * MS, hold), (20 * MS, CLEAN))
    assert law.offer(9 * MS, 100) == 39 * MS
    assert law.offer(15 * MS, 100) == 39 * MS  # behind it: order is preserved


def test_hold_then_another_hold_releases_at_the_last():
    law = law_of((0, Impairment(hold=True)), (5 * MS, Impairment(hold=True)), (9 * MS, CLEAN))
    assert law.offer(MS, 100) == law.offer(6 * MS, 100) == 9 * MS


def test_hold_bounds_the_released_burst_by_the_queue():
    later = Impairment(rate_bps=8e6, queue_s=0.010)
    law = law_of((0, Impairment(hold=True)), (50 * MS, later))
    fates = offer_every(law, MS, 50, size=976)
    assert fates == [50 * MS + (i + 1) * MS for i in range(11)] + [QUEUE_DROP] * 39


def test_hold_into_a_dead_link_or_without_an_end_loses():
    assert law_of((0, Impairment(hold=True)), (9, Impairment(up=False))).offer(1, 100) == DOWN
    assert law_of((0, Impairment(hold=True))).offer(1, 100) == DOWN


def test_hold_learns_its_release_from_a_later_command():
    law = law_of((0, Impairment(hold=True)))
    assert law.offer(1, 100) == DOWN
    law.extend([(10 * MS, CLEAN)])
    assert law.offer(2, 100) == 10 * MS


# Changes


def test_change_takes_effect_at_its_time_and_not_before():
    law = law_of((10 * MS, Impairment(delay=Delay(0.005))))
    assert law.offer(10 * MS - 1, 100) == 10 * MS - 1
    assert law.offer(10 * MS, 100) == 15 * MS
    assert law.impairment.delay.mean_s == 0.005


def test_extend_appends_and_refuses_the_past():
    law = law_of((10 * MS, CLEAN))
    law.extend([(20 * MS, Impairment(delay=Delay(0.001)))])
    assert law.offer(20 * MS, 100) == 21 * MS
    with pytest.raises(ValueError, match="before the last"):
        law.extend([(15 * MS, CLEAN)])


# Seeds

NOISY = Impairment(delay=Delay(0.010, "normal", 0.001), loss=GilbertElliott(0.05, 0.3, 0.01, 0.7))


def test_same_seed_same_decisions():
    assert offer_every(steady(NOISY), MS, 10_000) == offer_every(steady(NOISY), MS, 10_000)


@pytest.mark.parametrize("other", [{"seed": 8}, {"name": "primary/to-doctor"}])
def test_other_seed_or_name_draws_otherwise(other):
    ours, theirs = (np.array(offer_every(steady(NOISY, **how), MS, 10_000)) for how in ({}, other))
    both = (ours >= 0) & (theirs >= 0)
    assert both.any()
    assert (ours[both] == theirs[both]).mean() < 0.01
    lost = np.array([ours < 0, theirs < 0])
    assert abs(np.corrcoef(lost)[0, 1]) < 0.1


def test_loss_does_not_shift_the_draws_of_delay():
    """Each consumer draws for itself: losing nothing changes no delay of what remains."""
    plain = steady(Impairment(delay=Delay(0.010, "uniform", 0.001)))
    lossless = steady(Impairment(delay=Delay(0.010, "uniform", 0.001), loss=bernoulli(1e-12)))
    assert offer_every(plain, 100 * MS, 6000) == offer_every(lossless, 100 * MS, 6000)


# A burst is the same as its packets one by one

laws_of_delay = st.one_of(
    st.just(Delay()),
    st.integers(0, 20).map(lambda ms: Delay(ms / 1000)),
    st.tuples(st.integers(3, 20), st.integers(0, 3)).map(
        lambda v: Delay(v[0] / 1000, "uniform", v[1] / 1000)
    ),
    st.tuples(st.integers(3, 20), st.floats(0, 1)).map(
        lambda v: Delay(v[0] / 1000, "normal", v[1] / 1000)
    ),
)
probabilities = st.sampled_from([0.0, 0.01, 0.3, 1.0])
impairments = st.builds(
    Impairment,
    delay=laws_of_delay,
    order=st.sampled_from(["preserve", "preserve", "preserve", "allow"]),
    loss=st.one_of(
        st.none(),
        st.none(),
        st.builds(GilbertElliott, probabilities, probabilities, probabilities, probabilities),
    ),
    rate_bps=st.sampled_from([None, 1e6, 33.3e6, 200e6]),
    queue_s=st.sampled_from([0.002, 0.05, 1.0]),
    mtu_bytes=st.sampled_from([None, None, 576, 1280]),
)
states = st.one_of(
    impairments,
    impairments,
    impairments.map(lambda i: i.with_(up=False)),
    impairments.map(lambda i: i.with_(hold=True)),
)


def timeline_of(each):
    return st.lists(st.tuples(st.integers(0, 60), each), max_size=5).map(
        lambda changes: [(ms * MS, s) for ms, s in sorted(changes, key=lambda c: c[0])]
    )


plain = st.builds(  # what a burst decides as arrays
    Impairment,
    delay=laws_of_delay,
    rate_bps=st.sampled_from([None, 1e6, 33.3e6, 200e6]),
    queue_s=st.sampled_from([0.002, 0.05, 1.0]),
    hold=st.sampled_from([False, False, True]),
    mtu_bytes=st.sampled_from([None, None, 576, 1280]),
)


def sizes_of(count, stride):
    """``count`` different sizes from 42 to 1514 bytes; hypothesis draws short lists too often."""
    return [42 + i * stride % 1473 for i in range(count)]


bursts = st.lists(
    st.tuples(
        st.integers(0, 70),
        st.builds(sizes_of, st.sampled_from([1, 5, 23, 24, 40, 240]), st.integers(0, 1472)),
    ),
    max_size=12,
).map(lambda all_: sorted(all_, key=lambda burst: burst[0]))


timelines = st.one_of(timeline_of(plain), timeline_of(states))


@given(changes=timelines, arrivals=bursts, seed=st.integers(0, 2**32))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_burst_equals_its_packets_draw_for_draw(changes, arrivals, seed):
    one, many = law_of(*changes, seed=seed), law_of(*changes, seed=seed)
    for ms, sizes in arrivals:
        t_ns = ms * MS
        expected = [one.offer(t_ns, size) for size in sizes]
        got = many.offer_burst(t_ns, np.array(sizes, dtype=np.int64))
        assert got.dtype == np.int64
        assert got.tolist() == expected
    assert (one.accepted, one.fates) == (many.accepted, many.fates)


@given(changes=timelines, arrivals=bursts, seed=st.integers(0, 2**32))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_the_short_way_decides_as_the_long_one(changes, arrivals, seed):
    short, long = law_of(*changes, seed=seed), law_of(*changes, seed=seed)
    for ms, sizes in arrivals:
        for size in sizes[:30]:
            long.ordinary_at(ms * MS)  # brings the impairment up to date
            assert short.offer(ms * MS, size) == long._offer_at_length(ms * MS, size)
    assert (short.accepted, short.fates) == (long.accepted, long.fates)


def test_what_is_too_long_vanishes_and_the_others_do_not_notice():
    """590 captured bytes are an IP packet of 576."""
    hole = Impairment(Delay(0.01, "normal", 0.002), loss=bernoulli(0.2), mtu_bytes=576)
    law, without = law_of((0, hole)), law_of((0, hole.with_(mtu_bytes=None)))
    sizes = [60, 590, 591, 1514] * 100
    got = [law.offer(n * MS, size) for n, size in enumerate(sizes)]
    short = [n for n, size in enumerate(sizes) if size <= 590]
    assert [got[n] for n in short] == [without.offer(n * MS, sizes[n]) for n in short]
    assert {got[n] for n, size in enumerate(sizes) if size > 590} == {TOO_LONG}
    assert law.fates[TOO_LONG] == 200
    assert "longer than 576 B lost" in hole.describe()


def test_too_long_makes_no_copies_and_no_errors():
    law = law_of((0, Impairment(duplication=0.9, ber=1e-3, mtu_bytes=576)))
    for n in range(50):
        assert law.offer(n * MS, 1000) == TOO_LONG
        assert (law.copy_due, law.flips) == (-1, ())
        law.offer(n * MS, 100)


@given(changes=timelines, arrivals=bursts, seed=st.integers(0, 2**32))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_no_packet_leaves_before_it_arrives_and_none_is_forgotten(changes, arrivals, seed):
    law = law_of(*changes, seed=seed)
    offered = 0
    for ms, sizes in arrivals:
        for size in sizes:
            due = law.offer(ms * MS, size)
            offered += 1
            assert due in FATES or due >= ms * MS
    assert offered == law.accepted + sum(law.fates.values())


def test_burst_across_the_edge_of_a_block_of_draws():
    jitter = Impairment(delay=Delay(0.010, "uniform", 0.001))
    one, many = steady(jitter), steady(jitter)
    for burst in range(300):  # 300 x 37 draws pass the edges of blocks of 4096 in mid-burst
        expected = [one.offer(burst * S, 100) for _ in range(37)]
        assert many.offer_burst(burst * S, np.full(37, 100)).tolist() == expected
