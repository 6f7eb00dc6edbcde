"""Reading a simulated laboratory from TOML: the tables of a world, and its instruments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.errors import InputError
from bench.network.radio.world import World
from bench.network.radio.world_files import TABLES, world_of
from bench.tables import Table, read_toml
from instruments.simulators.faults import read_fault
from instruments.simulators.kinds import KINDS
from instruments.simulators.lab import Described, names, strangers


def read_lab(path: Path) -> tuple[World, Mapping[str, Described]]:
    """A laboratory file: the tables of a world, and ``[instruments.ROLE]``.

    Raises:
        InputError: the file is missing, not TOML, or says what cannot be.
    """
    table = read_toml(path, "the laboratory").only(("instruments",), TABLES)
    described = {role: _described(one) for role, one in table.named("instruments").items()}
    if not described:
        table.fail("instruments", "names none", "add [instruments.ROLE] with its kind")
    world = world_of(table)
    unknown = strangers(world, described)
    if unknown:
        raise InputError(
            f"no instrument, emitter or receiver here is called {unknown[0]}",
            remedy=f"use one of {', '.join(sorted(names(world, described)))}",
            file=path,
            field="paths",
        )
    return world, described


def _described(table: Table) -> Described:
    table.only(("kind",), ("dialect", "port", "faults"))
    table.choice("kind", KINDS)
    kind = table.text("kind")
    dialect = None
    if "dialect" in table.data:
        table.choice("dialect", KINDS[kind].dialects)
        dialect = table.text("dialect")
    port = table.data.get("port", 0)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        table.fail("port", "is no TCP port", "give 0 (a free one) to 65535")
    faults = tuple(
        read_fault(text, field=table.field("faults"), file=table.file)
        for text in table.texts("faults")
    )
    return Described(kind, dialect, port, faults)
