"""A whole virtual session under each kind of impairment: carried out, measured, never mistaken.

Seeds are fixed; bounds hold with an error probability of 1e-6 for a random one.
"""

import numpy as np
import pytest
from scipy.stats import binom

from bench.benches.virtual import VirtualBench
from bench.devices import registry
from bench.measure.copies import copies_problem
from bench.measure.kpi import flow_problems
from bench.measure.pairing import flow_of
from bench.measure.stimulus import achieved
from bench.network.delays import Delay, measured
from bench.network.impairment import FourState, Impairment, Reordering, Slot
from bench.network.scenario import Scenario, Segment, Step, both
from bench.sessions.recording import Session

COMMAND = "haptic-command"
ERROR = 1e-6
BASE = Impairment(Delay(0.003))
STATES = {
    "duplication": BASE.with_(duplication=0.1),
    "bit errors": BASE.with_(ber=2e-5),
    "four-state loss": BASE.with_(loss=FourState(0.002, 0.3, 0.1, 0.5, 0.002)),
    "reordering": BASE.with_(reordering=Reordering(0.1), order="allow"),
    "pareto": Impairment(Delay(0.003, "pareto", 0.0005)),
    "paretonormal": Impairment(Delay(0.003, "paretonormal", 0.0005), order="allow"),
    "measured": Impairment(measured(np.random.default_rng(7).gamma(2, 0.001, 500))),
    "slots": BASE.with_(slot=Slot(0.002, 0.004, packets=100)),
    "short queue": BASE.with_(rate_bps=1e9, queue_packets=400),
    "burst of everything": Impairment(
        Delay(0.003, "paretonormal", 0.0005), duplication=0.05, ber=1e-6,
        loss=FourState(0.001, 0.3), rate_bps=1e9, slot=Slot(0.001, 0.002),
    ),
}  # fmt: skip


class NoSink:
    def packets(self, rows):
        pass

    def event(self, event):
        pass

    def progress(self, progress):
        pass

    def capture_path(self, name):
        return None


def play(state, seed=7):
    clean = {name: both(Impairment(Delay(0.003))) for name in ("primary", "standby")}
    mine = {name: both(state) for name in clean}
    scenario = Scenario(
        "impaired",
        "Impaired",
        (
            Step("settle", "hold", "within", (Segment("settle", 1.0, clean),), judged=False),
            Step("steady", "hold", "within", (Segment("steady", 4.0, mine),)),
            Step("recover", "hold", "within", (Segment("recover", 0.5, clean),), judged=False),
        ),
    )
    device = registry.find_device("telesurgery-robot").with_options(())
    with VirtualBench() as bench:
        return bench.run(Session("therapy", device, scenario, seed), NoSink())


@pytest.mark.parametrize("name", STATES)
def test_what_was_asked_for_was_done(name):
    recording = play(STATES[name])
    assert [s.reason for s in achieved(recording, None) if not s.ok] == []
    assert flow_problems(recording, flow_of(recording, COMMAND), COMMAND) == []


@pytest.mark.parametrize("name", STATES)
def test_one_seed_one_recording(name):
    assert play(STATES[name]).packets.rows.tobytes() == play(STATES[name]).packets.rows.tobytes()


def test_copies_arrive_and_are_counted():
    recording = play(STATES["duplication"])
    flow = flow_of(recording, COMMAND)
    low, high = binom.ppf([ERROR / 2, 1 - ERROR / 2], 4000, 0.1)
    assert low <= flow.duplicates <= high
    counters = recording.health.counters
    assert counters["primary/to-patient/copies"] >= flow.duplicates


def test_copies_that_nothing_intends_are_said():
    recording = play(STATES["duplication"])
    flow, plain = flow_of(recording, COMMAND), play(BASE)
    assert "arrived twice" in copies_problem(plain, flow, "to-patient")
    fewer = flow_of(plain, COMMAND)
    assert "where" in copies_problem(recording, fewer, "to-patient")


def test_bit_errors_become_losses():
    recording = play(STATES["bit errors"])
    flow = flow_of(recording, COMMAND)
    size = recording.device.stream(COMMAND).frame_bytes
    expected = -np.expm1(8 * size * np.log1p(-2e-5))
    low, high = binom.ppf([ERROR / 2, 1 - ERROR / 2], 4000, expected)
    assert low <= int(flow.lost.sum()) <= high
    counters = recording.health.counters
    assert counters["primary/to-patient/damaged"] >= int(flow.lost.sum())
    assert counters["primary/to-patient/lost"] == 0


def test_reordering_is_seen_and_order_is_otherwise_kept():
    assert flow_of(play(STATES["reordering"]), COMMAND).reordered > 100
    for name in STATES:
        if STATES[name].order == "preserve":
            assert flow_of(play(STATES[name]), COMMAND).reordered == 0, name


def test_slots_release_together():
    recording = play(STATES["slots"])
    got = recording.packets.where(tap="patient", direction=0, link=0).rows["t_ns"]
    got = np.unique(got[(got > 1.2e9) & (got < 4.8e9)])
    distances = np.diff(got)
    assert distances.min() >= 2_000_000
    assert np.quantile(distances, 0.9) <= 5_000_000
