"""What an event does to a link direction, relative to the state that the link is in.

An effect is data; :meth:`Effect.settle` replaces what is to be drawn by numbers, and
:meth:`Effect.apply` gives the impairment. So one event fits every link, and a second one starts
from what the first has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.network.drawn import Between
from bench.network.impairment import Delay, Impairment, LossModel, bernoulli

DELAY_KEPT = 0.5
"""A drawn shift leaves at least this share of the delay: its range is cut before the draw."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A change of one link direction.

    ``delay_s`` replaces the mean delay, ``delay_factor`` and ``delay_shift_s`` act on it; the law
    keeps its spread as far as it stays above zero. ``rate_bps`` replaces the rate, else
    ``rate_factor`` acts on it. ``loss``: independent loss in place of the link's own
    (a loss model as it is); None keeps it. ``duplication`` likewise. ``hold``: queue, then release
    as a burst; ``up`` false: drop; None keeps both. ``fields`` replaces fields of the impairment
    by name. ``of``: whether it acts on the ``lasting`` state of the link (the one that no passing
    segment has touched) or on the one in force (``now``).
    """

    delay_s: float | None = None
    delay_factor: float | Between = 1.0
    delay_shift_s: float | Between = 0.0
    rate_factor: float | Between = 1.0
    rate_bps: float | None = None
    loss: float | Between | LossModel | None = None
    duplication: float | Between | None = None
    hold: bool | None = None
    up: bool | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    of: str = "lasting"

    @property
    def drawn(self) -> Mapping[str, Between]:
        """What is still to be drawn, by field."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: value for name, value in values if isinstance(value, Between)}

    def settle(
        self, rng: np.random.Generator, least_delay_s: float
    ) -> tuple[Effect, list[tuple[str, float]]]:
        """Draw what is to be drawn.

        Args:
            rng: where the draws come from.
            least_delay_s: the shortest mean delay of the directions that it acts on, s.

        Returns:
            The effect with numbers, and each draw by field.
        """
        draws = []
        for name, law in self.drawn.items():
            if name == "delay_shift_s":
                least_s = -(1 - DELAY_KEPT) * least_delay_s
                law = Between(max(law.low, least_s), max(law.high, least_s))
            draws.append((name, law.draw(rng)))
        return replace(self, **dict(draws)) if draws else self, draws  # type: ignore[arg-type]

    def apply(self, before: Impairment) -> Impairment:
        """The impairment that this effect makes of ``before``; the effect must be settled.

        Raises:
            InputError: a factor on a link that has no delay or no rate, or a state that is none.
        """
        changes: dict[str, Any] = dict(self.fields)
        delay = changes.get("delay", before.delay)
        if self.delay_s is not None:
            delay = changes["delay"] = moved(delay, self.delay_s)
        if self.delay_factor != 1.0 or self.delay_shift_s != 0.0:
            changes["delay"] = self._delay(delay)
        changes |= self._rate(changes.get("rate_bps", before.rate_bps))
        if self.loss is not None:
            loss = self.loss
            changes["loss"] = bernoulli(loss) if isinstance(loss, float | int) else loss
        if self.duplication is not None:
            changes["duplication"] = self.duplication
        changes |= {
            name: value for name, value in (("hold", self.hold), ("up", self.up))
            if value is not None
        }  # fmt: skip
        return before.with_(**changes)

    def _delay(self, delay: Delay) -> Delay:
        assert not isinstance(self.delay_factor, Between)
        assert not isinstance(self.delay_shift_s, Between)
        if self.delay_factor != 1.0 and not delay.mean_s:
            raise InputError(
                "the link has no delay that an event could multiply",
                remedy="give the link a delay, or the phase a delay_shift",
                field="delay_factor",
                value=self.delay_factor,
            )
        mean_s = delay.mean_s * self.delay_factor + self.delay_shift_s
        return moved(delay, mean_s)

    def _rate(self, rate_bps: float | None) -> dict[str, Any]:
        assert not isinstance(self.rate_factor, Between)
        if self.rate_bps is not None:
            return {"rate_bps": self.rate_bps}
        if self.rate_factor == 1.0:
            return {}
        if rate_bps is None:
            raise InputError(
                "the link has no rate that an event could lower",
                remedy="give the link a rate, or the phase a rate of its own",
                field="rate_factor",
                value=self.rate_factor,
            )
        return {"rate_bps": rate_bps * self.rate_factor}

    def describe(self) -> str:
        """One short line for people."""
        if self.up is False:
            return "down (drop)"
        parts = ["hold, then release"] if self.hold else []
        if self.delay_s is not None:
            parts.append(f"delay {self.delay_s * 1e3:.4g} ms")
        parts += _words("delay ×", self.delay_factor, 1.0)
        parts += _words("delay + ms ", self.delay_shift_s, 0.0, 1e3)
        parts += _words("rate ×", self.rate_factor, 1.0)
        if self.rate_bps is not None:
            parts.append(f"{self.rate_bps / 1e6:.4g} Mbit/s")
        if isinstance(self.loss, float | int | Between):
            parts += _words("loss ", self.loss, None)
        elif self.loss is not None:
            parts.append(f"loss {self.loss.ratio:.3g}")
        if self.duplication is not None:
            parts += _words("duplication ", self.duplication, 0.0)
        parts += [name for name, _ in self.fields]
        return ", ".join(parts) or "as before the event"


def moved(delay: Delay, mean_s: float) -> Delay:
    """The same law at another mean; its spread is cut where it would reach below zero.

    A quarter of the mean keeps every law above zero, and so does its share of the mean before.
    """
    if mean_s >= delay.mean_s:
        return replace(delay, mean_s=mean_s)
    share_s = delay.spread_s * mean_s / delay.mean_s
    spread_s = max(min(delay.spread_s, mean_s / 4), share_s)
    return replace(delay, mean_s=mean_s, spread_s=spread_s)


def _words(name: str, value: float | Between, plain: float | None, scale: float = 1.0) -> list[str]:
    if isinstance(value, Between):
        return [f"{name}{value.low * scale:.3g} to {value.high * scale:.3g}"]
    return [] if value == plain else [f"{name}{value * scale:.4g}"]
