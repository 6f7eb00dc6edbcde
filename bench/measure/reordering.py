"""Packets that arrive after one that was sent later (RFC 4737)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

DEGREES = 3
"""TCP takes a packet for lost that so many later ones overtook (RFC 4737, 5.3; RFC 5681, 3.2)."""


@dataclass(frozen=True, slots=True)
class Reordering:
    """How far a stream came out of order.

    ``packets``: reordered (4.1), ``ratio`` by those that arrived. ``extent_mean``, ``extent_max``:
    how many arrivals before the packet the first one came that was sent later (4.2).
    ``late_time_max``: how long before, in s (4.3). ``n_reordered``: packets that arrived right
    after at least 1, 2 and 3 packets that were sent later (5.3). None where nothing is reordered.
    """

    packets: int
    ratio: float | None
    extent_mean: float | None
    extent_max: int | None
    late_time_max: float | None
    n_reordered: tuple[int, ...]


def reordering(order: NDArray[np.integer], arrived_ns: Ints) -> Reordering:
    """The metrics of RFC 4737 in linear time.

    Args:
        order: the packets' places in order of sending, first arrival first; no duplicates.
        arrived_ns: when each arrived; both of shape ``(n,)``.
    """
    none = (0,) * DEGREES
    if not len(order):
        return Reordering(0, None, None, None, None, none)
    if bool(np.all(order[1:] > order[:-1])):
        return Reordering(0, 0.0, None, None, None, none)
    newest = np.maximum.accumulate(order)
    late = np.flatnonzero(order < newest)
    # The running maximum ascends: the first that was sent later is where it first surpasses.
    first = np.searchsorted(newest, order[late], side="right")
    extent = late - first
    return Reordering(
        len(late), len(late) / len(order), float(extent.mean()), int(extent.max()),
        float((arrived_ns[late] - arrived_ns[first]).max()) / 1e9, _degrees(order, late),
    )  # fmt: skip


def _degrees(order: NDArray[np.integer], late: NDArray[np.intp]) -> tuple[int, ...]:
    """Of the reordered packets: how many follow at least 1, 2 … that were sent later."""
    counts, left = [], late
    for degree in range(1, DEGREES + 1):
        left = left[left >= degree]
        left = left[order[left - degree] > order[left]]
        counts.append(len(left))
    return tuple(counts)
