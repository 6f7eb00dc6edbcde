"""Impairments from TOML tables and as plain values: every field, every mistake named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.delays import TABLE_SIZE, Delay
from bench.network.impairment import (
    CLEAN,
    FourState,
    GilbertElliott,
    Impairment,
    Reordering,
    Slot,
    bernoulli,
)
from bench.network.impairment_files import KEYS, from_plain, impairment_from, to_plain
from bench.tables import read_toml

EVERYTHING = """
delay = "20ms"
law = "pareto"
jitter = "2ms"
order = "allow"
loss = { model = "four-state", p13 = "1%", p31 = "20%", p32 = "5%", p23 = "90%", p14 = "0.1%" }
duplication = "0.1%"
reordering = { ratio = "2%", gap = 5 }
ber = "1e-7"
rate = "100Mbit/s"
framing = "38B"
queue = "400 packets"
mtu = "9kB"
up = true
hold = true
"""


def read(text, tmp_path, base=CLEAN):
    path = tmp_path / "impairment.toml"
    path.write_text(text)
    return impairment_from(read_toml(path, "the impairment"), base)


def test_every_field(tmp_path):
    assert read(EVERYTHING, tmp_path) == Impairment(
        delay=Delay(0.020, "pareto", 0.002),
        order="allow",
        loss=FourState(0.01, 0.2, 0.05, 0.9, 0.001),
        rate_bps=100e6,
        hold=True,
        duplication=0.001,
        reordering=Reordering(0.02, 5),
        ber=1e-7,
        framing_bytes=38,
        queue_packets=400,
        mtu_bytes=9000,
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ('loss = "1%"', {"loss": bernoulli(0.01)}),
        ('loss = "0%"', {"loss": None}),
        (
            'loss = {model = "gilbert-elliott", p_good_to_bad = "1%", p_bad_to_good = "25%"}',
            {"loss": GilbertElliott(0.01, 0.25)},
        ),
        ('rate = "1Mbit/s"\nqueue = "50ms"', {"rate_bps": 1e6, "queue_s": 0.05}),
        ('rate = "1Mbit/s"\nqueue = "100"', {"rate_bps": 1e6, "queue_packets": 100}),
        ('rate = "1Mbit/s"\nqueue = 100', {"rate_bps": 1e6, "queue_packets": 100}),
        ("framing = 0", {"framing_bytes": 0}),
        ('slot = "10ms"', {"slot": Slot(0.01, 0.01)}),
        ("mtu = 1280", {"mtu_bytes": 1280}),
        (
            'slot = {low = "5ms", high = "10ms", packets = 8, bytes = "64kB"}',
            {"slot": Slot(0.005, 0.01, 8, 64000)},
        ),
        (
            'delay = "5ms"\norder = "allow"\nreordering = "1%"',
            {"delay": Delay(0.005), "order": "allow", "reordering": Reordering(0.01)},
        ),
        ("up = false", {"up": False}),
    ],
)
def test_each_way_of_writing(text, fields, tmp_path):
    assert read(text, tmp_path) == Impairment(**fields)


def test_base_holds_where_the_table_is_silent(tmp_path):
    base = Impairment(delay=Delay(0.02, "normal", 0.002), rate_bps=1e6, loss=bernoulli(0.1))
    assert read('delay = "30ms"', tmp_path, base) == base.with_(delay=Delay(0.03, "normal", 0.002))
    assert read('law = "constant"', tmp_path, base) == base.with_(delay=Delay(0.02))
    assert read('loss = "0%"', tmp_path, base) == base.with_(loss=None)


# Measured delays


def test_table_law_from_a_file_beside_it(tmp_path):
    sample = np.random.default_rng(1).gamma(4.0, 0.005, 3000)
    lines = ["# measured one-way delays", *(f"{value * 1e3:.6f} ms" for value in sample)]
    (tmp_path / "delays.txt").write_text("\n".join(lines))
    delay = read('law = "table"\ntable = "delays.txt"', tmp_path).delay
    assert delay.law == "table"
    assert delay.mean_s == pytest.approx(sample.mean(), rel=1e-3)
    places = (0.01, 0.5, 0.99)
    assert np.quantile(delay.values_s(), places) == pytest.approx(
        np.quantile(sample, places), rel=5e-3
    )
    moved = read('law = "table"\ntable = "delays.txt"\ndelay = "80ms"', tmp_path).delay
    assert moved.mean_s == 0.08
    assert (moved.table, moved.spread_s) == (delay.table, delay.spread_s)


def test_table_law_from_numbers(tmp_path):
    numbers = [0] * (TABLE_SIZE // 2) + [8192] * (TABLE_SIZE // 2)
    text = f'law = "table"\ndelay = "5ms"\njitter = "1ms"\ntable = {numbers}'
    assert read(text, tmp_path).delay == Delay(0.005, "table", 0.001, tuple(numbers))


BROKEN = {
    "unknown key": ('latency = "1ms"', "latency", "unknown key"),
    "near miss": ('jiter = "1ms"', "jiter", "did you mean jitter?"),
    "bare number": ("delay = 5", "delay", 'like "20ms"'),
    "two values": ('delay = "10ms 2ms"', "delay", "a key each"),
    "unknown law": ('law = "cauchy"', "law", "paretonormal"),
    "jitter without law": ('delay = "5ms"\njitter = "1ms"', "delay.law", "uniform or normal"),
    "jitter beyond delay": (
        'delay = "5ms"\njitter = "6ms"\nlaw = "uniform"', "delay.spread_s", "larger than the delay",
    ),
    "table without law": ('table = "x.txt"', "table", 'add law = "table"'),
    "law without table": ('law = "table"', "table", "name a file"),
    "no such file": ('law = "table"\ntable = "x.txt"', "table", "cannot be read"),
    "short table": (
        'law = "table"\ndelay = "5ms"\njitter = "1ms"\ntable = [1, 2]', "table", "4096",
    ),
    "table without mean": (
        f'law = "table"\njitter = "1ms"\ntable = {[0] * TABLE_SIZE}', "delay", "its mean",
    ),
    "unknown order": ('order = "maybe"', "order", "preserve, allow"),
    "loss above one": ('loss = "101%"', "loss", "0 to 1"),
    "correlated loss": ('loss = "1% 25%"', "loss", "gilbert-elliott"),
    "correlation key": ('loss = "1%"\nloss_correlation = "25%"', "loss_correlation", "changes the"),
    "correlation": ('correlation = "25%"', "correlation", "gilbert-elliott"),
    "correlated jitter": ('jitter_correlation = "25%"', "jitter_correlation", "is refused"),
    "correlated duplicates": ('duplication = "1% 25%"', "duplication", "is refused"),
    "correlated reordering": ('reordering = "1% 25%"', "reordering", "is refused"),
    "correlation in a model": (
        'loss = {model = "gilbert-elliott", correlation = "1%"}', "loss.correlation", "is refused",
    ),
    "loss without model": ('loss = {p13 = "1%"}', "loss.model", "four-state"),
    "unknown model": ('loss = {model = "markov"}', "loss.model", "gilbert-elliott, four-state"),
    "model with a gap": (
        'loss = {model = "gilbert-elliott", p_good_to_bad = "1%"}',
        "loss.p_bad_to_good", "is missing",
    ),
    "key of the other model": (
        'loss = {model = "gilbert-elliott", p13 = "1%"}', "loss.p13", "unknown key",
    ),
    "ways out above one": (
        'loss = {model = "four-state", p13 = "60%", p31 = "1%", p14 = "60%"}',
        "loss.p13 + loss.p14", "more than 1",
    ),
    "zero rate": ('rate = "0bit/s"', "rate_bps", "positive"),
    "bytes per second": ('rate = "5MB/s"', "rate", "bit/s"),
    "no queue": ('queue = "0s"', "queue_s", "positive"),
    "queue without rate": ('queue = "100"', "queue_packets", "give a rate"),
    "queue below rate x delay": (
        'delay = "100ms"\nrate = "1Gbit/s"\nqueue = "10"', "queue_packets", "rate x delay",
    ),
    "reordering in order": (
        'delay = "5ms"\nreordering = "1%"', "reordering", 'order = "allow"',
    ),
    "half a gap": (
        'delay = "5ms"\norder = "allow"\nreordering = {ratio = "1%", gap = 1.5}',
        "reordering.gap", "whole number",
    ),
    "mtu of nothing": ("mtu = 67", "mtu_bytes", "below 68 bytes"),
    "slot backwards": ('slot = {low = "5ms", high = "1ms"}', "slot", "low <= high"),
    "slot out of order": ('slot = "5ms"\norder = "allow"', "slot", "in order"),
    "flag in quotes": ('up = "false"', "up", "without quotes"),
    "hold and down": ("up = false\nhold = true", "hold", "both hold and drop"),
    "ber above one": ('ber = "2"', "ber", "0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_mistake_is_named_with_its_remedy(case, tmp_path):
    text, place, words = BROKEN[case]
    with pytest.raises(InputError) as caught:
        read(text, tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "impairment.toml"))
    assert caught.value.field == place
    assert words in message


def test_a_bad_line_of_measured_delays_is_named(tmp_path):
    (tmp_path / "d.txt").write_text("# x\n1 ms\n2\n")
    with pytest.raises(InputError, match=r"d\.txt: line 3\.delay = '2': has no unit"):
        read('law = "table"\ntable = "d.txt"', tmp_path)


def test_the_keys_are_the_fields_of_an_impairment():
    assert len(set(KEYS)) == len(KEYS)
    for key in KEYS:
        assert key in EVERYTHING or key in ("table", "slot")


# Plain values

laws = st.sampled_from(["constant", "uniform", "normal", "pareto", "paretonormal"])
delays = st.builds(
    lambda mean_s, share, law: Delay(mean_s, law, 0.0 if law == "constant" else mean_s * share),
    st.floats(0.001, 9),
    st.floats(0, 0.25),
    laws,
) | st.just(Delay(0.01, "table", 0.001, tuple(i - 2048 for i in range(TABLE_SIZE))))
ratio = st.floats(0, 1)
half = st.floats(0, 0.5)
losses = (
    st.none()
    | st.builds(GilbertElliott, ratio, ratio, ratio, ratio)
    | st.builds(FourState, half, half, half, ratio, half)
)
slots = st.builds(
    lambda low_s, more_s, packets, size: Slot(low_s, low_s + more_s, packets, size),
    st.floats(1e-6, 1), st.floats(0, 1), st.integers(0, 99), st.integers(0, 10**6),
)  # fmt: skip


@st.composite
def impairments(draw):
    fields = {
        "delay": draw(delays),
        "loss": draw(losses),
        "rate_bps": draw(st.none() | st.floats(1, 1e10)),
        "queue_s": draw(st.floats(1e-6, 10)),
        "duplication": draw(st.floats(0, 0.99)),
        "ber": draw(st.floats(0, 0.99)),
        "framing_bytes": draw(st.integers(0, 100)),
        "mtu_bytes": draw(st.none() | st.integers(68, 9000)),
    }
    if fields["rate_bps"] is not None:
        fields["queue_packets"] = draw(st.none() | st.integers(10**8, 10**9))
    way = draw(st.sampled_from(["slot", "reordering", "none"]))
    if way == "slot":
        fields["slot"] = draw(slots)
    elif way == "reordering":
        fields |= {"order": "allow", "reordering": Reordering(draw(ratio), draw(st.integers(1, 9)))}
    fields |= draw(st.sampled_from([{}, {"up": False}, {"hold": True}]))
    return Impairment(**fields)


@settings(max_examples=300, deadline=None)
@given(impairments())
def test_plain_values_come_back_equal(impairment):
    line = json.dumps(to_plain(impairment), allow_nan=False)
    assert from_plain(json.loads(line)) == impairment


def test_plain_values_carry_every_field():
    assert set(to_plain(CLEAN)) == set(CLEAN.__dataclass_fields__)
    assert from_plain({}) == CLEAN


@pytest.mark.parametrize(
    ("plain", "field", "words"),
    [
        ([], "impairment", "is not an object"),
        ({"latency": 1}, "impairment.latency", "unknown name"),
        ({"delay": {"mean_s": "5ms"}}, "impairment.delay.mean_s", "finite number"),
        ({"delay": {"mean_s": float("nan")}}, "impairment.delay.mean_s", "finite number"),
        ({"delay": {"mean_s": True}}, "impairment.delay.mean_s", "finite number"),
        ({"delay": {"mean_s": -1}}, "impairment.delay", "negative"),
        ({"delay": None}, "impairment.delay", "is not an object"),
        ({"delay": {"law": "cauchy"}}, "impairment.delay.law", "uniform"),
        ({"delay": {"table": "x"}}, "impairment.delay.table", "list"),
        ({"loss": 0.1}, "impairment.loss.model", "gilbert-elliott"),
        ({"loss": {"model": "four-state", "p13": 0.1}}, "impairment.loss.p31", "is missing"),
        (
            {"loss": {"model": "gilbert-elliott", "p_good_to_bad": 2, "p_bad_to_good": 0}},
            "impairment.loss", "outside 0 to 1",
        ),
        ({"up": 1}, "impairment.up", "true, false"),
        ({"order": "maybe"}, "impairment.order", "preserve"),
        ({"rate_bps": 0}, "impairment.rate_bps", "positive"),
        ({"rate_bps": 1e6, "queue_packets": 1.5}, "impairment.queue_packets", "whole number"),
        ({"up": False, "hold": True}, "impairment.hold", "both hold and drop"),
        ({"slot": {"low_s": 1}}, "impairment.slot.high_s", "is missing"),
        ({"reordering": {"ratio": 0.1}}, "impairment.reordering", 'order = "allow"'),
    ],
)  # fmt: skip
def test_plain_values_that_are_none_are_refused(plain, field, words):
    with pytest.raises(InputError) as caught:
        from_plain(plain)
    assert caught.value.field == field
    assert words in str(caught.value)
