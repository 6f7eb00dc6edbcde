"""A coexistence plan: the flow of ANSI C63.27 as data out of a laboratory's TOML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, cast, get_args

from bench.errors import InputError
from bench.measure.failing import most_points
from bench.measure.failure_region import Met, Other, column_name
from bench.measure.likelihood import Surroundings
from bench.network.radio.exposure import Exposure, Radio, reception_of
from bench.network.radio.exposure_files import (
    exposure_from,
    level_db,
    offset_hz,
    radio_from,
    shape_from,
)
from bench.studies.coexistence.tiers import Standard, TierAsks, load_tiers, standard_from
from bench.tables import Table, read_toml

Method = Literal["conducted", "multi-chamber", "anechoic", "open"]

MOST_LEVELS = 200
LEAST_LEVELS = 5

SAVING = 0.4
"""Share of the full grid's points that the search is to save of a device that fails sharply."""
LONG_LEVELS = 60
"""A column of as many levels or more saves that at any confidence."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The evaluation tier and where it comes from: tables are the laboratory's own data.

    ``source``: in words; of a tier out of a table its title, edition, clause and file. ``asks``:
    what that table says of it; None: no table, and nothing is held against one.
    """

    name: str
    source: str
    risk: str
    asks: TierAsks | None = None

    def words(self) -> str:
        """For the report."""
        source = self.source if self.asks is not None else f"{self.source}; no table of tiers"
        title = f", {self.asks.title}" if self.asks is not None else ""
        return f"{self.name}{title} ({source}); {self.risk}"


@dataclass(frozen=True, slots=True)
class GridColumn:
    """One unintended signal at one offset and duty cycle, at ascending I/U ratios in dB."""

    signal: str
    offset_hz: float
    bandwidth_hz: float
    duty: float
    burst_s: float
    ratios_db: tuple[float, ...]

    @property
    def name(self) -> str:
        """In words."""
        return column_name(self.signal, self.offset_hz, self.duty)

    def exposure(self, radio: Radio, place: int) -> Exposure:
        """The exposure of a radio at one level of the column."""
        return Exposure(
            self.signal,
            radio.frequency_hz + self.offset_hz,
            radio.wanted_dbm + self.ratios_db[place],
            self.bandwidth_hz,
            self.duty,
            self.burst_s,
        )


@dataclass(frozen=True, slots=True)
class OtherNetwork:
    """A receiver of another network, and the device's own emission as it comes in there."""

    name: str
    radio: Radio
    device: Exposure

    def beside(self) -> Other:
        """What it makes of its own signal, without the device and beside it."""
        alone = reception_of(self.radio, ())
        return Other(
            self.name, self.radio.technology, alone, reception_of(self.radio, (self.device,))
        )


@dataclass(frozen=True, slots=True)
class CoexistencePlan:
    """Everything that is settled before the first exposure.

    The functional wireless performance and its limits are the device's: what its profile states of
    each stream, held against the catalogue. ``exposed_s``: how long each exposure lasts, at least;
    ``confidence``: of the boundary's interval. ``met``: surroundings that the likelihood of
    coexistence is reckoned for. ``others``: receivers of other networks.
    """

    title: str
    environment: str
    standard: Standard
    tier: Tier
    method: Method
    exposed_s: float
    confidence: float
    columns: tuple[GridColumn, ...]
    met: tuple[Met, ...]
    others: tuple[OtherNetwork, ...] = ()

    @property
    def points(self) -> int:
        """Points of the full grid."""
        return sum(len(column.ratios_db) for column in self.columns)

    def short(self) -> tuple[str, ...]:
        """Columns that are too short to save 40 % of their points wherever a device fails."""
        told = []
        for column in self.columns:
            count = len(column.ratios_db)
            if count >= LONG_LEVELS:
                continue
            most = most_points(count, self.confidence)
            if most > (1 - SAVING) * count:
                told.append(
                    f"{column.name}: {count} levels are too few to save {100 * SAVING:g} % of them "
                    f"wherever the device fails: up to {most} trials where it fails sharply"
                )
        return tuple(told)

    def words(self) -> Mapping[str, str]:
        """For the report."""
        standard, tier = self.standard, self.tier
        return {
            "plan": self.title,
            "environment": self.environment,
            "standard": f"{standard.name}, {standard.edition}, {standard.clause}",
            "tier": tier.words(),
            "method": self.method,
            "performance": "every stream keeps what the profile states for it, held against the "
            "documents; the drive goes on moving",
            "confidence": f"{self.confidence:g}",
        }


def shipped_plan() -> CoexistencePlan:
    """The example that comes with the bench."""
    folder = resources.files("bench.studies.coexistence") / "data"
    with resources.as_file(folder / "plan.toml") as file:
        return load_plan(file)


