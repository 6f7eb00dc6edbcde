"""From a level at the victim's antenna port to the settings of the instruments, and back. Pure.

Every term of the way has a calibration record or a declared tolerance; where one is missing or
expired there is no level, and the reason is said: a stimulus without an uncertainty is none.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.benches.lab.file import BenchFile, Waveform
from bench.errors import InputError
from bench.network.radio.levels import dbm, milliwatts
from instruments.calibration import Loss, loss_at
from instruments.rf.levels import Permit, Port, room_dbm, together_dbm
from instruments.rf.wiring import Fitted
from instruments.visa.errors import InstrumentError

CW = Waveform("cw", "", 0.0, 0.0)
"""An unmodulated carrier: every generator has it."""

_STEP_DB = 0.01
_NARROWEST_SPAN_HZ = 1e6
_SPAN_RATIO = 1.25
_SPAN_PER_RESOLUTION = 100.0


class NotCalibrated(InstrumentError):
    """A record is missing, expired or does not reach that frequency: INCONCLUSIVE."""


class Unverified(InstrumentError):
    """The monitor does not see what the generator is set to emit: INCONCLUSIVE."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a level at the victim's antenna port is made. Levels in dBm, the rest in dB and Hz.

    ``generator_dbm``: what the generator is set to; ``attenuation_db``: of the path attenuator;
    ``victim_dbm``: what then arrives while the signal is on, within ``uncertainty_db`` (expanded,
    k = 2). ``monitor_dbm``: what the monitor must show, within ``monitor_uncertainty_db``.
    """

    waveform: Waveform
    frequency_hz: float
    generator_dbm: float
    attenuation_db: float
    victim_dbm: float
    uncertainty_db: float
    monitor_dbm: float
    monitor_uncertainty_db: float


@dataclass(frozen=True, slots=True)
class Range:
    """What an instrument can be set to: from ``low`` to ``high``, in steps (0: any)."""

    low: float
    high: float
    step: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """The calibrated terms of the interference at one frequency; see :func:`way_at`."""

    generator: Loss
    attenuator: Fitted
    to_victim: Loss
    to_monitor: Loss
    monitor: Loss

    @property
    def victim_uncertainty_db(self) -> float:
        """Of the level at the victim, expanded (k = 2)."""
        return self._expanded(self.generator, self.to_victim)

    @property
    def monitor_uncertainty_db(self) -> float:
        """Of what the monitor must show, expanded (k = 2)."""
        return self._expanded(self.generator, self.to_monitor, self.monitor)

    def _expanded(self, *losses: Loss) -> float:
        """A tolerance is the half width of a rectangular distribution (GUM 4.3.7)."""
        tolerance = 2 * self.attenuator.tolerance_db / math.sqrt(3)
        return math.hypot(tolerance, *(loss.uncertainty_db or 0.0 for loss in losses))


def way_at(file: BenchFile, frequency_hz: float, on: datetime.date) -> Way:
    """The terms at a frequency, as they are known on a date.

    Raises:
        InputError: a use that is bound to nothing, or a way that the file does not have.
        NotCalibrated: a record is missing, expired or does not reach that frequency.
    """
    generator, analyser = file.role("interferer"), file.role("monitor")
    attenuator = file.role("path-attenuator")
    if not file.victim:
        raise InputError(
            "is missing", remedy="name the port of the device's radio", file=file.path,
            field="victim",
        )  # fmt: skip
    if attenuator not in file.wiring.fitted:
        raise InputError(
            "is in no path", remedy="add it to the attenuators of [[paths]]", file=file.path,
            field="roles.path-attenuator", value=attenuator,
        )  # fmt: skip

    def record(name: str | None, what: str) -> Loss:
        if name is None:
            raise NotCalibrated(generator, f"{what}: no calibration record is named in the file")
        loss = loss_at(file.records, name, frequency_hz, on)
        if not loss.valid:
            raise NotCalibrated(generator, f"{what}: {loss.problem}")
        return loss

    ways = file.calibrations
    return Way(
        record(file.corrections.get(generator), f"level of {generator}"),
        file.wiring.fitted[attenuator],
        record(ways.get((generator, file.victim)), f"{generator} to {file.victim}"),
        record(ways.get((generator, analyser)), f"{generator} to {analyser}"),
        record(file.corrections.get(analyser), f"level of {analyser}"),
    )


def ceiling_dbm(file: BenchFile, crest_db: float, beside: Sequence[Permit] = ()) -> float:
    """The highest level of the interferer that no port minds, attenuators being at their least.

    Args:
        file: the bench file.
        crest_db: of the signal.
        beside: the permits of what else is on.
    """
    gains: dict[Port, list[float]] = {}
    for path in file.wiring.paths.get(file.role("interferer"), ()):
        inside = sum(_least_db(file.wiring.fitted[role]) for role in path.attenuators)
        gains.setdefault(path.port, []).append(-path.least_loss_db - inside)
    tops = [
        room_dbm(port, beside) - together_dbm(of_port) - crest_db for port, of_port in gains.items()
    ]
    top = min(tops, default=math.inf)
    if not math.isfinite(top):
        return top
    return round(_STEP_DB * math.floor(top / _STEP_DB + 1e-6), 6)  # a level is set in such steps


def _least_db(fitted: Fitted) -> float:
    return max(fitted.start_up_db - fitted.tolerance_db, 0.0)


def settings_for(
    way: Way,
    waveform: Waveform,
    frequency_hz: float,
    victim_dbm: float,
    generator: Range,
    attenuator: Range,
) -> Settings:
    """The settings that bring a level to the victim: the coarse part is the attenuator's.

    Raises:
        InputError: the instruments do not reach it.
    """
    before = victim_dbm + _loss(way.to_victim) + _loss(way.generator)
    wanted = min(max(generator.high - before, attenuator.low), attenuator.high)
    steps = math.floor((wanted - attenuator.low) / attenuator.step + 1e-9) if attenuator.step else 0
    attenuation = attenuator.low + steps * attenuator.step if attenuator.step else wanted
    level = round(round((before + attenuation) / _STEP_DB) * _STEP_DB, 6)
    if not generator.low <= level <= generator.high:
        lost = _loss(way.to_victim) + _loss(way.generator)
        lowest, highest = generator.low - lost - attenuator.high, generator.high - lost
        raise InputError(
            "is out of the reach of this laboratory",
            remedy=f"ask for {lowest:.1f} to {highest - attenuator.low:.1f} dBm at the victim",
            field="level_dbm",
            value=victim_dbm,
        )
    return settings_of(way, waveform, frequency_hz, level, attenuation)


def settings_of(
    way: Way, waveform: Waveform, frequency_hz: float, generator_dbm: float, attenuation_db: float
) -> Settings:
    """What given settings bring to the victim and to the monitor."""
    out = generator_dbm - _loss(way.generator) - attenuation_db
    return Settings(
        waveform=waveform,
        frequency_hz=frequency_hz,
        generator_dbm=generator_dbm,
        attenuation_db=attenuation_db,
        victim_dbm=round(out - _loss(way.to_victim), 6),
        uncertainty_db=way.victim_uncertainty_db,
        monitor_dbm=round(out - _loss(way.to_monitor) - _loss(way.monitor), 6),
        monitor_uncertainty_db=way.monitor_uncertainty_db,
    )


def _loss(loss: Loss) -> float:
    assert loss.loss_db is not None, "checked when the way was made"
    return loss.loss_db


def span_of(waveform: Waveform) -> float:
    """The span in which the monitor looks at a signal, Hz."""
    return max(_NARROWEST_SPAN_HZ, _SPAN_RATIO * waveform.bandwidth_hz)


def resolution_of(waveform: Waveform) -> float:
    """The resolution bandwidth with which it does, Hz."""
    return span_of(waveform) / _SPAN_PER_RESOLUTION


def seen_dbm(levels: Sequence[float], waveform: Waveform, noise_bandwidth_ratio: float) -> float:
    """The level of a signal in a trace around its centre.

    Args:
        levels: of the trace, dBm, over :func:`span_of` with :func:`resolution_of`.
        waveform: a carrier is its highest point; else the power in the whole span counts.
        noise_bandwidth_ratio: of the filters; see ``Verification``.
    """
    if waveform.bandwidth_hz == 0:
        return max(levels)
    step = span_of(waveform) / (len(levels) - 1)
    total = math.fsum(milliwatts(level) for level in levels)
    return dbm(total * step / (resolution_of(waveform) * noise_bandwidth_ratio))


def without_noise(seen: float, noise: float) -> float:
    """A level less the noise that was there without it, dBm."""
    return dbm(milliwatts(seen) - milliwatts(noise))


LEAST_OVER_NOISE_DB = 6.0
"""A signal that is less above the noise of the monitor is not verified."""


def disagreement(settings: Settings, seen: float, noise: float) -> str:
    """Why what the monitor shows does not verify the settings; empty where it does.

    Args:
        settings: what is meant.
        seen: what it shows, the noise being subtracted; of a signal that comes in bursts anything
            between its level while it is on and its mean is right.
        noise: what it showed without.
    """
    if seen < noise + LEAST_OVER_NOISE_DB:
        return (
            f"shows {seen:.1f} dBm where {settings.monitor_dbm:.1f} dBm are expected, "
            f"and its noise is {noise:.1f} dBm"
        )
    tolerance = settings.monitor_uncertainty_db
    below = tolerance - 10 * math.log10(settings.waveform.duty)
    off = seen - settings.monitor_dbm
    if -below <= off <= tolerance:
        return ""
    return (
        f"shows {seen:.2f} dBm, {off:+.2f} dB from what is set; "
        f"the uncertainty of the way is {tolerance:.2f} dB"
    )
