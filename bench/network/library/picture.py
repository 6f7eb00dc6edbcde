"""What the doctor sees: frozen pictures, the displayed network, false alarms, falling capacity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.impairment import Delay, bernoulli
from bench.network.library.parts import changed, only, recover, settle, usual_links
from bench.network.library.places import ANYBODY, Visit
from bench.network.scenario import Action, LinkState, Scenario, Segment, Step

MINUTES = 5
"""Of the long run inside the limits."""

LADDER_BPS = (100e6, 70e6, 34e6, 6e6, 4e6)
"""Capacities of a path that carries less and less."""

MARKS_S = tuple(round(0.5 + 1.037 * k, 3) for k in range(8))
"""When something is to be seen and heard; irregular against frames of any usual rate."""


def picture_stall() -> Scenario:
    """The cameras (or their encoders) stall; network and control go on."""
    links = usual_links()
    return Scenario(
        "picture-stall",
        "The video stalls while control goes on",
        (
            settle(links),
            Step("stall", "freeze", "within", (Segment("stall", 3.5, links),), judged=False),
            recover(links, 1.0),
        ),
        actions=(
            Action("stall", 0.5, "patient", "stall-video"),
            Action("stall", 2.5, "patient", "resume-video"),
        ),
    )


def network_steps() -> Scenario:
    """Delay, jitter and loss take known steps, each longer than a display needs.

    Before each, a calm moment at its mean delay: no packet of a step waits behind one sent before.
    """
    links = usual_links()
    calm = changed(links, delay=Delay(0.012, "uniform", 0.0003))
    uneven = changed(links, delay=Delay(0.012, "uniform", 0.008))
    late = changed(links, delay=Delay(0.040, "uniform", 0.0003))
    lossy = changed(late, loss=bernoulli(0.15))

    def step(name: str, before: Mapping[str, LinkState], state: Mapping[str, LinkState]) -> Step:
        segments = (Segment("calm", 0.3, before), Segment(name, 6.6, state))
        return Step(name, "network-state", "beyond", segments, judged=False)

    return Scenario(
        "network-steps",
        "Known steps of delay, jitter and loss",
        (
            settle(links),
            step("jitter", calm, uneven),
            step("delay", late, late),
            step("loss", late, lossy),
        ),
    )


def inside_limits(minutes: float = MINUTES, visit: Visit = ANYBODY) -> Scenario:
    """Minutes just inside a device's limits; without one, those of a device that carries touch."""
    links = usual_links()
    delay = Delay(0.9 * visit.delay_limit_s, "uniform", 0.0003)
    near = changed(links, delay=delay, loss=bernoulli(visit.stray_loss))
    held = changed(near, hold=True)
    segments = tuple(
        segment
        for k in range(round(3 * minutes))
        for segment in (
            Segment(f"near-{k}", 10.0, near),
            Segment(f"gap-{k}", visit.pause_s, held),
            Segment(f"after-{k}", 10.0 - visit.pause_s, near),
        )
    )
    return Scenario(
        "inside-limits",
        "A long run just inside the limits",
        (settle(links), Step("near", "hold", "within", segments, judged=False)),
    )


def capacity_ramp() -> Scenario:
    """The capacity of all links falls step by step, below what all streams together take."""
    links = usual_links()
    steps = tuple(
        Step(
            f"{rate_bps / 1e6:g}-mbit",
            "capacity",
            "beyond",
            (Segment("capacity", 4.0, changed(links, rate_bps=rate_bps, queue_s=0.06)),),
            judged=False,
        )
        for rate_bps in LADDER_BPS
    )
    return Scenario("capacity-ramp", "Capacity falls step by step", (settle(links, 3.0), *steps))


def declared_flows() -> Scenario:
    """Ordinary use, and a short outage of the primary link: what flows, and what flows then."""
    links = usual_links()
    down = changed(only(links, "primary"), up=False)
    return Scenario(
        "declared-flows",
        "What flows in ordinary use and when a link fails",
        (
            settle(links),
            Step("use", "hold", "within", (Segment("use", 3.0, links),), judged=False),
            Step("outage", "outage", "beyond", (Segment("outage", 1.5, down),), judged=False),
            recover(links, 3.5),
        ),
    )


def differential_delay() -> Scenario:
    """A path on which large frames take much longer than sound; marks are made at the source."""
    links = usual_links()
    narrow = changed(links, delay=Delay(0.006, "uniform", 0.002), rate_bps=60e6, queue_s=0.06)
    return Scenario(
        "differential-delay",
        "Voice, video and ultrasound take different times",
        (
            settle(links),
            Step("marks", "hold", "within", (Segment("marks", 9.0, narrow),), judged=False),
        ),
        actions=tuple(Action("marks", after_s, "patient", "mark") for after_s in MARKS_S),
    )


VISITS: Mapping[str, Callable[[Visit], Scenario]] = {
    "inside-limits": lambda visit: inside_limits(visit=visit),
}
"""Scenarios that suit themselves to what a device states."""

SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "picture-stall": picture_stall,
    "network-steps": network_steps,
    "inside-limits": inside_limits,
    "capacity-ramp": capacity_ramp,
    "declared-flows": declared_flows,
    "differential-delay": differential_delay,
}
