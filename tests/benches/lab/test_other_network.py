"""Another network beside the device: its link measured on real sockets, or the reason why not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bench.benches.base import BenchError
from bench.benches.lab.bench import LabBench
from bench.benches.lab.file import SHIPPED, load_bench_file
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.network.radio.exposure import reception_of
from bench.studies.coexistence.explore import others_of
from bench.studies.coexistence.plan import shipped_plan
from instruments.rf import testers
from tests.support.bench_files import served, written

ROBOT = find_device("tele-ultrasound-robot")
NAME = "LTE terminal of a visitor, 5 m away"
FAULTS = "[[simulated.paths]]"


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch) -> None:
    """Simulated testers count their polls; nothing is gained by waiting between them."""
    monkeypatch.setattr(testers, "EVERY_S", 0.01)
    monkeypatch.setattr(testers, "COUNT_EVERY_S", 0.01)


def measured(path, device=ROBOT):
    with LabBench(path) as bench:
        return bench.disturbed(device, 7)


def faulty(tmp_path, *changes: tuple[str, str], fault: str = ""):
    told = ((FAULTS, f"[simulated.faults]\n{fault}\n{FAULTS}"),) if fault else ()
    return measured(written(tmp_path, *changes, *told))


def test_what_the_device_takes_from_it_is_what_the_levels_give() -> None:
    """Measured on sockets, and reckoned from the same levels: they agree."""
    found = measured(SHIPPED)
    assert found.measured_by == "other: Rohde&Schwarz CMW, simulated"
    assert found.answer()[0] == "disturbed"
    (other,) = shipped_plan().others
    alone = reception_of(replace(other.radio, wanted_dbm=-85.008), ())
    beside = reception_of(replace(other.radio, wanted_dbm=-85.008), (other.device,))
    for seen, reckoned in ((found.alone, alone), (found.beside, beside)):
        figure = seen.throughput()
        assert figure.value == pytest.approx(reckoned.rate_bps, abs=figure.uncertainty + 2e3)
        assert seen.blocks == seen.delivered == 5000
    assert 0 < found.beside.throughput().uncertainty < 0.1 * found.fall().value


def test_a_device_that_does_not_reach_it_disturbs_nobody(tmp_path) -> None:
    found = faulty(tmp_path, ('loss = "115dB"', 'loss = "160dB"'))
    assert found.answer()[0] == "not disturbed"


def test_a_device_that_takes_its_link_away_leaves_blocks_unanswered(tmp_path) -> None:
    found = faulty(tmp_path, ('loss = "115dB"', 'loss = "60dB"'))
    assert found.answer()[0] == "disturbed"
    # bursts of 2.5 ms at 25 % strike (2.5 + 1) / 10 of the subframes of 1 ms
    assert found.beside.unanswered == pytest.approx(0.35 * 5000, rel=0.05)
    assert found.alone.unanswered == 0


def test_a_terminal_that_hears_too_little_shows_nothing(tmp_path) -> None:
    found = faulty(tmp_path, ('noise_figure = "9dB"', 'noise_figure = "45dB"'))
    assert found.answer()[0] == "INCONCLUSIVE"
    assert "not in order" in found.answer()[1]


@pytest.mark.parametrize(
    ("changes", "fault", "told"),
    [
        ((), 'other = ["mute@FETC:LTE:SIGN:EBL:ABS?"]', "other: "),
        ((), 'other = ["mute@FETC:LTE:SIGN:EBL:ABS?x1"]', "other: "),
        ((("least_loss_db = 30", "least_loss_db = -60"),), "", "other: "),
        ((('loss = "30.8dB"', 'loss = "130dB"'),), "", "other: .*ATT"),
        ((("[simulated.device]", "[simulated.emitters.unused]\nfrequency = '3.5GHz'"),), "",
         "does not say what the device sends"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_being_measured_is_said(
    tmp_path, monkeypatch, changes, fault, told
) -> None:
    monkeypatch.setattr(testers, "ATTACH_S", 0.3)
    short = ('model = "CMW*"\nwrite_termination = "\\n"\nread_termination = "\\n"\nconnect = "5s"\n'
             'reply = "5s"\n\n[other_network]',
             'model = "CMW*"\nwrite_termination = "\\n"\nread_termination = "\\n"\nconnect = "5s"\n'
             'reply = "300ms"\n\n[other_network]')  # fmt: skip
    found = faulty(tmp_path, short, *changes, fault=fault)
    answer, why = found.answer()
    assert answer == "not measured"
    assert re.search(told, why), why


def test_its_cell_is_off_again_and_the_device_silent() -> None:
    with LabBench(SHIPPED) as bench:
        assert bench.disturbed(ROBOT, 7).answer()[0] == "disturbed"
        assert not bench.laboratory.simulation.state().emissions


def test_a_simulated_device_reaches_no_terminal_of_a_real_tester(tmp_path) -> None:
    with served(tmp_path) as (path, _):
        answer = measured(path).answer()
    assert answer == ("not measured", "the device is simulated, and reaches no real terminal")


def test_a_cell_that_does_not_go_off_ends_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(testers, "CELL_S", 0.3)
    path = written(tmp_path)
    with LabBench(path) as bench:
        tester = bench.laboratory.simulation.instruments["other"]
        adjusted = tester.generator_state
        tester.generator_state = lambda instance: "ON,ADJ"
        with pytest.raises(BenchError, match="OFF,ADJ"):
            bench.disturbed(ROBOT, 7)
        tester.generator_state = adjusted


def told_of(bench, plan=None):
    said: list[str] = []
    return others_of(plan or shipped_plan(), ROBOT, bench, 7, said.append), said


def test_a_plan_has_it_measured_beside_what_it_reckons() -> None:
    with LabBench(SHIPPED) as bench:
        (other,), said = told_of(bench)
    assert other.name == other.measured.name == NAME
    assert other.alone.rate_bps > other.beside.rate_bps
    assert other.measured.answer()[0] == "disturbed"
    assert len(said) == 1
    assert said[0].startswith(f"coexistence: {NAME}: disturbed: throughput -0.7")


def test_another_one_than_the_laboratory_has_was_not_measured() -> None:
    plan = shipped_plan()
    plan = replace(plan, others=(replace(plan.others[0], name="somebody else's"),))
    with LabBench(SHIPPED) as bench:
        (asked, found), _ = told_of(bench, plan)
    assert asked.measured.answer() == ("not measured", f"the laboratory has {NAME} beside it")
    assert (found.name, found.alone, found.measured.answer()[0]) == (NAME, None, "disturbed")


def test_where_nobody_can_measure_it_is_reckoned_alone() -> None:
    (other,), said = told_of(VirtualBench())
    assert other.measured is None
    assert not said


def test_a_laboratory_without_one_says_so(tmp_path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    start, end = text.index("[other_network]"), text.index("[cells]")
    receivers = text[text.index("[simulated.receivers.visitor]") : text.index("[simulated.cells.")]
    path = written(
        tmp_path,
        (text[start:end], ""),
        (
            'other-network = "other"         # the cell of a network that the device may disturb\n',
            "",
        ),
        (receivers, ""),
        ('to = "visitor"\nloss = "30.8dB"', 'to = "modem"\nloss = "30.8dB"'),
        ('to = "visitor"\nloss = "115dB"', 'to = "modem"\nloss = "115dB"'),
    )
    with LabBench(path) as bench:
        (other,), said = told_of(bench)
    assert other.measured.answer() == ("not measured", "no instrument is bound to other-network")
    assert not said


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("band = 42\nchannel", "band = 6\nchannel", "other_network.band = 6: is none"),
        ("channel = 42090", "channel = 4.5", "other_network.channel = 4.5: is no whole number"),
        ("rs_epre_dbm = -85", "rs_epre_dbm = 10", "other_network.rs_epre_dbm = 10: is no level"),
        ("subframes = 1000", "subframes = 1", "other_network.subframes = 1: is no whole number"),
        ('other-network = "other"', 'other-network = "serving"', "has another use too"),
        ('other-network = "other"', "", "and the role other-network belong together"),
        ('duty = "25%"\nburst = "2.5ms"', 'duty = "25%"', "simulated.device.duty = '25%': and b"),
        ("[other_network]\nname", "[other_network]\nnames", "other_network.names: unknown key"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, old, new, told) -> None:
    with pytest.raises(InputError) as refused:
        load_bench_file(written(tmp_path, (old, new)))
    assert told in refused.value.line(), refused.value.line()
