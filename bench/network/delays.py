"""Delay laws of a link direction, and the tables that two of them are drawn from.

A table holds 4096 equally likely values, in spreads from the mean, each a multiple of 1/8192: the
form in which the kernel's netem takes a distribution, so that every emulator draws from the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

DelayLaw = Literal["constant", "uniform", "normal", "pareto", "paretonormal", "table"]

TABLE_SIZE, TABLE_SCALE = 4096, 8192
_LEAST, _MOST = -32768, 32767
_STEPS = 4 * TABLE_SIZE
_PARETO_SHAPE = 3.0
_FLOAT_NOISE_S = 1e-12
_NORMAL_GRID = 0.00005
"""iproute2 looks for the quantiles of its normal table in steps of this size."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One-way delay law.

    ``constant``: ``mean_s``. ``uniform``: ``mean_s`` ± ``spread_s`` (half width).
    ``normal``: mean and standard deviation ``spread_s``, truncated at zero and at ± 4 σ.
    ``pareto``, ``paretonormal``: heavy to the late side, from −2/3 (−1.5) to +4 spreads
    (:func:`unit_table`). ``table``: from measured data (:func:`measured`): ``table`` holds 4096
    values, 8192 for one ``spread_s`` from ``mean_s``.

    A law that reaches below zero is refused: cut there, it would be another law.
    """

    mean_s: float = 0.0
    law: DelayLaw = "constant"
    spread_s: float = 0.0
    table: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.mean_s < math.inf and 0 <= self.spread_s < math.inf):
            raise InputError(
                "is negative or no number",
                remedy="give zero or more",
                field="delay",
                value=(self.mean_s, self.spread_s),
            )
        if self.law == "constant" and self.spread_s:
            raise InputError(
                "a constant delay has no jitter",
                remedy="choose the law uniform or normal (or pareto, paretonormal)",
                field="delay.law",
                value=self.law,
            )
        if (len(self.table) == TABLE_SIZE) != (self.law == "table") or (
            self.table and not all(_LEAST <= value <= _MOST for value in self.table)
        ):
            raise InputError(
                f"the law table, and only that, comes with {TABLE_SIZE} values of 16 bits",
                remedy="make it from measured delays (bench fit)",
                field="delay.table",
                value=len(self.table),
            )
        self._refuse_below_zero()

    def _refuse_below_zero(self) -> None:
        if self.law == "uniform" and self.spread_s > self.mean_s:
            raise InputError(
                "jitter is larger than the delay, which would cut the law at zero",
                remedy="raise the delay or lower the jitter",
                field="delay.spread_s",
                value=self.spread_s,
            )
        if self.law == "normal" and 3 * self.spread_s > self.mean_s:
            raise InputError(
                "three standard deviations are larger than the delay, which would cut the law",
                remedy="raise the delay, lower the jitter, or use the uniform law",
                field="delay.spread_s",
                value=self.spread_s,
            )
        if self.law in ("pareto", "paretonormal", "table") and self.least_s < -1e-9:
            raise InputError(
                "the jitter reaches below zero delay, which would cut the law",
                remedy=f"raise the delay to {self.mean_s - self.least_s:.4g} s or lower the jitter",
                field="delay.spread_s",
                value=self.spread_s,
            )

    @property
    def least_s(self) -> float:
        """The shortest delay of the law, s."""
        return max(0.0, self._edge(-1)) if self.law == "normal" else self._edge(-1)

    @property
    def most_s(self) -> float:
        """The longest delay of the law, s."""
        return self._edge(+1)

    def _edge(self, side: int) -> float:
        if self.law in ("constant", "uniform"):
            return self.mean_s + side * self.spread_s
        if self.law == "normal":
            return self.mean_s + side * 4 * self.spread_s
        values = self.table or unit_table(self.law)
        return self.mean_s + (max if side > 0 else min)(values) / TABLE_SCALE * self.spread_s

    def values_s(self) -> NDArray[np.float64]:
        """Equally likely delays of the law, ascending; shape (4096,), s."""
        if self.law == "constant":
            return np.full(TABLE_SIZE, self.mean_s)
        if self.law == "uniform":
            steps = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE
            return self.mean_s + self.spread_s * (2 * steps - 1)
        values = np.sort(np.array(self.table or unit_table(self.law), dtype=np.float64))
        return np.maximum(self.mean_s + values / TABLE_SCALE * self.spread_s, 0.0)


@cache
def unit_table(law: DelayLaw) -> tuple[int, ...]:
    """The table of a law: 4096 values, 8192 for one spread, as iproute2 makes it.

    ``uniform`` runs evenly from −1 to +1 spread. ``normal``: every fourth of 16384 quantiles,
    each at the upper edge of its step. ``pareto``: shape 3, moved to mean zero, times 4/3, cut at
    4 spreads. ``paretonormal``: a quarter of ``normal`` and three quarters of ``pareto``.

    Raises:
        ValueError: a law that has no table of its own.
    """
    if law == "uniform":
        return tuple(
            round(TABLE_SCALE * (2 * (index + 0.5) / TABLE_SIZE - 1)) for index in range(TABLE_SIZE)
        )
    steps = range(0, _STEPS, 4)
    if law == "normal":
        return tuple(_cut(_normal(step)) for step in steps)
    if law == "pareto":
        return tuple(_cut(_pareto(step)) for step in steps)
    if law == "paretonormal":
        return tuple(_cut(int((_normal(step) + 3 * _pareto(step)) / 4)) for step in steps)
    raise ValueError(f"the law {law} has no table")


def _cut(value: int) -> int:
    return max(_LEAST, min(_MOST, value))


def _normal(step: int) -> int:
    edge = NormalDist().inv_cdf((step + 0.5) / _STEPS)
    return round(TABLE_SCALE * math.floor(edge / _NORMAL_GRID) * _NORMAL_GRID)


def _pareto(step: int) -> int:
    value: float = (1 - step / _STEPS) ** (-1 / _PARETO_SHAPE) - 1.5
    return min(_MOST, round(4 / 3 * TABLE_SCALE * value))


def measured(delays_s: Iterable[float]) -> Delay:
    """The law ``table`` of measured one-way delays.

    Args:
        delays_s: at least two delays, zero or more, s.

    The table keeps 4096 quantiles, each at the middle of its step; its resolution is 1/8192 of
    the largest distance from the mean over 4.

    Raises:
        InputError: too few delays, or a negative one.
    """
    sample = np.sort(np.fromiter(delays_s, dtype=np.float64))
    if len(sample) < 2 or not np.isfinite(sample).all() or sample[0] < 0:
        raise InputError(
            "are no delays: two or more, none negative, are needed",
            remedy="check the clocks of the two captures and their order",
            field="delay.table",
            value=len(sample),
        )
    places = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE
    values = np.quantile(sample, places)
    mean_s = float(values.mean())
    spread_s = float(np.abs(values - mean_s).max()) / (_MOST / TABLE_SCALE)
    if spread_s < _FLOAT_NOISE_S:
        return Delay(mean_s)
    table = np.rint((values - mean_s) / spread_s * TABLE_SCALE).astype(np.int64)
    table = np.maximum(table, math.ceil(-mean_s / spread_s * TABLE_SCALE))
    return Delay(mean_s, "table", spread_s, tuple(int(value) for value in table))
