"""KPI of recordings whose figures are known, and what stands against them."""

import dataclasses

import numpy as np
import pytest

from bench.measure.floor import NoiseFloor, StreamFloor, measure_floor
from bench.measure.kpi import METRICS, measure_kpi
from bench.network import library
from bench.network.impairment import CLEAN, Delay, Impairment
from bench.network.scenario import Scenario, Segment, Step, both
from bench.sessions.packets import PacketTable

COMMAND = "haptic-command"


CONSTANT = Delay(0.005)


def steady(delay=CONSTANT, seconds=2.0, role="within", judged=True):
    state = {"primary": both(Impairment(delay=delay)), "standby": both(CLEAN)}
    return Scenario(
        "steady", "",
        (
            Step("settle", "hold", "within", (Segment("settle", 0.5, state),), judged=False),
            Step("steady", "hold", role, (Segment("steady", seconds, state),), judged=judged),
        ),
    )  # fmt: skip


def kpi(recording, metric, stream=COMMAND, floor=None):
    return measure_kpi([recording], stream, metric, confidence=0.95, floor=floor)


def built(synthetic, scenario=None, bench="virtual"):
    return synthetic.Builder(scenario or steady(), bench=bench).stream(COMMAND)


def where(rows, tap, seqs):
    return (rows["tap"] == tap) & np.isin(rows["seq"], list(seqs))


@pytest.mark.parametrize("metric", ["delay-p99", "delay-max", "delay-p999"])
def test_constant_delay(synthetic, metric):
    found = kpi(built(synthetic).recording(), metric)
    assert found.value == pytest.approx(0.005)
    assert not found.problems
    assert found.expanded == 0
    assert {t.name for t in found.budget} == set(found.required_terms) == {"tap", "clock"}


def test_every_metric_measures_something(synthetic):
    recording = built(synthetic).recording()
    for metric in METRICS:
        found = kpi(recording, metric)
        assert found.value is not None
        assert found.n > 0
        assert not found.problems
    with pytest.raises(KeyError):
        kpi(recording, "throughput")


def test_variation_of_a_known_law(synthetic):
    """Delay uniform ± 1 ms at a period in which nothing is overtaken: |IPDV| is triangular."""
    scenario = steady(Delay(0.005, "uniform", 0.001), seconds=20.0)
    made = synthetic.Builder(scenario).stream("audio-to-patient")
    found = kpi(made.recording(), "ipdv-p99", "audio-to-patient")
    true = 0.002 * (1 - 0.1)
    assert found.lower <= true <= found.upper
    assert kpi(made.recording(), "pdv-p999", "audio-to-patient").value <= 0.002
    assert kpi(made.recording(), "rfc3550-jitter", "audio-to-patient").value < 0.0012


def test_only_judged_steps_inside_the_limits_count(synthetic):
    for scenario in (steady(role="beyond"), steady(judged=False)):
        found = kpi(built(synthetic, scenario).recording(), "delay-p99")
        assert found.value is None
        assert found.problems


def test_settling_time_does_not_count(synthetic):
    made = built(synthetic)

    def slow_start(rows):
        early = (rows["tap"] == synthetic.PATIENT) & (rows["t_ns"] < 400_000_000)
        rows["t_ns"][early] += 50_000_000
        return rows

    made.tweak = slow_start
    assert kpi(made.recording(), "delay-max").value == pytest.approx(0.005)


def test_loss_counts_what_never_arrived(synthetic):
    made = built(synthetic)
    made.tweak = lambda rows: rows[~where(rows, synthetic.PATIENT, range(1000, 1010))]
    found = kpi(made.recording(), "loss")
    assert found.details["lost"] == 10
    assert found.details["longest_loss_period"] == 10
    assert found.details["in_flight"] > 0
    assert found.value == pytest.approx(10 / found.n)
    assert found.upper > 17 / found.n, "ten in a row are weaker evidence than ten apart"


def test_a_packet_on_two_links_is_lost_only_if_no_copy_arrives(synthetic):
    made = synthetic.Builder(steady()).stream(COMMAND, links=(0, 1))

    def half(rows):
        gone = where(rows, synthetic.PATIENT, range(800, 900)) & (rows["link"] == 0)
        gone |= where(rows, synthetic.PATIENT, {850})
        return rows[~gone]

    made.tweak = half
    assert kpi(made.recording(), "loss").details["lost"] == 1


