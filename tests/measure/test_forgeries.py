"""Recordings that look right at a glance: none of them shows what it seems to show."""

import dataclasses
import math

import numpy as np
import pytest

from bench.measure.behaviours import expected_alarms, measure_behaviour
from bench.measure.floor import NoiseFloor, StreamFloor
from bench.measure.kpi import measure_kpi
from bench.measure.pairing import pair
from bench.measure.stimulus import achieved
from bench.network.impairment import Delay, Impairment
from bench.network.scenario import Scenario, Segment, Step, both
from bench.sessions.packets import table

COMMAND = "haptic-command"
MS = 1_000_000


def found(behaviour, made, floor=None):
    recording = made if not hasattr(made, "recording") else made.recording()
    alarm = (expected_alarms(recording) or (None,))[0]
    return measure_behaviour(
        behaviour, [recording], profile=recording.device, confidence=0.95, floor=floor, alarm=alarm
    )


def kpi(recording, metric, stream=COMMAND):
    return measure_kpi([recording], stream, metric, confidence=0.95, floor=None)


def wrong(recording, floor=None):
    return {(s.phase, s.link, s.direction): s.reason
            for s in achieved(recording, floor) if not s.ok}  # fmt: skip


def without_commands(made, start_s, end_s):
    made.sends = [s for s in made.sends if s[3] != 1 or not start_s <= s[0] < end_s]
    return made


# ---- alarms ----------------------------------------------------------------------------------


def test_an_alarm_that_was_over_before_the_limit_was_passed_is_no_answer(synthetic):
    for on_s, off_s in ((2.01, 2.3), (2.75, 2.8)):
        made = synthetic.healthy("delay-ramp").without("alarm-signal")
        made.alarm(on_s, "network-delay", "medium")
        made.alarm(off_s, "network-delay", "medium", on=False)
        assert found("MON-2", made).trials == (math.inf,)


def test_an_alarm_long_before_the_limit_was_passed_shows_nothing(synthetic):
    made = synthetic.healthy("delay-ramp").without("alarm-signal")
    result = found("MON-2", made.alarm(2.01, "network-delay", "medium"))
    assert "before the fault" in result.problems[0]
    early = synthetic.healthy("delay-ramp").without("alarm-signal")
    assert found("MON-2", early.alarm(2.75, "network-delay", "medium")).trials == (0.0,)


@pytest.mark.parametrize("stopped", [(2.05, 9.0), (2.05, 2.6)])
def test_limits_do_not_hold_through_a_handover_without_commands(synthetic, stopped):
    made = without_commands(synthetic.healthy("nr-handover").without("alarm-signal"), *stopped)
    result = found("MOB-1", made)
    assert result.trials == ()
    assert "no commands were sent" in result.problems[0]


def test_a_pause_of_the_commands_does_not_move_the_fault(synthetic):
    """The network fails at 2 s; the first command that shows it is sent at 3 s."""
    made = without_commands(synthetic.healthy("blackout"), 1.99, 3.0)
    made = made.without("alarm-signal").alarm(3.2, "network-interrupted", "high")
    made = made.without("motion", since_s=1.0).moves(3.08, 0).moves(6.39, 1)
    for behaviour in ("MON-2", "FAIL-3", "REC-1"):
        result = found(behaviour, made)
        assert result.trials == ()
        assert "no commands were sent" in result.problems[0]


# ---- motion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "scenario", "stop_s"),
    [("LIM-1", "delay-ramp", 2.01), ("LIM-2", "loss-step", 2.0)],
)
def test_a_standstill_for_another_reason_is_no_response(synthetic, behaviour, scenario, stop_s):
    made = synthetic.healthy(scenario).without("motion", since_s=1.0)
    made = made.without("position", since_s=1.0).moves(stop_s, 0, 500)
    result = found(behaviour, made)
    assert result.trials == ()
    assert "not moving" in result.problems[0]


def test_a_standby_that_is_not_used_shows_no_order(synthetic):
    made = synthetic.healthy("primary-outage")
    healthy = made.executes
    made.executes = lambda t, seq, age: healthy(t, seq, age) and t < 2.05
    result = found("SW-1", made)
    assert result.trials == ()
    assert "nothing was executed" in result.problems[0]


