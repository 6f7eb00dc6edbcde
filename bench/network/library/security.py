"""Attacks, further clients, jamming: what a device's security is tried with.

Attackers stand on the network (:mod:`bench.network.attacks`); nothing here is radio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bench.network.attacks import Attack
from bench.network.library.parts import changed, recover, settle, usual_links
from bench.network.scenario import Action, Scenario, Segment, Side, Step

CLIENTS = 8
"""Further clients that the connections scenario tries, one after the other."""
CLIENT_EVERY_S = 0.4

SURROGATE = "surrogate at the IP layer: no radio cell, no base station is involved"


def _attacked(
    name: str, title: str, kind: str, seconds: float, actions: Iterable[tuple[Attack, float]],
    more: tuple[Action, ...] = (), note: str = "",
) -> Scenario:  # fmt: skip
    """Usual links, one step in which attacks happen, and a moment after it."""
    links = usual_links()
    step = Step(kind, kind, "beyond", (Segment(kind, seconds, links),), judged=False, note=note)
    acts = tuple(attack.action(kind, after_s) for attack, after_s in actions)
    return Scenario(name, title, (settle(links), step, recover(links, 1.0)), (*acts, *more), note)


def tampering() -> Scenario:
    """Commands are flipped, copied, held back and made up on the way, few enough to go on.

    A flipped command is a lost one to a healthy device: at 100 commands per second two within
    2.5 s are below 1 %, and three are a reason to hold.
    """
    return _attacked(
        "tampering", "Commands altered, replayed, reordered and injected on the way",
        "tampering", 8.5,
        (
            (Attack("flip", count=6, rate_per_s=0.7), 0.1),
            (Attack("replay", count=120, rate_per_s=40.0), 0.15),
            (Attack("reorder", count=24, rate_per_s=8.0), 0.2),
            (Attack("inject", count=90, rate_per_s=30.0), 0.25),
        ),
    )  # fmt: skip


def intrusion() -> Scenario:
    """Clients without a valid identity want in; a lawful one shows that the door works."""
    details = ("valid", "none", "expired", "foreign", "revoked", "replayed")
    return _attacked(
        "intrusion", "Clients without a valid certificate", "intrusion", 3.5,
        ((Attack("connect", detail), 0.1 + 0.5 * k) for k, detail in enumerate(details)),
    )  # fmt: skip


def unlisted_peer() -> Scenario:
    """A client with a good certificate that is not on the whitelist wants in."""
    return _attacked(
        "unlisted-peer", "A peer that is not on the whitelist", "intrusion", 2.0,
        (
            (Attack("connect", "valid"), 0.1),
            (Attack("connect", "unlisted"), 0.6),
            (Attack("connect", "unlisted", link="standby"), 1.1),
        ),
    )  # fmt: skip


def rogue_network() -> Scenario:
    """A false network puts itself between the device and its operator."""
    return _attacked(
        "rogue-network", f"Rogue network ({SURROGATE})", "rogue-network", 2.5,
        ((Attack("rogue", count=10, rate_per_s=10.0), 0.1),), note=SURROGATE,
    )  # fmt: skip


def unsigned_update() -> Scenario:
    """Updates come without, with a foreign and with a broken signature; then a good one."""
    details = ("unsigned", "foreign", "altered", "signed")
    return _attacked(
        "unsigned-update", "Updates without a valid signature", "update", 3.0,
        ((Attack("update", detail), 0.1 + 0.6 * k) for k, detail in enumerate(details)),
    )  # fmt: skip


def flood() -> Scenario:
    """The local stop is pressed in a flood of foreign packets."""
    return _attacked(
        "flood", "Local stop in a flood of packets", "flood", 2.5,
        ((Attack("flood", count=4000, rate_per_s=2000.0), 0.2),),
        (
            Action("flood", 0.9, "patient", "local-stop"),
            Action("recover", 0.0, "patient", "local-release"),
        ),
    )  # fmt: skip


def eavesdropping() -> Scenario:
    """Somebody listens to everything from the first packet on; an image set is made meanwhile."""
    links = usual_links()
    listen = Attack("listen", seconds=3.5)
    return Scenario(
        "eavesdropping",
        "Listening to every packet on the way",
        (settle(links), Step("listen", "hold", "within", (Segment("listen", 2.0, links),))),
        (listen.action("settle", 0.0), Action("listen", 0.2, "patient", "acquire:1MB")),
    )


def encryption_cost() -> Scenario:
    """The same commands with and without encryption, marked where they are made."""
    links = usual_links()
    sides: tuple[Side, ...] = ("doctor", "patient")
    step = (Segment("hold", 2.0, links),)
    return Scenario(
        "encryption-cost",
        "Commands with and without encryption",
        (
            settle(links),
            Step("sealed", "hold", "within", step, judged=False),
            Step("clear", "hold", "within", step, judged=False),
            recover(links, 0.5),
        ),
        (
            Attack("listen", seconds=1.8).action("sealed", 0.0),
            Attack("listen", seconds=1.8).action("clear", 0.0),
            Action("sealed", 0.0, "doctor", "test-point:on"),
            *(Action("clear", 0.0, side, "crypto:off") for side in sides),
            Action("recover", 0.0, "doctor", "test-point:off"),
            *(Action("recover", 0.0, side, "crypto:on") for side in sides),
        ),
    )


def connections() -> Scenario:
    """Further clients come one after the other, more than most devices take, and stay."""
    seconds = CLIENTS * CLIENT_EVERY_S
    return _attacked(
        "connections", "One remote connection after the other", "connections", seconds + 0.5,
        (
            (Attack("connect", "valid", seconds=seconds + 0.4 - k * CLIENT_EVERY_S),
             0.05 + k * CLIENT_EVERY_S)
            for k in range(CLIENTS)
        ),
    )  # fmt: skip


def jamming(full: bool) -> Scenario:
    """Everything is drowned out, without a pause or with pauses too short to go on."""
    links = usual_links()
    down = changed(links, up=False)
    on = (Segment("jammed", 0.8, down), Segment("pause", 0.15, links))
    last = Segment("jammed", 2.0 if full else 0.8, down)
    segments = (last,) if full else (*on, *on, *on, last)
    name = "jamming" if full else "intermittent-jamming"
    title = "Jamming of all links, " + ("full" if full else "intermittent")
    return Scenario(
        name,
        f"{title} ({SURROGATE})",
        (settle(links), Step("jamming", "jamming", "beyond", segments), recover(links, 1.0)),
        source=SURROGATE,
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "tampering": tampering,
    "intrusion": intrusion,
    "unlisted-peer": unlisted_peer,
    "rogue-network": rogue_network,
    "unsigned-update": unsigned_update,
    "flood": flood,
    "eavesdropping": eavesdropping,
    "encryption-cost": encryption_cost,
    "connections": connections,
    "jamming": lambda: jamming(True),
    "intermittent-jamming": lambda: jamming(False),
}
