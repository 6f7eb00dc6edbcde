"""Each behaviour: healthy, defective, without its precondition, on a bench that lost packets."""

import dataclasses
import math

import numpy as np
import pytest

from bench.measure.behaviours import BEHAVIOURS, EXPECTED_ALARMS, expected_alarms
from bench.measure.behaviours import measure_behaviour as measure
from bench.measure.floor import NoiseFloor, StreamFloor
from bench.network import library
from bench.sessions.packets import NO_LINK, ROW

CASES = [
    ("MON-2", "primary-outage", 0.18),
    ("MON-2", "blackout", 0.18),
    ("MON-2", "delay-ramp", 0.17),
    ("MON-2", "loss-step", 0.3),
    ("MON-2", "radio-link-failure", 0.2),
    ("MON-2", "urumqi-shanghai", 0.19),
    ("LIM-1", "delay-ramp", 0.07),
    ("LIM-1", "urumqi-shanghai", 0.09),
    ("LIM-2", "loss-step", 0.2),
    ("FAIL-1", "urumqi-shanghai", 0.0028),
    ("FAIL-3", "blackout", 0.52),
    ("SW-1", "primary-outage", 0.163),
    ("SW-1", "radio-link-failure", 0.163),
    ("REC-1", "blackout", 2.39),
    ("LOC-1", "local-stop", 0.004),
    ("MOB-1", "nr-handover", 0.17),
    ("MOB-1", "radio-link-failure", 0.2),
]


def found(behaviour, *recordings, floor=None, alarm=...):
    if alarm is ...:
        alarm = (expected_alarms(recordings[0]) or (None,))[0]
    profile = recordings[0].device
    return measure(
        behaviour, recordings, profile=profile, confidence=0.95, floor=floor, alarm=alarm
    )


@pytest.mark.parametrize(("behaviour", "scenario", "value"), CASES)
def test_healthy(synthetic, behaviour, scenario, value):
    result = found(behaviour, synthetic.healthy(scenario).recording())
    assert result.problems == ()
    assert result.value == pytest.approx(value, abs=0.02)
    assert result.trials == (result.value,)
    assert result.independent
    assert result.expanded == 0
    assert set(result.required_terms) <= {t.name for t in result.budget}


@pytest.mark.parametrize(("behaviour", "scenario", "value"), CASES)
def test_lost_evidence_backs_nothing(synthetic, behaviour, scenario, value):
    for health in ({"tap_drops": 1}, {"emulator_drops": 2}, {"complete": False}):
        result = found(behaviour, synthetic.healthy(scenario).recording(**health))
        assert result.problems
        assert result.trials == ()


@pytest.mark.parametrize(("behaviour", "scenario", "value"), CASES)
def test_contradicting_taps_back_nothing(synthetic, behaviour, scenario, value):
    made = synthetic.healthy(scenario)

    def early(rows):
        hit = (rows["tap"] == synthetic.PATIENT) & (rows["stream"] == 1) & (rows["seq"] == 700)
        rows["t_ns"][hit] -= 60_000_000
        return rows

    made.tweak = early
    assert any("negative" in p for p in found(behaviour, made.recording()).problems)


def _late_alarm(made):
    return made.shift("alarm-signal", 3.0)


def _silent(made):
    return made.without("alarm-signal")


def _quiet_priority(made):
    made.events = [
        dataclasses.replace(e, value={**e.value, "priority": "low"})
        if e.name == "alarm-signal" else e
        for e in made.events
    ]  # fmt: skip
    return made


def _never_stops(made):
    return made.without("motion", since_s=2.0)


def _stops_late(made):
    return made.shift("motion", 2.0, since_s=2.0).shift("position", 2.0, since_s=2.0)


def _resumes_at_once(made):
    return made.contact(3.2, "motion", 1)


def _rearms_too_soon(made):
    return made.rearm(3.19).moves(3.2, 1, 500).moves(3.3, 0, 500)


def _unarmed(made):
    return made.without("rearm", since_s=1.0)


def _only_cleared(made):
    return made.without("rearm", {"request": "rearm"}, since_s=1.0)


def _executes_anything(made):
    made.executes = lambda t, seq, age: t > 0.55
    return made


def _executes_stale(made):
    made.executes = lambda t, seq, age: 0.55 < t < 2.1
    return made


def _no_brakes(made):
    return made.without("brake", since_s=1.0)


def _releases_brakes(made):
    return made.contact(3.0, "brake", 0).contact(3.1, "brake", 1)


