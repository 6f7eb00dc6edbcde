"""Spectrum analysers: R&S FSx, and what the Keysight X series writes otherwise."""

from __future__ import annotations

import struct
from collections.abc import Callable

from instruments.simulators.analyser_sweeps import (
    HIGHEST_HZ,
    LOWEST_HZ,
    MARKERS,
    SpectrumAnalyser,
)
from instruments.simulators.place import Place
from instruments.simulators.scpi_errors import ScpiError
from instruments.simulators.scpi_instrument import Model
from instruments.simulators.scpi_tree import Call, Command
from instruments.simulators.scpi_values import (
    Boolean,
    Choice,
    Number,
    Text,
    definite_block,
    plain,
    scientific,
)


def _me(call: Call) -> SpectrumAnalyser:
    assert isinstance(call.instrument, SpectrumAnalyser)
    return call.instrument


def _span_check(call: Call) -> None:
    """Centre and span together must stay within the instrument's range."""
    half = float(call.values[0]) / 2
    centre = _me(call).number("centre")
    if centre - half < LOWEST_HZ or centre + half > HIGHEST_HZ:
        raise ScpiError(-222)


def _centre_check(call: Call) -> None:
    """A centre too near to the end makes the span smaller, as the manual says."""
    centre = float(call.values[0])
    room = 2 * min(centre - LOWEST_HZ, HIGHEST_HZ - centre)
    if _me(call).number("span") > room:
        _me(call).put("span", room)


def _forget(call: Call) -> None:
    _me(call).forget()


def _start(call: Call) -> None:
    _me(call).set_range(float(call.values[0]), max(float(call.values[0]), _me(call).stop_hz))


def _stop(call: Call) -> None:
    _me(call).set_range(min(float(call.values[0]), _me(call).start_hz), float(call.values[0]))


def _set_rbw(call: Call) -> None:
    _me(call).put("rbw_auto", False)
    _me(call).forget()


def _auto_rbw(call: Call) -> None:
    """What was coupled stays where the coupling ends."""
    if not call.values[0]:
        _me(call).put("rbw", _me(call).resolution_hz)


def _trace_data(show: Callable[[float], str]) -> Callable[[Call], str]:
    def ask(call: Call) -> str:
        trace = [_me(call).in_unit(level) for level in _me(call).trace()]
        if _me(call).binary:
            return definite_block(struct.pack(f"<{len(trace)}f", *trace))
        return ",".join(show(level) for level in trace)

    return ask


def _set_format(call: Call) -> None:
    """Text, or 32-bit floating point in a block."""
    form, usual = str(call.values[0]), 32 if call.values[0] == "REAL" else 0
    if any(bits != usual for bits in call.values[1:]):
        raise ScpiError(-224, form)
    _me(call).binary = form == "REAL"


def _level(show: Callable[[float], str]) -> Callable[[Call], str]:
    return lambda call: show(_me(call).in_unit(_me(call).level_dbm(_marker(call))))


def _marker(call: Call) -> int:
    return call.suffixes[-1]


def _next(side: int) -> Callable[[Call], None]:
    """To the highest point on one side of the marker (−1, 1), or lower than it (0)."""

    def do(call: Call) -> None:
        me, at = _me(call), _me(call).number("marker", _marker(call))
        if side:
            low, high = (at, float("inf")) if side > 0 else (0.0, at)
            me.search(_marker(call), low=low, high=high)
            return
        level = me.level_dbm(_marker(call))
        peaks = [pair for pair in _peaks(me) if pair[0] < level]
        if not peaks:
            raise ScpiError(-222, "no peak")
        me.put("marker", max(peaks)[1], _marker(call))

    return do


def _peaks(me: SpectrumAnalyser) -> list[tuple[float, float]]:
    trace, frequencies = me.trace(), me.frequencies()
    return [
        (trace[i], frequencies[i])
        for i in range(1, len(trace) - 1)
        if trace[i - 1] < trace[i] >= trace[i + 1]
    ]


def _marker_x(call: Call) -> Number:
    return Number(_me(call).start_hz, _me(call).stop_hz, "HZ", format=_format(call))


