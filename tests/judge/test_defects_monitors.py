"""Devices that monitor: healthy ones pass, each defect fails what it breaks, nothing is forged."""

import dataclasses
import runpy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.devices.defects import DEFECTS, audit
from bench.devices.registry import find_device
from bench.judge.verdict import Outcome
from bench.measure.behaviours import BEHAVIOURS
from bench.measure.stimulus import achieved
from bench.network import library
from bench.sessions.recording import Event

PLAYED = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "support/played.py")))
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
OWN = ("control", "acknowledgement", "alarm")
ICU = find_device("icu-bed")
OTHERS = ("ambulance", "home-monitor", "capsule-endoscope", "infusion-monitor", "glucose-meter")

JUDGED = {
    "records-outage": ("PRE-1", "MON-2"),
    "power-cut-mid-write": ("PRE-1",),
    "minute-sets": ("ICU-1",),
    "five-devices": ("ICU-2",),
    "primary-outage": ("MON-2", "SW-1"),
    "delay-ramp": ("MON-2",),
    "loss-step": ("MON-2",),
    "radio-link-failure": ("MON-2", "SW-1", "MOB-1"),
    "nr-handover": ("MOB-1",),
    "urumqi-shanghai": ("MON-2",),
    "beijing-shanghai": ("MON-2",),
}
SHORT = ("records-outage", "power-cut-mid-write", "minute-sets", "five-devices", "primary-outage",
         "radio-link-failure")  # fmt: skip
"""Scenarios that together judge every behaviour once."""

FOLLOWS = {
    "late-alarm": {"ICU-1"},
    "wrong-priority": {"MOB-1"},
    "corrupts-records": {"ICU-2"},
}
"""What a defect breaks besides, by its nature: every alarm is late or of another priority; records
are corrupted whatever the scenario."""


CUTS = {"records-in-volatile-memory", "believes-torn-record"}
"""Defects that only a loss of power shows."""


def light(device):
    """The device with its records, and without what no behaviour rests on."""
    records = [s.name for s in device.streams if s.name.endswith("-records")]
    return PLAYED.light(device, (*OWN, *records))


@cache
def played(name, scenario, seed=7, defect=""):
    device = light(find_device(name))
    if defect:
        device = device.with_defects({defect: DEFECTS[defect].size_on(device)})
    return PLAYED.play(device, scenario, seed)


def device_for(scenario):
    """One that the scenario concerns, and no heavier than it need be."""
    return "icu-bed" if scenario == "five-devices" else "home-monitor"


def verdicts(recording, planned_n=1):
    return PLAYED.verdicts(recording, JUDGED[recording.scenario], planned_n=planned_n)


def only(recording, requirement):
    found = verdicts(recording)[requirement]
    return found.verdict, found.reason


def test_every_scenario_and_behaviour_of_the_topic_is_here():
    assert set(library.monitoring.SCENARIOS) <= set(JUDGED)
    assert {name for scenario in SHORT for name in JUDGED[scenario]} >= {"ICU-1", "ICU-2", "PRE-1"}


@pytest.mark.parametrize("name", JUDGED)
def test_a_healthy_icu_bed_passes_under_a_sound_stimulus(name):
    for seed in (7,) if name == "minute-sets" else (7, list(JUDGED).index(name)):
        recording = played("icu-bed", name, seed)
        bad = [(s.step, s.phase, s.reason) for s in achieved(recording, None) if not s.ok]
        assert bad == [], f"seed {seed}"
        for requirement, found in verdicts(recording).items():
            assert found.verdict is PASS, f"seed {seed}, {requirement}: {found.reason}"


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_devices_pass_too(name):
    for scenario in ("power-cut-mid-write", "records-outage", "radio-link-failure"):
        for requirement, found in verdicts(played(name, scenario)).items():
            assert found.verdict is PASS, f"{scenario}, {requirement}: {found.reason}"


def test_five_devices_are_served_with_all_their_streams():
    recording = PLAYED.play(ICU, "five-devices")
    assert only(recording, "ICU-2")[0] is PASS


NERVOUS = {"nervous-delay", "nervous-silence", "cries-wolf"}
ELSEWHERE = {
    "deaf-radio",
    "rare-ambulance-sets",
    *NERVOUS,
    *(defect.name for defect in audit.DEFECTS),
}
"""What other scenarios show: test_defects_coexistence.py, _wolf.py and _logs.py."""


