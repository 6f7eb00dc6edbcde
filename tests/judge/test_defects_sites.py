"""CON-2, ENV-1, LIFE-1 and MOB-2: a healthy unit passes on every network, defects fail theirs."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.measure.needs import LEAST_PACKETS, late_images, needs_between, visit_of
from bench.network import library
from bench.network.library import places
from bench.sessions.recording import Session

kit = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "support/imaging.py")))
PASS, FAIL, OPEN, UNIT, MRI = kit.PASS, kit.FAIL, kit.OPEN, kit.UNIT, kit.MRI

JUDGED = {
    "access-methods": ("CON-2",),
    "site-profiles": ("ENV-1",),
    "site-reruns": ("LIFE-1",),
    "harsh-journey": ("MOB-2",),
}
OWN = ("greedy-transfer", "first-path-only", "assumes-low-delay", "silent-on-the-move")
SCENARIO_OF = {names[0]: scenario for scenario, names in JUDGED.items()}
SEEDS = {"access-methods": 1, "site-profiles": 2, "site-reruns": 3, "harsh-journey": 4}
SHORT_SITE = ("settle", "installation", "third-year", "rest")


def healthy(requirement):
    scenario = SCENARIO_OF[requirement]
    return kit.play(UNIT, scenario, SEEDS[scenario])


# ---- healthy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", SCENARIO_OF)
def test_a_healthy_unit_passes_under_a_sound_stimulus(requirement):
    recording = healthy(requirement)
    assert kit.unsound(recording) == []
    found = kit.verdict(recording, requirement)
    assert found.verdict is PASS, found.reason


def test_each_access_method_and_site_has_a_word_of_its_own():
    found = dict(kit.verdict(healthy("CON-2"), "CON-2").details)
    assert found == dict.fromkeys(places.ACCESS, "kept")
    found = dict(kit.verdict(healthy("ENV-1"), "ENV-1").details)
    assert found == dict.fromkeys(places.SITES, "kept")


def test_the_console_of_a_scanner_holds_beside_its_images_and_the_trend_is_shown():
    recording = kit.play(MRI, "site-reruns", 5, steps=SHORT_SITE)
    found = kit.verdict(recording, "LIFE-1")
    assert found.verdict is PASS, found.reason
    assert dict(found.details)["trend of console delay p99 (s)"] > 0.003


def test_every_event_of_the_journey_was_put_to_the_unit():
    details = dict(kit.verdict(healthy("MOB-2"), "MOB-2").details)
    assert details["images"] == "whole"
    for name in ("failure", "tunnels", "to-4g"):
        assert details[name] != "held"
        assert details[f"{name} answer"] != "none"


# ---- defects ---------------------------------------------------------------------------------


BREAKS = [
    (defect, requirement)
    for defect in OWN
    for requirement in DEFECTS[defect].breaks
    if requirement in SCENARIO_OF
]


@pytest.mark.parametrize(("defect", "requirement"), BREAKS)
def test_a_defect_fails_what_it_breaks(defect, requirement):
    scenario = SCENARIO_OF[requirement]
    recording = kit.play(UNIT, scenario, SEEDS[scenario] + 10, defect)
    found = kit.verdict(recording, requirement)
    assert found.verdict is FAIL, found.reason


def test_a_greedy_transfer_starves_the_console():
    recording = kit.play(MRI, "site-reruns", 6, "greedy-transfer", steps=SHORT_SITE)
    found = kit.verdict(recording, "LIFE-1")
    assert found.verdict is FAIL
    assert "console" in dict(found.details)["third-year"]
    assert dict(found.details)["installation"] == "kept"


def test_an_altered_image_fails_wherever_it_was_shown():
    for requirement in ("CON-2", "ENV-1"):
        recording = healthy(requirement)
        events = tuple(
            replace(e, value={**e.value, "sha256": "0" * 64}) if e.name == "image" else e
            for e in recording.events
        )
        found = kit.verdict(replace(recording, events=events), requirement)
        assert found.verdict is FAIL
        assert "altered" in str(found.details)


def test_a_stream_that_falls_silent_breaks_its_limits():
    recording = healthy("LIFE-1")
    rows = recording.packets.rows
    code = recording.device.stream("telemetry").code
    start_ns = recording.schedule.window("third-year").start_ns
    kept = rows[(rows["stream"] != code) | (rows["t_ns"] < start_ns)]
    packets = type(recording.packets)(kept)
    found = kit.verdict(replace(recording, packets=packets), "LIFE-1")
    assert found.verdict is FAIL
    assert "fell silent" in str(found.details)


# ---- streams that need more time, or have none of their own ----------------------------------


METER = "glucose-meter"


def meter(name="site-profiles", **changes):
    """A glucose meter at the sites of its envelope, as long as its slowest stream needs."""
    device = replace(find_device(METER), **changes)
    visit = visit_of(device)
    with VirtualBench() as bench:
        session = Session("t", device, library.VISITS[name](visit), 3)
        return bench.run(session, kit.Nowhere())


@pytest.fixture(scope="module")
def measured():
    return meter()


def test_a_place_lasts_as_long_as_the_slowest_stream_needs():
    device = find_device(METER)
    slowest = min(s.packets_per_s for s in device.streams if "records" not in s.kinds)
    assert visit_of(device).use_s * slowest >= LEAST_PACKETS
    assert visit_of(find_device(UNIT)).use_s == places.USE_S
    at = {w.name: w for w in meter_schedule()}
    assert at["laboratory"].phase("use")[1] - at["laboratory"].phase("use")[0] == 42e9
    assert at["rural"].phase("use")[1] - at["rural"].phase("use")[0] == places.USE_S * 1e9


def meter_schedule():
    scenario = library.VISITS["site-profiles"](visit_of(find_device(METER)))
    return Session("t", find_device(METER), scenario, 3).schedule().windows


def test_a_round_of_places_suits_the_device():
    robot = visit_of(find_device("telesurgery-robot"))
    assert [s.name for s in places.access_methods(robot).steps[1:-1]] == [
        "access-wired", "access-5g",
    ]  # fmt: skip
    assert "slice-third-year" in [s.name for s in places.site_reruns(robot).steps]
    assert "third-year" in [s.name for s in places.site_reruns().steps]
    nowhere = replace(robot, delay_s=0.0)
    assert places.site_reruns(nowhere).steps[2].name == "first-year"


def test_records_are_judged_by_their_arrival(measured):
    found = kit.verdict(measured, "ENV-1")
    assert found.verdict is PASS, found.reason
    taken = measured.named("measurement", side="patient")[5].value["serial"]
    lost = kit.without(measured, "record", where=lambda e: e.value["serial"] == taken)
    found = kit.verdict(lost, "ENV-1")
    assert found.verdict is FAIL
    assert "records of glucose were not handed on" in str(found.details)
    refused(kit.declaring(measured, without=("backfill_within_s",)), "ENV-1", "D:backfill_within_s")
    late = measured.schedule.window("maintenance").end_ns
    refused(kit.ended(measured, late), "ENV-1", "ends before the records of glucose were due")


def test_a_place_without_a_measurement_shows_nothing_of_records(measured):
    _, end_ns = measured.schedule.window("laboratory").phase("use")
    bare = kit.without(
        measured, "measurement", "record", where=lambda e: e.t_ns < end_ns + 2 * 10**9
    )
    refused(bare, "ENV-1", "no measurement of glucose was taken")


def test_a_stream_on_demand_breaks_nothing_while_it_is_silent(measured):
    """Silent it is left out; an ordinary stream that is silent has fallen silent."""
    span = measured.schedule.window("laboratory").phase("use")
    glucose = measured.device.stream("glucose-level")
    rows = measured.packets.rows
    packets = type(measured.packets)(rows[rows["stream"] != glucose.code])
    silent = replace(measured, packets=packets)
    assert "fell silent" in needs_between(silent, *span).words
    demanded = kit.needing(silent, "glucose-level", kinds=("on-demand",))
    assert needs_between(demanded, *span).words == "kept"


# ---- what cannot be shown --------------------------------------------------------------------


def refused(recording, requirement, word, **kwargs):
    found = kit.verdict(recording, requirement, **kwargs)
    assert found.verdict is OPEN, found.reason
    assert word in found.reason


@pytest.mark.parametrize("requirement", ["CON-2", "ENV-1", "LIFE-1"])
def test_without_stated_limits_an_image_or_the_documents_nothing_is_shown(requirement):
    recording = healthy(requirement)
    unstated = kit.needing(recording, "telemetry", most_delay_s=None)
    refused(unstated, requirement, "not declared: most_delay and most_loss of telemetry")
    refused(kit.without(recording, "image-acquired"), requirement, "no image set was made")
    slow = kit.declaring(recording, without=("image_rate_bps",))
    refused(slow, requirement, "not declared: D:image_rate_bps")
    refused(recording, requirement, "documents' limits were not at hand", documents=None)


def test_a_limit_looser_than_the_document_backs_nothing():
    recording = kit.play(MRI, "site-reruns", 5, steps=SHORT_SITE)
    refused(kit.needing(recording, "console", most_delay_s=0.2), "LIFE-1", "looser than documented")
    tight = kit.needing(recording, "console", most_delay_s=0.09)
    assert kit.verdict(tight, "LIFE-1").verdict is PASS


def test_access_methods_are_those_declared_and_all_of_them_tried():
    recording = healthy("CON-2")
    fewer = kit.declaring(recording, access_methods=4.0)
    refused(fewer, "CON-2", "4 access methods are declared and 5 named")
    refused(kit.declaring(recording, without=("access_methods",)), "CON-2", "not declared")
    steps = tuple(
        replace(w, name="elsewhere") if w.name == "access-wifi" else w
        for w in recording.schedule.windows
    )
    other = replace(recording, schedule=replace(recording.schedule, windows=steps))
    refused(other, "CON-2", "not tried: access-wifi")


def test_an_envelope_is_declared_and_more_than_one_point():
    recording = healthy("ENV-1")
    refused(kit.declaring(recording, without=("site_rate_bps",)), "ENV-1", "D:site_rate_bps")
    refused(kit.declaring(recording, site_delay_s=0.002), "ENV-1", "one point is no envelope")
    narrower = kit.verdict(kit.declaring(recording, site_delay_s=0.01), "ENV-1")
    assert narrower.verdict is PASS
    assert dict(narrower.details)["rural"] == "outside the envelope"


def test_reruns_need_their_baseline_and_a_site_within_the_envelope():
    recording = healthy("LIFE-1")
    windows = tuple(w for w in recording.schedule.windows if w.kind != "baseline")
    bare = replace(recording, schedule=replace(recording.schedule, windows=windows))
    refused(bare, "LIFE-1", "no baseline")
    refused(kit.declaring(recording, site_rate_bps=150e6), "LIFE-1", "the site itself")


def test_a_journey_that_was_not_seen_shows_nothing():
    recording = healthy("MOB-2")
    start_ns = recording.schedule.window("handover").start_ns
    failure = recording.schedule.window("to-4g")
    alarm = next(e for e in recording.events if e.name == "alarm-signal" and e.value["on"])
    early = replace(alarm, t_ns=start_ns - 500_000_000)
    stuck = replace(recording, events=(early, *kit.without(recording, "alarm-signal").events))
    refused(stuck, "MOB-2", "was on before the journey")
    quiet = kit.without(recording, "alarm-signal", where=lambda e: e.t_ns > failure.start_ns)
    assert kit.verdict(quiet, "MOB-2").verdict is FAIL
    gap_ns = failure.phase("gap")[0]
    refused(kit.ended(quiet, gap_ns + 200_000_000), "MOB-2", "before the deadline")
    rows = recording.packets.rows
    code = recording.device.stream("operator-input").code
    dumb = rows[(rows["stream"] != code) | (rows["t_ns"] < start_ns) | (rows["t_ns"] > gap_ns)]
    silent = replace(recording, packets=type(recording.packets)(dumb))
    refused(silent, "MOB-2", "no commands were sent")


def test_a_device_with_limits_wider_than_its_need_does_not_sleep_through_a_journey():
    """What it acts on is raised beyond any event of the drive; it gives no alarm, and is caught."""
    recording = kit.without(healthy("MOB-2"), "alarm-signal")
    wide = {"command_delay_s": 9.0, "command_loss": 1.0, "command_silence_alarm_s": 60.0}
    device = replace(recording.device, limits={**recording.device.limits, **wide})
    assert kit.verdict(replace(recording, device=device), "MOB-2").verdict is FAIL
    unstated = kit.needing(recording, "operator-input", most_loss=None)
    refused(unstated, "MOB-2", "not declared: most_delay and most_loss of operator-input")


def test_an_alarm_with_another_priority_is_no_answer():
    recording = healthy("MOB-2")
    events = tuple(
        replace(e, value={**e.value, "priority": "high"}) if e.name == "alarm-signal" else e
        for e in recording.events
    )
    assert kit.verdict(replace(recording, events=events), "MOB-2").verdict is FAIL


def test_needs_are_of_the_span_that_is_asked_for():
    recording = healthy("ENV-1")
    rural = recording.schedule.window("rural")
    strict = kit.needing(recording, "operator-input", most_delay_s=0.02)
    assert needs_between(strict, *rural.phase("use")).broken
    first = recording.schedule.window("first-deployment")
    assert needs_between(strict, *first.phase("use")).words == "kept"


def test_late_images_over_a_real_dicom_stack_are_undecided_and_altered_ones_are_not():
    """How long C-STORE takes on a host says nothing of the device: never a FAIL for that alone."""
    recording = healthy("CON-2")
    assert any(s.carriage == "dicom" for s in recording.device.streams)
    declares = {**recording.device.declares, "image_rate_bps": 1e9}
    hasty = replace(recording, device=replace(recording.device, declares=declares))
    span = 0, recording.schedule.end_ns
    unclear = []
    assert len(late_images(hasty, *span, unclear)) == 5
    assert unclear == []
    assert late_images(replace(hasty, bench="local"), *span, unclear) == []
    assert len(unclear) == 5
    assert "host" in unclear[0]
    events = tuple(
        replace(e, value={**e.value, "sha256": "00"}) if e.name == "image" else e
        for e in recording.events
    )
    altered = late_images(replace(hasty, bench="local", events=events), *span, [])
    assert all("altered" in each for each in altered)
    assert len(altered) == 5
