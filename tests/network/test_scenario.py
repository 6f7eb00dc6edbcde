"""Scenarios compile to one schedule per seed: contiguous windows, monotone ramps, logged draws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bench.errors import InputError
from bench.network.addresses import address_changes, refuse_address_changes
from bench.network.delays import measured
from bench.network.effects import Effect
from bench.network.impairment import CLEAN, DIRECTIONS, Delay, Impairment, bernoulli
from bench.network.library import SCENARIOS
from bench.network.scenario import (
    Action,
    Disturbance,
    Drawn,
    LinkState,
    Scenario,
    Segment,
    Step,
    both,
    compile_scenario,
)

MS = 1_000_000
SLOW = Impairment(delay=Delay(0.030, "uniform", 0.0003))
BASE = Impairment(delay=Delay(0.002, "uniform", 0.0003))


def scenario(*segments, actions=(), name="probe"):
    steps = tuple(Step(f"step-{i}", "hold", "within", (s,)) for i, s in enumerate(segments))
    return Scenario(name, "Probe", steps, actions)


def ramp(before, after, duration_s=3.0, increment_s=0.05):
    segments = (
        Segment("before", 1.0, {"primary": both(before)}),
        Segment("ramp", duration_s, {"primary": both(after)}, ramp=True, increment_s=increment_s),
    )
    schedule = compile_scenario(scenario(*segments), 1)
    return schedule.of("primary", "to-patient")[1:]


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seed", [0, 7])
def test_library_compiles_to_a_whole_schedule(name, seed):
    found = SCENARIOS[name]()
    schedule = compile_scenario(found, seed)
    assert schedule.windows[0].start_ns == 0
    assert schedule.windows[-1].end_ns == schedule.end_ns > 0
    for window, following in pairwise(schedule.windows):
        assert window.end_ns == following.start_ns
    for window in schedule.windows:
        assert window.start_ns == window.phases[0][1]
        assert window.end_ns == window.phases[-1][2]
        assert all(a[2] == b[1] for a, b in pairwise(window.phases))
        assert all(start < end for _, start, end in window.phases)
    times = [change.t_ns for change in schedule.changes]
    assert times == sorted(times)
    assert all(0 <= t_ns < schedule.end_ns for t_ns in times)
    for link in found.links:
        for direction in DIRECTIONS:
            assert schedule.of(link, direction)[0][0] == 0  # no link is left undefined
    assert all(0 <= action.t_ns < schedule.end_ns for action in schedule.actions)
    assert compile_scenario(found, seed) == schedule


def test_steps_are_found_by_name_and_time():
    schedule = compile_scenario(scenario(Segment("a", 1.0), Segment("b", 2.0)), 1)
    assert schedule.window("step-1").phase("b") == (1000 * MS, 3000 * MS)
    assert schedule.at(999_999_999).name == "step-0"
    assert schedule.at(1000 * MS).name == "step-1"
    assert schedule.at(3000 * MS) is None
    with pytest.raises(KeyError):
        schedule.window("step-9")
    with pytest.raises(KeyError):
        schedule.window("step-1").phase("a")


# Draws

NR_0 = (("handover/gap", 0.1354903629577316),)
NR_7 = (("handover/gap", 0.10094585909745572),)
RLF_7 = (("failure/fade", 0.6029312294130302), ("failure/blackout", 1.3888830204017633))

DRAWN = Segment("gap", Drawn(0.05, 0.15), {"primary": both(SLOW)})


def test_draws_are_logged_and_are_what_the_schedule_follows():
    schedule = compile_scenario(scenario(DRAWN, Segment("rest", 1.0), DRAWN), 3)
    assert [name for name, _ in schedule.draws] == ["step-0/gap", "step-2/gap"]
    for (name, seconds), window in zip(
        schedule.draws, (schedule.windows[0], schedule.windows[2]), strict=True
    ):
        assert 0.05 <= seconds <= 0.15, name
        assert window.end_ns - window.start_ns == round(seconds * 1e9)


def test_draws_come_from_seed_and_name():
    def drawn(seed, name="probe"):
        return compile_scenario(scenario(DRAWN, name=name), seed).draws

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(3) != drawn(3, "other")


def test_draws_fill_their_range():
    seconds = [compile_scenario(scenario(DRAWN), seed).draws[0][1] for seed in range(200)]
    assert min(seconds) < 0.06  # missed with a probability of 0.9 ** 200 < 1e-9
    assert max(seconds) > 0.14
    assert np.mean(seconds) == pytest.approx(0.1, abs=5 * 0.1 / np.sqrt(12 * 200))


@pytest.mark.parametrize(
    ("name", "seed", "draws"),
    [
        ("nr-handover", 0, NR_0),
        ("nr-handover", 7, NR_7),
        ("radio-link-failure", 7, RLF_7),
    ],
)
def test_seeds_of_earlier_recordings_keep_their_draws(name, seed, draws):
    assert compile_scenario(SCENARIOS[name](), seed).draws == draws


def test_fixed_durations_draw_nothing():
    assert compile_scenario(scenario(Segment("a", 1.0)), 1).draws == ()


# Ramps


@pytest.mark.parametrize(("before", "after"), [(BASE, SLOW), (SLOW, BASE), (CLEAN, SLOW)])
def test_ramp_is_monotone_and_ends_at_its_target(before, after):
    changes = ramp(before, after)
    assert len(changes) == 60
    times = np.array([t_ns for t_ns, _ in changes])
    assert times[0] == 1000 * MS
    assert set(np.diff(times)) == {50 * MS}
    means = np.array([state.delay.mean_s for _, state in changes])
    steps = np.diff(means, prepend=before.delay.mean_s)
    assert np.allclose(steps, (after.delay.mean_s - before.delay.mean_s) / 60)
    assert changes[-1][1] == after


def test_ramp_never_asks_for_more_jitter_than_the_delay_carries():
    for law in ("uniform", "normal"):
        changes = ramp(CLEAN, Impairment(delay=Delay(0.006, law, 0.002)))
        assert changes[-1][1].delay == Delay(0.006, law, 0.002)
        for _, state in changes[:-1]:
            assert 0 < 4 * state.delay.spread_s <= state.delay.mean_s * (1 + 1e-9)


def test_ramp_changes_all_else_at_once():
    changes = ramp(BASE, SLOW.with_(loss=bernoulli(0.1), rate_bps=1e6))
    assert all(s.loss == bernoulli(0.1) and s.rate_bps == 1e6 for _, s in changes)


def test_ramp_shorter_than_its_increment_is_one_change():
    assert len(ramp(BASE, SLOW, duration_s=0.01)) == 1


def test_ramp_keeps_the_table_of_a_measured_law():
    delay = measured([0.010, 0.020, 0.040])
    changes = ramp(BASE, Impairment(delay=delay))
    assert changes[-1][1].delay == delay
    assert {state.delay.law for _, state in changes} == {"table"}
    assert all(state.delay.least_s >= -1e-9 for _, state in changes)


# State of the links


def test_links_that_are_not_named_keep_their_state():
    schedule = compile_scenario(
        scenario(
            Segment("a", 1.0, {"primary": both(BASE), "standby": both(SLOW)}),
            Segment("b", 1.0, {"primary": both(SLOW)}),
        ),
        1,
    )
    assert schedule.of("standby", "to-doctor") == ((0, SLOW),)
    assert schedule.of("primary", "to-doctor") == ((0, BASE), (1000 * MS, SLOW))


def test_directions_are_kept_apart():
    schedule = compile_scenario(scenario(Segment("a", 1.0, {"primary": LinkState(BASE, SLOW)})), 1)
    assert schedule.of("primary", "to-patient") == ((0, BASE),)
    assert schedule.of("primary", "to-doctor") == ((0, SLOW),)


def test_actions_count_from_their_step_and_come_in_order():
    actions = (
        Action("step-1", 0.5, "patient", "local-release"),
        Action("step-0", 0.25, "patient", "local-stop"),
    )
    schedule = compile_scenario(scenario(Segment("a", 1.0), Segment("b", 1.0), actions=actions), 1)
    assert [(a.t_ns, a.name) for a in schedule.actions] == [
        (250 * MS, "local-stop"),
        (1500 * MS, "local-release"),
    ]


# Disturbances


def disturbed(**how):
    segment = Disturbance("d", 1.0, on=("primary",), **how)
    start = Segment("a", 1.0, {"primary": both(BASE), "standby": both(SLOW)})
    return compile_scenario(scenario(start, segment, Segment("b", 1.0), Segment("c", 1.0)), 1)


def test_a_disturbance_passes_and_is_returned_from_once():
    schedule = disturbed(effects={"to-doctor": Effect(loss=0.5)})
    assert schedule.of("primary", "to-doctor") == (
        (0, BASE),
        (1000 * MS, BASE.with_(loss=bernoulli(0.5))),
        (2000 * MS, BASE),
    )
    assert schedule.of("primary", "to-patient") == ((0, BASE),)
    assert schedule.of("standby", "to-doctor") == ((0, SLOW),)


def test_a_lasting_disturbance_stays():
    schedule = disturbed(effects={"to-doctor": Effect(loss=0.5)}, lasting=True)
    assert schedule.of("primary", "to-doctor")[-1] == (1000 * MS, BASE.with_(loss=bernoulli(0.5)))


@pytest.mark.parametrize("how", [{}, {"ramp": True}, {"lasting": True}])
def test_a_disturbance_that_changes_nothing_is_no_change(how):
    """A change that is none would still restart what a backend draws."""
    schedule = disturbed(effects=dict.fromkeys(DIRECTIONS, Effect()), **how)
    assert schedule.of("primary", "to-doctor") == ((0, BASE),)


def test_later_changes_stop_with_their_segment():
    lossy = {"to-doctor": Effect(loss=0.5)}
    then = ((0.25, {"to-doctor": Effect(up=False)}), (0.5, lossy), (1.0, {"to-doctor": Effect()}))
    schedule = disturbed(effects=lossy, then=then)
    half = BASE.with_(loss=bernoulli(0.5))
    assert schedule.of("primary", "to-doctor") == (
        (0, BASE),
        (1000 * MS, half),
        (1250 * MS, BASE.with_(up=False)),
        (1500 * MS, half),
        (2000 * MS, BASE),
    )


def test_a_segment_that_names_the_link_ends_a_disturbance():
    segment = Disturbance("d", 1.0, on=("primary",), effects={"to-doctor": Effect(up=False)})
    schedule = compile_scenario(
        scenario(segment, Segment("named", 1.0, {"primary": both(SLOW)}), Segment("c", 1.0)), 1
    )
    assert schedule.of("primary", "to-doctor") == ((0, CLEAN.with_(up=False)), (1000 * MS, SLOW))


def test_a_change_of_address_names_a_link_of_the_scenario():
    found = compile_scenario(SCENARIOS["address-change-doctor"](), 1)
    ((action, link),) = address_changes(found.actions, found.links)
    assert (action.side, link) == ("doctor", "primary")
    with pytest.raises(InputError, match="a link that the scenario does not have"):
        address_changes(found.actions, ("standby",))
    with pytest.raises(InputError, match="addresses of this bench are fixed"):
        refuse_address_changes(found.actions, found.links)
    others = compile_scenario(SCENARIOS["local-stop"](), 1)
    refuse_address_changes(others.actions, others.links)
