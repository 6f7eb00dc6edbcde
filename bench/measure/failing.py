"""Where a device fails as interference grows: an adaptive search over one column of levels.

A column is one signal at one offset and duty cycle, at ascending levels. The device is taken to
be monotone: the more interference, the likelier it fails. How likely follows a logistic curve
over the level whose middle (the boundary) and width are not known; a trial now and then comes out
otherwise. The search goes up in steps until the device fails. After each trial it holds the
probability of each boundary and width (the Ψ method of Kontsevich and Tyler 1999), and from the
first failure on it asks at the level that is expected to tell most of the boundary. What the
assumption rests on is probed, too: no gap between tried levels stays wider than a step, and a
device that works at a higher level than one at which it fails is looked at level by level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special

Respond = Callable[[int], bool | None]
"""One trial at a level, by its place in the column: whether the device failed; None: nothing was
shown (its stimulus was not verified)."""

WIDTHS = ((0.02, 0.7), (0.3, 0.1), (0.7, 0.1), (1.5, 0.05), (3.0, 0.05))
"""Widths of the curve that are thought of, in levels, and how likely each is beforehand: most
devices fail sharply."""

LAPSE = 0.01
"""A trial comes out otherwise than the curve says with this probability, whatever the level."""

FINENESS = 4
"""Places of the boundary that are told apart between two levels."""

REPEATS = 3
"""Further trials of each of two levels that contradict each other."""

TRIES = 3
"""Trials of a level at most, where they show nothing."""

NOISY_RISK = 1 / 4
"""Where trials contradict each other, the width of the curve matters, of which little is known:
only this share of the risk is taken then."""

GAP_SHARE = 6
"""No gap between tried levels is left wider than this share of the column (a sixth), or three
levels: a device that fails over as many, works again over as many and then fails is noticed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: the place of its level in the column, and whether the device failed there."""

    place: int
    failed: bool | None


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a device begins to fail in a column of ``count`` levels.

    ``kept``: place of the highest level below the boundary; −1: it fails at the lowest.
    ``fails``: place of the lowest level above it; ``count``: it fails at none. The boundary lies
    between the two with probability ``confidence``, if the device is monotone. ``monotone`` false:
    every level was tried, and ``fails`` is the lowest at which it failed. ``problem``: why nothing
    is known.
    """

    count: int
    kept: int
    fails: int
    confidence: float
    monotone: bool
    trials: tuple[Trial, ...]
    problem: str = ""

    @property
    def points(self) -> int:
        """Trials that it took."""
        return len(self.trials)

    @property
    def saved(self) -> float:
        """Share of the trials of the full column that it did not take; negative: it took more."""
        return 1.0 - self.points / self.count


class _NothingShown(Exception):
    """A level at which no trial showed anything."""


@dataclass
class _Column:
    """The trials of a column as they come."""

    count: int
    respond: Respond
    trials: list[Trial]

    def ask(self, place: int) -> bool:
        for _ in range(TRIES):
            failed = self.respond(place)
            self.trials.append(Trial(place, failed))
            if failed is not None:
                return failed
        raise _NothingShown(f"nothing was shown at level {place + 1} in {TRIES} trials")

    def tried(self, place: int) -> list[bool]:
        return [t.failed for t in self.trials if t.place == place and t.failed is not None]

    def share(self, place: int) -> float | None:
        found = self.tried(place)
        return sum(found) / len(found) if found else None

    @property
    def contradicted(self) -> bool:
        """Whether the device failed at a level and worked at the same or a higher one."""
        failed = [t.place for t in self.trials if t.failed is True]
        kept = [t.place for t in self.trials if t.failed is False]
        return bool(failed and kept) and min(failed) <= max(kept)


def search(count: int, respond: Respond, confidence: float = 0.95) -> Boundary:
    """Find where the device begins to fail in a column of ``count`` ascending levels.

    Args:
        count: levels, two or more.
        respond: carries out one trial.
        confidence: that the boundary lies in the interval that is given.

    Returns:
        The boundary. Where nothing was shown at a level its ``problem`` says so, and the interval
        is the whole column.
    """
    column = _Column(count, respond, [])
    try:
        return _search(column, confidence)
    except _NothingShown as reason:
        return Boundary(count, -1, count, 0.0, True, tuple(column.trials), str(reason))


def _search(column: _Column, confidence: float) -> Boundary:
    belief = _Belief(column.count)
    checked = False
    learnt = 0
    while True:
        for trial in column.trials[learnt:]:
            belief.learn(trial)
        learnt = len(column.trials)
        if column.contradicted and not checked:
            checked = True
            if _not_monotone(column):
                return full(column.count, column.respond, tuple(column.trials))
            continue
        wanted = 1 - (1 - confidence) * (NOISY_RISK if column.contradicted else 1)
        kept, fails = belief.interval(wanted)
        if fails - kept <= 1 or learnt >= column.count:
            place = _unprobed(column)
            if place is None:
                return Boundary(column.count, kept, fails, confidence, True, tuple(column.trials))
        else:
            place = _upward(column)
            if place is None:
                place = belief.most_telling()
        column.ask(place)


