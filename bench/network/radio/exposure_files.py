"""Reading radios and exposures from TOML: of device profiles, scenarios and coexistence plans."""

from __future__ import annotations

import re

from bench.network.radio.exposure import Exposure, Radio
from bench.network.radio.receivers import TECHNOLOGIES
from bench.network.radio.world import WAVEFORMS
from bench.tables import Table
from bench.units import QUANTITIES, decibels

_SHAPE = ("bandwidth", "duty", "burst")


def radio_from(table: Table) -> Radio:
    """A radio: ``link``, ``technology``, ``frequency``, ``wanted``; the rest has defaults.

    Raises:
        InputError: an unknown or missing key, or a value that cannot be.
    """
    table.only(
        ("link", "technology", "frequency", "wanted"), ("noise_figure", "packet_bytes", "retries")
    )
    return Radio(
        table.text("link"),
        table.choice("technology", TECHNOLOGIES),
        frequency_hz(table),
        level_db(table, "wanted", "dBm"),
        level_db(table, "noise_figure", "dB") if "noise_figure" in table.data else 6.0,
        _whole(table, "packet_bytes", 1, 65535, 20),
        _whole(table, "retries", 0, 100, 3),
    )


def exposure_from(table: Table) -> Exposure:
    """An unintended signal: ``signal``, ``frequency``, ``level``; its shape where none is known.

    The shape of a known waveform (:data:`bench.network.radio.world.WAVEFORMS`) need not be given.

    Raises:
        InputError: an unknown or missing key, or a value that cannot be.
    """
    table.only(("signal", "frequency", "level"), _SHAPE)
    return Exposure(
        table.text("signal"),
        frequency_hz(table),
        level_db(table, "level", "dBm"),
        *shape_from(table, table.text("signal")),
    )


def shape_from(table: Table, signal: str) -> tuple[float, float, float]:
    """Bandwidth (Hz), duty and burst (s) of a signal, by its table or as the waveform is known.

    Raises:
        InputError: a value that cannot be, or nothing is known of the signal.
    """
    known = WAVEFORMS.get(signal)
    if known is None and "bandwidth" not in table.data:
        table.fail("bandwidth", "is missing", f"give it, or use one of {', '.join(WAVEFORMS)}")
    bandwidth_hz = known.bandwidth_hz if known else 0.0
    if "bandwidth" in table.data:
        bandwidth_hz = table.quantity("bandwidth", "Hz")
    duty = table.quantity("duty", "1") if "duty" in table.data else known.duty if known else 1.0
    burst_s = table.quantity("burst", "s") if "burst" in table.data else 0.0
    if "burst" not in table.data and known:
        burst_s = known.burst_s
    if not 0.0 < duty <= 1.0:
        table.fail("duty", "is not above 0 and at most 100 %", "correct it")
    return bandwidth_hz, duty, burst_s


def frequency_hz(table: Table, key: str = "frequency") -> float:
    """A frequency above zero.

    Raises:
        InputError: it is none.
    """
    value = table.quantity(key, "Hz")
    if value <= 0:
        table.fail(key, "is not above zero", "give a frequency like 3.5GHz")
    return value


def level_db(table: Table, key: str, unit: str) -> float:
    """A level in dBm or a ratio in dB.

    Raises:
        InputError: it is none.
    """
    return decibels(table.data.get(key), unit, field=table.field(key), file=table.file)


def offset_hz(table: Table, text: str, key: str) -> float:
    """An offset from a channel: a frequency that may have a sign. ``key``: where it stands.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"\s*([+\-−]?)\s*(.*)", text)
    assert match is not None
    value = QUANTITIES["Hz"](match[2], field=table.field(key), file=table.file)
    return -value if match[1] in ("-", "−") else value


def _whole(table: Table, key: str, low: int, high: int, default: int) -> int:
    value = table.data.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        table.fail(key, f"is no whole number from {low} to {high}", "correct it")
    return value
