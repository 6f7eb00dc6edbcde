"""The library of named scenarios. Each is data; durations that vary are drawn from the seed.

``within`` steps keep inside the limits of table 2 of the CAICT report (2023); ``beyond`` steps
leave them on purpose, and only the device's declared response is judged there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.errors import InputError
from bench.network.impairment import Delay, Impairment, bernoulli
from bench.network.profiles import LinkProfile, load_profiles
from bench.network.scenario import (
    Action,
    Drawn,
    LinkState,
    Scenario,
    Segment,
    Step,
    both,
)

SETTLE_S = 2.0
"""Time to connect and to be armed before anything is judged."""

_SLICE, _STANDBY = "5g-short-haul-slice", "5g-standby-slice"


def _state(profile: LinkProfile) -> LinkState:
    return LinkState(profile.to_patient, profile.to_doctor)


def _links() -> dict[str, LinkState]:
    profiles = load_profiles()
    return {"primary": _state(profiles[_SLICE]), "standby": _state(profiles[_STANDBY])}


def _settle(links: Mapping[str, LinkState], seconds: float = SETTLE_S) -> Step:
    return Step("settle", "hold", "within", (Segment("settle", seconds, links),), judged=False)


def _recover(links: Mapping[str, LinkState], seconds: float) -> Step:
    return Step("recover", "hold", "within", (Segment("recover", seconds, links),), judged=False)


def _changed(links: Mapping[str, LinkState], **changes: object) -> dict[str, LinkState]:
    return {
        name: LinkState(state.to_patient.with_(**changes), state.to_doctor.with_(**changes))
        for name, state in links.items()
    }


def _only(links: Mapping[str, LinkState], name: str) -> dict[str, LinkState]:
    return {name: links[name]}


def null_path(duration_s: float = 5.0) -> Scenario:
    """Nothing is impaired: what remains is the bench's own noise floor."""
    clean = {"primary": both(Impairment()), "standby": both(Impairment())}
    settle = Segment("settle", 1.0, clean)
    return Scenario(
        "null-path",
        "Unimpaired path: the bench's own noise floor",
        (
            Step("settle", "hold", "within", (settle,), judged=False),
            Step("null", "null", "within", (Segment("null", duration_s, clean),)),
        ),
    )


def steady(duration_s: float = 36.0) -> Scenario:
    """A short-haul 5G slice for as long as the planned evidence takes."""
    links = _links()
    return Scenario(
        "steady-5g-slice",
        "Steady on a short-haul 5G slice",
        (
            _settle(links),
            Step("steady", "hold", "within", (Segment("steady", duration_s, links),)),
        ),
        source="CAICT report on remote medical devices (2023), table 7 (5G)",
    )


def delay_ramp(top_s: float = 0.030) -> Scenario:
    """Delay rises across the haptic limit on all links, stays, and falls back."""
    links = _links()
    high = _changed(links, delay=Delay(top_s, "uniform", 0.0003))
    return Scenario(
        "delay-ramp",
        "Delay ramp across the haptic limit",
        (
            _settle(links),
            Step(
                "ramp",
                "ramp",
                "beyond",
                (Segment("rise", 3.0, high, ramp=True), Segment("top", 1.5, high)),
            ),
            _recover(links, 2.5),
        ),
    )


def loss_step(loss: float = 0.05) -> Scenario:
    """Independent loss far beyond the haptic limit, at an unchanged delay."""
    links = _links()
    lossy = _changed(links, loss=bernoulli(loss))
    return Scenario(
        "loss-step",
        "Loss beyond the haptic limit",
        (
            _settle(links),
            Step("loss", "loss", "beyond", (Segment("loss", 3.0, lossy),)),
            _recover(links, 2.5),
        ),
    )


def primary_outage(duration_s: float = 2.0) -> Scenario:
    """The primary link drops everything; the standby stays."""
    links = _links()
    down = _changed(_only(links, "primary"), up=False)
    return Scenario(
        "primary-outage",
        f"{duration_s:g} s outage of the primary link",
        (
            _settle(links),
            Step("outage", "outage", "beyond", (Segment("outage", duration_s, down),)),
            _recover(links, 3.5),
        ),
    )


def blackout(duration_s: float = 2.0) -> Scenario:
    """All links drop everything."""
    links = _links()
    down = _changed(links, up=False)
    return Scenario(
        "blackout",
        f"{duration_s:g} s blackout of all links",
        (
            _settle(links),
            Step("blackout", "blackout", "beyond", (Segment("blackout", duration_s, down),)),
            _recover(links, 5.0),
        ),
    )


