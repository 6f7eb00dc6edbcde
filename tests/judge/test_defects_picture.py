"""What the doctor sees, and which stream goes first: healthy devices pass, each defect fails."""

import dataclasses
from functools import cache

import pytest

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.judge.verdict import Outcome
from bench.network.library.picture import inside_limits
from bench.sessions.packets import merge
from bench.sessions.recording import Session

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
SURGERY, ULTRASOUND, TRAINER = "telesurgery-robot", "tele-ultrasound-robot", "vr-trainer"

JUDGED = {
    "picture-stall": ("FAIL-2",),
    "network-steps": ("MON-1",),
    "inside-limits": ("MON-3",),
    "capacity-ramp": ("PATH-2", "US-1"),
    "declared-flows": ("PATH-1",),
    "differential-delay": ("SYNC-1",),
}
ALL = ("force-feedback", "haptic", "audio-to-patient", "audio-to-doctor", "ultrasound",
       "video-4k", "motion-data")  # fmt: skip
PICTURES = ("video-2d", "video-4k", "ultrasound")
FEW = {
    "picture-stall": PICTURES,
    "network-steps": (),
    "inside-limits": (),
    "capacity-ramp": ALL,
    "declared-flows": ("audio-to-doctor",),
    "differential-delay": (*PICTURES, "audio-to-doctor"),
}
"""The streams that a scenario needs, beside heartbeats and the watched one."""

SHOWN = {
    "frozen-shown-live": ("picture-stall", (SURGERY, ULTRASOUND)),
    "late-freeze": ("picture-stall", (SURGERY, ULTRASOUND, TRAINER)),
    "any-packet-is-live": ("picture-stall", (TRAINER,)),
    "looped-picture": ("picture-stall", (SURGERY,)),
    "scaled-display": ("network-steps", (TRAINER,)),
    "stuck-display": ("network-steps", (TRAINER,)),
    "late-display": ("network-steps", (TRAINER,)),
    "lossless-display": ("network-steps", (TRAINER,)),
    "nervous-delay": ("inside-limits", (TRAINER,)),
    "nervous-silence": ("inside-limits", (TRAINER,)),
    "cries-wolf": ("inside-limits", (TRAINER,)),
    "never-sheds": ("capacity-ramp", (ULTRASOUND,)),
    "starves-the-top": ("capacity-ramp", (ULTRASOUND,)),
    "sheds-in-wrong-order": ("capacity-ramp", (ULTRASOUND, TRAINER)),
    "sheds-late": ("capacity-ramp", (ULTRASOUND,)),
    "undeclared-stream": ("declared-flows", (SURGERY, ULTRASOUND, TRAINER)),
    "out-of-step": ("differential-delay", (ULTRASOUND, TRAINER)),
    "late-sound": ("differential-delay", (ULTRASOUND,)),
}
"""Defect to the scenario that shows it, and the devices that show it here."""

HEALTHY = [
    (scenario, name)
    for scenario in JUDGED
    for name in (SURGERY, ULTRASOUND, TRAINER)
    if scenario not in ("inside-limits", "capacity-ramp", "differential-delay")
    or name == TRAINER
    or (name == ULTRASOUND and scenario != "inside-limits")
]
ONE_SEED = ("inside-limits", "capacity-ramp", "differential-delay")


def light(played, name, scenario, defect=None):
    return played.device(name, defect, streams=FEW[scenario])


@pytest.fixture(scope="module")
def healthy(played):
    """Recordings of healthy devices, each made once."""

    @cache
    def recording(name, scenario, seed=1):
        return played.play(light(played, name, scenario), scenario, seed)

    return recording


def slower(device):
    """The same device with half the packets: a long run takes half the time."""
    streams = tuple(dataclasses.replace(s, period_s=2 * s.period_s) for s in device.streams)
    limits = {**device.limits, "command_delay_packets": 2, "command_loss_packets": 3}
    return dataclasses.replace(device, streams=streams, limits=limits)


def asked(scenario, name):
    """What a device is asked in a scenario: only one of them carries two videos."""
    return [r for r in JUDGED[scenario] if r != "US-1" or name == ULTRASOUND]


def brief(device, minutes, seed=7):
    """A run inside the limits of so many minutes."""
    with VirtualBench() as bench:
        return bench.run(Session("t", device, inside_limits(minutes), seed), Silent())


class Silent:
    """A sink that keeps nothing."""

    def packets(self, rows):
        pass

    event = progress = packets

    def capture_path(self, name):
        return None


