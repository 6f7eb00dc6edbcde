"""SW-1 and MOB-1 of devices that move nothing: what they answer for, and what excuses nothing."""

from dataclasses import replace

import numpy as np
import pytest

from bench.judge.verdict import Outcome
from bench.measure.recovering import sw_1
from bench.sessions.packets import PacketTable

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
TRAINER, UNIT = "vr-trainer", "mobile-dr-ct"
STREAMS = ("haptic", "audio-to-doctor", "video-4k", "motion-data")


def details(found):
    return dict(found.details)


@pytest.fixture(scope="module")
def faded(played):
    """The trainer on a link that fades before it fails."""
    return played.play(played.device(TRAINER, streams=STREAMS), "radio-link-failure", 7)


def test_a_stream_that_gives_way_as_declared_is_no_gap_of_the_switch(played, faded):
    found = played.verdict(faded, "SW-1")
    assert found.verdict is PASS, found.reason
    assert details(found)["gave_way"] == "motion-data, video-4k"


def test_giving_way_excuses_only_whoever_declares_an_order(played, faded):
    functions = tuple(f for f in faded.device.functions if f != "priorities")
    found = played.verdict(
        replace(faded, device=replace(faded.device, functions=functions)), "SW-1"
    )
    assert found.verdict is FAIL
    assert "gave_way" not in details(found)


@pytest.mark.parametrize("defect", ["starves-the-top", "never-switches"])
def test_giving_way_excuses_neither_the_first_stream_nor_a_link_that_is_kept(played, defect):
    device = played.device(TRAINER, defect, streams=STREAMS)
    found = played.verdict(played.play(device, "radio-link-failure", 7), "SW-1")
    assert found.verdict is FAIL, found.reason


def test_what_stops_with_the_link_has_not_given_way(played):
    """On a link that carries nothing no stream makes room for another."""
    recording = played.play(played.device(TRAINER, streams=STREAMS), "primary-outage", 7)
    assert sw_1(recording, None)[0] < 0.5
    cut_ns = recording.schedule.windows[1].start_ns
    gone = [recording.device.stream(name).code for name in ("video-4k", "motion-data")]
    rows = recording.packets.rows
    kept = rows[~np.isin(rows["stream"], gone) | (rows["t_ns"] < cut_ns)]
    gap_s, details = sw_1(replace(recording, packets=PacketTable(kept)), None)
    assert gap_s > 5
    assert "gave_way" not in details


def test_a_handover_within_what_the_device_declares_is_held(played):
    """Packets held back for less than its silence are no exceedance, and no reason to alarm."""
    recording = played.play(played.device(UNIT), "nr-handover", 7)
    found = played.verdict(recording, "MOB-1")
    assert found.verdict is PASS, found.reason
    assert details(found)["limits"] == "held"


def test_a_silence_beyond_what_the_device_declares_wants_an_alarm(played):
    recording = played.play(played.device(UNIT), "nr-handover", 7)
    limits = {**recording.device.limits, "command_silence_alarm_s": 0.03}
    found = played.verdict(
        replace(recording, device=replace(recording.device, limits=limits)), "MOB-1"
    )
    assert found.verdict is FAIL, found.reason


def test_a_wide_declaration_of_silence_is_held_to_what_the_stream_needs(played):
    """A limit on which the device acts is no wider than the stream's need; without one, open."""
    recording = played.play(played.device(UNIT), "nr-handover", 7)
    device = recording.device

    def needing(most_delay_s):
        streams = tuple(
            replace(s, most_delay_s=most_delay_s) if s.name == device.watched else s
            for s in device.streams
        )
        limits = {**device.limits, "command_silence_alarm_s": 10.0}
        other = replace(device, streams=streams, limits=limits)
        return played.verdict(replace(recording, device=other), "MOB-1")

    assert needing(0.02).verdict is FAIL
    unsaid = needing(None)
    assert unsaid.verdict is OPEN
    assert "not declared" in unsaid.reason
