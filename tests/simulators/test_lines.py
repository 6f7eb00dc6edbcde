"""Instruments of text commands, the modem, and the wires: whatever comes, they answer."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.radio.state import Cell, Emission, RadioState
from bench.network.radio.world import Path, World
from instruments.simulators.faults import FAULTS, FaultPlan, read_fault
from instruments.simulators.kinds import KINDS
from instruments.simulators.mini_circuits import Attenuator, Switch
from instruments.simulators.modem import AtWire, Modem
from instruments.simulators.place import Place
from instruments.simulators.signal_generator import smw
from instruments.simulators.wires import LineOrHttpWire, ScpiWire

seeded = settings(derandomize=True, deadline=None)
DOCS = pathlib.Path(__file__).parents[2] / "docs"
PLACE = Place("one")
LINES = {"attenuator": Attenuator, "switch": Switch, "modem": Modem}


def reply(instrument, text):
    return instrument.handle(text.encode()).response.decode()


@pytest.mark.parametrize("kind", sorted(LINES))
@settings(seeded, max_examples=60)
@given(message=st.one_of(st.none(), st.binary(max_size=60)))
def test_any_line_is_answered(kind, message):
    assert LINES[kind](PLACE).handle(message).response


@settings(seeded, max_examples=60)
@given(st.sampled_from([ScpiWire, LineOrHttpWire, AtWire]), st.lists(st.binary(max_size=60)))
def test_any_bytes_on_a_wire_become_messages_and_responses(wire, chunks):
    one = wire()
    for chunk in chunks:
        for message in one.feed(chunk):
            assert message is None or isinstance(message, bytes)
    assert b"x" in one.wrap(b"x")


@seeded
@given(st.floats(0, 90))
def test_an_attenuation_read_back_is_what_was_set_to_a_quarter(db):
    attenuator = Attenuator(PLACE)
    assert reply(attenuator, f"SETATT={db:.4f}") == "1"
    read = float(reply(attenuator, "ATT?"))
    assert abs(read - db) <= 0.1251
    assert read * 4 == int(read * 4)
    assert attenuator.radio().attenuations_db == {"one:1": read}


def test_after_a_power_cut_an_attenuator_stands_at_its_start_up_value():
    attenuator = Attenuator(PLACE)
    reply(attenuator, "SETATT=60")
    attenuator.power_on()
    assert reply(attenuator, "ATT?") == "0.00"
    for letter, expected in (("L", "60.00"), ("N", "90.00"), ("F", "30.00")):
        reply(attenuator, "SETATT=60")
        assert reply(attenuator, "STARTUPATT:VALUE:30") == "1"
        assert reply(attenuator, f"STARTUPATT:INDICATOR:{letter}") == "1"
        attenuator.power_on()
        assert reply(attenuator, "ATT?") == expected


@seeded
@given(st.integers(0, 15))
def test_switches_are_bits_of_one_number(states):
    switch = Switch(PLACE)
    assert reply(switch, f"SETP={states}") == "1"
    assert reply(switch, "SWPORT?") == str(states)
    positions = switch.radio().positions
    assert [positions[f"one:{name}"] - 1 for name in "ABCD"] == [states >> n & 1 for n in range(4)]


def test_http_and_lines_are_told_apart_however_they_arrive():
    wire = LineOrHttpWire()
    request = b"GET /:SETATT=12.25 HTTP/1.1\r\nHost: x\r\n\r\n"
    found = [message for byte in request for message in wire.feed(bytes([byte]))]
    assert (found, wire.once) == ([b":SETATT=12.25"], True)
    assert wire.wrap(b"1").endswith(b"\r\n\r\n1")
    wire = LineOrHttpWire()
    assert wire.feed(b"\xff\xfd\x03AT") == []
    assert wire.feed(b"T?\r\nMN?\n") == [b"ATT?", b"MN?"]
    assert (wire.wrap(b"1"), wire.once) == (b"1\r\n", False)
    wire = LineOrHttpWire()
    assert wire.feed(b"GET /ATT??a=a HTTP/1.1\r\n\r\n") == [b"ATT?"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("nonsense", "is no fault"), ("delay", "has no value"), ("half=3", "takes no value"),
        ("delay=3", "no unit"), ("drift=much", "is no number"), ("drift=nan", "is no number"),
        ("error=many", "is no error"), ("muteX3", "is no fault"), ("mutex0", "strikes never"),
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_read_is_refused_in_one_line(written, words):
    with pytest.raises(InputError) as caught:
        read_fault(written)
    assert words in caught.value.line()


def test_a_fault_is_read():
    fault = read_fault("delay=200ms@FREQ?x3")
    assert (fault.name, fault.number, fault.command, fault.count) == ("delay", 0.2, "FREQ?", 3)
    fault = read_fault('error=-222,"Data out of range"@POW')
    assert (fault.number, fault.text, fault.command) == (-222, "Data out of range", "POW")
    assert read_fault("no-result").text == "9.9E37"
    assert all(read_fault(name if kind.default is not None else f"{name}=1s").name == name
               for name, kind in FAULTS.items() if name != "drift")  # fmt: skip


GUARDED = b"SYST:ERR?;:FREQ?;:SYST:ERR?"
"""A query with those for errors around it: a fault strikes the query alone."""


def answers(faults, *messages):
    plan, generator = FaultPlan([read_fault(text) for text in faults]), smw(PLACE)
    return [plan.answer(generator, message) for message in messages], generator


def test_a_fault_strikes_its_command_in_any_spelling_as_often_as_it_says():
    found, _ = answers(
        ["mute@SOUR1:FREQ?x2"], b"POW?", b"SOURce:FREQuency:CW?", b"FREQ 1GHz", b"*IDN?;:FREQ?",
        b"FREQ?",
    )  # fmt: skip
    assert [one.response is None for one in found] == [False, True, True, True, False]
    assert found[3].outcome.response is not None


def test_each_fault_does_what_its_line_says():
    (one,), generator = answers(["drop"], b"FREQ 2GHz")
    assert (one.close, one.outcome, generator.number("frequency", 1)) == (True, None, 1e9)
    (one,), _ = answers(["delay=2s"], b"FREQ?")
    assert (one.response, one.after_s) == (b"1000000000", 2.0)
    (one,), _ = answers(["late"], b"FREQ?")
    assert one.apart_s == float("inf")
    (one, two), _ = answers(["half"], b"FREQ?", b"FREQ 1GHz")
    assert (one.cut, two.cut, two.response) == (True, False, None)
    (one, two), _ = answers(["stuck"], b"FREQ?;*OPC?", b"FREQ?")
    assert (one.response, two.response) == (None, b"1000000000")
    (one, two), _ = answers(["error=-310@POW"], b"POW -3;*OPC?", b"SYST:ERR?")
    assert (one.response, two.response) == (b"1", b'-310,"System error"')
    (one, two), _ = answers(["identity=A,B,C,D"], b"*IDN?", b"FREQ?")
    assert (one.response, two.response) == (b"A,B,C,D", b"1000000000")
    (one, two, three), _ = answers(["no-result"], b"FREQ?", b"*IDN?", b"SYST:ERR?")
    assert one.response == b"9.9E37"
    assert two.response.startswith(b"Rohde")
    assert three.response == b'0,"No error"'
    (one, two), _ = answers(["no-result@FREQ?", "error=-310@FREQ?"], GUARDED, b"SYST:ERR?")
    assert one.response == b'0,"No error";9.9E37;-310,"System error"'
    assert two.response == b'0,"No error"'
    (one,), _ = answers(["no-result", "error=-310"], b"*OPC?;:SOUR1:FREQ?;POW?;:SYST:ERR?")
    assert one.response == b'1;9.9E37;9.9E37;-310,"System error"'
    (one,), generator = answers(["reboot=3s@*OPC?"], b"*OPC?")
    assert (one.close, one.refuse_s) == (True, 3.0)
    (_, _, three), generator = answers(["drift=0.5x2"], b"POW -3", b"OUTP ON", b"POW?")
    assert three.response == b"-3"  # what is read back does not tell
    assert generator.radio().emissions["one:1"].level_dbm == -2.0


def test_a_modem_stays_with_its_cell_until_another_is_clearly_stronger():
    cells = [Cell(0xA, 1, 1, 300, 1), Cell(0xB, 2, 1, 300, 1)]
    emitters = {
        name: Emission(2.11e9, -60.0, 18e6, cell=cell)
        for name, cell in zip("ab", cells, strict=True)
    }
    paths = (Path("a", "one:1", (), ("att:1",)), Path("b", "one:1", ((0.0, 1.0),)))
    state = [0.0]

    def now():
        return RadioState(attenuations_db={"att:1": state[0]})

    modem = Modem(Place("one", World(emitters, {}, paths), now))
    found = []
    for state[0] in (0.0, 3.9, 4.1, 1.0, -2.1):  # b is 1 dB down
        found.append(modem.serving().cell.physical_identity)
    assert found == [1, 1, 2, 2, 1]
    state[0] = 300.0
    assert modem.serving().cell.physical_identity == 2


def test_a_modem_fails_where_a_path_has_no_figure():
    """Never a level from beyond a table."""
    emission = Emission(5e9, 0.0)
    world = World(paths=(Path("x", "one:1", ((1e9, 1.0), (2e9, 2.0))),), emitters={"x": emission})
    modem = Modem(Place("one", world, RadioState))
    outcome = modem.handle(b"AT+CESQ")
    assert outcome.response.endswith(b"ERROR\r\n")
    assert modem.news() == b""


def test_the_documentation_names_every_fault_kind_and_dialect():
    text = (DOCS / "simulators.md").read_text()
    for name in FAULTS:
        assert f"\n| `{name}` |" in text
    for name, kind in KINDS.items():
        assert f"\n| `{name}` |" in text
        assert all(f"`{dialect}`" in text for dialect in kind.dialects)
