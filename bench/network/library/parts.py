"""What scenarios of the library are made of: the usual links, and the same links changed."""

from __future__ import annotations

from collections.abc import Mapping

from bench.network.profiles import LinkProfile, load_profiles
from bench.network.scenario import LinkState, Segment, Step

SETTLE_S = 2.0
"""Time to connect and to be armed before anything is judged."""

_SLICE, _STANDBY = "5g-short-haul-slice", "5g-standby-slice"


def link_state(profile: LinkProfile) -> LinkState:
    """Both directions of a named profile."""
    return LinkState(profile.to_patient, profile.to_doctor)


def usual_links() -> dict[str, LinkState]:
    """The two links that most scenarios begin and end with: primary and standby."""
    profiles = load_profiles()
    return {"primary": link_state(profiles[_SLICE]), "standby": link_state(profiles[_STANDBY])}


def settle(links: Mapping[str, LinkState], seconds: float = SETTLE_S) -> Step:
    """Time to connect and to be armed; not judged."""
    return Step("settle", "hold", "within", (Segment("settle", seconds, links),), judged=False)


def recover(links: Mapping[str, LinkState], seconds: float) -> Step:
    """Time after a fault; not judged."""
    return Step("recover", "hold", "within", (Segment("recover", seconds, links),), judged=False)


def changed(links: Mapping[str, LinkState], **changes: object) -> dict[str, LinkState]:
    """The same links with something else about each direction."""
    return {
        name: LinkState(state.to_patient.with_(**changes), state.to_doctor.with_(**changes))
        for name, state in links.items()
    }


def only(links: Mapping[str, LinkState], name: str) -> dict[str, LinkState]:
    """One of the links."""
    return {name: links[name]}