def _format(call: Call) -> Callable[[float], str]:
    return scientific if call.instrument.identity.startswith("Keysight") else plain


def _commands(show: Callable[[float], str]) -> tuple[Command, ...]:
    """The table; the two makes differ in how they write numbers, and in few headers."""
    hz = Number(LOWEST_HZ, HIGHEST_HZ, "HZ", 0.01, 6.8e9, format=show)
    sense = "[:SENSe<1>]"
    amplitude = ":DISPlay[:WINDow<1>]:TRACe<1>[:Y][:SCALe]:RLEVel"
    marker = f":CALCulate<1>:MARKer<{MARKERS}>"
    return (
        Command(
            f"{sense}:FREQuency:CENTer", "centre", hz, 6.8e9, check=_centre_check, then=_forget
        ),
        Command(
            f"{sense}:FREQuency:SPAN",
            "span",
            Number(0, HIGHEST_HZ - LOWEST_HZ, "HZ", 0.01, 13.5e9, format=show),
            13.5e9,
            check=_span_check,
            then=_forget,
        ),
        Command(
            f"{sense}:FREQuency:STARt",
            takes=(hz,), do=_start, ask=lambda call: show(_me(call).start_hz),
        ),
        Command(
            f"{sense}:FREQuency:STOP",
            takes=(hz,), do=_stop, ask=lambda call: show(_me(call).stop_hz),
        ),
        Command(
            f"{sense}:BANDwidth|BWIDth[:RESolution]",
            "rbw",
            Number(1, 10e6, "HZ", 0.01, 3e6, format=show),
            3e6,
            then=_set_rbw,
            ask=lambda call: show(_me(call).resolution_hz),
        ),
        Command(
            f"{sense}:BANDwidth|BWIDth[:RESolution]:AUTO", "rbw_auto", Boolean(), True,
            check=_auto_rbw, then=_forget,
        ),
        Command(
            f"{sense}:BANDwidth|BWIDth:VIDeo", "vbw",
            Number(1, 10e6, "HZ", 0.01, 3e6, format=show), 3e6,
        ),
        Command(f"{sense}:BANDwidth|BWIDth:VIDeo:AUTO", "vbw_auto", Boolean(), True),
        Command(
            f"{sense}:SWEep:TIME", "sweep_time",
            Number(1e-6, 16000, "S", 1e-6, 0.01, format=show), 0.01,
        ),
        Command(f"{sense}:SWEep:TIME:AUTO", "sweep_time_auto", Boolean(), True),
        Command(
            f"{sense}:SWEep:POINts", "points",
            Number(101, 100001, "", 1, 1001, whole=True), 1001, then=_forget,
        ),
        Command(f"{sense}:SWEep:COUNt", "sweeps", Number(0, 200000, "", 1, 0, whole=True), 0),
        Command(
            f"{sense}:DETector<6>[:FUNCtion]", "detector",
            Choice(("APEak", "NEGative", "POSitive", "RMS", "AVERage", "SAMPle", "NORMal")), "POS",
        ),
        Command(
            amplitude, "reference_level", Number(-130, 30, "DBM", 0.01, 0, format=show), 0.0
        ),
        Command(
            f"{amplitude}:OFFSet", "level_offset",
            Number(-200, 200, "DB", 0.01, 0, format=show), 0.0, then=_forget,
        ),
        Command(":INPut:ATTenuation", "attenuation", Number(0, 75, "DB", 1, 10, format=show), 10.0),
        Command(":INPut:ATTenuation:AUTO", "attenuation_auto", Boolean(), True),
        Command(":INITiate<1>:CONTinuous", "continuous", Boolean(), True),
        Command(":INITiate<1>[:IMMediate]", do=lambda call: _me(call).sweep()),
        Command(":INITiate<1>:CONMeas", do=lambda call: _me(call).sweep()),
        Command(":ABORt", do=lambda _: None),
        Command(
            ":FORMat[:TRACe][:DATA]",
            takes=(Choice(("ASCii", "REAL")), Number(0, 32, "", 1, 0, whole=True)), optional=1,
            do=_set_format, ask=lambda call: "REAL,32" if _me(call).binary else "ASC,0",
        ),
        Command(
            ":TRACe<1>[:DATA]",
            asks=(Choice(("TRACE1",)),),
            ask=_trace_data(show),
        ),
        Command(":TRACe<1>[:DATA]:X", asks=(Choice(("TRACE1",)),),
                ask=lambda call: ",".join(show(f) for f in _me(call).frequencies())),
        Command(f"{marker}[:STATe]", "marker_on", Boolean(), False),
        Command(f"{marker}:MAXimum[:PEAK]", do=lambda call: _me(call).search(_marker(call))),
        Command(f"{marker}:MAXimum:NEXT", do=_next(0)),
        Command(f"{marker}:MAXimum:RIGHt", do=_next(1)),
        Command(f"{marker}:MAXimum:LEFT", do=_next(-1)),
        Command(f"{marker}:X", "marker", hz, 6.8e9, limits=_marker_x),
        Command(f"{marker}:Y", ask=_level(show)),
        Command(f"{marker}:TRACe", "marker_trace", Number(1, 6, "", 1, 1, whole=True), 1),
        Command(f"{marker}:AOFF", do=lambda call: _me(call).markers_off()),
        Command(
            f"{sense}:POWer:ACHannel:BANDwidth|BWIDth[:CHANnel]", "channel_width",
            Number(100, 1e9, "HZ", 1, 3.84e6, format=show), 3.84e6,
        ),
        Command(
            f"{marker}:FUNCtion:POWer:RESult",
            asks=(Choice(("CPOWer", "ACPower")),),
            ask=lambda call: show(
                _me(call).in_unit(_me(call).channel_power_dbm(_me(call).number("channel_width")))
            ),
        ),
        Command(":SYSTem:NAME", "host_name", Text(), "analyser", retained=True),
    )  # fmt: skip