@pytest.mark.parametrize(
    "defect",
    [n for n, defect in DEFECTS.items() if "monitor" in defect.machines and n not in ELSEWHERE],
)
def test_a_defect_fails_what_it_breaks_and_nothing_else(defect):
    concerned = {*DEFECTS[defect].breaks} & {*BEHAVIOURS} | FOLLOWS.get(defect, set())
    seen = {}
    for scenario in SHORT:
        if scenario == "minute-sets" and "ICU-1" not in concerned:
            continue  # two minutes of session; what the others change does not reach a set
        recording = played(device_for(scenario), scenario, 7, defect)
        for requirement, found in verdicts(recording).items():
            seen.setdefault(requirement, set()).add(found.verdict)
    failed = {requirement for requirement, outcomes in seen.items() if FAIL in outcomes}
    assert failed == concerned
    assert not any(OPEN in outcomes for outcomes in seen.values())


@pytest.mark.parametrize("defect", [n for n in DEFECTS if DEFECTS[n].breaks == ("PRE-1",)])
def test_a_defect_of_the_records_shows_under_every_seed(defect):
    scenario = "power-cut-mid-write" if defect in CUTS else "records-outage"
    for seed in range(1, 5):
        found = verdicts(played("glucose-meter", scenario, seed, defect))["PRE-1"]
        assert found.verdict is FAIL, f"seed {seed}"


def test_one_seed_one_recording():
    device = light(find_device("glucose-meter"))
    first, second = (PLAYED.play(device, "power-cut-mid-write") for _ in range(2))
    assert first.events == second.events
    assert first.packets.rows.tobytes() == second.packets.rows.tobytes()


# ---- what a recording cannot show -----------------------------------------------------------


def with_events(recording, keep=lambda event: True, change=lambda event: event, more=()):
    events = [change(event) for event in recording.events if keep(event)]
    events = sorted([*events, *more], key=lambda event: event.t_ns)
    return dataclasses.replace(recording, events=tuple(events))


def shortened(recording, end_s):
    end_ns = round(end_s * 1e9)
    return dataclasses.replace(
        recording,
        schedule=dataclasses.replace(recording.schedule, end_ns=end_ns),
        packets=recording.packets.between(0, end_ns),
        events=tuple(e for e in recording.events if e.t_ns < end_ns),
    )


def without(name):
    return lambda event: event.name != name


def at_once(recording, t_ns=0):
    """Every measurement at the start, before anything happened."""
    return with_events(
        recording,
        change=lambda e: dataclasses.replace(e, t_ns=t_ns) if e.name == "measurement" else e,
    )


OPENED = [
    ("PRE-1", "records-outage", lambda r: with_events(r, without("measurement")), "no measurement"),
    ("PRE-1", "records-outage", at_once, "only 0 measurements"),
    ("PRE-1", "records-outage", lambda r: shortened(r, 11.0), "the recording ends"),
    ("PRE-1", "power-cut-mid-write", lambda r: with_events(r, without("power")), "was not cut"),
    (
        "PRE-1", "power-cut-mid-write",
        lambda r: with_events(r, lambda e: (e.name, e.value) != ("power", 1) or e.t_ns == 0),
        "did not return",
    ),
    (
        "PRE-1", "power-cut-mid-write",
        lambda r: with_events(
            r, lambda e: e.name != "measurement" or abs(e.t_ns - 6_000_000_000) > 100_000_000
        ),
        "no record was being written",
    ),
    ("ICU-1", "minute-sets", lambda r: with_events(r, without("patient-state")), "never in a"),
    ("ICU-1", "minute-sets", lambda r: shortened(r, 100.0), "shorter than two minutes"),
    ("ICU-2", "five-devices", lambda r: with_events(r, without("measurement")), "no measurement"),
    (
        "ICU-2", "five-devices",
        lambda r: with_events(
            r, lambda e: e.name != "measurement" or e.value["source"] != "camera"
        ),
        "4 devices measured where 5",
    ),
    ("ICU-2", "five-devices", lambda r: shortened(r, 18.0), "the recording ends"),
    ("SW-1", "primary-outage", lambda r: shortened(r, 1.0), "no command was lost"),
]  # fmt: skip


