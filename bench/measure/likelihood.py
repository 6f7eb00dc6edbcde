"""Likelihood of coexistence: how often a device works where it is used, from where it fails.

The failing level of each signal comes with an interval (the search's) and the uncertainty of the
levels (calibration); the surroundings are declared: how often each signal is there, and at which
levels. Signals come and go independently of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

COVERAGE = 2.0
"""Expanded uncertainties are given with this coverage factor."""


@dataclass(frozen=True, slots=True)
class Failing:
    """At which level a device begins to fail beside a signal, in dBm at its antenna port.

    ``kept_dbm``: the highest level at which it works for sure; −inf: none is known.
    ``fails_dbm``: the lowest at which it fails for sure; inf: none was found, so that nothing is
    known of levels above ``kept_dbm``. ``uncertainty_db``: expanded (k = 2), of both.
    """

    kept_dbm: float
    fails_dbm: float
    uncertainty_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How a signal is met where the device is used.

    ``present``: share of the time in which it is there, 0 to 1. Its level at the antenna port is
    normal in dBm, with ``mean_dbm`` and ``deviation_db``.
    """

    present: float
    mean_dbm: float
    deviation_db: float


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The share of the time in which a device coexists: the best estimate, and its bounds."""

    value: float
    low: float
    high: float


def likelihood_beside(failing: Failing, met: Surroundings) -> Likelihood:
    """Likelihood of coexistence with one signal.

    The bounds put the boundary at the ends of its interval, with the whole uncertainty of the
    level against the device and for it; a level above what was tried counts as failing in the
    lower bound and the estimate, and as working in the upper one.
    """
    low_dbm = failing.kept_dbm - failing.uncertainty_db
    high_dbm = failing.fails_dbm + failing.uncertainty_db
    middle_dbm, spread_db = failing.kept_dbm, 0.0
    if math.isfinite(failing.kept_dbm) and math.isfinite(failing.fails_dbm):
        middle_dbm = (failing.kept_dbm + failing.fails_dbm) / 2
        spread_db = (failing.fails_dbm - failing.kept_dbm) / math.sqrt(12.0)
    blur_db = math.hypot(spread_db, failing.uncertainty_db / COVERAGE)
    return Likelihood(
        1.0 - met.present * _above(middle_dbm, met, blur_db),
        1.0 - met.present * _above(low_dbm, met, 0.0),
        1.0 - met.present * _above(high_dbm, met, 0.0),
    )


def likelihood_beside_all(each: Sequence[Likelihood]) -> Likelihood:
    """Beside several signals that are there independently of each other."""
    return Likelihood(
        math.prod(one.value for one in each),
        math.prod(one.low for one in each),
        math.prod(one.high for one in each),
    )


def _above(boundary_dbm: float, met: Surroundings, blur_db: float) -> float:
    """Probability that the level lies above a boundary that is known within ``blur_db`` (k = 1)."""
    spread_db = math.hypot(met.deviation_db, blur_db)
    if spread_db <= 0.0:
        return float(met.mean_dbm > boundary_dbm)
    return float(special.ndtr((met.mean_dbm - boundary_dbm) / spread_db))
