"""What went in comes out: laws, losses and rates recovered from packets they were done to.

Seeds are fixed. Bounds are five standard errors of the estimator (chance of a miss 6e-7) where it
has one, else stated beside it.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import optimize

from bench.errors import InputError
from bench.measure.fit_delay import _fitted, distance, fit_delay, steadiness, unheld
from bench.measure.fit_loss import fit_loss, log_likelihood
from bench.measure.fit_rate import fit_rate, through
from bench.measure.fitting import Passage, fit_direction, share_reordered
from bench.measure.statistics import autocorrelation_effect
from bench.network.delays import Delay, measured
from bench.network.impairment import GilbertElliott, Impairment, bernoulli
from bench.network.laws import DirectionLaw

N = 20_000
STEP_S = 2e-9


def passage(impairment, *, n=N, gap_s=1e-3, size=200, sent_s=None, sizes=None, seed=3):
    law = DirectionLaw([(0, impairment)], seed=seed, name="truth")
    times = np.arange(n) * gap_s if sent_s is None else sent_s
    sent = np.rint(times * 1e9).astype(np.int64) + 1
    size = np.full(len(sent), size) if sizes is None else sizes
    due = np.array([law.offer(t, s) for t, s in zip(sent.tolist(), size.tolist(), strict=True)])
    return Passage(
        sent, np.where(due >= 0, due, -1), size, np.zeros(len(sent), dtype=int), 0, 0, 0, 0, STEP_S
    )


def fitted(impairment, **given):
    return fit_direction(passage(impairment, **given))


# Delay

LAWS = {
    # Standard errors: edges of the uniform law; σ/√n and σ/√2n of the normal one. Of the others
    # by their estimates over 200 seeds: paretonormal 13 and 16 µs; pareto, whose estimator takes
    # the nearer of two, 3 and 5 µs with 33 and 52 µs at most.
    "constant": (Delay(0.02), 1e-9, 1e-9),
    "uniform": (Delay(0.02, "uniform", 0.002), 2e-6, 2e-6),
    "normal": (Delay(0.02, "normal", 0.002), 7.1e-5, 5e-5),
    "pareto": (Delay(0.02, "pareto", 0.002), 7e-5, 9e-5),
    "paretonormal": (Delay(0.02, "paretonormal", 0.002), 7e-5, 9e-5),
}


@pytest.mark.parametrize("law", LAWS)
def test_delay_laws_are_recovered(law):
    truth, mean_off, spread_off = LAWS[law]
    found = fitted(Impairment(delay=truth, order="allow"))
    assert found.delay.chosen.law == law
    assert found.delay.chosen.accepted
    assert found.delay.chosen.delay.mean_s == pytest.approx(truth.mean_s, abs=mean_off)
    assert found.delay.chosen.delay.spread_s == pytest.approx(truth.spread_s, abs=spread_off)
    assert found.replay.agrees
    others = {each.law for each in found.delay.ranking if each.accepted}
    assert others <= {law, "table"} or law == "constant"
    assert found.impairment.delay == found.delay.chosen.delay


def test_what_is_no_named_law_becomes_a_table():
    rng = np.random.default_rng(1)
    sample = np.where(rng.random(N) < 0.5, 0.010, 0.030) + rng.random(N) * 0.002
    truth = measured(sample.tolist())
    found = fitted(Impairment(delay=truth, order="allow"))
    assert found.delay.chosen.law == "table"
    assert distance(found.impairment.delay, np.sort(sample), STEP_S) < 1.949 * 2 / math.sqrt(N)
    assert any("no named delay law fits" in note for note in found.notes)


def test_a_path_that_keeps_the_order_shows_the_law_behind_it():
    """At σ of two packet distances, what arrives is no longer normal; its cause is found."""
    truth = Delay(0.02, "normal", 0.002)
    seen = passage(Impairment(delay=truth))
    found = fit_direction(seen)
    raw = (seen.received_ns - seen.sent_ns) / 1e9
    assert raw.mean() > 0.0205  # what a fit of the raw delays would say
    assert found.impairment.order == "preserve"
    assert found.impairment.delay.mean_s == pytest.approx(0.02, abs=1.5e-4)
    assert found.replay.agrees


def test_unheld_is_exact_where_nothing_is_held():
    rng = np.random.default_rng(1)
    sample = rng.random(1000)
    found = np.sort(unheld(sample, np.zeros(1000, dtype=bool)))
    assert found == pytest.approx(np.sort(sample), abs=0.01)


def test_critical_distances_hold():
    """A law is refused in 1 of 1000 samples of itself: here, next to never."""
    rng = np.random.default_rng(5)
    refused = 0
    for law in ("uniform", "normal", "pareto", "paretonormal"):
        values = Delay(0.02, law, 0.002).values_s()
        for _ in range(40):
            sample = rng.choice(values, 600)
            if law == "normal":
                sample = rng.normal(0.02, 0.002, 600)
            effective = len(sample) / autocorrelation_effect(sample)
            refused += not _fitted(law, sample, np.sort(sample), STEP_S, effective).accepted
    assert refused <= 4  # binomial(160, 0.001): more once in 1e6


def test_an_impossible_law_says_why():
    sample = np.abs(np.random.default_rng(1).normal(0, 0.001, 1000))
    normal = next(each for each in fit_delay(sample, STEP_S).ranking if each.law == "normal")
    assert (normal.delay, normal.ks, normal.accepted) == (None, None, False)
    assert "three standard deviations" in normal.refused


def test_coarse_stamps_do_not_spoil_a_law():
    """Stamps of whole µs, and a law not much wider."""
    rng = np.random.default_rng(1)
    exact = 0.001 + rng.random(N) * 20e-6
    coarse = np.floor(exact * 1e6) / 1e6
    assert fit_delay(coarse, 2e-6).chosen.law == "uniform"
    assert fit_delay(np.floor((0.001 + rng.random(N) * 1e-6) * 1e6) / 1e6, 2e-6).chosen.law == (
        "constant"
    )


# Clocks


def test_drift_is_refused_where_it_hides_the_law_and_said_where_not():
    seen = passage(Impairment(delay=Delay(0.02)))
    drifting = seen.received_ns + (seen.sent_ns * 20e-6).astype(np.int64)
    with pytest.raises(InputError, match=r"drifts by 400 µs over the capture \(20 ppm\)"):
        fit_direction(replaced(seen, drifting))
    wide = passage(Impairment(delay=Delay(0.02, "normal", 0.002), order="allow"))
    drifting = wide.received_ns + (wide.sent_ns * 80e-6).astype(np.int64)
    found = fit_direction(replaced(wide, drifting))
    assert found.steadiness.significant
    assert any("drifts by" in note for note in found.notes)


def replaced(seen, received):
    return Passage(seen.sent_ns, received, seen.size, seen.flow, 0, 0, 0, 0, STEP_S)


@pytest.mark.parametrize("at", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("step_ms", [5, -5])
def test_a_step_is_refused(at, step_ms):
    seen = passage(Impairment(delay=Delay(0.02, "normal", 0.0005), order="allow"), n=5000)
    moved = np.where(np.arange(5000) >= at * 5000, step_ms * 1_000_000, 0)
    with pytest.raises(
        InputError, match=rf"delay steps by {'-' if step_ms < 0 else ''}[45]\S* ms after"
    ):
        fit_direction(replaced(seen, seen.received_ns + moved))


def test_steady_delays_raise_no_alarm():
    rng = np.random.default_rng(7)
    for _ in range(100):
        delays = 0.02 + rng.exponential(0.002, 3000)
        found = steadiness(np.arange(3000) / 1e3, delays, STEP_S)
        assert not found.significant
        assert not found.step_s


def test_negative_delays_and_few_packets_are_refused():
    seen = passage(Impairment(delay=Delay(0.02)), n=500)
    with pytest.raises(InputError, match="negative; give the captures in the other order"):
        fit_direction(replaced(seen, seen.sent_ns - 1_000_000))
    with pytest.raises(InputError, match="only 99 packets"):
        fit_direction(passage(Impairment(delay=Delay(0.02)), n=99))


# Loss


def brute_force(model, lost):
    """The likelihood as a sum over every sequence of states."""
    p, r = model.p_good_to_bad, model.p_bad_to_good
    step = {(0, 0): 1 - p, (0, 1): p, (1, 0): r, (1, 1): 1 - r}
    share = [model.loss_good, model.loss_bad]
    total = 0.0
    for states in itertools.product((0, 1), repeat=len(lost) + 1):
        chance = p / (p + r) if states[0] else r / (p + r)
        for before, state, gone in zip(states[:-1], states[1:], lost, strict=True):
            chance *= step[before, state] * (share[state] if gone else 1 - share[state])
        total += chance
    return math.log(total)


@pytest.mark.parametrize(
    "model",
    [
        GilbertElliott(0.1, 0.3, 0.05, 0.7),
        GilbertElliott(0.2, 0.5),
        GilbertElliott(0.9, 0.8, 0.1, 0.6),
        GilbertElliott(0.5, 0.5, 0.2, 0.2),
    ],
)
@pytest.mark.parametrize("lost", ["0100110001", "1111100000", "0000000001", "1010101010"])
def test_likelihood_against_the_sum_over_all_states(model, lost):
    gone = [each == "1" for each in lost]
    at = np.flatnonzero(gone)
    gaps = np.diff(np.concatenate([[-1], at, [len(gone)]])) - 1
    assert log_likelihood(model, gaps) == pytest.approx(brute_force(model, gone), rel=1e-9)


def losses(model, n=100_000, seed=4):
    law = DirectionLaw([(0, Impairment(loss=model))], seed=seed, name="losses")
    return np.array([law.offer(n, 100) < 0 for n in range(n)])


def test_no_loss_is_bounded():
    found = fit_loss(np.zeros(3000, dtype=bool))
    assert found.chosen.name == "none"
    assert found.chosen.model is None
    assert found.upper == pytest.approx(3 / 3000, rel=0.01)  # the rule of three
    assert (found.ratio, found.lower, found.runs_p, found.burst_mean) == (0, 0, None, None)


@pytest.mark.parametrize(("ratio", "n"), [(0.0005, 100_000), (0.01, 100_000), (0.2, 20_000)])
def test_independent_loss(ratio, n):
    found = fit_loss(losses(bernoulli(ratio), n))
    assert found.chosen.name == "bernoulli"
    assert found.ratio == pytest.approx(ratio, abs=5 * math.sqrt(ratio / n))
    assert found.chosen.model == bernoulli(found.ratio)
    assert found.lower < found.ratio < found.upper
    assert found.runs_p > 1e-6


def test_gilbert_loss():
    truth = GilbertElliott(0.005, 0.2)
    found = fit_loss(losses(truth))
    assert found.chosen.name == "gilbert"
    bad = 100_000 * 0.005 / 0.205
    assert found.chosen.model.p_bad_to_good == pytest.approx(0.2, abs=5 * math.sqrt(0.16 / bad))
    assert found.chosen.model.p_good_to_bad == pytest.approx(0.005, abs=5 * math.sqrt(0.005 / 1e5))
    assert found.runs_z < -20
    assert found.burst_mean == pytest.approx(5, abs=5 * math.sqrt(20 / 480))


def test_gilbert_elliott_loss():
    truth = GilbertElliott(0.002, 0.02, 0.003, 0.4)
    lost = losses(truth)
    found = fit_loss(lost)
    model = found.chosen.model
    assert found.chosen.name == "gilbert-elliott"
    assert model.ratio == pytest.approx(truth.ratio, rel=0.3)
    assert model.loss_bad == pytest.approx(0.4, abs=0.06)
    assert model.p_bad_to_good == pytest.approx(0.02, rel=0.5)
    assert model.loss_good == pytest.approx(0.003, abs=0.002)
    at = np.flatnonzero(lost)
    gaps = np.diff(np.concatenate([[-1], at, [100_000]])) - 1
    assert log_likelihood(model, gaps) >= log_likelihood(truth, gaps)


def test_everything_lost_but_what_arrived():
    found = fit_loss(np.ones(100, dtype=bool))
    assert (found.ratio, found.upper, found.chosen.name) == (1.0, 1.0, "bernoulli")


# Rate


def video(seconds=20, *, frame_bytes=40_000, size=1200):
    """Frames of many packets at once, 30 a second, and a control packet every ms."""
    burst = frame_bytes // size
    times = [frame / 30 + n * 1e-5 for frame in range(30 * seconds) for n in range(burst)]
    control = np.arange(1000 * seconds) / 1000 + 3e-4
    times = np.concatenate([times, control])
    sizes = np.concatenate([np.full(30 * seconds * burst, size), np.full(len(control), 100)])
    order = np.argsort(times, kind="stable")
    return {"sent_s": times[order], "sizes": sizes[order].astype(np.int64)}


def test_a_bottleneck_is_found_and_taken_out_of_the_delay():
    truth = Impairment(delay=Delay(0.02, "normal", 0.0005), rate_bps=20e6)
    found = fitted(truth, **video())
    # Keeping the order holds back packets of a burst that jitter would have let overtake.
    assert found.rate.rate_bps == pytest.approx(20e6, rel=0.03)
    assert found.rate.at_least_bps <= 20e6 * 1.001
    assert found.impairment.delay.mean_s == pytest.approx(0.02, abs=5e-4)
    assert found.delay.n == len(video()["sent_s"])
    assert found.loss.lost == 0


def test_a_bottleneck_with_constant_delay_is_exact():
    truth = Impairment(delay=Delay(0.02), rate_bps=20e6)
    found = fitted(truth, **video())
    assert found.rate.rate_bps == pytest.approx(20e6, rel=1e-5)
    assert found.impairment.delay.mean_s == pytest.approx(0.02, abs=1e-6)


def test_an_overflowing_queue_explains_its_losses():
    truth = Impairment(delay=Delay(0.01), rate_bps=20e6, queue_s=0.012, loss=bernoulli(0.01))
    found = fitted(truth, **video())
    assert found.rate.rate_bps == pytest.approx(20e6, rel=1e-3)
    assert found.rate.queue_s == pytest.approx(0.012, rel=0.05)
    assert found.rate.overflowed > 1000
    assert found.loss.ratio == pytest.approx(0.01, abs=5 * math.sqrt(0.01 / 30_000))
    assert found.impairment.queue_s == found.rate.queue_s


NO_BOTTLENECK = [
    (Delay(0.02), None),
    (Delay(0.02, "uniform", 0.0006), None),
    (Delay(0.02, "normal", 0.002), None),
    (Delay(0.02, "normal", 0.002), bernoulli(0.2)),
    (Delay(0.02, "pareto", 0.001), None),
    (Delay(0.02, "pareto", 0.001), bernoulli(0.2)),
]


@pytest.mark.parametrize(("delay", "loss"), NO_BOTTLENECK)
@pytest.mark.parametrize("order", ["allow", "preserve"])
def test_no_bottleneck_is_invented(delay, order, loss):
    impairment = Impairment(delay=delay, order=order, loss=loss)
    found = fitted(impairment, n=5000)
    assert found.rate.rate_bps is None
    assert found.impairment.rate_bps is None
    offered = 8 * 224 / 1e-3
    assert found.rate.at_least_bps <= offered * 1.001
    assert any("no bottleneck is visible: the rate is at least" in note for note in found.notes)


def test_the_queue_is_the_one_of_the_law():
    truth = Impairment(rate_bps=20e6, queue_s=10)
    given = video(2)
    seen = passage(truth, **given)
    left = through(seen.sent_ns / 1e9, given["sizes"].astype(float), 20e6).left_s
    assert left == pytest.approx(seen.received_ns / 1e9, abs=5e-6)  # the law cuts to whole ns


def test_rate_against_slow_fifo():
    rng = np.random.default_rng(1)
    sent, size = np.sort(rng.random(500)), rng.integers(60, 1500, 500).astype(float)
    found, free = through(sent, size, 3e6), 0.0
    for n in range(500):
        free = max(free, sent[n]) + 8 * (size[n] + 24) / 3e6
        assert found.left_s[n] == pytest.approx(free)
    assert fit_rate(sent, sent + 0.01, size, np.empty(0), STEP_S)[0].rate_bps is None


# Order and duplicates


def test_reordered_share_is_that_of_rfc_4737():
    def share(received, flow=None):
        return share_reordered(np.array(received), np.array(flow or [0] * len(received)))

    assert share([10, 20, 30]) == 0
    assert share([10, 40, 30, 50]) == 0.25
    assert share([40, 10, 20, 30]) == 0.25  # only the first came late
    assert share([40, 10, 50, 20], [0, 1, 0, 1]) == 0  # flows do not overtake each other
    assert share_reordered(np.array([], dtype=int), np.array([], dtype=int)) == 0


def test_rare_overtaking_does_not_make_every_packet_free_to():
    """Delays that follow each other, and two packets in a thousand that jump the queue."""
    rng = np.random.default_rng(1)
    sent = np.arange(N) * 1_000_000
    delay = 20e6 + 5e6 * np.sin(np.cumsum(rng.normal(0, 0.3, N)) / 3)
    received = np.maximum.accumulate(sent + delay.astype(int))
    received[::500] = sent[::500] + 14_000_000
    seen = Passage(sent, received, np.full(N, 200), np.zeros(N, dtype=int), 0, 0, 0, 0, STEP_S)
    found = fit_direction(seen)
    assert 0 < found.reordered < 0.05
    assert found.impairment.order == "preserve"


def test_flows_over_two_links_are_said():
    one = passage(Impairment(delay=Delay(0.02)), n=1000)
    flow = np.arange(1000) % 2
    received = one.received_ns + flow * 10_000_000
    seen = Passage(one.sent_ns, received, one.size, flow, 0, 0, 0, 0, STEP_S)
    found = fit_direction(seen)
    assert any("flows differ, from 20 ms to 30 ms in the median" in note for note in found.notes)
    assert found.impairment.order == "preserve"
    same = fit_direction(passage(Impairment(delay=Delay(0.02)), n=1000))
    assert not any("flows differ" in note for note in same.notes)


def test_a_reordering_path_allows_it():
    found = fitted(Impairment(delay=Delay(0.02, "normal", 0.002), order="allow"))
    assert found.impairment.order == "allow"
    assert found.reordered > 0.3
    assert found.replay.reordered == pytest.approx(found.reordered, abs=0.02)


def test_duplicates():
    seen = passage(Impairment(delay=Delay(0.02)), n=1000)
    twice = Passage(seen.sent_ns, seen.received_ns, seen.size, seen.flow, 10, 0, 0, 0, STEP_S)
    assert fit_direction(twice).impairment.duplication == 0.01


def test_the_likelihood_is_the_greatest():
    """No model near the one found does better."""
    truth = losses(GilbertElliott(0.01, 0.1, 0.0, 0.5), 20_000)
    found = fit_loss(truth)
    at = np.flatnonzero(truth)
    gaps = np.diff(np.concatenate([[-1], at, [len(truth)]])) - 1
    model = found.chosen.model
    assert found.chosen.name == "gilbert-loss"
    best = optimize.minimize(
        lambda v: -log_likelihood(GilbertElliott(*np.clip(v, 1e-9, 1 - 1e-9)[:2], 0.0,
                                                 float(np.clip(v[2], 0, 1))), gaps),
        [model.p_good_to_bad, model.p_bad_to_good, model.loss_bad], method="Powell",
    )  # fmt: skip
    assert found.chosen.log_likelihood == pytest.approx(-best.fun, abs=1e-3)


@pytest.mark.parametrize(
    ("parameters", "hidden"),
    [
        ((0.01, 0.99, 0.0, 1.0), False),
        ((0.01, 0.4, 0.0, 1.0), False),
        ((0.01, 0.1, 0.0, 0.5), True),
        ((0.002, 0.02, 0.0, 0.2), True),
        ((0.005, 0.05, 0.002, 0.4), True),
    ],
)
def test_hidden_states_are_tried_where_what_is_seen_does_not_suffice(parameters, hidden):
    p, r, good, bad = parameters
    rng = np.random.default_rng(7)
    state, lost = False, np.zeros(20_000, dtype=bool)
    for at, (change, loss) in enumerate(rng.random((20_000, 2))):
        state = change >= r if state else change < p
        lost[at] = loss < (bad if state else good)
    quick, thorough = fit_loss(lost, thorough=False), fit_loss(lost)
    assert quick.chosen == thorough.chosen
    assert (len(quick.ranking) == len(thorough.ranking)) is hidden