@pytest.mark.parametrize(("scenario", "name"), HEALTHY)
def test_a_healthy_device_passes_under_a_sound_stimulus(played, healthy, scenario, name):
    for seed in (1,) if scenario in ONE_SEED else (1, 2):
        if scenario == "inside-limits":
            device = slower(light(played, name, scenario))
            recording = brief(device, 5)
        else:
            recording = healthy(name, scenario, seed)
        assert played.unsound(recording) == []
        for requirement in asked(scenario, name):
            found = played.verdict(recording, requirement)
            assert found.verdict is PASS, found.reason
            assert 0 <= found.value <= found.limit


@pytest.mark.parametrize("defect", SHOWN)
def test_a_defect_fails_what_it_breaks(played, defect):
    scenario, names = SHOWN[defect]
    for name in names:
        device = light(played, name, scenario, defect)
        for seed in (1,) if scenario in ONE_SEED else (1, 8):
            if scenario == "inside-limits":
                recording = brief(slower(device), 2, seed)
            else:
                recording = played.play(device, scenario, seed)
            for requirement in set(DEFECTS[defect].breaks) & set(asked(scenario, name)):
                found = played.verdict(recording, requirement)
                assert found.verdict is FAIL, (name, requirement, found.reason)


def test_every_defect_of_these_is_shown():
    judged = {name for names in JUDGED.values() for name in names}
    assert {d for d in DEFECTS if judged & set(DEFECTS[d].breaks)} == set(SHOWN)


def test_a_defect_leaves_the_others_alone(played):
    """What breaks one of these breaks none of the others."""
    recording = played.play(
        light(played, ULTRASOUND, "differential-delay", "late-freeze"), "differential-delay"
    )
    assert played.verdict(recording, "SYNC-1").verdict is PASS
    recording = played.play(light(played, TRAINER, "picture-stall", "out-of-step"), "picture-stall")
    assert played.verdict(recording, "FAIL-2").verdict is PASS


def changed(recording, keep):
    """The same recording with the events that ``keep`` keeps."""
    kept = tuple(event for event in recording.events if keep(event))
    return dataclasses.replace(recording, events=kept)


def cut(recording, end_s):
    """The same recording, ended earlier."""
    end_ns = round(end_s * 1e9)
    return dataclasses.replace(
        recording,
        packets=recording.packets.between(0, end_ns),
        events=tuple(event for event in recording.events if event.t_ns < end_ns),
        schedule=dataclasses.replace(recording.schedule, end_ns=end_ns),
    )


def without_stream(recording, name):
    code = recording.device.stream(name).code
    rows = recording.packets.rows
    packets = dataclasses.replace(recording.packets, rows=rows[rows["stream"] != code])
    return dataclasses.replace(recording, packets=packets)


def test_a_fault_that_never_came_is_open(played, healthy):
    clean = played.play(light(played, ULTRASOUND, "capacity-ramp"), "null-path")
    for scenario in ("picture-stall", "network-steps", "capacity-ramp", "differential-delay"):
        faulty = healthy(ULTRASOUND, scenario)
        for requirement in JUDGED[scenario]:
            found = played.verdict(played.shown_clean(faulty, clean), requirement)
            assert found.verdict is OPEN, requirement


