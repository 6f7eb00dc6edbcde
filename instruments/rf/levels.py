"""How much power reaches a port, and the permit without which no generator is switched on.

Two predictions are made before RF goes on. One takes every programmable attenuator at what it reads
back at that moment; the other takes each at the least it may ever have: 0 dB after a reboot, unless
its start-up value and its configured range promise more. Both must stay within what each port
bears, so that no reboot and no later setting can destroy a receiver.

What reaches one port by several ways, or from several emitters that are on, is added as amplitudes:
a port is declared by its peak, and the envelope of two carriers peaks at four times the power of
one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from instruments.visa.errors import Excess

_EXACT_DB = 1e-9


@dataclass(frozen=True, slots=True)
class Port:
    """An input: its name and the largest peak envelope power that it bears, dBm."""

    name: str
    max_input_dbm: float


@dataclass(frozen=True, slots=True)
class Path:
    """From a generator to a port.

    Args:
        port: where it ends.
        least_loss_db: of all that is fixed, the least within its uncertainty; an amplifier's gain
            counts as negative loss.
        attenuators: roles of the programmable attenuators in it.
    """

    port: Port
    least_loss_db: float
    attenuators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attenuation:
    """Of one programmable attenuator, dB.

    Args:
        now_db: read back.
        least_db: what it may fall to: after a reboot, or by a setting that is in its range.
        tolerance_db: how far the true value may lie below.
    """

    now_db: float
    least_db: float = 0.0
    tolerance_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """The peak power at a port, dBm: with the attenuators as they are, and at their least."""

    port: Port
    now_dbm: float
    worst_dbm: float


def predict(peak_dbm: float, path: Path, attenuations: Mapping[str, Attenuation]) -> Prediction:
    """The power at the end of a path.

    Args:
        peak_dbm: peak envelope power at the generator's connector, dBm: level and crest factor.

    Raises:
        KeyError: an attenuator of the path is not among ``attenuations``.
    """
    parts = [attenuations[role] for role in path.attenuators]
    before = peak_dbm - path.least_loss_db
    now = before - sum(part.now_db - part.tolerance_db for part in parts)
    worst = before - sum(max(part.least_db - part.tolerance_db, 0.0) for part in parts)
    return Prediction(path.port, now, max(now, worst))


@dataclass(frozen=True, slots=True)
class Permit:
    """That a generator may be switched on; only :func:`permit` makes one.

    It holds up to ``ceiling_dbm`` (RMS) with signals of up to ``crest_db`` of crest factor.
    """

    generator: str
    ceiling_dbm: float
    crest_db: float
    predictions: tuple[Prediction, ...]


def together_dbm(levels: Iterable[float]) -> float:
    """The peak of several signals at one place, dBm: their amplitudes add."""
    found = tuple(levels)
    if len(found) == 1:
        return found[0]
    amplitude = math.fsum(math.pow(10.0, level / 20.0) for level in found)
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def at_port(port: Port, permits: Iterable[Permit]) -> tuple[float, ...]:
    """What these permits may bring to a port, each peak in dBm, by each of their ways."""
    return tuple(
        one.worst_dbm
        for given in permits
        for one in given.predictions
        if one.port.name == port.name
    )


def room_dbm(port: Port, beside: Iterable[Permit]) -> float:
    """The peak that a port still bears beside what is permitted already; -inf: nothing."""
    levels = at_port(port, beside)
    if not levels:
        return port.max_input_dbm
    left = math.pow(10.0, port.max_input_dbm / 20.0) - math.pow(10.0, together_dbm(levels) / 20.0)
    return 20.0 * math.log10(left) if left > 0 else -math.inf


def permit(
    generator: str,
    ceiling_dbm: float,
    crest_db: float,
    paths: tuple[Path, ...],
    attenuations: Mapping[str, Attenuation],
    beside: Iterable[Permit] = (),
) -> Permit:
    """Permit a level, or refuse it before RF goes on.

    Args:
        generator: its role.
        ceiling_dbm: the highest level (RMS, at its connector) that will be set.
        crest_db: peak to average ratio of the signal; 0 for CW.
        paths: everything that the generator reaches.
        beside: the permits of all other emitters that are on, or may be.

    Raises:
        Excess: a port would get more than it bears, now or after a reboot of an attenuator, alone
            or together with what else reaches it; or nothing is known of what the generator
            reaches.
    """
    if not paths:
        raise Excess(generator, "no path and port is declared for it: RF stays off")
    if not all(math.isfinite(x) for x in (ceiling_dbm, crest_db)) or crest_db < 0:
        raise Excess(generator, f"level {ceiling_dbm} dBm, crest factor {crest_db} dB: no figures")
    missing = {role for path in paths for role in path.attenuators} - set(attenuations)
    if missing:
        raise Excess(generator, f"nothing is known of attenuator {', '.join(sorted(missing))}")
    peak = ceiling_dbm + crest_db
    predictions = tuple(predict(peak, path, attenuations) for path in paths)
    for one in predictions:
        _refuse_excess(generator, one)
    found = Permit(generator, ceiling_dbm, crest_db, predictions)
    _refuse_sum(found, tuple(beside))
    return found


def _refuse_sum(wanted: Permit, beside: tuple[Permit, ...]) -> None:
    for port in dict.fromkeys(one.port for one in wanted.predictions):
        level = together_dbm(at_port(port, (wanted, *beside)))
        if level > port.max_input_dbm + _EXACT_DB:
            others = [one.generator for one in beside if at_port(port, (one,))]
            with_whom = f" together with {', '.join(others)}" if others else " by all its ways"
            raise Excess(
                wanted.generator,
                f"{port.name} would get up to {level:.1f} dBm{with_whom}; it bears "
                f"{port.max_input_dbm:g} dBm: lower a level or put fixed attenuation into a path",
            )


def _refuse_excess(generator: str, one: Prediction) -> None:
    bears = one.port.max_input_dbm
    if one.now_dbm > bears:
        what, power = "now", one.now_dbm
    elif one.worst_dbm > bears:
        what, power = "with every programmable attenuator at its least (a reboot)", one.worst_dbm
    elif math.isfinite(one.worst_dbm) and math.isfinite(bears):
        return
    else:
        what, power = "(not a figure)", one.worst_dbm
    raise Excess(
        generator,
        f"{one.port.name} would get {power:.1f} dBm {what}; it bears {bears:g} dBm: lower the "
        "level or put fixed attenuation into the path",
    )
