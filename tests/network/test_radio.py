"""The radio world against published figures: error ratios, C/I limits, overlap, bursts, paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.radio import error_rates
from bench.network.radio.levels import interpolated_db, noise_dbm, summed_dbm
from bench.network.radio.receivers import TECHNOLOGIES, Receiver, counted_dbm, receive
from bench.network.radio.spectrum import trace_dbm
from bench.network.radio.state import Emission, RadioState
from bench.network.radio.world import Arrival, NoPathLoss, Path, World, arrivals
from bench.network.radio.world_files import read_world

seeded = settings(derandomize=True, deadline=None)
GHZ = 2.44e9


@pytest.mark.parametrize(
    ("sinr_db", "short", "long"),
    [
        (-3, 0.929, 1.0), (-1, 0.168, 0.689), (0, 0.0255, 0.151), (1, 0.0021, 0.0130),
        (2, 8.2e-5, 5.2e-4),
    ],
)  # fmt: skip
def test_oqpsk_meets_the_published_packet_error_ratios(sinr_db, short, long):
    """IEEE 802.15.4-2006, E.4.1.8, for packets of 20 and 127 bytes."""
    ratio = error_rates.oqpsk_bit_error_ratio(sinr_db)
    assert error_rates.packet_error_ratio(ratio, 160) == pytest.approx(short, rel=0.02)
    assert error_rates.packet_error_ratio(ratio, 8 * 127) == pytest.approx(long, rel=0.02)


@pytest.mark.parametrize(("offset_mhz", "c_i_db"), [(0, 21), (1, 15), (2, -17), (3, -27), (5, -27)])
def test_ble_just_passes_at_its_limits(offset_mhz, c_i_db):
    """At the limit the packet error ratio is 30.8 %; 1 dB more interference fails."""
    receiver = Receiver("ble-1m", GHZ, "wanted", packet_bytes=47)
    technology = TECHNOLOGIES["ble-1m"]

    def ratio(level_dbm: float) -> float:
        came = Emission(GHZ + offset_mhz * 1e6, level_dbm, 1e6)
        c_i = -67.0 - counted_dbm(technology, receiver, came)
        return technology.error_ratio(c_i, error_rates.BLE_BITS)

    assert ratio(-67 - c_i_db) == pytest.approx(0.308, rel=1e-6)
    assert ratio(-66 - c_i_db) > 0.7
    assert ratio(-68 - c_i_db) < 0.1


@pytest.mark.parametrize(("offset_mhz", "c_i_db"), [(0, 11), (1, 0), (2, -30), (3, -40)])
def test_bluetooth_br_just_passes_at_its_limits(offset_mhz, c_i_db):
    """Bit error ratio 0.1 % at the limit."""
    receiver, technology = Receiver("bluetooth-br", GHZ, "w"), TECHNOLOGIES["bluetooth-br"]
    came = Emission(GHZ + offset_mhz * 1e6, -60.0 - c_i_db, 1e6)
    c_i = -60.0 - counted_dbm(technology, receiver, came)
    assert technology.error_ratio(c_i, 1) == pytest.approx(1e-3, rel=1e-6)


def test_a_wide_signal_puts_its_share_into_a_narrow_receiver():
    receiver = Receiver("ieee802154", GHZ, "wanted")
    technology = TECHNOLOGIES["ieee802154"]
    assert counted_dbm(technology, receiver, Emission(GHZ + 3e6, -40, 20e6)) == pytest.approx(-50)
    assert counted_dbm(technology, receiver, Emission(GHZ + 30e6, -40, 20e6)) < -300


@pytest.mark.parametrize(
    ("burst_s", "duty", "packet_s", "expected"),
    [
        (1e-3, 0.5, 0.0, 0.5), (1e-3, 0.5, 0.5e-3, 0.75), (1e-3, 0.5, 5e-3, 1.0),
        (1e-3, 0.0, 1e-3, 0.0), (1e-3, 1.0, 1e-6, 1.0), (2e-3, 0.1, 1e-3, 0.15),
    ],
)  # fmt: skip
def test_bursts_hit_as_often_as_their_length_and_the_packets_say(burst_s, duty, packet_s, expected):
    assert error_rates.hit_probability(burst_s, duty, packet_s) == pytest.approx(expected)


def test_lte_throughput_follows_the_attenuated_bound():
    """3GPP TR 36.942, A.2."""
    assert error_rates.lte_efficiency_bps_hz(-10.1) == 0
    assert error_rates.lte_efficiency_bps_hz(0) == pytest.approx(0.6)
    assert error_rates.lte_efficiency_bps_hz(22) == pytest.approx(4.4, abs=0.02)
    assert error_rates.lte_efficiency_bps_hz(40) == 4.4


def test_nr_throughput_goes_on_where_that_of_lte_ends():
    """3GPP TR 38.803, 5.2.7: α 0.6 from −10 to 30 dB, 5.98 bit/s/Hz with 256-QAM."""
    nr = error_rates.nr_efficiency_bps_hz
    assert nr(-10.1) == 0
    assert nr(-10) == pytest.approx(0.6 * 0.1375, rel=1e-3)
    assert nr(0) == pytest.approx(0.6)
    assert (
        nr(20) == pytest.approx(error_rates.lte_efficiency_bps_hz(20)) == pytest.approx(3.995, 1e-3)
    )
    assert nr(30) == nr(45) == pytest.approx(5.98, abs=0.005)
    cell = Arrival("cell", Emission(3.5e9, -40.0, 98.28e6))
    found = receive(Receiver("nr-100mhz", 3.5e9, "cell", 9.0), (cell,))
    assert found.rate_bps == pytest.approx(5.98 * 98.28e6, rel=1e-3)
    assert (found.packet_error_ratio, found.attempt_s) == (0, 0)


@seeded
@given(st.floats(-40, 60), st.floats(0, 30))
def test_nr_throughput_never_falls_with_a_better_signal(sinr_db, more_db):
    nr = error_rates.nr_efficiency_bps_hz
    assert 0 <= nr(sinr_db) <= nr(sinr_db + more_db) <= nr(30)


WORLD = World(
    emitters={"sensor": Emission(GHZ, -30.0, 2e6)},
    paths=(
        Path("sensor", "victim", ((0.0, 40.0),)),
        Path("gen:1", "victim", ((2.4e9, 30.0), (2.5e9, 32.0)), ("att:1",), (("sw:A", 2),)),
    ),
    receivers={"victim": Receiver("ieee802154", GHZ, "sensor")},
)


def heard(level_dbm: float, att_db: float = 0.0, position: int = 2, **more: float):
    emission = Emission(GHZ, level_dbm, 2e6, **more)
    state = RadioState({"gen:1": emission}, {"att:1": att_db}, {"sw:A": position})
    return receive(WORLD.receivers["victim"], arrivals(WORLD, state, "victim"))


def test_generator_attenuator_switch_and_path_decide_what_the_victim_receives():
    quiet = receive(WORLD.receivers["victim"], arrivals(WORLD, RadioState(), "victim"))
    assert quiet.packet_error_ratio < 1e-9
    assert quiet.noise_dbm == pytest.approx(-173.975 + 63.01 + 6, abs=0.01)
    loud = heard(-37.0)  # 30.8 dB on the way: 2.2 dB above the wanted signal
    assert loud.sinr_db == pytest.approx(-70 + 67.8, abs=0.01)
    assert loud.packet_error_ratio > 0.5
    assert heard(-37.0, att_db=10.0).packet_error_ratio < 1e-6
    assert heard(-37.0, position=1) == quiet
    half = heard(-37.0, duty=0.5, burst_s=0.1)
    assert half.packet_error_ratio == pytest.approx(
        loud.packet_error_ratio * 0.5 * (0.1 + 160 / 250e3) / 0.1, rel=1e-6
    )


def test_an_lte_receiver_loses_rate_before_it_loses_packets():
    receiver = Receiver("lte-20mhz", 2.14e9, "cell", noise_figure_db=7.0)
    cell = Arrival("cell", Emission(2.14e9, -70.0, 18e6))

    def at(sinr_db: float, duty: float = 1.0, burst_s: float = 0.0):
        jammer = Emission(2.14e9, -70.0 - sinr_db, 18e6, duty, burst_s)
        return receive(receiver, (cell, Arrival("jammer", jammer)))

    assert receive(receiver, (cell,)).rate_bps == pytest.approx(4.4 * 18e6)
    found = at(0.0)
    assert found.rate_bps == pytest.approx(0.6 * 18e6, rel=5e-3)
    assert found.packet_error_ratio == 0
    assert (at(-11.0).rate_bps, at(-11.0).packet_error_ratio) == (0, 1)
    half = at(-11.0, 0.5, 9e-3)  # each burst of 9 ms spoils 10 ms of 18
    assert half.packet_error_ratio == pytest.approx(10 / 18)
    assert half.rate_bps == pytest.approx(8 / 18 * 4.4 * 18e6)


@seeded
@given(st.floats(-100, 20), st.floats(0, 90), st.floats(0, 20))
def test_more_interference_is_never_better(level_dbm, att_db, more_db):
    weaker, stronger = heard(level_dbm, att_db), heard(level_dbm + more_db, att_db)
    assert stronger.packet_error_ratio >= weaker.packet_error_ratio - 1e-12
    assert 0 <= stronger.packet_error_ratio <= 1


def test_without_its_carrier_a_receiver_receives_nothing():
    reception = receive(WORLD.receivers["victim"], ())
    assert (reception.carrier_dbm, reception.packet_error_ratio) == (None, 1.0)


def test_a_path_is_never_used_beyond_its_table():
    state = RadioState({"gen:1": Emission(5e9, 0.0)}, {}, {"sw:A": 2})
    with pytest.raises(NoPathLoss, match="outside"):
        arrivals(WORLD, state, "victim")
    assert interpolated_db(((1.0, 3.0), (3.0, 5.0)), 2.0) == 4.0


@pytest.mark.parametrize("gain_db", [0.0, 6.0])
@pytest.mark.parametrize(("distance_m", "frequency_hz"), [(10.0, 2.44e9), (1000.0, 700e6)])
def test_antennas_lose_what_free_space_does_less_their_gain(distance_m, frequency_hz, gain_db):
    """ITU-R P.525: 32.4 + 20 lg(f in MHz) + 20 lg(d in km), dB; on top of the cables' loss."""
    free_db = 32.4 + 20 * np.log10(frequency_hz / 1e6) + 20 * np.log10(distance_m / 1e3)
    path = Path("far", "victim", ((0.0, 3.0),), distance_m=distance_m, gain_db=gain_db)
    world = World(emitters={"far": Emission(frequency_hz, 20.0)}, paths=(path,))
    [one] = arrivals(world, RadioState(), "victim")
    assert one.emission.level_dbm == pytest.approx(20.0 - 3.0 - free_db + gain_db, abs=0.06)