class TestFreeze:
    @pytest.fixture
    def recording(self, healthy):
        return healthy(ULTRASOUND, "picture-stall")

    def test_value_is_that_of_the_slowest_picture(self, played, recording):
        seen = [e for e in recording.named("picture") if not e.value["live"]]
        waits = [(e.t_ns - e.value["last_new_ns"]) / 1e9 for e in seen]
        assert len(waits) == 2
        assert played.verdict(recording, "FAIL-2").value == pytest.approx(max(waits))

    def test_a_stall_that_is_not_at_the_taps_shows_nothing(self, played, healthy, recording):
        other = healthy(ULTRASOUND, "capacity-ramp")
        forged = dataclasses.replace(recording, packets=other.packets)
        found = played.verdict(forged, "FAIL-2")
        assert found.verdict is OPEN
        assert "did not stall" in found.reason

    def test_a_sensor_that_was_blind_shows_nothing(self, played, recording):
        found = played.verdict(changed(recording, lambda e: e.name != "picture"), "FAIL-2")
        assert found.verdict is OPEN
        assert "no live picture" in found.reason

    def test_a_picture_that_was_never_live_shows_nothing(self, played, recording):
        def dark(event):
            if event.name != "picture":
                return event
            return dataclasses.replace(event, value={**event.value, "live": False})

        events = tuple(dark(event) for event in recording.events)
        forged = dataclasses.replace(recording, events=events)
        assert played.verdict(forged, "FAIL-2").verdict is OPEN

    def test_an_end_before_the_deadline_shows_nothing(self, played, recording):
        assert played.verdict(cut(recording, 2.9), "FAIL-2").verdict is OPEN

    def test_a_sensor_that_sees_new_pictures_that_never_came_shows_nothing(self, played, recording):
        events = tuple(
            event for event in recording.events if event.name != "picture" or event.value["new"]
        )
        found = played.verdict(dataclasses.replace(recording, events=events), "FAIL-2")
        assert found.verdict is OPEN
        assert "while none arrived" in found.reason

    def test_a_live_sign_that_comes_back_on_a_frozen_picture_fails(self, played, recording):
        (off, *_) = (e for e in recording.named("picture") if not e.value["live"])
        on = dataclasses.replace(
            off, t_ns=off.t_ns + 200_000_000, value={**off.value, "live": True}
        )
        events = tuple(sorted((*recording.events, on), key=lambda event: event.t_ns))
        found = played.verdict(dataclasses.replace(recording, events=events), "FAIL-2")
        assert found.verdict is FAIL

    def test_a_network_that_failed_too_shows_nothing(self, played, recording):
        rows = recording.packets.rows
        code = recording.device.stream(recording.device.watched).code
        gone = (rows["stream"] == code) & (rows["tap"] == 1)
        gone &= (rows["t_ns"] > 3_000_000_000) & (rows["t_ns"] < 3_500_000_000)
        packets = dataclasses.replace(recording.packets, rows=rows[~gone])
        found = played.verdict(dataclasses.replace(recording, packets=packets), "FAIL-2")
        assert found.verdict is OPEN
        assert "the watched stream paused" in found.reason


class TestDisplay:
    @pytest.fixture
    def recording(self, healthy):
        return healthy(TRAINER, "network-steps")

    def test_a_dark_display_shows_nothing(self, played, recording):
        dark = changed(recording, lambda event: event.name != "network-display")
        found = played.verdict(dark, "MON-1")
        assert found.verdict is OPEN
        assert "nothing was displayed" in found.reason

    def test_a_display_that_goes_dark_after_a_change_fails(self, played, recording):
        early = changed(
            recording, lambda event: event.name != "network-display" or event.t_ns < 4 * 10**9
        )
        assert played.verdict(early, "MON-1").verdict is FAIL

    def test_an_early_end_shows_nothing(self, played, recording):
        found = played.verdict(cut(recording, 15.0), "MON-1")
        assert found.verdict is OPEN
        assert "hardly changed" in found.reason

    def test_undeclared_steps_are_open(self, played, recording):
        declares = dict(recording.device.declares)
        del declares["display_loss_step"]
        device = dataclasses.replace(recording.device, declares=declares)
        found = played.verdict(dataclasses.replace(recording, device=device), "MON-1")
        assert found.verdict is OPEN
        assert "D:display_loss_step" in found.reason


class TestFalseAlarms:
    def test_few_minutes_without_an_alarm_show_nothing(self, played):
        recording = brief(slower(light(played, TRAINER, "inside-limits")), 1)
        found = played.verdict(recording, "MON-3")
        assert found.verdict is OPEN
        assert "only 1 whole minutes" in found.reason

    def test_a_network_far_inside_the_limits_shows_nothing(self, played):
        device = slower(light(played, TRAINER, "inside-limits"))
        wide = dataclasses.replace(device, limits={**device.limits, "command_delay_s": 0.05})
        found = played.verdict(brief(wide, 1), "MON-3")
        assert found.verdict is OPEN
        assert "not near" in found.reason

    def test_a_minute_beyond_a_limit_does_not_count(self, played):
        device = slower(light(played, TRAINER, "inside-limits", "cries-wolf"))
        strict = dataclasses.replace(
            device, limits={**device.limits, "command_silence_alarm_s": 0.02}
        )
        recording = brief(device, 2)
        found = played.verdict(dataclasses.replace(recording, device=strict), "MON-3")
        assert found.verdict is OPEN


