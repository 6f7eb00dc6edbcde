"""COEX-1: a healthy radio passes beside its declared signals, and nothing passes unverified."""

from dataclasses import replace

import pytest

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure import events as ev
from bench.measure.coexisting import coex_1
from bench.measure.needs import visit_of
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.sessions.exposing import EXPOSURE
from bench.sessions.recording import Session

JUDGED = {"coexistence": ("COEX-1",), "interferer-beyond": ("MON-2", "SW-1")}
CATALOGUE = load_catalogue()
ROBOT = find_device("tele-ultrasound-robot")
QUICK = replace(
    ROBOT,
    streams=tuple(
        s if s.name in ("control", "haptic-command", "video-4k")
        else replace(s, option="off")
        for s in ROBOT.streams
    ),
)  # fmt: skip
"""With its largest stream, and without the many small packets of the others."""


WORN = {
    "home-monitor": ("alarm", "monitor-records", "monitor-vital-signs", "acknowledgement"),
    "glucose-meter": ("alarm", "glucose-records", "acknowledgement"),
}
"""Monitors with a radio, and streams enough: each shows its limits within 10 s."""


def worn(name):
    device = find_device(name)
    streams = (s if s.name in WORN[name] else replace(s, option="off") for s in device.streams)
    return replace(device, streams=tuple(streams))


def play(scenario="coexistence", device=QUICK, seed=3, **defects):
    device = device.with_defects({name.replace("_", "-"): s for name, s in defects.items()})
    found = library.VISITS[scenario](visit_of(device))
    return VirtualBench().run(Session("t", device, found, seed), Nowhere())


def verdict(recording, requirement="COEX-1"):
    return assess(
        CATALOGUE.get(requirement), recording.device, "", [recording],
        stimulus={recording.session_id: achieved(recording, None)}, floor=None, planned_n=1,
        test="t", documents=CATALOGUE.requirements.values(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def healthy():
    return play()


def test_a_healthy_radio_passes(healthy):
    found = verdict(healthy)
    assert (found.verdict, found.value) == (Outcome.PASS, 0.0), found.reason
    assert {e.value["verified_by"] for e in healthy.named(EXPOSURE)} == {"model"}


@pytest.mark.parametrize("name", ["deaf-radio", "radio-rescans"])
def test_each_defect_fails_at_every_signal_or_some(name):
    found = verdict(play(**{name: DEFECTS[name].size}))
    assert (found.verdict, found.value >= 1) == (Outcome.FAIL, True), found.reason


@pytest.mark.parametrize("name", WORN)
def test_a_monitor_on_wifi_or_bluetooth_passes_and_a_deaf_one_fails(name):
    """Beside bursts a deaf one's link stays up, so that nothing takes over what it loses."""
    device = worn(name)
    assert device.radio.technology == {"home-monitor": "wifi-20mhz"}.get(name, "ble-1m")
    found = verdict(play(device=device))
    assert (found.verdict, found.value) == (Outcome.PASS, 0.0), found.reason
    deaf = play(device=device, deaf_radio=1.0)
    assert verdict(deaf).verdict is Outcome.FAIL
    (bursts,) = [text for key, text in coex_1(deaf, None)[1].items() if "wifi20-half" in key]
    assert "loss of alarm" in bursts
    beyond = play("interferer-beyond", device=device)
    for requirement in JUDGED["interferer-beyond"]:
        assert verdict(beyond, requirement).verdict is Outcome.PASS


def test_records_of_the_last_seconds_must_have_been_due():
    """Without the rest at the end of its scenario a device that keeps records shows nothing."""
    device = worn("glucose-meter")
    visit = visit_of(device)
    cut = library.VISITS["coexistence"](replace(visit, rest_s=0.0))
    recording = VirtualBench().run(Session("t", device, cut, 3), Nowhere())
    with pytest.raises(ev.Cannot, match="ends before the records of glucose were due"):
        coex_1(recording, None)


def test_beyond_its_environment_only_the_declared_response_is_judged():
    recording = play("interferer-beyond")
    for name in JUDGED["interferer-beyond"]:
        found = verdict(recording, name)
        assert found.verdict is Outcome.PASS, found.reason
    with pytest.raises(ev.Cannot, match="no baseline"):
        coex_1(recording, None)
    mute = play("interferer-beyond", mute_alarms=1.0)
    assert verdict(mute, "MON-2").verdict is Outcome.FAIL
    stays = play("interferer-beyond", never_switches=1.0)
    assert verdict(stays, "SW-1").verdict is Outcome.FAIL


def exposed_events(recording):
    return [e for e in recording.named(EXPOSURE) if e.value["exposures"]]


def altered(recording, change):
    """The recording with the account of its first exposure changed."""
    first = exposed_events(recording)[0]
    value = {**first.value, **change(first.value["exposures"][0])}
    events = tuple(replace(e, value=value) if e is first else e for e in recording.events)
    return replace(recording, events=events)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda e: {"problem": "the analyser saw nothing"}, "analyser saw nothing"),
        (lambda e: {"exposures": []}, "0 signals were there, 1 asked for"),
        (lambda e: {"exposures": [{**e, "level_dbm": e["level_dbm"] - 2.0}]}, "the level is"),
        (lambda e: {"exposures": [{**e, "level_dbm": e["level_dbm"] + 2.0}]}, "the level is"),
        (lambda e: {"uncertainty_db": 1.6}, "± 1.6 dB"),
        (lambda e: {"exposures": [{**e, "frequency_hz": e["frequency_hz"] + 1e6}]}, "instead of"),
        (lambda e: {"exposures": [{**e, "bandwidth_hz": 0.0}]}, "instead of"),
        (lambda e: {"exposures": [{**e, "duty": 0.5}]}, "instead of"),
    ],
)
def test_what_was_not_presented_as_asked_shows_nothing(healthy, change, told):
    with pytest.raises(ev.Cannot, match=told):
        coex_1(altered(healthy, change), None)


