"""How far apart the clocks of two taps are, as far as the packets between them tell.

A packet never arrives before it is sent. So the smallest apparent delay of one direction bounds
the offset of the clocks from above, that of the other direction from below, whatever the path
does; half the smallest round trip remains open.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_PIECES = 512
"""Of each direction, the smallest delays in so many stretches of time are looked at."""

_STRETCHES = 64
_LEAST = 8
"""Packets that a stretch must have in each direction."""

_BESIDE = 4
"""Stretches on either side of a step."""

_STEP_S = 1e-3
"""A smaller step is called one only where the path cannot explain it."""

_QUARTZ_DRIFT = 2e-4
"""Two quartz clocks of 100 ppm each: what is proven to jump does so beyond that."""

_MOST_DRIFT = 1e-3
"""No two clocks of computers drift apart faster (s per s)."""


@dataclass(frozen=True, slots=True, eq=False)
class Apparent:
    """Packets of one direction; arrays of shape ``(n,)``.

    ``t_ns``: when the left tap saw them, by its clock. ``delay_ns``: time at the receiving tap
    minus time at the sending tap, each by its own clock.
    """

    t_ns: Ints
    delay_ns: Ints


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A sudden change of the offset, found between two stretches of time.

    ``size_s``: by how much the right clock jumped ahead. ``proven``: no path explains it.
    """

    t_ns: int
    size_s: float
    proven: bool


@dataclass(frozen=True, slots=True)
class ClockBounds:
    """How far the right tap's clock is ahead of the left one's.

    ``lower_s``, ``upper_s``: between these it lies at every time, if the clocks drift evenly;
    ``offset_s``: half way, which is right if the fastest packets took equally long both ways.
    ``drift``: s per s that the offset grows by, between ``drift_low`` and ``drift_high``. None
    where one direction has no packets, for the drift also where none explains them.
    ``steps``: in order of time. ``even``: some even drift explains all packets; without it, and
    with steps, the interval holds for each time by itself and is wide.
    """

    lower_s: float | None = None
    upper_s: float | None = None
    offset_s: float | None = None
    drift: float | None = None
    drift_low: float | None = None
    drift_high: float | None = None
    steps: tuple[ClockStep, ...] = ()
    even: bool = True

    @property
    def half_s(self) -> float | None:
        """Half the width of the interval: the limit of a rectangular distribution."""
        if self.lower_s is None or self.upper_s is None:
            return None
        return (self.upper_s - self.lower_s) / 2


def compare_clocks(
    forward: Apparent, backward: Apparent, *, resolution_s: float = 0.0
) -> ClockBounds:
    """The clocks of two taps, from the packets that passed both.

    Args:
        forward: from the left tap to the right one.
        backward: from the right tap to the left one.
        resolution_s: both taps' time stamps together may be wrong by this.
    """
    above, below = _least(forward), _least(backward)
    if above is None or below is None:
        return ClockBounds(
            None if below is None else -float(below[1].min()) - resolution_s,
            None if above is None else float(above[1].min()) + resolution_s,
        )
    origin = min(float(above[0].min()), float(below[0].min()))
    ends = max(float(above[0].max()), float(below[0].max())) - origin
    up = above[0] - origin, above[1] + resolution_s
    down = below[0] - origin, -below[1] - resolution_s
    steps = _steps(forward, backward, resolution_s)
    lines = _Lines(up, down, ends)
    slopes = lines.slopes()
    lower, upper = float(down[1].max()), float(up[1].min())
    if slopes is None or steps:  # what is sure holds at one time each
        lower, upper = float(down[1].min()), float(up[1].max())
        return ClockBounds(lower, upper, (lower + upper) / 2, steps=steps, even=slopes is not None)
    drift_low, drift_high = slopes
    if lower > upper or drift_low > 0 or drift_high < 0:
        values = lines.values()
        if values is None:
            lower, upper = float(down[1].min()), float(up[1].max())
            return ClockBounds(lower, upper, (lower + upper) / 2, steps=steps, even=False)
        lower, upper = values
    drift = (drift_low + drift_high) / 2
    return ClockBounds(
        lower, upper, (lower + upper) / 2, drift, drift_low, drift_high, steps
    )  # fmt: skip


def _least(packets: Apparent) -> tuple[Floats, Floats] | None:
    """Time and delay in s of the fastest packet in each of many stretches of time."""
    if not len(packets.t_ns):
        return None
    start = int(packets.t_ns.min())
    span = int(packets.t_ns.max()) - start + 1
    piece = (packets.t_ns - start) // -(-span // _PIECES)
    fastest = np.full(_PIECES, np.iinfo(np.int64).max)
    np.minimum.at(fastest, piece, packets.delay_ns)
    rows = np.flatnonzero(packets.delay_ns == fastest[piece])
    rows = rows[np.unique(piece[rows], return_index=True)[1]]
    return packets.t_ns[rows] / 1e9, packets.delay_ns[rows] / 1e9


