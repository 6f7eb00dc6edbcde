"""What only a declaration answers: it stands, or the verdict is INCONCLUSIVE."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from bench.devices.profile import Declaration
from bench.devices.registry import find_device
from bench.judge.declared import declared
from bench.judge.verdict import Outcome
from bench.requirements.model import Requirement, Source

EMC = Requirement(
    id="EMC-1", source=Source("000", "d", "p", "t"), title="EMC", reading="r", device_class="any",
    stream="any", metric="m", direction="none", reference_points="none", comparator=">=",
    low=None, high=None, unit="count", kind="declaration",
)  # fmt: skip
ROBOT = find_device("telesurgery-robot")
TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("declaration", "verdict", "reason"),
    [
        (None, Outcome.INCONCLUSIVE, "not declared"),
        (Declaration("TR-1", "Lab", "2026-01-02"), Outcome.PASS, "TR-1, Lab, 2026-01-02"),
        (Declaration("TR-1", "Lab", "2026-01-02", "2026-11-21"), Outcome.PASS, "until 2026-11-21"),
        (Declaration("TR-1", "Lab", "2026-01-02", "2026-11-20"), Outcome.INCONCLUSIVE, "expired"),
        (Declaration("TR-1", "Lab", "2026-11-22"), Outcome.INCONCLUSIVE, "in the future"),
    ],
)
def test_declared(declaration, verdict, reason):
    named = {} if declaration is None else {"EMC-1": declaration}
    found = declared(EMC, dataclasses.replace(ROBOT, declarations=named), TODAY)
    assert found.verdict is verdict
    assert reason in found.reason


def test_another_declaration_answers_nothing():
    device = dataclasses.replace(ROBOT, declarations={"EXP-1": Declaration("T", "L", "2026-01-02")})
    assert declared(EMC, device, TODAY).reason == "not declared"
