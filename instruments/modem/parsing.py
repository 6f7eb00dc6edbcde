"""What a modem says, as values: registration, signal quality, serving cell, changes of cell.

Pure functions. The fields of ``+QENG`` stand in another order for each radio access technology, so
each has its own table. What is not known (``-``, 99, 255) is None, never a number.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from instruments.visa.errors import BadAnswer

_QUECTEL = "Quectel RG50xQ&RM5xxQ Series AT Commands Manual, AT+QENG"

SERVING = {
    "LTE": ("duplex", "mcc", "mnc", "cell_id", "pci", "channel", "band", "ul_bw", "dl_bw", "area",
            "rsrp", "rsrq", "rssi", "sinr"),
    "NR5G-SA": ("duplex", "mcc", "mnc", "cell_id", "pci", "area", "channel", "band", "dl_bw",
                "rsrp", "rsrq", "sinr"),
    "NR5G-NSA": ("mcc", "mnc", "pci", "rsrp", "sinr", "rsrq", "channel", "band"),
}  # fmt: skip
"""Technology to the fields that follow its name. Source: the manual's ``servingcell``."""

REGISTERED = {1: "home", 5: "roaming"}
"""<stat> of 3GPP TS 27.007, 7.1, 10.1.22 (+CEREG) and 10.1.47 (+C5GREG) that means registered."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that serves the modem. Levels in dBm and dB, None where it does not know.

    ``cell_id`` and ``area`` (TAC) are as written, in hexadecimal; the NR leg of EN-DC has none.
    """

    technology: str
    plmn: str
    cell_id: str
    pci: int | None
    channel: int | None
    band: str
    area: str
    rsrp_dbm: float | None
    rsrq_db: float | None

    @property
    def identity(self) -> tuple[str, str, str, int | None, int | None]:
        """What makes it another cell."""
        return self.technology, self.plmn, self.cell_id, self.pci, self.channel


@dataclass(frozen=True, slots=True)
class Registration:
    """``stat`` of +CEREG or +C5GREG, tracking area and cell as written (hexadecimal)."""

    stat: int
    area: str = ""
    cell_id: str = ""

    @property
    def registered(self) -> bool:
        """Whether the network has the modem."""
        return self.stat in REGISTERED


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen at an instant (monotonic, ns): the cells, none while there is no service."""

    t_ns: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class CellChange:
    """Evidence of a handover or reselection: another cell than before.

    It happened after ``after_ns``, when the old cells were last seen, and by ``by_ns``.
    """

    after_ns: int
    by_ns: int
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]


def parameters(line: str, prefix: str, role: str) -> list[str]:
    """The parameters of ``prefix: a,"b",c``, without quotes.

    Raises:
        BadAnswer: another prefix.
    """
    if not line.startswith(prefix):
        raise BadAnswer(role, f"answers {line!r} where {prefix} was asked for")
    row = next(csv.reader([line[len(prefix) :].strip()], skipinitialspace=True), [])
    return [part.strip() for part in row]


def is_registration_report(line: str) -> bool:
    """Whether ``+CEREG: …`` reports by itself: <stat> first, not <n>,<stat> (27.007, 10.1.22)."""
    parts = line.partition(":")[2].split(",")
    return len(parts) == 1 or not parts[1].strip().isdigit()


def registration(line: str, prefix: str, role: str) -> Registration:
    """Of a report or of an answer. Raises: BadAnswer: no number where <stat> is."""
    parts = parameters(line, prefix, role)
    if not is_registration_report(line):
        parts = parts[1:]
    if not parts or not parts[0].isdigit():
        raise BadAnswer(role, f"answers {line!r}: no registration state")
    area, cell = (*parts[1:3], "", "")[:2]
    return Registration(int(parts[0]), area, cell)


def signal_quality(line: str, role: str) -> tuple[float | None, float | None]:
    """RSRP, dBm, and RSRQ, dB, of the LTE cell in ``+CESQ`` (3GPP TS 27.007, 8.69).

    The lower edge of the reported interval: −141 + <rsrp> dBm, −20 + <rsrq>/2 dB. 255 is None.

    Raises:
        BadAnswer: fewer than six numbers, or out of range.
    """
    parts = parameters(line, "+CESQ:", role)
    if len(parts) < 6 or not all(part.isdigit() for part in parts[:6]):
        raise BadAnswer(role, f"answers {line!r}: not six numbers")
    rsrq, rsrp = int(parts[4]), int(parts[5])
    if (rsrq > 34 and rsrq != 255) or (rsrp > 97 and rsrp != 255):
        raise BadAnswer(role, f"answers {line!r}: out of range")
    return (
        None if rsrp == 255 else rsrp - 141.0,
        None if rsrq == 255 else rsrq / 2 - 20.0,
    )


def serving_cells(lines: Sequence[str], role: str) -> tuple[Cell, ...]:
    """The cells of an answer to ``AT+QENG="servingcell"``; none while it searches.

    Raises:
        BadAnswer: nothing was answered, a technology without a table, or a field that is no value.
    """
    if not lines:
        raise BadAnswer(role, "says nothing of a serving cell")
    found = []
    for line in lines:
        parts = parameters(line, "+QENG:", role)
        if parts[:1] == ["servingcell"]:
            state, parts = parts[1:2], parts[2:]
            if not parts and state and state[0] in ("SEARCH", "LIMSRV", "NOCONN", "CONNECT"):
                continue  # nothing yet; or EN-DC, whose cells stand in lines of their own
        found.append(_cell(parts, line, role))
    return tuple(found)


def _cell(parts: list[str], line: str, role: str) -> Cell:
    names = SERVING.get(parts[0] if parts else "")
    if names is None or len(parts) - 1 < len(names):
        raise BadAnswer(role, f"answers {line!r}: no technology or order that is known")
    got = dict(zip(names, parts[1:], strict=False))

    def whole(name: str) -> int | None:
        text = got[name]
        if text in ("-", ""):
            return None
        if not text.removeprefix("-").isdigit():
            raise BadAnswer(role, f"answers {line!r}: {name} is {text!r}")
        return int(text)

    def level(name: str) -> float | None:
        value = whole(name)
        return None if value is None or value <= -32768 else float(value)

    return Cell(
        parts[0],
        f"{got['mcc']}-{got['mnc']}",
        got.get("cell_id", ""),
        whole("pci"),
        whole("channel"),
        got["band"],
        got.get("area", ""),
        level("rsrp"),
        level("rsrq"),
    )


def cell_changes(sightings: Iterable[Sighting]) -> tuple[CellChange, ...]:
    """Where one sighting shows other cells than the one before.

    Losing service is no change of cell: the cells before and after the gap are compared.
    """
    seen = [one for one in sightings if one.cells]
    return tuple(
        CellChange(a.t_ns, b.t_ns, a.cells, b.cells)
        for a, b in pairwise(seen)
        if {cell.identity for cell in a.cells} != {cell.identity for cell in b.cells}
    )