def long_haul(name: str, title: str) -> Scenario:
    """A measured long-haul network: its mean, its range as a slow sweep, its worst round trip.

    Mean, minimum and maximum do not fix a distribution: this is synthetic, matched to them. The
    delay sweeps between the minimum and the value as far above the mean; the maximum comes once,
    as a stall that holds and releases.
    """
    links = _links()
    profile = load_profiles()[f"{name}-5g"]
    mean_s = profile.to_patient.delay.mean_s
    low_s = profile.figures["rtt_min_s"] / 2
    stall_s = profile.figures["rtt_max_s"] / 2 - mean_s
    here = {link: _state(profile) for link in links}

    def at(delay_s: float) -> dict[str, LinkState]:
        delay = Delay(delay_s, "uniform", 0.0003)
        return {
            link: LinkState(state.to_patient.with_(delay=delay), state.to_doctor.with_(delay=delay))
            for link, state in here.items()
        }

    return Scenario(
        name,
        title,
        (
            _settle(links),
            Step(
                "profile",
                "profile",
                "beyond",
                (
                    Segment("mean", 1.0, at(mean_s)),
                    Segment("low", 0.5, at(low_s), ramp=True),
                    Segment("high", 1.0, at(2 * mean_s - low_s), ramp=True),
                    Segment("back", 0.5, at(mean_s), ramp=True),
                    Segment("spike", stall_s, _changed(at(mean_s), hold=True)),
                    Segment("after", 0.5, at(mean_s)),
                ),
            ),
            _recover(links, 2.0),
        ),
        source=profile.source,
    )


def nr_handover() -> Scenario:
    """NR handover in frequency: degradation, a gap that holds, release as a burst, decay."""
    links = _links()
    primary = links["primary"]
    before = primary.to_patient
    slow_delay = Delay(2 * before.delay.mean_s, "uniform", 0.0003)
    rate_bps = (before.rate_bps or 1e9) / 2
    slow = both(before.with_(delay=slow_delay, rate_bps=rate_bps))
    base = both(before.with_(delay=Delay(before.delay.mean_s + 0.0005, "uniform", 0.0003)))
    return Scenario(
        "nr-handover",
        "NR handover with hold and burst on the primary link",
        (
            _settle(links),
            Step(
                "handover",
                "handover",
                "at",
                (
                    Segment("trigger", 0.2, {"primary": slow}),
                    Segment(
                        "gap",
                        Drawn(0.06, 0.15),
                        {"primary": both(slow.to_patient.with_(hold=True))},
                    ),
                    Segment("decay", 0.2, {"primary": slow}),
                    Segment("after", 2.0, {"primary": base}),
                ),
                judged=False,
                note="typical interruption 50 to 150 ms",
            ),
        ),
        source="typical NR handover shape; IP-layer surrogate, no radio",
    )


def radio_link_failure() -> Scenario:
    """Fading loss, blackout, re-establishment at a low rate, on the primary link."""
    links = _links()
    primary = links["primary"]
    fade = both(primary.to_patient.with_(loss=bernoulli(0.3)))
    down = both(primary.to_patient.with_(up=False))
    slow = both(primary.to_patient.with_(rate_bps=20e6))
    return Scenario(
        "radio-link-failure",
        "Radio link failure with re-establishment on the primary link",
        (
            _settle(links),
            Step(
                "failure",
                "radio-link-failure",
                "beyond",
                (
                    Segment("fade", Drawn(0.5, 1.0), {"primary": fade}),
                    Segment("blackout", Drawn(1.0, 2.0), {"primary": down}),
                    Segment("slow-start", 0.5, {"primary": slow}),
                ),
            ),
            _recover(links, 3.0),
        ),
        source="typical radio link failure shape; IP-layer surrogate, no radio",
    )


def local_stop() -> Scenario:
    """The local stop is pressed while remote commands keep coming over a lossy link."""
    links = _links()
    lossy = _changed(links, loss=bernoulli(0.002))
    return Scenario(
        "local-stop",
        "Local stop under remote load and loss",
        (
            _settle(links),
            Step("stop", "local-stop", "within", (Segment("stop", 2.0, lossy),), judged=False),
            Step("release", "hold", "within", (Segment("release", 2.0, links),), judged=False),
        ),
        actions=(
            Action("stop", 0.5, "patient", "local-stop"),
            Action("release", 0.0, "patient", "local-release"),
        ),
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "null-path": null_path,
    "steady-5g-slice": steady,
    "delay-ramp": delay_ramp,
    "loss-step": loss_step,
    "primary-outage": primary_outage,
    "blackout": blackout,
    "urumqi-shanghai": lambda: long_haul(
        "urumqi-shanghai", "Urumqi-Shanghai 5G, measured figures (beyond the haptic limits)"
    ),
    "beijing-shanghai": lambda: long_haul(
        "beijing-shanghai", "Beijing-Shanghai 5G, measured figures (beyond the haptic limits)"
    ),
    "nr-handover": nr_handover,
    "radio-link-failure": radio_link_failure,
    "local-stop": local_stop,
}


def find_scenario(name: str) -> Scenario:
    """A scenario by name.

    Raises:
        InputError: unknown name.
    """
    if name not in SCENARIOS:
        raise InputError(
            "unknown scenario",
            remedy=f"use one of {', '.join(SCENARIOS)}",
            field="scenario",
            value=name,
        )
    return SCENARIOS[name]()
