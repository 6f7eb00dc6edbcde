"""Attacks and further clients of a scenario, as data.

An attack is an action of the scenario: its text stands in the action's name, after ``attack:``.
Who carries it out is the bench (:mod:`bench.benches.attacker`), never the device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

from bench.network.impairment import DIRECTIONS, Direction
from bench.network.scenario import Action, ScheduledAction, Side

Kind = Literal[
    "flip", "replay", "reorder", "inject", "connect", "flood", "rogue", "update", "listen"
]
"""``flip``: a bit of a passing packet. ``replay``: a copy of a packet that passed. ``reorder``: a
packet held back until later ones have passed. ``inject``: a packet made up. ``connect``: a further
client. ``flood``: packets made up, as fast as asked. ``rogue``: a false network puts itself in
between (surrogate at the IP layer). ``update``: software offered. ``listen``: nothing but."""

PREFIX = "attack:"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack, bounded in number and rate.

    ``detail``: which of its kind (the certificate that a client shows, how an update is signed).
    ``stream``: its target; empty for the stream that the device watches. ``count`` of packets or
    attempts, evenly at ``rate_per_s``. ``seconds``: how long to listen, or a client to stay.
    """

    kind: Kind
    detail: str = ""
    stream: str = ""
    link: str = "primary"
    way: Direction = "to-patient"
    count: int = 1
    rate_per_s: float = 1.0
    seconds: float = 0.0

    @property
    def side(self) -> Side:
        """The side that it is aimed at."""
        return "patient" if self.way == "to-patient" else "doctor"

    def action(self, step: str, after_s: float) -> Action:
        """As an action of a scenario, ``after_s`` from the start of ``step``."""
        said = [f"{f.name}={getattr(self, f.name)}" for f in fields(self) if f.name != "kind"]
        return Action(step, after_s, self.side, PREFIX + ",".join([self.kind, *said]))


def attack_of(action: str) -> Attack | None:
    """The attack that the name of an action stands for; ``None`` if it is none.

    Raises:
        ValueError: the name begins like an attack and is not one.
    """
    if not action.startswith(PREFIX):
        return None
    kind, *parts = action.removeprefix(PREFIX).split(",")
    said = dict(part.partition("=")[::2] for part in parts)
    wanted = {f.name for f in fields(Attack)} - {"kind"}
    if kind not in get_args(Kind) or set(said) != wanted or said["way"] not in DIRECTIONS:
        raise ValueError(f"no attack: {action}")
    return Attack(
        kind=cast(Kind, kind),
        detail=said["detail"],
        stream=said["stream"],
        link=said["link"],
        way=said["way"],
        count=int(said["count"]),
        rate_per_s=float(said["rate_per_s"]),
        seconds=float(said["seconds"]),
    )


def attacks_of(actions: Iterable[ScheduledAction]) -> tuple[tuple[int, Attack], ...]:
    """The attacks among the actions of a schedule, each with its time in ns of the session."""
    found = ((action.t_ns, attack_of(action.name)) for action in actions)
    return tuple((t_ns, attack) for t_ns, attack in found if attack is not None)
