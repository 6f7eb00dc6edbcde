"""The basic network faults: delay, loss, outages, handover, two measured long-haul networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.network.impairment import Delay, Impairment, bernoulli
from bench.network.library.parts import changed, link_state, only, recover, settle, usual_links
from bench.network.profiles import load_profiles
from bench.network.scenario import (
    Action,
    Drawn,
    LinkState,
    Scenario,
    Segment,
    Step,
    both,
)

_LEAD_S = 0.065
"""Beyond the age of every command and the delay limit of every device, shorter than the silences
at which they stop."""


def null_path(duration_s: float = 5.0) -> Scenario:
    """Nothing is impaired: what remains is the bench's own noise floor."""
    clean = {"primary": both(Impairment()), "standby": both(Impairment())}
    first = Segment("settle", 1.0, clean)
    return Scenario(
        "null-path",
        "Unimpaired path: the bench's own noise floor",
        (
            Step("settle", "hold", "within", (first,), judged=False),
            Step("null", "null", "within", (Segment("null", duration_s, clean),)),
        ),
    )


def steady(duration_s: float = 36.0) -> Scenario:
    """A short-haul 5G slice for as long as the planned evidence takes."""
    links = usual_links()
    return Scenario(
        "steady-5g-slice",
        "Steady on a short-haul 5G slice",
        (
            settle(links),
            Step("steady", "hold", "within", (Segment("steady", duration_s, links),)),
        ),
        source="CAICT report on remote medical devices (2023), table 7 (5G)",
    )


def delay_ramp(top_s: float = 0.030) -> Scenario:
    """Delay rises across the haptic limit on all links, stays, and falls back."""
    links = usual_links()
    high = changed(links, delay=Delay(top_s, "uniform", 0.0003))
    return Scenario(
        "delay-ramp",
        "Delay ramp across the haptic limit",
        (
            settle(links),
            Step(
                "ramp",
                "ramp",
                "beyond",
                (Segment("rise", 3.0, high, ramp=True), Segment("top", 1.5, high)),
            ),
            recover(links, 2.5),
        ),
    )


def loss_step(loss: float = 0.05) -> Scenario:
    """Independent loss far beyond the haptic limit, at an unchanged delay."""
    links = usual_links()
    lossy = changed(links, loss=bernoulli(loss))
    return Scenario(
        "loss-step",
        "Loss beyond the haptic limit",
        (
            settle(links),
            Step("loss", "loss", "beyond", (Segment("loss", 3.0, lossy),)),
            recover(links, 2.5),
        ),
    )


def primary_outage(duration_s: float = 2.0) -> Scenario:
    """The primary link drops everything; the standby stays."""
    links = usual_links()
    down = changed(only(links, "primary"), up=False)
    return Scenario(
        "primary-outage",
        f"{duration_s:g} s outage of the primary link",
        (
            settle(links),
            Step("outage", "outage", "beyond", (Segment("outage", duration_s, down),)),
            recover(links, 3.5),
        ),
    )


def blackout(duration_s: float = 2.0, name: str = "blackout") -> Scenario:
    """All links drop everything."""
    links = usual_links()
    down = changed(links, up=False)
    return Scenario(
        name,
        f"{duration_s:g} s blackout of all links",
        (
            settle(links),
            Step("blackout", "blackout", "beyond", (Segment("blackout", duration_s, down),)),
            recover(links, 5.0),
        ),
    )


def blackout_to_patient(duration_s: float = 2.0) -> Scenario:
    """No link carries anything to the patient, and every link all that comes back."""
    links = usual_links()
    deaf = {
        link: LinkState(state.to_patient.with_(up=False), state.to_doctor)
        for link, state in links.items()
    }
    return Scenario(
        "blackout-to-patient",
        f"{duration_s:g} s in which nothing reaches the patient's side",
        (
            settle(links),
            Step("blackout", "blackout", "beyond", (Segment("blackout", duration_s, deaf),)),
            recover(links, 5.0),
        ),
    )


