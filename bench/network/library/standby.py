"""The standby link and half-open links: dead before it is needed, restored, one way only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.impairment import Direction
from bench.network.library.parts import changed, only, recover, settle, usual_links
from bench.network.scenario import LinkState, Scenario, Segment, Step


def dead_standby() -> Scenario:
    """The standby link dies while the primary carries everything; then the primary dies, too."""
    links = usual_links()
    spare = changed(only(links, "standby"), up=False)
    down = changed(links, up=False)
    return Scenario(
        "dead-standby",
        "The standby link fails before it is needed",
        (
            settle(links),
            Step("standby", "standby-outage", "beyond", (Segment("standby", 1.5, spare),)),
            Step("primary", "outage", "beyond", (Segment("primary", 1.0, down),)),
            recover(links, 1.0),
        ),
    )


def switch_back() -> Scenario:
    """The primary link fails and comes back, and both links stay."""
    links = usual_links()
    down = changed(only(links, "primary"), up=False)
    return Scenario(
        "switch-back",
        "The primary link comes back",
        (
            settle(links),
            Step("outage", "outage", "beyond", (Segment("outage", 1.0, down),)),
            recover(links, 7.0),
        ),
    )


def primary_stall() -> Scenario:
    """The primary link holds everything back, and lets it go when the device moves on the standby.

    What was sent before the switch arrives long after what was sent on the standby since then.
    """
    links = usual_links()
    stalled = changed(only(links, "primary"), hold=True)
    return Scenario(
        "primary-stall",
        "The primary link stalls and lets old packets go later",
        (
            settle(links),
            Step("stall", "profile", "beyond", (Segment("stall", 4.5, stalled),)),
            recover(links, 2.0),
        ),
    )


def half_open(lost: Direction) -> Scenario:
    """The primary link carries nothing one way and everything the other."""
    links = usual_links()
    state = links["primary"]
    silent = state.direction(lost).with_(up=False)
    there = silent if lost == "to-patient" else state.to_patient
    back = silent if lost == "to-doctor" else state.to_doctor
    return Scenario(
        f"half-open-{lost}",
        f"Half-open primary link: nothing passes {lost.replace('-', ' the ')}",
        (
            settle(links),
            Step(
                "half-open",
                "half-open",
                "beyond",
                (Segment("half-open", 1.5, {"primary": LinkState(there, back)}),),
            ),
            recover(links, 1.5),
        ),
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "dead-standby": dead_standby,
    "switch-back": switch_back,
    "primary-stall": primary_stall,
    "half-open-to-patient": lambda: half_open("to-patient"),
    "half-open-to-doctor": lambda: half_open("to-doctor"),
}
