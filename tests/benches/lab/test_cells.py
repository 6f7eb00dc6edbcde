"""A change of cell on real sockets and a terminal: achieved, or the reason why it was not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from bench.benches.base import BenchError, Nowhere
from bench.benches.lab import cells as lab_cells
from bench.benches.lab.bench import LabBench, only_change
from bench.benches.lab.file import SHIPPED, load_bench_file
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.measure import events as ev
from bench.measure.alarming import expected_alarms, mob_1
from bench.measure.kpi import evidence_problems
from bench.network.cells import NO_CELLS, Rung, course, doubt
from bench.network.library import find_scenario
from bench.network.radio.exposure import Radio
from bench.network.radio.receivers import Reception
from bench.network.scenario import CellChange
from bench.runs.content import recording_hash
from bench.sessions.cells import CELL_CHANGE, changed_in
from bench.sessions.recording import Recording, Session
from instruments.modem.parsing import Cell
from instruments.rf import testers
from instruments.simulators import mini_circuits
from instruments.simulators.lab import Described, Lab
from instruments.visa.errors import WrongIdentity
from instruments.visa.transcript import check_entries
from tests.support.bench_files import written

FULL = find_device("tele-ultrasound-robot")
ROBOT = replace(
    FULL,
    streams=tuple(
        s if s.name in ("control", FULL.watched) else replace(s, option="off") for s in FULL.streams
    ),
)
SCENARIO = find_scenario(CELL_CHANGE)
FAULTS = "[[simulated.paths]]"
OLD, NEW = "LTE 001-01 cell ABC01 PCI 17 ch 300", "LTE 001-01 cell ABC02 PCI 18 ch 300"


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch) -> None:
    """Simulated testers count their polls; nothing is gained by half a second between them."""
    monkeypatch.setattr(testers, "EVERY_S", 0.01)


def run(path, scenario=SCENARIO) -> Recording:
    with LabBench(path) as bench:
        return bench.run(Session("mobility", ROBOT, scenario, 7), Nowhere())


def shown(recording: Recording):
    found = changed_in(recording, ev.faulty_window(recording))
    assert found is not None
    return found


def faulty(tmp_path, *changes: tuple[str, str], fault: str = "") -> Recording:
    """A session in a laboratory with something wrong."""
    told = ((FAULTS, f"[simulated.faults]\n{fault}\n{FAULTS}"),) if fault else ()
    return run(written(tmp_path, *changes, *told))


@pytest.fixture(scope="module")
def played() -> tuple[Recording, Recording]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testers, "EVERY_S", 0.01)
        with LabBench(SHIPPED) as bench:
            session = Session("mobility", ROBOT, SCENARIO, 7)
            return bench.run(session, Nowhere()), bench.run(session, Nowhere())


def test_the_modem_reports_the_other_cell_when_the_first_is_attenuated(played) -> None:
    found = shown(played[0])
    assert (found.problem, found.before, found.after) == ("", OLD, NEW)
    assert found.verified_by == "modem: Quectel EG25-G, simulated"
    assert found.commanded_s == 0.25
    # 15 dB between the cells and 3 dB of hysteresis: the tenth rung of 2 dB
    assert found.seen_s == 2.5
    own = [one for one in found.rungs if one.cell == OLD]
    assert [one.rsrp_dbm for one in own] == [-95.0 - one.attenuation_db for one in own]
    assert found.rungs[-1].attenuation_db == 90.0
    assert not evidence_problems(played[0])


def test_the_link_gets_what_the_modem_received(played) -> None:
    found, schedule = shown(played[0]), played[0].schedule
    window = ev.faulty_window(played[0])
    rates = {
        t_ns: state.rate_bps
        for t_ns, state in schedule.of("primary", "to-patient")
        if window.start_ns <= t_ns < window.end_ns
    }
    for one in found.rungs[:10]:
        assert one.reception is not None
        assert rates[window.start_ns + round(one.after_s * 1e9)] == one.reception.rate_bps
    phases = {name: (start, end) for name, start, end in window.phases}
    start, end = phases["interruption"]
    assert start == window.start_ns + 2_500_000_000
    assert 50_000_000 <= end - start <= 150_000_000
    held = [t for t, state in schedule.of("primary", "to-patient") if state.hold]
    assert held == [start]
    assert all(t < window.start_ns or t >= window.end_ns
               for t, state in schedule.of("standby", "to-patient"))  # fmt: skip


def test_two_sessions_of_one_seed_are_the_same_and_keep_the_transcript(played) -> None:
    assert recording_hash(played[0]) == recording_hash(played[1])
    for recording in played:
        sent = [one.data.strip() for one in check_entries(recording.transcript)]
        assert "SETATT=20" in sent
        assert 'AT+QENG="servingcell"' in sent


def test_a_bench_without_cells_never_shows_a_change_of_cell() -> None:
    recording = VirtualBench().run(Session("mobility", ROBOT, SCENARIO, 7), Nowhere())
    with pytest.raises(ev.Cannot, match=r"this bench has no cells"):
        mob_1(recording, expected_alarms(recording)[0])


def test_a_real_cell_change_while_packets_flow_commands_no_link() -> None:
    """In real time, as over physical links; only the packets are missing."""
    quick = replace(only_change(SCENARIO)[1], duration_s=4.0, within_s=3.0, every_s=0.02)
    step = replace(SCENARIO.steps[1], segments=(quick,))
    scenario = replace(SCENARIO, steps=(SCENARIO.steps[0], step, SCENARIO.steps[2]))
    session = Session("mobility", ROBOT, scenario, 7)
    with LabBench(SHIPPED) as bench:
        cells = lab_cells.Cells(bench.laboratory)
        assert cells.camp() == ""
        conducted = lab_cells.Conducted(cells, session, quick, 100_000_000)
        began_ns = time.monotonic_ns()
        conducted.begin(began_ns, lambda *order: pytest.fail(f"commanded {order}"))
        done, schedule = conducted.end()
        took_s = (time.monotonic_ns() - began_ns) / 1e9
        cells.quiet()
    (changed,) = done.cells
    assert (changed.problem, changed.before, changed.after) == ("", OLD, NEW)
    assert changed.commanded_s is not None
    assert changed.seen_s is not None
    assert 0.02 <= changed.commanded_s < changed.seen_s < took_s
    assert schedule.windows[1].phases[0][0] == "fade"


# ---- what goes wrong ----------------------------------------------------------


def test_a_modem_that_never_reports_another_cell(tmp_path) -> None:
    """The neighbour is too weak: the modem keeps what it has, and then has nothing."""
    recording = faulty(tmp_path, ("neighbour_dbm = -100", "neighbour_dbm = -130"))
    found = shown(recording)
    assert "reported no other cell than LTE 001-01 cell ABC01 PCI 17" in found.problem
    assert found.after == ""
    assert found.seen_s is None
    (problem,) = evidence_problems(recording)
    assert "the cell change in cell-change was not achieved" in problem
    with pytest.raises(ev.Cannot, match=r"reported no other cell"):
        mob_1(recording, expected_alarms(recording)[0])


def test_a_modem_without_any_cell(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lab_cells, "CAMP_S", 0.0)
    recording = faulty(tmp_path, ("serving_dbm = -85", "serving_dbm = -130"))
    assert "the modem found no cell" in shown(recording).problem


def test_an_attenuator_that_is_not_in_the_cells_way(tmp_path) -> None:
    """It reads back what it is set to, and the cell's level does not follow."""
    recording = faulty(tmp_path, ('attenuators = ["fading"]', "attenuators = []"))
    assert "reported no other cell" in shown(recording).problem


