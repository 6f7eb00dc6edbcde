"""The SCPI core: syntax, tree, status, error queue; laws by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulators_kit import alone, ask, send, together

from bench.network.radio.world import Path, World
from instruments.simulators.kinds import KINDS
from instruments.simulators.oscilloscope import infiniivision
from instruments.simulators.power_supply import e36312a
from instruments.simulators.scpi_errors import QUEUE_LENGTH
from instruments.simulators.scpi_instrument import ScpiInstrument
from instruments.simulators.scpi_syntax import Block, Framer, String, units
from instruments.simulators.scpi_tree import spellings
from instruments.simulators.scpi_values import Boolean, Choice, Number, Text
from instruments.simulators.signal_generator import smw
from instruments.simulators.spectrum_analyser import fsw

seeded = settings(derandomize=True, deadline=None)
SCPI = {
    dialect: make
    for kind in KINDS.values()
    for dialect, make in kind.dialects.items()
    if isinstance(alone(make), ScpiInstrument)
}


@pytest.fixture
def generator():
    return alone(smw)


@pytest.mark.parametrize(
    "header",
    [
        "FREQ", ":FREQ", "freq", "FREQuency", ":SOUR:FREQ", "SOUR1:FREQ", "SOURce1:FREQuency:CW",
        "SOURCE:FREQ:FIXED", "FREQ:CW",
    ],
)  # fmt: skip
def test_every_spelling_of_a_header_is_one_setting(generator, header):
    assert send(generator, f"{header} 2.45 GHz") == []
    assert ask(generator, "SOUR1:FREQ:CW?") == "2450000000"
    assert ask(generator, f"{header}?") == "2450000000"
    assert ask(generator, "SOUR2:FREQ?") == "1000000000"


@pytest.mark.parametrize("header", ["FREQU", "FRE", "FREQ1", "SOUR3:FREQ", "SOUR0:FREQ", "NO:SUCH"])
def test_other_spellings_are_undefined_headers(generator, header):
    assert send(generator, f"{header} 1GHz") in ([-113], [-114])
    assert ask(generator, "FREQ?") == "1000000000"


@pytest.mark.parametrize(
    ("written", "hertz"),
    [
        ("1e9", 1e9), ("1.0E+09", 1e9), ("1000 MHZ", 1e9), ("1000MAHZ", 1e9), ("1GHz", 1e9),
        (".5 GHZ", 5e8), ("#H3B9ACA00", 1e9), ("MAX", 6e9), ("MINimum", 1e5), ("DEF", 1e9),
        ("2400000 KHZ", 2.4e9), ("100000.0004", 1e5),
    ],
)  # fmt: skip
def test_numbers_and_their_suffixes(generator, written, hertz):
    assert send(generator, f"FREQ {written}") == []
    assert float(ask(generator, "FREQ?")) == hertz


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("FREQ", -109), ("FREQ 1GHz,2GHz", -108), ("FREQ 'a'", -104), ("FREQ 1 DBM", -131),
        ("FREQ 1 Hz", -222), ("FREQ 7GHZ", -222), ("FREQ LOTS", -141), ("POW 31", -222),
        ("FREQ #15", -161), ("FREQ 1e5000", -222), ("OUTP MAYBE", -141), ("OUTP 1 HZ", -104),
        ("FREQ 1GHz 2", -102), ("FREQ=1", -102), ("!", -101), ("*IDN", -113), ("*RST?", -113),
        ("FREQ? LOTS", -141), ("OUTP? MAX", -108), ("BB:ARB:WAV:SEL 'none.wv'", -256),
        ("BB:ARB:STAT ON", -221), ("FREQ " + "1" * 300, -124), ("*ESE 256", -222),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing_and_says_why(generator, message, code):
    before = (ask(generator, "FREQ?"), ask(generator, "POW?"), ask(generator, "OUTP?"))
    assert send(generator, message) == [code]
    assert (ask(generator, "FREQ?"), ask(generator, "POW?"), ask(generator, "OUTP?")) == before
    assert ask(generator, "SYST:ERR?").startswith(f'{code},"')
    assert ask(generator, "SYST:ERR?") == '0,"No error"'


def test_a_relative_header_starts_where_the_last_one_did(generator):
    assert send(generator, "SOUR2:FREQ 2GHz;POW -12;*OPC;POW:OFFS 0;:POW -7") == []
    assert ask(generator, "SOUR2:POW?") == "-12"
    assert ask(generator, "POW?") == "-7"
    assert send(generator, "SOUR2:FREQ:CW 3GHz;POW -1") == [-113]
    assert ask(generator, "SOUR2:POW?;FREQ?;:FREQ?") == "-12;3000000000;1000000000"


def test_after_a_command_error_the_rest_of_the_message_is_left_out(generator):
    assert send(generator, "FREQ 2GHz;NONSENSE 1;:POW -3") == [-113]
    assert ask(generator, "FREQ?;:POW?") == "2000000000;-30"
    assert send(generator, "POW 99;FREQ 3GHz") == [-222]
    assert ask(generator, "FREQ?") == "3000000000"


def test_limits_can_be_asked_and_move_with_the_offset(generator):
    assert ask(generator, "POW? MAX;POW? MIN;FREQ? DEF") == "30;-145;1000000000"
    assert send(generator, "POW -20;POW:OFFS 10") == []
    assert ask(generator, "POW?;POW? MAX") == "-10;40"


def test_the_error_queue_is_bounded_and_says_so(generator):
    for _ in range(QUEUE_LENGTH + 5):
        send(generator, "NONSENSE")
    assert ask(generator, "SYST:ERR:COUN?") == str(QUEUE_LENGTH)
    found = [ask(generator, "SYST:ERR?") for _ in range(QUEUE_LENGTH)]
    assert found[0].startswith("-113,")
    assert found[-1] == '-350,"Queue overflow"'
    assert ask(generator, "SYST:ERR:ALL?") == '0,"No error"'


def test_the_status_registers_are_those_of_the_standard(generator):
    assert ask(generator, "*ESR?") == "128"  # power on
    assert ask(generator, "*ESR?;*STB?") == "0;16"  # a response waits
    send(generator, "*ESE 32;*SRE 32")
    send(generator, "NONSENSE")
    assert ask(generator, "*STB?") == str(64 + 32 + 4)
    assert ask(generator, "*ESE?;*SRE?") == "32;32"
    send(generator, "POW 99")
    assert ask(generator, "*ESR?") == str(32 + 16)
    assert ask(generator, "*STB?") == "4"
    send(generator, "*CLS;*OPC")
    assert ask(generator, "*ESR?") == "1"
    assert ask(generator, "*STB?;*OPC?;SYST:VERS?") == "0;1;1999.0"


def test_reset_brings_the_defaults_back_and_leaves_the_errors(generator):
    send(generator, "FREQ 2GHz;:OUTP ON;:NONSENSE")
    send(generator, "*RST")
    assert ask(generator, "FREQ?;:OUTP?") == "1000000000;0"
    assert ask(generator, "SYST:ERR:COUN?") == "1"


def test_strings_and_blocks_may_hold_what_would_separate():
    (unit,) = units(b"A 'x;y,\"z''', #15a;,\nb, \"\"")
    assert unit.arguments == (String("x;y,\"z'"), Block(b"a;,\nb"), String(""))
    (unit,) = units(b"A #0;1,2")
    assert unit.arguments == (Block(b";1,2"),)


@settings(seeded, max_examples=50)
@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_blocks_come_whole_however_the_bytes_arrive(blocks, data):
    lines = [b"D #2%02d%s" % (len(block), block) for block in blocks]
    stream = b"".join(line + b"\n" for line in lines)
    framer, found = Framer(), []
    while stream:
        step = data.draw(st.integers(1, len(stream)))
        found += framer.feed(stream[:step])
        stream = stream[step:]
    assert found == lines
    assert [unit.arguments for line in lines for unit in units(line)] == [
        (Block(block),) for block in blocks
    ]


def test_a_message_without_end_is_refused_and_the_next_one_understood():
    framer = Framer(longest=100)
    assert framer.feed(b"x" * 300) == []
    assert framer.feed(b"y" * 300 + b"\n*IDN?\n") == [None, b"*IDN?"]
    assert framer.feed(b"D #9999999999\n*IDN?\n") == [b"D #9999999999", b"*IDN?"]


@settings(seeded, max_examples=100)
@given(st.sampled_from(sorted(SCPI)), st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_answered_or_refused_never_a_crash(name, messages):
    instrument, framer = alone(SCPI[name]), Framer()
    for message in messages:
        for line in framer.feed(message + b"\n"):
            instrument.handle(line)
    assert framer.feed(b"\n\n") is not None
    assert ask(instrument, "*IDN?") == instrument.identity


PIECES = (
    "FREQ POW OUTP SOUR1 BB ARB SYST ERR TRAC INIT CALC MARK MAX ON 1e9 -3 GHZ dBm ? ; : , * #15",
    "' \" ( @1 ) 1e400 NaN INF *OPC? *ESR?",
)
WORDS = st.sampled_from([word for line in PIECES for word in line.split()])


@settings(seeded, max_examples=100)
@given(st.sampled_from(sorted(SCPI)), st.lists(WORDS, max_size=12), st.sampled_from(["", " "]))
def test_what_looks_like_scpi_never_crashes_either(name, words, glue):
    instrument = alone(SCPI[name])
    instrument.handle(glue.join(words).encode())
    assert ask(instrument, "*OPC?") == "1"


def _settings_of(name):
    return [c for c in alone(SCPI[name]).tree.commands if c.kind and not c.ask]


def _written(draw, instrument, kind, header, channel):
    """A value of this kind within the range that the instrument itself states."""
    if isinstance(kind, Boolean):
        return draw(st.sampled_from(["1", "0", "ON", "OFF"]))
    if isinstance(kind, Choice):
        return draw(st.sampled_from(kind.words)).upper()
    if isinstance(kind, Text):
        return '"wifi20"'
    comma = "," if channel else ""
    low = float(ask(instrument, f"{header}? MIN{comma}{channel}"))
    high = float(ask(instrument, f"{header}? MAX{comma}{channel}"))
    if not kind.resolution:
        return repr(draw(st.floats(low, high)))
    step = draw(st.integers(0, int(min((high - low) / kind.resolution, 10**12))))
    return repr(min(high, low + step * kind.resolution))


@pytest.mark.parametrize("name", sorted(SCPI))
@given(data=st.data())
@settings(seeded, max_examples=4)
def test_every_setting_read_back_is_the_setting_in_either_spelling(name, data):
    for command in _settings_of(name):
        _check_setting(data.draw, alone(SCPI[name]), command)


def _check_setting(draw, instrument, command):
    header, other = (
        spellings(command.header, short=draw(st.booleans()), whole=draw(st.booleans()))
        for _ in range(2)
    )
    kind, channel = command.kind, "(@2)" if command.channels else ""
    written = _written(draw, instrument, kind, header, channel)
    before = ask(instrument, f"{other}? {channel}")
    comma = "," if channel else ""
    errors = send(instrument, f"{header} {written}{comma}{channel}")
    back = ask(instrument, f"{other}? {channel}")
    if errors:  # a conflict with another setting: nothing has changed then
        assert errors in ([-221], [-222]), command.header
        assert back == before, command.header
    elif isinstance(kind, Number):
        off = abs(float(back) - float(written))
        assert off <= kind.resolution / 2 + abs(float(written)) * 1e-12, command.header
    elif isinstance(kind, Boolean):
        assert back == ("1" if written in ("1", "ON") else "0"), command.header
    elif isinstance(kind, Choice):
        short = {word.upper(): "".join(c for c in word if not c.islower()) for word in kind.words}
        assert back == short[written], command.header
    else:
        assert back == written, command.header


def test_an_analyser_holds_its_maximum_and_shows_its_offset():
    world = World(paths=(Path("generator:1", "analyser:1"),))
    lab = together(world, generator=smw, analyser=fsw)
    generator, analyser = lab["generator"], lab["analyser"]
    send(generator, "FREQ 2.44GHz;:POW -10;:OUTP ON")
    send(analyser, "INIT:CONT OFF;:FREQ:CENT 2.44GHz;SPAN 1MHz;:DISP:TRAC:MODE MAXH;:INIT")
    send(generator, "POW -40")
    assert float(ask(analyser, "INIT;:CALC:MARK:MAX;Y?")) == pytest.approx(-10, abs=0.01)
    assert float(ask(analyser, "DISP:TRAC:MODE WRIT;:INIT;:CALC:MARK:MAX;Y?")) == pytest.approx(
        -40, abs=0.01
    )
    send(analyser, "DISP:TRAC:Y:RLEV:OFFS 3;:INIT")
    assert float(ask(analyser, "CALC:MARK:MAX;Y?")) == pytest.approx(-37, abs=0.01)


def test_an_analyser_gives_no_figure_where_a_path_has_none():
    world = World(paths=(Path("generator:1", "analyser:1", ((1e9, 1.0), (2e9, 2.0))),))
    lab = together(world, generator=smw, analyser=fsw)
    send(lab["generator"], "FREQ 2.44GHz;:OUTP ON")
    assert send(lab["analyser"], "INIT:CONT OFF;:INIT") == [-310]
    assert send(lab["analyser"], "TRAC? TRACE1") == [-230]


def test_settings_that_belong_together_move_together():
    generator, supply, scope = alone(smw), alone(e36312a), alone(infiniivision)
    assert ask(generator, "OUTP:ALL ON;:OUTP1?;:OUTP2?;:OUTP:ALL?") == "1;1;1"
    assert ask(generator, "OUTP1 OFF;:OUTP:ALL?;:OUTP2 OFF;:OUTP:ALL?") == "1;0"
    assert ask(supply, "INST CH3;:INST:NSEL?;:VOLT 5;:INST:NSEL 1;:INST?") == "3;CH1"
    assert [float(v) for v in ask(supply, "VOLT? (@1:3)").split(",")] == [0, 0, 5]
    assert float(ask(scope, "TIM:SCAL 1ms;:TIM:RANG?")) == pytest.approx(0.01)
    assert float(ask(scope, "CHAN2:RANG 4;:CHAN2:SCAL?")) == 0.5
