"""The Wi-Fi receiver against published figures: NIST's curves as ns-3 has them, IEEE 802.11."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.network.impairment import CLEAN, Delay, Impairment
from bench.network.interference import impairment_of
from bench.network.radio.exposure import Exposure, Radio, RadioFlaws, reception_of
from bench.network.radio.levels import noise_dbm, summed_dbm
from bench.network.radio.receivers import TECHNOLOGIES, Receiver, counted_dbm, receive
from bench.network.radio.state import Emission
from bench.network.radio.wifi import MODES, coded_error_ratio, margin_db
from bench.network.radio.world import Arrival

seeded = settings(derandomize=True, deadline=None)
CHANNEL_HZ = 5.5e9
RADIO = Radio("primary", "wifi-20mhz", CHANNEL_HZ, -60.0, 7.0, 1500, 4)
NOISE_DBM = noise_dbm(20e6, 10.0)
BY_MODE = [
    (0, -82, 16, 32), (1, -79, 13, 29), (2, -77, 11, 27), (3, -74, 8, 24), (4, -70, 4, 20),
    (5, -66, 0, 16), (6, -65, -1, 15), (7, -64, -2, 14),
]  # fmt: skip
"""IEEE 802.11-2016, table 19-23: MCS, sensitivity, adjacent and non-adjacent rejection."""


@pytest.mark.parametrize(
    ("mcs", "snr_db", "success", "tolerance"),
    [
        (0, 3.0, 0.020, 1e-3), (0, 4.0, 0.885, 1e-3), (0, 5.0, 0.997, 1e-3),
        (1, 6.0, 0.0174, 1e-3), (1, 7.0, 0.881, 1e-3), (1, 8.0, 0.997, 1e-3),
        (2, 8.5, 2.85e-6, 1e-6), (2, 9.5, 0.623, 1e-3), (2, 10.5, 0.985, 1e-3),
        (3, 12.0, 2.22e-7, 1e-7), (3, 13.0, 0.495, 1e-3), (3, 14.0, 0.974, 1e-3),
        (4, 15.5, 0.012, 1e-3), (4, 16.5, 0.818, 1e-3), (4, 17.5, 0.993, 1e-3),
        (5, 20.0, 1.3e-4, 1e-4), (5, 21.0, 0.649, 1e-3), (5, 22.0, 0.983, 1e-3),
        (6, 21.0, 5.44e-8, 1e-8), (6, 22.0, 0.410, 1e-3), (6, 23.0, 0.958, 1e-3),
    ],
)  # fmt: skip
def test_the_curves_are_nists(mcs, snr_db, success, tolerance):
    """The spot values of ns-3's tests of its NIST model, for packets of 2000 bytes."""
    found = 1.0 - coded_error_ratio(snr_db, 2000 * 8, MODES[mcs])
    assert found == pytest.approx(success, abs=tolerance)


@pytest.mark.parametrize(("mcs", "least_dbm"), [row[:2] for row in BY_MODE])
def test_a_receiver_of_10_db_just_meets_its_sensitivity(mcs, least_dbm):
    """IEEE 802.11 allows 5 dB beside the noise figure: no mode needs more of the curve."""
    mode = MODES[mcs]
    assert mode.error_ratio(least_dbm - NOISE_DBM, 8 * 4096) == pytest.approx(0.1, rel=1e-3)
    assert mode.error_ratio(least_dbm - 1.0 - NOISE_DBM, 8 * 4096) > 0.5
    assert mode.error_ratio(least_dbm + 1.0 - NOISE_DBM, 8 * 4096) < 0.02
    assert 0.0 < margin_db(mode) < 5.0


@pytest.mark.parametrize(("frequency_hz", "spacing_hz"), [(5.5e9, 20e6), (2.437e9, 25e6)])
@pytest.mark.parametrize(("mcs", "least_dbm", "adjacent_db", "far_db"), BY_MODE)
def test_it_just_bears_its_neighbours(
    mcs, least_dbm, adjacent_db, far_db, frequency_hz, spacing_hz
):
    """3 dB above the sensitivity, one and two channels away; 1 dB more is too much."""
    technology, receiver = TECHNOLOGIES["wifi-20mhz"], Receiver("wifi-20mhz", frequency_hz, "w")

    def ratio(channels, level_dbm):
        came = Emission(frequency_hz - channels * spacing_hz, level_dbm, 20e6)
        disturbed_dbm = summed_dbm([NOISE_DBM, counted_dbm(technology, receiver, came)])
        return MODES[mcs].error_ratio(least_dbm + 3.0 - disturbed_dbm, 8 * 4096)

    for channels, rejection_db in ((1, adjacent_db), (2, far_db)):
        assert 0.05 < ratio(channels, least_dbm + 3.0 + rejection_db) <= 0.1
        assert ratio(channels, least_dbm + 4.0 + rejection_db) > 0.1


def test_a_signal_in_the_channel_counts_whole_and_a_wide_one_with_its_share():
    technology, receiver = TECHNOLOGIES["wifi-20mhz"], Receiver("wifi-20mhz", CHANNEL_HZ, "w")

    def counted(offset_hz, width_hz):
        return counted_dbm(technology, receiver, Emission(CHANNEL_HZ + offset_hz, -50.0, width_hz))

    assert counted(9e6, 0.0) == counted(-9e6, 1e6) == counted(0.0, 20e6) == -50.0
    assert counted(0.0, 80e6) == pytest.approx(-56.0, abs=0.05)
    assert counted(90e6, 20e6) == -94.0
    assert counted(50e6, 80e6) == pytest.approx(-84.0, abs=0.05)  # its edge is the next channel's


