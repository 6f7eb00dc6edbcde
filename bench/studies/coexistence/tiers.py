"""A laboratory's own table of evaluation tiers, and what a plan lacks of what its tier asks for.

The figures of a standard are not part of the bench: the laboratory writes its reading of them down,
with edition and clause, in a file of its own (``docs/coexistence.md``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from bench.network.radio.exposure_files import level_db, offset_hz
from bench.tables import Table, read_toml

KPIS: Mapping[str, str] = {
    "streams": "every stream keeps what the profile states for it",
    "motion": "a drive goes on moving",
    "recovery": "how long until all of it is back",
    "other-networks": "what the device does to receivers of other networks",
}
"""What a tier may ask to be recorded; all but the last is in every exploration."""

_ROUNDING = 1e-9


class Explored(Protocol):
    """A column of a plan: one signal at one offset and duty cycle, at ascending I/U ratios."""

    @property
    def signal(self) -> str:
        """Its signal."""

    @property
    def offset_hz(self) -> float:
        """Its offset from the device's channel."""

    @property
    def duty(self) -> float:
        """Its duty cycle."""

    @property
    def ratios_db(self) -> tuple[float, ...]:
        """Its levels: I/U at the antenna port."""


@dataclass(frozen=True, slots=True)
class Standard:
    """Which edition is followed, and where: the laboratory's own reading."""

    name: str
    edition: str
    clause: str


@dataclass(frozen=True, slots=True)
class AskedSignal:
    """An unintended signal that a tier asks for.

    ``lowest_db``, ``highest_db``: the I/U ratios from which and up to which at least; ``step_db``:
    in steps no wider.
    """

    signal: str
    offset_hz: float
    duty: float
    lowest_db: float
    highest_db: float
    step_db: float

    def lacks(self, columns: Sequence[Explored]) -> str:
        """What of it is not explored, in words; empty where all is."""
        where = f" at {self.offset_hz / 1e6:+g} MHz" if self.offset_hz else " in the channel"
        name = f"{self.signal}{where}"
        if self.duty < 1:
            name += f", duty {100 * self.duty:g} %"
        fitting = [
            one
            for one in columns
            if one.signal == self.signal
            and math.isclose(one.offset_hz, self.offset_hz, abs_tol=1.0)
            and math.isclose(one.duty, self.duty)
        ]
        if not fitting:
            return f"{name} is not in the plan"
        ratios = fitting[0].ratios_db
        step_db = max(high - low for low, high in pairwise(ratios))
        if ratios[0] > self.lowest_db + _ROUNDING or ratios[-1] < self.highest_db - _ROUNDING:
            return (
                f"{name}: I/U {self.lowest_db:+g} to {self.highest_db:+g} dB is asked for, the "
                f"plan has {ratios[0]:+g} to {ratios[-1]:+g} dB"
            )
        if step_db > self.step_db + _ROUNDING:
            return f"{name}: steps of {self.step_db:g} dB are asked for, the plan's are {step_db:g}"
        return ""


@dataclass(frozen=True, slots=True)
class TierAsks:
    """What one tier asks for."""

    title: str
    signals: tuple[AskedSignal, ...]
    kpis: tuple[str, ...]

    def lacks(self, columns: Sequence[Explored], others: int) -> tuple[str, ...]:
        """What a plan does not cover.

        Args:
            columns: of the plan.
            others: how many receivers of other networks it has.
        """
        found = [one.lacks(columns) for one in self.signals]
        if "other-networks" in self.kpis and not others:
            found.append("no receiver of another network ([[others]])")
        return tuple(filter(None, found))


@dataclass(frozen=True, slots=True)
class TierTable:
    """A laboratory's table. ``made_up``: an example, not read out of any standard."""

    file: Path
    title: str
    standard: Standard
    made_up: bool
    tiers: Mapping[str, TierAsks]
    sha256: str

    def source(self) -> str:
        """Where a tier comes from, in words."""
        standard = self.standard
        made_up = "MADE UP, not read out of any standard: " if self.made_up else ""
        return (
            f"{made_up}{self.title}; {standard.name}, {standard.edition}, {standard.clause}; "
            f"{self.file.name}, SHA-256 {self.sha256[:12]}"
        )


def load_tiers(path: Path) -> TierTable:
    """A table of tiers from a file.

    Raises:
        InputError: a broken file; names file, field, value and remedy.
    """
    top = read_toml(path, "the table of tiers").only(("title", "standard", "tiers"), ("made_up",))
    tiers = {name: _tier(table) for name, table in top.named("tiers").items()}
    if not tiers:
        top.fail("tiers", "names none", "add [tiers.NAME]")
    return TierTable(
        path,
        top.text("title"),
        standard_from(top.table("standard")),
        top.flag("made_up"),
        tiers,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def standard_from(table: Table) -> Standard:
    """``[standard]``: name, edition and clause.

    Raises:
        InputError: one is missing, or there is another key.
    """
    table.only(("name", "edition", "clause"))
    return Standard(*(table.text(key) for key in ("name", "edition", "clause")))


def _tier(table: Table) -> TierAsks:
    table.only(("title", "signals", "kpis"))
    kpis = table.texts("kpis")
    unknown = [one for one in kpis if one not in KPIS]
    if unknown or not kpis:
        what = f"has {unknown[0]!r}, which is none" if unknown else "names none"
        table.fail("kpis", what, f"use some of {', '.join(KPIS)}")
    signals = tuple(_signal(one) for one in table.tables("signals", "name"))
    if not signals:
        table.fail("signals", "names none", f"add [[{table.field('signals')}]]")
    return TierAsks(table.text("title"), signals, kpis)


def _signal(table: Table) -> AskedSignal:
    table.only(("name", "offset", "lowest", "highest", "step"), ("duty",))
    lowest, highest, step = (level_db(table, key, "dB") for key in ("lowest", "highest", "step"))
    if step <= 0 or highest < lowest:
        table.fail("step", "and the levels do not ascend", "give lowest <= highest and a step > 0")
    duty = table.quantity("duty", "1") if "duty" in table.data else 1.0
    if not 0 < duty <= 1:
        table.fail("duty", "is not above 0 and at most 100 %", "correct it")
    offset = offset_hz(table, table.text("offset"), "offset")
    return AskedSignal(table.text("name"), offset, duty, lowest, highest, step)
