"""When the performance is back after an interferer has gone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.measure.coexisting import left_alone
from bench.measure.needs import visit_of
from bench.measure.pairing import Flow, flow_of
from bench.measure.regaining import _performs_s, regained_s
from bench.network import library
from bench.network.impairment import CLEAN, Impairment
from bench.network.scenario import Scenario, Segment, Step, both
from bench.sessions.recording import Session

ROBOT = find_device("tele-ultrasound-robot")
COMMAND = ROBOT.stream("haptic-command")
PERIOD_NS = round(COMMAND.period_s * 1e9)
LATE_NS = round(COMMAND.most_delay_s * 1e9) + 1
RUN = max(100, round(1 / COMMAND.most_loss))


def flow(count, *, lost=(), late=(), gap_at=0, gap_ns=0):
    """Commands from 0 on: some are lost, some late; before number ``gap_at`` a pause."""
    sent = np.arange(count, dtype=np.int64) * PERIOD_NS
    sent[gap_at:] += gap_ns
    received = sent + 1000
    received[list(late)] = sent[list(late)] + LATE_NS
    received[list(lost)] = -1
    zero = np.zeros(count, dtype=np.int64)
    return Flow(sent, received, np.arange(count), zero, zero + 100, np.zeros(count, bool), 0, 0, 0)


def performs_s(found):
    return _performs_s(found, COMMAND, 0.0, 0)


def test_what_was_never_lost_is_back_at_once():
    assert performs_s(flow(3 * RUN)) == 0.0


@given(until=st.integers(2, 2 * RUN), what=st.sampled_from(["lost", "late"]))
@settings(derandomize=True, deadline=None)
def test_it_is_back_where_each_further_run_keeps_the_limits(until, what):
    """Of a run one packet may be lost or late: it begins at the last bad one but one."""
    found = performs_s(flow(4 * RUN, **{what: range(until)}))
    borne = round(COMMAND.most_loss * RUN) if what == "lost" else RUN // 100
    assert found == pytest.approx((until - borne) * COMMAND.period_s)


def test_a_stream_that_never_comes_back_is_told_as_none():
    assert performs_s(flow(4 * RUN, lost=range(0, 4 * RUN, 10))) is None
    assert performs_s(flow(RUN - 1)) is None


def test_a_stream_that_pauses_is_back_with_its_first_packet_after_the_pause():
    pause_ns = 3 * RUN * PERIOD_NS
    found = performs_s(flow(4 * RUN, gap_at=5, gap_ns=pause_ns))
    assert found == pytest.approx((pause_ns + 5 * PERIOD_NS) / 1e9)
    late_start = flow(4 * RUN, gap_at=0, gap_ns=pause_ns)
    assert performs_s(late_start) == pytest.approx(pause_ns / 1e9)


def test_what_is_still_in_flight_at_the_end_is_not_lost():
    found = flow(3 * RUN, lost=range(3 * RUN - 5, 3 * RUN))
    flying = np.arange(3 * RUN) >= 3 * RUN - 5
    assert performs_s(replace(found, in_flight=flying)) == 0.0


# ---- a device --------------------------------------------------------------------------------


def only(*names):
    return replace(
        ROBOT,
        streams=tuple(s if s.name in names else replace(s, option="off") for s in ROBOT.streams),
    )


def play(device, **segments):
    """Both links alike, segment after segment: seconds and impairment."""
    links = ("primary", "standby")
    steps = tuple(
        Step(
            name, "hold", "within",
            (Segment(name, seconds, {link: both(state) for link in links}),),
            judged=False,
        )
        for name, (seconds, state) in segments.items()
    )  # fmt: skip
    session = Session("t", device, Scenario("t", "regaining", steps), 3)
    return VirtualBench().run(session, Nowhere())


def test_a_lost_picture_is_not_regained_when_the_drive_is():
    """The drive goes on; the picture alone is too large for what is left of the link."""
    device = only("control", "haptic-command", "force-feedback", "video-4k")
    narrow = Impairment(rate_bps=20e6, queue_s=0.02)
    after_s = device.limits["restore_after_s"] + 5
    recording = play(device, before=(6.0, CLEAN), narrow=(3.0, narrow), after=(after_s, CLEAN))
    gone_ns = 9 * 10**9
    found = regained_s(recording, gone_ns, gone_ns + round(after_s * 1e9))
    again = next(t for t in sent_ns(recording, "video-4k") if t > gone_ns)
    assert found >= (again - gone_ns) / 1e9 > 1.0
    assert regained_s(recording, gone_ns, again) is None


def sent_ns(recording, name):
    return flow_of(recording, name).sent_ns.tolist()


def test_a_device_without_a_drive_has_a_recovery_time_too():
    device = find_device("glucose-meter")
    names = ("glucose-level", "control")
    device = replace(
        device,
        streams=tuple(s if s.name in names else replace(s, option="off") for s in device.streams),
    )
    assert "motion" not in device.functions
    down = Impairment(up=False)
    recording = play(device, before=(6.0, CLEAN), down=(3.0, down), after=(50.0, CLEAN))
    found = regained_s(recording, 8 * 10**9, 59 * 10**9)
    assert found == pytest.approx(1.0, abs=0.5)


def test_the_time_left_alone_is_that_of_the_step_after_the_exposure():
    device = only("control", "haptic-command")
    found = library.VISITS["coexistence"](visit_of(device))
    recording = VirtualBench().run(Session("t", device, found, 3), Nowhere())
    due = next(e for e in recording.schedule.exposures if e.exposures)
    gone_ns, end_ns = left_alone(recording, due)
    assert gone_ns == due.end_ns < end_ns
    assert regained_s(recording, gone_ns, end_ns) == 0.0
