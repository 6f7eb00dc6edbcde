"""Analysers, switches, oscilloscopes, testers, attenuators over HTTP; and every driver's table."""

from __future__ import annotations

import ast
import http.server
import importlib
import inspect
import pkgutil
import threading

import pytest

import instruments.power
import instruments.rf
from bench.errors import InputError
from instruments.contacts.box import ContactBox
from instruments.modem.modem import Modem
from instruments.rf.analysers import KeysightX, RohdeSchwarzFs
from instruments.rf.attenuators import MINI_CIRCUITS, Rcdat
from instruments.rf.generators import KeysightMxg
from instruments.rf.levels import Path, Port, permit
from instruments.rf.oscilloscopes import KeysightInfiniiVision
from instruments.rf.switches import SpdtSwitches
from instruments.rf.testers import FULL_CELL_DB, Blocks, Cmw500Lte, LteCell, blocks_of
from instruments.visa.errors import (
    BadAnswer,
    DeadlinePassed,
    Excess,
    NotApplied,
    NotAResult,
    Tainted,
    Unreachable,
)
from instruments.visa.plan import Plan
from instruments.visa.properties import Instrument, Number, commands_of, settings_of
from instruments.visa.readings import number
from instruments.visa.replay import Playback
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript, check_entries
from tests.support.scripted import Half, Peer, Script, session

SHORT_S = 0.06


# ---- every driver ----------------------------------------------------------


def drivers() -> list[type[Instrument]]:
    for package in (instruments.rf, instruments.power):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    found: list[type[Instrument]] = []
    waiting = [Instrument]
    while waiting:
        kinds = [k for k in waiting.pop().__subclasses__() if k.__module__.startswith("instr")]
        waiting += kinds
        found += [k for k in kinds if k.models]
    return found


@pytest.mark.parametrize("kind", [*drivers(), Modem, ContactBox], ids=lambda kind: kind.__name__)
def test_every_command_cites_its_manual_and_nothing_claims_to_be_verified(kind) -> None:
    table = {**settings_of(kind), **commands_of(kind)}
    assert table
    for name, item in table.items():
        manual, _, section = item.source.partition(", ")
        assert len(manual) > 10, name
        assert len(section) > 5, name
    for name, setting in settings_of(kind).items():
        if isinstance(setting, Number):
            assert setting.low < setting.high
            unit = {"dB": "db"}.get(setting.unit, setting.unit.lower())
            assert not unit or name.endswith(f"_{unit}"), name
    assert kind.family
    assert kind.verified_on == ()
    if issubclass(kind, Instrument):
        assert kind.manufacturer


def test_commands_in_a_tuple_are_looked_at_too() -> None:
    assert commands_of(Modem)["who[3]"].text == "AT+CGMR"
    assert "modulated_states[0]" in commands_of(KeysightMxg)


