"""Spectrum analysers: R&S FSx and Keysight X-Series."""

from __future__ import annotations

from typing import ClassVar

from instruments.rf.generators import equals
from instruments.visa.channels import Check
from instruments.visa.errors import BadAnswer, InstrumentError
from instruments.visa.properties import Choice, Command, Instrument, Number, on_off
from instruments.visa.readings import Reading, level_dbm, levels_dbm, number

SWEEP_S = 60.0


def is_done(text: str) -> str:
    """Check the answer to ``*OPC?``."""
    return "" if text.strip() == "1" else "is not 1"


def no_overload(role: str) -> Check:
    """Check that no bit of an overload is set: 0 RF, 2 IF, 3 input or trace.

    Bit 1, an underload (FSV), distorts nothing. Source: R&S FSW and FSV user manuals,
    STATus:QUEStionable:POWer Register.
    """

    def check(text: str) -> str:
        if not text.strip().isdigit():
            raise BadAnswer(role, f"answers {text!r}, which is no register")
        return "overload" if int(text) & 0b1101 else ""

    return check


class SpectrumAnalyser(Instrument):
    """What both dialects share.

    Levels are those at the analyser's own connector: a reference level offset would count a path
    loss that the calibration record counts already, so it must be 0.
    """

    family = "spectrum-analyser"

    centre_hz: Number
    span_hz: Number
    resolution_hz: Number
    reference_dbm: Number
    detector: Choice

    offset: ClassVar[Command]
    sweep: ClassVar[Command]
    unit: ClassVar[Command]
    fresh: ClassVar[tuple[Command, ...]]
    """So that trace 1 shows the last sweep alone, whatever it was left at."""
    ascii: ClassVar[Command]
    peak_search: ClassVar[Command]
    peak_level: ClassVar[Command]
    peak_frequency: ClassVar[Command]
    trace: ClassVar[Command]
    overload: ClassVar[Command | None] = None
    """A query of what has been overloaded, as bits; None: the driver cannot tell."""

    def _swept(self) -> None:
        """One new sweep, of which an overload is no result."""
        if self.overload is not None:
            self.channel.confirm(self.overload.text, lambda _: "", "any (clears it)")
        self.channel.confirm(self.offset.text, equals(0, self.channel.role), "0")
        for one in (self.unit, *self.fresh):
            self.channel.command(one.text)
        self.channel.confirm(self.sweep.text, is_done, "1", SWEEP_S)
        if self.overload is not None:
            self.channel.confirm(self.overload.text, no_overload(self.channel.role), "no overload")

    def peak(self) -> tuple[Reading, Reading]:
        """Of one new sweep the highest point: level, dBm, and frequency, Hz.

        Raises:
            NotApplied: the input is overloaded, or a level offset is set.
            DeadlinePassed: the sweep did not end.
        """
        with self.channel.step("peak"):
            self._swept()
            self.channel.command(self.peak_search.text)
            return (
                self.channel.read(self.peak_level.text, "peak level", "dBm", level_dbm),
                self.channel.read(self.peak_frequency.text, "peak frequency", "Hz", number),
            )

    def levels_dbm(self) -> tuple[float, ...]:
        """The points of trace 1 of one new sweep, dBm.

        Raises:
            InstrumentError: as :meth:`peak`; or a point is no result.
        """
        with self.channel.step("trace"):
            self._swept()
            self.channel.command(self.ascii.text)
            return levels_dbm(self.channel.query(self.trace.text, SWEEP_S), self.channel.role)

    def highest(self) -> Reading:
        """The highest point of the trace: what :meth:`peak` finds, told by another command."""
        try:
            levels = self.levels_dbm()
        except InstrumentError as error:
            return Reading(self.channel.role, "trace", None, "dBm", error.problem)
        return Reading(self.channel.role, "trace", max(levels), "dBm")


_FSW = "R&S FSW User Manual, Remote Commands"


