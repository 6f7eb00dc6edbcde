"""What a spectrum analyser shows of what arrives: mean levels, without a draw of noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.network.radio.levels import NOTHING_DBM, THERMAL_DBM_HZ
from bench.network.radio.state import Emission

_FLOOR_MW = 10.0 ** (NOTHING_DBM / 10.0)
_DOWN_3_DB = 10.0 * np.log10(2.0)


def trace_dbm(
    came: Sequence[Emission],
    start_hz: float,
    stop_hz: float,
    points: int,
    resolution_hz: float,
    noise_figure_db: float,
) -> NDArray[np.float64]:
    """Level at each point of a sweep with positive-peak detection and a Gaussian filter.

    Args:
        came: the signals at the input.
        start_hz, stop_hz: of the sweep; equal: zero span.
        points: of the trace, at least 2.
        resolution_hz: −3 dB bandwidth of the filter.
        noise_figure_db: of the analyser.

    Returns:
        ``points`` levels in dBm. Each is the peak over the frequencies that the point stands
        for, so that a carrier between two points is not missed.
    """
    frequencies = np.linspace(start_hz, stop_hz, points)
    half = (stop_hz - start_hz) / (points - 1) / 2
    floor = 10.0 ** ((THERMAL_DBM_HZ + noise_figure_db) / 10.0) * resolution_hz
    total = np.full(points, max(floor, _FLOOR_MW))
    for one in came:
        total += _milliwatts(one, frequencies, half, resolution_hz)
    return np.asarray(10.0 * np.log10(total), dtype=np.float64)


def _milliwatts(
    one: Emission, frequencies: NDArray[np.float64], half: float, resolution_hz: float
) -> NDArray[np.float64]:
    away = np.maximum(0.0, np.abs(frequencies - one.frequency_hz) - half)
    outside = np.maximum(0.0, away - one.bandwidth_hz / 2)
    skirt_db = _DOWN_3_DB * (2.0 * outside / resolution_hz) ** 2
    share = 1.0 if one.bandwidth_hz <= resolution_hz else resolution_hz / one.bandwidth_hz
    level_db = np.maximum(one.level_dbm - skirt_db, NOTHING_DBM)
    return np.asarray(share * 10.0 ** (level_db / 10.0), dtype=np.float64)
