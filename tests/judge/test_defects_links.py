"""SW-2, SW-3 and FAIL-4 on the virtual bench: healthy robots pass, each defect fails."""

import dataclasses

import pytest

from bench.devices.defects import DEFECTS, Defect
from bench.devices.registry import find_device
from bench.judge.verdict import Outcome
from bench.measure.events import Cannot
from bench.measure.silent import fail_4

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ROBOTS = {"telesurgery-robot": 1, "orthopaedic-robot": 3}
"""Remote robots with 1 kHz and 100 Hz of commands, and how many seeds each plays."""

SLOW, STREAMS = "orthopaedic-robot", ("force-feedback", "plan")
JUDGED = {
    "dead-standby": ("SW-2",),
    "switch-back": ("SW-3",),
    "primary-stall": ("SW-1",),
    "half-open-to-patient": ("FAIL-4",),
    "half-open-to-doctor": ("FAIL-4",),
    "mtu-hole-to-doctor": ("FAIL-4",),
    "address-change-patient": ("FAIL-4",),
    "address-change-doctor": ("FAIL-4",),
}
SHOWN = {
    "dead-standby-unannounced": "dead-standby",
    "late-standby-alarm": "dead-standby",
    "never-switches-back": "switch-back",
    "slow-switch-back": "switch-back",
    "oscillating-switch-back": "switch-back",
    "silent-half-open": "half-open-to-doctor",
    "no-path-probe": "mtu-hole-to-doctor",
    "late-path-alarm": "mtu-hole-to-doctor",
    "keeps-old-address": "address-change-doctor",
    "never-switches": "primary-stall",
    "old-sequence": "primary-stall",
}
"""Defect to the scenario that shows it."""


def streams_of(scenario):
    """What a scenario is played with: a hole needs large packets."""
    return (*STREAMS, "video-2d") if scenario.startswith("mtu-hole") else STREAMS


@pytest.mark.parametrize("scenario", JUDGED)
@pytest.mark.parametrize("robot", ROBOTS)
def test_healthy_robots_pass_under_a_sound_stimulus(played, robot, scenario):
    for seed in range(1, 1 + ROBOTS[robot]):
        recording = played.play(played.device(robot, streams=streams_of(scenario)), scenario, seed)
        assert played.unsound(recording) == []
        for requirement in JUDGED[scenario]:
            found = played.verdict(recording, requirement)
            assert found.verdict is PASS, found.reason
            assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", SHOWN)
def test_a_defect_fails(played, defect):
    (requirement,) = DEFECTS[defect].breaks
    for seed in (1, 8):
        scenario = SHOWN[defect]
        device = played.device(SLOW, defect, streams=streams_of(scenario))
        found = played.verdict(played.play(device, scenario, seed), requirement)
        assert found.verdict is FAIL, found.reason


def test_every_defect_of_these_is_shown():
    judged = {name for names in JUDGED.values() for name in names}
    mine = {d for d in DEFECTS if judged & set(DEFECTS[d].breaks)}
    assert mine == set(SHOWN)


@pytest.mark.parametrize("defect", ["slow-switch-back", "oscillating-switch-back"])
def test_what_comes_after_the_outage_leaves_the_switchover_alone(played, defect):
    recording = played.play(played.device(SLOW, defect, streams=STREAMS), "primary-outage")
    assert played.verdict(recording, "SW-1").verdict is PASS


def without_events(recording, name):
    kept = tuple(event for event in recording.events if event.name != name)
    return dataclasses.replace(recording, events=kept)


def cut(recording, end_s):
    """The same recording, ended earlier."""
    end_ns = round(end_s * 1e9)
    packets = recording.packets.between(0, end_ns)
    events = tuple(event for event in recording.events if event.t_ns < end_ns)
    schedule = dataclasses.replace(recording.schedule, end_ns=end_ns)
    return dataclasses.replace(recording, packets=packets, events=events, schedule=schedule)


def test_a_fault_that_never_came_is_open(played):
    for scenario, names in JUDGED.items():
        device = played.device(SLOW, streams=streams_of(scenario))
        faulty, clean = played.play(device, scenario), played.play(device, "null-path")
        for name in names:
            found = played.verdict(played.shown_clean(faulty, clean), name)
            assert found.verdict is OPEN, name


def test_a_recording_that_ends_early_is_open(played):
    for scenario, name, end_s in (
        ("dead-standby", "SW-2", 3.4), ("switch-back", "SW-3", 7.0),
        ("half-open-to-doctor", "FAIL-4", 2.4), ("mtu-hole-to-doctor", "FAIL-4", 2.4),
        ("address-change-doctor", "FAIL-4", 2.4),
    ):  # fmt: skip
        device = played.device(SLOW, streams=streams_of(scenario))
        found = played.verdict(cut(played.play(device, scenario), end_s), name)
        assert found.verdict is OPEN, found.reason


def test_a_device_that_never_left_the_primary_shows_no_way_back(played):
    device = played.device(SLOW, "never-switches", streams=STREAMS)
    found = played.verdict(played.play(device, "switch-back"), "SW-3")
    assert found.verdict is OPEN
    assert "did not leave the primary line" in found.reason


