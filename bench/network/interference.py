"""From a reception to an impairment: what a disturbed radio makes of the link that it carries.

The radio is one of the device's. What spoils its receiver spoils both directions of its link:
what it sends needs the acknowledgements and grants that it receives. Retransmissions are taken to
be independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.network.effects import Effect, moved
from bench.network.impairment import DIRECTIONS, Direction, Impairment, bernoulli
from bench.network.radio.exposure import Radio
from bench.network.radio.receivers import TECHNOLOGIES, Reception

LEAST_RATE_BPS = 1e3
"""A link below this rate carries nothing."""

_LEAST_LOSS = 1e-9
"""Less is no loss that any session shows."""


def impairment_of(reception: Reception, before: Impairment, radio: Radio) -> Impairment:
    """The state of a link direction whose radio receives so.

    Args:
        reception: of the device's radio, with the interferers.
        before: the state of the direction as the rest of the network gives it.
        radio: of the device: its packets and how often it sends one again.

    Returns:
        ``before`` with the rate that the radio leaves, the packets that it loses after its last
        retransmission, and the time that retransmissions take on average; down where nothing
        gets through.
    """
    ratio = reception.packet_error_ratio
    residual = ratio ** (radio.retries + 1)
    if reception.rate_bps < LEAST_RATE_BPS or residual >= 1.0 - 1e-6:
        return before.with_(up=False, hold=False)
    rate_bps = min(reception.rate_bps, before.rate_bps or reception.rate_bps)
    changed = before.with_(rate_bps=rate_bps, queue_packets=None)
    again = (1.0 - residual) / (1.0 - ratio) - 1.0
    if again > 0:
        airtime_s = 8.0 * radio.packet_bytes / TECHNOLOGIES[radio.technology].rate_bps
        packet_s = reception.attempt_s or airtime_s
        changed = changed.with_(delay=moved(before.delay, before.delay.mean_s + again * packet_s))
    if residual < _LEAST_LOSS:
        return changed
    lost = 1.0 - (1.0 - before.loss_ratio) * (1.0 - residual)
    return changed.with_(loss=bernoulli(lost))


@dataclass(frozen=True, slots=True)
class Received(Effect):
    """The effect of a reception on the link that the radio carries."""

    reception: Reception | None = None
    radio: Radio | None = None

    def apply(self, before: Impairment) -> Impairment:
        """The impairment that the radio makes of ``before``."""
        assert self.reception is not None
        assert self.radio is not None
        return impairment_of(self.reception, before, self.radio)

    def describe(self) -> str:
        """One short line for people."""
        assert self.reception is not None
        return describe(self.reception)


def describe(reception: Reception) -> str:
    """A reception in one short line."""
    if reception.sinr_db is None:
        return "no wanted signal"
    parts = [f"C/(I + N) {reception.sinr_db:.3g} dB", f"{reception.rate_bps / 1e6:.3g} Mbit/s"]
    if reception.packet_error_ratio:
        parts.append(f"packet error ratio {reception.packet_error_ratio:.3g}")
    return ", ".join(parts)


def effects_of(reception: Reception, radio: Radio) -> dict[Direction, Effect]:
    """What a reception does to both directions of the radio's link."""
    return dict.fromkeys(DIRECTIONS, Received(reception=reception, radio=radio))
