"""The standby link, and a primary that works in part: one way, for small packets, elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.addresses import ADDRESS_CHANGE
from bench.network.impairment import Direction
from bench.network.library.parts import SETTLE_S, changed, only, recover, settle, usual_links
from bench.network.scenario import Action, LinkState, Scenario, Segment, Side, Step

HOLE_MTU_BYTES = 576
"""The longest IP packet that passes a hole: what every host accepts (RFC 791, section 3.1)."""


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


def primary_flap(times: int = 4, each_s: float = 0.5) -> Scenario:
    """The primary link goes down and comes back, again and again."""
    links = usual_links()
    primary = only(links, "primary")
    down = changed(primary, up=False)
    segments = [
        segment
        for number in range(1, times + 1)
        for segment in (
            Segment(f"down-{number}", each_s, down), Segment(f"up-{number}", each_s, primary),
        )
    ]  # fmt: skip
    return Scenario(
        "primary-flap",
        f"The primary link goes down {times} times, {each_s:g} s each",
        (settle(links), Step("flap", "flap", "beyond", tuple(segments)), recover(links, 2.0)),
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


def mtu_hole(lost: Direction) -> Scenario:
    """The primary link swallows large packets one way, without a word, and passes all others.

    It begins between two heartbeats of most devices, not together with one.
    """
    links = usual_links()
    state = links["primary"]
    holed = state.direction(lost).with_(mtu_bytes=HOLE_MTU_BYTES)
    there = holed if lost == "to-patient" else state.to_patient
    back = holed if lost == "to-doctor" else state.to_doctor
    return Scenario(
        f"mtu-hole-{lost}",
        f"The primary link loses packets of more than {HOLE_MTU_BYTES} bytes "
        f"{lost.replace('-', ' the ')}",
        (
            settle(links, SETTLE_S + 0.01),
            Step(
                "mtu-hole",
                "mtu-hole",
                "beyond",
                (Segment("mtu-hole", 1.5, {"primary": LinkState(there, back)}),),
            ),
            recover(links, 1.5),
        ),
        actions=(Action("mtu-hole", 0.02, "patient", "acquire:8MB"),),
        source="path MTU black hole: RFC 2923, 2.1; RFC 8899, 4.3. 576 bytes are what every host "
        "accepts: RFC 791, 3.1",
    )


def address_change(side: Side) -> Scenario:
    """One side gets another address on the primary link; nothing else happens."""
    links = usual_links()
    return Scenario(
        f"address-change-{side}",
        f"The {side}'s side gets another address on the primary link",
        (
            settle(links),
            Step(
                "address-change",
                "address-change",
                "beyond",
                (Segment("address-change", 1.5, links),),
            ),
            recover(links, 1.5),
        ),
        actions=(Action("address-change", 0.107, side, f"{ADDRESS_CHANGE}:primary"),),
        source="a renewed lease (RFC 2131, 4.4.5) or a new binding of a NAT (RFC 4787, 4.3); what "
        "the other side does: RFC 9146, 6; RFC 9000, 9.3",
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "dead-standby": dead_standby,
    "switch-back": switch_back,
    "primary-flap": primary_flap,
    "primary-stall": primary_stall,
    "half-open-to-patient": lambda: half_open("to-patient"),
    "half-open-to-doctor": lambda: half_open("to-doctor"),
    "mtu-hole-to-patient": lambda: mtu_hole("to-patient"),
    "mtu-hole-to-doctor": lambda: mtu_hole("to-doctor"),
    "address-change-patient": lambda: address_change("patient"),
    "address-change-doctor": lambda: address_change("doctor"),
}
