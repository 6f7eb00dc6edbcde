"""The library of named scenarios. Each is data; durations that vary are drawn from the seed.

``within`` steps keep inside the limits of the tables of the CAICT report (2023); ``beyond`` steps
leave them on purpose, and only the device's declared response is judged there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.errors import InputError
from bench.network.library import (
    audit,
    basic,
    cells,
    coexistence,
    monitoring,
    operation,
    picture,
    places,
    security,
    standby,
    takeover,
    worst_case,
)
from bench.network.library.basic import LONG as LONG
from bench.network.library.basic import null_path as null_path
from bench.network.library.basic import steady as steady
from bench.network.library.parts import SETTLE_S as SETTLE_S
from bench.network.library.places import Visit as Visit
from bench.network.library.standby import HOLE_MTU_BYTES as HOLE_MTU_BYTES
from bench.network.scenario import Scenario

SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    **basic.SCENARIOS,
    **takeover.SCENARIOS,
    **standby.SCENARIOS,
    **picture.SCENARIOS,
    **monitoring.SCENARIOS,
    **audit.SCENARIOS,
    **operation.SCENARIOS,
    **worst_case.SCENARIOS,
    **security.SCENARIOS,
    **places.SCENARIOS,
    **coexistence.SCENARIOS,
    **cells.SCENARIOS,
}

VISITS: Mapping[str, Callable[[Visit], Scenario]] = {
    **places.VISITS,
    **coexistence.VISITS,
    **picture.VISITS,
}
"""Scenarios that suit themselves to what a device states."""


def find_scenario(name: str) -> Scenario:
    """A scenario by name.

    Raises:
        InputError: unknown name.
    """
    if name not in SCENARIOS:
        raise InputError(
            "unknown scenario",
            remedy=f"use one of {', '.join(SCENARIOS)}",
            field="scenario",
            value=name,
        )
    return SCENARIOS[name]()
