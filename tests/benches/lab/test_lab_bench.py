"""Sessions in a simulated laboratory: what was presented is in the recording, or why it was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.benches.base import BenchError, Nowhere
from bench.benches.choose import make_bench
from bench.benches.lab.bench import LabBench
from bench.benches.lab.telling import ROLE
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.assess import assess
from bench.judge.verdict import Outcome, Verdict
from bench.measure.kpi import evidence_problems
from bench.measure.stimulus import achieved
from bench.network.library.coexistence import one_exposure
from bench.network.radio.exposure import Exposure, reception_of
from bench.requirements.loader import load_catalogue
from bench.runs.content import recording_hash
from bench.sessions.exposing import presented_at
from bench.sessions.instruments import INSTRUMENTS, not_certifiable
from bench.sessions.recording import Event, Recording, Session
from instruments.visa.transcript import check_entries
from tests.support.bench_files import served, written

ROBOT = find_device("tele-ultrasound-robot")
RADIO = ROBOT.radio
assert RADIO is not None
LTE = Exposure("lte20", 3.5e9, -78.0, 18e6)
SCENARIO = one_exposure(RADIO, LTE, 0.5, 0.5)
FAULTS = "[[simulated.paths]]"
QUICK = ('reply = "5s"', 'reply = "300ms"')


def run(bench: LabBench) -> Recording:
    return bench.run(Session("coexistence", ROBOT, SCENARIO, 7), Nowhere())


def exposed(recording: Recording):
    due = next(one for one in recording.schedule.exposures if one.exposures)
    shown = presented_at(recording, due.start_ns)
    assert shown is not None
    return due, shown


@pytest.fixture(scope="module")
def played() -> tuple[Recording, Recording]:
    with make_bench("simulated-lab") as bench:
        assert isinstance(bench, LabBench)
        return run(bench), run(bench)


def test_the_link_gets_what_the_laboratory_presented(played) -> None:
    recording = played[0]
    due, shown = exposed(recording)
    assert shown.problem == ""
    assert shown.verified_by == "analyser: Rohde&Schwarz FSW-13, simulated"
    assert shown.exposures[0].level_dbm == pytest.approx(-78.0, abs=0.0051)
    assert 0.5 < shown.uncertainty_db < 2
    assert due.reception == shown.reception
    assert shown.reception.sinr_db == pytest.approx(reception_of(RADIO, [LTE]).sinr_db, abs=0.01)
    rates = {change.impairment.rate_bps for change in recording.schedule.changes}
    assert shown.reception.rate_bps in rates
    assert not evidence_problems(recording)


def test_a_recording_holds_the_instruments_and_their_transcript(played) -> None:
    for recording in played:  # each has a chain of its own
        entries = check_entries(recording.transcript)
        assert any(":OUTP1 1" in one.data for one in entries)
    told = [one.kind for one in check_entries(played[0].transcript) if one.role != ROLE]
    assert told[0] == "open"
    assert "generator: is simulated" in not_certifiable(played)
    assert recording_hash(played[0]) == recording_hash(played[1])


# ---- certification ---------------------------------------------------------


@pytest.fixture(scope="module")
def on_hardware(tmp_path_factory) -> Recording:
    """Of a laboratory whose instruments have addresses: none of their drivers was ever verified."""
    with served(tmp_path_factory.mktemp("hardware")) as (path, _), LabBench(path) as bench:
        return run(bench)


def certified(recording: Recording) -> Recording:
    """The same recording, its instruments accepted on site."""

    def accepted(event: Event) -> Event:
        if event.name != INSTRUMENTS:
            return event
        return replace(event, value=[{**o, "certifiable": True, "reason": ""} for o in event.value])

    return replace(recording, events=tuple(accepted(event) for event in recording.events))


@pytest.mark.parametrize(
    ("requirement", "definite"),
    [("000-t1-video-4k-rate", Outcome.PASS), ("000-t2-video-2d-rate", Outcome.FAIL)],
)
def test_instruments_that_were_never_verified_certify_nothing(
    on_hardware, requirement, definite
) -> None:
    catalogue = load_catalogue()

    def judged(recording: Recording, *, certify: bool) -> Verdict:
        return assess(
            catalogue.get(requirement), ROBOT, "video-4k", [recording],
            stimulus={recording.session_id: achieved(recording, None)}, floor=None, planned_n=1,
            test="t", certify=certify, documents=catalogue.requirements.values(),
        )  # fmt: skip

    refused = judged(on_hardware, certify=True)
    assert refused.verdict is Outcome.INCONCLUSIVE
    for role in ("generator", "analyser", "attenuator"):
        assert f"{role}: its driver was never verified on this hardware" in refused.reason
    assert judged(on_hardware, certify=False).verdict is definite
    assert judged(certified(on_hardware), certify=True).verdict is definite


@pytest.mark.parametrize(
    ("change", "calibration", "problem"),
    [
        (
            (FAULTS, f'[simulated.faults]\ngenerator = ["drift=-3@POW?x1"]\n{FAULTS}'),
            ("", ""),
            "dB from what is set",
        ),
        (QUICK, ("due = 2099-12-31", "due = 2026-11-29"), "expired on 2026-11-29"),
        (QUICK, ("3.8GHz", "3.4GHz"), "is outside of what was calibrated"),
    ],
)
def test_what_was_not_verified_backs_no_verdict(tmp_path, change, calibration, problem) -> None:
    with LabBench(written(tmp_path, change, calibration=calibration)) as bench:
        recording = run(bench)
    assert problem in exposed(recording)[1].problem
    assert any(problem in text for text in evidence_problems(recording))


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ('generator = ["late@FREQ?x1"]', "FREQ.*no answer"),
        ('analyser = ["no-result@TRAC?x1"]', "no result"),
    ],
)
def test_an_instrument_that_fails_is_the_benchs_own_error(tmp_path, fault, problem) -> None:
    path = written(
        tmp_path, (FAULTS, f"[simulated.faults]\n{fault}\n{FAULTS}"), QUICK, QUICK, QUICK, QUICK
    )
    with LabBench(path) as bench:
        with pytest.raises(BenchError, match=problem):
            run(bench)
        assert not evidence_problems(run(bench)), "the next session finds it well again"


def test_a_laboratory_that_cannot_be_had(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no such file"):
        make_bench(str(tmp_path / "none.toml"))
    path = written(tmp_path, (FAULTS, f'[simulated.faults]\nsupply = ["refuse"]\n{FAULTS}'))
    with pytest.raises(BenchError, match=r"the laboratory cannot be used: supply"):
        make_bench(str(path)).__enter__()
    radar = one_exposure(RADIO, Exposure("radar", 3.5e9, -70.0, 1e6), 1, 1)
    strange = Session("coexistence", ROBOT, radar, 7)
    with make_bench("simulated-lab") as bench, pytest.raises(InputError, match=r"radar"):
        bench.run(strange, Nowhere())
