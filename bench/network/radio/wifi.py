"""IEEE 802.11 OFDM in 20 MHz, one spatial stream: modes, packet errors, times and selectivity.

Packet errors follow the model of NIST (L. E. Miller, Validation of 802.11a/UWB Coexistence
Simulation, 2003; G. Pei and T. Henderson, Validation of OFDM error rate model in ns-3, 2010): the
bit error ratio of the modulation, and the union bound of the convolutional code. The curve of each
mode is then moved so that a receiver with a noise figure of 10 dB, as IEEE 802.11 assumes it, just
meets the minimum sensitivity of the standard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from bench.network.radio.error_rates import packet_error_ratio
from bench.network.radio.levels import interpolated_db, noise_dbm
from bench.network.radio.state import Emission

BANDWIDTH_HZ = 20e6
LIMIT, LIMIT_BITS, LIMIT_FIGURE_DB = 0.1, 8 * 4096, 10.0
"""At its minimum sensitivity a receiver loses a tenth of the packets of 4096 bytes (IEEE
802.11-2016, 19.3.19.2), with a noise figure of 10 dB (17.3.10.2)."""

DEFERS_DBM = -62.0
"""IEEE 802.11-2016, 17.3.10.6: from this level on, 20 dB above the minimum sensitivity of the
slowest mode, any signal in the channel is a busy medium and nothing is sent."""

_SYMBOL_S = 4e-6
_PREAMBLE_S = 36e-6
"""HT-mixed, one stream: 8 + 8 + 4 of the legacy part, 8 + 4 + 4 of HT (19.3.2)."""

_SLOT_S, _SIFS_S, _CW_MIN = 9e-6, 16e-6, 15
"""IEEE 802.11-2016, table 17-21; at 2.4 GHz 10 µs and a signal extension of 6 µs."""

_ACK_S = 20e-6 + 6 * _SYMBOL_S
"""An acknowledgement of 14 bytes at 6 Mbit/s."""

_ACCESS_S = _SIFS_S + 2 * _SLOT_S + _CW_MIN / 2 * _SLOT_S
"""DIFS and the mean backoff of a first attempt."""

_TAIL_BITS = 16 + 6
"""SERVICE and tail."""


@dataclass(frozen=True, slots=True)
class Code:
    """A punctured convolutional code (133, 171): its distance spectrum.

    Attributes:
        k: information bits per puncturing period.
        distances: first of the spectrum, and the step from one to the next.
        weights: information bits in error over all paths, by distance.
    """

    k: int
    distances: tuple[int, int]
    weights: tuple[int, ...]

    def bit_error_ratio(self, channel: float) -> float:
        """Union bound after decoding, from the bit error ratio of the channel; at most 1."""
        first, step = self.distances
        reach = math.sqrt(4.0 * channel * (1.0 - channel))
        total = math.fsum(c * reach ** (first + step * n) for n, c in enumerate(self.weights))
        return min(1.0, total / (2.0 * self.k))


HALF = Code(
    1, (10, 2),
    (36, 211, 1404, 11633, 77433, 502690, 3322763, 21292910, 134365911),
)  # fmt: skip
TWO_THIRDS = Code(
    2, (6, 1),
    (3, 70, 285, 1276, 6160, 27128, 117019, 498860, 2103891, 8784123),
)  # fmt: skip
THREE_QUARTERS = Code(
    3, (5, 1),
    (42, 201, 1492, 10469, 62935, 379644, 2253373, 13073811, 75152755, 428005675),
)  # fmt: skip
FIVE_SIXTHS = Code(
    5, (4, 1),
    (92, 528, 8694, 79453, 792114, 7375573, 67884974, 610875423, 5427275376, 47664215639),
)  # fmt: skip
"""D. Haccoun and G. Bégin, High-Rate Punctured Convolutional Codes for Viterbi and Sequential
Decoding, IEEE Transactions on Communications, 1989."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A modulation and coding scheme.

    Attributes:
        index: MCS.
        points: of the constellation.
        code: of the data.
        rate_bps: of the data, guard interval 800 ns (IEEE 802.11-2016, table 19-27).
        sensitivity_dbm: the least level at which it must work (table 19-23).
    """

    index: int
    points: int
    code: Code
    rate_bps: float
    sensitivity_dbm: float

    def error_ratio(self, sinr_db: float, bits: float) -> float:
        """Packet error ratio of ``bits`` at C/(I + N) in 20 MHz, of a receiver as above."""
        return coded_error_ratio(sinr_db - margin_db(self), bits, self)

    def frame_s(self, bits: float) -> float:
        """How long a packet is on the air."""
        symbols = math.ceil((bits + _TAIL_BITS) / (self.rate_bps * _SYMBOL_S))
        return _PREAMBLE_S + symbols * _SYMBOL_S

    def attempt_s(self, bits: float) -> float:
        """Access to the medium, the packet, and its acknowledgement."""
        return _ACCESS_S + self.frame_s(bits) + _SIFS_S + _ACK_S


MODES = (
    Mode(0, 2, HALF, 6.5e6, -82.0),
    Mode(1, 4, HALF, 13e6, -79.0),
    Mode(2, 4, THREE_QUARTERS, 19.5e6, -77.0),
    Mode(3, 16, HALF, 26e6, -74.0),
    Mode(4, 16, THREE_QUARTERS, 39e6, -70.0),
    Mode(5, 64, TWO_THIRDS, 52e6, -66.0),
    Mode(6, 64, THREE_QUARTERS, 58.5e6, -65.0),
    Mode(7, 64, FIVE_SIXTHS, 65e6, -64.0),
)


@cache
def margin_db(mode: Mode) -> float:
    """What a receiver that just meets the standard lacks of the published curve."""
    due_db = mode.sensitivity_dbm - noise_dbm(BANDWIDTH_HZ, LIMIT_FIGURE_DB)
    low, high = -10.0, due_db
    while high - low > 1e-9:
        middle = (low + high) / 2
        if coded_error_ratio(middle, LIMIT_BITS, mode) > LIMIT:
            low = middle
        else:
            high = middle
    return due_db - high


def coded_error_ratio(snr_db: float, bits: float, mode: Mode) -> float:
    """The published curve: packet error ratio of ``bits`` on white noise."""
    coded = mode.code.bit_error_ratio(modulated_bit_error_ratio(snr_db, mode.points))
    return packet_error_ratio(coded, bits)


def modulated_bit_error_ratio(snr_db: float, points: int) -> float:
    """Bit error ratio of BPSK (2 points) or square QAM on white noise, Gray coding."""
    snr = 10.0 ** (snr_db / 10.0)
    if points == 2:
        return 0.5 * math.erfc(math.sqrt(snr))
    edge = 4.0 / math.log2(points) * (1.0 - 1.0 / math.sqrt(points))
    return min(0.5, edge * 0.5 * math.erfc(math.sqrt(1.5 * snr / (points - 1))))


_REJECTION = ((0.0, 0.0), (0.5, 0.0), (1.0, 28.0), (2.0, 44.0))
"""By offset in channel spacings; linear in between, nothing up to half a spacing.

IEEE 802.11-2016, table 19-23: 3 dB above its sensitivity a receiver bears an adjacent signal of
−63 dBm in every mode (16 dB above BPSK, −2 dB above 64-QAM 5/6) and a non-adjacent one of −47 dBm.
What it bears then is as strong as its noise, −91 dBm.
"""


def rejection_db(came: Emission, frequency_hz: float) -> float:
    """How much less a signal beside the channel counts than one in it.

    Of a signal wider than 20 MHz the nearest 20 MHz count. Adjacent is 25 MHz away at 2.4 GHz and
    20 MHz elsewhere (IEEE 802.11-2016, 19.3.19.3).
    """
    width = max(BANDWIDTH_HZ, came.bandwidth_hz)
    offset_hz = max(0.0, abs(came.frequency_hz - frequency_hz) - (width - BANDWIDTH_HZ) / 2)
    spacing_hz = 25e6 if frequency_hz < 3e9 else 20e6
    of_it_db = 10.0 * math.log10(width / BANDWIDTH_HZ)
    return of_it_db + interpolated_db(_REJECTION, min(2.0, offset_hz / spacing_hz))
