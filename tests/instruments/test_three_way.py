"""Virtual, userspace and netem carry the same scenario out and agree.

Virtual: the law over the planned times. Userspace: between namespaces of this host. netem: in
User-Mode Linux, with its own sender and taps. Delays are within one machine; a packet that came
while the machine stalled (a process on each core looks) does not count.

Chance: virtual and userspace have one seed, so they are compared packet by packet. netem's draws
are others: each of the checks below allows for what a right netem surpasses with ``RARE``.
"""

import importlib.util
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.benches.fidelity.bench import FidelityBench
from bench.errors import InputError
from bench.measure import fidelity as fid
from bench.measure import fidelity_laws as laws
from bench.measure.fidelity import MISSING, Passage
from bench.network.laws import DirectionLaw
from bench.studies.certify import virtual_passage
from tests.support.host_time import kept_no_time

HERE = Path(__file__).resolve().parent


def by_path(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scenario = by_path("three_way_guest")

QUANTILE_S, DISTANCE = 0.15e-3, 0.02
CHECKS = 14  # of netem that chance has a part in: see the tests marked "chance"
RARE = 1e-6 / CHECKS
EARLY_NS = 20_000
REFERENCE = 60_000
NAME = "primary/to-doctor"
JITTERS = ("uniform", "normal", "paretonormal")
LOSSES = ("bernoulli", "bursts")
CELLS = {cell.name: cell for cell in scenario.CELLS}


class Run:
    """What one emulator did to the cells: per cell, what was seen while the host kept time."""

    def __init__(self):
        self._seen = {}

    def add(self, played, good, passed, stalls_ns, seed=None):
        """A trial that played these of ``SHOWN``, of which those in ``good`` count.

        With a seed: also the law's decisions on the planned times and on the real ones.
        """
        laid = scenario.laid_out([scenario.SHOWN[number] for number in played])
        law = laid.changes if seed is not None else fid.without_chance(laid.changes)
        decided = fid.decide(law, seed or 0, NAME, passed.sent_ns, passed.size)
        planned = virtual_passage(laid, seed or 0)
        null = laid.places[0]
        shift_ns = np.median(Cellular(null, passed, planned, decided, stalls_ns, 0).delays_ns)
        for number, place in zip(played, laid.places[1:], strict=True):
            if number in good:
                self._seen[number] = Cellular(place, passed, planned, decided, stalls_ns, shift_ns)

    def __getitem__(self, name):
        """The whole cell as it was seen."""
        return self._seen[list(CELLS).index(name)]

    def least(self, name, what):
        """Each packet's smallest ``what`` over the times that the cell was seen.

        The host holds up one packet or another, an emulator that errs does it every time. Where
        some showings are shorter the first packets count.
        """
        times = [
            getattr(self._seen[number], what)
            for number, cell in enumerate(scenario.SHOWN)
            if cell.name == name
        ]
        shortest = min(map(len, times))
        each = np.array([late_ns[:shortest] for late_ns in times])
        return np.nanmin(each[:, ~np.isnan(each).all(axis=0)], axis=0)


class Cellular:
    """One cell on one emulator; arrays over its packets. ``kept``: it counts."""

    def __init__(self, place, passed, planned, decided, stalls_ns, shift_ns):
        own = passed.part(place.first, place.end)
        self.cell, self.order = place.cell, own.seen
        self.sent_ns, self.size = own.sent_ns, own.size
        self.seen_ns, _, self.times = own.arrivals()
        self.lost = self.seen_ns == MISSING
        self.kept = ~self.lost & ~fid.in_stall(stalls_ns, self.seen_ns)
        self.due_ns = decided.part(place.first, place.end).due_ns
        plan = planned.part(place.first, place.end)
        self.planned_ns = plan.sent_ns
        self.virtual_ns, _, _ = plan.arrivals()
        self.shift_ns = shift_ns

    @property
    def delays_ns(self):
        """Of the packets that count, without the null path's."""
        return (self.seen_ns - self.sent_ns)[self.kept] - self.shift_ns

    @property
    def late_ns(self):
        """Arrival minus due without the null path's delay; ``nan``: does not count."""
        counts = self.kept & (self.due_ns >= 0)
        return np.where(counts, self.seen_ns - self.due_ns - self.shift_ns, np.nan)

    @property
    def beyond_virtual_ns(self):
        """The delay minus the same packet's on the virtual link; ``nan`` as above."""
        counts = self.kept & (self.virtual_ns != MISSING)
        more = (self.seen_ns - self.sent_ns) - (self.virtual_ns - self.planned_ns)
        return np.where(counts, more - self.shift_ns, np.nan)

    @property
    def virtual_delays_ns(self):
        """Of the same packets on the virtual link."""
        return (self.virtual_ns - self.planned_ns)[self.kept & (self.virtual_ns != MISSING)]


def unavailable(reason, demanded="netem-uml"):
    if demanded in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def nothing_shown(lacking, reason, what):
    text = f"{what}: {reason}, {scenario.TRIES} times, for {', '.join(lacking)}"
    if reason == scenario.DROPPED:
        pytest.fail(text)
    kept_no_time(text)


@pytest.fixture(scope="module")
def userspace():
    try:
        with FidelityBench("userspace", wait_s=120.0) as bench:
            usable, lacking, reason = scenario.attempts("userspace", bench.run, 400_000_000)
    except InputError as error:
        unavailable(error.line(), "local")
    if lacking:
        nothing_shown(lacking, reason, "userspace")
    run = Run()
    for played, good, passed, stalls_ns in usable:
        run.add(played, good, passed, stalls_ns, scenario.SEED)
    return run


@pytest.fixture(scope="module")
def netem(tmp_path_factory):
    boot = by_path("uml_boot")
    boot.HERE = tmp_path_factory.mktemp("guest")
    (boot.HERE / "uml_guest.py").symlink_to(HERE / "three_way_guest.py")
    try:
        answer, console = boot.guest_result(lambda: tmp_path_factory.mktemp("uml"))
    except boot.Unavailable as error:
        unavailable(str(error))
    if "failed" in answer:
        pytest.fail(f"{answer['failed']}\n{console[-2000:]}")
    if answer["lacking"]:
        nothing_shown(answer["lacking"], answer["reason"], "netem")
    run = Run()
    for part in answer["usable"]:
        arrays = {name: scenario.unpacked(part[name]) for name in scenario.NAMES}
        stalls_ns = arrays.pop("stalls_ns").reshape(-1, 2)
        run.add(part["played"], part["good"], Passage(**arrays), stalls_ns)
    return run


def quantiles_s(values_ns):
    return laws.compared_quantiles(np.asarray(values_ns) * 1e-9)


def virtual_delays_s(cell):
    """Many delays of the virtual link in the cell's state, at its packets' pace; s."""
    send = np.arange(REFERENCE) * round(1e9 / cell.rate_pps)
    law = DirectionLaw([(0, cell.states[0][1])], seed=scenario.SEED + 1, name=NAME)
    due = law.offer_many(send, np.full(REFERENCE, 200))
    return (due - send)[due >= 0] * 1e-9


# ---- virtual and userspace: packet by packet


@pytest.mark.parametrize("name", CELLS)
def test_userspace_decides_what_virtual_decides(userspace, name):
    """Each packet's fate: lost or not, whatever the host did."""
    found = userspace[name]
    assert (found.lost == (found.virtual_ns == MISSING)).all()
    assert found.times.max() == 1
    assert found.lost.any() == (name in LOSSES)


@pytest.mark.parametrize("name", CELLS)
def test_userspace_lets_no_packet_go_early(userspace, name):
    found = userspace[name]
    there = ~found.lost
    assert (found.seen_ns - found.due_ns)[there].min() > -EARLY_NS


@pytest.mark.parametrize("name", [name for name in CELLS if name not in ("kept", "rate")])
def test_userspace_delays_are_virtual_s(userspace, name):
    """The same packets: their own delays, which do not depend on the others.

    A packet without delay (the null path's) and one that waited cost the host differently: what
    all of a cell's packets have in common is bounded with the quantiles, and is no distance.
    """
    found = userspace[name]
    mine, virtual = found.delays_ns, found.virtual_delays_ns
    assert len(mine) == len(virtual) > 0.3 * len(found.kept)
    assert np.abs(quantiles_s(userspace.least(name, "beyond_virtual_ns"))).max() < QUANTILE_S
    if name in JITTERS:
        assert np.abs(quantiles_s(mine) - quantiles_s(virtual)).max() < QUANTILE_S
        common = np.median(mine - virtual)
        assert laws.distance((mine - common) * 1e-9, virtual * 1e-9).largest < DISTANCE


@pytest.mark.parametrize("name", ["kept", "rate"])
def test_userspace_follows_the_law_where_packets_wait_for_others(userspace, name):
    """There a delay depends on when the packets before came: the law over what really came."""
    found = userspace[name]
    assert np.abs(quantiles_s(userspace.least(name, "late_ns"))).max() < QUANTILE_S
    assert (np.diff(found.order) > 0).all()


# ---- virtual and netem: distributions


@pytest.mark.parametrize("name", JITTERS)
def test_netem_delays_have_virtual_s_distribution(netem, name):
    """Chance: 3 times distance and quantiles."""
    delays_s, virtual_s = netem[name].delays_ns * 1e-9, virtual_delays_s(CELLS[name])
    chance = laws.critical_distance(len(delays_s), RARE / 2)
    chance += laws.critical_distance(len(virtual_s), RARE / 2)
    assert laws.distance(delays_s, virtual_s).largest < DISTANCE + chance
    low, high = laws.quantile_bounds(virtual_s, len(delays_s), RARE)
    found = laws.compared_quantiles(delays_s)
    assert (found > low - QUANTILE_S).all()
    assert (found < high + QUANTILE_S).all()


def test_netem_that_keeps_the_order_has_virtual_s_distribution(netem):
    """Chance: distance and quantiles, of every fourth packet.

    A packet waits for one that was sent three gaps (15 ms) before it only where their delays
    are as far apart, which the law (8 ms to both sides) gives to one in 10¹².
    """
    found = netem["kept"]
    assert (np.diff(found.order) > 0).all()
    delays_s, virtual_s = found.delays_ns[::4] * 1e-9, virtual_delays_s(CELLS["kept"])
    chance = laws.critical_distance(len(delays_s), RARE / 2)
    chance += laws.critical_distance(len(virtual_s) // 4, RARE / 2)
    assert laws.distance(delays_s, virtual_s).largest < DISTANCE + chance
    low, high = laws.quantile_bounds(virtual_s, len(delays_s), RARE)
    median = laws.compared_quantiles(delays_s)
    assert (median > low - QUANTILE_S).all()
    assert (median < high + QUANTILE_S).all()


@pytest.mark.parametrize("name", ["constant", "bernoulli", "bursts", "rate"])
def test_netem_delays_are_virtual_s_where_nothing_is_drawn(netem, name):
    """A constant delay, and a rate: packet by packet, over what really came."""
    assert np.abs(quantiles_s(netem.least(name, "late_ns"))).max() < QUANTILE_S


@pytest.mark.parametrize("name", LOSSES)
def test_netem_loses_as_many_as_the_law(netem, name):
    """Chance: twice the number of losses and of losses right after one."""
    found, model = netem[name], CELLS[name].states[0][1].loss
    step, lost, pairs = laws.loss_chain(model)
    seen = laws.bursts(found.lost)
    low, high = laws.interval(step, lost, len(found.lost), RARE)
    assert low <= seen.lost <= high
    low, high = laws.interval(step, pairs, len(found.lost), RARE)
    assert low <= seen.pairs <= high


@pytest.mark.parametrize("name", [name for name in CELLS if name not in LOSSES])
def test_netem_loses_nothing_else(netem, name):
    found = netem[name]
    assert not found.lost.any()
    assert found.times.max() == 1


@pytest.mark.parametrize("name", [name for name in CELLS if name not in JITTERS])
def test_netem_keeps_the_order(netem, name):
    assert all(before < after for before, after in pairwise(netem[name].order.tolist()))


# ---- all three


@pytest.mark.parametrize("name", JITTERS)
def test_netem_and_userspace_agree(netem, userspace, name):
    """Chance of both samples; the userspace emulator's seed is fixed."""
    one, other = netem[name].delays_ns * 1e-9, userspace[name].delays_ns * 1e-9
    chance = laws.critical_distance(len(one), RARE) + laws.critical_distance(len(other), RARE)
    assert laws.distance(one, other).largest < 2 * DISTANCE + chance
