"""What the instruments do to the radio world at one moment, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cellular cell says of itself (3GPP TS 36.331).

    Attributes:
        identity: 28 bits.
        physical_identity: PCI, 0 to 503.
        tracking_area: TAC, 16 bits.
        channel: downlink EARFCN.
        band: operating band.
    """

    identity: int
    physical_identity: int
    tracking_area: int
    channel: int
    band: int


@dataclass(frozen=True, slots=True)
class Emission:
    """A signal at the port that it leaves.

    Attributes:
        frequency_hz: its centre.
        level_dbm: mean power while it is on, over its whole bandwidth.
        bandwidth_hz: what it occupies; 0: an unmodulated carrier.
        duty: share of the time in which it is on, 0 to 1.
        burst_s: how long it is on at a time; 0: always, or not known.
        cell: of a base station.
    """

    frequency_hz: float
    level_dbm: float
    bandwidth_hz: float = 0.0
    duty: float = 1.0
    burst_s: float = 0.0
    cell: Cell | None = None


@dataclass(frozen=True)
class RadioState:
    """What the instruments emit, attenuate and connect, by port (``generator:1``).

    Attributes:
        emissions: a port that is not there emits nothing.
        attenuations_db: of attenuators.
        positions: of switches, from 1; 0: nothing is connected.
    """

    emissions: Mapping[str, Emission] = field(default_factory=dict)
    attenuations_db: Mapping[str, float] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)


def joined(states: Iterable[RadioState]) -> RadioState:
    """All of them at once; ports are those of different instruments."""
    emissions: dict[str, Emission] = {}
    attenuations: dict[str, float] = {}
    positions: dict[str, int] = {}
    for state in states:
        emissions |= state.emissions
        attenuations |= state.attenuations_db
        positions |= state.positions
    return RadioState(emissions, attenuations, positions)