def test_a_cable_has_no_free_space_and_no_distance_amplifies():
    emitters = {"far": Emission(GHZ, 20.0)}
    for distance_m in (0.0, 0.001):
        path = Path("far", "victim", distance_m=distance_m)
        [one] = arrivals(World(emitters=emitters, paths=(path,)), RadioState(), "victim")
        assert one.emission.level_dbm == 20.0


def test_the_analyser_shows_carriers_bands_and_its_floor():
    came = [Emission(GHZ, -23.0), Emission(GHZ + 3e6, -40.0, 1e6)]
    trace = trace_dbm(came, GHZ - 5e6, GHZ + 5e6, 1001, 100e3, 20.0)
    frequencies = np.linspace(GHZ - 5e6, GHZ + 5e6, 1001)
    assert trace.max() == pytest.approx(-23.0, abs=0.01)
    assert frequencies[trace.argmax()] == pytest.approx(GHZ)
    assert trace[0] == pytest.approx(noise_dbm(100e3, 20.0), abs=0.01)
    assert trace[800] == pytest.approx(-50.0, abs=0.01)  # a tenth of its band in the filter
    assert summed_dbm([-3.0103, -3.0103]) == pytest.approx(0, abs=1e-4)


GOOD = """
[emitters.sensor]
frequency = "2.44GHz"
level = "-30dBm"
bandwidth = "2MHz"
[[paths]]
from = "sensor"
to = "victim"
loss = "40dB"
[[paths]]
from = "generator"
to = "victim"
losses = [["2.4GHz", "30dB"], ["2.5GHz", "32dB"]]
attenuators = ["attenuator"]
switches = { "switch:A" = 2 }
[receivers.victim]
technology = "ieee802154"
frequency = "2.44GHz"
wanted = "sensor"
"""


