"""Bounds of a figure where the fate of some packets cannot be told.

An ambiguous packet arrived somewhere between its first and its last possible arrival, or, where it
may be lost, not at all. A lower bound takes each at its better end, an upper bound at its worse:
whatever the truth, it lies between. A value that may or may not belong to a sample counts as the
least or as the largest of all: neither with it nor without it is a quantile beyond that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.measure import metrics
from bench.measure.pairing import MISSING, Flow

Floats = NDArray[np.float64]
Found = dict[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """A sample of what is ``known``, and all of it at its better and at its worse end.

    ``maybe``: which of ``low`` and ``high`` may not belong to it; None where nothing is in doubt.
    """

    known: Floats
    low: Floats
    high: Floats
    maybe: NDArray[np.bool_] | None = None


def bounded(samples: Sequence[Between], figure: Callable[[Floats], Found]) -> Found:
    """The figure of the known values, with its bounds over whatever the others may be."""
    known = figure(np.concatenate([each.known for each in samples]))
    if all(each.maybe is None for each in samples):
        return known
    low, high = np.concatenate([e.low for e in samples]), np.concatenate([e.high for e in samples])
    none = [np.zeros(len(each.low), dtype=bool) for each in samples]
    maybe = np.concatenate(
        [none[i] if each.maybe is None else each.maybe for i, each in enumerate(samples)]
    )
    if maybe.any():
        low[maybe], high[maybe] = low.min(), high.max()
    return _joined(known, figure(low), figure(high))


def _joined(known: Found, low: Found, high: Found) -> Found:
    value = known["value"]
    if isinstance(value, float):
        ends = [each["value"] for each in (low, high)]
        if isinstance(ends[0], float) and isinstance(ends[1], float):
            value = min(max(value, ends[0]), ends[1])
    found = {**known, "value": value, "lower": low.get("lower"), "upper": high.get("upper")}
    return found | {key: high[key] for key in ("extreme", "needed_n") if key in high}


@dataclass(frozen=True, slots=True, eq=False)
class _Ends:
    """The delays of the packets that may have arrived, in s.

    ``rows``: which; ``low``, ``high``: least and largest delay; ``sure``: it arrived.
    """

    rows: NDArray[np.intp]
    low: Floats
    high: Floats
    sure: NDArray[np.bool_]


def _ends(part: Flow) -> _Ends:
    rows = np.flatnonzero(part.earliest_ns != MISSING)
    sent = part.sent_ns[rows]
    return _Ends(
        rows,
        (part.earliest_ns[rows] - sent) / 1e9,
        (part.latest_ns[rows] - sent) / 1e9,
        ~(part.ambiguous & part.may_be_lost)[rows],
    )


def delays(part: Flow) -> Between:
    """One-way delay, infinite where the packet is lost."""
    known = metrics.delay_or_never(part)
    if not part.ambiguous.any():
        return Between(known, known, known)
    worst = metrics.delay_or_never(part.worst())
    there = part.earliest_ns != MISSING
    low = np.where(there, (part.earliest_ns - part.sent_ns) / 1e9, np.inf)
    kept = ~part.in_flight
    return Between(known, low[kept], worst, (part.ambiguous & ~there)[kept])


def variations(part: Flow) -> Between:
    """IPDV of packets that were sent one after the other."""
    known = metrics.ipdv(part)
    if not part.ambiguous.any():
        return Between(known, known, known)
    ends = _ends(part)
    at = np.flatnonzero(np.diff(ends.rows) == 1)
    after = at + 1
    high = np.maximum(ends.high[after] - ends.low[at], ends.high[at] - ends.low[after])
    low = np.maximum(ends.low[after] - ends.high[at], ends.low[at] - ends.high[after])
    return Between(known, np.maximum(low, 0.0), high, ~(ends.sure[at] & ends.sure[after]))


def above_least(part: Flow) -> Between:
    """PDV: the delay above the smallest."""
    known = metrics.pdv(part)
    if not part.ambiguous.any():
        return Between(known, known, known)
    ends = _ends(part)
    if not len(ends.rows):
        return Between(known, known, known)
    sure = ends.sure if ends.sure.any() else np.ones_like(ends.sure)
    low = np.maximum(ends.low - ends.high[sure].min(), 0.0)
    high = ends.high - ends.low.min()
    return Between(known, low, high, ~ends.sure)


def largest_delay(parts: Sequence[Flow]) -> Found:
    """The largest delay of the packets that arrived."""
    known = np.concatenate([part.delay_s for part in parts])
    ends = [_ends(part) for part in parts]
    low = np.concatenate([each.low[each.sure] for each in ends])
    high = np.concatenate([each.high for each in ends])
    lower = float(low.max()) if len(low) else None
    return {
        "value": lower if len(known) else None,
        "n": len(known),
        "lower": lower,
        "upper": float(high.max()) if len(high) else None,
    }


def loss_bounds(parts: Sequence[Flow], figure: Callable[[list[Flow]], Found]) -> Found:
    """A figure of loss: ambiguous packets all arrived, or all lost that may be."""
    known = figure(list(parts))
    if not any(part.ambiguous.any() for part in parts):
        return known
    best = [_all_arrived(part) for part in parts]
    found = _joined(known, figure(best), figure([part.worst() for part in parts]))
    count = sum(int(np.count_nonzero(part.ambiguous)) for part in parts)
    details = known["details"]
    assert isinstance(details, dict)
    return found | {"details": details | {"ambiguous": float(count)}}


def _all_arrived(part: Flow) -> Flow:
    received = np.where(part.ambiguous, part.sent_ns, part.received_ns)
    none = np.zeros(len(part), dtype=bool)
    return replace(
        part, received_ns=received, ambiguous=none, may_be_lost=none,
        earliest_ns=received, latest_ns=received,
    )  # fmt: skip


def jitter(part: Flow) -> tuple[float, float, float]:
    """RFC 3550's estimator: lower bound, value, upper bound; NaN below two arrivals.

    Arrivals after the last that is in doubt leave a known share of what was before. That is an
    average of differences, none larger than the spread of the delays.
    """
    value = metrics.rfc3550_jitter(part)
    if not part.ambiguous.any() or math.isnan(value):
        return value, value, value
    ends = _ends(part)
    spread = float(ends.high.max() - ends.low.min())
    order = metrics.in_order_of_arrival(part)
    last = int(part.latest_ns[part.ambiguous].max())
    clear = order[part.received_ns[order] > last]
    transit = part.received_ns[clear] - part.sent_ns[clear]
    since = metrics.jitter_of(transit)[0] if len(clear) > 1 else 0.0
    before = (15 / 16) ** max(0, len(clear) - 1) * spread
    return since, min(max(value, since), since + before), since + before