def _jumps(made):
    return made.without("position", since_s=3.0).contact(6.389, "position",
                                                         {"um": 3000, "edge": "start"})  # fmt: skip


def _moves_in_the_dark(made):
    return made.rearm(3.0).moves(3.1, 1, 500).moves(3.2, 0, 500)


def _second_start_unarmed(made):
    return made.moves(7.0, 0, 500).moves(7.5, 1, 500)


def _stuck_on_primary(made):
    made.sends = [s for s in made.sends if s[3] != 1]
    made.seqs.clear()
    return made.stream("haptic-command")


def _repeats_commands(made):
    original = made._executed

    def twice(rows):
        done = original(rows)
        again = done[-1:].copy()
        again["t_ns"] += 1000
        return np.concatenate([done, again])

    made._executed = twice
    return made


def _swaps_commands(made):
    original = made._executed

    def swapped(rows):
        done = original(rows)
        done["seq"][[-2, -1]] = done["seq"][[-1, -2]]
        return done

    made._executed = swapped
    return made


def _restarts_before_release(made):
    return made.moves(3.0, 1, 500).moves(3.01, 0, 500)


DEFECTS = [
    ("MON-2", "blackout", _late_alarm, 3.18),
    ("MON-2", "delay-ramp", _late_alarm, 3.19),
    ("MON-2", "blackout", _silent, math.inf),
    ("MON-2", "loss-step", _silent, math.inf),
    ("MON-2", "blackout", _quiet_priority, math.inf),
    ("LIM-1", "delay-ramp", _never_stops, math.inf),
    ("LIM-1", "delay-ramp", _stops_late, 2.09),
    ("LIM-1", "delay-ramp", _resumes_at_once, math.inf),
    ("LIM-1", "delay-ramp", _rearms_too_soon, math.inf),
    ("LIM-1", "delay-ramp", _unarmed, math.inf),
    ("LIM-1", "delay-ramp", _executes_anything, math.inf),
    ("LIM-2", "loss-step", _never_stops, math.inf),
    ("LIM-2", "loss-step", _unarmed, math.inf),
    ("FAIL-1", "urumqi-shanghai", _executes_stale, 0.0533),
    ("FAIL-3", "blackout", _no_brakes, math.inf),
    ("FAIL-3", "blackout", _never_stops, math.inf),
    ("FAIL-3", "blackout", _releases_brakes, math.inf),
    ("FAIL-3", "blackout", _moves_in_the_dark, math.inf),
    ("SW-1", "primary-outage", _stuck_on_primary, 2.0),
    ("SW-1", "primary-outage", _repeats_commands, math.inf),
    ("SW-1", "primary-outage", _swaps_commands, math.inf),
    ("REC-1", "blackout", _unarmed, math.inf),
    ("REC-1", "blackout", _only_cleared, math.inf),
    ("REC-1", "blackout", _jumps, math.inf),
    ("REC-1", "blackout", _moves_in_the_dark, math.inf),
    ("REC-1", "blackout", _second_start_unarmed, math.inf),
    ("REC-1", "blackout", lambda m: m.without("motion", since_s=5.0), math.inf),
    ("LOC-1", "local-stop", _never_stops, math.inf),
    ("LOC-1", "local-stop", _restarts_before_release, math.inf),
    ("LOC-1", "local-stop", _executes_anything, 1.499),
    ("MOB-1", "radio-link-failure", _silent, math.inf),
]


@pytest.mark.parametrize(("behaviour", "scenario", "defect", "value"), DEFECTS)
def test_defective(synthetic, behaviour, scenario, defect, value):
    result = found(behaviour, defect(synthetic.healthy(scenario)).recording())
    assert result.problems == ()
    assert result.value == pytest.approx(value, abs=0.02)


def _idle(made):
    return made.without("motion").contact(0.0, "motion", 0)


def _alarm_already_on(made):
    alarm = next(e for e in made.events if e.name == "alarm-signal").value
    return made.without("alarm-signal").alarm(1.0, alarm["alarm"], alarm["priority"])


def _no_commands(made):
    made.sends = [s for s in made.sends if s[3] != 1]
    return made


def _no_fault(made):
    full = made.schedule
    made._rows_schedule = full
    keep = tuple(c for c in full.changes if c.t_ns == 0)
    made.schedule = dataclasses.replace(full, changes=keep)
    return made


def _not_pressed(made):
    return made.without("action")


