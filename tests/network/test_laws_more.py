"""The laws beyond delay, loss and rate: heavy tails, tables, four states, copies, errors, slots.

Seeds are fixed; each bound on a random figure would be passed by chance at most once in a
million seeds.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from bench.network.delays import TABLE_SCALE, TABLE_SIZE, Delay, measured, unit_table
from bench.network.impairment import (
    CLEAN,
    FourState,
    GilbertElliott,
    Impairment,
    Reordering,
    Slot,
    bernoulli,
)
from bench.network.laws import DOWN, LOST, QUEUE_DROP, TOO_LONG, DirectionLaw

MS = 1_000_000
S = 1000 * MS
ERROR = 1e-6
SIGMAS = norm.isf(ERROR / 2)


def law_of(*changes, seed=7, name="primary/to-patient"):
    return DirectionLaw(changes, seed=seed, name=name)


def steady(impairment, **how):
    return law_of((0, impairment), **how)


def offer_every(law, period_ns, count, size=100, start_ns=0):
    return [law.offer(start_ns + i * period_ns, size) for i in range(count)]


def inside(count, trials, p):
    """Whether ``count`` of ``trials`` lies in the binomial interval of ``p``."""
    low, high = binom.ppf([ERROR / 2, 1 - ERROR / 2], trials, p)
    return low <= count <= high


# Delay from tables


def delays_ns(delay, count=80_000):
    law = steady(Impairment(delay=delay, order="allow"))
    return np.array(offer_every(law, S, count)) - np.arange(count) * S


@pytest.mark.parametrize("kind", ["pareto", "paretonormal"])
def test_heavy_tailed_delay_follows_its_table(kind):
    mean_ns, spread_ns = 50 * MS, 2 * MS
    got = delays_ns(Delay(0.050, kind, 0.002))
    table = np.sort(np.array(unit_table(kind))) / TABLE_SCALE
    steps = np.unique(table)
    expected = np.searchsorted(table, steps, "right") / TABLE_SIZE
    sample = np.sort((got - mean_ns) / spread_ns)
    found = np.searchsorted(sample, steps + 1e-6, "right") / len(sample)
    # Dvoretzky–Kiefer–Wolfowitz: 2 exp(-2 n d²) = ERROR
    assert np.abs(found - expected).max() < math.sqrt(math.log(2 / ERROR) / (2 * len(got)))
    assert got.min() >= mean_ns + table[0] * spread_ns - 1
    assert got.max() <= mean_ns + table[-1] * spread_ns + 1
    assert found[-1] == 1.0
    sigma = table.std() * spread_ns / math.sqrt(len(got))
    assert got.mean() == pytest.approx(mean_ns + table.mean() * spread_ns, abs=SIGMAS * sigma)
    skew = ((got - got.mean()) ** 3).mean() / got.std() ** 3
    assert skew > 1  # late packets are later than early ones are early


def test_pareto_tail_is_cubic():
    """Shape 3: beyond its threshold the tail falls with the third power of the distance."""
    got = delays_ns(Delay(0.050, "pareto", 0.002), count=120_000)
    # value v of the table: 3/4 v + 3/2 = (1 - q)^(-1/3), so P(> v) = (3/4 v + 3/2)^-3
    for spreads in (0.0, 1.0, 2.0, 3.0):
        share = (0.75 * spreads + 1.5) ** -3
        beyond = int((got > (50 + 2 * spreads) * MS).sum())
        low, high = binom.ppf([ERROR / 2, 1 - ERROR / 2], len(got), [share - 2e-3, share + 2e-3])
        assert low <= beyond <= high  # 2e-3: eight places of 4096, the steps of the table


def test_measured_delays_come_back_as_they_were_measured():
    rng = np.random.default_rng(3)
    sample = np.concatenate([rng.uniform(0.010, 0.012, 30_000), rng.uniform(0.030, 0.034, 10_000)])
    delay = measured(sample)
    got = np.sort(delays_ns(delay)) / S
    resolution = delay.spread_s / TABLE_SCALE
    assert got.min() >= 0.010 - resolution
    assert got.max() <= 0.034 + resolution
    between = ((got > 0.012 + resolution) & (got < 0.030 - resolution)).mean()
    assert between <= 1 / TABLE_SIZE + 1e-9  # no interpolation across the gap, but one quantile
    bound = math.sqrt(math.log(2 / ERROR) / (2 * len(got)))
    places = np.concatenate([np.linspace(0.010, 0.012, 40), np.linspace(0.030, 0.034, 40)])
    truth = np.searchsorted(np.sort(sample), places) / len(sample)
    for shift in (-1, 1):
        found = np.searchsorted(got, places + shift * 2 * resolution) / len(got)
        assert (shift * (found - truth) > -bound - 2 / TABLE_SIZE).all()


# Four-state loss


def lost_of(model, count, **how):
    return np.array(offer_every(steady(Impairment(loss=model), **how), MS, count)) == LOST


def runs_of(flags):
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return edges[1::2] - edges[::2]


FOUR = FourState(p13=0.01, p31=0.3, p32=0.2, p23=0.6, p14=0.004)


@pytest.mark.parametrize(
    "model", [FOUR, FourState(0.02, 0.25), FourState(0.0, 1.0, p14=0.01), FourState(0.3, 0.5)]
)
def test_four_state_loss_meets_its_stationary_ratio(model):
    count = 200_000
    lost = lost_of(model, count)
    # By hand: balance of each state's ways in and out, with state 1 as the unit.
    three = model.p13 / model.p31
    two = three * model.p32 / model.p23
    four = model.p14
    ratio = (three + four) / (1 + two + three + four)
    assert model.ratio == pytest.approx(ratio, abs=1e-9)
    sigma = math.sqrt(model.effect * ratio * (1 - ratio) / count)
    assert abs(lost.mean() - ratio) < SIGMAS * sigma + 1e-4  # starts in state 1


def test_four_state_bursts_have_the_lengths_of_the_chain():
    """In a burst losses come in runs that stop with p31 + p32: geometric; isolated ones besides."""
    model = FourState(p13=0.01, p31=0.3, p32=0.2, p23=0.6)
    runs = runs_of(lost_of(model, 300_000))
    stop = model.p31 + model.p32
    for length in (1, 2, 3, 5):
        assert inside(int((runs >= length).sum()), len(runs), (1 - stop) ** (length - 1))
    alone = FourState(p13=0.0, p31=1.0, p14=0.02)
    assert set(runs_of(lost_of(alone, 50_000))) == {1}


def test_four_state_bursts_hold_packets_that_pass():
    """Between two losses of one burst lie runs of state 2, geometric in p23."""
    model = FourState(p13=1e-3, p31=0.05, p32=0.45, p23=0.25)
    lost = lost_of(model, 300_000)
    gaps = runs_of(~lost)
    # Between bursts gaps are 1000 long on average: 6 % of them, one in ten of all, are as short.
    inner = gaps[gaps < 60]
    assert len(inner) > 1000
    for length in (2, 3, 5):
        share = (1 - model.p23) ** (length - 1)
        sigma = math.sqrt(share * (1 - share) / len(inner))
        assert abs((inner >= length).mean() - share) < SIGMAS * sigma + 0.02


# Duplication


def copies_of(law, count, period_ns=S):
    found = []
    for number in range(count):
        due = law.offer(number * period_ns, 100)
        found.append((due, law.copy_due))
    return found


def test_copies_are_binomial_and_have_a_delay_of_their_own():
    count, p = 40_000, 0.2
    delay = Delay(0.010, "uniform", 0.004)
    law = steady(Impairment(delay=delay, duplication=p, order="allow"))
    found = [(due, copy) for due, copy in copies_of(law, count) if copy >= 0]
    assert inside(len(found), count, p)
    assert law.copies == len(found)
    assert law.accepted == count
    first, second = np.array(found).T % S
    assert second.min() >= 6 * MS
    assert second.max() <= 14 * MS
    assert abs(np.corrcoef(first, second)[0, 1]) < SIGMAS / math.sqrt(len(found))
    sigma = 4 * MS / math.sqrt(3 * len(found))
    assert second.mean() == pytest.approx(10 * MS, abs=SIGMAS * sigma)


def test_a_copy_comes_behind_its_packet_where_order_is_kept():
    law = steady(Impairment(delay=Delay(0.010, "uniform", 0.004), duplication=0.5))
    dues = []
    for pair in copies_of(law, 5000, MS):
        dues += [due for due in pair if due >= 0]
    assert dues == sorted(dues)


def test_lost_packets_have_no_copies_and_a_copy_may_find_no_place():
    law = steady(Impairment(loss=bernoulli(0.5), duplication=0.5))
    found = copies_of(law, 5000)
    assert all(copy == -1 for due, copy in found if due < 0)
    assert any(copy >= 0 for _, copy in found)
    full = steady(Impairment(rate_bps=8e6, queue_packets=3, duplication=1 - 1e-12))
    assert [full.offer(0, 976), full.copy_due] == [MS, 2 * MS]
    assert [full.offer(0, 976), full.copy_due] == [3 * MS, -1]
    assert [full.offer(0, 976), full.copy_due] == [QUEUE_DROP, -1]
    assert (full.accepted, full.copies, full.fates[QUEUE_DROP]) == (2, 1, 1)


# Reordering


@pytest.mark.parametrize("gap", [1, 5])
def test_candidates_skip_the_delay_at_random(gap):
    count, ratio = 60_000, 0.25
    law = steady(Impairment(delay=Delay(0.010), order="allow", reordering=Reordering(ratio, gap)))
    waits = np.array(offer_every(law, S, count)) % S
    skipped = np.flatnonzero(waits == 0)
    assert set(waits) == {0, 10 * MS}
    assert law.skipped == len(skipped)
    # Distances of skips: gap - 1 that cannot, then geometric with the ratio.
    distances = np.diff(skipped, prepend=-1)
    assert distances.min() == gap
    for more in (1, 3, 6):
        assert inside(int((distances >= gap + more).sum()), len(distances), (1 - ratio) ** more)


def test_every_packet_may_skip():
    law = steady(Impairment(delay=Delay(0.010), order="allow", reordering=Reordering(1.0, 3)))
    waits = np.array(offer_every(law, S, 9)) % S
    assert waits.tolist() == [10 * MS, 10 * MS, 0] * 3


# Bit errors


def test_bit_errors_are_independent_at_their_ratio():
    ber, size, count = 1e-4, 125, 20_000  # 1000 bits a packet
    law = steady(Impairment(ber=ber))
    places, damaged = [], 0
    for number in range(count):
        law.offer(number, size)
        places += [number * 1000 + place for place in law.flips]
        damaged += bool(law.flips)
        assert all(0 <= place < 8 * size for place in law.flips)
        assert list(law.flips) == sorted(set(law.flips))
    assert inside(len(places), count * 1000, ber)
    assert inside(damaged, count, 1 - (1 - ber) ** 1000)
    assert law.damaged == damaged
    # Distances between errors are geometric, also across packets.
    distances = np.diff(np.array(places))
    for bits in (1000, 5000, 20_000, 40_000):
        assert inside(int((distances > bits).sum()), len(distances), (1 - ber) ** bits)


def test_wrong_bits_may_lie_side_by_side():
    law = steady(Impairment(ber=0.3))
    law.offer(0, 12_500)
    distances = np.diff(np.array(law.flips))
    for bits in (1, 2, 5):
        assert inside(int((distances > bits).sum()), len(distances), 0.7**bits)


def test_large_packets_are_damaged_more_often():
    law = steady(Impairment(ber=2e-5))
    hits = {60: 0, 1500: 0}
    for number in range(20_000):
        for size in hits:
            law.offer(number, size)
            hits[size] += bool(law.flips)
    for size, found in hits.items():
        assert inside(found, 20_000, 1 - (1 - 2e-5) ** (8 * size))


def test_another_ratio_draws_its_first_distance_anew():
    """After a time with hardly any errors, many come at once when the ratio rises."""
    first = []
    for seed in range(300):
        law = law_of((0, Impairment(ber=1e-12)), (MS, Impairment(ber=0.01)), seed=seed)
        law.offer(0, 125)
        bits = 0
        for _ in range(10):
            law.offer(MS, 125)
            if law.flips:
                first.append(bits + law.flips[0])
                break
            bits += 1000
    assert len(first) == 300
    for bits in (50, 100, 200):
        assert inside(sum(place >= bits for place in first), 300, 0.99**bits)


def test_lost_packets_take_no_errors_and_clean_links_make_none():
    law = law_of((0, Impairment(ber=0.05, loss=bernoulli(0.5))), (1000, CLEAN))
    for number in range(1000):
        if law.offer(number, 100) == LOST:
            assert law.flips == ()
    law.offer(1000, 100)
    assert law.flips == ()
    assert law.ordinary


# A queue in packets


def test_a_queue_in_packets_counts_those_in_service_and_drops_the_tail():
    law = steady(Impairment(rate_bps=8e6, queue_s=1.0, queue_packets=4))
    fates = [law.offer(0, 976) for _ in range(6)]
    assert fates == [MS, 2 * MS, 3 * MS, 4 * MS, QUEUE_DROP, QUEUE_DROP]
    assert law.offer(MS - 1, 976) == QUEUE_DROP
    assert law.offer(MS, 976) == 5 * MS  # the first has left
    assert law.offer(MS, 976) == QUEUE_DROP
    assert law.fates[QUEUE_DROP] == 4


@given(
    places=st.integers(1, 8),
    gaps=st.lists(st.tuples(st.integers(0, 3 * MS), st.integers(60, 1500)), max_size=80),
)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_queue_in_packets_is_never_longer(places, gaps):
    law = steady(Impairment(rate_bps=8e6, queue_s=1.0, queue_packets=places))
    t_ns, dues = 0, []
    for gap, size in gaps:
        t_ns += gap
        waiting = sum(due > t_ns for due in dues)
        due = law.offer(t_ns, size)
        assert (due == QUEUE_DROP) == (waiting >= places)
        if due >= 0:
            dues.append(due)


# Slots


def test_packets_leave_together_in_slots():
    law = steady(Impairment(delay=Delay(0.001), slot=Slot(0.005, 0.005)))
    dues = offer_every(law, MS // 2, 40)
    arrivals = np.arange(40) * MS // 2 + MS
    slots = sorted(set(dues))
    assert dues == sorted(dues)
    # A slot begins 5 ms after the first packet that finds the one before past.
    assert slots[0] == 6 * MS
    for begin, following in pairwise(slots):
        assert following == arrivals[arrivals > begin][0] + 5 * MS
    for arrival, due in zip(arrivals.tolist(), dues, strict=True):
        assert arrival <= due <= arrival + 5 * MS


def test_a_slot_takes_only_so_many_packets_and_bytes():
    packets = steady(Impairment(slot=Slot(0.010, 0.010, packets=3)))
    dues = [packets.offer(MS, 100) for _ in range(8)]
    assert dues == [11 * MS] * 3 + [21 * MS] * 3 + [31 * MS] * 2
    sized = steady(Impairment(slot=Slot(0.010, 0.010, bytes=1000)))
    dues = [sized.offer(MS, size) for size in (600, 400, 100, 900, 100)]
    assert dues == [11 * MS] * 2 + [21 * MS] * 2 + [31 * MS]


def test_distances_of_slots_are_drawn_evenly():
    law = steady(Impairment(slot=Slot(0.002, 0.006)))
    widths = np.sort(np.array(offer_every(law, S, 20_000, start_ns=S)) % S)
    assert widths[0] >= 2 * MS
    assert widths[-1] <= 6 * MS
    distance = np.abs((widths / MS - 2) / 4 - (np.arange(20_000) + 0.5) / 20_000).max()
    assert distance < math.sqrt(math.log(2 / ERROR) / 40_000) + 1 / 20_000


# Seeds

EVERYTHING = Impairment(
    delay=Delay(0.050, "paretonormal", 0.004),
    order="allow",
    loss=FOUR,
    rate_bps=50e6,
    duplication=0.05,
    reordering=Reordering(0.1, 3),
    ber=1e-5,
)


def decisions(impairment, count=4000, **how):
    law = steady(impairment, **how)
    return [(law.offer(i * MS, 500), law.copy_due, law.flips) for i in range(count)]


def test_same_seed_same_decisions_and_another_seed_others():
    assert decisions(EVERYTHING) == decisions(EVERYTHING)
    others = decisions(EVERYTHING, seed=8), decisions(EVERYTHING, name="primary/to-doctor")
    for other in others:
        same = sum(a[0] == b[0] >= 0 for a, b in zip(decisions(EVERYTHING), other, strict=True))
        assert same < 40 + 4000 * 0.1 * 0.1 * 2  # those that both skip the delay are equal


@pytest.mark.parametrize(
    "without",
    [{"duplication": 0.0}, {"ber": 0.0}, {"loss": None}],
    ids=["duplication", "bit errors", "loss"],
)
def test_each_consumer_draws_for_itself(without):
    """Taking one impairment away changes no decision of the others."""
    base = EVERYTHING.with_(rate_bps=None, reordering=None, delay=Delay(0.050))
    ours, theirs = decisions(base), decisions(base.with_(**without))
    if "loss" not in without:
        assert [due for due, *_ in ours] == [due for due, *_ in theirs]
    if without == {"duplication": 0.0}:
        assert [flips for *_, flips in ours] == [flips for *_, flips in theirs]
    if without == {"ber": 0.0}:
        assert [copy for _, copy, _ in ours] == [copy for _, copy, _ in theirs]
    if "loss" in without:
        kept = [copy >= 0 for due, copy, _ in ours if due >= 0]
        assert kept == [copy >= 0 for _, copy, _ in theirs][: len(kept)]


# Many at a time

probabilities = st.sampled_from([0.0, 0.02, 0.3, 0.7, 1.0])
losses = st.one_of(
    st.none(),
    st.builds(GilbertElliott, probabilities, probabilities, probabilities, probabilities),
    st.sampled_from([FOUR, FourState(0.3, 0.5)]),
)
delays = st.sampled_from(
    [
        Delay(),
        Delay(0.004),
        Delay(0.010, "uniform", 0.010),
        Delay(0.006, "normal", 0.002),
        Delay(0.020, "pareto", 0.004),
    ]
)
states = st.one_of(
    st.builds(
        Impairment,
        delay=delays,
        order=st.sampled_from(["preserve", "preserve", "allow"]),
        loss=losses,
        rate_bps=st.sampled_from([None, None, 5e6, 40e6, 300e6]),
        queue_s=st.sampled_from([0.001, 0.02, 1.0]),
    ),
    st.just(Impairment(hold=True)),
    st.just(Impairment(up=False)),
    st.just(Impairment(delay=Delay(0.003), order="allow", reordering=Reordering(0.3, 2))),
    st.just(Impairment(slot=Slot(0.002, 0.004, packets=5))),
    st.just(Impairment(rate_bps=40e6, queue_packets=7, loss=bernoulli(0.1))),
)
timelines = st.lists(st.tuples(st.integers(0, 60), states), min_size=1, max_size=4).map(
    lambda changes: [(ms * MS, state) for ms, state in sorted(changes, key=lambda c: c[0])]
)


@given(
    changes=timelines,
    counts=st.lists(st.sampled_from([1, 7, 24, 60, 300, 9000]), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
@settings(derandomize=True, deadline=None, max_examples=150)
def test_many_equal_their_packets_draw_for_draw(changes, counts, seed):
    rng = np.random.default_rng(seed)
    one, many = law_of(*changes, seed=seed), law_of(*changes, seed=seed)
    begin = 0
    for count in counts:
        times = begin + np.cumsum(rng.integers(0, 60 * MS // count + 1, count))
        sizes = rng.integers(42, 1515, count)
        begin = int(times[-1])
        expected = [one.offer(t, s) for t, s in zip(times.tolist(), sizes.tolist(), strict=True)]
        got = many.offer_many(times, sizes)
        assert got.dtype == np.int64
        assert got.tolist() == expected
    assert (one.accepted, one.fates, one.skipped) == (many.accepted, many.fates, many.skipped)
    assert one.offer(begin, 100) == many.offer(begin, 100)


@pytest.mark.parametrize(
    "model",
    [
        GilbertElliott(0.05, 0.3, 0.0, 0.5),  # draws in the bad state only
        GilbertElliott(0.05, 0.3, 0.2, 1.0),  # draws in the good state only
        GilbertElliott(0.9, 0.8, 0.1, 0.6),  # states mostly flip
        GilbertElliott(0.0, 1.0, 0.1, 0.0),
        FOUR,
    ],
)
def test_many_lose_what_their_packets_lose(model):
    state = Impairment(delay=Delay(0.010, "uniform", 0.004), loss=model)
    one, many = steady(state), steady(state)
    times = np.arange(6000) * MS
    for part in np.split(times, 40):
        expected = [one.offer(t, 100) for t in part.tolist()]
        assert many.offer_many(part, np.full(len(part), 100)).tolist() == expected


def test_no_packets_at_all_are_no_decisions():
    law = steady(Impairment(loss=bernoulli(0.5)))
    assert law.offer_many(np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []
    assert law.fates == {LOST: 0, QUEUE_DROP: 0, DOWN: 0, TOO_LONG: 0}
