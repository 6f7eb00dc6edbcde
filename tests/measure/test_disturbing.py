"""What a device does to another network: figures, their uncertainty, and what they show."""

from __future__ import annotations

import math

import pytest

from bench.measure.disturbing import Carried, Disturbed


def carried(*mbps: float, delivered: int = 5000, refused: int = 0, unanswered: int = 0) -> Carried:
    return Carried(tuple(1e6 * one for one in mbps), delivered, refused, unanswered)


def test_the_mean_has_the_uncertainty_of_a_few_counts() -> None:
    found = carried(9.0, 10.0, 11.0).throughput()
    assert found.value == 10e6
    # Student's t of two degrees of freedom at 95 % is 4.303 (GUM, table G.2)
    assert found.uncertainty == pytest.approx(4.303 * 1e6 / math.sqrt(3), rel=1e-3)
    assert carried(9.0).throughput().uncertainty == math.inf


def test_lost_blocks_lie_between_exact_bounds() -> None:
    found = carried(10.0, delivered=90, refused=6, unanswered=4)
    assert found.lost == pytest.approx(0.1)
    # Clopper and Pearson, 10 of 100 at 95 %
    assert found.lost_bounds() == pytest.approx((0.0490, 0.1762), abs=1e-4)
    assert carried(10.0).lost_bounds()[0] == 0


@pytest.mark.parametrize(
    ("alone", "beside", "answer", "told"),
    [
        (carried(30.0, 30.1, 29.9), carried(20.0, 20.1, 19.9), "disturbed", "-33 ± 1.2 %"),
        (carried(30.0, 30.1, 29.9), carried(30.0, 29.9, 30.0), "not disturbed", "beyond the unc"),
        (carried(30.0, 30.0, 30.0), carried(30.0, 30.0, 30.0, refused=50), "disturbed", "+0 ±"),
        (carried(30.0, 30.0), carried(20.0, 20.0), "INCONCLUSIVE", "2 counts are too few"),
        (
            carried(9.0, 9.0, 9.0, refused=1000), carried(1.0, 1.0, 1.0), "INCONCLUSIVE",
            "its own link is not in order: 16.7 % of its blocks",
        ),
        (carried(0.0, 0.0, 0.0), carried(0.0, 0.0, 0.0), "INCONCLUSIVE", "not in order"),
        (None, carried(1.0), "not measured", "nobody measured it"),
    ],
)  # fmt: skip
def test_what_a_measurement_shows(alone, beside, answer, told) -> None:
    found, why = Disturbed("other", "somebody", alone, beside).answer()
    assert found == answer
    assert told in why


def test_what_kept_it_from_being_measured_is_the_answer() -> None:
    found = Disturbed("other", "somebody", carried(1.0), carried(1.0), "the tester is mute")
    assert found.answer() == ("not measured", "the tester is mute")
