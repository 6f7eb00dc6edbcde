"""Instruments without a socket, and short words for asking them."""

from __future__ import annotations

from collections.abc import Callable

from bench.network.radio.state import RadioState, joined
from bench.network.radio.world import World
from instruments.simulators.place import Place
from instruments.simulators.scpi_instrument import ScpiInstrument


def alone(make: Callable[[Place], ScpiInstrument], world: World | None = None) -> ScpiInstrument:
    """One instrument in a world in which nothing else is."""
    return make(Place("one", world or World()))


def together(
    world: World, **makers: Callable[[Place], ScpiInstrument]
) -> dict[str, ScpiInstrument]:
    """Instruments that share a world, by role."""
    found: dict[str, ScpiInstrument] = {}

    def state() -> RadioState:
        return joined(one.radio() for one in found.values())

    for role, make in makers.items():
        found[role] = make(Place(role, world, state))
    return found


def send(instrument: ScpiInstrument, text: str) -> list[int]:
    """The codes of the errors."""
    return instrument.handle(text.encode("latin-1")).codes


def ask(instrument: ScpiInstrument, text: str) -> str:
    """The response; the message must have one, and no error."""
    outcome = instrument.handle(text.encode("latin-1"))
    assert not outcome.errors, outcome.errors
    assert outcome.response is not None
    return outcome.response.decode("latin-1")
