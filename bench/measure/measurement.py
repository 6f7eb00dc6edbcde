"""The measurement: what was observed, with its evidence. Never a judgement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UncertaintyTerm:
    """One contribution: standard uncertainty in the measurement's unit, and where it is from."""

    name: str
    standard: float
    origin: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A value with its uncertainty budget and the evidence behind it.

    ``lower``/``upper``: statistical one-sided bounds at ``confidence`` (``None``: the evidence is
    too thin for that bound). ``extreme``: the largest value seen (or the worst trial).
    ``needed_n``: samples or trials that the bound would take. ``problems``: why this evidence
    cannot back a verdict on the device (INCONCLUSIVE). ``errors``: the bench's own faults
    (ERROR). ``trials``: for behaviours, one value per trial; ``inf`` where the awaited response
    never came. ``required_terms``: names of uncertainty terms without which nothing passes.
    """

    value: float | None
    unit: str
    n: int
    method: str
    reference_points: str
    lower: float | None = None
    upper: float | None = None
    confidence: float | None = None
    extreme: float | None = None
    needed_n: int | None = None
    budget: tuple[UncertaintyTerm, ...] = ()
    required_terms: tuple[str, ...] = ()
    independent: bool = True
    trials: tuple[float, ...] = ()
    problems: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    details: dict[str, float | str | None] = field(default_factory=dict)

    @property
    def expanded(self) -> float:
        """Expanded uncertainty U, coverage factor k = 2 (JCGM 100:2008, 6.2)."""
        return 2 * math.sqrt(sum(term.standard**2 for term in self.budget))
