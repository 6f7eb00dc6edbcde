"""The modem driver on the simulated modem's terminal, with cells that a radio tester emits."""

from __future__ import annotations

import time

import pytest

from instruments.modem.modem import Modem
from instruments.modem.parsing import cell_changes
from instruments.visa.errors import Reported, WrongIdentity
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript, check_entries
from tests.support.every_driver import running

QUECTEL = Identity("Quectel", "EG25-G")


@pytest.fixture(scope="module")
def lab():
    with running("tester", "modem") as started:
        yield started


@pytest.fixture(autouse=True)
def power_on(lab):
    for instrument in lab.lab.instruments.values():
        instrument.power_on()


def port(lab) -> str:
    return lab.resources["modem"].removeprefix("ASRL").removesuffix("::INSTR")


def on_air(lab, *levels_dbm: float | None) -> None:
    tester = lab.lab.instruments["tester"]
    for n, level in enumerate(levels_dbm, 1):
        tester.put("cell", level is not None, n)
        tester.put("level", -85.0 if level is None else level, n)


def soon(found, within_s: float = 10.0):
    """Wait until it is true: the terminal is asked for news four times a second."""
    deadline = time.monotonic() + within_s
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_handover_is_seen_in_cells_and_in_reports(lab, tmp_path) -> None:
    transcript = Transcript()
    with Modem("modem", port(lab), QUECTEL, 5.0, transcript, lock_folder=tmp_path) as modem:
        assert modem.identity.serial == "001010000000001"
        assert modem.look().cells == ()
        assert modem.signal() == (None, None)
        on_air(lab, -85.0, None)
        soon(lambda: any(one.registered for _, one in modem.reports()))
        first = modem.look().cells[0]
        assert (first.technology, first.cell_id, first.pci) == ("LTE", "ABC01", 17)
        assert (first.channel, first.band, first.area) == (300, "1", "5")
        assert first.rsrp_dbm == pytest.approx(-95, abs=1)
        assert modem.signal()[0] == pytest.approx(-95, abs=1)
        on_air(lab, -110.0, -85.0)
        soon(lambda: modem.reports()[-1][1].cell_id == "000ABC02")
        assert modem.look().cells[0].pci == 18
        changes = cell_changes(modem.sightings)
        assert [change.after[0].pci for change in changes] == [18]
        assert changes[0].after_ns < changes[0].by_ns
        on_air(lab, None, None)
        soon(lambda: not modem.reports()[-1][1].registered)
        assert modem.look().cells == ()
        with pytest.raises(Reported, match="CME ERROR"):
            modem.command("AT+NONSENSE")
        assert not modem.taints
    check_entries(transcript.entries)


def test_another_modem_is_refused(lab, tmp_path) -> None:
    other = Modem(
        "modem", port(lab), Identity("Quectel", "RM500Q"), 5.0, Transcript(), lock_folder=tmp_path
    )
    with pytest.raises(WrongIdentity, match="EG25-G"), other:
        pytest.fail("opened")
