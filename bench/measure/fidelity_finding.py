"""A certification row in the making, and what a host that stalls may have done to its packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import fidelity as fid
from bench.measure.fidelity import MISSING, Decisions, Ints, Passage, Quantiles
from bench.measure.fidelity_cells import Bounds

_PAUSE_NS = 2_000_000
"""Stalls with a shorter pause between them are one."""


@dataclass(slots=True)
class Finding:
    """A row in the making: the worse of its objections wins."""

    passed: Passage
    decided: Decisions
    exact: bool
    null: Quantiles
    bounds: Bounds
    start_ns: int
    stalls_ns: Ints
    confirmed_ns: Mapping[int, int]
    fails: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    changes_ns: tuple[int, ...] = ()
    first: Ints = field(init=False)
    times: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.first, _, self.times = self.passed.arrivals()

    @property
    def open(self) -> NDArray[np.bool_]:
        """Packets that may still have met the state before a change, or already the one after it.

        None where the emulator goes by arrivals, as the law does.
        """
        found = np.zeros(len(self.first), dtype=np.bool_)
        for t_ns in self.changes_ns if not self.exact else ():
            within_ns = round(self.bounds.event_s * 1e9)
            until_ns = max(t_ns + within_ns, self.confirmed_ns.get(t_ns, t_ns))
            sent = self.passed.sent_ns
            found |= (sent >= t_ns - self.held_up_ns(t_ns)) & (sent < until_ns)
        return found

    def held_up_ns(self, t_ns: int) -> int:
        """How long before a change a packet may have been sent that came to the emulator after it.

        As long as the null path held one up at most, and since the host began to stall, where the
        change fell into stalls with hardly a pause.
        """
        begin_ns = t_ns
        for begin, end in self.stalls_ns[::-1].tolist():
            if begin <= begin_ns + _PAUSE_NS and end >= begin_ns - _PAUSE_NS:
                begin_ns = min(begin_ns, begin)
        null_s = self.null.max_s if self.null.n and self.null.max_s is not None else 0.0
        return max(t_ns - begin_ns, round(null_s * 1e9))

    @property
    def stalled(self) -> NDArray[np.bool_]:
        """Packets whose first arrival was in a stall of the host."""
        return ~self.lost & fid.in_stall(self.stalls_ns, self.first)

    def held_up(self, error_ns: int | None, t_ns: int) -> bool:
        """Whether what looks like an early change may be packets that came to it after it."""
        return error_ns is not None and -self.held_up_ns(t_ns) <= error_ns < 0

    def only_late(self, error_ns: int | None, t_ns: int, least_ns: float = 0.0) -> bool:
        """Whether what looks like an early change to a longer delay may be late packets.

        It may, where one of those sent before the change came in a stall, or sooner than the
        later state lets one come.
        """
        if error_ns is None or error_ns >= 0:
            return False
        if self.held_up(error_ns, t_ns):
            return True
        sent = self.passed.sent_ns
        early = (sent >= t_ns + error_ns) & (sent < t_ns) & ~self.lost
        sooner = self.first - sent < least_ns
        return bool((early & (self.stalled | sooner)).any())

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Packets that never came."""
        return np.asarray(self.first == MISSING)

    @property
    def delays_ns(self) -> Ints:
        """Of the packets that came, to their first arrival."""
        there = ~self.lost
        return (self.first - self.passed.sent_ns)[there]
