"""Clients that we did not write: PyVISA with pyvisa-py, PyMeasure, RsInstrument, pyserial …"""

from __future__ import annotations

import random
import socket
import time
import urllib.request

import pytest

from bench.network.radio.receivers import Receiver
from bench.network.radio.state import Cell, Emission
from bench.network.radio.world import Path, World
from instruments.simulators.faults import read_fault
from instruments.simulators.lab import Described, Lab, RunningLab

pyvisa = pytest.importorskip("pyvisa", reason="PyVISA is not installed: pip install -e .[dev]")
pytest.importorskip("pyvisa_py", reason="pyvisa-py is not installed: pip install -e .[dev]")

GHZ = 2.44e9
WORLD = World(
    emitters={"sensor": Emission(GHZ, -30.0, 2e6)},
    cells={"tester:1": Cell(0xABC01, 17, 5, 300, 1), "tester:2": Cell(0xABC02, 18, 5, 300, 1)},
    paths=(
        Path("generator:1", "analyser:1", ((0.0, 3.0),), ("attenuator:1",)),
        Path("sensor", "victim", ((0.0, 40.0),)),
        Path("generator:1", "victim", ((0.0, 30.0),), ("attenuator:1",), (("switch:A", 2),)),
        Path("tester:1", "modem:1", ((0.0, 10.0),), ("attenuator:1",)),
        Path("tester:2", "modem:1", ((0.0, 20.0),)),
    ),
    receivers={"victim": Receiver("ieee802154", GHZ, "sensor")},
)
KINDS = {
    "generator": "signal-generator",
    "analyser": "spectrum-analyser",
    "attenuator": "attenuator",
    "switch": "switch",
    "supply": "power-supply",
    "scope": "oscilloscope",
    "tester": "radio-tester",
    "modem": "modem",
}


@pytest.fixture(scope="module")
def lab():
    described = {role: Described(kind) for role, kind in KINDS.items()}
    described["mxg"] = Described("signal-generator", "mxg")
    described["x-series"] = Described("spectrum-analyser", "x-series")
    with RunningLab(Lab(described, WORLD)) as running:
        yield running


@pytest.fixture(autouse=True)
def power_on(lab):
    for instrument in lab.lab.instruments.values():
        instrument.power_on()


@pytest.fixture(scope="module")
def manager():
    found = pyvisa.ResourceManager("@py")
    yield found
    found.close()


def opened(manager, resource, timeout=10_000, end="\n"):
    session = manager.open_resource(resource)
    session.read_termination = end
    session.write_termination = "\n"
    session.timeout = timeout
    return session


def get(lab, role, command):
    with urllib.request.urlopen(f"{lab.urls[role]}/{command}", timeout=5) as response:
        return response.read().decode()


def test_pyvisa_sets_and_reads_a_generator(lab, manager):
    with opened(manager, lab.resources["generator"]) as generator:
        assert generator.query("*IDN?").startswith("Rohde&Schwarz,SMW200A,")
        generator.write("SOUR1:FREQ 2.44 GHz;POW -20 dBm")
        generator.write(":OUTP ON")
        assert generator.query_ascii_values("FREQ?;:POW?;:OUTP?", separator=";") == [GHZ, -20, 1]
        assert generator.query("SYST:ERR?") == '0,"No error"'


def test_what_the_generator_emits_the_analyser_measures_behind_the_path(lab, manager):
    with (
        opened(manager, lab.resources["generator"]) as generator,
        opened(manager, lab.resources["analyser"]) as analyser,
    ):
        analyser.write("INIT:CONT OFF;:FREQ:CENT 2.44GHz;SPAN 10MHz;:BAND:RES 100kHz")

        def peak():
            analyser.query("INIT;*OPC?")
            analyser.write("CALC:MARK:MAX")
            return analyser.query_ascii_values("CALC:MARK:Y?")[0]

        floor = peak()
        assert floor < -80
        generator.write("FREQ 2.44GHz;:POW -10;:OUTP ON")
        assert peak() == pytest.approx(-13, abs=0.01)
        assert get(lab, "attenuator", "SETATT=12.25") == "1"
        assert peak() == pytest.approx(-25.25, abs=0.01)
        analyser.write("FORM REAL,32")
        trace = analyser.query_binary_values("TRAC? TRACE1")
        assert len(trace) == 1001
        assert max(trace) == pytest.approx(-25.25, abs=0.01)
        generator.write("OUTP OFF")
        assert peak() == pytest.approx(floor, abs=0.01)


