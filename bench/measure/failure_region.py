"""What an exploration of exposures found: points, columns, and the likelihood that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.measure.disturbing import Disturbed
from bench.measure.failing import Boundary
from bench.measure.likelihood import (
    Failing,
    Likelihood,
    Surroundings,
    likelihood_beside,
    likelihood_beside_all,
)
from bench.network.radio.exposure import Exposure, Radio
from bench.network.radio.receivers import Reception


@dataclass(frozen=True, slots=True)
class Point:
    """One trial: an exposure as asked, and what came of it.

    ``failed`` None: nothing was shown, for ``reason``; else ``reason`` is what of the performance
    was lost, empty where nothing was. ``uncertainty_db``: expanded (k = 2), of the level.
    ``victim_bps``: rate that the radio left to its link. ``recovery_s``: where it was lost, how
    long after the signal had gone all of it was back for good
    (:func:`~bench.measure.regaining.regained_s`); None where it was not, or nothing tells.
    ``session``, ``trial``: by which the trial is made again.
    """

    exposure: Exposure
    ratio_db: float
    failed: bool | None
    reason: str
    uncertainty_db: float
    verified_by: str
    victim_bps: float | None
    session: str
    trial: int
    recovery_s: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One signal at one offset and duty cycle: its levels (dBm, ascending) and the boundary."""

    signal: str
    offset_hz: float
    duty: float
    levels_dbm: tuple[float, ...]
    boundary: Boundary
    points: tuple[Point, ...]

    def failing(self) -> Failing:
        """Between which levels the device begins to fail."""
        kept, fails = self.boundary.kept, self.boundary.fails
        known = not self.boundary.problem
        return Failing(
            self.levels_dbm[kept] if known and kept >= 0 else -math.inf,
            self.levels_dbm[fails] if known and fails < len(self.levels_dbm) else math.inf,
            max((point.uncertainty_db for point in self.points), default=0.0),
        )


@dataclass(frozen=True, slots=True)
class Met:
    """The surroundings of one column, as declared."""

    signal: str
    offset_hz: float
    duty: float
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Other:
    """A receiver of another network: what it makes of its own signal, without and with the device.

    ``alone``, ``beside``: reckoned from the levels that the plan declares; None: it names no such
    receiver. ``measured``: what the laboratory saw of it; None: there is no laboratory.
    """

    name: str
    technology: str
    alone: Reception | None
    beside: Reception | None
    measured: Disturbed | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """Where a device fails beside other radios.

    ``plan``: title, standard, tier and method, in words. ``likelihood`` None where a column that
    its surroundings name was not explored, for ``problem``. ``others``: what the device does to
    other networks.
    """

    plan: Mapping[str, str]
    radio: Radio
    columns: tuple[Column, ...]
    full_points: int
    likelihood: Likelihood | None = None
    each: Mapping[str, Likelihood] = field(default_factory=dict)
    problem: str = ""
    others: tuple[Other, ...] = ()

    @property
    def points(self) -> int:
        """Trials that it took."""
        return sum(column.boundary.points for column in self.columns)


def likelihood_of(
    columns: tuple[Column, ...], met: tuple[Met, ...]
) -> tuple[Likelihood | None, dict[str, Likelihood], str]:
    """Likelihood of coexistence in declared surroundings: of all, by signal, and why there is none.

    No surroundings: nothing is claimed.
    """
    each: dict[str, Likelihood] = {}
    for one in met:
        column = next(
            (
                c
                for c in columns
                if (c.signal, c.offset_hz, c.duty) == (one.signal, one.offset_hz, one.duty)
            ),
            None,
        )
        name = column_name(one.signal, one.offset_hz, one.duty)
        if column is None:
            return None, {}, f"{name} was not explored"
        if column.boundary.problem:
            return None, {}, f"{name}: {column.boundary.problem}"
        each[name] = likelihood_beside(column.failing(), one.surroundings)
    if not each:
        return None, {}, "no surroundings are declared"
    return likelihood_beside_all(list(each.values())), each, ""


def column_name(signal: str, offset_hz: float, duty: float) -> str:
    """A column in words."""
    text = f"{signal} at {offset_hz / 1e6:+g} MHz" if offset_hz else f"{signal} in the channel"
    return text if duty >= 1 else f"{text}, duty {100 * duty:.3g} %"
