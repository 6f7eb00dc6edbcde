"""MON-3 on devices that carry no touch: a long run just inside the limits of each."""

import pytest

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device, names
from bench.judge.verdict import Outcome
from bench.measure.needs import visit_of
from bench.network import library
from bench.network.library.picture import inside_limits
from bench.sessions.recording import Session

PASS, FAIL = Outcome.PASS, Outcome.FAIL
JUDGED = {"inside-limits": ("MON-3",)}
WITHOUT_TOUCH = tuple(name for name in names() if "touch" not in find_device(name).functions)
DEFECT_OF_ALL = ("nervous-delay", "nervous-silence", "cries-wolf")


def run(played, name, defect=None, seed=1, minutes=5):
    device = find_device(name)
    kept = {"control", device.watched, "alarm", "force-feedback", "images"}
    kept |= {s.name for s in device.streams if s.name.endswith("-records")}
    device = played.light(device, kept)
    if defect:
        device = device.with_defects({defect: DEFECTS[defect].size})
    scenario = inside_limits(minutes, visit_of(device))
    with VirtualBench() as bench:
        return bench.run(Session("t", device, scenario, seed), played.Nowhere())


@pytest.mark.parametrize("name", ["glucose-meter", "mobile-dr-ct", "rehabilitation-arm"])
def test_a_healthy_device_gives_no_alarm_near_its_own_limits(played, name):
    recording = run(played, name)
    assert played.unsound(recording) == []
    found = played.verdict(recording, "MON-3")
    assert found.verdict is PASS, found.reason
    assert dict(found.details)["minutes"] == 5.0


@pytest.mark.parametrize("defect", DEFECT_OF_ALL)
@pytest.mark.parametrize("name", ["glucose-meter", "mobile-dr-ct"])
def test_a_nervous_one_fails(played, name, defect):
    assert played.verdict(run(played, name, defect, minutes=2), "MON-3").verdict is FAIL


def test_every_device_declares_its_rate_of_false_alarms():
    assert [n for n in names() if "false_alarm_rate" not in find_device(n).declares] == []


@pytest.mark.parametrize("name", names())
def test_the_run_lies_inside_the_limits_of_each_device(name):
    device = find_device(name)
    visit, limits = visit_of(device), device.limits
    assert visit.delay_limit_s == limits["command_delay_s"]
    beat_s = device.stream("control").period_s
    period_s = device.stream(device.watched).period_s
    assert visit.pause_s + period_s < limits["command_silence_alarm_s"]
    if visit.pause_s > library.Visit().pause_s:
        assert visit.pause_s + beat_s < limits["command_silence_alarm_s"]
    assert 0 < visit.stray_loss < limits["command_loss"]


def test_who_carries_touch_gets_the_run_as_ever():
    assert len(WITHOUT_TOUCH) == 10
    for name in {*names()} - {*WITHOUT_TOUCH}:
        assert library.VISITS["inside-limits"](visit_of(find_device(name))) == inside_limits()