class TestOrder:
    @pytest.fixture
    def recording(self, healthy):
        return healthy(ULTRASOUND, "capacity-ramp")

    def of(self, recording, change):
        streams = tuple(change(stream) for stream in recording.device.streams)
        device = dataclasses.replace(recording.device, streams=streams)
        return dataclasses.replace(recording, device=device)

    def test_an_order_that_is_not_declared_is_open(self, played, recording):
        bare = self.of(recording, lambda stream: dataclasses.replace(stream, service=None))
        found = played.verdict(bare, "PATH-2")
        assert found.verdict is OPEN
        assert "not declared: the priority" in found.reason

    def test_another_declared_order_is_broken(self, played, recording):
        """The same behaviour under a profile that protects the large video first."""

        def other(stream):
            if stream.name != "video-4k":
                return stream
            service = dataclasses.replace(stream.service, priority=1)
            return dataclasses.replace(stream, service=service)

        forged = self.of(recording, other)
        assert played.verdict(forged, "PATH-2").verdict is FAIL
        assert played.verdict(forged, "US-1").verdict is FAIL

    def test_a_ladder_that_ends_early_is_open(self, played, recording):
        lower = {**recording.device.declares, "top_stream_rate_bps": 1e6}
        device = dataclasses.replace(recording.device, declares=lower)
        found = played.verdict(dataclasses.replace(recording, device=device), "PATH-2")
        assert found.verdict is OPEN
        assert "did not fall" in found.reason

    def test_one_video_alone_shows_nothing_of_two(self, played, recording):
        one = self.of(
            recording,
            lambda s: dataclasses.replace(s, option="off") if s.name == "ultrasound" else s,
        )
        assert played.verdict(one, "US-1").verdict is OPEN


class TestFlows:
    @pytest.fixture
    def recording(self, healthy):
        return healthy(ULTRASOUND, "declared-flows")

    def test_a_stream_that_the_profile_does_not_activate_is_undeclared(self, played, recording):
        streams = tuple(
            dataclasses.replace(s, option="off") if s.name == "audio-to-doctor" else s
            for s in recording.device.streams
        )
        device = dataclasses.replace(recording.device, streams=streams)
        found = played.verdict(dataclasses.replace(recording, device=device), "PATH-1")
        assert (found.verdict, found.value) == (FAIL, 2.0)

    def test_a_stream_in_the_wrong_direction_is_undeclared(self, played, recording):
        rows = recording.packets.rows.copy()
        code = recording.device.stream("audio-to-doctor").code
        wrong = with_columns(rows[rows["stream"] == code][:2], direction=0)
        packets = merge([rows, wrong])
        found = played.verdict(dataclasses.replace(recording, packets=packets), "PATH-1")
        assert found.verdict is FAIL

    def test_packets_of_nobody_on_real_taps_are_a_flow(self, played, recording):
        health = dataclasses.replace(recording.health, counters={"tap/foreign": 3})
        found = played.verdict(dataclasses.replace(recording, health=health), "PATH-1")
        assert (found.verdict, found.value) == (FAIL, 1.0)

    def test_a_capture_of_one_direction_shows_nothing(self, played, recording):
        rows = recording.packets.rows
        packets = dataclasses.replace(recording.packets, rows=rows[rows["direction"] == 0])
        found = played.verdict(dataclasses.replace(recording, packets=packets), "PATH-1")
        assert found.verdict is OPEN

    def test_a_declared_stream_that_never_flowed_is_noted(self, played, recording):
        found = played.verdict(without_stream(recording, "audio-to-doctor"), "PATH-1")
        assert found.verdict is PASS
        assert dict(found.details)["never_flowed"] == "audio-to-doctor"


def with_columns(rows, **columns):
    found = rows.copy()
    for name, value in columns.items():
        found[name] = value
    return found


class TestSynchrony:
    @pytest.fixture
    def recording(self, healthy):
        return healthy(ULTRASOUND, "differential-delay")

    def test_marks_that_were_not_presented_show_nothing(self, played, recording):
        silent = changed(
            recording,
            lambda e: e.name != "presented" or e.value["stream"] != "audio-to-doctor",
        )
        found = played.verdict(silent, "SYNC-1")
        assert found.verdict is OPEN
        assert "only 0 of 8 marks" in found.reason

    def test_streams_that_take_the_same_time_show_nothing(self, played, recording):
        """Every packet arrives 5 ms after it was sent: nothing differs at the taps."""
        rows = recording.packets.rows
        sent = rows[(rows["tap"] == 1) & (rows["direction"] == 1)]
        arrived = with_columns(sent, tap=0)
        arrived["t_ns"] += 5_000_000
        others = rows[rows["direction"] == 0]
        packets = merge([others, sent, arrived])
        found = played.verdict(dataclasses.replace(recording, packets=packets), "SYNC-1")
        assert found.verdict is OPEN
        assert "differed by" in found.reason
