"""Oscilloscope: Keysight InfiniiVision, as far as the delay between two channels needs it."""

from __future__ import annotations

from dataclasses import replace

from instruments.simulators.place import Place
from instruments.simulators.scpi_instrument import Model, ScpiInstrument
from instruments.simulators.scpi_tree import Call, Command
from instruments.simulators.scpi_values import Boolean, Choice, Kind, Number, scientific

NO_RESULT = 9.9e37
"""What the instrument returns where it could not measure. It is no number to reckon with."""

CHANNELS = 4
_SOURCES = Choice(tuple(f"CHANnel{n}" for n in range(1, CHANNELS + 1)))
_EDGE = Number(-1000, 1000, "", 1, 1, whole=True)


class Oscilloscope(ScpiInstrument):
    """Sees one edge on each channel.

    Attributes:
        edges_s: time of the edge of each channel after the trigger; a channel that is not there
            shows no edge.
    """

    def __init__(self, model: Model, place: Place) -> None:
        super().__init__(model, place)
        self.edges_s: dict[int, float] = {1: 0.0, 2: 2.5e-3}
        self._acquired: dict[int, float] = {}
        self._edges = (1, 1)

    def define(self, first: int = 1, second: int = 1) -> None:
        """Between which edges the delay is meant: +1 is the first rising one."""
        self._edges = (first, second)

    def power_on(self) -> None:
        """As after the mains came back."""
        super().power_on()
        self._acquired, self._edges = {}, (1, 1)

    def reset(self) -> None:
        """``*RST``; what was acquired is gone."""
        super().reset()
        self._acquired = {}
        self._edges = (1, 1)

    def digitize(self, channels: tuple[int, ...] = ()) -> None:
        """Acquire once: the edges within the screen, of the channels that are shown."""
        shown = channels or tuple(n for n in range(1, CHANNELS + 1) if self.get("display", n))
        half = self.number("time_range") / 2
        middle = self.number("time_position")
        self._acquired = {
            n: time_s + self.offset * 1e-3 * (n > 1)
            for n, time_s in self.edges_s.items()
            if n in shown and abs(time_s - middle) <= half
        }

    def delay_s(self, first: int, second: int) -> float:
        """From the edge of one channel to that of another; 9.9E37 where one has none.

        There is one edge on each channel, and it rises.
        """
        if self._edges != (1, 1):
            return NO_RESULT
        if first not in self._acquired or second not in self._acquired:
            return NO_RESULT
        return self._acquired[second] - self._acquired[first]


def _me(call: Call) -> Oscilloscope:
    assert isinstance(call.instrument, Oscilloscope)
    return call.instrument


def _channel(value: object, default: int) -> int:
    return int(str(value)[-1]) if value else default


def _digitize(call: Call) -> None:
    _me(call).digitize(tuple(int(str(value)[-1]) for value in call.values))


def _delay(call: Call) -> str:
    given = [*call.values, *(None, None)][:2]
    return scientific(_me(call).delay_s(_channel(given[0], 1), _channel(given[1], 2)))


def _real(low: float, high: float, unit: str, default: float) -> Number:
    return Number(low, high, unit, 0, default, format=scientific)


def _by_channel(name: str, setting: str, kind: Kind, default: float | bool | str) -> Command:
    return Command(f":CHANnel<{CHANNELS}>:{name}", setting, kind, default)


def _coupled(command: Command, other: str, factor: float) -> Command:
    """Writing one of scale and range writes the other."""

    def then(call: Call) -> None:
        call.instrument.put(other, float(call.values[0]) * factor, *call.suffixes)

    return replace(command, then=then)


_COMMANDS = (
    _by_channel("DISPlay", "display", Boolean(), True),
    _coupled(_by_channel("SCALe", "scale", _real(1e-3, 10, "V", 1), 1.0), "range", 8),
    _coupled(_by_channel("RANGe", "range", _real(8e-3, 80, "V", 8), 8.0), "scale", 1 / 8),
    _by_channel("OFFSet", "offset", _real(-40, 40, "V", 0), 0.0),
    _by_channel("PROBe", "probe", _real(0.1, 10000, "", 10), 10.0),
    _by_channel("COUPling", "coupling", Choice(("AC", "DC")), "DC"),
    _by_channel("BWLimit", "limit", Boolean(), False),
    _by_channel("INVert", "invert", Boolean(), False),
    _coupled(Command(":TIMebase:RANGe", "time_range", _real(50e-9, 500, "S", 1e-2), 1e-2),
             "time_scale", 0.1),
    _coupled(Command(":TIMebase:SCALe", "time_scale", _real(5e-9, 50, "S", 1e-3), 1e-3),
             "time_range", 10),
    Command(":TIMebase:POSition", "time_position", _real(-500, 500, "S", 0), 0.0),
    Command(":TIMebase:REFerence", "reference", Choice(("LEFT", "CENTer", "RIGHt")), "CENT"),
    Command(":TIMebase:MODE", "time_mode", Choice(("MAIN", "WINDow", "XY", "ROLL")), "MAIN"),
    Command(":TRIGger[:EDGE]:SOURce", "trigger_source", _SOURCES, "CHAN1"),
    Command(":TRIGger[:EDGE]:LEVel", "trigger_level", _real(-60, 60, "V", 0), 0.0),
    Command(":TRIGger[:EDGE]:SLOPe", "slope", Choice(("POSitive", "NEGative")), "POS"),
    Command(":TRIGger:SWEep", "sweep", Choice(("AUTO", "NORMal")), "AUTO"),
    Command(":ACQuire:TYPE", "acquire_type",
            Choice(("NORMal", "AVERage", "HRESolution", "PEAK")), "NORM"),
    Command(":ACQuire:MODE", "acquire_mode", Choice(("RTIMe", "SEGMented")), "RTIM"),
    Command(":ACQuire:COUNt", "averages", Number(2, 65536, "", 1, 8, whole=True), 8),
    Command(":RUN", do=lambda call: _me(call).digitize()),
    Command(":SINGle", do=lambda call: _me(call).digitize()),
    Command(":STOP", do=lambda _: None),
    Command(":DIGitize", takes=(_SOURCES,) * CHANNELS, optional=CHANNELS, do=_digitize),
    Command(":MEASure:CLEar", do=lambda _: None),
    # DELay,<edge and its number on the first channel>,<on the second>: +1 is the first rising one
    Command(":MEASure:DEFine", takes=(Choice(("DELay",)), _EDGE, _EDGE), optional=2,
            do=lambda call: _me(call).define(*(int(edge) for edge in call.values[1:]))),
    Command(":MEASure:DELay", takes=(_SOURCES, _SOURCES), optional=2, do=lambda _: None,
            asks=(_SOURCES, _SOURCES), ask=_delay),
    Command(":OPERegister:CONDition", ask=lambda _: "+0"),
)  # fmt: skip


def infiniivision(place: Place) -> Oscilloscope:
    """Keysight DSOX3054T."""
    model = Model(
        "oscilloscope",
        "KEYSIGHT TECHNOLOGIES,DSO-X 3054T,MY00000001,07.50.2021102830",
        _COMMANDS,
        "0",
        "Keysight InfiniiVision 3000T X-series programmer's guide 75037-97000",
    )
    return Oscilloscope(model, place)
