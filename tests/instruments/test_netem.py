"""The netem emulator as far as a kernel without netem shows it: bytes, refusals, redirection."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.delays import unit_table
from bench.network.impairment import (
    CLEAN,
    Delay,
    FourState,
    GilbertElliott,
    Impairment,
    Reordering,
    Slot,
    bernoulli,
)
from instruments.emulators.base import EmulatorError, LinkPlan
from instruments.emulators.netem import Capability, NetemEmulator, probe, refused_plan
from instruments.emulators.netem_law import drained, netem_state, refusal, wide_enough
from instruments.emulators.netem_probe import needs
from instruments.emulators.netem_state import NetemState, SlotState, pack, unpack
from instruments.emulators.qdiscs import MEANS, TrafficControl

FULL = 0xFFFFFFFF
TABLE = tuple(range(-2048, 2048))
u32, s32 = st.integers(0, FULL), st.integers(-(2**31), 2**31 - 1)
u63 = st.integers(0, 2**63 - 1)


@given(
    st.builds(
        NetemState,
        latency_ns=u63,
        jitter_ns=st.integers(0, 2**31 - 1),
        limit=u32,
        loss=u32,
        gap=u32,
        duplicate=u32,
        reorder=u32,
        corrupt=u32,
        correlations=st.tuples(u32, u32, u32, u32, u32),
        rate=st.integers(0, 2**40),
        overhead=s32,
        cell_size=u32,
        cell_overhead=s32,
        ecn=st.integers(0, 1),
        gemodel=st.none() | st.tuples(u32, u32, u32, u32),
        slot=st.builds(SlotState, u63, u63, s32, s32, u63, u63),
        table=st.sampled_from([(), unit_table("normal"), (1, -2)]),
        slot_table=st.sampled_from([(), unit_table("uniform")]),
        seed=st.none() | st.integers(0, 2**64 - 1),
    )
)
def test_a_state_survives_its_bytes(state):
    assert unpack(pack(state)) == state


@given(st.tuples(u32, u32, u32, u32, u32))
def test_four_state_loss_survives_its_bytes(model):
    assert unpack(pack(NetemState(four_state=model))) == NetemState(four_state=model)


NEUTRAL = {
    "corr": "1000" "0100" + "00000000" * 3,
    "reorder": "0c00" "0300" + "00000000" * 2,
    "ecn": "0800" "0700" "00000000",
    "corrupt": "0c00" "0400" + "00000000" * 2,
    "rate": "1400" "0600" + "00000000" * 4,
    "slot": "2c00" "0c00" + "00" * 40,
}  # fmt: skip


def test_the_bytes_are_the_kernel_s():
    """Written out from linux/pkt_sched.h; a change leaves nothing of the state before."""
    state = netem_state(
        Impairment(Delay(0.020), loss=GilbertElliott(0.5, 1.0, 0.0, 1.0), order="allow")
    )
    assert pack(state).hex() == (
        "b4c40400" + "a00f0000" + "00000000" * 4  # 312500 ticks, limit 4000
        + "0c00" "0a00" + "002d310100000000"  # 20,000,000 ns
        + "0c00" "0b00" + "0000000000000000"
        + NEUTRAL["corr"] + NEUTRAL["reorder"] + NEUTRAL["ecn"] + NEUTRAL["corrupt"]
        + "1800" "0580" + "1400" "0200" + "00000080" + "ffffffff" + "00000000" + "00000000"
        + NEUTRAL["rate"] + NEUTRAL["slot"]
    )  # fmt: skip


def test_what_the_tc_program_may_not_know_has_the_kernel_s_bytes():
    """Nanoseconds and seed (TCA_NETEM_LATENCY64 10, JITTER64 11, PRNG_SEED 14)."""
    data = pack(NetemState(20_000_007, 65, seed=0x0102030405060708)).hex()
    assert "0c000a00072d3101000000000c000b004100000000000000" in data
    assert data.endswith("0c000e00" "0807060504030201")  # fmt: skip
    assert data.startswith("b4c40400e8030000" + "00000000" * 3 + "01000000")  # whole ticks


def test_impairments_become_netem_states():
    jitter = netem_state(Impairment(Delay(0.02, "normal", 0.001), loss=bernoulli(0.25)))
    assert (jitter.latency_ns, jitter.jitter_ns) == (20_000_000, 1_000_000)
    assert jitter.table == unit_table("normal")
    assert jitter.loss == round(0.25 * FULL)
    assert jitter.rate == 12_500_000_000  # forbids overtaking
    assert netem_state(Impairment(Delay(0.02, "normal", 0.001), order="allow")).rate == 0
    assert netem_state(Impairment(up=False)).loss == FULL
    limited = netem_state(Impairment(rate_bps=1e6, queue_s=0.05), packet_bytes=1042)
    assert (limited.rate, limited.overhead) == (125_000, 24)
    assert limited.limit == 1 + 6  # 50 ms at 8.528 ms a frame
    assert netem_state(Impairment(Delay(1.0))).limit == 200_000


def test_every_law_brings_its_table():
    for law in ("uniform", "pareto", "paretonormal"):
        state = netem_state(Impairment(Delay(0.02, law, 0.001)))
        assert state.table == unit_table(law)
    assert netem_state(Impairment(Delay(0.02, "table", 0.001, TABLE))).table == TABLE
    assert netem_state(Impairment(Delay(0.02))).table == ()


def test_the_rest_of_an_impairment_becomes_netem_states():
    assert netem_state(Impairment(duplication=0.5)).duplicate == round(0.5 * FULL)
    skipping = netem_state(Impairment(Delay(0.02), "allow", reordering=Reordering(0.5, 3)))
    assert (skipping.gap, skipping.reorder) == (3, round(0.5 * FULL))
    assert netem_state(Impairment(slot=Slot(0.01, 0.02))).slot == SlotState(10_000_000, 20_000_000)
    damaged = netem_state(Impairment(ber=1e-6), packet_bytes=1000)
    assert damaged.corrupt == pytest.approx((1 - (1 - 1e-6) ** 8000) * FULL, abs=1)
    down = netem_state(Impairment(up=False, duplication=0.5, ber=1e-6), packet_bytes=1000)
    assert (down.loss, down.duplicate, down.corrupt) == (FULL, 0, 0)  # a copy would pass


def test_four_state_loss_keeps_its_sums_within_32_bits():
    """The kernel adds p13 and p14, and p31 and p32; carried over, the sum would be zero."""
    third = 1 / 3
    state = netem_state(Impairment(loss=FourState(p13=third, p14=1 - third, p31=0.5, p32=0.5)))
    p13, p31, p32, p14, p23 = state.four_state
    assert p13 + p14 <= FULL
    assert p31 + p32 <= FULL
    assert p23 == FULL
    assert p13 / FULL == pytest.approx(third)


def test_a_queue_in_packets_is_the_limit():
    rate = Impairment(rate_bps=1e6, queue_packets=12, queue_s=1.0)
    assert netem_state(rate).limit == 12
    assert netem_state(rate, packet_bytes=1000).limit == 12
    delayed = rate.with_(delay=Delay(0.1))
    assert netem_state(delayed, packet_bytes=976).limit == 12 + 13  # 12.5 are in the delay
    assert netem_state(delayed.with_(queue_s=0.04), packet_bytes=976).limit == 19  # 1 + 5 + 12.5
    assert netem_state(rate.with_(framing_bytes=38)).overhead == 38


def test_places_are_left_for_what_still_waits():
    """A shorter queue than what waits from before would drop all that comes."""
    long, short = Impairment(Delay(1.0)), Impairment(Delay(0.001))
    wide = wide_enough(netem_state(short), netem_state(long), short)
    assert wide == replace(netem_state(short), limit=200_000)
    assert wide_enough(netem_state(long), netem_state(short), long) == netem_state(long)
    rate = Impairment(rate_bps=1e6)
    state = netem_state(rate, packet_bytes=1000)
    assert wide_enough(state, netem_state(long), rate) == state
    assert drained(netem_state(long)).limit >= 4_000_000


ONE_BIT = 0.02 / 8000


@pytest.mark.parametrize(
    ("impairment", "packet_bytes", "field"),
    [
        (Impairment(hold=True), None, "hold"),
        (Impairment(mtu_bytes=1280), None, "mtu_bytes"),
        (Impairment(rate_bps=1e6), None, "rate_bps"),
        (Impairment(rate_bps=11.0), 100, "rate_bps"),
        (Impairment(Delay(10.0, "uniform", 3.0)), None, "delay.spread_s"),
        (Impairment(rate_bps=1e6, order="allow"), 1500, "order"),
        (Impairment(Delay(0.01), rate_bps=1e6, queue_packets=9), None, "queue_packets"),
        (Impairment(rate_bps=1e6, queue_packets=17), None, "queue_s"),
        (Impairment(duplication=0.1, loss=bernoulli(0.1)), None, "duplication"),
        (Impairment(ber=1e-6), None, "ber"),
        (Impairment(ber=1.1 * ONE_BIT), 1000, "ber"),
        (Impairment(slot=Slot(0.01, 0.02, packets=5)), None, "slot"),
        (Impairment(slot=Slot(0.01, 0.02, bytes=5000)), None, "slot"),
        (Impairment(Delay(0.01), slot=Slot(0.01, 0.02)), None, "slot"),
        (Impairment(rate_bps=1e6, slot=Slot(0.01, 0.02)), 1000, "slot"),
        (Impairment(slot=Slot(0.01, 3.0)), None, "slot"),
        (Impairment(loss=bernoulli(1e-9)), None, "loss.loss_good"),
        (Impairment(loss=FourState(1e-9, 0.5)), None, "loss.p13"),
    ],
)
def test_what_netem_would_distort_is_refused(impairment, packet_bytes, field):
    with pytest.raises(InputError) as caught:
        netem_state(impairment, packet_bytes=packet_bytes)
    assert caught.value.field == field
    plan = LinkPlan("primary", "a", "b", ((0, CLEAN),), ((0, CLEAN), (1, impairment)), 1)
    assert refused_plan([plan], packet_bytes).field == field
    with pytest.raises(InputError):
        NetemEmulator(packet_bytes).start([plan], 0)


@pytest.mark.parametrize(
    ("impairment", "packet_bytes"),
    [
        (Impairment(rate_bps=1e6, queue_packets=16), None),
        (Impairment(rate_bps=1e6, queue_packets=17), 1500),
        (Impairment(duplication=0.1, loss=bernoulli(0.0)), None),
        (Impairment(ber=ONE_BIT), 1000),
        (Impairment(slot=Slot(0.01, 2.0)), None),
        (Impairment(loss=bernoulli(1e-6)), None),
        (Impairment(up=False, duplication=0.1), None),
    ],
)
def test_what_netem_does_faithfully_is_not_refused(impairment, packet_bytes):
    assert refusal(impairment, packet_bytes) is None


def test_a_rate_forbids_overtaking_so_both_together_are_refused():
    with pytest.raises(InputError, match="overtake"):
        netem_state(Impairment(rate_bps=1e6, order="allow"), packet_bytes=1500)


def test_damage_with_a_second_error_is_rare_where_it_is_not_refused():
    """At the largest bit error ratio allowed, one damaged packet in a hundred has another."""
    bits = 8000
    one = bits * ONE_BIT * (1 - ONE_BIT) ** (bits - 1)
    damaged = -math.expm1(bits * math.log1p(-ONE_BIT))
    assert 1 - one / damaged < 0.01


EVERYTHING = (
    "loss", "duplication", "reordering", "corruption", "rate", "64-bit rate", "times in ns",
    "distribution", "gilbert-elliott", "four-state", "slot",
)  # fmt: skip


@pytest.mark.parametrize(
    ("lacks", "impairment", "field"),
    [
        ("loss", Impairment(up=False), "loss"),
        ("duplication", Impairment(duplication=0.1), "duplication"),
        ("64-bit rate", CLEAN, "order"),
        ("times in ns", Impairment(Delay(0.000_000_001)), "delay"),
        ("distribution", Impairment(Delay(0.1, "uniform", 0.01)), "delay.law"),
        ("gilbert-elliott", Impairment(loss=GilbertElliott(0.1, 0.1)), "loss"),
        ("four-state", Impairment(loss=FourState(0.1, 0.1)), "loss"),
        ("slot", Impairment(slot=Slot(0.1, 0.1)), "slot"),
        ("reordering", Impairment(Delay(0.1), "allow", reordering=Reordering(0.1)), "reordering"),
    ],
)
def test_what_a_kernel_does_not_keep_is_refused_before_the_start(lacks, impairment, field):
    keeps = tuple(name for name in EVERYTHING if name != lacks)
    able = Capability(True, False, "u32", "6.1", keeps=EVERYTHING)
    unable = replace(able, keeps=keeps)
    plan = LinkPlan("primary", "a", "b", ((0, impairment),), (), 1)
    assert lacks in needs(netem_state(impairment))
    assert refused_plan([plan], capability=able) is None
    assert refused_plan([plan], capability=unable).field == field
    with pytest.raises(InputError, match=lacks):
        NetemEmulator(capability=unable).start([plan], 0)


@pytest.mark.parametrize("means", MEANS)
def test_joined_interfaces_pass_frames_both_ways_until_restored(isolated, wire, means):
    def check():
        link = wire()
        control = TrafficControl()
        ends = control.index("fa"), control.index("fb")
        try:
            control.join(*ends, means=(means,))
        except EmulatorError as error:
            return str(error)
        deadline = time.monotonic() + 20
        there, back = set(), set()
        while not (there and back) and time.monotonic() < deadline:  # a bridge needs its time
            link.a.send(link.frame(1))
            link.b.send(link.frame(2))
            time.sleep(0.02)
            there |= {number for number, *_ in link.received(link.b)}
            back |= {number for number, *_ in link.received(link.a)}
        control.restore()
        control.restore()
        link.a.send(link.frame(3))
        time.sleep(0.05)
        after = [number for number, *_ in link.received(link.b) if number == 3]
        control.close()
        return there, back, after

    answer = isolated(check)
    if isinstance(answer, str):
        assert "this kernel does not have it" in answer
        pytest.skip(answer)
    assert answer == ({1}, {2}, [])


def test_the_probe_says_what_this_kernel_has_and_leaves_nothing(isolated):
    def check():
        before = Path("/proc/net/dev").read_text().count(":")
        capability = probe()
        after = Path("/proc/net/dev").read_text().count(":")
        control = TrafficControl()
        try:
            control.add_netem(control.index("lo"), NetemState())
            has = True
        except EmulatorError:
            has = False
        control.restore()
        return before == after, capability, has

    unchanged, capability, has = isolated(check)
    assert unchanged
    assert capability.netem == has
    assert bool(capability.reason) != capability.netem
    assert json.dumps(capability.kernel)


def test_a_kernel_without_netem_is_said(isolated, wire):
    def check():
        wire()
        if probe().netem:
            return None
        with pytest.raises(EmulatorError, match="cannot add netem"):
            NetemEmulator().start([LinkPlan("p", "fa", "fb", (), (), 1)], time.monotonic_ns())
        return True

    if isolated(check) is None:
        pytest.skip("this kernel has netem")
