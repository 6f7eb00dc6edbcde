"""Reading a device profile from TOML: strict keys, units in text, one clear message each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Literal, cast

from bench.devices.carriages import CARRIAGES, PLAIN
from bench.devices.figures import (
    DECLARES,
    FUNCTION_LIMITS,
    LIMITS,
    MACHINE_LIMITS,
    NETWORK_LIMITS,
    SUFFIX,
)
from bench.devices.files import absolute, is_reference
from bench.devices.load_radio import radio_of
from bench.devices.profile import (
    FUNCTIONS,
    AlarmProfile,
    Declaration,
    DeviceProfile,
    Priority,
    Service,
    Stream,
    Wire,
)
from bench.network.scenario import Side
from bench.tables import Table, read_toml
from bench.units import duration_s, ratio, size_bytes

CLASSES = ("diagnosis", "therapy", "emergency", "monitoring", "rehabilitation")
_LARGEST_PAYLOAD_BYTES = 1472
_SHORTEST_PERIOD_S = 1e-4


def load_profile(path: Path) -> DeviceProfile:
    """Read a device profile.

    Raises:
        InputError: missing or broken file, unknown or missing key, a value that cannot be read;
            the message names file, field, value and remedy.
    """
    top = read_toml(path, "the device profile")
    top.only(
        ["device", "streams"],
        ["limits", "declares", "alarms", "declarations", "radio", "coexistence"],
    )
    device = top.table("device")
    device.only(
        ["name", "title", "class", "manufacturer", "model", "version"],
        ["machine", "functions", "without", "watched"],
    )
    limits, declares = top.table("limits"), top.table("declares")
    machine = device.text("machine", "")
    if machine:
        machine = _machine(device, machine, path)
        own = is_reference(machine)
        of_functions = [
            FUNCTION_LIMITS.get(name, frozenset()) for name in _functions(device, "functions")
        ]
        needed = (NETWORK_LIMITS if own else MACHINE_LIMITS[machine]).union(*of_functions)
        limits.only(needed, LIMITS if own else ())
    streams = tuple(_stream(t, code) for code, t in enumerate(top.tables("streams", "name")))
    alarms = tuple(_alarm(t) for t in top.tables("alarms", "name"))
    _unique(top, "streams", "names", [s.name for s in streams])
    _unique(top, "streams", "ports", [s.port for s in streams])
    _unique(top, "alarms", "names", [a.name for a in alarms])
    if machine and any(stream.wire for stream in streams):
        top.fail("streams", "describe their wire", "leave it out: a simulated device has its own")
    if not machine and any(stream.carriage != PLAIN for stream in streams):
        top.fail("streams", "name a carriage", "leave it out: a real device brings its own")
    radio, coexistence = radio_of(top, "radio" in _functions(device, "functions"))
    if len(streams) > 255:
        top.fail("streams", "are more than 255", "describe the device with fewer streams")
    return DeviceProfile(
        name=device.text("name"),
        title=device.text("title"),
        device_class=device.choice("class", CLASSES),
        manufacturer=device.text("manufacturer"),
        model=device.text("model"),
        version=device.text("version"),
        machine=machine,
        streams=streams,
        functions=_functions(device, "functions"),
        without=_without(device),
        watched=_watched(device, streams),
        limits=_figures(limits, LIMITS),
        alarms=alarms,
        declares=_figures(declares, DECLARES),
        declarations={
            name: _declaration(table) for name, table in top.named("declarations").items()
        },
        radio=radio,
        coexistence=coexistence,
    )


def _machine(device: Table, name: str, path: Path) -> str:
    """A machine of the bench, or one out of a file, whose path is taken from the profile's."""
    if is_reference(name):
        return absolute(str(path.parent / name))
    if name not in MACHINE_LIMITS:
        remedy = f"use one of {', '.join(MACHINE_LIMITS)}, or FILE.py:NAME"
        device.fail("machine", "no such simulated device", remedy)
    return name


def _without(device: Table) -> tuple[str, ...]:
    found = _functions(device, "without")
    for name in found:
        if name in _functions(device, "functions"):
            device.fail("without", f"and functions both name {name!r}", "say one of the two")
    return found


def _functions(device: Table, key: str) -> tuple[str, ...]:
    found = device.texts(key) if key in device.data else ()
    for name in found:
        if name not in FUNCTIONS:
            device.fail(key, f"name {name!r}, which is none", f"use {', '.join(FUNCTIONS)}")
    return found


def _watched(device: Table, streams: tuple[Stream, ...]) -> str:
    name = device.text("watched", streams[0].name if streams else "")
    if name not in {stream.name for stream in streams}:
        device.fail("watched", "is no stream of the device", "name one of its streams")
    return name


