"""What a device's own emission does to another network: counted, with what can be said of it.

Throughput: mean of the counts, and its expanded uncertainty at 95 % (Student's t over the counts;
GUM, 4.2 and G.3). Lost blocks: the share that was not acknowledged, between the exact binomial
bounds at 95 % (two-sided).
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from scipy import special

from bench.measure.statistics import binomial_lower, binomial_upper

CONFIDENCE = 0.95

MOST_LOST = 0.1
"""More lost blocks without the device than a terminal asks for by its CQI (3GPP TS 36.213, 7.2.3):
its link is not in order, and shows nothing."""

LEAST_COUNTS = 3

RESOLUTION_BPS = 100.0
"""To which a throughput is told: rectangular, half of it to both sides."""

Answer = Literal["not measured", "INCONCLUSIVE", "disturbed", "not disturbed"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its expanded uncertainty (95 %), in the same unit."""

    value: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class Carried:
    """What a link carried in some counts of its transport blocks.

    ``throughputs_bps``: one for each count; ``delivered``, ``refused``, ``unanswered``: blocks of
    all counts.
    """

    throughputs_bps: tuple[float, ...]
    delivered: int
    refused: int
    unanswered: int

    @property
    def blocks(self) -> int:
        """All of them."""
        return self.delivered + self.refused + self.unanswered

    @property
    def lost(self) -> float:
        """The share that was not delivered; 1 where there was none."""
        return 1.0 - self.delivered / self.blocks if self.blocks else 1.0

    def lost_bounds(self) -> tuple[float, float]:
        """Between which that share lies."""
        lost, each = self.blocks - self.delivered, (1 + CONFIDENCE) / 2
        return binomial_lower(lost, self.blocks, each), binomial_upper(lost, self.blocks, each)

    def throughput(self) -> Figure:
        """Mean, and its uncertainty; infinite after a single count."""
        count = len(self.throughputs_bps)
        if count < 2:
            return Figure(sum(self.throughputs_bps), math.inf)
        spread = statistics.stdev(self.throughputs_bps) / math.sqrt(count)
        factor = float(special.stdtrit(count - 1, (1 + CONFIDENCE) / 2))
        rounding = 2 * RESOLUTION_BPS / math.sqrt(12)
        return Figure(statistics.fmean(self.throughputs_bps), math.hypot(factor * spread, rounding))


@dataclass(frozen=True, slots=True)
class Disturbed:
    """Another network without the device and beside it, as it was measured.

    ``name``: as the bench file and the coexistence plan call it; ``measured_by``: who counted;
    ``alone``, ``beside``: None where it was not measured, for ``problem``.
    """

    name: str
    measured_by: str = ""
    alone: Carried | None = None
    beside: Carried | None = None
    problem: str = ""

    def answer(self) -> tuple[Answer, str]:
        """What the measurement shows, and why; no document sets a limit, so it is no verdict."""
        if self.problem or self.alone is None or self.beside is None:
            return "not measured", self.problem or "nobody measured it"
        counts = min(len(one.throughputs_bps) for one in (self.alone, self.beside))
        if counts < LEAST_COUNTS:
            return "INCONCLUSIVE", f"{counts} counts are too few"
        if self.alone.lost > MOST_LOST or not self.alone.throughput().value:
            return "INCONCLUSIVE", (
                f"its own link is not in order: {100 * self.alone.lost:.3g} % of its blocks are "
                "lost while the device is silent"
            )
        fall, lost = self.fall(), self.beside.lost_bounds()[0] > self.alone.lost_bounds()[1]
        share = 100 / self.alone.throughput().value
        shown = f"throughput {0.0 - share * fall.value:+.2g} ± {share * fall.uncertainty:.2g} %"
        if fall.value > fall.uncertainty or lost:
            return "disturbed", shown
        return "not disturbed", f"{shown}: no loss is shown beyond the uncertainty"

    def fall(self) -> Figure:
        """By how much the throughput falls, bit/s."""
        assert self.alone is not None, "it was measured"
        assert self.beside is not None, "it was measured"
        alone, beside = self.alone.throughput(), self.beside.throughput()
        return Figure(alone.value - beside.value, math.hypot(alone.uncertainty, beside.uncertainty))
