"""The world: who emits, through which paths, to whom; and what arrives there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bench.network.radio.levels import free_space_loss_db, interpolated_db
from bench.network.radio.receivers import Receiver
from bench.network.radio.state import Cell, Emission, RadioState


@dataclass(frozen=True, slots=True)
class Waveform:
    """What a generator's waveform file holds.

    Attributes:
        bandwidth_hz: what it occupies.
        duty: share of the time in which it is on.
        burst_s: how long it is on at a time; 0: always.
    """

    bandwidth_hz: float
    duty: float = 1.0
    burst_s: float = 0.0


WAVEFORMS: Mapping[str, Waveform] = MappingProxyType(
    {
        "wifi20": Waveform(20e6),
        "wifi20-half": Waveform(20e6, 0.5, 1e-3),
        "ieee802154": Waveform(2e6),
        "ble1m": Waveform(1e6),
        "lte20": Waveform(18e6),
        "noise40": Waveform(40e6),
    }
)
"""Files that every simulated vector generator has; a world may add more."""


@dataclass(frozen=True, slots=True)
class Path:
    """A way from a port to a receiver.

    Attributes:
        source: a port or an emitter.
        receiver: a receiver or the port of an analyser or modem.
        loss_db: (frequency in Hz, loss in dB), ascending; empty: none.
        attenuators: ports in the way.
        switches: (port, position) at which the way is open.
        distance_m: of antennas, 0: a cable.
        gain_db: of the antennas together.
    """

    source: str
    receiver: str
    loss_db: tuple[tuple[float, float], ...] = ()
    attenuators: tuple[str, ...] = ()
    switches: tuple[tuple[str, int], ...] = ()
    distance_m: float = 0.0
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A signal as it comes in."""

    source: str
    emission: Emission


@dataclass(frozen=True)
class World:
    """All that is fixed in a laboratory's radio.

    Attributes:
        emitters: that no instrument controls, by name.
        cells: what the cell at an instrument's port says of itself.
        paths: every way that there is; where there is none, nothing arrives.
        receivers: by name.
        waveforms: files that generators have.
    """

    emitters: Mapping[str, Emission] = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    waveforms: Mapping[str, Waveform] = field(default_factory=lambda: WAVEFORMS)


class NoPathLoss(ValueError):
    """A path has no loss for the frequency of what goes through it."""


def loss_db(path: Path, state: RadioState, frequency_hz: float) -> float | None:
    """The loss of a path at a frequency; None where a switch closes it.

    Raises:
        NoPathLoss: its table does not reach that frequency.
    """
    if any(state.positions.get(port, 0) != position for port, position in path.switches):
        return None
    try:
        fixed = interpolated_db(path.loss_db, frequency_hz)
    except ValueError as error:
        raise NoPathLoss(f"path {path.source} → {path.receiver}: {error}") from error
    variable = sum(state.attenuations_db.get(port, 0.0) for port in path.attenuators)
    air = free_space_loss_db(path.distance_m, frequency_hz)
    return fixed + variable + air - path.gain_db


def arrivals(world: World, state: RadioState, receiver: str) -> tuple[Arrival, ...]:
    """What comes in at a receiver or port, strongest first.

    Raises:
        NoPathLoss: a path's table does not reach the frequency of what goes through it.
    """
    sources = {**world.emitters, **state.emissions}
    found = list(_through(world.paths, state, sources, receiver))
    return tuple(sorted(found, key=lambda one: (-one.emission.level_dbm, one.source)))


def _through(
    paths: Iterable[Path], state: RadioState, sources: Mapping[str, Emission], receiver: str
) -> Iterable[Arrival]:
    for path in paths:
        if path.receiver != receiver or path.source not in sources:
            continue
        sent = sources[path.source]
        loss = loss_db(path, state, sent.frequency_hz)
        if loss is None:
            continue
        came = Emission(
            sent.frequency_hz, sent.level_dbm - loss, sent.bandwidth_hz, sent.duty, sent.burst_s,
            sent.cell,
        )  # fmt: skip
        yield Arrival(path.source, came)
