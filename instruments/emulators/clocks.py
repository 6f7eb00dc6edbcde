"""From the kernel's packet stamps (CLOCK_REALTIME) to CLOCK_MONOTONIC.

The two clocks are slewed together, so their distance changes only when somebody steps
CLOCK_REALTIME. It is measured again and again; a step is counted, never smoothed over.
"""

from __future__ import annotations

import time

_STEP_NS = 20_000
_TRIES = 5


def realtime_to_monotonic_ns() -> int:
    """CLOCK_MONOTONIC minus CLOCK_REALTIME in ns, at most the width of one clock pair too large.

    Too large means that a packet's arrival is taken as a little later than it was: a delay is
    never cut short.
    """
    best_width = best = 1 << 62
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_width:
            best_width, best = after - before, after - real
    return best


class RealtimeMap:
    """The distance from CLOCK_REALTIME to CLOCK_MONOTONIC, anchored anew after a step.

    Attributes:
        offset_ns: add this to a CLOCK_REALTIME stamp.
        steps: how many steps of CLOCK_REALTIME were seen.
        largest_step_ns: the largest of them, without sign.
    """

    __slots__ = ("largest_step_ns", "offset_ns", "steps")

    def __init__(self) -> None:
        self.offset_ns = realtime_to_monotonic_ns()
        self.steps = 0
        self.largest_step_ns = 0

    def refresh(self) -> bool:
        """Measure again; whether a step (more than 20 µs) was found."""
        offset_ns = realtime_to_monotonic_ns()
        distance = abs(offset_ns - self.offset_ns)
        if distance <= _STEP_NS:
            return False
        self.offset_ns = offset_ns
        self.steps += 1
        self.largest_step_ns = max(self.largest_step_ns, distance)
        return True
