"""What certifying an emulator found: rows, envelope, uncertainty, verdict; as JSON-able data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.measure.fidelity import Quantiles
from bench.measure.fidelity_cells import Row

LATEST_S = 1e-3
"""Largest p99 of the delay error inside the envelope."""


@dataclass(frozen=True, slots=True)
class Point:
    """One rate and size of the envelope.

    ``lateness``: arrival minus due. ``reason``: why it is not inside.
    """

    size_bytes: int
    asked_pps: float
    sent_pps: float | None
    lateness: Quantiles
    emulator_drops: int
    tap_drops: int
    inside: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was found. ``envelope``: the points; ``inside_pps``: the largest rate inside, by size.

    ``null``: the unimpaired path. ``drops``: packets lost by the emulator, by the taps, and on
    the way to and from the emulator, summed over all trials.
    """

    backend: str
    kernel: str
    seed: int
    quick: bool
    null: Row
    rows: tuple[Row, ...]
    envelope: tuple[Point, ...]
    drops: dict[str, int]
    notes: tuple[str, ...]
    took_s: float

    @property
    def verdict(self) -> str:
        """The worst row's: ``fails``, ``inconclusive`` or ``holds``."""
        found = {row.verdict for row in (self.null, *self.rows)}
        return next((v for v in ("fails", "inconclusive") if v in found), "holds")

    @property
    def exit_code(self) -> int:
        """0 where every row holds, 1 where one fails, 3 where the host cannot show it."""
        return {"fails": 1, "inconclusive": 3}.get(self.verdict, 0)

    def inside_pps(self) -> dict[int, float | None]:
        """By size, the largest rate of the sweep up to which every point is inside."""
        found: dict[int, float | None] = {}
        for size in dict.fromkeys(point.size_bytes for point in self.envelope):
            found[size] = None
            for point in self.envelope:
                if point.size_bytes == size:
                    if not point.inside:
                        break
                    found[size] = point.asked_pps
        return found

    def uncertainty(self) -> dict[str, Any]:
        """What a stimulus of this emulator, here and now, may be off: the worst of all rows, s."""
        errors = [row.delay_error for row in self.rows if row.delay_error and row.delay_error.n]
        own = {
            name: max((getattr(e, name) for e in errors), default=None)
            for name in ("p50_s", "p99_s", "p999_s", "max_s")
        }
        events = [abs(e) for row in self.rows if row.event for e in row.event["error_s"].values()
                  if e is not None]  # fmt: skip
        null = self.null.delay_error
        shapes = [row.distribution["quantile_error_s"] for row in self.rows if row.distribution]
        return {
            **{f"delay_error_{name}": value for name, value in own.items()},
            "null_p50_s": null.p50_s if null else None,
            "null_p99_s": null.p99_s if null else None,
            "quantile_error_s": max((s for s in shapes if s is not None), default=None),
            "event_error_s": max(events, default=None),
            "n": sum(error.n for error in errors),
            "beyond": LATEST_S,
        }

    def to_json(self) -> dict[str, Any]:
        """As JSON-able data; every key is there."""
        return {
            "backend": self.backend,
            "kernel": self.kernel,
            "seed": self.seed,
            "quick": self.quick,
            "verdict": self.verdict,
            "null": self.null.to_json(),
            "rows": [row.to_json() for row in self.rows],
            "envelope": {
                "points": [asdict(point) for point in self.envelope],
                "inside_pps": [
                    {"size_bytes": size, "pps": pps} for size, pps in self.inside_pps().items()
                ],
                "limit_p99_s": LATEST_S,
            },
            "uncertainty": self.uncertainty(),
            "drops": self.drops,
            "notes": list(self.notes),
            "took_s": self.took_s,
        }