def test_what_only_the_log_tells_is_the_devices_own_word(played):
    """Without its alarm the log still announces the loss; without both nothing does."""
    recording = played.play(played.device(SLOW, streams=STREAMS), "half-open-to-doctor")
    mute = without_events(recording, "alarm-signal")
    assert played.verdict(mute, "FAIL-4").verdict is PASS
    certified = played.verdict(mute, "FAIL-4", certify=True)
    assert certified.verdict is OPEN
    assert "independent observation" in certified.reason
    assert played.verdict(recording, "FAIL-4", certify=True).verdict is PASS
    quiet = dataclasses.replace(
        mute, events=tuple(event for event in mute.events if event.origin != "log")
    )
    found = played.verdict(quiet, "FAIL-4")
    assert (found.verdict, found.value) == (FAIL, 1.0)


def test_a_signal_that_has_gone_when_the_standby_is_needed_fails(played):
    recording = played.play(played.device(SLOW, streams=STREAMS), "dead-standby")
    (first, *_) = recording.named("alarm-signal", side="patient")
    off = dataclasses.replace(first, t_ns=first.t_ns + 10**9, value={**first.value, "on": False})
    events = tuple(sorted((*recording.events, off), key=lambda event: event.t_ns))
    found = played.verdict(dataclasses.replace(recording, events=events), "SW-2")
    assert (found.verdict, found.value) == (FAIL, None)


def test_a_hole_that_no_data_meet_is_open(played):
    """The padded heartbeats vanish, but they carry nothing that would be missed."""
    device = played.device(SLOW, streams=("force-feedback", "ecg"))
    assert device.stream("ecg").frame_bytes < 576
    recording = played.play(device, "mtu-hole-to-doctor")
    found = played.verdict(recording, "FAIL-4")
    assert found.verdict is OPEN


def test_a_hole_makes_a_device_leave_its_link_and_say_why(played):
    recording = played.play(
        played.device(SLOW, streams=streams_of("mtu-hole")), "mtu-hole-to-doctor"
    )
    for side in ("patient", "doctor"):
        switches = recording.named("link-switch", side=side)
        first = switches[0]
        assert first.value["reason"] == "active link loses large packets"
        assert 2.3 < first.t_ns / 1e9 < 2.4
        alarms = [e for e in recording.named("alarm-signal", side=side) if e.value["on"]]
        assert {e.value["alarm"] for e in alarms} == {"link-lost"}


def test_packets_to_an_old_address_go_astray_until_the_next_heartbeat(played):
    for side, way in (("patient", "to-patient"), ("doctor", "to-doctor")):
        recording = played.play(played.device(SLOW, streams=STREAMS), f"address-change-{side}")
        counters = recording.health.counters
        there = {name: n for name, n in counters.items() if name.endswith("/old_address") and n}
        assert set(there) == {f"primary/{way}/old_address"}
        assert 1 <= there[f"primary/{way}/old_address"] <= 8
        (found,) = recording.named("readdressed")
        assert 2.107 < found.t_ns / 1e9 < 2.13
        assert not recording.named("link-switch")


def test_an_old_address_that_is_kept_is_lost_like_a_half_open_link(played, monkeypatch):
    """A device that watches both directions leaves the link and says so, whatever its addresses."""
    keeping = Defect(
        "keeping", "keeps it, and watches", (),
        lambda t, _: dataclasses.replace(
            t, links=dataclasses.replace(t.links, follows_address=False)
        ),
    )  # fmt: skip
    monkeypatch.setitem(DEFECTS, "keeping", keeping)
    device = played.device(SLOW, "keeping", streams=STREAMS)
    recording = played.play(device, "address-change-doctor")
    assert recording.health.counters["primary/to-doctor/old_address"] > 10
    assert played.verdict(recording, "FAIL-4").verdict is PASS


def test_without_a_declared_time_only_an_announcement_passes(played):
    device = played.device(SLOW, streams=STREAMS)
    declares = {k: v for k, v in device.declares.items() if k != "readdress_within_s"}
    device = dataclasses.replace(device, declares=declares)
    found = played.verdict(played.play(device, "address-change-patient"), "FAIL-4")
    assert found.verdict is OPEN
    assert "not declared: D:readdress_within_s" in found.reason


def test_data_that_stay_away_longer_than_declared_need_an_announcement(played):
    device = played.device(SLOW, streams=STREAMS)
    slow = dataclasses.replace(device, declares={**device.declares, "readdress_within_s": 0.001})
    found = played.verdict(played.play(slow, "address-change-patient"), "FAIL-4")
    assert (found.verdict, found.value) == (FAIL, 1.0)


def test_data_that_are_sent_seldom_are_missed_as_well(played):
    """Lost packets that are each alone are no gap that is over soon."""
    device = find_device("glucose-meter")
    seldom = played.light(device, ("control", device.watched, "alarm", "glucose-records"))
    streams = tuple(
        dataclasses.replace(s, period_s=0.4) if s.name == "alarm" else s for s in seldom.streams
    )
    seldom = dataclasses.replace(seldom, streams=streams, alarms=())
    keeping = seldom.with_defects({"keeps-old-address": 1.0})
    found = played.verdict(played.play(keeping, "address-change-doctor"), "FAIL-4")
    assert found.verdict is FAIL, found.reason
    healthy = played.verdict(played.play(seldom, "address-change-doctor"), "FAIL-4")
    assert healthy.verdict is PASS, healthy.reason


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("mtu-hole-to-doctor", "no data were swallowed for the length of their packets"),
        ("address-change-doctor", "nothing was lost on its way to the old address"),
    ],
)
def test_the_trial_itself_insists_on_its_stimulus(played, scenario, reason):
    device = played.device(SLOW, streams=streams_of(scenario))
    clean = played.shown_clean(played.play(device, scenario), played.play(device, "null-path"))
    with pytest.raises(Cannot, match=reason):
        fail_4(clean, None)
