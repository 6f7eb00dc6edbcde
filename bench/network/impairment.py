"""An impairment: the complete state of one direction of a link, as frozen data.

What no backend can reproduce faithfully is refused here with the reason and the alternative,
never silently distorted; what one backend cannot, that backend refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.errors import InputError
from bench.network.delays import Delay, DelayLaw
from bench.network.loss import FourState, GilbertElliott, LossModel, bernoulli

__all__ = [
    "CLEAN",
    "DIRECTIONS",
    "FRAMING_BYTES",
    "Delay",
    "DelayLaw",
    "Direction",
    "FourState",
    "GilbertElliott",
    "Impairment",
    "LossModel",
    "OrderPolicy",
    "Reordering",
    "Slot",
    "bernoulli",
]

Direction = Literal["to-patient", "to-doctor"]
"""Directions of a link are named by where the packets go."""

DIRECTIONS: tuple[Direction, Direction] = ("to-patient", "to-doctor")

OrderPolicy = Literal["preserve", "allow"]

FRAMING_BYTES = 24
"""Ethernet framing that the rate of a link pays per frame beyond the captured bytes:
preamble and start of frame (8), frame check sequence (4), inter-packet gap (12);
IEEE 802.3 clauses 3 and 4."""

ETHERNET_BYTES = 14
"""What the captured bytes of an IP packet hold beside it: IEEE 802.3 clause 3."""

LEAST_MTU_BYTES = 68
"""Every module must be able to forward a packet of so many bytes (RFC 791, section 3.2)."""

NO_DELAY = Delay()

_FULL_FRAME_BITS = 8 * (1514 + FRAMING_BYTES)


@dataclass(frozen=True, slots=True)
class Reordering:
    """Packets that skip the delay and so overtake those that wait (RFC 4737 counts them).

    Every ``gap``-th packet at most is a candidate (counted from the last one that skipped); a
    candidate skips with probability ``ratio``.
    """

    ratio: float
    gap: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1 or self.gap < 1:
            raise InputError(
                "needs a ratio from 0 to 1 and a gap of 1 packet or more",
                remedy="give the share of packets that skip the delay",
                field="reordering",
                value=(self.ratio, self.gap),
            )


@dataclass(frozen=True, slots=True)
class Slot:
    """Scheduled access: packets leave together in slots.

    Slots are drawn evenly ``low_s`` to ``high_s`` apart and take at most ``packets`` and
    ``bytes`` (captured) each; 0 is no bound.
    A slot begins that long after the first packet for which the one before is past or full.
    """

    low_s: float
    high_s: float
    packets: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.low_s <= self.high_s < 1e3 or self.packets < 0 or self.bytes < 0:
            raise InputError(
                "needs 0 < low <= high (s) and bounds of zero or more",
                remedy="give the least and the largest distance of two slots",
                field="slot",
                value=(self.low_s, self.high_s, self.packets, self.bytes),
            )


@dataclass(frozen=True, slots=True)
class Impairment:
    """The complete state of one direction of a link.

    ``order``: ``preserve`` (the default) never lets a packet overtake another; a packet whose own
    delay would let it overtake leaves right behind its predecessor. ``allow`` lets it overtake.
    ``duplication``: probability that a packet that is not lost comes twice; the copy takes a
    place of its own right behind it, with its own delay. ``reordering`` needs a delay and
    ``order = "allow"``. ``ber``: independent bit errors in the captured bytes; a damaged packet is
    delivered damaged. ``rate_bps`` counts captured bytes plus ``framing_bytes`` per frame;
    ``queue_s`` bounds the time a packet may wait for the rate and ``queue_packets`` how many
    may wait or be in service (tail drop). ``slot``: scheduled access. ``up`` false drops
    everything. ``mtu_bytes``: longer IP packets vanish without a word, as in a path MTU discovery
    black hole (RFC 2923, section 2.1); None: none does. ``hold`` queues
    everything until the first later change without ``hold`` and then releases it as a burst.
    """

    delay: Delay = NO_DELAY
    order: OrderPolicy = "preserve"
    loss: LossModel | None = None
    rate_bps: float | None = None
    queue_s: float = 0.2
    up: bool = True
    hold: bool = False
    duplication: float = 0.0
    reordering: Reordering | None = None
    ber: float = 0.0
    framing_bytes: int = FRAMING_BYTES
    queue_packets: int | None = None
    slot: Slot | None = None
    mtu_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.mtu_bytes is not None and self.mtu_bytes < LEAST_MTU_BYTES:
            raise InputError(
                f"is below {LEAST_MTU_BYTES} bytes, which every IPv4 link carries (RFC 791)",
                remedy="give the longest IP packet that passes, or take the link down",
                field="mtu_bytes",
                value=self.mtu_bytes,
            )
        self._check_rate()
        self._check_ratios()
        self._check_order()
        if self.hold and not self.up:
            raise InputError(
                "a link cannot both hold and drop",
                remedy="choose up = false (drop) or hold = true (queue and release)",
                field="hold",
                value=True,
            )

    def _check_rate(self) -> None:
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
        if self.framing_bytes < 0:
            raise InputError(
                "framing cannot be negative",
                remedy="give the bytes a frame costs beyond the captured ones (Ethernet: 24)",
                field="framing_bytes",
                value=self.framing_bytes,
            )
        if self.queue_packets is None:
            return
        if self.rate_bps is None or self.queue_packets < 1:
            raise InputError(
                "a queue in packets needs a rate, and one place or more",
                remedy="give a rate, or leave the queue out",
                field="queue_packets",
                value=self.queue_packets,
            )
        in_flight = self.rate_bps * self.delay.mean_s / _FULL_FRAME_BITS
        if self.queue_packets < in_flight:
            raise InputError(
                "is smaller than rate x delay: a queue that also holds the packets in flight, as "
                "the kernel's does, would drop them silently",
                remedy=f"give {int(in_flight) + 1} or more full-size packets, or bound the waiting "
                "time for the rate alone (queue in seconds)",
                field="queue_packets",
                value=self.queue_packets,
            )

    def _check_ratios(self) -> None:
        for name in ("duplication", "ber"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(
                    "is not from 0 to below 1", remedy="give a ratio", field=name, value=value
                )

    def _check_order(self) -> None:
        if self.reordering is not None and (self.order != "allow" or not self.delay.mean_s):
            raise InputError(
                "packets overtake only where there is a delay to skip and order may be given up",
                remedy='give a delay and order = "allow"',
                field="reordering",
                value=self.order,
            )
        if self.slot is not None and self.order != "preserve":
            raise InputError(
                "scheduled access sends in order",
                remedy='use order = "preserve", or leave the slot out',
                field="slot",
                value=self.order,
            )

    @property
    def most_captured_bytes(self) -> int | None:
        """The longest frame that passes, as a tap captures it, without a VLAN tag."""
        return None if self.mtu_bytes is None else self.mtu_bytes + ETHERNET_BYTES

    @property
    def loss_ratio(self) -> float:
        """The stationary share of packets that the loss model (or a link that is down) takes."""
        if not self.up:
            return 1.0
        return self.loss.ratio if self.loss is not None else 0.0

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
        if self.duplication:
            parts.append(f"duplication {self.duplication:.3g}")
        if self.reordering is not None:
            parts.append(f"reordering {self.reordering.ratio:.3g}")
        if self.ber:
            parts.append(f"BER {self.ber:.3g}")
        if self.rate_bps is not None:
            parts.append(f"{self.rate_bps / 1e6:.4g} Mbit/s")
        if self.mtu_bytes is not None:
            parts.append(f"longer than {self.mtu_bytes} B lost")
        if self.slot is not None:
            parts.append(f"slots {self.slot.low_s * 1e3:.3g}-{self.slot.high_s * 1e3:.3g} ms")
        if self.order == "allow":
            parts.append("order not kept")
        return ", ".join(parts)


CLEAN = Impairment()
"""A link that does nothing."""
