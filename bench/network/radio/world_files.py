"""Reading a world from TOML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path as FilePath
from types import MappingProxyType

from bench.network.radio.receivers import TECHNOLOGIES, Receiver
from bench.network.radio.state import Cell, Emission
from bench.network.radio.world import WAVEFORMS, Path, Waveform, World
from bench.tables import Table, read_toml
from bench.units import decibels

TABLES = ("emitters", "cells", "paths", "receivers", "waveforms")
"""The top-level keys of a world file."""


def read_world(path: FilePath) -> World:
    """A world file.

    Raises:
        InputError: the file is missing, not TOML, or says what cannot be.
    """
    return world_of(read_toml(path, "the world").only(optional=TABLES))


def world_of(table: Table) -> World:
    """The world that the tables of a file describe; other tables are left alone.

    Raises:
        InputError: a table says what cannot be.
    """
    emitters = {name: _emission(one) for name, one in table.named("emitters").items()}
    receivers = {name: _receiver(one) for name, one in table.named("receivers").items()}
    for name in emitters.keys() & receivers.keys():
        table.fail(f"emitters.{name}", "is a receiver too", "name one of them otherwise")
    cells = {port_name(name): _cell(one) for name, one in table.named("cells").items()}
    waveforms = {name: _waveform(one) for name, one in table.named("waveforms").items()}
    paths = tuple(_path(one, emitters, receivers) for one in table.tables("paths", "from"))
    world = World(
        MappingProxyType(emitters),
        MappingProxyType(cells),
        paths,
        MappingProxyType(receivers),
        MappingProxyType({**WAVEFORMS, **waveforms}),
    )
    _check_receivers(table, world)
    return world


def port_name(name: str, names: Iterable[str] = ()) -> str:
    """A port's full name: ``generator`` is ``generator:1``; what is in ``names`` stays."""
    return name if ":" in name or name in names else f"{name}:1"


def _check_receivers(table: Table, world: World) -> None:
    for name, receiver in world.receivers.items():
        coming = [path.source for path in world.paths if path.receiver == name]
        wanted = receiver.wanted if receiver.wanted in coming else port_name(receiver.wanted)
        if wanted not in coming:
            table.named("receivers")[name].fail(
                "wanted", "does not reach this receiver", "add a path, or correct the name"
            )


def _emission(table: Table) -> Emission:
    table.only(("frequency", "level"), ("bandwidth", "duty", "burst"))
    return Emission(
        _positive(table, "frequency"),
        _decibels(table, "level", "dBm"),
        table.quantity("bandwidth", "Hz") if "bandwidth" in table.data else 0.0,
        table.quantity("duty", "1") if "duty" in table.data else 1.0,
        table.quantity("burst", "s") if "burst" in table.data else 0.0,
    )


def _waveform(table: Table) -> Waveform:
    table.only(("bandwidth",), ("duty", "burst"))
    return Waveform(
        table.quantity("bandwidth", "Hz"),
        table.quantity("duty", "1") if "duty" in table.data else 1.0,
        table.quantity("burst", "s") if "burst" in table.data else 0.0,
    )


def _receiver(table: Table) -> Receiver:
    table.only(("technology", "frequency", "wanted"), ("noise_figure", "packet_bytes"))
    table.choice("technology", TECHNOLOGIES)
    return Receiver(
        table.text("technology"),
        _positive(table, "frequency"),
        table.text("wanted"),
        _decibels(table, "noise_figure", "dB") if "noise_figure" in table.data else 6.0,
        _whole(table, "packet_bytes", 1, 65535, 20),
    )


def _cell(table: Table) -> Cell:
    table.only(("identity", "pci", "tac", "earfcn", "band"))
    return Cell(
        _whole(table, "identity", 0, 2**28 - 1),
        _whole(table, "pci", 0, 503),
        _whole(table, "tac", 0, 65535),
        _whole(table, "earfcn", 0, 262143),
        _whole(table, "band", 1, 256),
    )


def _path(table: Table, emitters: Iterable[str], receivers: Iterable[str]) -> Path:
    table.only(("from", "to"), ("loss", "losses", "attenuators", "switches", "distance", "gain"))
    return Path(
        port_name(table.text("from"), emitters),
        port_name(table.text("to"), receivers),
        _losses(table),
        tuple(port_name(name) for name in table.texts("attenuators")),
        tuple(
            (port_name(name), _whole(table.table("switches"), name, 1, 64))
            for name in table.table("switches").data
        ),
        table.quantity("distance", "m") if "distance" in table.data else 0.0,
        _decibels(table, "gain", "dB") if "gain" in table.data else 0.0,
    )


def _losses(table: Table) -> tuple[tuple[float, float], ...]:
    if "loss" in table.data:
        if "losses" in table.data:
            table.fail("losses", "and loss are both given", "keep one of them")
        return ((0.0, _decibels(table, "loss", "dB")),)
    rows = table.data.get("losses", [])
    remedy = 'write it like [["2.4GHz", "3dB"], ["2.5GHz", "3.2dB"]]'
    if not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == 2 for r in rows):
        table.fail("losses", "is not a list of pairs", remedy)
    found = []
    for row in rows:
        pair: Mapping[str, object] = {"frequency": row[0], "loss": row[1]}
        point = Table(pair, table.field("losses"), table.file)
        found.append((point.quantity("frequency", "Hz"), _decibels(point, "loss", "dB")))
    if any(low >= high for (low, _), (high, _) in pairwise(found)):
        table.fail("losses", "does not ascend in frequency", "sort it")
    return tuple(found)


def _positive(table: Table, key: str) -> float:
    value = table.quantity(key, "Hz")
    if value <= 0:
        table.fail(key, "is not above zero", "give a frequency like 2.44GHz")
    return value


def _decibels(table: Table, key: str, unit: str) -> float:
    return decibels(table.data.get(key), unit, field=table.field(key), file=table.file)


def _whole(table: Table, key: str, low: int, high: int, default: int | None = None) -> int:
    value = table.data.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        table.fail(key, f"is no whole number from {low} to {high}", "correct it")
    return value
