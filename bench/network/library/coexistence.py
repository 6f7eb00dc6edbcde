"""Interference: everything that a device declares for its radio's surroundings, and beyond it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bench.network.library.parts import SETTLE_S, settle, usual_links
from bench.network.library.places import ANYBODY, Visit
from bench.network.radio.exposure import Exposure, Radio
from bench.network.scenario import Interference, Scenario, Segment, Step

EXAMPLE = Radio("primary", "nr-100mhz", 3.5e9, -70.0, 9.0, 1250)
"""The radio of a device that declares none, so that the scenarios can be looked at."""

EXAMPLE_ENVIRONMENT = (
    Exposure("lte20", 3.5e9, -78.0, 18e6),
    Exposure("lte20-bursts", 3.49e9, -64.0, 18e6, 0.2, 2e-3),
)

BEYOND_DB = 30.0
"""A signal in the channel that is so much stronger than the wanted one takes the link away."""

EXPOSED_KIND, BASELINE_KIND = "interferer", "baseline"
REST_S = 1.0
"""What a visit rests at least: no measurement is under way for so short a time."""

REGAINED = "regained"
"""The phase after an exposure in which the performance must be back."""


def coexistence(visit: Visit = ANYBODY) -> Scenario:
    """The radio alone, then each signal of its declared environment, each followed by recovery."""
    radio = visit.radio or EXAMPLE
    environment = visit.environment or EXAMPLE_ENVIRONMENT
    steps = [
        _settle(radio),
        Step(
            "baseline", BASELINE_KIND, "within", (Interference("alone", visit.use_s, radio=radio),)
        ),
    ]
    for number, exposure in enumerate(environment, 1):
        steps += exposed(radio, exposure, number, visit.use_s, visit.recovery_s)
    steps += _rest(radio, visit.rest_s)
    return Scenario(
        "coexistence",
        "Each radio signal of the declared environment, at its largest level",
        tuple(steps),
        source="the flow of ANSI C63.27: baseline, exposure, recovery; levels as declared",
    )


def exposed(
    radio: Radio, exposure: Exposure, number: int, use_s: float, recovery_s: float
) -> tuple[Step, Step]:
    """One signal for ``use_s``, and the time after it: to recover, and to show the performance."""
    name = f"{exposure.signal}-{number}"
    return (
        Step(
            name, EXPOSED_KIND, "within",
            (Interference("exposed", use_s, radio=radio, exposures=(exposure,)),),
            note=exposure.describe(),
        ),
        Step(
            f"after-{name}", "hold", "within",
            (
                Interference("recovery", recovery_s, radio=radio),
                Interference(REGAINED, use_s, radio=radio),
            ),
            judged=False,
        ),
    )  # fmt: skip


def interferer_beyond(visit: Visit = ANYBODY) -> Scenario:
    """A signal far beyond any environment takes the radio's link away, and goes."""
    radio = visit.radio or EXAMPLE
    strong = Exposure("noise40", radio.frequency_hz, radio.wanted_dbm + BEYOND_DB, 40e6)
    return Scenario(
        "interferer-beyond",
        "A radio signal beyond the declared environment takes the radio's link",
        (
            _settle(radio),
            Step(
                "interferer", EXPOSED_KIND, "beyond",
                (Interference("exposed", 2.0, radio=radio, exposures=(strong,)),),
                note=strong.describe(),
            ),
            Step(
                "recover", "hold", "within", (Interference("recover", 3.5, radio=radio),),
                judged=False,
            ),
        ),
    )  # fmt: skip


def _rest(radio: Radio, rest_s: float) -> tuple[Step, ...]:
    """Until what was measured last is due at the other side; nothing where nothing is."""
    if rest_s <= REST_S:
        return ()
    return (
        Step("rest", "hold", "within", (Interference("rest", rest_s, radio=radio),), judged=False),
    )


def _settle(radio: Radio) -> Step:
    """Time to connect and to be armed, on the usual links; not judged."""
    alone = Interference("settle", SETTLE_S, usual_links(), radio=radio)
    return Step("settle", "hold", "within", (alone,), judged=False)


def one_exposure(
    radio: Radio, exposure: Exposure, use_s: float, recovery_s: float, rest_s: float = 0.0
) -> Scenario:
    """A point of an exposure grid: the radio alone, exposed, and alone again.

    Its name holds the point, so that sessions of a grid are told apart.
    """
    alone = Interference("alone", use_s, radio=radio)
    exposed_, after = exposed(radio, exposure, 1, use_s, recovery_s)
    return Scenario(
        f"exposure-{exposure.signal}",
        f"One exposure: {exposure.describe()}",
        (
            _settle(radio),
            Step("baseline", BASELINE_KIND, "within", (alone,), judged=False),
            replace(exposed_, role="at"),
            after,
            *_rest(radio, rest_s),
        ),
    )


def at_work(seconds: float) -> Scenario:
    """The device at work for so long, once it has settled, while another network is measured."""
    links = usual_links()
    work = Step("at-work", BASELINE_KIND, "within", (Segment("at-work", seconds),), judged=False)
    return Scenario(
        "at-work", "The device at work, nothing exposed: what it does to others",
        (settle(links), work),
    )  # fmt: skip


VISITS: Mapping[str, Callable[[Visit], Scenario]] = {
    "coexistence": coexistence,
    "interferer-beyond": interferer_beyond,
}

SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "coexistence": coexistence,
    "interferer-beyond": interferer_beyond,
}