def test_a_gap_that_is_too_long_fails_also_where_nothing_follows(synthetic):
    made = without_commands(synthetic.healthy("primary-outage"), 2.1, 4.5)
    made.executes = lambda t, seq, age: 0.55 < t < 2.05
    assert found("SW-1", made).value > 2


def test_commands_executed_at_standstill_are_no_reconnection(synthetic):
    made = synthetic.healthy("blackout")
    made.executes = lambda t, seq, age: 0.55 < t < 2.08 or t > 4.2
    assert found("REC-1", made).trials == (math.inf,)


# ---- packets ---------------------------------------------------------------------------------


def pairs(*packets, end_ms=100_000):
    rows = []
    for seq, (sent_ms, delay_ms) in enumerate(packets):
        rows.append((sent_ms * MS, 0, 0, 0, 1, seq, 78))
        if delay_ms is not None:
            rows.append(((sent_ms + delay_ms) * MS, 1, 0, 0, 1, seq, 78))
    return pair(table(rows), 0, end_ms * MS)


def test_one_slow_packet_does_not_hide_the_losses_after_it():
    """30 s late, in order: what was sent before it and never came is lost, not on its way."""
    flow = pairs((0, 1), (60_000, 30_000), (80_000, None), (95_000, 1), (99_999, None))
    assert flow.lost.tolist() == [False, False, True, False, False]
    assert flow.in_flight.tolist() == [False, False, False, False, True]


def test_a_packet_of_the_last_burst_may_still_be_on_its_way():
    flow = pairs((0, 5), (99_998, 1), (99_998, None), end_ms=100_000)
    assert flow.in_flight.tolist() == [False, False, True]


def test_an_overtaken_packet_may_still_be_on_its_way_as_far_as_others_were_overtaken():
    flow = pairs((0, 50), (40, 1), (99_960, None), (99_990, 1))
    assert flow.in_flight.tolist() == [False, False, True, False]


def steady(synthetic, seconds=2.0):
    state = {n: both(Impairment(delay=Delay(0.005))) for n in ("primary", "standby")}
    step = Step("s", "hold", "within", (Segment("s", seconds, state),))
    return synthetic.Builder(Scenario("s", "", (step,))).heartbeats().stream(COMMAND)


@pytest.mark.parametrize(("lost", "value"), [(30, math.inf), (5, 0.005)])
def test_a_lost_packet_is_late_beyond_every_limit(synthetic, lost, value):
    """RFC 7679, 5.1: where 30 of 2,000 are lost the 99th percentile is infinite."""
    made = steady(synthetic)
    gone = np.random.default_rng(7).choice(np.arange(100, 1900), lost, replace=False)
    far = synthetic.PATIENT
    made.tweak = lambda r: r[~((r["tap"] == far) & (r["stream"] == 1) & np.isin(r["seq"], gone))]
    result = kpi(made.recording(), "delay-p99")
    assert result.value == pytest.approx(value)
    assert result.extreme == pytest.approx(0.005)
    assert result.upper == (math.inf if lost > 9 else pytest.approx(0.005))


def test_packets_that_arrive_twice_back_nothing(synthetic):
    made = steady(synthetic)

    def twice(rows):
        again = rows[(rows["tap"] == synthetic.PATIENT) & (rows["seq"] == 700)].copy()
        again["t_ns"] += 1000
        return np.concatenate([rows, again])

    made.tweak = twice
    assert "arrived twice" in kpi(made.recording(), "delay-p99").problems[0]


def test_a_sequence_that_starts_again_backs_nothing(synthetic):
    made = steady(synthetic)

    def restart(rows):
        late = (rows["stream"] == 1) & (rows["seq"] >= 1500)
        rows["seq"][late] -= 1500
        return rows

    made.tweak = restart
    for metric in ("loss", "rate", "delay-p99"):
        assert any("already used" in p for p in kpi(made.recording(), metric).problems)


