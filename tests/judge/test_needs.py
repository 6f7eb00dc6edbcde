"""What each requirement takes, in figures that are worked out elsewhere and in words."""

import dataclasses
import itertools

import pytest

from bench.devices.registry import find_device
from bench.judge import needs
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.studies.planning import scenario_s

CATALOGUE = load_catalogue()
ROBOT = find_device("telesurgery-robot")
FORCE = ROBOT.stream("force-feedback")


def need(metric, low, stream=FORCE, *, comparator="<", high=None, confidence=0.95, device=ROBOT):
    made = dataclasses.replace(
        CATALOGUE["000-t2-force-loss"], metric=metric, low=low, high=high, comparator=comparator
    )
    return needs.need_of(made, stream, device, confidence)


def test_packets_and_values():
    loss = need("loss", 1e-4)
    assert (loss.of, loss.n) == ("packets", 29956)
    assert loss.seconds == pytest.approx(1.1 * 29.956)
    assert loss.text == "loss 0.0001 at 95 % needs 30 s at 1 kHz"
    assert loss.n < loss.sprt_n < loss.power_n
    p99 = need("delay-p99", 0.01)
    assert (p99.of, p99.n, p99.power_n) == ("samples", 299, 299)
    assert need("delay-p99", 0.01, confidence=0.99).n == 459
    assert need("ipdv-p99", 0.002).n == 4 * 299


def test_six_nines_at_a_kilohertz():
    found = need("delivery-ratio", 0.999999, comparator=">=")
    assert found.n == 2_995_731
    assert found.text == "99.9999 % at 95 % needs 50 min at 1 kHz"
    assert need("delivery-ratio", 0.99999, comparator=">=").text.startswith("99.999 % at 95 %")


def test_bits_at_the_rate_of_the_stream():
    slow = dataclasses.replace(FORCE, payload_bytes=24)
    assert slow.rate_bps == 192e3
    found = need("bit-error-ratio", 1e-10, slow)
    assert found.text.startswith("BER 1e-10 at 192 kbit/s needs 1.8 days")
    assert "UDP" in found.text, "the observable is stated"
    assert found.n == pytest.approx(2.996e10, rel=1e-3)
    fast = dataclasses.replace(FORCE, payload_bytes=125)
    assert need("bit-error-ratio", 1e-10, fast).text.startswith("BER 1e-10 at 1 Mbit/s needs 8.3 h")


def test_days_of_operation():
    found = need("mtbf", 30 * needs.DAY_S, None, comparator=">")
    assert found.n / needs.DAY_S == pytest.approx(89.9, abs=0.05)
    assert "142 days with 1, 189 days with 2" in found.text
    service = need("availability", 0.9999, None, comparator=">=")
    assert "testable proxy: recovery within 259.2 s at an MTBF of 30 days" in service.text
    assert "declared 5 s" in service.text
    silent = dataclasses.replace(ROBOT, declares={})
    assert need("availability", 0.9999, None, device=silent).n is None
    assert "needs a declared recovery time" in need("availability", 0.9999, device=silent).text


@pytest.mark.parametrize("metric", sorted(CATALOGUE.metrics))
def test_no_figure_is_too_odd_to_plan_with(metric):
    for low, stream in itertools.product((None, 0.0, 0.3, 1.0, 1e9), (FORCE, None)):
        for comparator, high in (("<", None), (">", None), ("in", 2e9)):
            found = need(metric, low, stream, comparator=comparator, high=high)
            assert found.n is None or found.n > 0
            assert found.seconds is None or found.seconds > 0


def test_a_share_of_none_or_of_all_cannot_be_counted():
    assert need("loss", 0.0).text == "no number of packets shows loss 0"
    assert "no number of packets" in need("delivery-ratio", 1.0, comparator=">=").text
    assert "no number of bits" in need("bit-error-ratio", 0.0).text


def test_the_upper_end_of_a_range_is_what_evidence_must_reach():
    assert need("loss", 1e-5, comparator="in", high=1e-3).n == 2995


def test_trials():
    assert needs.full_trials(0.95) == 59
    assert needs.full_trials(0.99) == 90
    text = needs.trials_text(59, 600.0, "reconnections after 600 s")
    assert text == "59 reconnections after 600 s need 9.8 h"
    assert scenario_s(library.basic.blackout(600.0)) == 607.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.299, "0.3 s"), (33.0, "33 s"), (89.0, "89 s"), (2995.7, "50 min"), (35_400, "9.8 h"),
     (156_000, "1.8 days"), (90 * 86400, "90 days"), (1e9, "32 years")],
)  # fmt: skip
def test_times_to_plan_with(seconds, text):
    assert needs.rough_time(seconds) == text