@pytest.mark.parametrize(("requirement", "scenario", "forge", "reason"), OPENED)
def test_a_recording_that_cannot_show_it_is_open(requirement, scenario, forge, reason):
    verdict, why = only(forge(played(device_for(scenario), scenario)), requirement)
    assert verdict is OPEN
    assert reason in why


def test_a_power_cut_that_the_device_did_not_feel_is_open():
    outage = played("icu-bed", "records-outage")
    cut = played("icu-bed", "power-cut-mid-write")
    forged = dataclasses.replace(cut, packets=outage.packets)
    verdict, why = only(forged, "PRE-1")
    assert verdict is OPEN
    assert "went on sending" in why


def test_without_an_outage_at_the_taps_nothing_is_shown():
    outage, clean = played("icu-bed", "records-outage"), played("icu-bed", "five-devices")
    forged = dataclasses.replace(outage, packets=clean.packets)
    for found in verdicts(forged).values():
        assert found.verdict is OPEN


@pytest.mark.parametrize("undeclared", ["backfill_within_s"])
def test_what_is_not_declared_is_open(undeclared):
    for scenario, requirement in (("records-outage", "PRE-1"), ("five-devices", "ICU-2")):
        recording = played("icu-bed", scenario)
        declares = {k: v for k, v in recording.device.declares.items() if k != undeclared}
        device = dataclasses.replace(recording.device, declares=declares)
        verdict, why = only(dataclasses.replace(recording, device=device), requirement)
        assert verdict is OPEN
        assert f"not declared: D:{undeclared}" in why


# ---- what the trials count ---------------------------------------------------------------------


def records_of(recording):
    return [e for e in recording.events if e.name == "record"]


def drop_first_record(recording):
    first = records_of(recording)[0]
    return with_events(recording, lambda e: e is not first)


def double_a_record(recording):
    return with_events(recording, more=[records_of(recording)[3]])


def alter_a_record(recording, **changes):
    chosen = records_of(recording)[5]

    def change(event):
        value = {**event.value, **changes} if event is chosen else event.value
        return dataclasses.replace(event, value=value) if event is chosen else event

    return with_events(recording, change=change)


def invent_a_record(recording):
    value = {**records_of(recording)[0].value, "serial": 5000}
    return with_events(recording, more=[Event(9_900_000_000, "doctor", "signal", "record", value)])


@pytest.mark.parametrize(
    ("forge", "what"),
    [
        (drop_first_record, "missing"),
        (double_a_record, "doubled"),
        (lambda r: alter_a_record(r, values={"rate": 1}), "different"),
        (lambda r: alter_a_record(r, at_ns=0), "different"),
        (invent_a_record, "different"),
    ],
)
def test_one_wrong_record_is_counted(forge, what):
    found = verdicts(forge(played("icu-bed", "records-outage")))["PRE-1"]
    assert found.verdict is FAIL
    assert found.value == 1.0
    assert dict(found.details)[what] == 1.0


def test_the_same_content_under_two_serials_is_two_records():
    """Serials tell measurements apart, not their values."""
    recording = played("icu-bed", "records-outage")
    serials = [(e.value["source"], e.value["serial"]) for e in records_of(recording)]
    assert len(set(serials)) == len(serials)


def test_a_set_too_early_fails_as_a_missing_one_does():
    recording = played("home-monitor", "minute-sets")
    between = next(e for e in records_of(recording) if e.t_ns > 30 * 10**9)

    def a_set(event):
        value = {**event.value, "kind": "set"} if event is between else event.value
        return dataclasses.replace(event, value=value) if event is between else event

    assert only(with_events(recording, change=a_set), "ICU-1")[0] is FAIL
    sets = [e for e in records_of(recording) if e.value["kind"] == "set"]
    missing = with_events(recording, lambda e: e is not sets[1])
    assert only(missing, "ICU-1")[0] is FAIL
    stopped = with_events(recording, lambda e: e not in sets[1:])
    assert only(stopped, "ICU-1")[0] is FAIL


def test_the_patients_alarm_needs_its_priority():
    recording = played("home-monitor", "minute-sets")

    def quiet(event):
        if event.name != "alarm-signal":
            return event
        return dataclasses.replace(event, value={**event.value, "priority": "low"})

    assert only(with_events(recording, change=quiet), "ICU-1")[0] is FAIL