def test_an_attenuator_that_does_more_than_it_says(tmp_path) -> None:
    """Another cell comes, and not where the attenuator says: who knows what changed it."""
    weaker = ("neighbour_dbm = -100", "neighbour_dbm = -108")
    recording = faulty(tmp_path, weaker, fault='fading = ["drift=5@SETATT"]')
    assert "the serving cell's level fell by" in shown(recording).problem
    assert evidence_problems(recording)


def test_an_attenuator_that_is_stuck(tmp_path, monkeypatch) -> None:
    real = mini_circuits.Attenuator._set

    def stuck(self, db: float) -> str:
        return real(self, db) if db in (0, 90) else "1"

    monkeypatch.setattr(mini_circuits.Attenuator, "_set", stuck)
    with LabBench(SHIPPED) as bench:
        with pytest.raises(
            BenchError,
            match=r"fading: ATT. answers .0.00.: attenuation_db was set to 2 dB",
        ):
            bench.run(Session("mobility", ROBOT, SCENARIO, 7), Nowhere())
        lab = bench.laboratory.simulation
        assert lab is not None
        assert not lab.state().emissions, "the cells stayed on"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ('modem = ["mute@AT+QENG"]', r"modem: .*no answer"),
        ('modem = ["late@AT+QENG"]', r"modem: "),
        ('serving = ["error=-222@CONF:LTE:SIGN:DL:RSEP:LEV"]', r"serving: .*-222"),
    ],
)
def test_an_instrument_that_fails_is_the_benchs_own_error(tmp_path, fault, message) -> None:
    quick = (('reply = "5s"', 'reply = "150ms"'),) * 8
    with pytest.raises(BenchError, match=message):
        faulty(tmp_path, *quick, fault=fault)


