"""The most unfavourable case: the faults of a remote robot one upon the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bench.network.impairment import Delay, GilbertElliott, bernoulli
from bench.network.library.parts import changed, only, recover, settle, usual_links
from bench.network.scenario import Action, LinkState, Scenario, Segment, Step

_CALM_S, _REARM_S = 2.0, 5.0
"""Until a device moves again: after a delay alone, and after losses."""

_BURSTS = GilbertElliott(0.06, 0.6)
"""One packet in eleven lost, in bursts: four lost ones in ten are followed by another."""


def _together(links: Mapping[str, LinkState]) -> Step:
    """Copies and overtaking, a handover gap, then failover onto a standby that loses bursts."""
    primary, standby = only(links, "primary"), only(links, "standby")
    unsteady = {
        "delay": Delay(0.0085, "uniform", 0.001), "duplication": 0.3, "order": "allow",
    }  # fmt: skip
    poor = changed(standby, **unsteady, loss=_BURSTS)
    return Step(
        "together",
        "outage",
        "beyond",
        (
            Segment("copies", 1.0, {**changed(primary, **unsteady), **poor}),
            Segment("gap", 0.06, changed(primary, delay=Delay(0.0085), hold=True)),
            Segment("burst", 0.1, changed(primary, delay=Delay(0.0085))),
            Segment("cut", 1.2, changed(primary, up=False)),
        ),
    )


def worst_case() -> Scenario:
    """Most delay, burst loss, handover and failover together, blackout; takeover and stop in them.

    Faults follow each other as soon as a device may move again, so that each meets it moving.
    """
    links = usual_links()
    late = changed(links, delay=Delay(0.06, "uniform", 0.0003))
    down = changed(links, up=False)
    lossy = changed(links, loss=bernoulli(0.02))
    calm = recover(links, _CALM_S)
    return Scenario(
        "worst-case",
        "Worst case: delay, burst loss, handover, failover and blackout in one session",
        (
            settle(links),
            Step("late", "profile", "beyond", (Segment("late", 1.0, late),)),
            replace(calm, name="calm"),
            _together(links),
            replace(recover(links, _REARM_S), name="failover-over"),
            Step("blackout", "blackout", "beyond", (Segment("blackout", 1.2, down),)),
            Step("late-again", "profile", "beyond", (Segment("late-again", 1.0, late),)),
            replace(calm, name="taken"),
            replace(recover(links, _REARM_S), name="released"),
            Step("stop", "local-stop", "beyond", (Segment("stop", 1.8, lossy),), judged=False),
            replace(recover(links, 0.5), name="end"),
        ),
        actions=(
            Action("late-again", 0.5, "patient", "takeover"),
            Action("released", 0.0, "patient", "takeover-release"),
            Action("stop", 0.1, "patient", "local-stop"),
            Action("end", 0.2, "patient", "local-release"),
        ),
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {"worst-case": worst_case}
