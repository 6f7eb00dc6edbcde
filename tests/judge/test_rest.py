"""Planning, specifying, the outcome table, and assessing recordings end to end."""

import dataclasses
import itertools

import pytest

from bench.devices.registry import find_device
from bench.judge import outcomes, planning
from bench.judge.assess import assess
from bench.judge.outcomes import MAPPING, exit_code
from bench.judge.specify import specify
from bench.judge.verdict import Outcome
from bench.measure.floor import NoiseFloor, StreamFloor
from bench.measure.stimulus import achieved
from bench.requirements.loader import load_catalogue

PASS, FAIL, OPEN, ERROR = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR
ROBOT = find_device("telesurgery-robot")
CATALOGUE = load_catalogue()
FLOOR = NoiseFloor("n", {"haptic-command": StreamFloor(3e-5, 1e-4, 3e-4, 1e-3, 2e-4, 3e-4, 9)},
                   True)  # fmt: skip


# ---- outcomes --------------------------------------------------------------------------------


def test_nothing_but_a_pass_reads_as_passed():
    assert set(MAPPING) == set(Outcome)
    for outcome, words in MAPPING.items():
        good = outcome is PASS
        assert (words.junit == "") is good
        assert (words.allure == "passed") is good
        assert (words.pytest == "passed") is good
    assert MAPPING[FAIL].junit == "failure"
    assert MAPPING[OPEN].junit != "failure", "an open question is no failure of the device"


@pytest.mark.parametrize(
    ("seen", "allow", "code"),
    [
        ([PASS], False, 0), ([PASS, FAIL, ERROR, OPEN], False, 1), ([FAIL], True, 1),
        ([PASS, OPEN], False, 3), ([PASS, OPEN], True, 0), ([ERROR, OPEN], True, 4),
        ([PASS, ERROR], False, 4), ([], False, 3), ([], True, 3),
    ],
)  # fmt: skip
def test_exit_codes(seen, allow, code):
    assert exit_code(seen, allow_inconclusive=allow) == code
    assert exit_code(seen, allow_inconclusive=allow, interrupted=True) == outcomes.INTERRUPTED


def test_only_passes_end_with_zero():
    for seen in itertools.combinations(Outcome, 2):
        assert exit_code(seen) != 0


# ---- planning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "limit", "allowed", "n"),
    [("delay-p99", 0.01, 0, 299), ("delay-p999", 0.01, 0, 2995), ("ipdv-p99", 0.01, 0, 4 * 299),
     ("delay-p99", 0.01, 1, 473), ("loss", 1e-3, 0, 2995), ("loss", 1e-4, 0, 29956),
     ("delivery-ratio", 0.999999, 0, 2_995_731), ("rate", 1e6, 0, 1), ("loss", None, 0, 1),
     ("loss", 0.0, 0, 1), ("loss", 1.0, 0, 1)],
)  # fmt: skip
def test_samples(metric, limit, allowed, n):
    assert planning.samples_needed(metric, limit, 0.95, allowed) == n


def test_seconds_leave_a_margin():
    stream = dataclasses.replace(ROBOT.stream("temperature"), period_s=0.1)
    assert planning.seconds_needed(stream, "delay-p99", 0.25, 0.95) == pytest.approx(32.9, abs=0.1)
    force = dataclasses.replace(ROBOT.stream("haptic-command"), period_s=0.001)
    assert planning.seconds_needed(force, "loss", 1e-4, 0.95) == pytest.approx(33.0, abs=0.1)
    assert planning.seconds_needed(force, "rate", None, 0.95) >= 10


def test_what_a_host_can_resolve():
    ok, text = planning.resolvable(0.002, 0.0006, FLOOR, "haptic-command", "ipdv-p99")
    assert ok
    assert "2 ms" in text
    assert not planning.resolvable(0.002, 0.0015, FLOOR, "haptic-command", "ipdv-p99")[0]
    empty = NoiseFloor("n", {}, True)
    assert not planning.resolvable(1.0, 0.0, empty, "haptic-command", "ipdv-p99")[0]


# ---- specifying ------------------------------------------------------------------------------


def spec_of(name, profile=ROBOT, stream="", **more):
    more = {"planned_n": 1, "confidence": 0.95, **more}
    return specify(CATALOGUE.get(name), profile, stream, **more)


def test_a_documented_figure_is_judged_against_the_document():
    spec = spec_of("000-t2-force-delay", stream="haptic-command")
    assert (spec.low, spec.comparator, spec.against) == (0.010, "<=", "document")
    assert spec.rule == "guard-band"


