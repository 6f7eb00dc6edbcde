"""Programmable supplies: Keysight E36312A."""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import InputError
from instruments.rf.generators import is_off, is_on
from instruments.visa.channels import Channel
from instruments.visa.errors import BadAnswer
from instruments.visa.properties import Command, Instrument, Number
from instruments.visa.readings import Reading, number

_GUIDE = "Keysight E36300 Series Programming Guide"
_RATED = {1: (6.0, 5.0), 2: (25.0, 1.0), 3: (25.0, 1.0)}
"""Output to volts and amperes. Keysight E36312A data sheet: 6 V, 5 A; 25 V, 1 A; 25 V, 1 A."""


class E36312A(Instrument):
    """One output of an E36312A.

    Args:
        output: 1, 2 or 3.
        limits: must give ``voltage_v`` and ``current_a``: what the device bears.
    """

    family = "power-supply"
    manufacturer = "Keysight Technologies"
    models = ("E36312A",)

    voltage_v = Number(
        "VOLT {value},(@{output})", "VOLT? (@{output})", unit="V", low=0, high=25, tolerance=0.001,
        source=f"{_GUIDE}, VOLTage Subsystem: [SOURce:]VOLTage[:LEVel][:IMMediate][:AMPLitude]",
    )  # fmt: skip
    current_a = Number(
        "CURR {value},(@{output})", "CURR? (@{output})", unit="A", low=0, high=5, tolerance=0.001,
        source=f"{_GUIDE}, CURRent Subsystem: [SOURce:]CURRent[:LEVel][:IMMediate][:AMPLitude]",
    )  # fmt: skip

    output_on = Command("OUTP 1,(@{output})", f"{_GUIDE}, OUTPut Subsystem: OUTPut[:STATe]")
    output_off = Command("OUTP 0,(@{output})", f"{_GUIDE}, OUTPut Subsystem: OUTPut[:STATe]")
    output_state = Command("OUTP? (@{output})", f"{_GUIDE}, OUTPut Subsystem: OUTPut[:STATe]")
    measured_voltage = Command(
        "MEAS:VOLT? (@{output})", f"{_GUIDE}, MEASure Subsystem: MEASure[:SCALar]:VOLTage[:DC]"
    )
    measured_current = Command(
        "MEAS:CURR? (@{output})", f"{_GUIDE}, MEASure Subsystem: MEASure[:SCALar]:CURRent[:DC]"
    )

    def __init__(
        self,
        channel: Channel,
        limits: Mapping[str, tuple[float, float]] | None = None,
        output: int = 1,
    ) -> None:
        """Raises: InputError: no such output, or no limits, or beyond what it can."""
        volts, amperes = _RATED.get(output, (0.0, 0.0))
        given = limits or {}
        if not volts:
            self._refuse(channel, "output", output, "is no output", "give 1, 2 or 3")
        for name, most in (("voltage_v", volts), ("current_a", amperes)):
            if name not in given:
                remedy = "give [low, high]: what the device bears"
                self._refuse(channel, f"limits.{name}", None, "is missing", remedy)
            if given[name][1] > most:
                remedy = f"give at most {most:g}"
                self._refuse(channel, f"limits.{name}", given[name][1], "is too much", remedy)
        self._output = output
        super().__init__(channel, limits)

    @staticmethod
    def _refuse(channel: Channel, name: str, value: object, problem: str, remedy: str) -> None:
        raise InputError(problem, remedy=remedy, field=f"{channel.role}.{name}", value=value)

    def fields(self) -> Mapping[str, str]:
        """The output."""
        return {"output": str(self._output)}

    def switch_on(self) -> None:
        """Output on. Voltage and current should have been set.

        Should the session have to be made anew later, the output is left as it is: taking power
        away from a device that may be moving is a decision of the caller's.
        """
        with self.channel.step("output on"):
            self.channel.command(self.filled(self.output_on.text))
            self.channel.confirm(self.filled(self.output_state.text), is_on, "1")

    def is_on(self) -> bool:
        """Whether the output is on.

        Raises:
            BadAnswer: it says neither.
        """
        answer = self.channel.query(self.filled(self.output_state.text))
        if is_on(answer) and is_off(answer):
            raise BadAnswer(self.channel.role, f"output is {answer!r}, neither on nor off")
        return not is_on(answer)

    def make_safe(self) -> None:
        """Output off, verified."""
        self.channel.settle()
        self.channel.force(self.filled(self.output_off.text))
        self.channel.confirm(self.filled(self.output_state.text), is_off, "0")

    switch_off = make_safe

    def voltage(self) -> Reading:
        """The measured voltage, V."""
        return self.channel.read(self.filled(self.measured_voltage.text), "voltage", "V", number)

    def current(self) -> Reading:
        """The measured current, A."""
        return self.channel.read(self.filled(self.measured_current.text), "current", "A", number)
