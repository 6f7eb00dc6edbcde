"""Frame rate, reporting interval and transfer time: of known streams, and of rows that are gone."""

from dataclasses import replace

import numpy as np
import pytest

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure.counted import COUNTED, bursts, measure_stream
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.sessions.packets import TAPS, PacketTable
from bench.sessions.recording import Session

CATALOGUE = load_catalogue()
CASES = {
    "frame-rate": (
        "003-c1-ultrasound-frame-rate-consultation", "tele-ultrasound-robot", "ultrasound"
    ),
    "report-interval": ("003-c1-icu-monitor-interval", "home-monitor", "monitor-vital-signs"),
    "transfer-time": ("000-t1-ct-mri-delay", "mobile-dr-ct", "images"),
}  # fmt: skip
SCENARIOS = {
    "frame-rate": library.steady(10.0),
    "report-interval": library.find_scenario("minute-sets"),
    "transfer-time": library.find_scenario("large-image-set"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    requirement, name, stream = CASES[request.param]
    session = Session("t", find_device(name), SCENARIOS[request.param], 3)
    return requirement, stream, VirtualBench().run(session, Nowhere())


def verdict(requirement, stream, recording):
    return assess(
        CATALOGUE[requirement], recording.device, stream, [recording],
        stimulus={recording.session_id: achieved(recording, None)}, floor=None, planned_n=1,
        test="t",
    )  # fmt: skip


def test_healthy_devices_pass(case):
    found = verdict(*case)
    assert found.verdict is Outcome.PASS, found.reason


@pytest.mark.parametrize("tap", ["doctor", "patient"])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_rows_of_a_tap_that_are_gone_pass_nothing(case, tap, share):
    requirement, stream, recording = case
    rows = recording.packets.rows
    code = recording.device.stream(stream).code
    at = np.flatnonzero((rows["tap"] == TAPS.index(tap)) & (rows["stream"] == code))
    gone = at[: round(share * len(at))]
    kept = np.delete(rows, gone)
    found = verdict(requirement, stream, replace(recording, packets=PacketTable(kept)))
    assert found.verdict is Outcome.INCONCLUSIVE, found.reason


def test_rows_that_the_taps_say_they_dropped_pass_nothing(case):
    requirement, stream, recording = case
    dropped = replace(recording, health=replace(recording.health, tap_drops=1))
    assert verdict(requirement, stream, dropped).verdict is Outcome.INCONCLUSIVE


def test_every_counted_metric_is_known_and_no_other():
    assert set(CASES) == set(COUNTED)
    with pytest.raises(KeyError):
        measure_stream([], "x", "throughput", confidence=0.95, floor=None)


def test_bursts_begin_after_pauses():
    sent = np.array([0, 1, 2, 100, 101, 200])
    assert bursts(sent, 50).tolist() == [0, 100, 200]
    assert bursts(sent[:0], 50).tolist() == []
    assert bursts(sent, 1).tolist() == sent.tolist()


@pytest.mark.parametrize(
    ("name", "option", "stream", "per_s"),
    [("tele-ultrasound-robot", "raw-ultrasound", "ultrasound-raw", 20.0),
     ("ambulance", "scan-video", "scan-video", 10.0)],
)  # fmt: skip
def test_a_picture_in_slices_is_one_picture(name, option, stream, per_s):
    device = find_device(name).with_options((option,))
    streams = tuple(
        s if s.name in (stream, "control", device.watched) else replace(s, option="off")
        for s in device.streams
    )
    session = Session("t", replace(device, streams=streams), library.steady(2.0), 3)
    recording = VirtualBench().run(session, Nowhere())
    found = measure_stream([recording], stream, "frame-rate", confidence=0.95, floor=None)
    assert found.value == pytest.approx(per_s)
    assert (found.lower, found.upper) == (found.value, found.value)
