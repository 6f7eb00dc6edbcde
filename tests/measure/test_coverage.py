"""Nominal 95 % bounds cover at least 94 % of 1,000 seeded samples, also of samples that are not
independent: bursty loss, late bursts, delay that follows itself.

Where a sample holds fewer than about ten bursts, nothing in it can tell bursts from chance; there
the bench knows the burst length only if the stimulus itself sets it.
"""

import math

import numpy as np
import pytest
from scipy import signal, stats

from bench.measure import statistics as st
from bench.measure.kpi import LOSS_CHANCE, measure_kpi
from bench.measure.kpi import _loss as loss_figures
from bench.measure.kpi import _quantile as quantile_figures
from bench.measure.pairing import Flow
from bench.network.impairment import Delay, GilbertElliott, Impairment
from bench.network.scenario import Scenario, Segment, Step, both

TRIALS = 1000
COVERS = 0.94


def ar1(rng, n, rho, trials=TRIALS):
    noise = rng.normal(size=(trials, n)) * math.sqrt(1 - rho**2)
    noise[:, 0] = rng.normal(size=trials)
    return signal.lfilter([1], [1, -rho], noise, axis=1)


def gilbert_elliott(rng, n, bursts, length, loss_bad, trials=TRIALS):
    """Flags of shape ``(trials, n)`` and their true ratio."""
    to_bad, to_good = bursts / n, 1 / length
    bad = rng.random(trials) < to_bad / (to_bad + to_good)
    flags = np.empty((trials, n), dtype=bool)
    for i in range(n):
        flip = rng.random(trials)
        bad = np.where(bad, flip >= to_good, flip < to_bad)
        flags[:, i] = bad & (rng.random(trials) < loss_bad)
    return flags, loss_bad * to_bad / (to_bad + to_good)


def flow_of(lost):
    n = len(lost)
    sent = np.arange(n, dtype=np.int64) * 1_000_000
    received = np.where(lost, -1, sent + 5_000_000)
    zero = np.zeros(n, dtype=np.int64)
    return Flow(sent, received, np.arange(n), zero, zero, np.zeros(n, dtype=bool), 0, 0, 0)


def covered_upper(found, true):
    return found["upper"] is None or found["upper"] >= true


def share(covered):
    return sum(covered) / len(covered)


@pytest.mark.parametrize(
    ("n", "rho"), [(299, 0.0), (330, 0.15), (330, 0.3), (1000, 0.5), (1000, 0.9), (2000, 0.3)]
)
def test_percentile_of_a_delay_that_follows_itself(n, rho):
    series = ar1(np.random.default_rng([7, n, int(100 * rho)]), n, rho)
    true = stats.norm.ppf(0.99)
    found = [quantile_figures(s, 0.99, 0.95) for s in series]
    assert share([covered_upper(f, true) for f in found]) >= COVERS
    assert share([f["lower"] is None or f["lower"] <= true for f in found]) >= COVERS


def test_percentile_of_a_delay_that_wanders_below_the_noise():
    """The correlation of neighbours is 0.1 and passes for none; that of a hundred does not."""
    rng = np.random.default_rng(7)
    series = math.sqrt(0.9) * rng.normal(size=(TRIALS, 1000)) + math.sqrt(0.1) * ar1(
        rng, 1000, 0.99
    )
    true = stats.norm.ppf(0.99)
    found = [quantile_figures(s, 0.99, 0.95) for s in series]
    assert share([covered_upper(f, true) for f in found]) >= COVERS


def test_neighbours_that_follow_each_other_are_seen_in_a_short_series():
    series = ar1(np.random.default_rng(7), 330, 0.3, 200)
    assert share([st.autocorrelation_effect(s) > 1.2 for s in series]) > 0.95


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_percentile_of_the_variation_between_packets(rho):
    """Neighbouring variations share a packet, also where the delays themselves are independent."""
    delay = ar1(np.random.default_rng([7, int(10 * rho)]), 1197, rho)
    true = math.sqrt(2 * (1 - rho)) * stats.norm.ppf(0.995)
    found = [quantile_figures(s, 0.99, 0.95) for s in np.abs(np.diff(delay, axis=1))]
    assert share([covered_upper(f, true) for f in found]) >= COVERS
    assert share([f["lower"] is None or f["lower"] <= true for f in found]) >= COVERS
    assert share([f["upper"] is None for f in found]) < 0.02, "and the evidence suffices"


