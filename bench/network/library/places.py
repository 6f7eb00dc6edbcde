"""One device on several networks: access methods, sites, a site over the years, a journey."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.network.drawn import Drawn
from bench.network.effects import Effect
from bench.network.events import (
    SURROGATE,
    Phase,
    event_segments,
    find_event,
    flap,
    with_phases,
)
from bench.network.impairment import DIRECTIONS
from bench.network.library.parts import link_state, recover, settle, usual_links
from bench.network.profiles import LinkProfile, load_profiles
from bench.network.radio.exposure import Exposure, Radio
from bench.network.scenario import Action, Disturbance, LinkState, Scenario, Segment, Step

ACCESS = {
    "access-wired": "wired-lan",
    "access-5g": "5g-short-haul-slice",
    "access-gateway": "5g-gateway",
    "access-wifi": "wifi-near",
    "access-4g": "4g-cell",
}
"""Access method to the profile of its network; a device names the methods it has so. In order of
delay, so that no packet of one network holds up those of the next."""

SITES = {
    "laboratory": "site-laboratory",
    "first-deployment": "site-first-deployment",
    "maintenance": "site-maintenance",
    "rural": "site-rural",
}
STORIES = (
    ("site-first-deployment", "site-first-year", "site-third-year"),
    ("site-slice", "site-slice-first-year", "site-slice-third-year"),
)
"""A site at installation and as it was measured later: the first is 5G as it is sold, the second a
slice kept for touch."""

JOIN_S, USE_S = 0.6, 4.0
IMAGE_AFTER_S = JOIN_S + 0.2
SMALL_SET = "acquire:4MB"
"""A set that a quick session can afford; table 1 of the CAICT report (2023) has 300 MB."""

LARGE_SET = "acquire:300MB"
"""The largest set of table 1 of the CAICT report (2023)."""

RERUN_SET = "acquire:8MB"
"""Long enough on its way to fill the queue of a network that has grown slower."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a device makes of a round of places; the defaults suit any that states nothing.

    ``use_s``: how long its slowest stream takes to show its limits, in s. ``rest_s``: until what
    was on its way at the end must have come, in s. ``methods``: the access methods that it has;
    empty for all. ``delay_s``, ``loss``, ``rate_bps``: the envelope of the sites that it is for;
    a place outside of it is seen for the shortest time only. ``radio``, ``environment``,
    ``recovery_s``: of the device, with the signals that it is expected to bear, and how long it
    may take to recover from one. ``delay_limit_s``: beyond which it alarms. ``pause_s``:
    which neither side takes for a silence. ``stray_loss``: a ratio at which chance alone does not
    take it beyond its limit of loss.
    """

    use_s: float = USE_S
    rest_s: float = 0.0
    methods: tuple[str, ...] = ()
    delay_s: float = math.inf
    loss: float = 1.0
    rate_bps: float = 0.0
    radio: Radio | None = None
    environment: tuple[Exposure, ...] = ()
    recovery_s: float = 1.0
    delay_limit_s: float = 0.010
    pause_s: float = 0.025
    stray_loss: float = 0.0005

    def holds(self, profile: LinkProfile) -> bool:
        """Whether both directions of a network lie within the envelope."""
        return all(
            state.delay.mean_s <= self.delay_s
            and state.loss_ratio <= self.loss
            and (state.rate_bps or math.inf) >= self.rate_bps
            for state in (profile.to_patient, profile.to_doctor)
        )


ANYBODY = Visit()


def _both(profile: str) -> dict[str, LinkState]:
    """Both links on the same network: the device is there with all it has."""
    state = link_state(load_profiles()[profile])
    return {"primary": state, "standby": state}


def _place(name: str, kind: str, profile: str, use_s: float) -> Step:
    links = _both(profile)
    phases = (Segment("join", JOIN_S, links), Segment("use", use_s, links))
    return Step(name, kind, "within", phases, note=load_profiles()[profile].title)


def _places(
    name: str,
    title: str,
    steps: tuple[Step, ...],
    source: str,
    images: str = SMALL_SET,
    rest_s: float = 1.0,
) -> Scenario:
    """The places one after the other, an image set made at each, and time for the last to come."""
    made = tuple(Action(step.name, IMAGE_AFTER_S, "patient", images) for step in steps)
    end = Segment("rest", rest_s)
    rest = Step("rest", "hold", "within", (end,), judged=False)
    return Scenario(name, title, (settle(usual_links()), *steps, rest), made, source)


def access_methods(visit: Visit = ANYBODY) -> Scenario:
    """The network by each access method, one after the other, with an image set on each."""
    return _places(
        "access-methods",
        "The same device on a wired network, 5G, a gateway, Wi-Fi and 4G, as far as it has them",
        tuple(
            _place(name, "access", profile, visit.use_s)
            for name, profile in ACCESS.items()
            if not visit.methods or name in visit.methods
        ),
        "CAICT report on remote medical devices (2023), table 7",
        rest_s=max(1.0, visit.rest_s),
    )


def site_profiles(visit: Visit = ANYBODY) -> Scenario:
    """Laboratory, first deployment, maintenance and a rural place, with an image set at each."""
    profiles = load_profiles()
    return _places(
        "site-profiles",
        "The same device in the laboratory, at its first site, in maintenance and in the country",
        tuple(
            _place(name, "site", site, visit.use_s if visit.holds(profiles[site]) else USE_S)
            for name, site in SITES.items()
        ),
        "chosen inside the ranges of table 7, CAICT report on remote medical devices (2023)",
        rest_s=max(1.0, visit.rest_s),
    )


def site_reruns(visit: Visit = ANYBODY) -> Scenario:
    """A site as it was stated at installation, then as it was measured one and three years later.

    The first of :data:`STORIES` that stays within the device's envelope. A laboratory puts the
    figures of its own site here: the baseline, then what a probe found.
    """
    profiles = load_profiles()
    fitting = [story for story in STORIES if all(visit.holds(profiles[site]) for site in story)]
    baseline, *later = (fitting or STORIES)[0]
    steps = (
        _place("installation", "baseline", baseline, visit.use_s),
        *(_place(name.removeprefix("site-"), "rerun", name, visit.use_s) for name in later),
    )
    return _places(
        "site-reruns",
        "A site at installation, and measured again one and three years later",
        steps,
        "synthetic: a network that grows slower with its load, inside the ranges of table 7",
        RERUN_SET,
        rest_s=max(3.5, visit.rest_s),
    )


def harsh_journey() -> Scenario:
    """A drive: handover, radio link failure, tunnels while images go out, and on to 4G.

    Both links ride in the same vehicle: what happens to one happens to the other, but for the
    first handover.
    """
    links = usual_links()
    on = ("primary", "standby")
    failure = with_phases(
        find_event("radio-link-failure"),
        {"fade": Phase("fade", Drawn(0.5, 1.0), Effect(loss=0.3)),
         "blackout": Phase("blackout", Drawn(1.0, 2.0), Effect(hold=False, up=False, of="now"))},
    )  # fmt: skip
    slow = Disturbance(
        "cell-edge", 1.5, on=on, effects=dict.fromkeys(DIRECTIONS, Effect(rate_bps=30e6)),
        lasting=True,
    )  # fmt: skip
    wide = Disturbance(
        "wide", 2.5, on=on, effects=dict.fromkeys(DIRECTIONS, Effect(rate_bps=300e6)), lasting=True
    )
    rides = (
        ("handover", event_segments(find_event("nr"), ("primary",)), 2.0),
        ("failure", event_segments(failure, on), 2.5),
        ("tunnels", (slow, *flap(5, 1.0, 2.0, on)), 2.5),
        ("to-4g", (wide, *event_segments(find_event("5g-to-4g-redirect"), on)), 2.5),
    )
    steps = tuple(
        Step(
            name, "journey", "beyond", (*segments, Segment("ride", ride_s)), judged=False,
            note=f"typical figures; {SURROGATE}",
        )
        for name, segments, ride_s in rides
    )  # fmt: skip
    return Scenario(
        "harsh-journey",
        "A drive through a handover, a radio link failure, tunnels and out of 5G coverage",
        (settle(links), *steps, recover(links, 2.0)),
        (Action("tunnels", 0.3, "patient", "acquire:8MB"),),
        f"synthetic drive of typical events; {SURROGATE}",
    )


def large_image_set() -> Scenario:
    """The largest set of the documents is sent over a good network."""
    links = usual_links()
    return Scenario(
        "large-image-set",
        "An image set of 300 MB over 5G",
        (
            settle(links),
            Step("transfer", "hold", "within", (Segment("transfer", 15.5, links),)),
        ),
        (Action("transfer", 0.2, "patient", LARGE_SET),),
        source="CAICT report on remote medical devices (2023), tables 1 and 7 (5G)",
    )


def storage_failure() -> Scenario:
    """The storage fails during an examination; a little later the backup is restored."""
    links = usual_links()
    steps = (
        settle(links),
        Step("record", "record", "within", (Segment("record", 7.0, links),), judged=False),
        Step("restore", "restore", "within", (Segment("restore", 8.0, links),), judged=False),
    )
    return Scenario(
        "storage-failure",
        "The record store fails and its backup is restored",
        steps,
        (
            Action("record", 6.9, "patient", "fail-storage"),
            Action("restore", 0.5, "patient", "restore-backup"),
        ),
    )


VISITS: Mapping[str, Callable[[Visit], Scenario]] = {
    "access-methods": access_methods,
    "site-profiles": site_profiles,
    "site-reruns": site_reruns,
}
"""Scenarios that suit themselves to what a device states."""

SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "access-methods": access_methods,
    "site-profiles": site_profiles,
    "site-reruns": site_reruns,
    "harsh-journey": harsh_journey,
    "large-image-set": large_image_set,
    "storage-failure": storage_failure,
}
