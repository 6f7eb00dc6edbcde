"""Cells of a certification grid and their results: plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench.measure.fidelity import Quantiles
from bench.network.impairment import Impairment

Kind = Literal["path", "jitter", "loss", "rate", "reordering", "duplication", "step", "outage",
               "hold"]  # fmt: skip
Verdict = Literal["holds", "inconclusive", "fails", "not offered"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A stimulus: packets of one size at an even rate under one state, or states in turn.

    ``states``: ``(s from the first packet's slot, impairment)``; the first is in force from well
    before. ``tail_s``: how long after the last packet everything has surely come.
    """

    name: str
    kind: Kind
    states: tuple[tuple[float, Impairment], ...]
    rate_pps: float
    seconds: float
    size_bytes: int = 200
    tail_s: float = 0.1

    @property
    def count(self) -> int:
        """Packets."""
        return round(self.rate_pps * self.seconds)

    def describe(self) -> str:
        """What is intended, in words."""
        parts = [self.states[0][1].describe()]
        parts += [f"at {t_s:.3g} s {state.describe()}" for t_s, state in self.states[1:]]
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Within which a row holds.

    ``p50_s``: of the delay error, beyond the null path's own, and at most ``most_p50_s`` in all;
    ``p99_s``: of the delay error, and of a release after a hold. ``early_s``: what reading clocks
    may make a packet look early. ``event_s``: from a scheduled change to the first packet that
    met it, beyond the null path's median. ``distance``: Kolmogorov-Smirnov, of the delays to the
    very draws that were to be carried out, without the shift. ``rate``: relative, of the mean.
    """

    p50_s: float = 50e-6
    most_p50_s: float = 150e-6
    p99_s: float = 1e-3
    early_s: float = 20e-6
    event_s: float = 100e-6
    distance: float = 0.011
    rate: float = 0.01


@dataclass(frozen=True, slots=True)
class Row:
    """One cell's result. Figures are JSON-able data in SI units, ``None`` where they mean nothing.

    ``delay_error``: :class:`~bench.measure.fidelity.Quantiles`, arrival minus due;
    ``delay_error_awake``: of the packets that came while the host did not stall; ``draws_known``:
    whether due times and losses are the law's own, packet by packet, or only its distribution.
    """

    name: str
    kind: str
    intended: str
    achieved: str
    verdict: Verdict
    reason: str
    sent: int
    draws_known: bool
    delay_error: Quantiles | None = None
    delay_error_awake: Quantiles | None = None
    distribution: dict[str, Any] | None = None
    loss: dict[str, Any] | None = None
    rate: dict[str, Any] | None = None
    reordering: dict[str, Any] | None = None
    duplication: dict[str, Any] | None = None
    event: dict[str, Any] | None = None
    tries: int = 1

    def to_json(self) -> dict[str, Any]:
        """As JSON-able data; every key is there."""
        return asdict(self)