@pytest.mark.parametrize("carriage", ["datagram", "mllp"])
def test_over_tcp_and_there_only_a_packet_sent_again_is_one(synthetic, carriage):
    """One is lost and sent again 200 ms later, one in vain, one is lost for good."""
    made = steady(synthetic)
    far = synthetic.PATIENT

    def resend(rows):
        mine = rows["stream"] == 1
        gone = mine & (rows["tap"] == far) & np.isin(rows["seq"], (700, 900))
        again = rows[mine & np.isin(rows["seq"], (700, 800))].copy()
        again["t_ns"] += 200 * MS
        return np.concatenate([rows[~gone], again])

    made.tweak = resend
    recording = made.recording()
    device = recording.device
    streams = tuple(
        dataclasses.replace(s, carriage=carriage if s.name == COMMAND else s.carriage)
        for s in device.streams
    )
    recording = dataclasses.replace(
        recording, bench="local", device=dataclasses.replace(device, streams=streams)
    )
    loss, most = kpi(recording, "loss"), kpi(recording, "delay-max")
    if carriage == "datagram":
        assert any("already used" in p for p in loss.problems)
        return
    assert loss.problems == most.problems == ()
    assert loss.details["lost"] == 1
    assert most.value == pytest.approx(0.205)
    assert kpi(dataclasses.replace(recording, bench="virtual"), "loss").problems


def test_a_clock_of_which_nothing_is_known_backs_nothing(synthetic):
    recording = steady(synthetic).recording(clock_step_s=math.nan)
    assert kpi(recording, "loss").problems


def test_a_step_without_a_jitter_value_gives_none(synthetic):
    one = steady(synthetic)
    two = dataclasses.replace(one.recording(), packets=one.recording().packets.between(0, 10 * MS))
    both_ = measure_kpi([one.recording(), two], COMMAND, "rfc3550-jitter", confidence=0.95,
                        floor=None)  # fmt: skip
    assert both_.value == pytest.approx(0.0)
    few = dataclasses.replace(two, packets=two.packets.between(0, 2 * MS))
    none = measure_kpi([one.recording(), few], COMMAND, "rfc3550-jitter", confidence=0.95,
                       floor=None)  # fmt: skip
    assert math.isnan(none.value)


# ---- stimulus --------------------------------------------------------------------------------


def shifted(synthetic, scenario, move):
    """``move``: far rows and the times of their sending to new arrival times."""
    made = synthetic.healthy(scenario)

    def tweak(rows):
        far = rows["tap"] == np.where(rows["direction"] == 0, 1, 0)
        keys = ("link", "stream", "direction", "seq")
        sent = {tuple(int(r[k]) for k in keys): int(r["t_ns"]) for r in rows[~far]}
        times = np.array([sent[tuple(int(r[k]) for k in keys)] for r in rows[far]])
        rows["t_ns"][far] = move(rows[far], times)
        return rows

    made.tweak = tweak
    return made.recording()


@pytest.mark.parametrize("shift_ms", [-3, 3])
@pytest.mark.parametrize("scenario", ["delay-ramp", "urumqi-shanghai", "steady", "nr-handover"])
def test_three_milliseconds_off_are_refused(synthetic, scenario, shift_ms):
    recording = shifted(
        synthetic, scenario, lambda far, sent: np.maximum(far["t_ns"] + shift_ms * MS, sent)
    )
    assert {("primary", "to-patient"), ("standby", "to-doctor")} <= {
        (link, direction) for _, link, direction in wrong(recording)
    }


@pytest.mark.parametrize("scenario", ["delay-ramp", "loss-step", "primary-outage", "steady"])
def test_shuffling_by_two_tenths_of_a_millisecond_is_accepted(synthetic, scenario):
    rng = np.random.default_rng(7)
    recording = shifted(
        synthetic, scenario, lambda far, _: far["t_ns"] + rng.integers(0, 200_000, len(far))
    )
    assert wrong(recording) == {}


@pytest.mark.parametrize(
    "scenario",
    ["delay-ramp", "loss-step", "primary-outage", "blackout", "urumqi-shanghai", "nr-handover",
     "radio-link-failure"],
)  # fmt: skip
@pytest.mark.parametrize("noise_s", [0.0, 0.02])
def test_a_clean_link_under_the_name_of_an_impaired_one_is_refused(synthetic, scenario, noise_s):
    """Also on a noisy bench: the path's own noise adds to a delay, it never shortens it."""
    right = synthetic.healthy(scenario, bench="local")
    clean = synthetic.healthy(scenario, bench="local")
    keep = tuple(c for c in clean.schedule.changes if c.t_ns == 0)
    clean.schedule = dataclasses.replace(right.schedule, changes=keep)
    recording = dataclasses.replace(
        clean.recording(), schedule=right.schedule, changes=right.recording().changes
    )
    noise = StreamFloor(noise_s / 10, noise_s, noise_s, noise_s, noise_s, noise_s, 99)
    assert wrong(recording, NoiseFloor("n", {COMMAND: noise}, True))


