"""The simulated laboratory around real packets: a level over VISA stalls the video, live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bench.benches.base import BenchError, Nowhere
from bench.benches.lab.bench import LabBench
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.assess import assess
from bench.judge.verdict import Outcome, Verdict
from bench.measure.floor import NoiseFloor, measure_floor
from bench.measure.kpi import evidence_problems
from bench.measure.needs import visit_of
from bench.measure.stimulus import achieved
from bench.network.library import VISITS, null_path
from bench.network.library.coexistence import one_exposure
from bench.network.radio.exposure import Exposure
from bench.requirements.loader import load_catalogue
from bench.sessions.exposing import presented_at
from bench.sessions.recording import Recording, Session
from instruments.rf import testers
from tests.support.bench_files import written
from tests.support.host_time import NotShown, shown

ROBOT = find_device("tele-ultrasound-robot")
RADIO = ROBOT.radio
assert RADIO is not None
STRONG = Exposure("noise40", 3.5e9, -40.0, 40e6)
LOCAL = ('packets = "virtual"', 'packets = "local"')
CATALOGUE = load_catalogue()


@pytest.fixture(scope="module", autouse=True)
def no_idle_waits() -> Iterator[None]:
    """Simulated testers count their polls; nothing is gained by half a second between them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testers, "EVERY_S", 0.01)
        yield


@pytest.fixture(scope="module")
def left_at_the_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def lab(left_at_the_end, local_host, tmp_path_factory) -> LabBench:
    """A laboratory for one session after the other, as in a run."""
    path = written(tmp_path_factory.mktemp("lab"), LOCAL)
    return left_at_the_end.enter_context(LabBench(path))


@pytest.fixture
def own_lab(left_at_the_end, local_host, tmp_path) -> Iterator[LabBench]:
    """A laboratory that may be spoilt; there is one local bench, which nobody else then has."""
    left_at_the_end.close()
    with LabBench(written(tmp_path, LOCAL)) as bench:
        yield bench


def ran(bench: LabBench, session: Session, not_ready: str) -> Recording:
    """A session whose processes this host let begin in time."""
    try:
        return bench.run(session, Nowhere())
    except BenchError as error:
        if not_ready not in str(error):
            raise
        raise NotShown(not_ready) from None


def test_a_level_over_visa_takes_the_link_and_gives_it_back(lab, kit) -> None:
    """Again where this host kept the bench from being in time."""
    session = Session("x", ROBOT, one_exposure(RADIO, STRONG, 1.5, 1.0), 7)

    def in_time() -> Recording:
        recording = ran(lab, session, kit.not_ready)
        assert not lab.laboratory.instruments["generator"].channel.taints
        late = [c for c in recording.changes if c.t_ns and c.commanded_ns != c.t_ns]
        problems = [*evidence_problems(recording), *(f"{c.t_ns} commanded late" for c in late)]
        if problems:
            raise NotShown("; ".join(problems))
        return recording

    recording = shown(in_time)
    assert recording.bench == "local"
    due = next(one for one in recording.schedule.exposures if one.exposures)
    planned = next(one for one in session.schedule().exposures if one.exposures)
    assert planned.start_ns < due.start_ns < planned.start_ns + 1_000_000_000
    presented = presented_at(recording, due.start_ns)
    assert presented is not None
    assert presented.exposures[0].level_dbm == pytest.approx(-40.0, abs=0.0051)
    at = {(c.link, c.direction, c.t_ns): c for c in recording.changes if c.t_ns}
    assert {t_ns for _, _, t_ns in at} == {due.start_ns, due.end_ns}
    assert all(c.commanded_ns == c.t_ns for c in at.values()), "the commands came in time"
    step = next(e for e in recording.named("step") if e.value["name"] == due.step)
    assert step.t_ns == due.start_ns
    stalled = [
        event.t_ns for event in recording.named("picture", side="doctor") if not event.value["new"]
    ]
    alarmed = [
        event.t_ns
        for event in recording.named("alarm-signal")
        if event.value["on"] and event.value["alarm"] == "link-lost"
    ]
    for seen in (stalled, alarmed):
        assert seen
        assert due.start_ns < min(seen) < due.start_ns + 1_000_000_000


