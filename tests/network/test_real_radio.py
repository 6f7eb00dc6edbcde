"""Exposures of a radio that receives for itself: nothing is done to its link."""

from __future__ import annotations

import pytest

from bench.network.library.coexistence import EXAMPLE, coexistence, interferer_beyond
from bench.network.scenario import compile_scenario, interferences


@pytest.mark.parametrize("scenario", [coexistence(), interferer_beyond()], ids=lambda s: s.name)
def test_its_link_keeps_its_state_through_every_exposure(scenario):
    count = len(interferences(scenario))
    real = compile_scenario(scenario, 7, [None] * count)
    modelled = compile_scenario(scenario, 7)
    assert {change.t_ns for change in real.changes} == {0}
    assert any(change.t_ns > 0 for change in modelled.changes if change.link == EXAMPLE.link)
    # All the rest is the same: steps, exposures and when they are due.
    assert real.windows == modelled.windows
    assert real.end_ns == modelled.end_ns
    due = [(one.start_ns, one.end_ns, one.exposures) for one in real.exposures]
    assert due == [(one.start_ns, one.end_ns, one.exposures) for one in modelled.exposures]
    assert all(one.reception is None for one in real.exposures)
