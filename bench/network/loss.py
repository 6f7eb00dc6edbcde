"""Loss models: which packets of one link direction are lost, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError


def _probabilities(model: Any) -> None:
    for item in fields(model):
        value = getattr(model, item.name)
        if not 0 <= value <= 1:
            raise InputError(
                "is outside 0 to 1",
                remedy="give a probability",
                field=f"loss.{item.name}",
                value=value,
            )


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Two-state loss model, one step per packet (Gilbert 1960, Elliott 1963).

    ``p_good_to_bad`` and ``p_bad_to_good`` are the transition probabilities per packet;
    ``loss_good`` and ``loss_bad`` the loss probability inside each state. Bernoulli loss is the
    model that never leaves the good state.
    """

    p_good_to_bad: float
    p_bad_to_good: float
    loss_good: float = 0.0
    loss_bad: float = 1.0

    def __post_init__(self) -> None:
        _probabilities(self)

    @property
    def ratio(self) -> float:
        """The stationary loss ratio."""
        total = self.p_good_to_bad + self.p_bad_to_good
        bad = self.p_good_to_bad / total if total else 0.0
        return bad * self.loss_bad + (1 - bad) * self.loss_good

    @property
    def effect(self) -> float:
        """Design effect of the losses: variance of their number over the binomial one; >= 1."""
        if not self.p_good_to_bad or not self.p_bad_to_good:
            return 1.0
        loss = self.ratio
        follow = 1 - self.p_good_to_bad - self.p_bad_to_good
        if not 0 < loss < 1:
            return 1.0
        bad = self.p_good_to_bad / (self.p_good_to_bad + self.p_bad_to_good)
        share = bad * (1 - bad) * (self.loss_bad - self.loss_good) ** 2 / (loss * (1 - loss))
        return max(1.0, 1 + 2 * share * follow / (1 - follow))


def bernoulli(loss: float) -> GilbertElliott:
    """Independent loss with probability ``loss`` per packet."""
    return GilbertElliott(0.0, 1.0, loss_good=loss, loss_bad=0.0)


@dataclass(frozen=True, slots=True)
class FourState:
    """Four-state Markov loss model (Salsano, Ludovici, Ordine 2012; netem ``loss state``).

    States: 1 received in a gap, 2 received in a burst, 3 lost in a burst, 4 lost alone in a gap.
    One step per packet: 1 → 3 with ``p13``, 1 → 4 with ``p14``, 3 → 1 with ``p31``, 3 → 2 with
    ``p32``, 2 → 3 with ``p23``; 4 always goes back to 1.
    """

    p13: float
    p31: float
    p32: float = 0.0
    p23: float = 1.0
    p14: float = 0.0

    def __post_init__(self) -> None:
        _probabilities(self)
        for names in (("p13", "p14"), ("p31", "p32")):
            if sum(getattr(self, name) for name in names) > 1 + 1e-12:
                raise InputError(
                    "the ways out of one state add up to more than 1",
                    remedy=f"lower {names[0]} or {names[1]}",
                    field=f"loss.{names[0]} + loss.{names[1]}",
                    value=sum(getattr(self, name) for name in names),
                )

    def _step(self) -> NDArray[np.float64]:
        """Transition probabilities between states 1 to 4; shape (4, 4)."""
        return np.array(
            [
                [1 - self.p13 - self.p14, 0.0, self.p13, self.p14],
                [0.0, 1 - self.p23, self.p23, 0.0],
                [self.p31, self.p32, 1 - self.p31 - self.p32, 0.0],
                [1.0, 0.0, 0.0, 0.0],
            ]
        )

    def _stationary(self) -> NDArray[np.float64]:
        """Long-run share of each state, from state 1; shape (4,)."""
        # Averaged with staying, a chain that alternates settles too.
        return np.asarray(np.linalg.matrix_power((self._step() + np.eye(4)) / 2, 1 << 20)[0])

    @property
    def ratio(self) -> float:
        """The stationary loss ratio, from state 1."""
        share = self._stationary()
        return float(share[2] + share[3])

    @property
    def effect(self) -> float:
        """Design effect of the losses: variance of their number over the binomial one; >= 1.

        By the fundamental matrix of the chain (Kemeny and Snell 1960, chapter 4).
        """
        share, loss = self._stationary(), self.ratio
        if not 0 < loss < 1:
            return 1.0
        around = np.array([0.0, 0.0, 1.0, 1.0]) - loss
        fundamental = np.linalg.pinv(np.eye(4) - self._step() + np.outer(np.ones(4), share))
        follow = float(share * around @ (fundamental - np.eye(4)) @ around)
        return max(1.0, 1 + 2 * follow / (loss * (1 - loss)))


LossModel = GilbertElliott | FourState
