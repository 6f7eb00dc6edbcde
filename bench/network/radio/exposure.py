"""A radio under test, and what it is exposed to at its antenna port. Frozen data, no effects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.network.radio.receivers import Receiver, Reception, receive
from bench.network.radio.state import Emission
from bench.network.radio.world import Arrival

WANTED = "wanted"
"""The source of the wanted signal, where a reception is reckoned without a laboratory."""

MODEL = "model"
"""Who verifies an exposure that is reckoned and not emitted."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """An unintended signal as it comes in at the victim's antenna port.

    Attributes:
        signal: its name; of a generator's waveform, or of the plan's.
        frequency_hz: its centre.
        level_dbm: mean power while it is on, over its whole bandwidth, at the victim's port.
        bandwidth_hz: what it occupies; 0: an unmodulated carrier.
        duty: share of the time in which it is on, 0 to 1.
        burst_s: how long it is on at a time; 0: always, or not known.
    """

    signal: str
    frequency_hz: float
    level_dbm: float
    bandwidth_hz: float = 0.0
    duty: float = 1.0
    burst_s: float = 0.0

    @property
    def emission(self) -> Emission:
        """The same for the radio world."""
        return Emission(
            self.frequency_hz, self.level_dbm, self.bandwidth_hz, self.duty, self.burst_s
        )

    def at_level(self, level_dbm: float) -> Exposure:
        """The same signal at another level."""
        return replace(self, level_dbm=level_dbm)

    def describe(self) -> str:
        """One short line for people."""
        text = f"{self.signal} at {self.frequency_hz / 1e6:.6g} MHz, {self.level_dbm:.4g} dBm"
        return text if self.duty >= 1 else f"{text}, duty {100 * self.duty:.3g} %"


@dataclass(frozen=True, slots=True)
class Radio:
    """The radio of a device (the victim) and the link that it carries.

    Attributes:
        link: of the device's links.
        technology: a key of :data:`bench.network.radio.receivers.TECHNOLOGIES`.
        frequency_hz: of its channel.
        wanted_dbm: level of the intended signal at its antenna port in the test.
        noise_figure_db: of the receiver.
        packet_bytes: of a packet on the air.
        retries: how often a packet is sent again before it is given up. The default is that of
            IEEE 802.15.4 (macMaxFrameRetries 3).
    """

    link: str
    technology: str
    frequency_hz: float
    wanted_dbm: float
    noise_figure_db: float = 6.0
    packet_bytes: int = 20
    retries: int = 3

    def ratio_db(self, exposure: Exposure) -> float:
        """The ratio of unintended to intended signal at the antenna port (I/U of ANSI C63.27)."""
        return exposure.level_dbm - self.wanted_dbm

    def offset_hz(self, exposure: Exposure) -> float:
        """How far the signal's centre lies from the channel's."""
        return exposure.frequency_hz - self.frequency_hz


@dataclass(frozen=True, slots=True)
class RadioFlaws:
    """How a radio deviates from what its maker says: for deliberate defects.

    ``excess_db``: interference counts for so much more. ``recovers_after_s``: so long after an
    interferer has gone the radio receives nothing.
    """

    excess_db: float = 0.0
    recovers_after_s: float = 0.0


FLAWLESS = RadioFlaws()


@dataclass(frozen=True, slots=True)
class Presented:
    """How a bench presented what a scenario asks of it for a while.

    Attributes:
        exposures: as they came in at the victim's antenna port; empty: the radio was left alone.
        reception: what the radio made of it; None: a real one, which does not tell.
        uncertainty_db: expanded (k = 2), of their levels.
        verified_by: who measured that the signals were there, or gone: ``model`` where nothing
            is emitted.
        problem: why they are not verified; empty where they are.
    """

    exposures: tuple[Exposure, ...]
    reception: Reception | None
    uncertainty_db: float = 0.0
    verified_by: str = MODEL
    problem: str = ""


def receives_nothing(reception: Reception) -> Reception:
    """The same reception of a radio that is not in step with its wanted signal."""
    return replace(reception, packet_error_ratio=1.0, rate_bps=0.0)


def receiver_of(radio: Radio, wanted: str = WANTED, flaws: RadioFlaws = FLAWLESS) -> Receiver:
    """The radio as a receiver of the radio world, which wants the signal of ``wanted``."""
    return Receiver(
        radio.technology, radio.frequency_hz, wanted, radio.noise_figure_db, radio.packet_bytes,
        flaws.excess_db,
    )  # fmt: skip


def reception_of(
    radio: Radio, exposures: Iterable[Exposure], flaws: RadioFlaws = FLAWLESS
) -> Reception:
    """What the radio makes of its wanted signal beside these exposures, without a laboratory."""
    wanted = Arrival(WANTED, Emission(radio.frequency_hz, radio.wanted_dbm))
    others = (Arrival(f"{n}", one.emission) for n, one in enumerate(exposures))
    return receive(receiver_of(radio, flaws=flaws), (wanted, *others))