class _Lines:
    """The lines that pass below all of ``up`` and above all of ``down``.

    The lower convex hulls of the delays of both directions (Moon, Skelly and Towsley 1999), as a
    linear program.
    """

    def __init__(
        self, up: tuple[Floats, Floats], down: tuple[Floats, Floats], span_s: float
    ) -> None:
        self._middle = (float(up[1].min()) + float(down[1].max())) / 2
        far = float(np.abs(up[1] - self._middle).max()), float(np.abs(down[1] - self._middle).max())
        self._scale, self._width = max(*far, 1e-9), max(span_s, 1e-9)
        rows = [np.column_stack([np.ones(len(t)), t / self._width]) for t, _ in (up, down)]
        self._matrix = np.concatenate([rows[0], -rows[1]])
        limits = (up[1] - self._middle) / self._scale, -(down[1] - self._middle) / self._scale
        self._limits = np.concatenate(limits) + 1e-6

    def slopes(self) -> tuple[float, float] | None:
        """The least and the greatest slope; None where there is no such line."""
        found = self._least((0, 1)), self._least((0, -1))
        if found[0] is None or found[1] is None:
            return None
        return found[0] * self._scale / self._width, -found[1] * self._scale / self._width

    def values(self) -> tuple[float, float] | None:
        """The least and the greatest value that any of them takes; None as above."""
        found = [self._least(goal) for goal in ((1, 0), (1, 1), (-1, 0), (-1, -1))]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            return None
        low, high = min(known[:2]), max(-known[2], -known[3])
        return low * self._scale + self._middle, high * self._scale + self._middle

    def _least(self, goal: tuple[int, int]) -> float | None:
        """The least value of the goal over all lines."""
        most = _MOST_DRIFT * self._width / self._scale
        solved = scipy.optimize.linprog(
            goal, A_ub=self._matrix, b_ub=self._limits, bounds=[(None, None), (-most, most)]
        )
        return float(solved.fun or 0.0) if solved.success else None


# ---- steps -----------------------------------------------------------------------------------


def _steps(forward: Apparent, backward: Apparent, resolution_s: float) -> tuple[ClockStep, ...]:
    """Where the offset jumps: both directions' fastest packets move by as much, oppositely.

    The stretch in which it happens belongs to neither side. Of neighbours that all see the same
    step, the one counts whose sides are the most even.
    """
    t_s, upper, lower = _stretches(forward, backward)
    if len(t_s) < 3:
        return ()
    middle = (upper + lower) / 2
    slope = float(np.median(np.diff(middle) / np.diff(t_s)))
    seen = [
        found
        for at in range(1, len(t_s) - 1)
        if (found := _step(at, t_s, lower, upper, slope, resolution_s)) is not None
    ]
    chosen: list[_Seen] = []
    for each in seen:
        if not chosen or each.at - chosen[-1].at > _BESIDE or each.size * chosen[-1].size < 0:
            chosen.append(each)
        elif each.noise < chosen[-1].noise:
            chosen[-1] = each
    return tuple(
        ClockStep(round(float(t_s[each.at]) * 1e9), each.size, each.proven) for each in chosen
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    at: int
    size: float
    noise: float
    proven: bool


def _step(
    at: int, t_s: Floats, lower: Floats, upper: Floats, slope: float, resolution_s: float
) -> _Seen | None:
    """A step inside stretch ``at``: the bounds of both sides exclude each other, or do so nearly.

    Nearly: the middle moves much more than it does on either side, and the round trip does not.
    ``slope``: of the middle, in the median.
    """
    left, right = slice(max(0, at - _BESIDE), at), slice(at + 1, at + 1 + _BESIDE)
    halves = [((upper[side] - lower[side]) / 2).tolist() for side in (left, right)]
    middles = [
        ((upper[side] + lower[side]) / 2 - slope * (t_s[side] - t_s[at])).tolist()
        for side in (left, right)
    ]
    size = statistics.median(middles[1]) - statistics.median(middles[0])
    noise = sum(max(side) - min(side) for side in middles)
    reach = _QUARTZ_DRIFT * float(t_s[right][-1] + t_s[1] - t_s[0] - t_s[left][0]) + resolution_s
    low = [float(lower[side].max()) for side in (left, right)]
    high = [float(upper[side].min()) for side in (left, right)]
    whole = low[0] <= high[0] and low[1] <= high[1]  # neither side has a step of its own
    if whole and (low[1] > high[0] + reach or high[1] < low[0] - reach):
        return _Seen(at, size, noise, True)
    trip = abs(statistics.median(halves[1]) - statistics.median(halves[0]))
    enough = len(middles[0]) == len(middles[1]) == _BESIDE
    clear = abs(size) > max(_STEP_S, 3 * noise, resolution_s) and trip < abs(size) / 4
    return _Seen(at, size, noise, False) if enough and clear else None


def _stretches(forward: Apparent, backward: Apparent) -> tuple[Floats, Floats, Floats]:
    """Start and bounds of the offset, for each of some stretches of time; shape ``(k,)`` each."""
    both = (forward, backward)
    start = max(int(each.t_ns.min()) for each in both)
    end = min(int(each.t_ns.max()) for each in both) + 1
    fewest = min(len(each.t_ns) for each in both)
    count = min(_STRETCHES, fewest // _LEAST)
    if count < 2 or end - start < count:
        none = np.zeros(0)
        return none, none, none
    width = -(-(end - start) // count)
    least = []
    for each in both:
        inside = (each.t_ns >= start) & (each.t_ns < end)
        place, delay = (each.t_ns[inside] - start) // width, each.delay_ns[inside] / 1e9
        bound = np.full(count, math.inf)
        np.minimum.at(bound, place, delay)
        bound[np.bincount(place, minlength=count) < _LEAST] = math.inf
        least.append(bound)
    known = np.flatnonzero(np.isfinite(least[0]) & np.isfinite(least[1]))
    return (start + known * width) / 1e9, least[0][known], -least[1][known]
