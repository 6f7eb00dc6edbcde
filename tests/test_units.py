"""Units: what people write comes back as SI, and every refusal names field and remedy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.units import (
    QUANTITIES,
    decibels,
    duration_s,
    ns,
    rate_bps,
    ratio,
    show,
    show_duration,
    size_bytes,
)

DURATIONS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}
DURATIONS["d"] = 86400
RATES = {"bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9, "mbit": 1e6, "Mbps": 1e6}
SIZES = {"B": 1, "kB": 1000, "MB": 10**6, "KiB": 1024, "MiB": 2**20}
PARSERS = (duration_s, rate_bps, size_bytes, ratio)

numbers = st.floats(0, 1e12, allow_nan=False)
seeded = settings(derandomize=True, deadline=None, max_examples=100)


@given(number=numbers, unit=st.sampled_from(list(DURATIONS)), space=st.sampled_from(["", " "]))
@seeded
def test_durations_come_back(number, unit, space):
    assert duration_s(f"{number!r}{space}{unit}") == pytest.approx(number * DURATIONS[unit])


@given(number=numbers, unit=st.sampled_from(list(RATES)))
@seeded
def test_rates_come_back(number, unit):
    assert rate_bps(f"{number!r} {unit}") == pytest.approx(number * RATES[unit])


@given(number=st.integers(0, 10**9), unit=st.sampled_from(list(SIZES)))
@seeded
def test_sizes_come_back(number, unit):
    assert size_bytes(f"{number}{unit}") == number * SIZES[unit]


@given(value=st.floats(0, 1))
@seeded
def test_ratios_come_back(value):
    assert ratio(repr(value)) == value
    assert ratio(f"{value * 100!r}%") == pytest.approx(value)


@given(t_ns=st.integers(0, 10**15))
@seeded
def test_nanoseconds_come_back(t_ns):
    assert ns(t_ns / 1e9) == pytest.approx(t_ns, abs=1)


def outcome(parse, text):
    try:
        return parse(text, field="limits.delay", file="robot.toml"), None
    except InputError as error:
        return None, error


@given(text=st.text(max_size=12))
@seeded
def test_any_text_gives_a_finite_number_or_one_clear_line(text):
    for parse in PARSERS:
        value, refusal = outcome(parse, text)
        if refusal is None:
            assert math.isfinite(value)
            assert value >= 0
        else:
            assert refusal.remedy
            assert str(refusal).startswith("robot.toml: limits.delay = ")
            assert "\n" not in str(refusal)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a number"),
        ("fast", "not a number"),
        ("nan", "not a number"),
        ("inf", "not a number"),
        ("1e999", "not finite"),
        ("1,5 ms", "not a number"),
        ("5 parsec", "unknown unit 'parsec'"),
        ("1 2 ms", "not a number"),
        (5, "has no unit"),
        (5.0, "has no unit"),
        (True, "has no unit"),
        (None, "has no unit"),
    ],
)
def test_refusals_name_field_value_and_remedy(parse, text, problem):
    with pytest.raises(InputError) as caught:
        parse(text, field="limits.x", file="robot.toml")
    error = caught.value
    assert problem in error.problem
    assert (error.field, error.file, error.value) == ("limits.x", "robot.toml", text)
    assert error.remedy
    assert "robot.toml: limits.x" in str(error)
    assert error.remedy in str(error)


@pytest.mark.parametrize("parse", [duration_s, rate_bps, size_bytes])
def test_a_bare_number_is_refused(parse):
    with pytest.raises(InputError, match="has no unit"):
        parse("20")


@pytest.mark.parametrize(
    ("parse", "text"),
    [(duration_s, "-1ms"), (rate_bps, "-1mbit"), (size_bytes, "-1B"), (ratio, "-0.1")],
)
def test_negative_is_refused(parse, text):
    with pytest.raises(InputError, match=r"negative|outside 0 to 1"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text"), [(duration_s, "1e308d"), (rate_bps, "1e300gbit"), (size_bytes, "1e308MiB")]
)
def test_a_product_beyond_all_numbers_is_refused(parse, text):
    with pytest.raises(InputError, match="not finite"):
        parse(text)


@pytest.mark.parametrize("text", ["1.1", "101%", "1e3"])
def test_ratio_above_one_is_refused(text):
    with pytest.raises(InputError, match="outside 0 to 1"):
        ratio(text)


def test_case_of_durations_matters_and_of_rates_does_not():
    assert rate_bps("1MBIT/S") == 1e6
    with pytest.raises(InputError, match="unknown unit 'MS'"):
        duration_s("1MS")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (math.nan, "—"),
        (0.0, "0 s"),
        (2.5e-6, "2.5 µs"),
        (0.0023, "2.3 ms"),
        (-0.0023, "-2.3 ms"),
        (1.5, "1.5 s"),
        (600, "10.0 min"),
        (35280, "9.8 h"),
    ],
)
def test_durations_for_people(seconds, text):
    assert show_duration(seconds) == text
    assert show(seconds, "s") == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "bit/s", "—"),
        (137e6, "bit/s", "137 Mbit/s"),
        (1.6e9, "bit/s", "1.6 Gbit/s"),
        (86.4e3, "bit/s", "86.4 kbit/s"),
        (12, "bit/s", "12 bit/s"),
        (1e-4, "1", "0.0001"),
        (0.001, "m", "0.001 m"),
    ],
)
def test_figures_for_people(value, unit, text):
    assert show(value, unit) == text


@pytest.mark.parametrize("text", ["5MBps", "5 MB/s", "1GB", "1 KB/s"])
def test_bytes_are_no_bits(text):
    with pytest.raises(InputError, match="counts bytes"):
        rate_bps(text)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("300MB", "bit", 2.4e9), ("1.5Gbit", "bit", 1.5e9), ("120km/h", "m/s", 120 / 3.6),
        ("2.5km", "m", 2500), ("60fps", "Hz", 60), ("1e6/km2", "1/m2", 1.0), ("5", "count", 5),
        ("99.99%", "1", 0.9999), ("1h", "s", 3600), ("3.5GHz", "Hz", 3.5e9),
    ],
)  # fmt: skip
def test_quantities(text, unit, value):
    assert QUANTITIES[unit](text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9999, "0.9999"), (0.999999, "0.999999"), (0.95, "0.95"), (1.0, "1"), (0.5, "0.5"),
     (0.1234567, "0.123"), (0.99987, "0.99987"), (1 - 1e-9, "0.999999999")],
)  # fmt: skip
def test_a_reliability_is_never_shown_as_one(value, text):
    assert show(value, "1") == text


@pytest.mark.parametrize(("text", "value"), [("99.99%", 0.9999), ("0.1%", 0.001), ("5%", 0.05)])
def test_percentages_are_exact(text, value):
    assert ratio(text) == value


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("-20dBm", "dBm", -20.0), ("3.5 dB", "dB", 3.5), ("+1e1dB", "dB", 10.0), ("0dB", "dB", 0.0)],
)
def test_levels_may_be_negative(text, unit, value):
    assert decibels(text, unit) == value


@pytest.mark.parametrize("text", ["-20", "-20dB", "20 dbm", "dBm", "1e999dBm", -20.0, None])
def test_a_level_without_its_unit_is_refused(text):
    with pytest.raises(InputError, match=r"paths\.loss"):
        decibels(text, "dBm", field="paths.loss")
