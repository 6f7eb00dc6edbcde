"""Bit and packet error ratios of receivers, as functions of what disturbs them."""

from __future__ import annotations

import math


def oqpsk_bit_error_ratio(sinr_db: float) -> float:
    """IEEE 802.15.4 O-QPSK at 2450 MHz (IEEE 802.15.4-2006, E.4.1.8; SINR in 2 MHz)."""
    sinr = 10.0 ** (sinr_db / 10.0)
    total = math.fsum(
        (-1) ** k * math.comb(16, k) * math.exp(20.0 * sinr * (1.0 / k - 1.0)) for k in range(2, 17)
    )
    return min(0.5, max(0.0, 8.0 / 15.0 / 16.0 * total))


def packet_error_ratio(bit_error_ratio: float, bits: float) -> float:
    """Packets of which at least one bit is wrong, bits being independent."""
    if bit_error_ratio >= 1.0:
        return 1.0
    return -math.expm1(bits * math.log1p(-bit_error_ratio))


BLE_BITS = 8 * 37 + 80
"""A packet of the receiver tests: 37 bytes of payload with preamble, address, header and CRC."""

BLE_LIMIT = 0.308
"""Packet error ratio at which a BLE receiver just passes (Core 6.A.4: BER 0.1 % at 37 bytes)."""

BLE_CO_CHANNEL_DB = 21.0
BR_CO_CHANNEL_DB = 11.0
BR_LIMIT = 1e-3
"""Bit error ratio at which a Bluetooth BR receiver just passes (Core 2.A.4)."""

BLE_C_I_DB = (21.0, 15.0, -17.0, -27.0)
"""C/I limits at 0, 1, 2 and 3 MHz or more (Core 6.A.4.2, LE 1M)."""

BR_C_I_DB = (11.0, 0.0, -30.0, -40.0)
"""C/I limits at 0, 1, 2 and 3 MHz or more (Core 2.A.4.2, BR)."""


def selectivity_db(limits: tuple[float, ...], offset_hz: float) -> float:
    """How much less an interferer counts at this offset than in the channel itself.

    Between the offsets of the limits it is linear, so that nothing depends on rounding.
    """
    offset_mhz = min(abs(offset_hz) / 1e6, float(len(limits) - 1))
    low = min(int(offset_mhz), len(limits) - 2)
    share = offset_mhz - low
    limit = limits[low] + (limits[low + 1] - limits[low]) * share
    return limits[0] - limit


def fsk_bit_error_ratio(c_i_db: float, limit_db: float, limit_ratio: float) -> float:
    """Non-coherent FSK, ½·exp(−k·C/I/2), with k so that the limit ratio falls on the limit."""
    exponent = -2.0 * math.log(2.0 * limit_ratio) * 10.0 ** ((c_i_db - limit_db) / 10.0)
    return 0.5 * math.exp(-exponent / 2.0)


def ble_bit_error_ratio(c_i_db: float) -> float:
    """A BLE 1M receiver that just meets the limits: 30.8 % of packets at 21 dB, co-channel."""
    at_limit = -math.expm1(math.log1p(-BLE_LIMIT) / BLE_BITS)
    return fsk_bit_error_ratio(c_i_db, BLE_CO_CHANNEL_DB, at_limit)


def lte_efficiency_bps_hz(sinr_db: float) -> float:
    """Throughput per bandwidth of an LTE downlink (3GPP TR 36.942, A.2: α 0.6, −10 … 22 dB)."""
    if sinr_db < -10.0:
        return 0.0
    return min(4.4, 0.6 * math.log2(1.0 + 10.0 ** (sinr_db / 10.0)))


NR_MOST_DB = 30.0


def nr_efficiency_bps_hz(sinr_db: float) -> float:
    """Throughput per bandwidth of an NR downlink (3GPP TR 38.803, 5.2.7: α 0.6, −10 … 30 dB)."""
    if sinr_db < -10.0:
        return 0.0
    return 0.6 * math.log2(1.0 + 10.0 ** (min(sinr_db, NR_MOST_DB) / 10.0))


def hit_probability(burst_s: float, duty: float, packet_s: float) -> float:
    """That a packet meets a periodic burst: min(1, (Ton + L)/(Ton + Toff))."""
    if duty <= 0.0:
        return 0.0
    if duty >= 1.0:
        return 1.0
    if burst_s <= 0.0:
        return duty
    return min(1.0, (burst_s + packet_s) * duty / burst_s)