def test_a_world_file_is_read(tmp_path):
    file = tmp_path / "world.toml"
    file.write_text(GOOD)
    world = read_world(file)
    assert world.paths[1] == Path(
        "generator:1", "victim", ((2.4e9, 30.0), (2.5e9, 32.0)), ("attenuator:1",),
        (("switch:A", 2),),
    )  # fmt: skip
    assert world.emitters["sensor"] == Emission(GHZ, -30.0, 2e6)
    assert "wifi20" in world.waveforms


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"-30dBm"', '"-30dB"', "unknown unit"),
        ('"-30dBm"', "-30", "has no unit"),
        ("bandwidth =", "bandwith =", "did you mean bandwidth"),
        ('"ieee802154"', '"zigbee"', "use one of"),
        ('wanted = "sensor"', 'wanted = "senser"', "does not reach this receiver"),
        ('"2.5GHz"', '"2.3GHz"', "does not ascend"),
        ('"switch:A" = 2', '"switch:A" = 0', "no whole number"),
        ("[receivers.victim]", "[receiver.victim]", "unknown key"),
    ],
)
def test_a_world_file_that_cannot_be_is_refused_in_one_line(tmp_path, old, new, words):
    assert old in GOOD
    file = tmp_path / "world.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_world(file)
    assert words in caught.value.line()
    assert str(file) in caught.value.line()