@pytest.mark.parametrize(("shift_s", "refused"), [(-0.0011, True), (0.0011, False)])
def test_noise_excuses_what_is_late_and_not_what_is_early(synthetic, shift_s, refused):
    made = synthetic.healthy("steady", bench="local")
    made.extra_s = shift_s
    noise = StreamFloor(5e-4, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 99)
    assert bool(wrong(made.recording(), NoiseFloor("n", {COMMAND: noise}, True))) is refused


@pytest.mark.parametrize("missing", [(0.0, 0.1), (0.9, 1.0), (0.4, 0.6)])
def test_a_delay_that_held_for_a_part_of_its_phase_is_refused(synthetic, missing):
    made = synthetic.healthy("delay-ramp")
    start, end = made.schedule.windows[1].phase("top")
    first, last = (start + share * (end - start) for share in missing)
    recording = shifted(
        synthetic,
        "delay-ramp",
        lambda far, sent: np.where(
            (sent >= first) & (sent < last), sent + 2 * MS, far["t_ns"].astype(np.int64)
        ),
    )
    assert ("top", "primary", "to-patient") in wrong(recording)


def test_a_delay_that_ends_in_a_long_phase_is_refused(synthetic):
    made = steady(synthetic, 30.0)

    def fade(rows):
        far = (rows["tap"] == synthetic.PATIENT) & (rows["direction"] == 0)
        far &= rows["t_ns"] > 24_000 * MS
        rows["t_ns"][far] -= 3 * MS
        return rows

    assert wrong(made.recording()) == {}
    made.tweak = fade
    assert {("s", link, "to-patient") for link in ("primary", "standby")} == set(
        wrong(made.recording())
    )


def test_few_packets_must_fit_too(synthetic):
    """Three heartbeats in a phase of 60 ms, 8 ms late."""
    states = [
        {n: both(Impairment(delay=Delay(d))) for n in ("primary", "standby")}
        for d in (0.005, 0.02, 0.005)
    ]
    steps = [
        Step(f"s{i}", "hold", "within", (Segment(f"s{i}", length, state),))
        for i, (state, length) in enumerate(zip(states, (1.0, 0.06, 1.0), strict=True))
    ]
    made = synthetic.Builder(Scenario("few", "", tuple(steps))).heartbeats()
    assert wrong(made.recording()) == {}

    def late(rows):
        far = (rows["tap"] == synthetic.PATIENT) & (rows["direction"] == 0)
        far &= rows["t_ns"] > 1020 * MS
        rows["t_ns"][far & (rows["t_ns"] < 1080 * MS)] += 8 * MS
        return rows

    made.tweak = late
    assert ("s1", "primary", "to-patient") in wrong(made.recording())


# ---- the bench's own lateness ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "scenario", "counts"),
    [("MON-2", "blackout", True), ("FAIL-3", "blackout", True), ("LOC-1", "local-stop", True),
     ("FAIL-1", "urumqi-shanghai", False), ("SW-1", "primary-outage", False)],
)  # fmt: skip
@pytest.mark.parametrize("side", ["patient", "doctor"])
def test_a_reaction_is_as_uncertain_as_its_side_was_late(
    synthetic, behaviour, scenario, counts, side
):
    floor = NoiseFloor("n", {COMMAND: StreamFloor(3e-5, 1e-4, 2e-4, 1e-3, 1e-4, 2e-4, 9)}, True)
    made = synthetic.healthy(scenario, bench="local")

    def term(**health):
        result = found(behaviour, made.recording(**health), floor)
        return next(t.standard for t in result.budget if t.name == "event")

    late = {"counters": {f"{side}/timer_late_max_ns": 6 * MS}}
    plain = 1e-4 / math.sqrt(3)
    assert term() == pytest.approx(plain)
    grown = math.hypot(1e-4, 0.006) / math.sqrt(3)
    assert term(**late) == pytest.approx(grown if counts else plain)
