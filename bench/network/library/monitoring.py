"""Scenarios for devices that monitor: minute sets, five devices, records through outages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.library.parts import changed, recover, settle, usual_links
from bench.network.scenario import Action, Scenario, Segment, Step

MOST_DEVICES = 5
"""Devices of one patient that the remote ICU joins (5G smart healthcare full-process white paper,
2020, 1.2.1)."""

_CUT_S = 3.02
"""Into the outage: a little after a whole second, at which the simulated devices take a
measurement, so that its record is being written when the power goes."""


def records_outage(duration_s: float = 6.0) -> Scenario:
    """All links drop everything while records are made."""
    links = usual_links()
    down = changed(links, up=False)
    return Scenario(
        "records-outage",
        f"{duration_s:g} s blackout of all links while records are made",
        (
            settle(links, 3.0),
            Step("outage", "blackout", "beyond", (Segment("outage", duration_s, down),)),
            recover(links, 6.0),
        ),
    )


def power_cut(duration_s: float = 6.0) -> Scenario:
    """The bedside loses its power while a record is being written and others wait for a link."""
    links = usual_links()
    down = changed(links, up=False)
    return Scenario(
        "power-cut-mid-write",
        "Power cut of 1 s in the middle of writing a record, during a blackout of all links",
        (
            settle(links, 3.0),
            Step("outage", "blackout", "beyond", (Segment("outage", duration_s, down),)),
            recover(links, 6.0),
        ),
        actions=(Action("outage", _CUT_S, "patient", "power-cut:1s"),),
    )


def minute_sets(duration_s: float = 128.0) -> Scenario:
    """Two minutes and more on good links; the patient is in danger between two sets."""
    links = usual_links()
    hold = Step(
        "report", "reports", "within", (Segment("report", duration_s, links),), judged=False
    )
    return Scenario(
        "minute-sets",
        "Sets of measurements each minute, and an alarm of the patient between two of them",
        (settle(links), hold),
        actions=(
            Action("report", 70.03, "patient", "patient-alarm"),
            Action("report", 80.03, "patient", "patient-well"),
        ),
        source="5G smart healthcare full-process white paper (2020), 1.2.1",
    )


def five_devices(each_s: float = 3.0) -> Scenario:
    """One device of the patient after the other is plugged in, up to five."""
    links = usual_links()
    counts = range(1, MOST_DEVICES + 1)
    steps = tuple(
        Step(
            f"{count}-connected",
            "connections",
            "within",
            (Segment("connected", each_s, links),),
            judged=False,
        )
        for count in counts
    )
    return Scenario(
        "five-devices",
        "One to five devices of one patient send at once",
        (settle(links), *steps, recover(links, 3.5)),
        actions=(
            Action("settle", 0.0, "patient", "connect-devices:1"),
            *(
                Action(f"{count}-connected", 0.0, "patient", f"connect-devices:{count}")
                for count in counts
            ),
        ),
        source="5G smart healthcare full-process white paper (2020), 1.2.1",
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "records-outage": records_outage,
    "power-cut-mid-write": power_cut,
    "minute-sets": minute_sets,
    "five-devices": five_devices,
}