def load_plan(path: Path) -> CoexistencePlan:
    """A plan from a file.

    Raises:
        InputError: a broken file; names file, field, value and remedy.
    """
    top = read_toml(path, "the coexistence plan").only(
        ("title", "environment", "standard", "tier", "method", "exposed", "confidence", "signals"),
        ("surroundings", "others"),
    )
    standard = standard_from(top.table("standard"))
    columns = tuple(c for table in top.tables("signals", "name") for c in _columns(table))
    if not columns:
        top.fail("signals", "names none", "add [[signals]]")
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        top.fail("signals", "have a signal, offset and duty twice", "keep one of them")
    confidence = top.quantity("confidence", "1")
    if not 0.5 <= confidence < 1:
        top.fail("confidence", "is not from 50 % to below 100 %", "give 95%")
    others = tuple(_other(table) for table in top.tables("others", "name"))
    return CoexistencePlan(
        title=top.text("title"),
        environment=top.text("environment"),
        standard=standard,
        tier=_tier(top.table("tier"), standard, columns, others),
        method=cast(Method, top.choice("method", get_args(Method))),
        exposed_s=top.quantity("exposed", "s"),
        confidence=confidence,
        columns=columns,
        met=tuple(_met(table, columns) for table in top.tables("surroundings", "signal")),
        others=others,
    )


def _tier(
    table: Table,
    standard: Standard,
    columns: tuple[GridColumn, ...],
    others: tuple[OtherNetwork, ...],
) -> Tier:
    """The tier: in words alone, or out of a table whose demands the plan must cover."""
    table.only(("name", "risk"), ("source", "table"))
    name, risk = table.text("name"), table.text("risk")
    if "table" not in table.data:
        return Tier(name, table.text("source"), risk)
    if "source" in table.data:
        table.fail("source", "is what the table says", "keep either source or table")
    found = load_tiers(table.file.parent / table.text("table"))
    if (found.standard.name, found.standard.edition) != (standard.name, standard.edition):
        table.fail(
            "table",
            f"is of {found.standard.name}, {found.standard.edition}, and the plan of "
            f"{standard.name}, {standard.edition}",
            "give both the same standard and edition",
        )
    asks = found.tiers.get(name)
    if asks is None:
        table.fail("name", "is no tier of that table", f"use one of {', '.join(found.tiers)}")
    lacking = asks.lacks(columns, len(others))
    if lacking:
        table.fail(
            "name",
            f"asks for what this plan lacks: {'; '.join(lacking)}",
            "add it to the plan, or name another tier",
        )
    return Tier(name, found.source(), risk, asks)


def _columns(table: Table) -> tuple[GridColumn, ...]:
    """One column for each offset of a signal."""
    table.only(("name", "offsets", "lowest", "highest", "step"), ("bandwidth", "duty", "burst"))
    signal = table.text("name")
    shape = shape_from(table, signal)
    ratios = _ratios(table)
    offsets = table.texts("offsets")
    if not offsets:
        table.fail("offsets", "names none", 'write it like ["0Hz", "-40MHz"]')
    return tuple(
        GridColumn(signal, offset_hz(table, text, "offsets"), *shape, ratios) for text in offsets
    )


def _ratios(table: Table) -> tuple[float, ...]:
    lowest, highest, step = (level_db(table, key, "dB") for key in ("lowest", "highest", "step"))
    if step <= 0 or highest <= lowest:
        table.fail("step", "and the levels do not ascend", "give lowest < highest and a step > 0")
    count = int((highest - lowest) / step + 1e-9) + 1
    if not LEAST_LEVELS <= count <= MOST_LEVELS:
        table.fail(
            "step", f"makes {count} levels", f"make it {LEAST_LEVELS} to {MOST_LEVELS} of them"
        )
    return tuple(round(lowest + number * step, 6) for number in range(count))


def _other(table: Table) -> OtherNetwork:
    table.only(("name", "radio", "device"))
    radio = table.table("radio")
    named = Table({"link": "other", **radio.data}, radio.where, radio.file)
    device = table.table("device")
    signal = Table({"signal": "device", **device.data}, device.where, device.file)
    return OtherNetwork(table.text("name"), radio_from(named), exposure_from(signal))


def _met(table: Table, columns: tuple[GridColumn, ...]) -> Met:
    """Surroundings, and the one column that they are of: by signal, offset and, if given, duty."""
    table.only(("signal", "offset", "present", "mean", "deviation"), ("duty",))
    column = _column_met(table, columns)
    present = table.quantity("present", "1")
    if not 0 <= present <= 1:
        table.fail("present", "is not from 0 to 100 %", "correct it")
    deviation_db = level_db(table, "deviation", "dB")
    if deviation_db < 0:
        table.fail("deviation", "is below zero", "give 0dB or more")
    met = Surroundings(present, level_db(table, "mean", "dBm"), deviation_db)
    return Met(column.signal, column.offset_hz, column.duty, met)


def _column_met(table: Table, columns: tuple[GridColumn, ...]) -> GridColumn:
    wanted = (table.text("signal"), offset_hz(table, table.text("offset"), "offset"))
    there = [column for column in columns if (column.signal, column.offset_hz) == wanted]
    if not there:
        raise InputError(
            "is no signal at that offset of this plan",
            remedy=f"use one of {', '.join(column.name for column in columns)}",
            file=table.file,
            field=table.field("signal"),
            value=table.text("signal"),
        )
    duties = ", ".join(f"{100 * column.duty:g}%" for column in there)
    if "duty" not in table.data:
        if len(there) > 1:
            table.fail("duty", "is missing: this signal is there at several", f"give {duties}")
        return there[0]
    duty = table.quantity("duty", "1")
    fitting = [column for column in there if math.isclose(column.duty, duty)]
    if not fitting:
        table.fail("duty", "is no duty cycle of that signal in this plan", f"use one of {duties}")
    return fitting[0]