@cache
def most_points(count: int, confidence: float = 0.95) -> int:
    """Trials that a column takes at most of a device that fails sharply, wherever it does.

    What it takes grows with the logarithm of ``count``; to reckon it with the cube.
    """
    return max(
        search(count, lambda place, first=first: place >= first, confidence).points  # type: ignore[misc]
        for first in range(count + 1)
    )


class _Belief:
    """Probability of each boundary and width, array of shape (widths, boundaries)."""

    def __init__(self, count: int) -> None:
        self.count = count
        step = 1 / FINENESS
        self.at = np.arange(-1 + step / 2, count, step)
        widths = np.array([width for width, _ in WIDTHS])
        prior = np.array([share for _, share in WIDTHS])
        self.held = np.outer(prior, np.full(len(self.at), 1 / len(self.at)))
        away = np.arange(count)[None, None, :] - self.at[None, :, None]
        curve = special.expit(away / widths[:, None, None])
        self.fails = LAPSE + (1 - 2 * LAPSE) * curve

    def learn(self, trial: Trial) -> None:
        if trial.failed is None:
            return
        likely = self.fails[:, :, trial.place]
        self.held = self.held * (likely if trial.failed else 1 - likely)
        self.held /= self.held.sum()

    def interval(self, confidence: float) -> tuple[int, int]:
        """The fewest levels in a row between which the boundary lies with the wanted confidence."""
        places = self.held.sum(axis=0).reshape(self.count + 1, FINENESS).sum(axis=1)
        sums = np.concatenate(([0.0], np.cumsum(places)))
        for width in range(1, self.count + 1):
            held = sums[width:] - sums[: self.count + 2 - width]
            best = int(np.argmax(held))
            if held[best] >= confidence:
                return best - 1, best + width - 1
        return -1, self.count

    def most_telling(self) -> int:
        """The level after whose trial the least is expected to be left open of the boundary."""
        failed = self.held[:, :, None] * self.fails
        kept = self.held[:, :, None] - failed
        left = sum(
            part.sum(axis=(0, 1)) * _entropy(part.sum(axis=0) / part.sum(axis=(0, 1)))
            for part in (failed, kept)
        )
        return int(np.argmin(left))


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each column, in nats."""
    return np.asarray(special.entr(shares).sum(axis=0))


def _upward(column: _Column) -> int | None:
    """The next level on the way up; None: the device has failed, or the top was passed."""
    if any(trial.failed for trial in column.trials):
        return None
    place = max((trial.place for trial in column.trials), default=-1) + _widest(column.count)
    return place if place < column.count else None


def _widest(count: int) -> int:
    """The widest gap between tried levels that may be left, in levels."""
    return max(3, count // GAP_SHARE)


def _unprobed(column: _Column) -> int | None:
    """The top; or a level that divides the widest gap between tried ones, if it is too wide."""
    tried = sorted({trial.place for trial in column.trials})
    top = column.count - 1
    if tried[-1] < top:
        return top
    width, start = max((b - a, a) for a, b in pairwise([-1, *tried]))
    parts = -(-width // _widest(column.count))
    return start + round(width / parts) if parts > 1 else None


def _not_monotone(column: _Column) -> bool:
    """Whether a low level fails and a higher one works, each time that they are tried again."""
    low = min(t.place for t in column.trials if t.failed is True)
    high = max(t.place for t in column.trials if t.failed is False)
    if low == high:
        return False
    for place in (low, high):
        for _ in range(REPEATS):
            column.ask(place)
    low_share, high_share = column.share(low), column.share(high)
    return (low_share, high_share) == (1.0, 0.0)


def full(count: int, respond: Respond, before: Sequence[Trial] = ()) -> Boundary:
    """Every level of a column, once where it was not tried before."""
    column = _Column(count, respond, list(before))
    try:
        for place in range(count):
            if not column.tried(place):
                column.ask(place)
    except _NothingShown as reason:
        return Boundary(count, -1, count, 0.0, False, tuple(column.trials), str(reason))
    shares = [column.share(place) or 0.0 for place in range(count)]
    failing = [place for place, share in enumerate(shares) if share >= 0.5]
    fails = min(failing, default=count)
    monotone = failing == list(range(fails, count))
    return Boundary(count, fails - 1, fails, 1.0, monotone, tuple(column.trials))