def test_cells_are_off_and_the_attenuator_at_its_most_after_a_session(tmp_path) -> None:
    with LabBench(SHIPPED) as bench:
        bench.run(Session("mobility", ROBOT, SCENARIO, 7), Nowhere())
        lab = bench.laboratory.simulation
        assert lab is not None
        assert not lab.state().emissions
        assert lab.state().attenuations_db["fading:1"] == 90.0


def test_cells_that_are_too_much_together_are_never_on_together(tmp_path) -> None:
    """-50.7 (the attenuator may be 0.5 dB off) and -51.2 dBm, at a port that bears -50 dBm."""
    path = written(
        tmp_path,
        ("neighbour_dbm = -100", "neighbour_dbm = -85"),
        ("[ports.modem]\nmax_input_dbm = 0", "[ports.modem]\nmax_input_dbm = -50"),
    )
    with LabBench(path) as bench:
        with pytest.raises(
            BenchError, match=r"neighbour: modem would get up to -44\.9 dBm together with serving"
        ):
            bench.run(Session("mobility", ROBOT, SCENARIO, 7), Nowhere())
        lab = bench.laboratory.simulation
        assert lab is not None
        assert not lab.state().emissions
        assert lab.instruments["neighbour"].get("cell", 1) is False


def test_another_modem_than_the_files_is_refused(tmp_path) -> None:
    with (
        pytest.raises(BenchError, match=r"another modem answers") as caught,
        LabBench(written(tmp_path, ("EG25*", "RM520*"))),
    ):
        pass
    assert isinstance(caught.value.__cause__, WrongIdentity)


def test_only_a_laboratory_with_all_of_it_offers_cells(tmp_path) -> None:
    assert LabBench(SHIPPED).offers == {"cells"}
    assert VirtualBench().offers == frozenset()
    path = written(tmp_path, ('neighbour-cell = "neighbour"\n', ""))
    assert LabBench(path).offers == frozenset()
    real = load_bench_file(SHIPPED)
    for packets, simulated, offers in (
        ("links", real.simulated, set()),
        ("links", frozenset(), {"cells"}),
        ("virtual", real.simulated - {"fading"}, set()),
    ):
        made = replace(real, packets=packets, simulated=simulated)
        assert lab_cells.misplaced(made) == "" if offers else "and" in lab_cells.misplaced(made)
        if packets == "virtual":
            assert LabBench(made).offers == offers
    with LabBench(path) as bench, pytest.raises(InputError, match=r"neighbour-cell"):
        bench.run(Session("mobility", ROBOT, SCENARIO, 7), Nowhere())
    twice = replace(SCENARIO, steps=(*SCENARIO.steps, replace(SCENARIO.steps[1], name="again")))
    with pytest.raises(InputError, match=r"changes the cell once"):
        only_change(twice)
    assert load_bench_file(SHIPPED).cells.neighbour_dbm == -100


