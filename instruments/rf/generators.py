"""Vector signal generators: R&S SMW/SMBV and Keysight MXG/EXG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.errors import InputError
from instruments.rf.emitters import Emitter
from instruments.rf.levels import Permit
from instruments.visa.channels import Channel, Check
from instruments.visa.errors import Excess
from instruments.visa.properties import Choice, Command, Number, on_off
from instruments.visa.readings import number

_LOAD_S = 60.0


def is_on(text: str) -> str:
    """Check that an output is on."""
    return "" if text.strip().upper() in ("1", "ON") else "is not on"


def is_off(text: str) -> str:
    """Check that an output is off."""
    return "" if text.strip().upper() in ("0", "OFF") else "is not off"


def equals(wanted: float, role: str) -> Check:
    """Check that a number is (within 1e-6) as wanted."""
    return lambda text: "" if abs(number(text, role) - wanted) <= 1e-6 else f"is not {wanted:g}"


class SignalGenerator(Emitter):
    """What both dialects share.

    RF goes on by :meth:`switch_on` only, which wants a permit for the level; while it is on, no
    higher level can be set.
    """

    family = "signal-generator"

    frequency_hz: Number
    level_dbm: Number
    arb: Choice

    output_on: ClassVar[Command]
    output_off: ClassVar[Command]
    output_state: ClassVar[Command]
    level_query: ClassVar[Command]
    level_offset: ClassVar[Command]
    select_waveform: ClassVar[Command]
    waveform: ClassVar[Command]
    modulated_states: ClassVar[tuple[Command, ...]]
    """What must be on for a modulated signal; the first must be off for CW."""

    def guard(self, name: str, value: object) -> None:
        """While RF is on: no level above the permit, no other waveform than it was given for."""
        if self._permit is None:
            return
        if name == "level_dbm" and isinstance(value, int | float):
            if value > self._permit.ceiling_dbm:
                raise Excess(
                    self.channel.role,
                    f"{value:g} dBm is above the permitted {self._permit.ceiling_dbm:g} dBm",
                )
        elif name not in ("frequency_hz",):
            raise Excess(self.channel.role, f"{name} cannot be set while RF is on: switch it off")

    def load(self, name: str) -> None:
        """Select an ARB waveform that is on the instrument.

        Raises:
            InputError: a name that would end the quotation.
            Excess: RF is on.
        """
        if not name or '"' in name or "'" in name or "\n" in name:
            raise InputError(
                "is no name of a waveform",
                remedy="give its path on the instrument",
                field=f"{self.channel.role}.waveform",
                value=name,
            )
        self.guard("waveform", name)
        self._load(name)
        self.channel.declare("waveform", lambda: self._load(name))

    def _load(self, name: str) -> None:
        with self.channel.step(f"waveform {name}"):
            self.channel.command(self.filled(self.select_waveform.text, name))
            self.channel.confirm(
                self.filled(self.waveform.text),
                lambda text: "" if name in text else f"is not {name}",
                name,
                within_s=_LOAD_S,
            )

    def switch_on(self, permit: Permit, modulated: bool) -> None:
        """RF on, with the loaded waveform or as CW, which must have been chosen before.

        Should the session have to be made anew later, RF is switched *off* first and stays off.

        Raises:
            Excess: the permit is another's, the level is above it, or a level offset would make
                the connector's level another than the one that was set.
            NotApplied: the modulation is on or off against ``modulated``.
        """
        role = self.channel.role
        if permit.generator != role:
            raise Excess(role, f"the permit is for {permit.generator}")
        with self.channel.step("RF on"):
            self.channel.confirm(self.filled(self.level_offset.text), equals(0, role), "0")
            self.channel.confirm(
                self.filled(self.level_query.text),
                lambda text: self._above(text, permit),
                f"at most {permit.ceiling_dbm:g}",
            )
            for state in self.modulated_states if modulated else self.modulated_states[:1]:
                check, shown = (is_on, "1") if modulated else (is_off, "0")
                self.channel.confirm(self.filled(state.text), check, shown)
            self.channel.declare("output", self._off, first=True)
            self._permit = permit
            self.channel.command(self.filled(self.output_on.text))
            self.channel.confirm(self.filled(self.output_state.text), is_on, "1")

    def _above(self, text: str, permit: Permit) -> str:
        level = number(text, self.channel.role)
        if level > permit.ceiling_dbm + 1e-6:
            raise Excess(
                self.channel.role,
                f"the level is {level:g} dBm, above the permitted {permit.ceiling_dbm:g} dBm",
            )
        return ""

    def _off(self) -> None:
        self.channel.force(self.filled(self.output_off.text))
        self.channel.confirm(self.filled(self.output_state.text), is_off, "0")
        self._permit = None

    def make_safe(self) -> None:
        """RF off, verified."""
        self.channel.settle()
        self._off()

    switch_off = make_safe


_SMW = "R&S SMW200A User Manual, Remote-Control Commands"


class RohdeSchwarzSmw(SignalGenerator):
    """R&S SMW200A, SMBV100A/B. Args: path: 1 or 2 (the SMW's two paths are two signals)."""

    manufacturer = "Rohde&Schwarz"
    models = ("SMW200A", "SMBV100?")

    frequency_hz = Number(
        ":SOUR{path}:FREQ {value}", ":SOUR{path}:FREQ?", unit="Hz", low=100e3, high=44e9,
        source=f"{_SMW}, SOURce:FREQuency: [:SOURce<hw>]:FREQuency[:CW|FIXed]",
    )  # fmt: skip
    level_dbm = Number(
        ":SOUR{path}:POW {value}", ":SOUR{path}:POW?", unit="dBm", low=-145, high=30,
        tolerance=0.005,
        source=f"{_SMW}, SOURce:POWer: [:SOURce<hw>]:POWer[:LEVel][:IMMediate][:AMPLitude]",
    )  # fmt: skip
    arb = on_off(
        ":SOUR{path}:BB:ARB:STAT {value};*OPC?", ":SOUR{path}:BB:ARB:STAT?",
        replies="1", settles_s=_LOAD_S,
        source=f"{_SMW}, SOURce:BB:ARBitrary: [:SOURce<hw>]:BB:ARBitrary:STATe",
    )  # fmt: skip

    output_on = Command(":OUTP{path} 1", f"{_SMW}, OUTPut: :OUTPut<hw>[:STATe]")
    output_off = Command(":OUTP{path} 0", f"{_SMW}, OUTPut: :OUTPut<hw>[:STATe]")
    output_state = Command(":OUTP{path}?", f"{_SMW}, OUTPut: :OUTPut<hw>[:STATe]")
    level_query = Command(
        ":SOUR{path}:POW?",
        f"{_SMW}, SOURce:POWer: [:SOURce<hw>]:POWer[:LEVel][:IMMediate][:AMPLitude]",
    )
    level_offset = Command(
        ":SOUR{path}:POW:OFFS?",
        f"{_SMW}, SOURce:POWer: [:SOURce<hw>]:POWer[:LEVel][:IMMediate]:OFFSet",
    )
    select_waveform = Command(
        ":SOUR{path}:BB:ARB:WAV:SEL '{value}'",
        f"{_SMW}, SOURce:BB:ARBitrary: [:SOURce<hw>]:BB:ARBitrary:WAVeform:SELect",
    )
    waveform = Command(
        ":SOUR{path}:BB:ARB:WAV:SEL?",
        f"{_SMW}, SOURce:BB:ARBitrary: [:SOURce<hw>]:BB:ARBitrary:WAVeform:SELect",
    )
    modulated_states = (
        Command(
            ":SOUR{path}:BB:ARB:STAT?",
            f"{_SMW}, SOURce:BB:ARBitrary: [:SOURce<hw>]:BB:ARBitrary:STATe",
        ),
    )

    def __init__(
        self,
        channel: Channel,
        limits: Mapping[str, tuple[float, float]] | None = None,
        path: int = 1,
    ) -> None:
        """Raises: InputError: no such path."""
        if path not in (1, 2):
            raise InputError(
                "is no path", remedy="give 1 or 2", field=f"{channel.role}.path", value=path
            )
        self._path = path
        super().__init__(channel, limits)

    def fields(self) -> Mapping[str, str]:
        """The path."""
        return {"path": str(self._path)}


_MXG = "Keysight X-Series Signal Generators N5171B/72B/73B/81B/82B/83B SCPI Command Reference"


class KeysightMxg(SignalGenerator):
    """Keysight MXG/EXG N5182B, N5172B. RF on with modulation off is CW: both are looked at."""

    manufacturer = "*"
    models = ("N5182?", "N5172?", "N5166?")

    frequency_hz = Number(
        ":FREQ {value}", ":FREQ?", unit="Hz", low=9e3, high=6e9, tolerance=0.01,
        source=f"{_MXG}, Frequency Subsystem: [:SOURce]:FREQuency[:CW]",
    )  # fmt: skip
    level_dbm = Number(
        ":POW {value}", ":POW?", unit="dBm", low=-144, high=26, tolerance=0.005,
        source=f"{_MXG}, Power Subsystem: [:SOURce]:POWer[:LEVel][:IMMediate][:AMPLitude]",
    )  # fmt: skip
    arb = on_off(
        ":RAD:ARB {value}", ":RAD:ARB?", settles_s=_LOAD_S,
        source=f"{_MXG}, Dual ARB Subsystem: [:SOURce]:RADio[1]:ARB[:STATe]",
    )  # fmt: skip
    modulation = on_off(
        ":OUTP:MOD {value}", ":OUTP:MOD?",
        source=f"{_MXG}, Output Subsystem: :OUTPut:MODulation[:STATe]",
    )  # fmt: skip

    output_on = Command(":OUTP 1", f"{_MXG}, Output Subsystem: :OUTPut[:STATe]")
    output_off = Command(":OUTP 0", f"{_MXG}, Output Subsystem: :OUTPut[:STATe]")
    output_state = Command(":OUTP?", f"{_MXG}, Output Subsystem: :OUTPut[:STATe]")
    level_query = Command(
        ":POW?", f"{_MXG}, Power Subsystem: [:SOURce]:POWer[:LEVel][:IMMediate][:AMPLitude]"
    )
    level_offset = Command(
        ":POW:OFFS?", f"{_MXG}, Power Subsystem: [:SOURce]:POWer[:LEVel][:IMMediate]:OFFSet"
    )
    select_waveform = Command(
        ':RAD:ARB:WAV "WFM1:{value}"',
        f"{_MXG}, Dual ARB Subsystem: [:SOURce]:RADio[1]:ARB:WAVeform",
    )
    waveform = Command(
        ":RAD:ARB:WAV?", f"{_MXG}, Dual ARB Subsystem: [:SOURce]:RADio[1]:ARB:WAVeform"
    )
    modulated_states = (
        Command(":RAD:ARB?", f"{_MXG}, Dual ARB Subsystem: [:SOURce]:RADio[1]:ARB[:STATe]"),
        Command(":OUTP:MOD?", f"{_MXG}, Output Subsystem: :OUTPut:MODulation[:STATe]"),
    )
