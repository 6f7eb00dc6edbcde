"""Power supply: Keysight E36312A, three outputs, with channel lists."""

from __future__ import annotations

from collections.abc import Callable

from instruments.simulators.place import Place
from instruments.simulators.scpi_instrument import Model, ScpiInstrument
from instruments.simulators.scpi_tree import Call, Command
from instruments.simulators.scpi_values import Boolean, Choice, Number, scientific

_RATINGS = {1: (6.18, 5.15), 2: (25.75, 1.03), 3: (25.75, 1.03)}
"""Volts and amperes that may be set, by output (data sheet 5992-2124, 103 % of the rating)."""

_LOAD_OHM = 10.0
"""What is connected to each output."""


class PowerSupply(ScpiInstrument):
    """Three outputs, each into a resistor; constant voltage until the current limit is met."""

    def selected_channel(self) -> int:
        """What ``INSTrument:NSELect`` chose."""
        return int(self.number("selected"))

    def output(self, channel: int) -> tuple[float, float]:
        """Volts and amperes at an output."""
        if not self.get("output", channel):
            return 0.0, 0.0
        volts = min(self.number("volts", channel), self.number("amperes", channel) * _LOAD_OHM)
        volts = max(0.0, volts + self.offset)
        return volts, volts / _LOAD_OHM


def _me(call: Call) -> PowerSupply:
    assert isinstance(call.instrument, PowerSupply)
    return call.instrument


def _rated(which: int, unit: str) -> Callable[[Call], Number]:
    def limits(call: Call) -> Number:
        most = _RATINGS[call.suffixes[-1]][which]
        return Number(0, most, unit, 0.001, 0, format=scientific)

    return limits


def _measured(which: int) -> Callable[[Call], str]:
    return lambda call: scientific(_me(call).output(call.suffixes[-1])[which])


_VOLTS = Number(0, 25.75, "V", 0.001, 0, format=scientific)
_AMPERES = Number(0, 5.15, "A", 0.001, 0, format=scientific)

_COMMANDS = (
    Command(
        "[:SOURce]:VOLTage[:LEVel][:IMMediate][:AMPLitude]", "volts", _VOLTS, 0.0, channels=3,
        limits=_rated(0, "V"),
    ),
    Command(
        "[:SOURce]:CURRent[:LEVel][:IMMediate][:AMPLitude]", "amperes", _AMPERES, 1.0, channels=3,
        limits=_rated(1, "A"),
    ),
    Command(
        "[:SOURce]:VOLTage:PROTection[:LEVel]", "over_voltage",
        Number(0, 28.3, "V", 0.001, 28.3, format=scientific), 28.3, channels=3,
    ),
    Command(":OUTPut[:STATe]", "output", Boolean(), False, channels=3),
    Command(
        ":INSTrument[:SELect]", takes=(Choice(("CH1", "CH2", "CH3")),),
        do=lambda call: call.instrument.put("selected", int(str(call.values[0])[-1])),
        ask=lambda call: f"CH{_me(call).selected_channel()}",
    ),
    Command(":INSTrument:NSELect", "selected", Number(1, 3, "", 1, 1, whole=True), 1),
    Command(":MEASure[:SCALar]:VOLTage[:DC]", channels=3, ask=_measured(0)),
    Command(":MEASure[:SCALar]:CURRent[:DC]", channels=3, ask=_measured(1)),
)  # fmt: skip


def e36312a(place: Place) -> PowerSupply:
    """Keysight E36312A."""
    model = Model(
        "power-supply",
        "Keysight Technologies,E36312A,MY00000001,1.0.4-1.0.0-1.02",
        _COMMANDS,
        "0",
        "Keysight E36300 series programming guide E36311-90008",
    )
    return PowerSupply(model, place)