def _no_encoder(made):
    return made.without("position")


def _nothing_executed(made):
    made.executes = lambda t, seq, age: False
    return made


def _no_load(made):
    made.sends = [s for s in made.sends if s[3] != 1 or s[0] < 2.5]
    return made


def _holds_before_stale(made):
    """Standstill before the first stale command arrives: nothing is offered to the drive."""
    return made.without("motion", 0, since_s=1.0).contact(2.04, "motion", 0)


def _brakes_unseen(made):
    return made.without("brake", 0)


def _dead_standby(made):
    made.tweak = lambda rows: rows[~((rows["tap"] == 1) & (rows["link"] == 1))]
    return made


def _links_stay_down(made):
    """The schedule gives the links back, the taps show that the bench did not."""
    made.tweak = lambda rows: rows[~((rows["tap"] == 1) & (rows["t_ns"] > 3_900_000_000))]
    return made.without("motion", since_s=5.0)


UNMET = [
    *((b, s, _idle) for b, s, _ in CASES if b not in ("MON-2", "MOB-1")),
    *((b, s, _no_commands) for b, s, _ in CASES if b != "LOC-1"),
    *((b, s, _no_fault) for b, s, _ in CASES
      if b not in ("LOC-1", "MOB-1") and s != "local-stop"),
    ("MON-2", "blackout", _alarm_already_on),
    ("MON-2", "delay-ramp", _alarm_already_on),
    ("MOB-1", "nr-handover", _alarm_already_on),
    ("FAIL-1", "urumqi-shanghai", _nothing_executed),
    ("FAIL-1", "urumqi-shanghai", _holds_before_stale),
    ("FAIL-3", "blackout", _brakes_unseen),
    ("SW-1", "primary-outage", _dead_standby),
    ("REC-1", "blackout", _links_stay_down),
    ("REC-1", "blackout", _never_stops),
    ("REC-1", "blackout", _no_encoder),
    ("LOC-1", "local-stop", _not_pressed),
    ("LOC-1", "local-stop", _no_load),
    ("LOC-1", "local-stop", _no_commands),
    ("LOC-1", "local-stop", _nothing_executed),
]  # fmt: skip


@pytest.mark.parametrize(("behaviour", "scenario", "change"), UNMET)
def test_without_its_precondition_nothing_is_shown(synthetic, behaviour, scenario, change):
    result = found(behaviour, change(synthetic.healthy(scenario)).recording())
    assert result.problems
    assert result.trials == ()


@pytest.mark.parametrize(
    ("behaviour", "scenario", "field", "name"),
    [
        ("LIM-1", "delay-ramp", "limits", "command_delay_s"),
        ("FAIL-1", "urumqi-shanghai", "declares", "command_age_s"),
        ("MOB-1", "nr-handover", "limits", "command_delay_s"),
    ],
)
def test_what_is_not_declared_is_said(synthetic, behaviour, scenario, field, name):
    recording = synthetic.healthy(scenario).recording()
    left = {k: v for k, v in getattr(recording.device, field).items() if k != name}
    device = dataclasses.replace(recording.device, **{field: left})
    result = found(behaviour, dataclasses.replace(recording, device=device))
    assert any(f"not declared: D:{name}" in p for p in result.problems)


def test_no_declared_alarm(synthetic):
    recording = synthetic.healthy("blackout").recording()
    device = dataclasses.replace(recording.device, alarms=())
    recording = dataclasses.replace(recording, device=device)
    assert expected_alarms(recording) == ()
    assert "no alarm is declared" in found("MON-2", recording).problems[0]


@pytest.mark.parametrize(("behaviour", "scenario"), [("MON-2", "blackout"), ("REC-1", "blackout")])
def test_ends_too_early(synthetic, behaviour, scenario):
    """What did not come before the recording ended may still have come in time."""
    made = synthetic.healthy(scenario).without("alarm-signal").without("motion", since_s=5.0)
    recording = made.recording()
    end = 2_400_000_000 if behaviour == "MON-2" else 8_000_000_000
    schedule = dataclasses.replace(recording.schedule, end_ns=end)
    rows = recording.packets.between(0, end)
    result = found(behaviour, dataclasses.replace(recording, schedule=schedule, packets=rows))
    assert "before the deadline" in result.problems[0]


def test_never_says_how_long_it_watched(synthetic):
    made = synthetic.healthy("blackout").without("motion", since_s=5.0)
    result = found("REC-1", made.recording())
    assert result.value == math.inf
    assert result.details["watched_s"] == pytest.approx(5.0)


