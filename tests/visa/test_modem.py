"""A modem on a pseudo-terminal: answers among unsolicited results, late ones, cells, handovers."""

from __future__ import annotations

import contextlib
import os
import threading
import tty

import pytest

from instruments.modem.modem import Modem
from instruments.modem.parsing import (
    Cell,
    Registration,
    Sighting,
    cell_changes,
    registration,
    serving_cells,
    signal_quality,
)
from instruments.visa.errors import (
    BadAnswer,
    Broken,
    Busy,
    DeadlinePassed,
    Reported,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript

LTE = (
    '+QENG: "servingcell","NOCONN","LTE","FDD",460,01,5F1EA15,12,1650,3,5,5,DE10,-100,-12,-68,11,0'
)
OTHER = LTE.replace("5F1EA15,12", "5F1EA16,13")
SA = (
    '+QENG: "servingcell","CONNECT","NR5G-SA","TDD",460,01,'
    "19013B004,299,690E0F,633984,78,12,-107,-13,2,1,-"
)
ENDC = [
    '+QENG: "servingcell","NOCONN"',
    '+QENG: "LTE","FDD",460,01,5F1EA15,12,1650,3,5,5,DE10,-99,-12,-67,11,9,230,-',
    '+QENG: "NR5G-NSA",460,01,747,-71,33,-11,627264,78,12,1',
]
IDENTITY = Identity("Quectel", "RM520N-GL")


class Line:
    """A scripted modem behind a pseudo-terminal."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.answers: dict[str, list[str] | None] = {
            "AT+CGMI": ["Quectel"],
            "AT+CGMM": ["RM520N-GL"],
            "AT+CGSN": ["866758040000000"],
            "AT+CGMR": ["RM520NGLAAR01A07M4G"],
            "AT+C5GREG=2": ["+CME ERROR: 4"],
        }
        self.before: dict[str, list[str]] = {}
        self.commands: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                *commands, buffer = (buffer + data).split(b"\r")
                for command in commands:
                    self._answer(command.decode())

    def _answer(self, command: str) -> None:
        self.commands.append(command)
        self.say(*self.before.pop(command, []))
        lines = self.answers.get(command, [])
        self.say(command)
        if lines is None:
            return
        final = [] if lines and lines[-1].startswith(("ERROR", "+CME")) else ["OK"]
        self.say(*lines, *final)

    def say(self, *lines: str) -> None:
        for line in lines:
            os.write(self._master, f"\r\n{line}\r\n".encode())

    def close(self) -> None:
        os.close(self._slave)
        os.close(self._master)
        self._thread.join(2)


@pytest.fixture
def line():
    made = Line()
    yield made
    with contextlib.suppress(OSError):
        made.close()


def modem(line: Line, folder, reply_s: float = 5.0, identity=IDENTITY, transcript=None) -> Modem:
    return Modem(
        "modem", line.port, identity, reply_s, transcript or Transcript(), lock_folder=folder
    )


def test_unsolicited_results_are_told_from_answers(tmp_path, line) -> None:
    transcript = Transcript()
    with modem(line, tmp_path, transcript=transcript) as one:
        assert one.identity.model == "RM520N-GL"
        line.answers["AT+CEREG?"] = [
            '+CEREG: 1,"DE10","5F1EA16",7',
            '+CEREG: 2,1,"DE10","5F1EA15",7',
            "RING",
        ]
        assert one.command("AT+CEREG?", "+CEREG:") == ['+CEREG: 2,1,"DE10","5F1EA15",7']
        line.answers['AT+QENG="servingcell"'] = ["+CREG: 1", LTE, '+CEREG: 5,"DE11","5F1EA17",7']
        assert one.look().cells[0].pci == 12
        assert [e.line for e in one.events] == [
            '+CEREG: 1,"DE10","5F1EA16",7', "RING", "+CREG: 1", '+CEREG: 5,"DE11","5F1EA17",7',
        ]  # fmt: skip
        assert [report for _, report in one.reports()] == [
            Registration(1, "DE10", "5F1EA16"),
            Registration(5, "DE11", "5F1EA17"),
        ]
    sent = "".join(e["data"] for e in transcript.entries if e["kind"] == "tx")
    assert sent.split("\r")[:-1] == line.commands


def test_an_answer_without_a_prefix_has_no_reports_in_it(tmp_path, line) -> None:
    with modem(line, tmp_path) as one:
        line.answers["AT+CGMR"] = ["+CREG: 1", "REV1", "RING"]
        assert one.command("AT+CGMR") == ["REV1"]
        assert [event.line for event in one.events] == ["+CREG: 1", "RING"]


def test_a_late_answer_is_never_the_next_commands(tmp_path, line) -> None:
    with modem(line, tmp_path) as one:
        line.answers["AT+CESQ"] = None
        line.before["AT"] = ["+CESQ: 99,99,255,255,20,60", "OK"]
        with pytest.raises(DeadlinePassed):
            one.command("AT+CESQ", "+CESQ:", 0.1)
        assert [taint.step for taint in one.taints] == ["AT+CESQ"]
        line.answers["AT+CESQ"] = ["+CESQ: 99,99,255,255,16,40"]
        line.before["AT+CESQ"] = ["+CESQ: 99,99,255,255,20,60", "OK"]  # later still
        assert one.signal() == (-101, -12)


def test_a_modem_that_stays_silent_is_broken(tmp_path, line) -> None:
    with modem(line, tmp_path) as one:
        one._reply_s = 0.1
        line.answers["AT+CESQ"] = line.answers["AT"] = None
        with pytest.raises(Broken):
            one.signal()
        with pytest.raises(Broken):
            one.look()


def test_errors_are_raised(tmp_path, line) -> None:
    with modem(line, tmp_path) as one:
        line.answers["AT+CESQ"] = ["+CME ERROR: 10"]
        with pytest.raises(Reported, match=r"after AT\+CESQ: \+CME ERROR: 10"):
            one.signal()


def test_another_modem_or_none_or_a_taken_one_is_refused(tmp_path, line) -> None:
    with (
        pytest.raises(WrongIdentity, match="RM520N-GL"),
        modem(line, tmp_path, identity=Identity("Quectel", "EC25")),
    ):
        pytest.fail("opened")
    with modem(line, tmp_path), pytest.raises(Busy), modem(line, tmp_path):
        pytest.fail("opened twice")
    line.answers["AT+CGMM"] = line.answers["AT"] = None
    with pytest.raises(Unreachable), modem(line, tmp_path, reply_s=0.2):
        pytest.fail("opened")
    with (
        pytest.raises(Unreachable),
        Modem("modem", "/dev/no-such-port", IDENTITY, 1, Transcript(), lock_folder=tmp_path),
    ):
        pytest.fail("opened")


def test_a_change_of_cell_is_evidence_with_its_bounds(tmp_path, line) -> None:
    with modem(line, tmp_path) as one:
        for answer in ([LTE], [LTE], ['+QENG: "servingcell","SEARCH"'], [OTHER]):
            line.answers['AT+QENG="servingcell"'] = answer
            one.look()
        [change] = cell_changes(one.sightings)
        assert change.after_ns == one.sightings[1].t_ns
        assert change.by_ns == one.sightings[3].t_ns
        assert [c.cell_id for c in change.before + change.after] == ["5F1EA15", "5F1EA16"]
        assert cell_changes(one.sightings[:3]) == ()


# ---- parsing ---------------------------------------------------------------


def test_each_technology_has_its_own_order() -> None:
    assert serving_cells([LTE], "m") == (
        Cell("LTE", "460-01", "5F1EA15", 12, 1650, "3", "DE10", -100, -12),
    )
    assert serving_cells([SA], "m") == (
        Cell("NR5G-SA", "460-01", "19013B004", 299, 633984, "78", "690E0F", -107, -13),
    )
    assert serving_cells(ENDC, "m")[1] == Cell(
        "NR5G-NSA", "460-01", "", 747, 627264, "78", "", -71, -11
    )
    unknown = serving_cells([LTE.replace("-100,-12", "-,-32768")], "m")[0]
    assert (unknown.rsrp_dbm, unknown.rsrq_db) == (None, None)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["+CEREG: 1"],
        ['+QENG: "servingcell","NOCONN","WCDMA",460,01,DE10,5F1EA15,10713,1'],
        [LTE[:70]],
        [LTE.replace(",12,1650", ",x,1650")],
    ],
)
def test_what_cannot_be_read_is_an_error(lines) -> None:
    with pytest.raises(BadAnswer):
        serving_cells(lines, "m")


def test_registration_of_reports_and_answers() -> None:
    assert registration("+CEREG: 0", "+CEREG:", "m") == Registration(0)
    assert registration('+CEREG: 2,5,"A","B",7', "+CEREG:", "m").registered
    assert not registration('+C5GREG: 3,"A","B",11', "+C5GREG:", "m").registered
    with pytest.raises(BadAnswer):
        registration("+CEREG:", "+CEREG:", "m")


def test_signal_quality() -> None:
    assert signal_quality("+CESQ: 99,99,255,255,0,97", "m") == (-44, -20)
    assert signal_quality("+CESQ: 99,99,255,255,255,255", "m") == (None, None)
    for bad in ("+CESQ: 99,99", "+CESQ: 99,99,255,255,35,10", "+CESQ: 99,99,255,255,1,98", ""):
        with pytest.raises(BadAnswer):
            signal_quality(bad, "m")


def test_the_same_cell_at_another_level_is_no_change() -> None:
    cells = [serving_cells([LTE.replace("-100", level)], "m") for level in ("-100", "-90")]
    assert cell_changes(Sighting(n, one) for n, one in enumerate(cells)) == ()
