"""Figures as text."""

import math

import pytest

from bench.report import words
from bench.report.data import scenario_of


@pytest.mark.parametrize(
    ("value", "uncertainty", "unit", "text"),
    [
        (0.00261, 76e-6, "s", "2.610 ± 0.076 ms"),
        (0.00261, 1.4e-3, "s", "2.6 ± 1.4 ms"),
        (0.0, 30e-6, "s", "0 ± 30 µs"),
        (1.2e-4, 3e-5, "", "(1.20 ± 0.30) × 10⁻⁴"),
        (8.06e6, 12e3, "bit/s", "8.060 ± 0.012 Mbit/s"),
        (0.00261, None, "s", "2.61 ms"),
        (0.00261, 0.0, "s", "2.61 ms ± 0"),
        (math.inf, 1e-6, "s", "never"),
        (math.nan, 1e-6, "s", "—"),
        (None, None, "s", "—"),
        ("0.1", None, "s", "—"),
        (True, None, "s", "—"),
    ],
)
def test_value_with_uncertainty(value, uncertainty, unit, text):
    assert words.with_uncertainty(value, uncertainty, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1e-4, "", "1 × 10⁻⁴"), (0.25, "1", "0.25"), (0.0, "s", "0 s"), (3, "packets", "3 packets")],
)
def test_quantity(value, unit, text):
    assert words.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.003, 0.03, "s", "3 … 30 ms"),
        (22e3, 1.2e6, "bit/s", "22 kbit/s … 1.2 Mbit/s"),
        (1e-4, 1e-2, "", "1 × 10⁻⁴ … 0.01"),
        (None, 0.03, "s", "— … 30 ms"),
    ],
)
def test_span(low, high, unit, text):
    assert words.span(low, high, unit) == text


def test_json_like_data_in_units():
    row = {"delay_p50_s": 0.0023, "loss": 0.0, "n": 812, "up": True, "none": None}
    assert words.anything(row) == "delay p50 2.3 ms, loss 0, n 812, up yes, none —"


def test_control_and_direction_characters_are_taken_out():
    assert words.plain("a\x1b[31m\nb\u202ec") == "a [31m b c"
    assert words.xml_text("a\x00\ufffeb\ud800") == "a\ufffd\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("session", "scenario"),
    [
        ("delay-ramp-50d78f71", "delay-ramp"),
        ("blackout-t07-a2-0123abcd,blackout-t08-0123abce", "blackout"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_scenario_of_a_verdict(session, scenario):
    assert scenario_of({"session": session}) == scenario
