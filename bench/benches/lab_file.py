"""The lab bench file: which physical interface stands at which end of which link.

::

    [links.primary]
    left = { mac = "00:1b:21:aa:bb:cc" }     # patient side
    right = { name = "enp3s0f1" }            # doctor side

A MAC stays with the card where names change with the slot or the kernel. Where the device's radio
hop is to lie between the bench's two taps, two more interfaces lead to it and back::

    [links.primary.radio]
    left = { name = "enp4s0f0" }             # to the radio's patient side
    right = { name = "enp4s0f1" }            # from its doctor side
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.tables import Table, read_toml
from instruments.emulators.rtnetlink import Link, links

BENCH_TABLES = (
    "arming", "calibration", "cells", "contacts", "corrections", "device", "instruments",
    "labgrid", "links", "method", "other_network", "packets", "paths", "ports", "power", "roles",
    "shielded_enclosure", "simulated", "title", "verification", "victim", "waveforms",
)  # fmt: skip
"""What may stand in a bench file; :mod:`bench.benches.lab.file` reads what is not read here."""

SIDES = ("left", "right")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class End:
    """An interface as the file names it: by ``name`` or by ``mac``; the other is empty."""

    name: str = ""
    mac: str = ""
    table: Table | None = None

    def ifname(self, present: Sequence[Link]) -> str:
        """The interface's name among those that are present.

        Raises:
            InputError: there is none, or a MAC fits more than one.
        """
        key, wanted = ("name", self.name) if self.name else ("mac", self.mac)
        fitting = [link for link in present if getattr(link, key) == wanted]
        if len(fitting) > 1:  # VLANs and the like bear the MAC of their card
            fitting = [link for link in fitting if not link.kind] or fitting
        if len(fitting) == 1:
            return fitting[0].name
        there = ", ".join(f"{link.name} ({link.mac})" for link in present if not link.loopback)
        problem = (
            f"fits more than one interface: {', '.join(link.name for link in fitting)}"
            if fitting
            else "is no interface of this network namespace"
        )
        remedy = "name it" if fitting else f"there is: {there or 'none'}"
        raise InputError(
            problem,
            remedy=remedy,
            file=self.table.file if self.table else None,
            field=self.table.field(key) if self.table else key,
            value=wanted,
        )


@dataclass(frozen=True, slots=True)
class LabLink:
    """One link of the bench: patient side left, doctor side right.

    ``radio``: the interfaces to both sides of a radio hop between them, where there is one.
    """

    left: End
    right: End
    radio: tuple[End, End] | None = None

    def ifnames(self, present: Sequence[Link] | None = None) -> tuple[str, str]:
        """The names of its interfaces now; ``present``: those to look among, default all.

        Raises:
            InputError: one is not there.
        """
        found = links() if present is None else present
        return self.left.ifname(found), self.right.ifname(found)

    def radio_ifnames(self, present: Sequence[Link] | None = None) -> tuple[str, ...]:
        """The same of those to its radio hop; empty where it has none.

        Raises:
            InputError: one is not there.
        """
        found = links() if present is None else present
        return tuple(end.ifname(found) for end in self.radio or ())


def load_lab_links(path: Path) -> Mapping[str, LabLink]:
    """The links of a bench file, in its order.

    Raises:
        InputError: a broken file; names file, field, value and remedy.
    """
    return links_of(read_toml(path, "the bench file").only(("links",), BENCH_TABLES))


def links_of(table: Table) -> Mapping[str, LabLink]:
    """The links of a bench file that is read already; other tables are left alone.

    Raises:
        InputError: as :func:`load_lab_links`.
    """
    found = {
        name: LabLink(*_ends(item.only(SIDES, ("radio",))), _radio(item))
        for name, item in table.named("links").items()
    }
    if not found:
        table.fail("links", "holds no link", "add [links.primary] with left and right")
    return found


def find_lab_link(path: Path, name: str | None) -> tuple[str, LabLink]:
    """A link of a bench file by name, or its first one.

    Raises:
        InputError: a broken file, or no such link.
    """
    known = load_lab_links(path)
    wanted = name or next(iter(known))
    if wanted not in known:
        raise InputError(
            "is no link of this bench",
            remedy=f"use one of {', '.join(known)}",
            file=path,
            field="links",
            value=wanted,
        )
    if known[wanted].radio is not None:
        raise InputError(
            "has a radio hop between its interfaces: it cannot be joined around that",
            remedy="name the interfaces with --left and --right",
            file=path,
            field=f"links.{wanted}.radio",
            value=wanted,
        )
    return wanted, known[wanted]


def _ends(table: Table) -> tuple[End, End]:
    return _end(table, "left"), _end(table, "right")


def _radio(table: Table) -> tuple[End, End] | None:
    return _ends(table.table("radio").only(SIDES)) if "radio" in table.data else None


def _end(table: Table, side: str) -> End:
    if not isinstance(table.data[side], dict):
        table.fail(side, "is not a table", f'write it like {side} = {{ name = "eth1" }}')
    inner = table.table(side).only((), ("name", "mac"))
    if len(inner.data) != 1:
        table.fail(side, "needs either a name or a mac", f'like {side} = {{ name = "eth1" }}')
    if "name" in inner.data:
        return End(name=inner.text("name"), table=inner)
    mac = inner.text("mac").lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        inner.fail("mac", "is no MAC address", "write it like 00:1b:21:aa:bb:cc")
    return End(mac=mac, table=inner)