def test_an_exposure_without_an_end_is_refused_on_real_packets() -> None:
    from dataclasses import replace

    from bench.benches.lab.conducting import Conducting

    whole = one_exposure(RADIO, STRONG, 1.0, 1.0)
    session = Session("x", ROBOT, replace(whole, steps=whole.steps[:3]), 7)
    with pytest.raises(InputError, match=r"is not followed by the radio being alone"):
        Conducting(None, session)  # type: ignore[arg-type]


def judged(recording: Recording, requirement: str, floor: NoiseFloor) -> Verdict:
    """As a run judges it; what shows nothing may be this host's affair."""
    found = assess(
        CATALOGUE.get(requirement), recording.device, "", [recording],
        stimulus={recording.session_id: achieved(recording, floor)}, floor=floor, planned_n=1,
        test="t", documents=CATALOGUE.requirements.values(),
    )  # fmt: skip
    if found.verdict is Outcome.INCONCLUSIVE:
        raise NotShown(f"{requirement}: {found.reason}")
    return found


@pytest.mark.parametrize(
    ("defect", "failed"),
    [("", ()), ("never-switches", ("SW-1",)), ("mute-alarms", ("MON-2",))],
)
def test_alarm_and_failover_are_judged_when_interference_takes_the_radios_link(
    lab, kit, defect, failed
) -> None:
    """Again where this host kept the bench from being in time."""
    device = ROBOT.with_defects({defect: 1.0} if defect else {})
    scenario = VISITS["interferer-beyond"](visit_of(device))

    def both() -> tuple[Recording, dict[str, Verdict]]:
        null = ran(lab, Session("t", device, null_path(1.0), 7), kit.not_ready)
        floor = measure_floor(null)
        recording = ran(lab, Session("t", device, scenario, 7), kit.not_ready)
        return recording, {name: judged(recording, name, floor) for name in ("MON-2", "SW-1")}

    recording, found = shown(both)
    (seen,) = [e for e in recording.named("exposure") if e.value["exposures"]]
    assert not seen.value["problem"]
    assert "FSW" in seen.value["verified_by"], "the laboratory's analyser saw the signal"
    for name, verdict in found.items():
        wanted = Outcome.FAIL if name in failed else Outcome.PASS
        assert verdict.verdict is wanted, f"{name}: {verdict.reason}"
    if defect:
        return
    begun_ns = next(one for one in recording.schedule.exposures if one.exposures).start_ns
    over = recording.packets.where(tap="patient", direction=0, link=1).column("t_ns")
    taken_over_s = (over[over > begun_ns].min() - begun_ns) / 1e9
    assert 0 < taken_over_s < found["SW-1"].limit, "commands came over the standby network"


def test_an_attenuator_that_reboots_while_packets_flow_is_seen_before_the_end(own_lab, kit) -> None:
    """Again where this host was too slow to look before the end."""
    session = Session("x", ROBOT, one_exposure(RADIO, STRONG, 1.5, 0.5), 7)
    lab = own_lab.laboratory
    holds = lab.holds
    asked: list[bool] = []

    def rebooting() -> str:
        asked.append(True)
        if len(asked) == 3:  # the rehearsal, when it began, and now
            assert lab._running is not None
            lab._running.lab.instruments["attenuator"].power_on()
        return holds()

    lab.holds = rebooting

    def looked() -> Recording:
        asked.clear()
        recording = ran(own_lab, session, kit.not_ready)
        if len(asked) != 3:
            raise NotShown("it was not looked at before the end")
        return recording

    recording = shown(looked)
    assert any("the attenuation is 0 and was set to" in p for p in evidence_problems(recording))


def test_an_instrument_that_fails_while_packets_flow_ends_the_session(own_lab) -> None:
    session = Session("x", ROBOT, one_exposure(RADIO, STRONG, 1.0, 1.0), 7)
    arm, calls = own_lab.laboratory.arm, []

    def failing(*exposures: Exposure) -> None:
        calls.append(exposures)
        if len(calls) > 1:  # the rehearsal is the first
            own_lab.laboratory.sessions["generator"].command("NO:SUCH")
        arm(*exposures)

    own_lab.laboratory.arm = failing
    with pytest.raises(BenchError, match=r"an instrument failed: generator: .*-113"):
        own_lab.run(session, Nowhere())