_UNIT = Choice(("DBM", "DBUV"))
"""Of levels in traces and markers; further ones are not there."""

_FSW_COMMANDS = (
    Command(
        ":DISPlay[:WINDow<1>]:TRACe<1>:MODE",
        "trace_mode",
        Choice(("WRITe", "MAXHold", "MINHold", "VIEW")),
        "WRIT",
    ),
    Command(":CALCulate<1>:UNIT:POWer", "unit", _UNIT, "DBM"),
    Command(":STATus:QUEStionable:POWer[:EVENt]", ask=lambda call: str(_me(call).take_overloads())),
    Command(
        ":STATus:QUEStionable:POWer:CONDition", ask=lambda call: str(_me(call).overload_bits())
    ),
)
"""R&S FSW user manual, CALCulate:UNIT:POWer; STATus:QUEStionable:POWer register."""


def _set_updates(call: Call) -> None:
    _me(call).updates = bool(call.values[0])


_X_COMMANDS = (
    Command(":UNIT:POWer", "unit", _UNIT, "DBM"),
    Command(
        ":TRACe<1>:TYPE", "trace_mode", Choice(("WRITe", "MAXHold", "MINHold")), "WRIT",
    ),
    Command(
        ":TRACe<1>:UPDate[:STATe]", takes=(Boolean(),), do=_set_updates,
        ask=lambda call: Boolean().show(_me(call).updates),
    ),
)  # fmt: skip
"""Keysight X-series reference, Y Axis Unit; Trace Type; Trace Update."""


def fsw(place: Place) -> SpectrumAnalyser:
    """R&S FSW of 13.6 GHz."""
    model = Model(
        "spectrum-analyser",
        "Rohde&Schwarz,FSW-13,1331.5003K13/000001,6.10",
        (*_commands(plain), *_FSW_COMMANDS),
        "B8",
        "R&S FSW user manual 1173.9411.02, chapter 'Remote commands'",
    )
    return SpectrumAnalyser(model, place)


def x_series(place: Place) -> SpectrumAnalyser:
    """Keysight MXA N9020B."""
    model = Model(
        "spectrum-analyser",
        "Keysight Technologies,N9020B,MY00000001,A.33.05",
        (*_commands(scientific), *_X_COMMANDS),
        "513",
        "Keysight X-series spectrum analyser mode user's and programmer's reference",
    )
    return SpectrumAnalyser(model, place)