def test_rate_is_the_sources_payload(synthetic):
    made = synthetic.Builder(steady()).stream("eeg")
    made.tweak = lambda rows: rows[rows["tap"] == synthetic.PATIENT]
    found = kpi(made.recording(), "rate", "eeg")
    assert found.value == pytest.approx(1.536e6, rel=0.02)
    assert found.expanded > 0
    assert [t.name for t in found.budget] == ["edge"]


def test_too_few_samples_have_no_bound(synthetic):
    scenario = steady(seconds=0.2)
    found = kpi(built(synthetic, scenario).recording(), "delay-p99")
    assert found.upper is None
    assert found.needed_n == 299


def _negative(rows, tap):
    rows["t_ns"][where(rows, tap, {1500})] -= 10_000_000
    return rows


def test_contradictions_of_the_taps_are_problems(synthetic):
    made = built(synthetic)
    made.tweak = lambda rows: _negative(rows, synthetic.PATIENT)
    assert any("negative" in p for p in kpi(made.recording(), "delay-p99").problems)
    made.tweak = lambda rows: rows[~where(rows, synthetic.DOCTOR, {1500})]
    assert any("no tap saw" in p for p in kpi(made.recording(), "loss").problems)


@pytest.mark.parametrize(
    "health",
    [{"tap_drops": 1}, {"emulator_drops": 1}, {"complete": False}, {"clock_step_s": 0.01}],
)
def test_a_faulty_bench_is_a_problem(synthetic, health):
    assert kpi(built(synthetic).recording(**health), "loss").problems


def test_a_stream_that_sends_nothing_is_a_problem(synthetic):
    assert kpi(built(synthetic).recording(), "loss", "ecg").problems


def test_real_bench_needs_its_noise_floor(synthetic):
    recording = built(synthetic, bench="local").recording(clock_step_s=1e-5)
    found = kpi(recording, "delay-p99")
    missing = set(found.required_terms) - {t.name for t in found.budget}
    assert missing == {"tap"}
    one = StreamFloor(3e-5, 1e-4, 2e-4, 1e-3, 1e-4, 2e-4, 1000)
    found = kpi(recording, "delay-p99", floor=NoiseFloor("s", {COMMAND: one}, True))
    assert {t.name: t.standard for t in found.budget} == {
        "tap": pytest.approx(3e-5 / 3**0.5), "clock": pytest.approx(1e-5 / 3**0.5)
    }  # fmt: skip
    assert found.expanded == pytest.approx(2 * (1e-9 / 3) ** 0.5, rel=0.01) or found.expanded > 0


def test_floor_of_a_null_path(synthetic):
    made = synthetic.Builder(library.null_path(1.0), bench="local").stream(COMMAND)
    made.extra_s = 0.00004
    floor = measure_floor(made.recording())
    assert floor.complete
    assert floor.stream(COMMAND).p99 == pytest.approx(4e-5)
    assert floor.stream("unknown") == floor.stream(COMMAND)
    assert floor.stream(COMMAND).of("ipdv-p99") == pytest.approx(0.0)
    assert not measure_floor(made.recording(tap_drops=3)).complete


def test_more_of_the_same_evidence_only_tightens(synthetic):
    scenario = steady(Delay(0.005, "uniform", 0.001), seconds=1.0)
    one = kpi(built(synthetic, scenario).recording(), "delay-p99")
    recording = built(synthetic, scenario).recording()
    two = measure_kpi([recording] * 2, COMMAND, "delay-p99", confidence=0.95, floor=None)
    assert one.lower <= two.lower <= two.value <= two.upper <= one.upper
    assert two.n == 2 * one.n


def test_pure(synthetic):
    recording = built(synthetic).recording()
    before = recording.packets.rows.tobytes()
    assert kpi(recording, "delay-p99") == kpi(recording, "delay-p99")
    assert recording.packets.rows.tobytes() == before
    shuffled = dataclasses.replace(recording, packets=PacketTable(recording.packets.rows.copy()))
    assert kpi(shuffled, "ipdv-p99") == kpi(recording, "ipdv-p99")
