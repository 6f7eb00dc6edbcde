"""What nobody observed of a real device is neither kept nor broken."""

from __future__ import annotations

import dataclasses

import pytest

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.measure.behaviours import BY_ALARMS, expected_alarms, measure_behaviour
from bench.network.library.basic import blackout
from bench.sessions.instruments import ALARMS
from bench.sessions.recording import Event, Recording, Session

DEVICE = find_device("telesurgery-robot")


@pytest.fixture(scope="module")
def played() -> Recording:
    session = Session("x", DEVICE, blackout(), 7)
    return VirtualBench().run(session, Nowhere())


def measured(requirement: str, recording: Recording):
    alarm = (expected_alarms(recording) or (None,))[0]
    return measure_behaviour(
        requirement, [recording], profile=DEVICE, confidence=0.95, floor=None, alarm=alarm
    )


def test_a_device_that_nobody_listens_to_has_neither_failed_nor_passed(played) -> None:
    assert measured("FAIL-3", played).value is not None
    for requirement in ("FAIL-3", *BY_ALARMS):
        found = measured(requirement, dataclasses.replace(played, bench="lab", events=()))
        assert found.value is None
        assert any("observes" in p or "no adapter" in p for p in found.problems), requirement


def test_an_adapter_makes_alarms_judgeable_and_nothing_else(played) -> None:
    joined = (*played.events, Event(0, "bench", "bench", ALARMS))
    lab = dataclasses.replace(played, bench="lab", events=joined)
    assert measured("MON-2", lab).value == measured("MON-2", played).value is not None
    assert measured("FAIL-3", lab).value is None