def excess_delay(top_s: float, name: str, *, one_way: bool) -> Scenario:
    """Control delay far beyond every limit, on all links.

    It comes in two steps: the first is short enough for commands that are too old to arrive while
    the device still moves. A step to the top at once would be a silence to it, as a blackout is.
    It goes slowly, four times as long as it lasts at most: all that is under way would else arrive
    at one moment, behind the last of the late packets.
    """
    links = usual_links()

    def at(delay_s: float) -> dict[str, LinkState]:
        late = changed(links, delay=Delay(delay_s, "uniform", 0.0003))
        if not one_way:
            return late
        return {link: LinkState(late[link].to_patient, links[link].to_doctor) for link in links}

    ways = "to the patient only" if one_way else "both ways"
    return Scenario(
        name,
        f"Excess control delay of {top_s * 1e3:g} ms, {ways}",
        (
            settle(links),
            Step(
                "profile",
                "profile",
                "beyond",
                (Segment("lead", 0.4, at(_LEAD_S)), Segment("excess", 2.0, at(top_s))),
            ),
            Step(
                "recover",
                "hold",
                "within",
                (
                    Segment("ease", 4 * top_s, links, ramp=True),
                    Segment("recover", 2.0 + top_s, links),
                ),
                judged=False,
            ),
        ),
    )


def long_haul(name: str, title: str) -> Scenario:
    """A measured long-haul network: its mean, its range as a slow sweep, its worst round trip.

    Mean, minimum and maximum do not fix a distribution: this is synthetic, matched to them. The
    delay sweeps between the minimum and the value as far above the mean; the maximum comes once,
    as a stall that holds and releases.
    """
    links = usual_links()
    profile = load_profiles()[f"{name}-5g"]
    mean_s = profile.to_patient.delay.mean_s
    low_s = profile.figures["rtt_min_s"] / 2
    stall_s = profile.figures["rtt_max_s"] / 2 - mean_s
    here = {link: link_state(profile) for link in links}

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
            settle(links),
            Step(
                "profile",
                "profile",
                "beyond",
                (
                    Segment("mean", 1.0, at(mean_s)),
                    Segment("low", 0.5, at(low_s), ramp=True),
                    Segment("high", 1.0, at(2 * mean_s - low_s), ramp=True),
                    Segment("back", 0.5, at(mean_s), ramp=True),
                    Segment("spike", stall_s, changed(at(mean_s), hold=True)),
                    Segment("after", 0.5, at(mean_s)),
                ),
            ),
            recover(links, 2.0),
        ),
        source=profile.source,
    )


def nr_handover() -> Scenario:
    """NR handover in frequency: degradation, a gap that holds, release as a burst, decay."""
    links = usual_links()
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
            settle(links),
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
    links = usual_links()
    primary = links["primary"]
    fade = both(primary.to_patient.with_(loss=bernoulli(0.3)))
    down = both(primary.to_patient.with_(up=False))
    slow = both(primary.to_patient.with_(rate_bps=20e6))
    return Scenario(
        "radio-link-failure",
        "Radio link failure with re-establishment on the primary link",
        (
            settle(links),
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
            recover(links, 3.0),
        ),
        source="typical radio link failure shape; IP-layer surrogate, no radio",
    )


def local_stop() -> Scenario:
    """The local stop is pressed while remote commands keep coming over a lossy link."""
    links = usual_links()
    lossy = changed(links, loss=bernoulli(0.002))
    return Scenario(
        "local-stop",
        "Local stop under remote load and loss",
        (
            settle(links),
            Step("stop", "local-stop", "within", (Segment("stop", 2.0, lossy),), judged=False),
            Step("release", "hold", "within", (Segment("release", 2.0, links),), judged=False),
        ),
        actions=(
            Action("stop", 0.5, "patient", "local-stop"),
            Action("release", 0.0, "patient", "local-release"),
        ),
    )


LONG: Mapping[str, Callable[[], Scenario]] = {
    "blackout-60s": lambda: blackout(60.0, "blackout-60s"),
    "blackout-600s": lambda: blackout(600.0, "blackout-600s"),
}
"""Scenarios that only a full run has time for, and that one once."""

SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "null-path": null_path,
    "steady-5g-slice": steady,
    "delay-ramp": delay_ramp,
    "loss-step": loss_step,
    "primary-outage": primary_outage,
    "blackout": blackout,
    "blackout-400ms": lambda: blackout(0.4, "blackout-400ms"),
    "blackout-1s": lambda: blackout(1.0, "blackout-1s"),
    "blackout-10s": lambda: blackout(10.0, "blackout-10s"),
    **LONG,
    "blackout-to-patient": blackout_to_patient,
    "excess-delay-200ms-to-patient": lambda: excess_delay(
        0.2, "excess-delay-200ms-to-patient", one_way=True
    ),
    "excess-delay-1s": lambda: excess_delay(1.0, "excess-delay-1s", one_way=False),
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
