"""A set as large as table 1 of the CAICT report (2023) has it, over the virtual bench."""

from dataclasses import replace

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.measure.needs import late_images
from bench.measure.pairing import flow_of
from bench.network.impairment import Delay, Impairment
from bench.network.scenario import Action, Scenario, Segment, Step, both
from bench.sessions.recording import Session

SET_BYTES = 300_000_000
BEGIN_S, CUT_S = 1.0, 5.0
GONE_S = 2.0


def played(**defects):
    """A set of 300 MB; both links are gone for a while in the middle of it."""
    device = find_device("mobile-dr-ct").with_defects(
        {name.replace("_", "-"): size for name, size in defects.items()}
    )
    kept = tuple(
        s if s.name == "control" or "dicom" in s.kinds else replace(s, option="off")
        for s in device.streams
    )
    path = Impairment(Delay(0.010, "uniform", 0.001), rate_bps=300e6, queue_s=0.05)
    parts = (("before", CUT_S, path), ("gone", GONE_S, Impairment(up=False)), ("after", 9.0, path))
    steps = tuple(
        Step(
            name, "hold", "within",
            (Segment(name, seconds, {link: both(state) for link in ("primary", "standby")}),),
            judged=False,
        )
        for name, seconds, state in parts
    )  # fmt: skip
    acts = (Action("before", BEGIN_S, "patient", f"acquire:{SET_BYTES // 10**6}MB"),)
    scenario = Scenario("t", "a large set", steps, actions=acts)
    session = Session("t", replace(device, streams=kept), scenario, 3)
    return VirtualBench().run(session, Nowhere())


def test_300_megabytes_are_resumed_and_arrive_whole_within_the_time_of_their_rate():
    recording = played()
    (made,) = recording.named("image-acquired", side="patient")
    assert made.value["bytes"] >= SET_BYTES
    gone = (round(CUT_S * 1e9), round((CUT_S + GONE_S) * 1e9))
    unclear = []
    assert late_images(recording, 0, gone[0], unclear, down=[gone]) == []
    assert not unclear
    (shown,) = recording.named("image", side="doctor")
    assert shown.value["sha256"] == made.value["sha256"]
    assert sent_bytes(recording) < 1.05 * SET_BYTES, "resumed, not begun anew"


def test_one_that_begins_anew_is_seen_to():
    assert sent_bytes(played(restarts_transfer=1.0)) > 1.3 * SET_BYTES


def sent_bytes(recording):
    stream = next(s for s in recording.device.streams if "dicom" in s.kinds)
    return len(flow_of(recording, stream.name)) * stream.payload_bytes
