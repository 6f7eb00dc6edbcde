"""A change of the serving cell, in a laboratory that has cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.drawn import Drawn
from bench.network.impairment import Impairment
from bench.network.library.parts import recover, settle
from bench.network.scenario import CellChange, Scenario, Step, both

CELL_CHANGE = "cell-change"


def cell_change() -> Scenario:
    """The serving cell of the primary link is taken away until the modem has another.

    The rest of the network does nothing: over the link lies what the modem received, and the
    interruption of a handover; over physical links nothing, where the change of cell itself is
    the stimulus.
    """
    links = {"primary": both(Impairment()), "standby": both(Impairment())}
    fade = CellChange(
        "fade", 8.0, link="primary", within_s=6.0, every_s=0.25, step_db=2.0,
        gap_s=Drawn(0.05, 0.15),
    )  # fmt: skip
    return Scenario(
        CELL_CHANGE,
        "The modem changes its cell while the serving one is attenuated",
        (
            settle(links),
            Step(
                CELL_CHANGE, CELL_CHANGE, "at", (fade,), judged=False,
                note="a real change of cell; its interruption is typical where cells are "
                "simulated: 50 to 150 ms",
            ),
            recover(links, 1.0),
        ),
        source="procedure: 3GPP TS 36.304 clause 5.2.4 (reselection), TS 36.331 clause 5.4",
    )  # fmt: skip


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {CELL_CHANGE: cell_change}
