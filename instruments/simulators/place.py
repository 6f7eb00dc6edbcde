"""Where an instrument stands: its role, and what the world and the other instruments do there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.network.radio.state import RadioState
from bench.network.radio.world import Arrival, World, arrivals


@dataclass(frozen=True)
class Place:
    """An instrument's place in the laboratory.

    Attributes:
        role: its name there; its ports are ``role:1``, ``role:2`` …
        world: what is fixed.
        state: what all instruments do at this moment.
    """

    role: str
    world: World = field(default_factory=World)
    state: Callable[[], RadioState] = RadioState

    def port(self, number: int | str = 1) -> str:
        """The name of one of its ports."""
        return f"{self.role}:{number}"

    def arrivals(self, number: int | str = 1) -> tuple[Arrival, ...]:
        """What comes in at one of its ports, strongest first.

        Raises:
            NoPathLoss: a path's table does not reach the frequency of what goes through it.
        """
        return arrivals(self.world, self.state(), self.port(number))