def test_a_behaviour_is_judged_against_the_declaration():
    spec = spec_of("LIM-1")
    assert (spec.low, spec.against) == (ROBOT.declares["hold_within_s"], "declaration")
    assert spec.undeclared == ()


def test_every_missing_declaration_is_named():
    bare = dataclasses.replace(ROBOT, declares={})
    for requirement in CATALOGUE.requirements.values():
        spec = spec_of(requirement.id, bare)
        assert set(spec.undeclared) == set(requirement.declared)


def test_a_declaration_never_loosens_a_document():
    requirement = dataclasses.replace(
        CATALOGUE.get("000-t2-force-delay"), declared=("hold_within_s",)
    )
    for promised in (0.001, 10.0):
        lax = dataclasses.replace(ROBOT, declares={"hold_within_s": promised})
        spec = specify(requirement, lax, "s", planned_n=1, confidence=0.95)
        assert (spec.low, spec.declared_limit, spec.against) == (0.010, promised, "document")


def test_rival_readings_keep_their_own_figure_and_points():
    requirement = CATALOGUE.get("REC-1")
    rival = next(r for r in requirement.readings if not r.default)
    spec = spec_of("REC-1", reading=rival)
    assert (spec.low, spec.comparator, spec.against) == (10.0, "<", "document")
    assert spec_of("REC-1").low == ROBOT.declares["reconnect_within_s"]


# ---- assessing -------------------------------------------------------------------------------


def verdict(name, *recordings, stream="", floor=None, planned_n=1, stimulus=None, certify=False):
    checks = stimulus or {r.session_id: achieved(r, floor) for r in recordings}
    return assess(
        CATALOGUE.get(name), recordings[0].device, stream, recordings,
        stimulus=checks, floor=floor, planned_n=planned_n, test="t", certify=certify,
        documents=CATALOGUE.requirements.values(),
    )  # fmt: skip


BEHAVIOURS = [
    ("MON-2", "blackout"), ("LIM-1", "delay-ramp"), ("LIM-2", "loss-step"),
    ("FAIL-1", "urumqi-shanghai"), ("FAIL-3", "blackout"), ("SW-1", "primary-outage"),
    ("REC-1", "blackout"), ("LOC-1", "local-stop"), ("MOB-1", "nr-handover"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "scenario"), BEHAVIOURS)
def test_a_healthy_device_passes(synthetic, name, scenario):
    found = verdict(name, synthetic.healthy(scenario).recording())
    assert found.verdict is PASS, found.reason
    assert found.against == "declaration"
    assert found.limit > found.value
    assert found.session


@pytest.mark.parametrize(("name", "scenario"), BEHAVIOURS)
def test_nothing_passes_on_a_bench_that_failed(synthetic, name, scenario):
    made = synthetic.healthy(scenario)
    for health in ({"tap_drops": 1}, {"complete": False}, {"clock_step_s": 1.0}):
        assert verdict(name, made.recording(**health)).verdict is OPEN
    assert verdict(name, dataclasses.replace(made.recording(), changes=())).verdict is OPEN


@pytest.mark.parametrize(("name", "scenario"), BEHAVIOURS)
def test_nothing_passes_undeclared(synthetic, name, scenario):
    recording = synthetic.healthy(scenario).recording()
    bare = dataclasses.replace(recording.device, declares={}, alarms=())
    found = verdict(name, dataclasses.replace(recording, device=bare))
    assert found.verdict is OPEN
    assert "not declared: D:" in found.reason


@pytest.mark.parametrize(("name", "scenario"), BEHAVIOURS)
def test_nothing_passes_short_of_its_trials(synthetic, name, scenario):
    found = verdict(name, synthetic.healthy(scenario).recording(), planned_n=2)
    assert found.verdict is OPEN
    assert "1 of 2 planned trials" in found.reason


def test_a_defective_device_fails(synthetic):
    found = verdict("MON-2", synthetic.healthy("blackout").without("alarm-signal").recording())
    assert (found.verdict, found.value) == (FAIL, None)


def test_an_unchecked_or_unachieved_stimulus_backs_nothing(synthetic):
    recording = synthetic.healthy("blackout").recording()
    assert verdict("FAIL-3", recording, stimulus={"other": ()}).verdict is OPEN
    steps = achieved(recording, None)
    broken = dataclasses.replace(steps[3], ok=False, reason="late by 9 ms")
    found = verdict("FAIL-3", recording,
                    stimulus={recording.session_id: (*steps[:3], broken)})  # fmt: skip
    assert found.verdict is OPEN
    assert "late by 9 ms" in found.reason


