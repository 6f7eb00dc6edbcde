"""The audit log of devices that move nothing: healthy ones pass, each defect of it fails."""

import dataclasses
from functools import cache

import pytest

from bench.devices.defects import DEFECTS, audit, can_have
from bench.devices.registry import find_device, names
from bench.judge.verdict import Outcome
from bench.measure.session_truth import link_switches

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
JUDGED = {
    "logged-faults": ("MON-4",),
    "operation": ("LOG-1", "OPS-2", "OPS-3"),
    "attacked-operation": ("LOG-1",),
    "log-survival": ("LOG-2",),
}
RESTING = tuple(name for name in names() if "motion" not in find_device(name).functions)
MONITOR, TRAINER, SCANNER = "home-monitor", "vr-trainer", "mobile-dr-ct"
CASES = tuple(
    (device, defect.name)
    for device in (MONITOR, TRAINER, SCANNER)
    for defect in audit.DEFECTS
    if can_have(find_device(device), defect)
)


@pytest.fixture(scope="module")
def light(played):
    """A device with its records and one more stream of each side."""

    @cache
    def made(name):
        device = find_device(name)
        kept = {"control", device.watched, "alarm", "images"}
        kept |= {s.name for s in device.streams if s.name.endswith("-records")}
        plain = [s for s in device.streams if s.source == "patient" and s.packets == 1]
        return played.light(device, (*kept, min(plain, key=lambda s: s.period_s).name))

    return made


def found_in(played, device, scenario, seed=7):
    recording = played.play(device, scenario, seed)
    assert played.unsound(recording) == []
    return recording, played.verdicts(recording, JUDGED[scenario])


def test_all_that_move_nothing_keep_a_log_and_say_so():
    assert len(RESTING) == 9
    for name in RESTING:
        device = find_device(name)
        assert "audit-log" in device.functions
        assert "audit-log" not in device.without
        assert {"log_time_error_s", "display_error"} <= set(device.declares)
        assert device.alarm("log-full") is not None


@pytest.mark.parametrize("name", RESTING)
def test_a_healthy_log_passes(played, light, name):
    for scenario in JUDGED:
        _, verdicts = found_in(played, light(name), scenario, seed=3 + RESTING.index(name))
        for requirement, found in verdicts.items():
            assert found.verdict is PASS, f"{scenario}, {requirement}: {found.reason}"


@pytest.mark.parametrize(("name", "defect"), CASES)
def test_a_defect_fails_what_it_breaks_and_nothing_else(played, light, name, defect):
    broken = {*DEFECTS[defect].breaks}
    device = light(name).with_defects({defect: DEFECTS[defect].size})
    failed = set()
    for scenario, judged in JUDGED.items():
        if not broken & {*judged}:
            continue
        _, verdicts = found_in(played, device, scenario)
        for requirement, found in verdicts.items():
            if requirement in broken and found.verdict is FAIL:
                failed.add(requirement)
            else:
                assert found.verdict is PASS, f"{scenario}, {requirement}: {found.reason}"
    assert failed == broken & {r for judged in JUDGED.values() for r in judged}


def test_the_monitor_really_lost_its_power_and_its_log_survived(played, light):
    recording, _ = found_in(played, light(MONITOR), "log-survival")
    for side in ("doctor", "patient"):
        power = [(e.value, e.t_ns) for e in recording.named("power", side=side)]
        assert [value for value, _ in power] == [1, 0, 1]
        before, *_, after = recording.named("audit-export", side=side)
        assert before.t_ns < power[1][1] < power[2][1] < after.t_ns
        count = len(before.value["entries"])
        assert after.value["entries"][:count] == before.value["entries"]
        assert "power-on" in [entry["name"] for entry in after.value["entries"]]


def test_the_alarm_of_the_patient_is_in_the_log_of_both_sides(played, light):
    recording, _ = found_in(played, light("icu-bed"), "operation")
    for side in ("doctor", "patient"):
        export = recording.named("audit-export", side=side)[-1].value["entries"]
        logged = [e["content"]["on"] for e in export if _is_of(e, "asystole")]
        assert logged == [True, False]


def _is_of(entry, alarm):
    return entry["name"] == "alarm-signal" and entry["content"]["alarm"] == alarm


def test_without_a_declared_display_error_a_recorded_figure_is_not_judged(played, light):
    device = light(MONITOR)
    declares = {k: v for k, v in device.declares.items() if k != "display_error"}
    silent = dataclasses.replace(device, declares=declares)
    _, verdicts = found_in(played, silent, "logged-faults")
    assert verdicts["MON-4"].verdict is OPEN
    assert "display_error" in verdicts["MON-4"].reason


def test_switches_are_seen_by_a_stream_that_was_sent(played, light):
    """Image sets would be the fastest stream of the scanner, and none was asked for."""
    device = light(SCANNER)
    fastest = min((s for s in device.active_streams if s.source == "patient"),
                  key=lambda s: s.period_s)  # fmt: skip
    recording, _ = found_in(played, device, "operation")
    assert fastest.name == "images"
    assert not len(recording.packets.where(tap="patient", stream=fastest.code))
    switches = link_switches(recording, "patient")
    assert [(a, b) for _, a, b in switches] == [("primary", "standby"), ("standby", "primary")]