def heard(level_dbm, radio=RADIO, **shape):
    exposure = replace(Exposure("wifi20", CHANNEL_HZ, level_dbm, 20e6), **shape)
    return reception_of(radio, [exposure])


def test_the_fastest_mode_and_what_access_and_acknowledgement_leave_of_it():
    """1500 bytes at 65 Mbit/s: 188 µs of data in a cycle of 385.5 µs."""
    alone = reception_of(RADIO, ())
    assert alone.attempt_s == pytest.approx(385.5e-6)
    assert alone.rate_bps == pytest.approx(12000 / 385.5e-6)
    assert alone.packet_error_ratio < 1e-9
    slow = heard(-70.0)
    assert slow.attempt_s == pytest.approx(161.5e-6 + 36e-6 + 463 * 4e-6)


def test_a_burst_spoils_the_packets_that_it_meets_in_the_mode_that_bears_it_best():
    """At 5 dB no mode passes a burst: the fastest is hit least, half a packet's length more."""
    found = heard(-65.0, duty=0.5, burst_s=1e-3)
    assert found.packet_error_ratio == pytest.approx(0.5 + 0.5 * (36e-6 + 47 * 4e-6) / 1e-3)


@pytest.mark.parametrize(("duty", "share"), [(1.0, 0.0), (0.25, 0.75)])
def test_a_busy_medium_is_not_sent_on(duty, share):
    """From −62 dBm in the channel on, however strong the wanted signal is."""
    near = replace(RADIO, wanted_dbm=-20.0)
    below = heard(-62.1, near, duty=duty)
    at = heard(-62.0, near, duty=duty)
    assert at.rate_bps == pytest.approx(share * below.rate_bps, rel=1e-3)
    assert reception_of(near, [Exposure("wifi20", CHANNEL_HZ + 20e6, -40.0, 20e6)]).rate_bps > 0


def test_what_a_wifi_receiver_gets_becomes_an_impairment():
    """Of 61 % wrong packets 8.6 % are lost after five attempts, each of one cycle on the air."""
    found = reception_of(
        RADIO, [Exposure("wifi20-half", CHANNEL_HZ, -74.0, 20e6, 0.5, 1e-3)], RadioFlaws(12.0)
    )
    link = impairment_of(found, CLEAN, RADIO)
    ratio = found.packet_error_ratio
    assert link.loss_ratio == pytest.approx(ratio**5)
    attempts = (1 - ratio**5) / (1 - ratio)
    assert link.delay.mean_s == pytest.approx((attempts - 1) * found.attempt_s)
    assert link.rate_bps == found.rate_bps
    assert not impairment_of(heard(-50.0), CLEAN, RADIO).up


BEFORE = Impairment(Delay(0.0025, "uniform", 0.0003), rate_bps=1e9)
LEVELS = st.floats(-120.0, -20.0)


@seeded
@given(LEVELS, LEVELS, st.floats(-120.0, -40.0), st.floats(0.05, 1.0), st.floats(-50e6, 50e6))
def test_more_interference_never_leaves_more_rate(a, b, wanted_dbm, duty, offset_hz):
    radio = replace(RADIO, wanted_dbm=wanted_dbm)
    shape = {"duty": duty, "burst_s": 2e-3, "frequency_hz": CHANNEL_HZ + offset_hz}
    strong, weak = (heard(level, radio, **shape) for level in sorted((a, b), reverse=True))
    assert strong.rate_bps <= weak.rate_bps * (1 + 1e-12)
    assert 0.0 <= strong.packet_error_ratio <= 1.0
    links = [impairment_of(one, BEFORE, radio) for one in (strong, weak)]
    assert links[0].up <= links[1].up


@seeded
@given(st.sampled_from(MODES), st.floats(-10, 40), st.floats(0, 10), st.integers(1, 65535))
def test_a_mode_errs_less_the_better_and_the_shorter(mode, sinr_db, more_db, size):
    ratio = mode.error_ratio(sinr_db, 8.0 * size)
    assert 0.0 <= mode.error_ratio(sinr_db + more_db, 8.0 * size) <= ratio <= 1.0
    assert ratio <= mode.error_ratio(sinr_db, 8.0 * size + 8.0)


@seeded
@given(st.floats(-100e6, 100e6), st.floats(1e3, 100e6), st.floats(0, 30e6))
def test_a_signal_further_away_counts_no_more(offset_hz, width_hz, further_hz):
    technology, receiver = TECHNOLOGIES["wifi-20mhz"], Receiver("wifi-20mhz", CHANNEL_HZ, "w")
    away = offset_hz + (further_hz if offset_hz >= 0 else -further_hz)

    def counted(offset):
        return counted_dbm(technology, receiver, Emission(CHANNEL_HZ + offset, -50.0, width_hz))

    assert counted(away) <= counted(offset_hz) + 1e-6 <= -50.0 + 1e-3


def test_without_its_carrier_it_receives_nothing():
    reception = receive(Receiver("wifi-20mhz", CHANNEL_HZ, "w"), (Arrival("x", Emission(1e9, 0)),))
    assert (reception.carrier_dbm, reception.rate_bps) == (None, 0.0)
