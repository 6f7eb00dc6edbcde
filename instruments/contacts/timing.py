"""From the box's clock to the host's monotonic clock, with the uncertainty of each stamp.

The box is asked for its time again and again. What it says lies between the moments at which the
host sent the question and had the answer: so the distance of the clocks is known within half of
that. Between two such pairs it is taken on the straight line; beyond the last pair there is none.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

RESOLUTION_NS = 4_000
"""Of ``micros()`` on a 16 MHz AVR (Arduino reference, ``micros()``)."""

LARGEST_GAP_US = 2_000_000
MOST_RATE = 0.01
"""The largest deviation of the box's clock from the host's: a ceramic resonator has 0.5 %."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One question for the time: ``before_ns`` it was sent, ``after_ns`` its answer was there."""

    before_ns: int
    t_us: int
    after_ns: int

    @property
    def middle_ns(self) -> float:
        """Between the two."""
        return (self.before_ns + self.after_ns) / 2

    @property
    def half_ns(self) -> float:
        """Half of the width."""
        return (self.after_ns - self.before_ns) / 2


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened: monotonic, ns, and within how much of that for certain, ns."""

    t_ns: int
    uncertainty_ns: int


def stamp(pairs: tuple[Pair, ...], t_us: int) -> Stamp:
    """The host's time of a stamp of the box.

    Args:
        pairs: in order of the box's time, which does not wrap.

    Raises:
        ValueError: no pair on one of its sides, or none near enough; or a clock that runs wrong.
    """
    at = bisect_left(pairs, t_us, key=lambda pair: pair.t_us)
    if at < len(pairs) and pairs[at].t_us == t_us:
        one = pairs[at]
        return Stamp(round(one.middle_ns), round(one.half_ns) + RESOLUTION_NS)
    if at in (0, len(pairs)):
        raise ValueError("the clocks were not compared on both sides of it")
    before, after = pairs[at - 1], pairs[at]
    gap_us = after.t_us - before.t_us
    if gap_us > LARGEST_GAP_US:
        raise ValueError(f"the clocks were not compared for {gap_us / 1e6:g} s around it")
    slope = (after.middle_ns - before.middle_ns) / (gap_us * 1000)
    slack = (before.half_ns + after.half_ns) / (gap_us * 1000)
    if abs(slope - 1) > MOST_RATE + slack:
        raise ValueError(f"the box's clock runs {slope:.3f} times as fast as the host's")
    share = (t_us - before.t_us) / gap_us
    t_ns = before.middle_ns + share * (after.middle_ns - before.middle_ns)
    half = max(before.half_ns, after.half_ns)
    return Stamp(round(t_ns), round(half) + RESOLUTION_NS)