class RohdeSchwarzFs(SpectrumAnalyser):
    """R&S FSW, FSV(A), FPS."""

    manufacturer = "Rohde&Schwarz"
    models = ("FSW-*", "FSV*", "FPS*")

    centre_hz = Number(
        "FREQ:CENT {value}", "FREQ:CENT?", unit="Hz", low=0, high=90e9, tolerance=1,
        source=f"{_FSW}, Frequency: [SENSe:]FREQuency:CENTer",
    )  # fmt: skip
    span_hz = Number(
        "FREQ:SPAN {value}", "FREQ:SPAN?", unit="Hz", low=10, high=90e9, tolerance=1,
        source=f"{_FSW}, Frequency: [SENSe:]FREQuency:SPAN",
    )  # fmt: skip
    resolution_hz = Number(
        "BAND:RES {value}", "BAND:RES?", unit="Hz", low=1, high=10e6,
        source=f"{_FSW}, Bandwidth: [SENSe:]BANDwidth[:RESolution]",
    )  # fmt: skip
    reference_dbm = Number(
        "DISP:TRAC:Y:RLEV {value}", "DISP:TRAC:Y:RLEV?", unit="dBm", low=-130, high=30,
        tolerance=0.01,
        source=f"{_FSW}, Amplitude: DISPlay[:WINDow<n>]:TRACe<t>:Y[:SCALe]:RLEVel",
    )  # fmt: skip
    detector = Choice(
        "DET {value}", "DET?",
        values={"rms": ("RMS",), "positive-peak": ("POS", "POSITIVE")},
        source=f"{_FSW}, Traces: [SENSe:][WINDow<n>:]DETector<t>[:FUNCtion]",
    )  # fmt: skip
    continuous = on_off(
        "INIT:CONT {value}", "INIT:CONT?",
        source=f"{_FSW}, Performing Measurements: INITiate<n>:CONTinuous",
    )  # fmt: skip

    offset = Command(
        "DISP:TRAC:Y:RLEV:OFFS?",
        f"{_FSW}, Amplitude: DISPlay[:WINDow<n>]:TRACe<t>:Y[:SCALe]:RLEVel:OFFSet",
    )
    sweep = Command(
        "INIT:CONT OFF;:INIT;*OPC?",
        f"{_FSW}, Performing Measurements: INITiate<n>:CONTinuous, INITiate<n>[:IMMediate]",
    )
    unit = Command("CALC:UNIT:POW DBM", f"{_FSW}, Amplitude: CALCulate<n>:UNIT:POWer")
    fresh = (
        Command(
            "DISP:TRAC1:MODE WRIT",
            f"{_FSW}, Traces: DISPlay[:WINDow<n>]:TRACe<t>:MODE (Clear Write)",
        ),
    )
    ascii = Command("FORM ASC", f"{_FSW}, Retrieving Results: FORMat[:DATA]")
    peak_search = Command(
        "CALC:MARK1:MAX", f"{_FSW}, Markers: CALCulate<n>:MARKer<m>:MAXimum[:PEAK]"
    )
    peak_level = Command("CALC:MARK1:Y?", f"{_FSW}, Markers: CALCulate<n>:MARKer<m>:Y")
    peak_frequency = Command("CALC:MARK1:X?", f"{_FSW}, Markers: CALCulate<n>:MARKer<m>:X")
    trace = Command("TRAC? TRACE1", f"{_FSW}, Retrieving Results: TRACe<n>[:DATA]")
    overload = Command(
        "STAT:QUES:POW?",
        f"{_FSW}, Status Reporting: STATus:QUEStionable:POWer[:EVENt] (RF and IF overload)",
    )


_XSA = "Keysight X-Series Signal Analyzers, Spectrum Analyzer Mode User's & Programmer's Reference"


class KeysightX(SpectrumAnalyser):
    """Keysight PXA, MXA, EXA, CXA (N90xx). An overload of the input is not asked for."""

    manufacturer = "*"
    models = ("N90??[AB]",)

    centre_hz = Number(
        ":FREQ:CENT {value}", ":FREQ:CENT?", unit="Hz", low=0, high=50e9, tolerance=1,
        source=f"{_XSA}, FREQ Channel: [:SENSe]:FREQuency:CENTer",
    )  # fmt: skip
    span_hz = Number(
        ":FREQ:SPAN {value}", ":FREQ:SPAN?", unit="Hz", low=10, high=50e9, tolerance=1,
        source=f"{_XSA}, SPAN X Scale: [:SENSe]:FREQuency:SPAN",
    )  # fmt: skip
    resolution_hz = Number(
        ":BAND {value}", ":BAND?", unit="Hz", low=1, high=8e6,
        source=f"{_XSA}, BW: [:SENSe]:BANDwidth|BWIDth[:RESolution]",
    )  # fmt: skip
    reference_dbm = Number(
        ":DISP:WIND:TRAC:Y:RLEV {value}", ":DISP:WIND:TRAC:Y:RLEV?", unit="dBm", low=-170, high=30,
        tolerance=0.01,
        source=f"{_XSA}, AMPTD Y Scale: :DISPlay:WINDow[1]:TRACe:Y[:SCALe]:RLEVel",
    )  # fmt: skip
    detector = Choice(
        ":DET {value}", ":DET?",
        values={"rms": ("AVER", "AVERAGE"), "positive-peak": ("POS", "POSITIVE")},
        source=f"{_XSA}, Trace/Detector: [:SENSe]:DETector[:FUNCtion]",
    )  # fmt: skip

    offset = Command(
        ":DISP:WIND:TRAC:Y:RLEV:OFFS?",
        f"{_XSA}, AMPTD Y Scale: :DISPlay:WINDow[1]:TRACe:Y[:SCALe]:RLEVel:OFFSet",
    )
    sweep = Command(
        ":INIT:CONT OFF;:INIT:IMM;*OPC?",
        f"{_XSA}, Cont, Single: :INITiate:CONTinuous, :INITiate[:IMMediate]",
    )
    unit = Command(":UNIT:POW DBM", f"{_XSA}, AMPTD Y Scale: :UNIT:POWer")
    fresh = (
        Command(":TRAC1:TYPE WRIT", f"{_XSA}, Trace/Detector: :TRACe[1]|2|…|6:TYPE (Clear/Write)"),
        Command(":TRAC1:UPD ON", f"{_XSA}, Trace/Detector: :TRACe[1]|2|…|6:UPDate[:STATe]"),
    )
    ascii = Command(":FORM ASC", f"{_XSA}, Remote Measurement Functions: :FORMat[:TRACe][:DATA]")
    peak_search = Command(":CALC:MARK1:MAX", f"{_XSA}, Peak Search: :CALCulate:MARKer[1]:MAXimum")
    peak_level = Command(":CALC:MARK1:Y?", f"{_XSA}, Marker: :CALCulate:MARKer[1]:Y")
    peak_frequency = Command(":CALC:MARK1:X?", f"{_XSA}, Marker: :CALCulate:MARKer[1]:X")
    trace = Command(":TRAC? TRACE1", f"{_XSA}, Trace/Detector: :TRACe[:DATA] TRACE1")
