"""Sequential test of a probability (Wald 1945): it ends as soon as the evidence suffices.

The true probability is ``good`` or less, or ``bad`` or more. ``alpha``: risk of rejecting the
good one; ``beta``: risk of accepting the bad one. Wald's bounds hold both within α / (1 − β) and
β / (1 − α), and their sum within α + β. At ``most`` samples the test is cut off undecided, which
rejects and accepts nobody: the two risks cannot grow by it, only decisions are lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

Decision = Literal["accept", "reject", "undecided"]


@dataclass(frozen=True, slots=True)
class Sprt:
    """A plan, fixed before the first sample.

    Raises:
        ValueError: not 0 < ``good`` < ``bad`` < 1, or risks that are none.
    """

    good: float
    bad: float
    alpha: float = 0.05
    beta: float = 0.05
    most: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.good < self.bad < 1:
            raise ValueError(f"{self.good} and {self.bad} are no probabilities in rising order")
        if not (0 < self.alpha < 0.5 and 0 < self.beta < 0.5):
            raise ValueError("each risk must lie between 0 and 0.5")

    @property
    def _event(self) -> float:
        """What an event adds to the log likelihood ratio."""
        return math.log(self.bad / self.good)

    @property
    def _plain(self) -> float:
        """What a sample without event takes from it."""
        return math.log((1 - self.good) / (1 - self.bad))

    @property
    def _reject(self) -> float:
        return math.log((1 - self.beta) / self.alpha)

    @property
    def _accept(self) -> float:
        return math.log((1 - self.alpha) / self.beta)

    def accepts_at(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples after which so many events are accepted; the same shape as ``events``."""
        plain = (self._accept + events * self._event) / self._plain
        return np.asarray(np.ceil(plain + events - 1e-9), dtype=np.int64)

    def rejects_until(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples within which so many events are rejected; negative: never yet."""
        plain = (events * self._event - self._reject) / self._plain
        return np.asarray(np.floor(plain + events + 1e-9), dtype=np.int64)

    def run(self, at: NDArray[np.int64], n: int) -> tuple[Decision, int]:
        """Where the test ends on a sample.

        Args:
            at: 1-based places of the events, ascending.
            n: how many samples there are.

        Returns:
            The decision and the samples that it took.
        """
        n = n if self.most is None else min(n, self.most)
        at = at[at <= n]
        counts = np.arange(len(at) + 1)
        rejected = np.flatnonzero(at <= self.rejects_until(counts[1:]))
        # Accepted while k events have come: before the next one comes.
        ends = np.append(at, n + 1)
        accepted = np.flatnonzero(self.accepts_at(counts) < ends)
        reject = int(at[rejected[0]]) if len(rejected) else n + 1
        accept = int(self.accepts_at(counts[accepted[0]])) if len(accepted) else n + 1
        if min(reject, accept) > n:
            return "undecided", n
        return ("reject", reject) if reject < accept else ("accept", accept)

    def expected_n(self, true: float) -> float:
        """Samples to the decision on average (Wald's approximation), cut-off left aside."""
        drift = true * self._event - (1 - true) * self._plain
        accepts = self._accepts(true)
        if abs(drift) < 1e-12 * self._event:
            spread = true * self._event**2 + (1 - true) * self._plain**2
            return self._accept * self._reject / spread
        return ((1 - accepts) * self._reject - accepts * self._accept) / drift

    def _accepts(self, true: float) -> float:
        """Share of tests that accept (operating characteristic), by Wald's parameter h."""
        if not 0 < true < 1:
            return 1.0 if true <= 0 else 0.0
        h = _wald_h(true, self._event, -self._plain)
        if abs(h) < 1e-9:
            return self._reject / (self._reject + self._accept)
        top, bottom = math.exp(h * self._reject), math.exp(-h * self._accept)
        return (top - 1) / (top - bottom)


def _wald_h(p: float, up: float, down: float) -> float:
    """The other root of p·e^(h·up) + (1 − p)·e^(h·down) = 1."""

    def excess(h: float) -> float:
        return p * math.expm1(h * up) + (1 - p) * math.expm1(h * down)

    drift = p * up + (1 - p) * down
    if abs(drift) < 1e-12 * up:
        return 0.0
    sign = 1.0 if drift < 0 else -1.0
    far = sign / up
    while excess(far) < 0:
        far *= 2
    return float(scipy.optimize.brentq(excess, 1e-9 * far, far))
