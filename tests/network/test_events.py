"""Events: their figures, their shape around any link, and nothing lost over them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.drawn import Between, Drawn
from bench.network.effects import Effect, moved
from bench.network.events import (
    EVENTS,
    SURROGATE,
    event_note,
    event_segments,
    find_event,
    flap,
    lasting_segment,
    outage,
    with_phases,
)
from bench.network.impairment import (
    CLEAN,
    DIRECTIONS,
    Delay,
    GilbertElliott,
    Impairment,
    Slot,
    bernoulli,
)
from bench.network.laws import DirectionLaw
from bench.network.scenario import (
    Disturbance,
    LinkState,
    Scenario,
    Segment,
    Step,
    both,
    compile_scenario,
)

BASE = Impairment(
    delay=Delay(0.020, "normal", 0.002),
    loss=GilbertElliott(0.001, 0.3),
    rate_bps=100e6,
    queue_s=0.1,
    framing_bytes=38,
)
ON = ("primary",)

INTERRUPTION_S = {
    "lte": (0.030, 0.080),
    "nr": (0.050, 0.150),
    "conditional": (0.001, 0.030),
    "5g-to-4g": (0.1, 0.3),
    "5g-to-4g-redirect": (0.5, 2.0),
    "radio-link-failure": (1.0, 3.0),
    "wifi-11r": (0.0, 0.050),
    "wifi-psk": (0.050, 0.100),
    "wifi-full": (0.200, 0.300),
    "dual-sim": (1.0, 30.0),
}
HELD = {"lte", "nr", "conditional", "5g-to-4g"}
"""Packets wait and come as a burst; in the others they are lost."""


def laid_out(*steps, seed=1, base=BASE, links=("primary",), name="probe"):
    states = {link: both(base) for link in links}
    start = Step("settle", "hold", "within", (Segment("settle", 1.0, states),))
    end = Step("rest", "hold", "within", (Segment("rest", 1.0),))
    scenario = Scenario(name, "Probe", (start, *steps, end), links=links)
    return compile_scenario(scenario, seed)


def step(*segments, name="event"):
    return Step(name, "handover", "beyond", segments)


def played(name, seed=1, directions=DIRECTIONS, base=BASE):
    return laid_out(step(*event_segments(EVENTS[name], ON, directions)), seed=seed, base=base)


def state_at(schedule, t_ns, link="primary", direction="to-patient"):
    return [i for t, i in schedule.of(link, direction) if t <= t_ns][-1]


def interruption(schedule, link="primary", direction="to-patient"):
    """When the link passes nothing: start, end and the state, in ns."""
    changes = schedule.of(link, direction)
    found = [
        (t, following[0], state)
        for (t, state), following in pairwise(changes)
        if state.hold or not state.up
    ]
    assert len(found) == 1
    return found[0]


def test_every_kind_that_the_issue_names_is_there():
    assert set(EVENTS) == set(INTERRUPTION_S)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_its_source_and_says_that_it_is_no_radio(name):
    event = EVENTS[name]
    assert event.title
    assert event.typical
    assert "typical figures, no measured link" in event.source
    assert SURROGATE in event_note(event)
    assert find_event(name) == event
    assert len({phase.name for phase in event.phases}) == len(event.phases)


@pytest.mark.parametrize("name", EVENTS)
def test_interruption_is_as_long_as_documented_and_of_its_kind(name):
    low_s, high_s = INTERRUPTION_S[name]
    lengths = []
    for seed in range(60):
        start, end, state = interruption(played(name, seed))
        lengths.append((end - start) / 1e9)
        assert (state.hold, state.up) == ((True, True) if name in HELD else (False, False))
    assert low_s - 1e-9 <= min(lengths) <= max(lengths) <= high_s + 1e-9
    assert max(lengths) - min(lengths) > (high_s - low_s) / 4  # drawn, not fixed


@pytest.mark.parametrize("name", ["lte", "nr", "conditional", "5g-to-4g", "5g-to-4g-redirect"])
def test_trigger_raises_the_delay_and_halves_the_rate(name):
    for seed in range(20):
        schedule = played(name, seed)
        start, _, _ = interruption(schedule)
        begin, _ = schedule.window("event").phase("trigger")
        states = [i for t, i in schedule.of("primary", "to-patient") if begin <= t < start]
        means = [i.delay.mean_s for i in states]
        assert means == sorted(means)
        assert len(means) > 2
        assert 1.5 * 0.020 - 1e-12 <= means[-1] <= 3 * 0.020 + 1e-12
        assert all(i.rate_bps == 50e6 for i in states)


@pytest.mark.parametrize("name", ["lte", "nr", "conditional"])
def test_handover_decays_to_a_new_base_delay(name):
    for seed in range(20):
        schedule = played(name, seed)
        _, end, _ = interruption(schedule)
        after = [i for t, i in schedule.of("primary", "to-patient") if t >= end]
        means = [i.delay.mean_s for i in after]
        assert means == sorted(means, reverse=True)
        assert abs(means[-1] - 0.020) <= 0.005 + 1e-12
        shift_s = dict(schedule.draws)["event/decay/delay_shift_s"]
        assert means[-1] == pytest.approx(0.020 + shift_s)
        assert after[-1] == BASE.with_(delay=moved(BASE.delay, means[-1]))
        start, stop = schedule.window("event").phase("decay")
        assert 0.05 <= (stop - start) / 1e9 <= 0.3


def test_conditional_handover_may_duplicate():
    seen = []
    for seed in range(20):
        schedule = played("conditional", seed)
        start, _ = schedule.window("event").phase("duplicates")
        seen.append(state_at(schedule, start).duplication)
        assert state_at(schedule, schedule.end_ns).duplication == 0
    assert 0 <= min(seen) < max(seen) <= 0.05


@pytest.mark.parametrize("name", ["5g-to-4g", "5g-to-4g-redirect"])
def test_the_slower_network_stays(name):
    for seed in range(20):
        schedule = played(name, seed)
        last = state_at(schedule, schedule.end_ns)
        assert 5 - 1e-9 <= 100e6 / last.rate_bps <= 20 + 1e-9
        round_trip_s = 2 * (last.delay.mean_s - 0.020)  # both directions share one draw
        assert 0.015 - 1e-9 <= round_trip_s <= 0.030 + 1e-9
        assert last == state_at(schedule, schedule.end_ns, direction="to-doctor")


def test_radio_link_failure_fades_and_starts_slowly():
    for seed in range(20):
        schedule = played("radio-link-failure", seed)
        start, end, _ = interruption(schedule)
        begin, _ = schedule.window("event").phase("fade")
        assert 0.5 <= (start - begin) / 1e9 <= 2.0
        assert 0.05 <= state_at(schedule, begin).loss.ratio <= 0.5
        rates = [i.rate_bps for t, i in schedule.of("primary", "to-patient") if t >= end]
        assert rates == [100e6 / 8, 100e6 / 4, 100e6 / 2, 100e6]
        assert state_at(schedule, schedule.end_ns) == BASE


@pytest.mark.parametrize("name", ["wifi-11r", "wifi-psk", "wifi-full"])
def test_roam_retries_and_is_over(name):
    for seed in range(20):
        schedule = played(name, seed)
        begin, _ = schedule.window("event").phase("retries")
        retries = state_at(schedule, begin)
        assert 0.01 <= retries.loss.ratio <= 0.05
        assert 1.5 * 0.020 - 1e-12 <= retries.delay.mean_s <= 3 * 0.020 + 1e-12
        assert state_at(schedule, schedule.end_ns) == BASE


def test_dual_sim_leaves_another_path():
    schedule = played("dual-sim")
    last = state_at(schedule, schedule.end_ns)
    assert 0.020 < last.delay.mean_s <= 0.030
    assert last == BASE.with_(delay=last.delay)
    assert "not emulated" in event_note(EVENTS["dual-sim"])


# Around any link

impairments = st.builds(
    lambda mean_s, share, law, loss, rate_bps, framing, slot: Impairment(
        delay=Delay(mean_s, law, 0.0 if law == "constant" else mean_s * share),
        loss=loss,
        rate_bps=rate_bps,
        framing_bytes=framing,
        slot=slot,
    ),
    st.floats(1e-4, 0.5),
    st.floats(0, 0.25),
    st.sampled_from(["constant", "uniform", "normal", "pareto", "paretonormal"]),
    st.none() | st.builds(bernoulli, st.floats(0, 1)),
    st.floats(1e5, 1e10),
    st.integers(0, 60),
    st.none() | st.just(Slot(0.001, 0.002)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(EVENTS)),
    impairments,
    impairments,
    st.integers(0, 2**32),
    st.sampled_from([DIRECTIONS, ("to-patient",), ("to-doctor",)]),
)
def test_an_event_fits_every_link_and_loses_nothing(name, there, back, seed, directions):
    """Whatever the link was, an event that does not last leaves it so, and a lasting one changes
    only delay and rate; a direction and a link that are not named are never touched."""
    links = {"primary": LinkState(there, back), "standby": LinkState(back, there)}
    event = EVENTS[name]
    steps = (
        Step("settle", "hold", "within", (Segment("settle", 0.5, links),)),
        step(*event_segments(event, ON, directions)),
        Step("rest", "hold", "within", (Segment("rest", 0.5),)),
    )
    schedule = compile_scenario(Scenario("p", "p", steps), seed)
    times = [change.t_ns for change in schedule.changes]
    assert times == sorted(times)
    for direction in DIRECTIONS:
        assert schedule.of("standby", direction) == ((0, links["standby"].direction(direction)),)
        before = links["primary"].direction(direction)
        changes = schedule.of("primary", direction)
        if direction not in directions:
            assert changes == ((0, before),)
            continue
        assert all(a[1] != b[1] for a, b in pairwise(changes))  # no change that changes nothing
        last = changes[-1][1]
        if any(phase.lasting for phase in event.phases):
            assert last == before.with_(delay=last.delay, rate_bps=last.rate_bps)
            assert last.delay.law == before.delay.law
            assert last.delay.mean_s >= before.delay.mean_s / 2 - 1e-12
        else:
            assert last == before


def test_one_event_after_another_starts_from_what_the_first_left():
    first = step(*event_segments(EVENTS["5g-to-4g"], ON), name="first")
    second = step(*event_segments(EVENTS["lte"], ON), name="second")
    schedule = laid_out(first, second)
    slow = state_at(schedule, schedule.window("first").end_ns - 1)
    begin, _ = schedule.window("second").phase("trigger")
    assert slow.rate_bps < 25e6
    assert state_at(schedule, begin).rate_bps == slow.rate_bps / 2
    assert state_at(schedule, schedule.end_ns).rate_bps == slow.rate_bps


def test_an_event_on_a_link_without_rate_or_delay_is_refused():
    with pytest.raises(InputError, match=r"no rate that an event could lower; give the link"):
        played("nr", base=Impairment(delay=Delay(0.01)))
    with pytest.raises(InputError, match="no delay that an event could multiply"):
        played("nr", base=Impairment(rate_bps=1e6))


def test_released_packets_come_as_a_burst_in_order():
    schedule = played("nr", base=Impairment(delay=Delay(0.005), rate_bps=1e9))
    start, end, _ = interruption(schedule)
    law = DirectionLaw(schedule.of("primary", "to-patient"), seed=1, name="primary/to-patient")
    due = [law.offer(t, 100) for t in range(start - 5_000_000, end, 1_000_000)]
    assert due == sorted(due)
    held = due[5:]
    assert all(moment >= end for moment in held)
    assert held[-1] - held[0] < 1_000_000  # at 1 Gbit/s some 100 packets take 0.1 ms


# Outage, flap, ramp


@pytest.mark.parametrize("mode", ["hold", "drop"])
def test_outage_returns_to_what_was(mode):
    schedule = laid_out(step(outage(0.3, ON, mode=mode)))
    start, end, state = interruption(schedule)
    assert (start, end) == (1_000_000_000, 1_300_000_000)
    assert state == BASE.with_(hold=mode == "hold", up=mode == "hold")
    assert state_at(schedule, end) == BASE


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 20),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
    st.sampled_from(["hold", "drop"]),
    st.integers(0, 2**32),
)
def test_flap_alternates(count, down_s, up_s, mode, seed):
    down, up = Drawn(down_s / 2, down_s), Drawn(up_s / 2, up_s)
    schedule = laid_out(step(*flap(count, down, up, ON, mode=mode)), seed=seed)
    window = schedule.window("event")
    changes = [c for c in schedule.of("primary", "to-doctor") if c[0] >= window.start_ns]
    assert len(changes) == 2 * count
    broken = BASE.with_(hold=True) if mode == "hold" else BASE.with_(up=False)
    assert [state for _, state in changes] == [broken, BASE] * count
    edges = [t for t, _ in changes] + [window.end_ns]
    lengths = [(b - a) / 1e9 for a, b in pairwise(edges)]
    assert all(down_s / 2 - 1e-9 <= length <= down_s + 1e-9 for length in lengths[::2])
    assert all(up_s / 2 - 1e-9 <= length <= up_s + 1e-9 for length in lengths[1::2])
    assert [name for name, _, _ in window.phases] == [
        f"{word}-{i}" for i in range(1, count + 1) for word in ("down", "up")
    ]


def test_flap_needs_a_count():
    with pytest.raises(InputError, match="once or more"):
        flap(0, 0.1, 0.1, ON)


def test_ramp_stays_where_it_led():
    effects = dict.fromkeys(DIRECTIONS, Effect(delay_s=0.05))
    schedule = laid_out(step(lasting_segment("ramp", 1.0, ON, effects, 0.1)))
    changes = [s for t, s in schedule.of("primary", "to-doctor") if t >= 1_000_000_000]
    means = [state.delay.mean_s for state in changes]
    assert means == pytest.approx([0.020 + 0.003 * i for i in range(1, 11)])
    assert changes[-1] == BASE.with_(delay=Delay(0.05, "normal", 0.002))


def test_a_disturbance_can_say_what_its_link_is():
    segment = Disturbance(
        "first", 1.0, {"primary": both(BASE)}, on=ON, effects={"to-patient": Effect(up=False)}
    )
    scenario = Scenario("p", "p", (step(segment), step(Segment("rest", 1.0), name="rest")))
    schedule = compile_scenario(scenario, 1)
    assert schedule.of("primary", "to-doctor") == ((0, BASE),)
    assert schedule.of("primary", "to-patient") == (
        (0, BASE.with_(up=False)),
        (1_000_000_000, BASE),
    )


def test_directions_with_equal_effects_share_their_draw_and_others_do_not():
    equal = dict.fromkeys(DIRECTIONS, Effect(loss=Between(0.1, 0.2)))
    schedule = laid_out(step(Disturbance("fade", 1.0, on=ON, effects=equal)))
    assert [name for name, _ in schedule.draws] == ["event/fade/loss"]
    apart = {"to-patient": Effect(loss=Between(0.1, 0.2)), "to-doctor": Effect(loss=Between(0, 1))}
    schedule = laid_out(step(Disturbance("fade", 1.0, on=ON, effects=apart)))
    assert [name for name, _ in schedule.draws] == ["event/fade/loss", "event/fade/to-doctor/loss"]
    for (_, value), direction in zip(schedule.draws, DIRECTIONS, strict=True):
        assert state_at(schedule, 1_500_000_000, direction=direction).loss.ratio == value


def test_a_shift_is_drawn_from_what_the_delay_allows():
    near = Impairment(delay=Delay(0.002, "uniform", 0.0003), rate_bps=1e9)
    shifts = []
    for seed in range(60):
        schedule = played("nr", seed, base=near)
        shifts.append(dict(schedule.draws)["event/decay/delay_shift_s"])
        assert state_at(schedule, schedule.end_ns).delay.mean_s == pytest.approx(0.002 + shifts[-1])
    assert min(shifts) >= -0.001
    assert max(shifts) > 0.003  # and not clipped into a heap at one end
    assert len(set(shifts)) == len(shifts)


@given(impairments, st.floats(0, 1))
def test_moved_delays_stay_laws(impairment, mean_s):
    delay = moved(impairment.delay, mean_s)
    assert delay.mean_s == mean_s
    assert delay.law == impairment.delay.law
    assert delay.spread_s <= impairment.delay.spread_s
    if mean_s >= impairment.delay.mean_s:
        assert delay.spread_s == impairment.delay.spread_s


def test_phases_can_be_replaced_by_name():
    event = EVENTS["nr"]
    phase = event.phases[1]
    changed = with_phases(event, {"gap": type(phase)("gap", 0.12, phase.effect)})
    assert [p.duration_s for p in changed.phases][1] == 0.12
    assert changed.phases[::2] == event.phases[::2]
    with pytest.raises(InputError, match="use one of trigger, gap, decay"):
        with_phases(event, {"hole": phase})
    with pytest.raises(InputError, match="use one of lte, nr"):
        find_event("6g")


def test_effects_are_described():
    assert Effect(up=False).describe() == "down (drop)"
    assert Effect(hold=True).describe() == "hold, then release"
    assert Effect().describe() == "as before the event"
    words = Effect(delay_factor=Between(1.5, 3), rate_factor=0.5, loss=0.1).describe()
    assert words == "delay ×1.5 to 3, rate ×0.5, loss 0.1"
    assert Effect().apply(CLEAN) == CLEAN
