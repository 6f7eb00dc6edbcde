"""The netem emulator as far as a kernel without netem shows it: bytes, refusals, redirection."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.impairment import CLEAN, Delay, GilbertElliott, Impairment, bernoulli
from instruments.emulators.base import EmulatorError, LinkPlan
from instruments.emulators.netem import NetemEmulator, probe, refused_plan
from instruments.emulators.netem_state import (
    NetemState,
    distribution,
    netem_state,
    pack,
    unpack,
)
from instruments.emulators.qdiscs import MEANS, TrafficControl

FULL = 0xFFFFFFFF
u32 = st.integers(0, FULL)


@given(
    st.builds(
        NetemState,
        latency_ns=st.integers(0, 10**12),
        jitter_ns=st.integers(0, 2**31 - 1),
        limit=u32,
        loss=u32,
        gap=u32,
        duplicate=u32,
        rate=st.integers(0, 2**40),
        overhead=st.integers(-100, 100),
        gemodel=st.none() | st.tuples(u32, u32, u32, u32),
        table=st.sampled_from([None, "normal", "uniform"]),
        seed=st.none() | st.integers(0, 2**64 - 1),
    )
)
def test_a_state_survives_its_bytes(state):
    assert unpack(pack(state)) == state


def test_the_bytes_are_the_kernel_s():
    """Written out from linux/pkt_sched.h: header, then RATE, LATENCY64, JITTER64, LOSS."""
    state = netem_state(
        Impairment(Delay(0.020), loss=GilbertElliott(0.5, 1.0, 0.0, 1.0), order="allow")
    )
    assert pack(state).hex() == (
        "b4c40400" + "a00f0000" + "00000000" * 4  # 312500 ticks, limit 4000
        + "1400" "0600" + "00000000" * 4
        + "0c00" "0a00" + "002d310100000000"  # 20,000,000 ns
        + "0c00" "0b00" + "0000000000000000"
        + "1800" "0580" + "1400" "0200" + "00000080" + "ffffffff" + "00000000" + "00000000"
    )  # fmt: skip


def test_impairments_become_netem_states():
    jitter = netem_state(Impairment(Delay(0.02, "normal", 0.001), loss=bernoulli(0.25)))
    assert (jitter.latency_ns, jitter.jitter_ns, jitter.table) == (20_000_000, 1_000_000, "normal")
    assert jitter.loss == round(0.25 * FULL)
    assert jitter.rate == 12_500_000_000  # forbids overtaking
    assert netem_state(Impairment(Delay(0.02, "normal", 0.001), order="allow")).rate == 0
    assert netem_state(Impairment(up=False)).loss == FULL
    limited = netem_state(Impairment(rate_bps=1e6, queue_s=0.05), packet_bytes=1042)
    assert (limited.rate, limited.overhead) == (125_000, 24)
    assert limited.limit == 1 + 6  # 50 ms at 8.528 ms a frame
    assert netem_state(Impairment(Delay(1.0))).limit == 200_000


@pytest.mark.parametrize(
    ("impairment", "field"),
    [
        (Impairment(hold=True), "hold"),
        (Impairment(rate_bps=1e6), "rate_bps"),
        (Impairment(Delay(10.0, "uniform", 3.0)), "delay.spread_s"),
    ],
)
def test_what_netem_would_distort_is_refused(impairment, field):
    with pytest.raises(InputError) as caught:
        netem_state(impairment)
    assert caught.value.field == field
    plan = LinkPlan("primary", "a", "b", ((0, CLEAN),), ((0, CLEAN), (1, impairment)), 1)
    assert refused_plan([plan]).field == field
    with pytest.raises(InputError):
        NetemEmulator().start([plan], 0)


def test_a_rate_forbids_overtaking_so_both_together_are_refused():
    with pytest.raises(InputError, match="overtake"):
        netem_state(Impairment(rate_bps=1e6, order="allow"), packet_bytes=1500)


def test_the_normal_table_is_iproute2_s():
    table = distribution("normal")
    assert table[:3] == (-32768, -28307, -26871)
    assert table[-3:] == (26164, 27159, 28858)
    for file in Path("/usr/lib").glob("**/tc/normal.dist"):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        theirs = [int(word) for line in lines for word in line.split()]
        assert max(abs(a - b) for a, b in zip(table, theirs, strict=True)) <= 1


def test_the_uniform_table_is_even():
    table = distribution("uniform")
    assert len(table) == 4096
    assert (table[0], table[-1]) == (-8190, 8190)
    assert {b - a for a, b in pairwise(table)} == {4}


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
            control.add_netem(control.index("lo"), netem_state(CLEAN))
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
