"""An impairment: the complete state of one direction of a link, as frozen data.

What a backend cannot reproduce faithfully is refused here with the reason and the alternative,
never silently distorted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.errors import InputError

Direction = Literal["to-patient", "to-doctor"]
"""Directions of a link are named by where the packets go."""

DIRECTIONS: tuple[Direction, Direction] = ("to-patient", "to-doctor")

DelayLaw = Literal["constant", "uniform", "normal"]
OrderPolicy = Literal["preserve", "allow"]

FRAMING_BYTES = 24
"""Ethernet framing that the rate of a link pays per frame beyond the captured bytes:
preamble and start of frame (8), frame check sequence (4), inter-packet gap (12);
IEEE 802.3 clauses 3 and 4."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One-way delay law.

    ``constant``: ``mean_s``. ``uniform``: ``mean_s`` ± ``spread_s`` (half width).
    ``normal``: mean and standard deviation ``spread_s``, truncated at zero and at ± 4 σ.
    """

    mean_s: float = 0.0
    law: DelayLaw = "constant"
    spread_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.mean_s < math.inf and 0 <= self.spread_s < math.inf):
            raise InputError(
                "is negative or no number",
                remedy="give zero or more",
                field="delay",
                value=(self.mean_s, self.spread_s),
            )
        if self.law == "constant" and self.spread_s:
            raise InputError(
                "a constant delay has no jitter",
                remedy="choose the law uniform or normal",
                field="delay.law",
                value=self.law,
            )
        if self.law == "uniform" and self.spread_s > self.mean_s:
            raise InputError(
                "jitter is larger than the delay, which would cut the law at zero",
                remedy="raise the delay or lower the jitter",
                field="delay.spread_s",
                value=self.spread_s,
            )
        if self.law == "normal" and 3 * self.spread_s > self.mean_s:
            raise InputError(
                "three standard deviations are larger than the delay, which would cut the law",
                remedy="raise the delay, lower the jitter, or use the uniform law",
                field="delay.spread_s",
                value=self.spread_s,
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
        for name in ("p_good_to_bad", "p_bad_to_good", "loss_good", "loss_bad"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(
                    "is outside 0 to 1",
                    remedy="give a probability",
                    field=f"loss.{name}",
                    value=value,
                )

    @property
    def ratio(self) -> float:
        """The stationary loss ratio."""
        total = self.p_good_to_bad + self.p_bad_to_good
        bad = self.p_good_to_bad / total if total else 0.0
        return bad * self.loss_bad + (1 - bad) * self.loss_good


def bernoulli(loss: float) -> GilbertElliott:
    """Independent loss with probability ``loss`` per packet."""
    return GilbertElliott(0.0, 1.0, loss_good=loss, loss_bad=0.0)


@dataclass(frozen=True, slots=True)
class Impairment:
    """The complete state of one direction of a link.

    ``order``: ``preserve`` (the default) never lets a packet overtake another; a packet whose own
    delay would let it overtake leaves right behind its predecessor. ``allow`` lets it overtake.
    ``rate_bps`` counts captured bytes plus :data:`FRAMING_BYTES`; ``queue_s`` bounds the time a
    packet may wait for the rate (tail drop). ``up`` false drops everything. ``hold`` queues
    everything until the first later change without ``hold`` and then releases it as a burst.
    """

    delay: Delay = Delay()
    order: OrderPolicy = "preserve"
    loss: GilbertElliott | None = None
    rate_bps: float | None = None
    queue_s: float = 0.2
    up: bool = True
    hold: bool = False

    def __post_init__(self) -> None:
        if self.rate_bps is not None and self.rate_bps <= 0:
            raise InputError(
                "a rate must be positive",
                remedy="leave the rate out, or take the link down instead",
                field="rate_bps",
                value=self.rate_bps,
            )
        if self.queue_s <= 0:
            raise InputError(
                "a queue must be positive",
                remedy="give the longest waiting time in seconds",
                field="queue_s",
                value=self.queue_s,
            )
        if self.hold and not self.up:
            raise InputError(
                "a link cannot both hold and drop",
                remedy="choose up = false (drop) or hold = true (queue and release)",
                field="hold",
                value=True,
            )

    def with_(self, **changes: Any) -> Impairment:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def describe(self) -> str:
        """One short line for people."""
        if not self.up:
            return "down (drop)"
        if self.hold:
            return "hold, then release"
        parts = [f"{self.delay.mean_s * 1e3:.4g} ms"]
        if self.delay.spread_s:
            parts.append(f"± {self.delay.spread_s * 1e3:.3g} ms {self.delay.law}")
        if self.loss is not None:
            parts.append(f"loss {self.loss.ratio:.3g}")
        if self.rate_bps is not None:
            parts.append(f"{self.rate_bps / 1e6:.4g} Mbit/s")
        if self.order == "allow":
            parts.append("order not kept")
        return ", ".join(parts)


CLEAN = Impairment()
"""A link that does nothing."""
