"""Vector signal generators: R&S SMW200A (two paths) and Keysight MXG N5182B."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.network.radio.state import Emission, RadioState
from instruments.simulators.place import Place
from instruments.simulators.scpi_errors import ScpiError
from instruments.simulators.scpi_instrument import Model, ScpiInstrument
from instruments.simulators.scpi_tree import Call, Command
from instruments.simulators.scpi_values import (
    Boolean,
    Choice,
    Data,
    Number,
    Text,
    Value,
    scientific,
)


class SignalGenerator(ScpiInstrument):
    """A vector signal generator; what leaves it goes into the radio world.

    Args:
        model: the dialect.
        place: where it stands.
        outputs: RF outputs.
    """

    def __init__(self, model: Model, place: Place, outputs: int) -> None:
        super().__init__(model, place)
        self._outputs = outputs
        self._files: set[str] = set()

    def radio(self) -> RadioState:
        """The emission of each output whose RF is on."""
        found = {}
        for output in range(1, self._outputs + 1):
            if self.get("rf", output):
                found[self.place.port(output)] = self._emission(output)
        return RadioState(emissions=found)

    def _emission(self, output: int) -> Emission:
        level_dbm = self.number("level", output) + self.offset
        level_dbm -= self.number("level_offset", output)
        frequency_hz = self.number("frequency", output) - self.number("frequency_offset", output)
        waveform = None
        if self.get("modulation", output) and self.get("arb", output):
            name = str(self.get("waveform", output))
            waveform = self.place.world.waveforms.get(file_name(name))
        if waveform is None:
            return Emission(frequency_hz, level_dbm)
        return Emission(
            frequency_hz, level_dbm, waveform.bandwidth_hz, waveform.duty, waveform.burst_s
        )

    def check_file(self, name: str) -> None:
        """A waveform must be one that the world has, or that was loaded.

        Raises:
            ScpiError: −256.
        """
        known = self.place.world.waveforms
        if file_name(name) not in known and file_name(name) not in self._files:
            raise ScpiError(-256, name)

    def load(self, name: str) -> None:
        """Take a waveform file; what it holds is not looked at, it is emitted as a carrier."""
        self._files.add(file_name(name))

    def files(self) -> list[str]:
        """The names of all waveforms."""
        return sorted({*self.place.world.waveforms, *self._files})


def file_name(name: str) -> str:
    """The name of a waveform without its folder, drive and ``.wv``."""
    return name.replace("\\", "/").rpartition("/")[2].rpartition(":")[2].removesuffix(".wv")


def _generator(call: Call) -> SignalGenerator:
    assert isinstance(call.instrument, SignalGenerator)
    return call.instrument


def _check_file(call: Call) -> None:
    _generator(call).check_file(str(call.values[0]))


def _check_arb(call: Call) -> None:
    if call.values[0] and not call.instrument.get("waveform", *call.suffixes):
        raise ScpiError(-221, "no waveform selected")


def _shift(shown: str, offset: str) -> Callable[[Call], None]:
    """An offset moves what is shown, never what leaves the output."""

    def check(call: Call) -> None:
        one, instrument = _one(call), call.instrument
        moved = float(call.values[0]) - instrument.number(offset, *one)
        instrument.put(shown, round(instrument.number(shown, *one) + moved, 6), *one)

    return check


def _any_output(call: Call) -> str:
    return Boolean().show(any(call.instrument.get("rf", output) for output in (1, 2)))


def _all_outputs(call: Call) -> None:
    for output in (1, 2):
        call.instrument.put("rf", call.values[0], output)


def _moved(kind: Number, offset: str) -> Callable[[Call], Number]:
    """The range of what is shown moves with its offset."""

    def limits(call: Call) -> Number:
        by = call.instrument.number(offset, *_one(call))
        return replace(kind, low=kind.low + by, high=kind.high + by, default=kind.default + by)

    return limits


def _one(call: Call) -> tuple[int, ...]:
    return call.suffixes or (1,)


_UNSWEPT = Choice(("CW", "FIXed"))
"""There are no sweeps and lists here: asking for one is refused."""

_SMW_LEVEL = Number(-145, 30, "DBM", 0.01, -30)
_SMW_FREQUENCY = Number(100e3, 6e9, "HZ", 0.001, 1e9)

_SMW_COMMANDS = (
    Command(
        "[:SOURce<2>]:FREQuency[:CW|FIXed]",
        "frequency",
        _SMW_FREQUENCY,
        1e9,
        limits=_moved(_SMW_FREQUENCY, "frequency_offset"),
    ),
    Command(
        "[:SOURce<2>]:FREQuency:OFFSet",
        "frequency_offset",
        Number(-67e9, 67e9, "HZ", 0.01),
        0.0,
        check=_shift("frequency", "frequency_offset"),
    ),
    Command(
        "[:SOURce<2>]:FREQuency:MODE",
        "frequency_mode",
        _UNSWEPT,
        "CW",
    ),
    Command(
        "[:SOURce<2>]:POWer[:LEVel][:IMMediate][:AMPLitude]",
        "level",
        _SMW_LEVEL,
        -30.0,
        limits=_moved(_SMW_LEVEL, "level_offset"),
    ),
    Command(
        "[:SOURce<2>]:POWer[:LEVel][:IMMediate]:OFFSet",
        "level_offset",
        Number(-100, 100, "DB", 0.01),
        0.0,
        check=_shift("level", "level_offset"),
    ),
    Command("[:SOURce<2>]:POWer:LIMit[:AMPLitude]", "limit", Number(-300, 30, "DBM", 0.01), 30.0),
    Command("[:SOURce<2>]:POWer:ALC[:STATe]", "alc", Choice(("AUTO", "ONTable", "OFF")), "AUTO"),
    Command("[:SOURce<2>]:POWer:MODE", "level_mode", _UNSWEPT, "CW"),
    Command("[:SOURce<2>]:MODulation[:ALL][:STATe]", "modulation", Boolean(), True),
    Command("[:SOURce<2>]:BB:ARBitrary:STATe", "arb", Boolean(), False, check=_check_arb),
    Command("[:SOURce<2>]:BB:ARBitrary:WAVeform:SELect", "waveform", Text(), "", check=_check_file),
    Command(
        "[:SOURce<2>]:BB:ARBitrary:WAVeform:CATalog",
        ask=lambda call: ",".join(f'"{name}"' for name in _generator(call).files()),
    ),
    Command(
        "[:SOURce<2>]:BB:ARBitrary:WAVeform:DATA",
        takes=(Text(), Data()),
        do=lambda call: _generator(call).load(str(call.values[0])),
    ),
    Command("[:SOURce<2>]:BB:ARBitrary:CLOCk", "clock", Number(400, 2.4e9, "HZ", 0.001), 32e6),
    Command(":OUTPut<2>[:STATe]", "rf", Boolean(), False),
    Command(":OUTPut:ALL[:STATe]", takes=(Boolean(),), do=_all_outputs, ask=_any_output),
    Command(":OUTPut<2>:IMPedance", ask=lambda _: "G50"),
    Command("[:SOURce]:ROSCillator:SOURce", "reference", Choice(("INTernal", "EXTernal")), "INT"),
)


def smw(place: Place) -> SignalGenerator:
    """R&S SMW200A with two paths of 6 GHz."""
    model = Model(
        "signal-generator",
        "Rohde&Schwarz,SMW200A,1412.0000K02/000001,5.30.047.22",
        _SMW_COMMANDS,
        "SMW-B10,SMW-B13,SMW-B1006,SMW-B2006",
        "R&S SMW200A user manual 1175.6632.02, chapter 17",
    )
    return SignalGenerator(model, place, outputs=2)


def _mxg_number(low: float, high: float, unit: str, resolution: float, default: float) -> Number:
    return Number(low, high, unit, resolution, default, format=scientific)


class _Mxg(SignalGenerator):
    """The settings of the one output are written without a suffix."""

    def get(self, name: str, *suffixes: int) -> Value:
        """A setting; output 1 is the only one."""
        return super().get(name)

    def put(self, name: str, value: Value, *suffixes: int) -> None:
        """Write a setting."""
        super().put(name, value)


_MXG_LEVEL = _mxg_number(-144, 30, "DBM", 0.01, -144)
_MXG_FREQUENCY = _mxg_number(9e3, 6e9, "HZ", 0.001, 6e9)

_MXG_COMMANDS = (
    Command(
        "[:SOURce]:FREQuency[:CW|FIXed]",
        "frequency",
        _MXG_FREQUENCY,
        6e9,
        limits=_moved(_MXG_FREQUENCY, "frequency_offset"),
    ),
    Command(
        "[:SOURce]:FREQuency:OFFSet",
        "frequency_offset",
        _mxg_number(-200e9, 200e9, "HZ", 0.001, 0),
        0.0,
        check=_shift("frequency", "frequency_offset"),
    ),
    Command("[:SOURce]:FREQuency:MODE", "frequency_mode", _UNSWEPT, "CW"),
    Command("[:SOURce]:FREQuency:STARt", "start", _mxg_number(9e3, 6e9, "HZ", 0.001, 6e9), 6e9),
    Command("[:SOURce]:FREQuency:STOP", "stop", _mxg_number(9e3, 6e9, "HZ", 0.001, 6e9), 6e9),
    Command(
        "[:SOURce]:POWer[:LEVel][:IMMediate][:AMPLitude]",
        "level",
        _MXG_LEVEL,
        -144.0,
        limits=_moved(_MXG_LEVEL, "level_offset"),
    ),
    Command(
        "[:SOURce]:POWer[:LEVel][:IMMediate]:OFFSet",
        "level_offset",
        _mxg_number(-200, 200, "DB", 0.01, 0),
        0.0,
        check=_shift("level", "level_offset"),
    ),
    Command("[:SOURce]:POWer:MODE", "level_mode", Choice(("FIXed",)), "FIX"),
    Command("[:SOURce]:POWer:ALC[:STATe]", "alc", Boolean(), True),
    Command(
        "[:SOURce]:RADio:ARB:SCLock:RATE", "clock", _mxg_number(1, 200e6, "HZ", 0.001, 200e6), 200e6
    ),
    Command("[:SOURce]:RADio:ARB[:STATe]", "arb", Boolean(), False, check=_check_arb),
    Command("[:SOURce]:RADio:ARB:WAVeform", "waveform", Text(), "", check=_check_file),
    Command(":OUTPut[:STATe]", "rf", Boolean(), False),
    Command(":OUTPut:MODulation[:STATe]", "modulation", Boolean(), True),
    Command(
        ":MMEMory:DATA",
        takes=(Text(), Data()),
        do=lambda call: _generator(call).load(str(call.values[0])),
    ),
    Command(
        ":MMEMory:CATalog",
        asks=(Text(),),
        optional=1,
        ask=lambda call: ",".join(f'"{name}"' for name in _generator(call).files()),
    ),
)


def mxg(place: Place) -> SignalGenerator:
    """Keysight MXG N5182B of 6 GHz."""
    model = Model(
        "signal-generator",
        "Keysight Technologies, N5182B, MY00000001, B.01.86",
        _MXG_COMMANDS,
        "506,655,UNT,1EA",
        "Keysight EXG/MXG SCPI command reference N5180-90074",
    )
    return _Mxg(model, place, outputs=1)
