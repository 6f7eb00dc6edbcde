"""The quality of the network: jitter beyond its limit, and a bad link before the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.impairment import Delay, bernoulli
from bench.network.library.parts import changed, recover, settle, usual_links
from bench.network.scenario import Action, Scenario, Segment, Step


def jitter_step() -> Scenario:
    """Delays spread widely on all links, and stay within the haptic limit; nothing is lost."""
    links = usual_links()
    unsteady = changed(links, delay=Delay(0.0055, "uniform", 0.0045))
    return Scenario(
        "jitter-step",
        "Jitter beyond its limit",
        (
            settle(links),
            Step("jitter", "jitter", "beyond", (Segment("jitter", 2.5, unsteady),)),
            recover(links, 2.5),
        ),
    )


def bad_link_before_start() -> Scenario:
    """All links lose a third from the beginning; the operator asks for a start all the same."""
    links = usual_links()
    bad = changed(links, loss=bernoulli(0.3))
    return Scenario(
        "bad-link-before-start",
        "A bad link before the operation begins",
        (
            Step("bad", "bad-link", "beyond", (Segment("bad", 2.0, bad),)),
            recover(links, 6.0),
        ),
        actions=(Action("bad", 1.2, "doctor", "start-operation"),),
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "jitter-step": jitter_step,
    "bad-link-before-start": bad_link_before_start,
}