def test_percentile_of_late_bursts():
    """One packet in fifty is late, every second one within a burst of ten."""
    rng = np.random.default_rng(7)
    late, _ = gilbert_elliott(rng, 3300, 13.2, 10, 0.5)
    series = rng.normal(size=late.shape) + 20 * late
    found = [quantile_figures(s, 0.99, 0.95) for s in series]
    assert share([covered_upper(f, 20.0) for f in found]) >= COVERS


@pytest.mark.parametrize(
    ("bursts", "length", "loss_bad"),
    [
        (15, 1.0, 1.0),
        (10, 1.5, 1.0),
        (10, 3.0, 1.0),
        (10, 3.0, 0.5),
        (10, 10.0, 0.5),
        (40, 5.0, 1.0),
        (20, 20.0, 0.3),
    ],
)
def test_ratio_of_bursty_loss(bursts, length, loss_bad):
    rng = np.random.default_rng([7, bursts, int(10 * length)])
    flags, true = gilbert_elliott(rng, 2000, bursts, length, loss_bad)
    found = [loss_figures([flow_of(f)], 0.95, 1.0) for f in flags]
    assert share([f["upper"] >= true for f in found]) >= COVERS
    assert share([f["lower"] <= true for f in found]) >= COVERS


@pytest.mark.parametrize(("bursts", "length"), [(0.5, 10), (2, 10), (2, 30)])
def test_ratio_of_loss_whose_bursts_are_intended(bursts, length):
    """Even where most samples hold no loss at all: the stimulus says how it would have come."""
    rng = np.random.default_rng([7, int(10 * bursts), length])
    flags, true = gilbert_elliott(rng, 1000, bursts, length, 1.0)
    effect = GilbertElliott(bursts / 1000, 1 / length, 0.0, 1.0).effect
    assert effect == pytest.approx(2 * length - 1, rel=0.1)
    found = [loss_figures([flow_of(f)], 0.95, effect) for f in flags]
    assert share([f["upper"] >= true for f in found]) >= COVERS


def test_losses_without_bursts_keep_their_plain_bound():
    """Independent losses are taken for bursty once in LOSS_CHANCE samples at most."""
    rng = np.random.default_rng(7)
    flags = rng.random((1000, 2000)) < 0.005
    taken = sum(st.burst_design_effect(f, LOSS_CHANCE) > 1 for f in flags)
    assert taken <= 1000 / LOSS_CHANCE
    assert loss_figures([flow_of(np.zeros(2995, dtype=bool))], 0.95, 1.0)["upper"] <= 1e-3


def test_effect_of_a_known_model_is_that_of_its_losses():
    flags, _ = gilbert_elliott(np.random.default_rng(7), 40_000, 800, 10, 0.5, 4)
    known = GilbertElliott(0.02, 0.1, 0.0, 0.5).effect
    found = [st.burst_design_effect(f) for f in flags]
    assert sum(found) / len(found) == pytest.approx(known, rel=0.15)
    assert GilbertElliott(0.0, 1.0, 0.3, 0.0).effect == 1.0
    assert GilbertElliott(0.9, 0.9, 0.0, 1.0).effect == 1.0, "never more evidence than samples"


def test_a_scenario_with_bursty_loss_widens_the_bound_of_no_loss(synthetic):
    def upper(loss):
        state = {"primary": both(Impairment(delay=Delay(0.005), loss=loss))}
        state["standby"] = both(Impairment(delay=Delay(0.005)))
        step = Step("s", "loss", "within", (Segment("s", 2.0, state),))
        made = synthetic.Builder(Scenario("b", "", (step,))).stream("haptic-command")
        found = measure_kpi([made.recording()], "haptic-command", "loss", confidence=0.95,
                            floor=None)  # fmt: skip
        assert found.value == 0
        return found.upper

    plain, bursty = upper(None), upper(GilbertElliott(1e-9, 0.1))
    assert bursty == pytest.approx(19 * plain, rel=0.03)
