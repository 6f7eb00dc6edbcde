"""How long what waits in a netem qdisc may take to leave: nothing lets it go before it is due."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.network.impairment import Impairment
from bench.units import NS_PER_S, ns
from instruments.emulators.netem_law import longest_delay_s
from instruments.emulators.netem_messages import QdiscCounters
from instruments.emulators.netem_state import NetemState

MARGIN_S = 1.0
"""What an interface and a busy host may add to the law."""

LONGEST_DRAIN_S = 60.0
"""No end takes longer, margin included; below the 90 s after which systemd kills."""


@dataclass(slots=True)
class Waiting:
    """Until when the packets of one qdisc wait at most, by the states they came under.

    A packet is due a delay after it came, or where there is a rate right behind the one before,
    which then also waits or has just left. So the last one is due at the latest after the longest
    delay that is still possible and, at the slowest rate, all bytes that wait.

    ``due_ns``: when no delay of an earlier state lasts any longer. ``rate`` (bytes/s, 0: none)
    and ``overhead`` (bytes a packet): the slowest and the largest since nothing waited.
    """

    due_ns: int = 0
    rate: int = 0
    overhead: int = 0

    def under(
        self, now_ns: int, impairment: Impairment, state: NetemState, counters: QdiscCounters
    ) -> None:
        """Packets came under this state until now, and so many wait of it and those before."""
        if not counters.waiting:
            self.due_ns, self.rate, self.overhead = now_ns, 0, 0
            return
        self.due_ns = max(self.due_ns, now_ns + ns(longest_delay_s(impairment)))
        if state.rate:
            self.rate = min(self.rate or state.rate, state.rate)
            self.overhead = max(self.overhead, state.overhead)

    def end_ns(self, now_ns: int, counters: QdiscCounters) -> int:
        """When the last of them has left by the law; now where none waits."""
        if not counters.waiting:
            return now_ns
        end_ns = max(now_ns, self.due_ns)
        if self.rate:
            size = counters.waiting_bytes + counters.waiting * self.overhead
            end_ns += math.ceil(size * NS_PER_S / self.rate)
        return end_ns


def drain_s(left_ns: int) -> float:
    """How long to wait for packets of which the last is due in ``left_ns``, s."""
    return min(LONGEST_DRAIN_S, left_ns / NS_PER_S + MARGIN_S)