@pytest.mark.parametrize("kind", [Modem, ContactBox], ids=lambda kind: kind.__name__)
def test_what_a_serial_driver_sends_stands_in_its_table(kind) -> None:
    """No request is written where it is sent: there nothing would ask for its source."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(kind)))
    asking = {"_ask", "_exchange", "command"}
    written = [
        ast.unparse(call)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in asking
        and isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    assert written == []


def test_there_are_drivers_of_every_family() -> None:
    families = {kind.family for kind in drivers()}
    assert families >= {
        "signal-generator", "spectrum-analyser", "attenuator", "switch", "radio-tester",
        "power-supply", "oscilloscope",
    }  # fmt: skip


# ---- attenuator over HTTP --------------------------------------------------


class Box(http.server.BaseHTTPRequestHandler):
    asked: list[str]
    answers: dict[str, object]
    gate: threading.Event

    def do_GET(self) -> None:
        command = self.path.removeprefix("/")
        self.asked.append(command)
        if command.startswith("SETATT="):
            self.answers["ATT?"] = command.removeprefix("SETATT=")
            body = self.answers.get("SETATT", "1")
        else:
            body = self.answers.get(command, "-1 Invalid")
        if body is None:
            self.gate.wait(10)
            return
        if isinstance(body, int):
            self.send_error(body)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 2 * isinstance(body, bytes)))
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def box():
    names = {"MN?": "MN=RCDAT-6000-90", "SN?": "SN=115", "ATT?": "0.0"}
    kind = type("ThisBox", (Box,), {"asked": [], "answers": names, "gate": threading.Event()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    kind.address = f"http://127.0.0.1:{server.server_port}"
    yield kind
    kind.gate.set()
    server.shutdown()
    server.server_close()


def over_http(box, folder, transcript=None, reply_s=5.0) -> Session:
    where = Resource(
        "attenuator", box.address, Identity("Mini-Circuits", "RCDAT-*"), "", "", 2.0, reply_s
    )
    return Session(where, transcript or Transcript(), MINI_CIRCUITS, lock_folder=folder)


def test_an_attenuator_over_http(tmp_path, box) -> None:
    transcript = Transcript()
    with over_http(box, tmp_path, transcript) as live:
        attenuator = Rcdat(live)
        attenuator.attenuation_db = 12.25
        assert "SETATT=12.25" in box.asked
        assert attenuator.attenuation_db == 12.25
        box.answers["SETATT"] = "0"
        with pytest.raises(NotApplied, match="refused"):
            attenuator.attenuation_db = 3
    sent = [entry["data"] for entry in transcript.entries if entry["kind"] == "tx"]
    assert sent[0].startswith("GET /MN? HTTP/1.1\r\nHost: 127.0.0.1:")


def test_a_run_over_http_is_played_back(tmp_path, box) -> None:
    transcript = Transcript()
    with over_http(box, tmp_path, transcript) as live:
        Rcdat(live).attenuation_db = 12.25
        where = live.resource
    playback = Playback(check_entries(transcript.entries))
    again = playback.transcript()
    with Session(
        where, again, MINI_CIRCUITS, connector=playback.connect, lock_folder=tmp_path
    ) as live:
        Rcdat(live).attenuation_db = 12.25
    assert again.entries == transcript.entries


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (404, BadAnswer),
        ("-1 no such thing", BadAnswer),
        ("", BadAnswer),
        (b"12.2", BadAnswer),
        (None, DeadlinePassed),
    ],
    ids=["status", "error-text", "empty", "half", "late"],
)
def test_what_goes_wrong_over_http_is_no_number(tmp_path, box, answer, error) -> None:
    with over_http(box, tmp_path) as live:
        box.answers["ATT?"] = answer
        within_s = 0.2 if answer is None else None
        with pytest.raises(error):
            number(live.query("ATT?", within_s), "attenuator")


def test_http_on_a_refused_port_is_unreachable(tmp_path, box) -> None:
    with Peer(Script()) as peer:
        box.address = f"http://127.0.0.1:{peer.port}"
    with pytest.raises(Unreachable), over_http(box, tmp_path):
        pytest.fail("opened")


# ---- analysers -------------------------------------------------------------

SWEEPS = {
    RohdeSchwarzFs: "INIT:CONT OFF;:INIT;*OPC?",
    KeysightX: ":INIT:CONT OFF;:INIT:IMM;*OPC?",
}


def analyser(kind) -> Script:
    colon = ":" if kind is KeysightX else ""
    table = {
        SWEEPS[kind]: "1",
        kind.offset.text: "0",
        f"{colon}CALC:MARK1:Y?": "-42.5",
        f"{colon}CALC:MARK1:X?": "2412000000",
        f"{colon}TRAC? TRACE1": "-90.1,-42.5,-91",
        "STAT:QUES:POW?": "0",
    }
    return Script(table=table)


@pytest.mark.parametrize("kind", SWEEPS)
def test_an_analyser_measures_a_new_sweep(tmp_path, kind) -> None:
    script = analyser(kind)
    with Peer(script) as peer, session(peer, tmp_path, role="analyser") as live:
        one = kind(live)
        level, frequency = one.peak()
        assert level.number() == -42.5
        assert frequency.number() == 2.412e9
        assert one.highest().number() == -42.5
        script.table[kind.offset.text] = "20"
        with pytest.raises(NotApplied, match="OFFS"):
            one.peak()
        script.table[kind.offset.text] = "0"
        script.table[kind.trace.text] = "-90,9.91E37,-91"
        with pytest.raises(NotAResult):
            one.highest().number()


def test_an_overload_is_no_result(tmp_path) -> None:
    script = analyser(RohdeSchwarzFs)
    script.once["STAT:QUES:POW?"] = ["4", "4"]
    with Peer(script) as peer, session(peer, tmp_path, role="analyser") as live:
        with pytest.raises(NotApplied, match="STAT:QUES:POW"):
            RohdeSchwarzFs(live).peak()
        script.once["STAT:QUES:POW?"] = ["4", "0"]  # of before the sweep
        assert RohdeSchwarzFs(live).peak()[0].valid


# ---- switches --------------------------------------------------------------


def test_one_switch_is_set_and_the_others_left_alone(tmp_path) -> None:
    state = {"A": 1, "B": 0, "C": 1, "D": 0}
    lines: list[str] = []

    def answer(line: str) -> str:
        lines.append(line)
        if line.startswith("SET"):
            state[line[3]] = int(line[5])
            return "1"
        states = sum(on << "ABCD".index(name) for name, on in state.items())
        known = {"MN?": "MN=RC-4SPDT-A18", "SN?": "SN=7", "SWPORT?": str(states)}
        return known.get(line, "-99 unrecognised")

    identity = Identity("Mini-Circuits", "RC-4SPDT-*")
    with (
        Peer(answer, end="\r\n", greeting="\r\n") as peer,
        session(
            peer, tmp_path, dialect=MINI_CIRCUITS, identity=identity, role="switch",
            read_termination="\r\n",
        ) as live,
    ):  # fmt: skip
        switches = SpdtSwitches(live, switches=4)
        switches.connect("B", 2)
        assert state == {"A": 1, "B": 1, "C": 1, "D": 0}
        assert [line for line in lines if "N?" not in line] == ["SETB=1", "SWPORT?"]
        assert live.declared == ("switch B",)
        for switch, port in (("E", 1), ("A", 0), ("A", 3)):
            with pytest.raises(InputError, match="use one of"):
                switches.connect(switch, port)
        peer.script = lambda line: "0" if line == "SWPORT?" else answer(line)
        with pytest.raises(NotApplied, match="not at port 2"):
            switches.connect("A", 2)


# ---- oscilloscope ----------------------------------------------------------


def test_latency_between_two_channels(tmp_path) -> None:
    script = Script(table={":DIG CHAN1,CHAN2;*OPC?": "1", ":MEAS:DEL? CHAN1,CHAN2": "+2.35E-02"})
    with Peer(script) as peer, session(peer, tmp_path, role="scope") as live:
        scope = KeysightInfiniiVision(live)
        assert scope.latency(1, 2, 5).number() == 0.0235
        script.table[":MEAS:DEL? CHAN1,CHAN2"] = "+9.9E+37"
        missing = scope.latency(1, 2, 5)
        with pytest.raises(NotAResult):
            missing.number()
        script.table[":DIG CHAN1,CHAN2;*OPC?"] = None
        never = scope.latency(1, 2, SHORT_S)
        assert "no trigger" in never.missing
        with pytest.raises(Tainted):
            never.number()
        script.table[":DIG CHAN1,CHAN2;*OPC?"] = Half("1")
        assert not scope.latency(1, 2, SHORT_S).valid
    for a, b, edge in ((1, 1, "+1"), (0, 2, "+1"), (1, 2, "1"), (1, 2, "+0"), (1, 2, "+1;*RST")):
        with pytest.raises(InputError):
            KeysightInfiniiVision(Plan("scope")).latency(a, b, 5, edge)


# ---- radio tester ----------------------------------------------------------

UE = Port("device", 0.0)


def cmw() -> Script:
    return Script(
        table={"CONF:LTE:SIGN:RFS:EATT:OUTP?": "0.0", "CONF:LTE:SIGN:RFS:CHAN:DL?": "300"},
        state={"CONF:LTE:SIGN:DL:RSEP:LEV": "-85"},
        once={"SOUR:LTE:SIGN:CELL:STAT:ALL?": ["OFF,PEND", "ON,PEND", "ON,ADJ"]},
    )


def allowed(ceiling_dbm: float):
    return permit("tester", ceiling_dbm, 12.0, (Path(UE, 0.0),), {})


def test_a_cell_comes_up_attaches_and_hands_over(tmp_path) -> None:
    script = cmw()
    waits: list[float] = []
    with Peer(script) as peer, session(
        peer, tmp_path, role="tester", sleep=waits.append
    ) as live:  # fmt: skip
        tester = Cmw500Lte(live)
        tester.switch_on(allowed(-50))
        assert waits == [0.5, 0.5]
        script.once["FETC:LTE:SIGN:PSW:STAT?"] = ["ON", "ATT", "CONN", "CEST", "CEST", "CEST"]
        tester.wait_attached()
        tester.connect()
        script.once["CONF:LTE:SIGN:RFS:CHAN:DL?"] = ["300", "1300"]
        tester.handover(LteCell("FDD", "OB3", 1300, "B100"))
        assert "PREP:LTE:SIGN:HAND:ENH FDD,OB3,1300,B100,NS01" in script.lines
        script.table["FETC:LTE:SIGN:PSW:STAT?"] = "CEST"
        with pytest.raises(NotApplied, match="not 1850 after 30 s"):
            tester.handover(LteCell("FDD", "OB3", 1850, "B100"))
        script.table["SOUR:LTE:SIGN:CELL:STAT:ALL?"] = "OFF,ADJ"
        tester.make_safe()
        assert "SOUR:LTE:SIGN:CELL:STAT OFF" in script.lines


def test_a_tester_counts_what_its_terminal_acknowledges(tmp_path) -> None:
    script = cmw()
    script.state |= {"CONF:LTE:SIGN:EBL:REP": "CONT", "CONF:LTE:SIGN:EBL:SFR": "10000"}
    script.table["FETC:LTE:SIGN:PSW:STAT?"] = "CEST"
    script.once["FETC:LTE:SIGN:EBL:STAT?"] = ["RUN", "RDY"]
    script.table["FETC:LTE:SIGN:EBL:ABS?"] = "0,980,15,1000,29196.5,29000.0,29300.0,5,1000,12"
    with Peer(script) as peer, session(
        peer, tmp_path, role="tester", sleep=lambda _: None
    ) as live:  # fmt: skip
        assert Cmw500Lte(live).blocks(1000) == Blocks(980, 15, 5, 29196500.0)
        assert script.lines.index("ABOR:LTE:SIGN:EBL") < script.lines.index("INIT:LTE:SIGN:EBL")
        script.table["FETC:LTE:SIGN:PSW:STAT?"] = "ON"
        with pytest.raises(NotApplied, match="PSW"):
            Cmw500Lte(live).blocks(1000)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("1,NAV,NAV,NAV,NAV,NAV,NAV,NAV,NAV,NAV", NotAResult),
        ("0,NAV,NAV,1000,NAV,NAV,NAV,NAV,NAV,NAV", NotAResult),
        ("0,0,0,1000,0.0,0.0,0.0,0,0,0", BadAnswer),
        ("0,-5,6,1000,1.0,1.0,1.0,0,1000,12", BadAnswer),
        ("0.980", BadAnswer),
    ],
)
def test_what_is_no_count_of_blocks_is_none(answer, error) -> None:
    with pytest.raises(error):
        blocks_of(answer, "tester")


def test_a_permit_holds_a_cell_s_level_and_nothing_else(tmp_path) -> None:
    script = cmw()
    script.state |= {"CONF:LTE:SIGN:EBL:SFR": "10000"}
    with Peer(script) as peer, session(
        peer, tmp_path, role="tester", sleep=lambda _: None
    ) as live:  # fmt: skip
        tester = Cmw500Lte(live)
        tester.switch_on(allowed(-50))
        tester.counted_subframes = 5000
        script.table["SOUR:LTE:SIGN:CELL:STAT:ALL?"] = "OFF,ADJ"
        tester.make_safe()


def test_a_cell_above_its_permit_or_stuck_is_refused(tmp_path) -> None:
    script = cmw()
    with Peer(script) as peer, session(
        peer, tmp_path, role="tester", sleep=lambda _: None
    ) as live:  # fmt: skip
        tester = Cmw500Lte(live)
        with pytest.raises(Excess, match=r"-54\.2 dBm over the cell"):
            tester.switch_on(allowed(-85 + FULL_CELL_DB - 1))
        script.table["CONF:LTE:SIGN:RFS:EATT:OUTP?"] = "20"
        with pytest.raises(NotApplied, match="EATT"):
            tester.switch_on(allowed(-50))
        assert not any("CELL:STAT ON" in line for line in script.lines)
        script.table["CONF:LTE:SIGN:RFS:EATT:OUTP?"] = "0"
        tester.switch_on(allowed(-50))
        with pytest.raises(Excess, match="permitted"):
            tester.rs_epre_dbm = -60
        script.table["SOUR:LTE:SIGN:CELL:STAT:ALL?"] = "ON,ADJ"
        with pytest.raises(NotApplied, match="not OFF,ADJ"):
            tester.make_safe()
        script.table["FETC:LTE:SIGN:PSW:STAT?"] = "NAV"
        with pytest.raises(NotApplied):
            tester.wait_attached()
