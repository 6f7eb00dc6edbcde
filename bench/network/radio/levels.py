"""Levels in dBm and ratios in dB: sums, losses over frequency, what falls into a filter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

THERMAL_DBM_HZ = -173.975
"""Noise power density kT at 290 K."""

SPEED_OF_LIGHT_M_S = 299_792_458.0
NOTHING_DBM = -400.0
"""What is as good as no power."""


def milliwatts(level_dbm: float) -> float:
    """A level as power."""
    return math.pow(10.0, level_dbm / 10.0)


def dbm(power_mw: float) -> float:
    """A power as level, at least :data:`NOTHING_DBM`."""
    return max(NOTHING_DBM, 10.0 * math.log10(power_mw)) if power_mw > 0 else NOTHING_DBM


def summed_dbm(levels: Iterable[float]) -> float:
    """The level of several signals that do not know of each other."""
    return dbm(math.fsum(milliwatts(level) for level in levels))


def noise_dbm(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Noise of a receiver, referred to its input."""
    return THERMAL_DBM_HZ + 10.0 * math.log10(bandwidth_hz) + noise_figure_db


def free_space_loss_db(distance_m: float, frequency_hz: float) -> float:
    """Loss between isotropic antennas (ITU-R P.525); 0 dB at a distance of 0."""
    if distance_m <= 0:
        return 0.0
    return max(
        0.0, 20.0 * math.log10(4.0 * math.pi * distance_m * frequency_hz / SPEED_OF_LIGHT_M_S)
    )


def interpolated_db(table: Sequence[tuple[float, float]], frequency_hz: float) -> float:
    """The loss at a frequency, linear between the points of a table that ascends.

    Raises:
        ValueError: the frequency lies outside the table (of more than one point).
    """
    if not table:
        return 0.0
    if len(table) == 1:
        return table[0][1]
    if not table[0][0] <= frequency_hz <= table[-1][0]:
        raise ValueError(f"{frequency_hz:g} Hz is outside {table[0][0]:g} … {table[-1][0]:g} Hz")
    for (low, at_low), (high, at_high) in pairwise(table):
        if frequency_hz <= high:
            return at_low + (at_high - at_low) * (frequency_hz - low) / (high - low)
    return table[-1][1]


def overlap(
    centre_hz: float, width_hz: float, filter_centre_hz: float, filter_width_hz: float
) -> float:
    """The share of a flat spectrum that falls into a rectangular filter, 0 to 1."""
    low = max(centre_hz - width_hz / 2, filter_centre_hz - filter_width_hz / 2)
    high = min(centre_hz + width_hz / 2, filter_centre_hz + filter_width_hz / 2)
    if width_hz <= 0:
        return 1.0 if abs(centre_hz - filter_centre_hz) <= filter_width_hz / 2 else 0.0
    return max(0.0, high - low) / width_hz
