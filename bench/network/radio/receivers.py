"""Receivers: what arrives becomes C/I, packet error ratio and rate, by technology."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from bench.network.radio import error_rates, wifi
from bench.network.radio.levels import NOTHING_DBM, noise_dbm, overlap, summed_dbm
from bench.network.radio.state import Emission


class Mode(Protocol):
    """One of the ways to send a packet between which link adaptation chooses."""

    def error_ratio(self, sinr_db: float, bits: float) -> float:
        """Packet error ratio at C/(I + N) in dB."""

    def frame_s(self, bits: float) -> float:
        """How long a packet is on the air."""

    def attempt_s(self, bits: float) -> float:
        """How long it takes to send it once, with access and acknowledgement."""


@dataclass(frozen=True, slots=True)
class Technology:
    """How a receiver of this kind tells right from wrong.

    Attributes:
        bandwidth_hz: of its filter.
        rate_bps: of the air interface, from which a packet's length follows.
        counted_db: how much less an interferer counts than in the channel itself, by the signal and
            the frequency of the channel (Hz); None: outside of it nothing counts.
        error_ratio: packet error ratio from C/(I + N) in dB and the packet's bits.
        source: where the figures are from.
        adapted_bps: the rate that link adaptation reaches at C/(I + N) in dB; None: it has none.
        slot_s: what a burst spoils at least; 0: a packet.
        modes: of which that is taken in which most gets through; empty: there is one.
        defers_dbm: level in the channel from which on nothing is sent; None: it does not listen.
    """

    bandwidth_hz: float
    rate_bps: float
    counted_db: Callable[[Emission, float], float] | None
    error_ratio: Callable[[float, float], float]
    source: str
    adapted_bps: Callable[[float], float] | None = None
    slot_s: float = 0.0
    modes: tuple[Mode, ...] = ()
    defers_dbm: float | None = None


def _selectivity(limits_db: tuple[float, ...]) -> Callable[[Emission, float], float]:
    """By C/I limits at whole MHz. Of a wide signal only the share inside the channel counts."""

    def counted_db(came: Emission, frequency_hz: float) -> float:
        if came.bandwidth_hz > 2 * _BLUETOOTH_HZ:
            return math.inf
        return error_rates.selectivity_db(limits_db, came.frequency_hz - frequency_hz)

    return counted_db


def _oqpsk(sinr_db: float, bits: float) -> float:
    return error_rates.packet_error_ratio(error_rates.oqpsk_bit_error_ratio(sinr_db), bits)


def _ble(c_i_db: float, bits: float) -> float:
    return error_rates.packet_error_ratio(error_rates.ble_bit_error_ratio(c_i_db), bits)


def _br(c_i_db: float, bits: float) -> float:
    ratio = error_rates.fsk_bit_error_ratio(
        c_i_db, error_rates.BR_CO_CHANNEL_DB, error_rates.BR_LIMIT
    )
    return error_rates.packet_error_ratio(ratio, bits)


_BLUETOOTH_HZ = 1e6
_LTE_HZ = 18e6
_NR_HZ = 273 * 12 * 30e3


def _lte(sinr_db: float, bits: float) -> float:
    """Retransmission turns errors into a lower rate, until there is no rate."""
    return 0.0 if error_rates.lte_efficiency_bps_hz(sinr_db) > 0 else 1.0


def _nr(sinr_db: float, bits: float) -> float:
    """As of LTE."""
    return 0.0 if error_rates.nr_efficiency_bps_hz(sinr_db) > 0 else 1.0


TECHNOLOGIES: Mapping[str, Technology] = MappingProxyType(
    {
        "ieee802154": Technology(
            2e6, 250e3, None, _oqpsk, "IEEE 802.15.4-2006, E.4.1.8 (O-QPSK, 2450 MHz)"
        ),
        "ble-1m": Technology(
            _BLUETOOTH_HZ,
            1e6,
            _selectivity(error_rates.BLE_C_I_DB),
            _ble,
            "Bluetooth Core, volume 6 part A, 4.2: a receiver that just meets the limits",
        ),
        "bluetooth-br": Technology(
            _BLUETOOTH_HZ,
            1e6,
            _selectivity(error_rates.BR_C_I_DB),
            _br,
            "Bluetooth Core, volume 2 part A, 4.2: a receiver that just meets the limits",
        ),
        "lte-20mhz": Technology(
            _LTE_HZ,
            4.4 * _LTE_HZ,
            None,
            _lte,
            "3GPP TR 36.942, A.2: downlink of 100 resource blocks",
            lambda sinr_db: _LTE_HZ * error_rates.lte_efficiency_bps_hz(sinr_db),
            1e-3,
        ),
        "nr-100mhz": Technology(
            _NR_HZ,
            _NR_HZ * error_rates.nr_efficiency_bps_hz(error_rates.NR_MOST_DB),
            None,
            _nr,
            "3GPP TR 38.803, 5.2.7: downlink of 273 resource blocks of 30 kHz (TS 38.101-1, 5.3.2)",
            lambda sinr_db: _NR_HZ * error_rates.nr_efficiency_bps_hz(sinr_db),
            0.5e-3,
        ),
        "wifi-20mhz": Technology(
            wifi.BANDWIDTH_HZ,
            wifi.MODES[0].rate_bps,
            wifi.rejection_db,
            wifi.MODES[0].error_ratio,
            "IEEE 802.11-2016, 19.3.19: a receiver that just meets the limits, one stream",
            modes=wifi.MODES,
            defers_dbm=wifi.DEFERS_DBM,
        ),
    }
)
"""The technologies whose published figures the tests hold."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A victim.

    Attributes:
        technology: a key of :data:`TECHNOLOGIES`.
        frequency_hz: of its channel.
        wanted: the source whose signal it wants.
        noise_figure_db: of the receiver.
        packet_bytes: of the packets that it receives.
        excess_db: interference counts for so much more than in a receiver as it should be.
    """

    technology: str
    frequency_hz: float
    wanted: str
    noise_figure_db: float = 6.0
    packet_bytes: int = 20
    excess_db: float = 0.0


class Came(Protocol):
    """A signal as it comes in (``world.Arrival``)."""

    @property
    def source(self) -> str:
        """Its port or emitter."""

    @property
    def emission(self) -> Emission:
        """Its level and spectrum at the receiver."""


@dataclass(frozen=True, slots=True)
class Reception:
    """What a receiver makes of what arrives.

    Attributes:
        carrier_dbm: of the wanted signal; None: it does not arrive.
        interference_dbm: of all others that are on at once, as they count in the channel.
        noise_dbm: of the receiver.
        sinr_db: C/(I + N) while the interferers are on; None without a carrier.
        clear_sinr_db: while those that are not always on are off.
        packet_error_ratio: over all packets, 0 to 1.
        rate_bps: of what gets through, on average; for a receiver without link adaptation the
            rate of the air interface less the packets that are lost.
        attempt_s: how long a packet takes to be sent once; 0: its length at the rate of the air
            interface.
    """

    carrier_dbm: float | None
    interference_dbm: float
    noise_dbm: float
    sinr_db: float | None
    clear_sinr_db: float | None
    packet_error_ratio: float
    rate_bps: float
    attempt_s: float = 0.0


def counted_dbm(technology: Technology, receiver: Receiver, came: Emission) -> float:
    """What an interferer counts for in the receiver's channel.

    A signal wider than the channel counts with the share that falls into it (a 20 MHz signal
    with −10 dB in 2 MHz), and at least with what the receiver's selectivity leaves of it.
    """
    width = technology.bandwidth_hz
    share = overlap(came.frequency_hz, came.bandwidth_hz, receiver.frequency_hz, width)
    inside = came.level_dbm + 10.0 * math.log10(share) if share > 0 else NOTHING_DBM
    if technology.counted_db is None:
        return inside
    return max(inside, came.level_dbm - technology.counted_db(came, receiver.frequency_hz))


def receive(receiver: Receiver, came: tuple[Came, ...]) -> Reception:
    """What the receiver makes of all that arrives.

    Interferers that come in bursts are taken to be on together and independent of the packets.
    """
    technology = TECHNOLOGIES[receiver.technology]
    noise = noise_dbm(technology.bandwidth_hz, receiver.noise_figure_db)
    wanted = [one.emission for one in came if one.source == receiver.wanted]
    others = [one.emission for one in came if one.source != receiver.wanted]
    levels = [counted_dbm(technology, receiver, one) + receiver.excess_db for one in others]
    interference = summed_dbm(levels)
    if not wanted:
        return Reception(None, interference, noise, None, None, 1.0, 0.0)
    carrier = summed_dbm(one.level_dbm for one in wanted)
    steady = [level for level, one in zip(levels, others, strict=True) if one.duty >= 1.0]
    disturbed = carrier - summed_dbm([noise, interference])
    clear = carrier - summed_dbm([noise, *steady])
    bits = 8.0 * receiver.packet_bytes

    def errors(error_ratio: Callable[[float, float], float], hit: float) -> float:
        ratio = hit * error_ratio(disturbed, bits) + (1.0 - hit) * error_ratio(clear, bits)
        return min(1.0, ratio)

    if technology.modes:
        tried = [
            (m, errors(m.error_ratio, _hit(others, m.frame_s(bits)))) for m in technology.modes
        ]
        mode, ratio = max(tried, key=lambda one: (1.0 - one[1]) / one[0].attempt_s(bits))
        attempt_s = mode.attempt_s(bits)
        free = 1.0 - _deferred(technology, levels, others)
        rate = free * (1.0 - ratio) * bits / attempt_s
        return Reception(carrier, interference, noise, disturbed, clear, ratio, rate, attempt_s)
    hit = _hit(others, technology.slot_s or bits / technology.rate_bps)
    ratio = errors(technology.error_ratio, hit)
    rate = technology.rate_bps * (1.0 - ratio)
    if (adapted := technology.adapted_bps) is not None:
        rate = hit * adapted(disturbed) + (1.0 - hit) * adapted(clear)
    return Reception(carrier, interference, noise, disturbed, clear, ratio, rate)


def _deferred(technology: Technology, levels: list[float], others: list[Emission]) -> float:
    """The share of the time in which the medium is heard as busy: bursts are on together."""
    if technology.defers_dbm is None:
        return 0.0
    return max(
        (
            one.duty
            for level, one in zip(levels, others, strict=True)
            if level >= technology.defers_dbm
        ),
        default=0.0,
    )


def _hit(others: list[Emission], packet_s: float) -> float:
    """The largest probability of the bursts: they are on together."""
    chances = [
        error_rates.hit_probability(one.burst_s, one.duty, packet_s)
        for one in others
        if one.duty < 1.0
    ]
    return max(chances, default=0.0)
