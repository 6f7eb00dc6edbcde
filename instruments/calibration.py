"""Calibration records: the loss of a path (or the error of an instrument) against frequency.

A file is TOML with ``[calibration.NAME]``; see ``docs/instruments.md``. Dates are compared with one
that is passed in. What is expired, missing or outside the calibrated range has no value, and says
why: it is never extrapolated and never taken as 0 dB.

Between two calibrated points the loss is linear in dB over frequency. The expanded uncertainty
there is the larger one of the two points, with the difference between the points as the full width
of a rectangular distribution (GUM 4.3.7) added in quadrature: ``hypot(U, |L2 − L1| / √3)``.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.tables import Table, read_toml

_KEYS = ("instrument", "date", "due", "certificate", "points")


@dataclass(frozen=True, slots=True)
class Point:
    """Loss and its expanded uncertainty (k = 2), dB, at one frequency."""

    frequency_hz: float
    loss_db: float
    uncertainty_db: float


@dataclass(frozen=True, slots=True)
class Record:
    """One calibration.

    ``instrument``: what was calibrated, with its serial number; ``points`` ascend in frequency.
    """

    name: str
    instrument: str
    date: datetime.date
    due: datetime.date
    certificate: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss with its expanded uncertainty (k = 2), dB; or ``problem``, and neither."""

    name: str
    frequency_hz: float
    loss_db: float | None
    uncertainty_db: float | None
    certificate: str = ""
    interpolated: bool = False
    problem: str = ""

    @property
    def valid(self) -> bool:
        """Whether it can be used."""
        return not self.problem


def loss_at(
    records: Mapping[str, Record], name: str, frequency_hz: float, on: datetime.date
) -> Loss:
    """The loss of ``name`` at a frequency, as it is known on a date."""
    record = records.get(name)
    if record is None:
        return _none(name, frequency_hz, "there is no calibration record")
    problem = validity(record, on)
    first, last = record.points[0].frequency_hz, record.points[-1].frequency_hz
    if not problem and not first <= frequency_hz <= last:
        problem = (
            f"{frequency_hz / 1e6:g} MHz is outside of what was calibrated "
            f"({first / 1e6:g} to {last / 1e6:g} MHz)"
        )
    if problem:
        return _none(name, frequency_hz, problem)
    for point in record.points:
        if point.frequency_hz == frequency_hz:
            found = point.loss_db, point.uncertainty_db
            return Loss(name, frequency_hz, *found, record.certificate)
    below, above = next(
        pair for pair in pairwise(record.points) if frequency_hz < pair[1].frequency_hz
    )
    share = (frequency_hz - below.frequency_hz) / (above.frequency_hz - below.frequency_hz)
    step = above.loss_db - below.loss_db
    larger = max(below.uncertainty_db, above.uncertainty_db)
    return Loss(
        name,
        frequency_hz,
        below.loss_db + share * step,
        math.hypot(larger, step / math.sqrt(3)),
        record.certificate,
        interpolated=True,
    )


def _none(name: str, frequency_hz: float, problem: str) -> Loss:
    return Loss(name, frequency_hz, None, None, problem=f"{name}: {problem}")


def validity(record: Record, on: datetime.date) -> str:
    """Why a record cannot be used on a date; empty where it can (the due date included)."""
    if on < record.date:
        return f"the calibration is dated {record.date}, after {on}"
    if on > record.due:
        return f"the calibration expired on {record.due} (certificate {record.certificate})"
    return ""


def load_calibration(path: Path) -> dict[str, Record]:
    """The records of a file, by name.

    Raises:
        InputError: a broken file, a value that cannot be read, dates or frequencies that do not
            ascend.
    """
    table = read_toml(path, "the calibration file").only(("calibration",))
    return {name: _record(name, item) for name, item in table.named("calibration").items()}


def _record(name: str, table: Table) -> Record:
    table.only(_KEYS)
    date, due = _date(table, "date"), _date(table, "due")
    if due < date:
        table.fail("due", "lies before the date of the calibration", "correct one of the two")
    points = tuple(_point(item) for item in table.tables("points"))
    if not points:
        table.fail("points", "is empty", "give at least one point")
    if any(a.frequency_hz >= b.frequency_hz for a, b in pairwise(points)):
        table.fail("points", "do not ascend in frequency", "sort them; each frequency once")
    return Record(name, table.text("instrument"), date, due, table.text("certificate"), points)


def _date(table: Table, key: str) -> datetime.date:
    value = table.data.get(key)
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        table.fail(key, "is no date", "write it like 2026-03-31, without quotes")
    return value


def _point(table: Table) -> Point:
    table.only(("frequency", "loss_db", "uncertainty_db"))
    uncertainty = decibels(table, "uncertainty_db")
    if uncertainty <= 0:
        table.fail("uncertainty_db", "is not positive", "give the expanded uncertainty (k = 2)")
    return Point(table.quantity("frequency", "Hz"), decibels(table, "loss_db"), uncertainty)


def decibels(table: Table, key: str) -> float:
    """A bare number whose key ends in its unit."""
    value = table.data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        table.fail(key, "is not a number", "write it like 12.5")
    return float(value)