def test_one_sound_failure_outweighs_an_unsound_trial(synthetic):
    good = synthetic.healthy("blackout").recording()
    bad = synthetic.healthy("blackout").without("brake", 1, since_s=2.0)
    bad_one = dataclasses.replace(bad.recording(), session_id="blackout-t01-00000000")
    lost = dataclasses.replace(good, session_id="blackout-t02-00000000",
                               health=dataclasses.replace(good.health, tap_drops=4))  # fmt: skip
    assert verdict("FAIL-3", good, lost, planned_n=2).verdict is OPEN
    found = verdict("FAIL-3", good, bad_one, lost, planned_n=3)
    assert found.verdict is FAIL
    assert "set aside" in found.reason


def test_any_of_the_alarms_that_answer_is_an_answer_within_its_own_deadline(synthetic):
    def outage(*alarms):
        made = synthetic.healthy("primary-outage").without("alarm-signal")
        for t_s, name, priority in alarms:
            made.alarm(t_s, name, priority)
        return verdict("MON-2", made.recording())

    found = outage((2.55, "link-lost", "medium"))
    assert (found.verdict, found.limit) == (PASS, pytest.approx(0.6))
    assert outage((2.55, "network-interrupted", "high")).verdict is FAIL
    assert outage((2.65, "link-lost", "medium")).verdict is FAIL
    assert outage((2.55, "link-lost", "high")).verdict is FAIL
    both = outage((2.55, "network-interrupted", "high"), (2.58, "link-lost", "medium"))
    assert both.verdict is PASS


def test_certification_wants_an_independent_observation(synthetic):
    made = synthetic.healthy("blackout").without("alarm-signal")
    made.alarm(2.18, "network-interrupted", "high", origin="log")
    recording = made.recording()
    assert verdict("MON-2", recording).verdict is PASS
    assert verdict("MON-2", recording, certify=True).verdict is OPEN


def test_rival_readings_are_judged_beside(synthetic):
    recording = synthetic.healthy("blackout").without("motion", since_s=5.0).recording()
    found = verdict("REC-1", recording)
    assert found.verdict is FAIL
    assert [r["verdict"] for r in found.readings] == ["INCONCLUSIVE"], "5 s say nothing about 10 s"


def test_a_kpi_over_a_steady_session(synthetic):
    recording = synthetic.healthy("steady").recording()
    found = verdict("000-t2-force-delay", recording, stream="haptic-command", planned_n=299)
    assert found.verdict is PASS, found.reason
    assert found.n > 1900
    words = {(r["metric"], r["reference_points"]): r["verdict"] for r in found.readings}
    assert words["delay-p99", "app-app"] == "INCONCLUSIVE"
    loss = verdict("000-t2-force-loss", recording, stream="haptic-command", planned_n=29956)
    assert loss.verdict is OPEN
    assert verdict("000-t2-force-rate", recording, stream="haptic-command").verdict is PASS


def test_a_rival_reading_that_no_plan_measures_stays_open(synthetic):
    recording = synthetic.healthy("steady").recording()
    entry = CATALOGUE.get("000-t2-force-delay")
    rivals = [dataclasses.replace(r, metric="round-trip-max") for r in entry.readings
              if not r.default]  # fmt: skip
    default = next(r for r in entry.readings if r.default)
    found = assess(
        dataclasses.replace(entry, readings=(default, *rivals)), recording.device,
        "haptic-command", [recording], floor=None, planned_n=299, test="t",
        stimulus={recording.session_id: achieved(recording, None)},
    )  # fmt: skip
    assert found.verdict is PASS, found.reason
    assert {r["verdict"] for r in found.readings} == {"INCONCLUSIVE"}


def test_a_kpi_on_a_real_bench_needs_the_noise_floor(synthetic):
    recording = synthetic.healthy("steady", bench="local").recording()
    for floor, expected in (
        (None, OPEN), (dataclasses.replace(FLOOR, complete=False), OPEN), (FLOOR, PASS)
    ):  # fmt: skip
        found = verdict("000-t2-force-delay", recording, stream="haptic-command", floor=floor)
        assert found.verdict is expected, found.reason


@pytest.mark.parametrize(
    ("session", "attempt"),
    [("blackout-13825d51", 1), ("blackout-a2-13825d51", 2), ("blackout-t03-a11-00000000", 11),
     ("blackout-a1234567", 1), ("nr-handover-t01-a9999999", 1)],
)  # fmt: skip
def test_the_attempt_is_read_from_the_session_id(synthetic, session, attempt):
    recording = dataclasses.replace(synthetic.healthy("blackout").recording(), session_id=session)
    assert verdict("FAIL-3", recording).attempt == attempt


def test_judging_twice_gives_the_same(synthetic):
    recording = synthetic.healthy("blackout").recording()
    assert verdict("REC-1", recording) == verdict("REC-1", recording)