# ---- pure ----------------------------------------------------------------------


def rung(after_s: float, attenuation_db: float, cell: str = "a", rsrp_dbm: float | None = None):
    level = -90.0 - attenuation_db if rsrp_dbm is None else rsrp_dbm
    return Rung(after_s, attenuation_db, cell, level)


GOOD = (rung(0, 0), rung(1, 10), rung(2, 20, "b"))


@pytest.mark.parametrize(
    ("rungs", "within_s", "reason"),
    [
        (GOOD, 2.0, ""),
        (GOOD, 1.5, "later than 1.5"),
        ((), 2.0, "had no serving cell"),
        ((rung(0, 0, ""), *GOOD[1:]), 2.0, "had no serving cell"),
        (GOOD[:2], 2.0, "no other cell than a within 2 s, at 10 dB more"),
        ((*GOOD[:2], rung(2, 20, "")), 2.0, "at last it had none"),
        ((GOOD[0], rung(1, 10, "b")), 2.0, "before the attenuator had any effect"),
        ((GOOD[0], rung(1, 10, rsrp_dbm=-90.0), GOOD[2]), 2.0, "fell by 0 dB where 10 dB"),
        ((GOOD[0], rung(1, 10, rsrp_dbm=-107.0), GOOD[2]), 2.0, "fell by 17 dB where 10 dB"),
        ((GOOD[0], replace(GOOD[1], rsrp_dbm=None), GOOD[2]), 2.0, "does not know the level"),
    ],
)
def test_what_shows_that_the_attenuator_changed_the_cell(rungs, within_s, reason) -> None:
    found = doubt(rungs, within_s)
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_link_whose_reception_nobody_knows_is_left_alone() -> None:
    assert course(replace(NO_CELLS, rungs=GOOD, seen_s=2.0, problem=""), "fade", 8.0, 0.1) == (
        ("fade", 8.0, {}),
    )


def test_the_course_of_a_link_is_as_long_as_its_segment() -> None:
    good = Reception(-80.0, -120.0, -95.0, 15.0, 15.0, 0.0, 5e7)
    radio = Radio("primary", "lte-20mhz", 2.14e9, -80.0)
    rungs = tuple(replace(one, reception=good) for one in GOOD)
    for seen_s in (None, 2.0):
        changed = replace(NO_CELLS, rungs=rungs, seen_s=seen_s, radio=radio)
        found = course(changed, "fade", 8.0, 0.1)
        assert sum(length for _, length, _ in found) == pytest.approx(8.0)
        assert any(name == "interruption" for name, _, _ in found) == (seen_s is not None)


def test_a_cell_is_told_with_all_that_makes_it_another() -> None:
    one = Cell("LTE", "001-01", "ABC01", 17, 300, "1", "5", -95.0, -10.0)
    assert lab_cells.shown(one) == OLD
    assert isinstance(SCENARIO.steps[1].segments[0], CellChange)


def test_a_simulated_cell_that_is_off_already_is_off_at_once() -> None:
    tester = Lab({"serving": Described("radio-tester")}).instruments["serving"]
    state = b"SOUR:LTE:SIGN1:CELL:STAT:ALL?"
    tester.handle(b"SOUR:LTE:SIGN1:CELL:STAT OFF")
    assert tester.handle(state).response.strip() == b"OFF,ADJ"
    tester.handle(b"SOUR:LTE:SIGN1:CELL:STAT ON")
    assert tester.handle(state).response.strip() == b"ON,PEND"