def test_nobodys_account_of_an_exposure_is_none(healthy):
    silent = tuple(e for e in healthy.events if e.name != EXPOSURE)
    with pytest.raises(ev.Cannot, match="nobody says"):
        coex_1(replace(healthy, events=silent), None)


def test_a_signal_that_does_not_go_away_shows_no_recovery(healthy):
    first = exposed_events(healthy)[0]
    after = next(
        e for e in healthy.named(EXPOSURE) if e.t_ns > first.t_ns and not e.value["exposures"]
    )
    stays = {**after.value, "exposures": first.value["exposures"]}
    events = tuple(replace(e, value=stays) if e is after else e for e in healthy.events)
    with pytest.raises(ev.Cannot, match="1 signals were there, 0 asked for"):
        coex_1(replace(healthy, events=events), None)


def test_every_declared_signal_must_have_been_tried(healthy):
    declared = replace(
        ROBOT.coexistence,
        environment=(
            *ROBOT.coexistence.environment,
            ROBOT.coexistence.environment[0].at_level(-60),
        ),
    )
    more = replace(healthy, device=replace(healthy.device, coexistence=declared))
    with pytest.raises(ev.Cannot, match="not tried: lte20 at 3500 MHz, -60 dBm"):
        coex_1(more, None)


def test_another_radio_is_not_this_one(healthy):
    other = replace(healthy.device, radio=replace(ROBOT.radio, wanted_dbm=-60.0))
    with pytest.raises(ev.Cannot, match="not this device's radio"):
        coex_1(replace(healthy, device=other), None)


def test_a_device_that_declares_no_radio_shows_nothing(healthy):
    with pytest.raises(ev.Cannot, match="not declared"):
        coex_1(replace(healthy, device=replace(healthy.device, radio=None)), None)


def test_a_baseline_without_the_performance_shows_nothing():
    """A device that breaks without any interferer is no device that coexists badly."""
    weak = replace(QUICK, radio=replace(ROBOT.radio, wanted_dbm=-91.0))
    recording = play(device=weak)
    with pytest.raises(ev.Cannot, match="the baseline does not show the performance"):
        coex_1(recording, None)
