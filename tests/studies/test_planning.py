"""What a run judges and how long it takes: quick, full, and what fits into a budget."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.scope import Candidate
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.sessions.recording import Session
from bench.studies import planning
from bench.studies.effort import Effort, read_effort, read_rule
from bench.studies.planning import QUICK_PACKETS, capabilities, scenario_s, settle

CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")
BEHAVIOURS = [
    Candidate("LOC-1", "", "stop", "local-stop"), Candidate("REC-1", "", "back", "blackout"),
    Candidate("FAIL-3", "", "safe", "blackout"), Candidate("MOB-1", "", "cell", "nr-handover"),
]  # fmt: skip
KPI = [
    Candidate("000-t2-force-delay", "force-feedback", "d", "steady-5g-slice"),
    Candidate("000-t2-force-loss", "force-feedback", "l", "steady-5g-slice"),
    Candidate("000-t2-temperature-loss", "temperature", "t", "steady-5g-slice"),
]
ALL = [*BEHAVIOURS, *KPI]
ONCE_S = 6.0 + 9.0 + 4.505
"""One trial of each scenario."""


def plan(candidates=ALL, bench="virtual", **effort):
    return settle(candidates, device=ROBOT, requirements=CATALOGUE, bench=bench,
                  effort=Effort(**effort))  # fmt: skip


def test_quick_and_full():
    quick, full = plan(), plan(full=True)
    assert (quick.trials, quick.steady_s) == (1, 400.0)
    assert quick.duration_s == pytest.approx(6.0 + ONCE_S + 402.0)
    assert (full.trials, full.steady_s) == (59, pytest.approx(1.1 * 34_912 / 25))
    assert full.duration_s == pytest.approx(6.0 + 59 * ONCE_S + 2.0 + full.steady_s)
    assert plan(full=True, confidence=0.99).trials == 90
    assert plan(bench="local").steady_s == 40.0
    assert plan(BEHAVIOURS).duration_s == pytest.approx(6.0 + ONCE_S), "no KPI, no steady session"


LONG = [Candidate("REC-1", "", name, name) for name in library.LONG]


@pytest.mark.parametrize("effort", [{}, {"budget_s": 1e6}])
def test_the_longest_interruptions_are_left_to_a_full_run(effort):
    found = plan([*BEHAVIOURS, *LONG], **effort)
    left_out = {item.test: item for item in found.scope if not item.in_scope}
    assert left_out.keys() == library.LONG.keys()
    assert "10 min; --full does one" in left_out["blackout-600s"].figure
    assert not library.LONG.keys() & found.sessions.keys()


def test_a_full_run_tries_the_longest_interruptions_once():
    found = plan([*BEHAVIOURS, *LONG], full=True)
    planned = {item.test: item.planned_n for item in found.scope if item.in_scope}
    assert planned == {"stop": 59, "back": 59, "safe": 59, "cell": 59,
                       **dict.fromkeys(library.LONG, 1)}  # fmt: skip
    assert found.sessions["blackout-600s"] == (1, pytest.approx(607.0))
    assert found.sessions["blackout"][0] == 59


def test_a_device_of_many_packets_has_a_shorter_quick_session():
    busy = ROBOT.with_options(("video-3d",))
    found = settle(KPI, device=busy, requirements=CATALOGUE, bench="virtual", effort=Effort())
    rate = sum(stream.packets_per_s for stream in busy.active_streams)
    assert 40.0 <= found.steady_s <= QUICK_PACKETS / rate < 400.0
    left_out = next(item for item in found.scope if item.test == "t")
    assert left_out.reason == "the evidence takes longer than this run"
    full = settle(
        KPI, device=busy, requirements=CATALOGUE, bench="virtual", effort=Effort(full=True)
    )
    assert full.steady_s == plan(KPI, full=True).steady_s


def test_every_scenario_lasts_as_long_as_its_sessions():
    for name in library.SCENARIOS:
        ends = [
            Session("p", ROBOT, library.find_scenario(name), 7, trial).schedule().end_ns / 1e9
            for trial in range(40)
        ]
        assert scenario_s(library.find_scenario(name)) == pytest.approx(
            sum(ends) / len(ends), abs=0.15
        )


def in_scope(settled):
    return {item.test for item in settled.scope if item.in_scope}


def test_a_budget_takes_one_trial_of_each_first_then_kpi_then_more_trials():
    assert in_scope(plan(budget_s=17.0)) == {"stop", "cell"}, "the shortest trials"
    assert in_scope(plan(budget_s=6.0 + ONCE_S + 0.1)) == {"stop", "cell", "back", "safe"}
    small = plan(budget_s=6.0 + ONCE_S + 2.0 + 35.0)
    assert in_scope(small) == {"stop", "cell", "back", "safe", "d", "l"}
    assert small.trials == 1
    large = plan(budget_s=6.0 + 10.5 * ONCE_S + 2.0 + 132.0)
    assert in_scope(large) == {item.test for item in large.scope}
    assert large.trials == 10
    assert plan(budget_s=1e5).trials == 59


def test_what_does_not_fit_is_listed_with_its_figure():
    left_out = {item.test: item for item in plan(budget_s=17.0).scope if not item.in_scope}
    assert left_out["back"].reason == "its trials take longer than this run"
    assert (
        left_out["back"].figure == "one trial of blackout takes 9 s; 0.49 s of the budget are left"
    )
    assert left_out["l"].reason == "the evidence takes longer than this run"
    assert "29956 packets at 1000/s take 32.95 s" in left_out["l"].figure


@settings(suppress_health_check=[HealthCheck.differing_executors])
@given(some.floats(1.0, 20_000.0), some.sampled_from([ALL, BEHAVIOURS, KPI]),
       some.sampled_from([0.9, 0.95, 0.99]))  # fmt: skip
def test_a_budget_is_kept(budget_s, candidates, confidence):
    settled = plan(candidates, budget_s=budget_s, confidence=confidence)
    assert len(settled.scope) == len(candidates)
    assert all(item.in_scope or item.reason for item in settled.scope)
    if in_scope(settled):
        assert settled.duration_s <= budget_s * (1 + 1e-9)


@given(some.floats(10.0, 10_000.0), some.floats(0.0, 10_000.0))
def test_more_time_never_takes_anything_out(budget_s, more_s):
    less, more = plan(budget_s=budget_s), plan(budget_s=budget_s + more_s)
    assert in_scope(less) <= in_scope(more)


def test_what_a_bench_offers(monkeypatch):
    own = {*ROBOT.functions, "large-packets-to-doctor", "wireless", "timed-transfer"}
    everything = {"attacker", "flooder", "listener", "interceptor", "address-change"}
    assert capabilities(ROBOT, "virtual") == own | everything
    real = {*own, "real-packets", "attacker", "flooder", "interceptor"}
    assert capabilities(ROBOT, "local") == real
    streams = tuple(replace(stream, carriage="dtls") for stream in ROBOT.streams)
    sealed = replace(ROBOT, streams=streams)  # all of it is enciphered, so that somebody may listen
    assert capabilities(sealed, "local") == {*real, "listener"}
    console = find_device("remote-mri-console")  # over DICOM: the host sets its pace
    offered = {bench: capabilities(console, bench) for bench in ("virtual", "local", "lab")}
    assert [bench for bench, has in offered.items() if "timed-transfer" not in has] == ["local"]
    assert capabilities(ROBOT, "lab") == {*own, "real-packets"}
    monkeypatch.setattr(planning, "find_spec", lambda name: None)  # without the extra
    assert capabilities(ROBOT, "local") == {*own, "real-packets"}


def test_a_handover_is_for_devices_on_the_move_or_on_a_radio_network():
    """Wired alone there is no base station; every other access, or a ride, has some."""

    def asked(*functions):
        device = replace(ROBOT, functions=functions)
        return "wireless" in capabilities(device, "virtual")

    assert not asked("motion", "access-wired", "access-gateway")
    for name in ("access-4g", "access-5g", "access-wifi", "mobile", "radio"):
        assert asked("access-wired", name)


def test_a_hole_is_for_devices_whose_own_data_are_large():
    def towards(device):
        return {c for c in capabilities(device, "virtual") if c.startswith("large-packets")}

    assert towards(find_device("icu-bed")) == {
        "large-packets-to-doctor",
        "large-packets-to-patient",
    }
    ortho = find_device("orthopaedic-robot")
    assert towards(ortho) == {"large-packets-to-doctor"}, "its plan is sent on demand"
    small = tuple(s for s in ortho.streams if s.payload_bytes < 500)
    assert towards(replace(ortho, streams=small)) == set()


# ---- the words -------------------------------------------------------------------------------


def test_effort():
    assert read_effort(False, None, None) == Effort()
    assert read_effort(True, None, "0.99") == Effort(True, None, 0.99)
    assert read_effort(False, "2h", None) == Effort(False, 7200.0, 0.95)


@pytest.mark.parametrize(
    ("words", "field"),
    [((True, "2h", None), "--budget"), ((False, "0s", None), "--budget"),
     ((False, "2", None), "--budget"), ((False, "soon", None), "--budget"),
     ((False, None, "95"), "--confidence"), ((False, None, "1"), "--confidence"),
     ((False, None, "nan"), "--confidence"), ((False, None, "high"), "--confidence")],
)  # fmt: skip
def test_effort_that_is_none(words, field):
    with pytest.raises(InputError) as error:
        read_effort(*words)
    assert error.value.field == field
    assert error.value.remedy


def test_rule():
    assert (read_rule(None), read_rule("simple"), read_rule("guard-band")) == (
        None, "simple", "guard-band",
    )  # fmt: skip
    for word in ("safety", "demonstrated", "lenient", ""):
        with pytest.raises(InputError, match="use one of simple, guard-band"):
            read_rule(word)
