"""Local takeover: the patient's side takes control while the network fails, and gives it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.impairment import Delay
from bench.network.library.parts import changed, settle, usual_links
from bench.network.scenario import Action, LinkState, Scenario, Segment, Step

_FAULT_S, _TAKEN_S, _RELEASED_S = 1.5, 1.5, 1.5
_AFTER_S = 0.8
"""From the fault to the takeover: whatever the device does about the fault, it has done."""

_RELEASE_S = 0.03
"""Off the beat of whatever the device does every tenth of a second."""


def _takeover(name: str, title: str, kind: str, fault: Mapping[str, LinkState]) -> Scenario:
    """A fault, the takeover in it, remote commands that come again, and the release."""
    links = usual_links()
    return Scenario(
        name,
        title,
        (
            settle(links),
            Step("fault", kind, "beyond", (Segment("fault", _FAULT_S, fault),)),
            Step("taken", "hold", "within", (Segment("taken", _TAKEN_S, links),), judged=False),
            Step(
                "released", "hold", "within", (Segment("released", _RELEASED_S, links),),
                judged=False,
            ),
        ),
        actions=(
            Action("fault", _AFTER_S, "patient", "takeover"),
            Action("released", _RELEASE_S, "patient", "takeover-release"),
        ),
    )  # fmt: skip


def takeover_delay() -> Scenario:
    """FAIL-1: every command is far too old."""
    late = changed(usual_links(), delay=Delay(0.05, "uniform", 0.0003))
    return _takeover("takeover-delay", "Local takeover at excess control delay", "profile", late)


def takeover_freeze() -> Scenario:
    """FAIL-2: pictures and everything else from the patient stop, commands keep coming."""
    frozen = {
        link: LinkState(state.to_patient, state.to_doctor.with_(up=False))
        for link, state in usual_links().items()
    }
    return _takeover("takeover-freeze", "Local takeover at a frozen image", "half-open", frozen)


def takeover_blackout() -> Scenario:
    """FAIL-3: nothing comes at all."""
    down = changed(usual_links(), up=False)
    return _takeover("takeover-blackout", "Local takeover in a blackout", "blackout", down)


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "takeover-delay": takeover_delay,
    "takeover-freeze": takeover_freeze,
    "takeover-blackout": takeover_blackout,
}
