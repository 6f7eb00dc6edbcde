"""Events: typical shapes of what happens to a link in time, with the source of their figures.

Each is data: phases with durations that are drawn from the seed and effects relative to the state
of the link (:class:`bench.network.effects.Effect`). All are surrogates at the IP layer: delay,
rate, loss and interruption as packets see them, no radio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bench.errors import InputError
from bench.network.drawn import Between, Drawn, DrawnLognormal
from bench.network.effects import Effect
from bench.network.impairment import DIRECTIONS, Direction
from bench.network.scenario import Disturbance

SURROGATE = "IP-layer surrogate, no radio"

Mode = Literal["hold", "drop"]
"""What an interruption does with packets: queue and release as a burst, or lose them."""

INTERRUPTIONS: Mapping[Mode, Effect] = {
    "hold": Effect(hold=True, up=True),
    "drop": Effect(hold=False, up=False),
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of an event. ``lasting``: what it leaves stays after the event."""

    name: str
    duration_s: float | Drawn
    effect: Effect
    ramp: bool = False
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A named event. ``kind`` is that of its step; ``typical``: the figures behind the draws."""

    name: str
    kind: str
    title: str
    typical: str
    source: str
    phases: tuple[Phase, ...]


RAMP_INCREMENT_S = 0.01
"""Step of the delay while a phase ramps: fine against phases of 50 ms."""

_TRIGGER = Effect(delay_factor=Between(1.5, 3.0), rate_factor=0.5)
_NEW_CELL = Effect(delay_shift_s=Between(-0.005, 0.005))
_LTE_CELL = Effect(delay_shift_s=Between(0.0075, 0.015), rate_factor=Between(1 / 20, 1 / 5))
_RETRIES = Effect(delay_factor=Between(1.5, 3.0), loss=Between(0.01, 0.05))
_GAP = replace(INTERRUPTIONS["hold"], of="now")
_LOST = replace(INTERRUPTIONS["drop"], of="now")
_SETTLED = Phase("settled", 0.1, Effect())


def _handover(trigger: Drawn, gap: Drawn) -> tuple[Phase, ...]:
    return (
        Phase("trigger", trigger, _TRIGGER, ramp=True),
        Phase("gap", gap, _GAP),
        Phase("decay", Drawn(0.1, 0.3), _NEW_CELL, ramp=True, lasting=True),
    )


def _roam(gap: Drawn) -> tuple[Phase, ...]:
    return (Phase("retries", Drawn(0.05, 0.15), _RETRIES), Phase("gap", gap, _LOST), _SETTLED)


_SHAPE = (
    "delay × 1.5 to 3 and half the rate while the trigger runs, decay in 100 to 300 ms, then a "
    "base delay within ± 5 ms of the one before (never below half of it)"
)

_ALL = (
    Event(
        "lte",
        "handover",
        "LTE handover in frequency",
        f"interruption 30 to 80 ms, held and released as a burst; {_SHAPE}",
        "procedure: 3GPP TS 36.300 clause 10.1.2; typical figures, no measured link",
        _handover(Drawn(0.1, 0.3), Drawn(0.03, 0.08)),
    ),
    Event(
        "nr",
        "handover",
        "NR handover in frequency",
        f"interruption 50 to 150 ms, held and released as a burst; {_SHAPE}",
        "procedure: 3GPP TS 38.300 clause 9.2.3; typical figures, no measured link",
        _handover(Drawn(0.1, 0.3), Drawn(0.05, 0.15)),
    ),
    Event(
        "conditional",
        "handover",
        "Conditional handover, DAPS or lower-layer mobility",
        "interruption up to 30 ms (1 ms at least here), held; short trigger, up to 5 % of the "
        "packets twice while both cells send",
        "procedure: 3GPP TS 38.300 clause 9.2.3.4 (conditional), 9.2.3.2.1 (DAPS); "
        "typical figures, no measured link",
        (
            Phase("trigger", Drawn(0.03, 0.1), _TRIGGER, ramp=True),
            Phase("gap", Drawn(0.001, 0.03), _GAP),
            Phase(
                "duplicates",
                Drawn(0.02, 0.06),
                Effect(duplication=Between(0.0, 0.05), hold=False, of="now"),
            ),
            Phase("decay", Drawn(0.05, 0.15), _NEW_CELL, ramp=True, lasting=True),
        ),
    ),
    Event(
        "5g-to-4g",
        "handover",
        "5G to 4G by handover",
        "interruption 0.1 to 0.3 s, held; rate divided by 5 to 20 and round trip + 15 to 30 ms "
        "(half per direction), which stay",
        "procedure: 3GPP TS 23.502 clause 4.11.1; typical figures, no measured link",
        (
            Phase("trigger", Drawn(0.1, 0.3), _TRIGGER, ramp=True),
            Phase("gap", Drawn(0.1, 0.3), _GAP),
            Phase("decay", Drawn(0.1, 0.3), _LTE_CELL, ramp=True, lasting=True),
        ),
    ),
    Event(
        "5g-to-4g-redirect",
        "handover",
        "5G to 4G by release with redirection",
        "interruption 0.5 to 2 s, lost; rate divided by 5 to 20 and round trip + 15 to 30 ms "
        "(half per direction), which stay",
        "procedure: 3GPP TS 38.331 clause 5.3.8; typical figures, no measured link",
        (
            Phase("trigger", Drawn(0.1, 0.3), _TRIGGER, ramp=True),
            Phase("gap", Drawn(0.5, 2.0), _LOST),
            Phase("attach", Drawn(0.1, 0.3), _LTE_CELL, lasting=True),
        ),
    ),
    Event(
        "radio-link-failure",
        "radio-link-failure",
        "Radio link failure with re-establishment",
        "loss 5 to 50 % for 0.5 to 2 s, blackout 1 to 3 s, then the rate comes back by "
        "an eighth, a quarter and a half",
        "procedure: 3GPP TS 38.331 clauses 5.3.7 and 5.3.10 (T310, T311); typical figures, no "
        "measured link",
        (
            Phase("fade", Drawn(0.5, 2.0), Effect(loss=Between(0.05, 0.5))),
            Phase("blackout", Drawn(1.0, 3.0), _LOST),
            Phase("slow-start-8", 0.2, Effect(rate_factor=1 / 8)),
            Phase("slow-start-4", 0.2, Effect(rate_factor=1 / 4)),
            Phase("slow-start-2", 0.2, Effect(rate_factor=1 / 2)),
            _SETTLED,
        ),
    ),
    Event(
        "wifi-11r",
        "handover",
        "Wi-Fi roam with fast transition",
        "retries (delay × 1.5 to 3, loss 1 to 5 %), then an interruption below 50 ms, lost",
        "procedure: IEEE 802.11-2020 clause 13; typical figures, no measured link",
        _roam(Drawn(0.01, 0.05)),
    ),
    Event(
        "wifi-psk",
        "handover",
        "Wi-Fi roam with a pre-shared key",
        "retries (delay × 1.5 to 3, loss 1 to 5 %), then an interruption of 50 to 100 ms, lost",
        "procedure: IEEE 802.11-2020 clause 12.7 (4-way handshake); typical figures, no measured "
        "link",
        _roam(Drawn(0.05, 0.1)),
    ),
    Event(
        "wifi-full",
        "handover",
        "Wi-Fi roam with full authentication",
        "retries (delay × 1.5 to 3, loss 1 to 5 %), then an interruption of 200 to 300 ms, lost; "
        "a scan or DHCP takes it to seconds: give the gap a longer duration",
        "procedure: IEEE 802.1X and IEEE 802.11-2020 clause 12; typical figures, no measured link",
        _roam(Drawn(0.2, 0.3)),
    ),
    Event(
        "dual-sim",
        "outage",
        "Failover to the other SIM",
        "blackout of 1 to 30 s (detection and switch; lognormal, median 5 s), then another path; "
        "the new address and the lost state of a real failover are not emulated",
        "typical figures, no measured link",
        (
            Phase("blackout", DrawnLognormal(1.0, 30.0, 5.0, 0.8), _LOST),
            Phase("other-path", 0.5, Effect(delay_shift_s=Between(0.0, 0.01)), lasting=True),
        ),
    ),
)

EVENTS: Mapping[str, Event] = {event.name: event for event in _ALL}


def find_event(name: str) -> Event:
    """An event by name.

    Raises:
        InputError: unknown name.
    """
    if name not in EVENTS:
        raise InputError(
            "unknown event", remedy=f"use one of {', '.join(EVENTS)}", field="event", value=name
        )
    return EVENTS[name]


def event_segments(
    event: Event, on: tuple[str, ...], directions: tuple[Direction, ...] = DIRECTIONS
) -> tuple[Disturbance, ...]:
    """The segments of an event on the named links, around whatever state they are in.

    Both directions share one draw, and so do all links.
    """
    return tuple(
        Disturbance(
            phase.name,
            phase.duration_s,
            ramp=phase.ramp,
            increment_s=RAMP_INCREMENT_S,
            on=on,
            effects=dict.fromkeys(directions, phase.effect),
            lasting=phase.lasting,
        )
        for phase in event.phases
    )


def event_note(event: Event) -> str:
    """What a step that plays the event says about itself."""
    return f"{event.title}: {event.typical}; {SURROGATE}"


def lasting_segment(
    phase: str,
    duration_s: float | Drawn,
    on: tuple[str, ...],
    effects: Mapping[Direction, Effect],
    ramp_increment_s: float | None = None,
) -> Disturbance:
    """A state that stays; with ``ramp_increment_s`` the delay goes there in such steps."""
    return Disturbance(
        phase,
        duration_s,
        ramp=ramp_increment_s is not None,
        increment_s=ramp_increment_s or RAMP_INCREMENT_S,
        on=on,
        effects=effects,
        lasting=True,
    )


def outage(
    duration_s: float | Drawn,
    on: tuple[str, ...],
    directions: tuple[Direction, ...] = DIRECTIONS,
    mode: Mode = "drop",
    phase: str = "outage",
) -> Disturbance:
    """An interruption, after which the links are as before."""
    effects = dict.fromkeys(directions, INTERRUPTIONS[mode])
    return Disturbance(phase, duration_s, on=on, effects=effects)


def flap(
    count: int,
    down_s: float | Drawn,
    up_s: float | Drawn,
    on: tuple[str, ...],
    directions: tuple[Direction, ...] = DIRECTIONS,
    mode: Mode = "drop",
) -> tuple[Disturbance, ...]:
    """``count`` interruptions, each followed by time as before; every duration is its own draw.

    Raises:
        InputError: a count below 1.
    """
    if count < 1:
        raise InputError(
            "a link flaps once or more", remedy="give 1 or more", field="count", value=count
        )
    segments = []
    for number in range(1, count + 1):
        segments.append(outage(down_s, on, directions, mode, f"down-{number}"))
        # Named, so that the change belongs to this flap, and not to whatever comes next.
        up = dict.fromkeys(directions, Effect())
        segments.append(Disturbance(f"up-{number}", up_s, on=on, effects=up))
    return tuple(segments)


def with_phases(event: Event, changed: Mapping[str, Phase]) -> Event:
    """The event with some of its phases replaced, by name.

    Raises:
        InputError: it has no phase of that name.
    """
    names = [phase.name for phase in event.phases]
    for name in changed:
        if name not in names:
            raise InputError(
                f"the event {event.name} has no such phase",
                remedy=f"use one of {', '.join(names)}",
                field="phases",
                value=name,
            )
    phases = tuple(changed.get(phase.name, phase) for phase in event.phases)
    return replace(event, phases=phases)