def test_the_victim_suffers_from_what_was_set_over_visa_and_http(lab, manager):
    def ratio():
        return lab.lab.reception("victim").packet_error_ratio

    with opened(manager, lab.resources["generator"]) as generator:
        assert ratio() < 1e-9
        generator.write(":SOUR1:BB:ARB:WAV:SEL 'ieee802154'")
        generator.query(":SOUR1:BB:ARB:STAT 1;*OPC?")
        generator.write("FREQ 2.44GHz;:POW -38;:OUTP ON")
        generator.query("*OPC?")
        assert ratio() < 1e-9  # the switch is open
        assert get(lab, "switch", "SETP=1") == "1"
        assert ratio() > 0.3
        get(lab, "attenuator", "SETATT=10")
        assert ratio() < 1e-3


def test_mini_circuits_over_http_and_over_telnet(lab):
    assert get(lab, "attenuator", "MN?") == "MN=RCDAT-6000-90"
    assert get(lab, "attenuator", ":SN?").startswith("SN=")
    assert get(lab, "attenuator", "CHAN:1:SETATT:10.5") == "1"
    assert get(lab, "attenuator", "ATT?") == "10.50"
    assert get(lab, "attenuator", "SETATT=95") == "2"
    assert get(lab, "attenuator", "ATT?") == "90.00"
    assert get(lab, "attenuator", "SETATT=-1") == "0"
    assert get(lab, "attenuator", "WHAT").startswith("-99 Unrecognized Command")
    port = int(lab.urls["switch"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as telnet, telnet.makefile("rb") as lines:
        for command, reply in (
            (b"MN?\r\n", b"MN=RC-4SPDT-A18"), (b"SETP=5\n", b"1"), (b"SWPORT?\r", b"5"),
            (b"SETA=0\r\n", b"1"), (b"SWPORT?\r\n", b"4"), (b"SETP=16\r\n", b"0"),
        ):  # fmt: skip
            telnet.sendall(command)
            assert lines.readline() == reply + b"\r\n"


def adapter(lab, role):
    pytest.importorskip("pymeasure", reason="PyMeasure is not installed: pip install -e .[dev]")
    from pymeasure.adapters import VISAAdapter

    return VISAAdapter(
        lab.resources[role], visa_library="@py", read_termination="\n", write_termination="\n"
    )


def test_pymeasure_drives_a_spectrum_analyser(lab, manager):
    pytest.importorskip("pymeasure")
    from pymeasure.instruments.rohdeschwarz import FSL

    with opened(manager, lab.resources["generator"]) as generator:
        generator.write("FREQ 2.44GHz;:POW -10;:OUTP ON")
        generator.query("*OPC?")
    analyser = FSL(adapter(lab, "analyser"))
    assert "FSW" in analyser.id
    analyser.freq_center, analyser.freq_span = "2.44 GHz", 20e6
    analyser.res_bandwidth, analyser.video_bandwidth = 100e3, "AUTO"
    analyser.attenuation, analyser.sweep_time = 10, "AUTO"
    analyser.continuous_sweep_enabled = False
    assert (analyser.freq_start, analyser.freq_stop) == (2.43e9, 2.45e9)
    assert analyser.res_bandwidth == 100e3
    analyser.trace_mode = "MAXH"
    analyser.single_sweep()
    marker = analyser.create_marker()
    marker.to_peak()
    assert marker.x == pytest.approx(GHZ, abs=20e3)
    assert marker.y == pytest.approx(-13, abs=0.01)
    frequencies, levels = analyser.read_trace()
    assert levels.max() == pytest.approx(-13, abs=0.01)
    assert frequencies[levels.argmax()] == pytest.approx(GHZ, abs=20e3)
    assert analyser.check_errors() == []
    analyser.adapter.close()


def test_pymeasure_drives_a_signal_generator_of_the_keysight_dialect(lab):
    pytest.importorskip("pymeasure")
    from pymeasure.instruments.agilent import Agilent8257D

    generator = Agilent8257D(adapter(lab, "mxg"))
    generator.frequency, generator.power = 2.44e9, -12.5
    generator.enable()
    assert (generator.frequency, generator.power, generator.is_enabled) == (2.44e9, -12.5, True)
    assert generator.has_modulation is True
    generator.start_frequency, generator.stop_frequency = 1e9, 2e9
    assert (generator.start_frequency, generator.stop_frequency) == (1e9, 2e9)
    generator.disable()
    assert generator.is_enabled is False
    assert generator.check_errors() == []
    generator.adapter.close()


def test_pymeasure_drives_an_analyser_of_the_keysight_dialect(lab):
    pytest.importorskip("pymeasure")
    from pymeasure.instruments.agilent import AgilentE4408B

    analyser = AgilentE4408B(adapter(lab, "x-series"))
    analyser.start_frequency, analyser.stop_frequency = 1e9, 2e9
    analyser.frequency_points = 201
    assert analyser.center_frequency == 1.5e9
    assert analyser.trace(1).shape == (201,)
    assert analyser.frequencies[-1] == 2e9
    assert analyser.check_errors() == []
    analyser.adapter.close()


def test_pymeasure_drives_a_power_supply(lab):
    pytest.importorskip("pymeasure")
    from pymeasure.instruments.keysight import KeysightE36312A

    supply = KeysightE36312A(adapter(lab, "supply"))
    supply.ch_2.voltage_setpoint, supply.ch_2.current_limit = 3.3, 0.5
    assert (supply.ch_2.voltage_setpoint, supply.ch_2.current_limit) == (3.3, 0.5)
    assert supply.ch_1.voltage_setpoint == 0
    assert supply.ch_2.voltage == 0
    supply.ch_2.output_enabled = True
    assert supply.ch_2.output_enabled is True
    assert supply.ch_2.voltage == pytest.approx(3.3)
    assert supply.ch_2.current == pytest.approx(0.33)
    supply.ch_2.current_limit = 0.1
    assert supply.ch_2.voltage == pytest.approx(1.0)  # constant current into 10 ohm
    assert supply.check_errors() == []
    supply.adapter.close()


def test_rsinstrument_checks_status_and_synchronises(lab):
    module = pytest.importorskip(
        "RsInstrument", reason="RsInstrument is not installed: pip install -e .[dev]"
    )
    options = "SelectVisa='@py',VisaTimeout=10000"
    generator = module.RsInstrument(lab.resources["generator"], True, True, options)
    try:
        assert generator.idn_string.startswith("Rohde&Schwarz,SMW200A")
        assert generator.full_instrument_model_name == "SMW200A"
        assert "B10" in generator.instrument_options
        generator.write_float("SOUR1:FREQ", 2.44e9)
        assert generator.query_float("SOUR1:FREQ?") == 2.44e9
        generator.write_with_opc("SOUR1:POW -12")
        assert generator.query_float_with_opc("SOUR1:POW?") == -12
        generator.write_bool("OUTP1:STAT", True)
        assert generator.query_bool("OUTP1:STAT?") is True
        with pytest.raises(module.StatusException, match="Undefined header"):
            generator.write("NO:SUCH:COMMAND 1")
        with pytest.raises(module.StatusException, match="Data out of range"):
            generator.write("SOUR1:POW 99")
        assert generator.query_float("SOUR1:POW?") == -12
        assert generator.query_all_errors() is None
    finally:
        generator.close()


def test_rsinstrument_reads_a_binary_trace(lab):
    module = pytest.importorskip("RsInstrument")
    options = "SelectVisa='@py',VisaTimeout=10000"
    analyser = module.RsInstrument(lab.resources["analyser"], True, True, options)
    try:
        analyser.write("INIT:CONT OFF")
        analyser.write_with_opc("INIT:IMM")
        analyser.write("FORM REAL,32")
        assert len(analyser.query_bin_or_ascii_float_list("TRAC? TRACE1")) == 1001
    finally:
        analyser.close()


def test_an_oscilloscope_measures_the_delay_between_two_channels(lab, manager):
    with opened(manager, lab.resources["scope"]) as scope:
        scope.write(":TIM:RANG 10ms;:MEAS:DEF DEL,+1,+1")
        assert scope.query_ascii_values(":MEAS:DEL? CHAN1,CHAN2") == [9.9e37]  # nothing acquired
        scope.query(":DIG CHAN1,CHAN2;*OPC?")
        assert scope.query_ascii_values(":MEAS:DEL? CHAN1,CHAN2") == [2.5e-3]
        assert scope.query_ascii_values(":MEAS:DEL? CHAN1,CHAN3") == [9.9e37]
        scope.query(":TIM:RANG 1ms;:DIG;*OPC?")
        assert scope.query_ascii_values(":MEAS:DEL? CHAN1,CHAN2") == [9.9e37]  # off the screen
        assert scope.query("SYST:ERR?") == '0,"No error"'


def polled(session, query, wanted, most=10):
    found = []
    while not found or found[-1] != wanted:
        found.append(session.query(query))
        assert len(found) <= most, found
    return found


def test_a_radio_tester_attaches_connects_and_hands_over(lab, manager):
    with opened(manager, lab.resources["tester"]) as tester:
        assert tester.query("SOUR:LTE:SIGN:CELL:STAT:ALL?") == "OFF,ADJ"
        tester.write("CALL:LTE:SIGN:PSW:ACT CONN")
        assert tester.query("SYST:ERR?").startswith("-221")
        tester.write("SOUR:LTE:SIGN:CELL:STAT ON")
        found = polled(tester, "SOUR:LTE:SIGN:CELL:STAT:ALL?", "ON,ADJ")
        assert found[0] == "ON,PEND"
        assert tester.query("FETC:LTE:SIGN:PSW:STAT?") == "ATT"
        assert tester.query("SENS:LTE:SIGN:UER:RSRP?") == "NAV"
        tester.write("CALL:LTE:SIGN:PSW:ACT CONN")
        assert tester.query("FETC:LTE:SIGN:PSW:STAT?;:SENS:LTE:SIGN:RRCS?") == "CEST;CONN"
        assert int(tester.query("SENS:LTE:SIGN:UER:RSRP?")) == 141 - 95
        tester.write("PREP:LTE:SIGN:HAND:DEST 'LTE Sig1'")
        tester.write("PREP:LTE:SIGN:HAND:ENH FDD,OB3,1300,B200,NS01")
        tester.write("CALL:LTE:SIGN:PSW:ACT HAND")
        assert tester.query("CONF:LTE:SIGN:RFS:CHAN:DL?;:CONF:LTE:SIGN:BAND?") == "1300;OB3"
        assert tester.query("FETC:LTE:SIGN:PSW:STAT?;:SYST:ERR?") == 'CEST;0,"No error"'
        get(lab, "attenuator", "SETATT=60")
        assert tester.query("FETC:LTE:SIGN:PSW:STAT?") == "ON"


class At:
    """A serial line, read until OK or ERROR."""

    def __init__(self, resource):
        serial = pytest.importorskip("serial", reason="pyserial is not installed")
        path = resource.removeprefix("ASRL").removesuffix("::INSTR")
        self.line = serial.Serial(path, 115200, timeout=10)

    def __call__(self, command):
        self.line.write(f"{command}\r".encode())
        found = []
        while not found or found[-1] not in ("OK", "ERROR"):
            text = self.line.readline().decode()
            assert text.endswith("\n"), (command, found, text)
            found += [text.strip()] if text.strip() else []
        return found

    def unasked(self):
        return [self.line.readline().decode().strip() for _ in range(2)][-1]


def test_lowering_the_serving_cell_makes_the_modem_report_another(lab, manager):
    at = At(lab.resources["modem"])
    try:
        at.line.reset_input_buffer()
        assert at("ATE0")[-1] == "OK"
        assert at("AT") == ["OK"]
        assert at("AT+NONSENSE") == ["ERROR"]
        assert at("AT+CEREG=2") == ["OK"]
        assert at("AT+CEREG?") == ["+CEREG: 2,2", "OK"]
        assert at('AT+QENG="servingcell"') == ['+QENG: "servingcell","SEARCH"', "OK"]
        with opened(manager, lab.resources["tester"]) as tester:
            tester.write("SOUR:LTE:SIGN1:CELL:STAT ON;:SOUR:LTE:SIGN2:CELL:STAT ON")
            tester.query("*OPC?")
        assert at.unasked() == '+CEREG: 1,"0005","000ABC01",7'
        cell = at('AT+QENG="servingcell"')[0].split(",")
        assert cell[2:4] + cell[6:10] == ['"LTE"', '"FDD"', "ABC01", "17", "300", "1"]
        assert cell[13] == "-95"
        assert at("AT+CESQ")[0].startswith("+CESQ: 99,99,255,255,")
        assert at("AT+CESQ")[0].endswith(f",{141 - 95}")
        get(lab, "attenuator", "SETATT=20")
        assert at.unasked() == '+CEREG: 1,"0005","000ABC02",7'
        assert at('AT+QENG="servingcell"')[0].split(",")[7] == "18"
    finally:
        at.line.close()


def test_many_clients_at_once_each_get_their_own_answers(lab, manager):
    sessions = [opened(manager, lab.resources["generator"]) for _ in range(8)]
    try:
        for session in sessions:
            session.write("*OPC?")
            session.write("SOUR2:FREQ?")
        assert [session.read() for session in sessions] == ["1"] * 8
        assert [session.read() for session in sessions] == ["1000000000"] * 8
    finally:
        for session in sessions:
            session.close()


@pytest.mark.parametrize("role", sorted(set(KINDS) - {"modem"}))
def test_no_bytes_on_a_socket_end_the_service(lab, role):
    draw = random.Random(role)
    host, port = lab.resources[role].split("::")[1:3]
    for _ in range(10):
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(draw.randbytes(draw.randrange(1, 3000)) + b"\n")
    with socket.create_connection((host, int(port)), 10) as sock:
        sock.settimeout(10)
        sock.sendall(b"*IDN?\n")
        assert sock.recv(200)


def faulty(manager, *faults, kind="signal-generator", timeout=10_000):
    described = {"one": Described(kind, faults=tuple(read_fault(text) for text in faults))}
    running = RunningLab(Lab(described))
    return running, lambda: opened(manager, running.resources["one"], timeout)


def test_a_late_response_is_handed_to_the_next_query(manager):
    running, connect = faulty(manager, "late@FREQ?x1", timeout=200)
    with running, connect() as session:
        with pytest.raises(pyvisa.errors.VisaIOError):
            session.query("FREQ?")
        assert session.query("POW?") == "1000000000"  # what the client must not believe
        assert session.read() == "-30"


def test_half_a_line_no_response_and_a_delay_time_out(manager):
    faults = ("half@FREQ?x1", "stuckx1", "delay=1h@POW?x1")
    running, connect = faulty(manager, *faults, timeout=200)
    with running:
        for query in ("FREQ?", "*OPC?", "POW?"):
            with connect() as session, pytest.raises(pyvisa.errors.VisaIOError):
                session.query(query)
        with connect() as session:
            assert session.query("FREQ?;*OPC?;:POW?") == "1000000000;1;-30"


def test_drop_closes_and_carries_nothing_out(manager):
    running, connect = faulty(manager, "drop@FREQx1", timeout=300)
    with running:
        with connect() as session, pytest.raises((pyvisa.errors.VisaIOError, ConnectionError)):
            session.query("FREQ 2GHz;FREQ?")
        with connect() as session:
            assert session.query("FREQ?") == "1000000000"


def refused(running):
    port = int(running.resources["one"].split("::")[2])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_refused_from_the_start_and_for_good(manager):
    running, _ = faulty(manager, "refuse")
    with running:
        assert refused(running)


def test_a_reboot_loses_the_settings(manager):
    running, connect = faulty(manager, "reboot=0s@*OPC?x1", timeout=300)
    with running:
        with connect() as session:
            session.write("OUTP ON;:FREQ 2GHz")
            with pytest.raises((pyvisa.errors.VisaIOError, ConnectionError)):
                session.query("*OPC?")
        deadline = time.monotonic() + 10
        while refused(running):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        session = opened(manager, running.resources["one"])
        assert session.query("OUTP?;FREQ?;*ESR?") == "0;1000000000;128"
        session.close()


def test_a_reboot_takes_its_time(manager):
    running, connect = faulty(manager, "reboot=1h@*OPC?x1", timeout=300)
    with running:
        with connect() as session, pytest.raises((pyvisa.errors.VisaIOError, ConnectionError)):
            session.query("*OPC?")
        assert refused(running)


def test_identity_error_no_result_and_drift(manager):
    faults = ("identity=Acme,Other,1,2x1", "error=-310@POWx1", "no-result@CALC:MARK:Y?x1")
    running, connect = faulty(manager, *faults, kind="spectrum-analyser")
    with running, connect() as session:
        assert session.query("*IDN?") == "Acme,Other,1,2"
        assert session.query("*IDN?").startswith("Rohde&Schwarz,FSW")
        assert session.query("CALC:MARK:Y?") == "9.9E37"
        floor = session.query_ascii_values("CALC:MARK:Y?")[0]
        assert floor < -50
    running, connect = faulty(manager, "drift=0.5@INIT", kind="spectrum-analyser")
    with running, connect() as session:
        session.write("INIT:CONT OFF;:INIT;*WAI")
        first = session.query_ascii_values("CALC:MARK:Y?")[0]
        session.write("INIT;*WAI")
        assert session.query_ascii_values("CALC:MARK:Y?")[0] == pytest.approx(first + 0.5)


def test_strict_mode_ends_the_connection_and_tells(manager):
    told = []
    lab = Lab({"one": Described("signal-generator")}, strict=True, tell=told.append)
    with RunningLab(lab) as running:
        with (
            opened(manager, running.resources["one"], 300) as session,
            pytest.raises((pyvisa.errors.VisaIOError, ConnectionError)),
        ):
            session.query("FREQ 1GHz;:NONSENSE 1;*OPC?")
        with opened(manager, running.resources["one"]) as session:
            assert session.query("SYST:ERR?").startswith("-113,")
    assert [event["message"] for event in told] == ["FREQ 1GHz;:NONSENSE 1;*OPC?"]