def _stream(table: Table, code: int) -> Stream:
    table.only(
        ["name", "title", "source", "port", "kinds", "payload", "period"],
        [
            "packets",
            "slices",
            "option",
            "wire",
            "presents",
            "priority",
            "suite",
            "most_delay",
            "most_loss",
            "carriage",
        ],
    )
    payload = size_bytes(table.text("payload"), field=table.field("payload"), file=table.file)
    carriage = table.choice("carriage", CARRIAGES, PLAIN)
    smallest, largest = CARRIAGES[carriage].least_bytes, _LARGEST_PAYLOAD_BYTES
    if not smallest <= payload <= largest:
        table.fail("payload", "does not fit into one packet", f"give {smallest}B to {largest}B")
    period_s = _duration(table, "period")
    if period_s < _SHORTEST_PERIOD_S:
        table.fail("period", "is too short", "give at least 0.1ms")
    return Stream(
        name=table.text("name"),
        title=table.text("title"),
        code=code,
        source=cast(Side, table.choice("source", ("patient", "doctor"))),
        port=_whole(table, "port", 1, 65535),
        kinds=table.texts("kinds"),
        payload_bytes=payload,
        period_s=period_s,
        packets=_whole(table, "packets", 1, 4096, default=1),
        option=table.text("option", ""),
        wire=_wire(table.table("wire")) if "wire" in table.data else None,
        service=_service(table),
        suite=table.text("suite", ""),
        most_delay_s=_duration(table, "most_delay") if "most_delay" in table.data else None,
        most_loss=_ratio(table, "most_loss") if "most_loss" in table.data else None,
        carriage=carriage,
        slices=_whole(table, "slices", 1, 255, default=1),
    )


def _service(table: Table) -> Service | None:
    if not {"presents", "priority"} & set(table.data):
        return None
    return Service(
        presents=cast(
            Literal["", "picture", "sound"], table.choice("presents", ("", "picture", "sound"), "")
        ),
        priority=_whole(table, "priority", 1, 255, default=0) if "priority" in table.data else 0,
    )


def _wire(table: Table) -> Wire:
    table.only([], ["protocol", "starts_with", "number"])
    starts_with = table.text("starts_with", "").replace(" ", "").lower()
    if not re.fullmatch(r"(?:[0-9a-f]{2}){0,8}", starts_with):
        table.fail("starts_with", "is not up to 8 bytes in hexadecimal digits", "like 5442 0100")
    protocol = table.choice("protocol", ("udp", "tcp"), "udp")
    found = Wire(cast(Literal["udp", "tcp"], protocol), starts_with)
    if "number" not in table.data:
        return found
    if protocol == "tcp":
        table.fail("number", "needs packets, and TCP has none", "leave it out for TCP")
    number = table.table("number")
    number.only(["offset", "bytes"], ["order"])
    size = _whole(number, "bytes", 1, 8)
    if size not in (1, 2, 4, 8):
        number.fail("bytes", "is no size of a number", "give 1, 2, 4 or 8")
    order = number.choice("order", ("network", "little"), "network")
    return replace(
        found,
        number_offset=_whole(number, "offset", 0, _LARGEST_PAYLOAD_BYTES - size),
        number_bytes=size,
        number_order=cast(Literal["network", "little"], order),
    )


def _alarm(table: Table) -> AlarmProfile:
    table.only(["name", "title", "priority", "condition_delay", "signal_delay"])
    return AlarmProfile(
        name=table.text("name"),
        title=table.text("title"),
        priority=cast(Priority, table.choice("priority", ("high", "medium", "low"))),
        condition_delay_s=_duration(table, "condition_delay"),
        signal_delay_s=_duration(table, "signal_delay"),
    )


def _declaration(table: Table) -> Declaration:
    table.only(["report", "laboratory", "date"], ["expires"])
    found = Declaration(
        report=table.text("report"),
        laboratory=table.text("laboratory"),
        date=_day(table, "date"),
        expires=_day(table, "expires") if "expires" in table.data else "",
    )
    if found.expires and found.expires < found.date:
        table.fail("expires", f"is before the report's own date {found.date}", "check both")
    return found


def _day(table: Table, key: str) -> str:
    try:
        return date.fromisoformat(table.text(key)).isoformat()
    except ValueError:
        table.fail(key, "is no day", "write it like 2026-03-31")


def _figures(table: Table, known: Mapping[str, str]) -> dict[str, float]:
    table.only([], known)
    readers = {
        "duration": _duration,
        "ratio": _ratio,
        "length": _length_m,
        "number": _number,
        "rate": _rate_bps,
    }
    return {key + SUFFIX.get(known[key], ""): readers[known[key]](table, key) for key in table.data}


def _duration(table: Table, key: str) -> float:
    value = table.data[key]
    return duration_s(cast(str, value), field=table.field(key), file=table.file)


def _ratio(table: Table, key: str) -> float:
    return ratio(cast(str, table.data[key]), field=table.field(key), file=table.file)


_LENGTH = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(µm|um|mm|cm|m)\s*$")
_METRES = {"µm": 1e-6, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}


def _rate_bps(table: Table, key: str) -> float:
    return table.quantity(key, "bit/s")


def _length_m(table: Table, key: str) -> float:
    value = table.data[key]
    match = _LENGTH.match(value) if isinstance(value, str) else None
    if match is None:
        table.fail(key, "is not a length with a unit", 'write it like "1mm"')
    return float(match.group(1)) * _METRES[match.group(2)]


def _number(table: Table, key: str) -> float:
    value = table.data[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        table.fail(key, "is not a number from zero up", "write a plain number")
    return float(value)


def _whole(table: Table, key: str, low: int, high: int, default: int | None = None) -> int:
    value = table.data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        table.fail(key, f"is not a whole number from {low} to {high}", "correct it")
    return value


def _unique(top: Table, key: str, what: str, values: list[str] | list[int]) -> None:
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)  # type: ignore[arg-type]
        top.fail(key, f"have the {what[:-1]} {twice!r} twice", f"give each its own {what[:-1]}")