def test_a_command_that_nobody_sent_is_no_evidence(synthetic):
    made = synthetic.healthy("urumqi-shanghai")
    original = made._executed
    ghost = np.array([(1_000_000_000, 2, 0, NO_LINK, 1, 99_999, 0)], dtype=ROW)
    made._executed = lambda rows: np.concatenate([original(rows), ghost])
    assert "never seen being sent" in found("FAIL-1", made.recording()).problems[0]


def test_a_short_stall_of_the_bench_is_no_delay_fault(synthetic):
    """20 late commands in a row before the ramp crosses: less than the device's window."""
    made = synthetic.healthy("delay-ramp")

    def stall(rows):
        hit = (rows["tap"] == synthetic.PATIENT) & (rows["stream"] == 1)
        hit &= (rows["seq"] >= 2200) & (rows["seq"] < 2220)
        rows["t_ns"][hit] += 20_000_000
        return rows

    made.tweak = stall
    assert found("LIM-1", made.recording()).value == pytest.approx(0.07, abs=0.02)


def test_stopping_a_little_before_the_taps_see_the_crossing_is_in_time(synthetic):
    made = synthetic.healthy("delay-ramp").without("motion", 0, since_s=2.0)
    made.contact(2.78, "motion", 0)
    result = found("LIM-1", made.recording())
    assert (result.value, result.problems) == (0.0, ())


def test_the_worst_trial_counts_and_unsound_ones_are_set_aside(synthetic):
    good = synthetic.healthy("blackout").recording()
    slow = synthetic.healthy("blackout").shift("brake", 0.3, since_s=2.0).recording()
    broken = synthetic.healthy("blackout").without("brake", since_s=2.0).recording(tap_drops=1)
    result = found("FAIL-3", good, slow, broken)
    assert result.trials == pytest.approx((0.52, 0.82), abs=0.02)
    assert result.value == result.trials[1]
    assert result.n == 2
    assert "dropped" in result.problems[0]


def test_an_alarm_that_only_the_device_reports_is_not_independent(synthetic):
    made = synthetic.healthy("blackout").without("alarm-signal")
    made.alarm(2.18, "network-interrupted", "high", origin="log")
    assert not found("MON-2", made.recording()).independent


def test_each_alarm_that_answers_has_its_own_deadline(synthetic):
    made = synthetic.healthy("primary-outage").without("alarm-signal")
    made.alarm(2.55, "link-lost", "medium")
    recording = made.recording()
    first, second = expected_alarms(recording)
    assert (first.name, second.name) == EXPECTED_ALARMS["outage"]
    assert found("MON-2", recording, alarm=first).value == math.inf
    assert found("MON-2", recording, alarm=second).value == pytest.approx(0.55, abs=0.01)


def test_every_faulty_step_of_the_library_has_its_alarms(synthetic):
    for name in library.SCENARIOS:
        scenario = library.find_scenario(name)
        for step in scenario.steps:
            if step.role != "within":
                assert step.kind in EXPECTED_ALARMS


def test_a_handover_within_the_limits_needs_no_alarm(synthetic):
    made = synthetic.healthy("nr-handover").without("alarm-signal")
    quiet = tuple(
        dataclasses.replace(c, impairment=made.schedule.changes[0].impairment)
        for c in made.schedule.changes
    )
    made.schedule = dataclasses.replace(made.schedule, changes=quiet)
    result = found("MOB-1", made.recording())
    assert (result.value, result.details["limits"]) == (0.0, "held")


def test_a_real_bench_needs_its_noise_floor(synthetic):
    recording = synthetic.healthy("blackout", bench="local").recording(clock_step_s=1e-6)
    result = found("FAIL-3", recording)
    assert {"tap", "event"} == set(result.required_terms) - {t.name for t in result.budget}
    one = StreamFloor(3e-5, 1e-4, 2e-4, 1e-3, 1e-4, 2e-4, 1000)
    result = found("FAIL-3", recording, floor=NoiseFloor("s", {"haptic-command": one}, True))
    assert {"tap", "clock", "event"} == {t.name for t in result.budget}
    assert result.expanded > 1e-4


def test_every_behaviour_is_covered_here():
    """Topics of their own are covered in ``tests/judge/test_defects_TOPIC.py``."""
    assert {b for b, *_ in CASES} == {b for b, *_ in DEFECTS} <= set(BEHAVIOURS)
