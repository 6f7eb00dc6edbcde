"""Specification and verdict: two of the three separate types of every judgement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from bench.measure.measurement import UncertaintyTerm


class Outcome(StrEnum):
    """The four verdicts. ERROR is the bench's own fault, never the device's."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"


Rule = Literal["simple", "guard-band", "safety", "demonstrated"]
"""Decision rules. ``simple``: simple acceptance (ILAC-G8:09/2019, 4.2.1). ``guard-band``: w = U
(4.2.2). ``safety``: largest value + U, one failure is FAIL. ``demonstrated``: all planned trials
meet the limit, no probability claimed beyond what n trials show."""

ChosenRule = Literal["simple", "guard-band"]
"""Rules that may be chosen for a whole run."""

Against = Literal["document", "declaration"]


@dataclass(frozen=True, slots=True)
class Specification:
    """What is asked: one requirement under one reading, for one stream of one device.

    ``low``/``high`` are SI limits after the reading and the declarations are settled (``<``,
    ``<=``, ``>``, ``>=`` use ``low``; ``in`` uses both). ``planned_n``: samples or trials that the
    run set out to collect. ``undeclared``: compulsory declarations that are missing. ``chosen``:
    the rule was chosen for the run.
    """

    requirement: str
    device: str
    stream: str
    metric: str
    reference_points: str
    comparator: str
    low: float | None
    high: float | None
    unit: str
    rule: Rule
    confidence: float = 0.95
    planned_n: int = 1
    against: Against = "document"
    reading: str = ""
    undeclared: tuple[str, ...] = ()
    declared_limit: float | None = None
    chosen: bool = False

    @property
    def limit(self) -> float | None:
        """The figure that margin is counted from."""
        return self.high if self.comparator == "in" else self.low


@dataclass(frozen=True, slots=True)
class Verdict:
    """One entry of verdicts.json. All figures SI; ``None`` where there is none.

    ``value``: also ``None`` where the awaited response never came; the reason says so.

    ``confidence``: for a bound, its confidence level; for a demonstrated behaviour, the success
    probability that the trials show at 95 % confidence (1 trial: 0.05; 59: 0.95).
    ``readings``: the verdict under each rival reading. ``lower``/``upper``: between these the
    value lies at that confidence, the expanded uncertainty included; ``None`` where the evidence
    bounds nothing. ``trials``: for a behaviour, each trial's value; ``None`` where the awaited
    response never came.
    """

    requirement: str
    test: str
    device: str
    stream: str
    metric: str
    reference_points: str
    verdict: Outcome
    value: float | None
    unit: str
    uncertainty: float | None
    n: int
    confidence: float | None
    limit: float | None
    comparator: str
    margin: float | None
    rule: str
    reason: str
    reading: str
    against: str
    session: str
    attempt: int
    independent: bool = True
    budget: tuple[UncertaintyTerm, ...] = ()
    readings: tuple[dict[str, object], ...] = ()
    details: tuple[tuple[str, float | str | None], ...] = ()
    lower: float | None = None
    upper: float | None = None
    trials: tuple[float | None, ...] = ()
