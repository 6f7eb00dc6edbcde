"""A laboratory in use: instruments taken and safe; exposures set, verified and taken back."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.benches.lab.exposing import (
    CW,
    Range,
    Settings,
    Unverified,
    Way,
    ceiling_dbm,
    disagreement,
    resolution_of,
    seen_dbm,
    settings_for,
    settings_of,
    span_of,
    way_at,
    without_noise,
)
from bench.benches.lab.file import BenchFile, Waveform, today
from bench.benches.lab.taken import Taken
from bench.benches.lab.telling import told
from bench.errors import InputError
from bench.network.radio.exposure import Exposure
from bench.network.radio.state import Emission, RadioState
from instruments.rf.analysers import SpectrumAnalyser
from instruments.rf.attenuators import Attenuator
from instruments.rf.generators import SignalGenerator
from instruments.visa.errors import InstrumentError
from instruments.visa.properties import Instrument, Number
from instruments.visa.transcript import Transcript

_SILENT_DB = 3.0
"""So much above its noise the monitor may show with RF off."""

VERIFIED_ATTENUATIONS_DB = (0.0, 20.0)
"""A path is verified with its attenuator at both: one that does not follow is found."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """An exposure as it was achieved. Levels in dBm at the victim's port, the rest in dB.

    ``level_dbm``: what the settings and the calibration give, within ``uncertainty_db`` (expanded,
    k = 2). ``monitor_dbm``: what the monitor showed, without its noise; ``expected_dbm``: what it
    had to show, within ``tolerance_db``. ``reception``: of the victim, where its world is
    simulated. ``simulated``: the instruments that were.
    """

    exposure: Exposure
    settings: Settings
    level_dbm: float
    uncertainty_db: float
    monitor_dbm: float
    expected_dbm: float
    tolerance_db: float
    simulated: tuple[str, ...]


class Laboratory(Taken):
    """A laboratory that exposes the victim, and sees that it does; see also :class:`Taken`."""

    _exposed: Exposed | None = None
    _left: Settings | None = None
    """Of what was exposed last, until it was seen to be gone."""
    _armed: tuple[Exposure, Settings]
    _looking: Settings | None = None
    """What the monitor is set to look at."""
    _may_emit = True
    _noise_dbm = 0.0

    def __init__(
        self,
        file: BenchFile,
        transcript: Transcript,
        *,
        on: datetime.date | None = None,
        lock_folder: Path | None = None,
    ) -> None:
        super().__init__(file, transcript, lock_folder=lock_folder)
        self._on = on or today()
        self._verified: set[float] = set()
        self._since: dict[str, int] = {}

    # ---- who does what -------------------------------------------------------

    @property
    def generator(self) -> SignalGenerator:
        """The interferer."""
        return cast(SignalGenerator, self.instruments[self.file.role("interferer")])

    @property
    def monitor(self) -> SpectrumAnalyser:
        """The analyser that verifies what is emitted."""
        return cast(SpectrumAnalyser, self.instruments[self.file.role("monitor")])

    @property
    def attenuator(self) -> Attenuator:
        """The programmable attenuator between interferer and victim."""
        return cast(Attenuator, self.instruments[self.file.role("path-attenuator")])

    @property
    def verified_by(self) -> str:
        """Who measures what is presented, in words."""
        role = self.file.role("monitor")
        found = self.sessions[role].identity
        simulated = ", simulated" if role in self.file.simulated else ""
        return f"{role}: {found.manufacturer} {found.model}{simulated}"

    @property
    def _involved(self) -> tuple[str, ...]:
        return tuple(self.file.role(use) for use in ("interferer", "path-attenuator", "monitor"))

    @property
    def _way_named(self) -> str:
        """Whose fault it may be where the monitor sees something else: all that are in the way."""
        emits, holds_back, sees = self._involved
        return f"emitted by {emits}, through {holds_back}, seen by {sees}"

    def waveform_of(self, exposure: Exposure) -> Waveform:
        """The generator's waveform for an exposure.

        Raises:
            InputError: it has none of that name, or its bandwidth, duty or burst are others.
        """
        if exposure.bandwidth_hz == 0 and exposure.duty >= 1:
            return CW
        wanted = (exposure.bandwidth_hz, exposure.duty, exposure.burst_s)
        for one in self.file.waveforms.values():
            named = one.name == exposure.signal or one.name.startswith(f"{exposure.signal}-")
            if named and (one.bandwidth_hz, one.duty, one.burst_s) == wanted:
                return one
        raise InputError(
            f"the generator has no waveform of it with {exposure.bandwidth_hz / 1e6:g} MHz, duty "
            f"{exposure.duty:g} and bursts of {exposure.burst_s:g} s",
            remedy=f"add [waveforms.{exposure.signal}] to {self.file.path}",
            field="signal",
            value=exposure.signal,
        )

    # ---- verifying paths -----------------------------------------------------

    @property
    def exposed(self) -> Exposed:
        """What is exposed now.

        Raises:
            InputError: nothing is.
        """
        if self._exposed is None:
            raise InputError("nothing is exposed", remedy="expose first", field="exposure")
        return self._exposed

    @told
    def verify(self, frequency_hz: float) -> tuple[Settings, ...]:
        """Verify the paths at a frequency, once: the generator on a low level, seen as it must be.

        Raises:
            NotCalibrated: a record is missing, expired or does not reach it.
            Unverified: the monitor shows something else than the calibration says.
            InstrumentError: an instrument failed, or the level is not permitted.
        """
        if frequency_hz in self._verified:
            return ()
        way = way_at(self.file, frequency_hz, self._on)
        tried = []
        low, high = _range_of(self.attenuator, "attenuation_db")[:2]
        for attenuation in VERIFIED_ATTENUATIONS_DB:
            level = self.file.verification.level_dbm
            settings = settings_of(way, CW, frequency_hz, level, min(max(attenuation, low), high))
            with self._quiet_unless_done():
                marks = self._marks()
                self._noise_dbm = self._prepare(settings)
                self._switch_on(settings)
                self._seen(settings)
                self._refuse_taints(marks)
            self.quiet()
            tried.append(settings)
        self._verified.add(frequency_hz)
        return tuple(tried)

    # ---- exposing ------------------------------------------------------------

    def expose(self, exposure: Exposure, *further: Exposure) -> Exposed:
        """Bring an exposure to the victim's port and verify it; RF stays on until :meth:`quiet`.

        Raises:
            InputError: the laboratory has no such signal, does not reach that level, or is asked
                for more than one at once.
            NotCalibrated, Unverified: as :meth:`verify`.
            Excess: a port would get more than it bears.
            InstrumentError: an instrument failed; RF is off then.
        """
        self.arm(exposure, *further)
        self.fire()
        return self.witness()

    @told
    def arm(self, exposure: Exposure, *further: Exposure) -> None:
        """Set everything of an exposure but RF, which goes off; raises as :meth:`expose`."""
        if further:
            raise InputError(
                "more than one signal at once",
                remedy="this laboratory has one interferer: expose to one after the other",
                field="exposures",
                value=len(further) + 1,
            )
        if self._may_emit:
            self.quiet()
        waveform = self.waveform_of(exposure)
        self.verify(exposure.frequency_hz)
        way = way_at(self.file, exposure.frequency_hz, self._on)
        settings = self._settings(way, waveform, exposure)
        with self._quiet_unless_done():
            self._since = self._marks()
            self._noise_dbm = self._prepare(settings)
        self._armed, self._left = (exposure, settings), None

    @told
    def fire(self) -> None:
        """RF on, as armed; raises as :meth:`expose`."""
        with self._quiet_unless_done():
            self._switch_on(self._armed[1])

    @told
    def witness(self) -> Exposed:
        """See with the monitor what was fired; raises as :meth:`expose`, RF being off then."""
        exposure, settings = self._armed
        with self._quiet_unless_done():
            seen = self._seen(settings)
            self._refuse_taints(self._since)
        self._exposed = Exposed(
            exposure=exposure,
            settings=settings,
            level_dbm=settings.victim_dbm,
            uncertainty_db=settings.uncertainty_db,
            monitor_dbm=seen,
            expected_dbm=settings.monitor_dbm,
            tolerance_db=settings.monitor_uncertainty_db,
            simulated=tuple(r for r in self._involved if r in self.file.simulated),
        )
        return self._exposed

    @contextmanager
    def _quiet_unless_done(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.quiet()
            raise

    def _settings(self, way: Way, waveform: Waveform, exposure: Exposure) -> Settings:
        generator = _range_of(self.generator, "level_dbm")
        beside = self.permits_beside(self.file.role("interferer"))
        top = min(generator[1], ceiling_dbm(self.file, waveform.crest_db, beside))
        return settings_for(
            way,
            waveform,
            exposure.frequency_hz,
            exposure.level_dbm,
            Range(generator[0], top),
            Range(*_range_of(self.attenuator, "attenuation_db")),
        )

    def _seen(self, settings: Settings) -> float:
        """What the monitor shows, without its noise, dBm; it must be what is set."""
        seen = without_noise(self._see(settings), self._noise_dbm)
        problem = disagreement(settings, seen, self._noise_dbm)
        if problem:
            raise Unverified(self.monitor.channel.role, f"{problem}; {self._way_named}")
        return seen

    def _prepare(self, settings: Settings) -> float:
        """Set everything but RF; the monitor's noise with RF off, dBm."""
        generator, waveform = self.generator, settings.waveform
        self.attenuator.attenuation_db = settings.attenuation_db
        generator.frequency_hz = settings.frequency_hz
        generator.level_dbm = settings.generator_dbm
        if waveform is CW:
            generator.arb = "off"
        else:
            generator.load(waveform.file)
            generator.arb = "on"
        self._look_at(settings)
        return self._see(settings)

    def _look_at(self, settings: Settings) -> None:
        """Set the monitor, unless it looks at the same already."""
        if settings == self._looking:
            return
        self._looking, monitor = None, self.monitor
        span = span_of(settings.waveform)
        monitor.centre_hz = settings.frequency_hz
        monitor.span_hz = span
        monitor.resolution_hz = resolution_of(settings.waveform)
        monitor.detector = "rms"
        monitor.reference_dbm = _reference(settings.monitor_dbm)
        self._looking = settings

    def _see(self, settings: Settings) -> float:
        levels = self.monitor.levels_dbm()
        ratio = self.file.verification.noise_bandwidth_ratio
        seen = seen_dbm(levels, settings.waveform, ratio)
        self.tell({"reads": self.monitor.channel.role, "level_dbm": seen})
        return seen

    def _switch_on(self, settings: Settings) -> None:
        role = self.file.role("interferer")
        allowed = self.permit(role, settings.generator_dbm, settings.waveform.crest_db)
        self._may_emit = True
        self.generator.switch_on(allowed, modulated=settings.waveform is not CW)
        self._beside = self._of_hardware(settings)

    def _of_hardware(self, settings: Settings) -> RadioState:
        """What real instruments do to a simulated world: as they have read back."""
        waveform, emissions, attenuations = settings.waveform, {}, {}
        role = self.file.role("interferer")
        if role not in self.file.simulated:
            port = self.generator.fields().get("path", "1")
            emissions[f"{role}:{port}"] = Emission(
                settings.frequency_hz, settings.generator_dbm, waveform.bandwidth_hz,
                waveform.duty, waveform.burst_s,
            )  # fmt: skip
        role = self.file.role("path-attenuator")
        if role not in self.file.simulated:
            attenuations[f"{role}:1"] = settings.attenuation_db
        return RadioState(emissions, attenuations)

    @told
    def quiet(self) -> None:
        """RF off, verified, and the attenuator at its most.

        Raises:
            InstrumentError: it could not be, or not be verified.
        """
        if self._exposed is not None:
            self._left, self._exposed = self._exposed.settings, None
        if "interferer" in self.file.roles:
            self.generator.switch_off()
            self._beside = RadioState()
            self.attenuator.make_safe()
        self._may_emit = False

    @told
    def gone(self) -> str:
        """Whether the monitor sees that what was exposed last is gone; RF is off already.

        Returns:
            Why that is not verified; empty where it is, or where nothing had been exposed.

        Raises:
            InstrumentError: the monitor failed.
        """
        settings, self._left = self._left, None
        if settings is None:
            return ""
        marks = self._marks()
        self._look_at(settings)
        left = self._see(settings)
        self._refuse_taints(marks)
        if left > self._noise_dbm + _SILENT_DB:
            noise = f"its noise is {self._noise_dbm:.1f} dBm"
            return f"the monitor still shows {left:.1f} dBm, {noise}; {self._way_named}"
        return ""

    @told
    def holds(self) -> str:
        """Whether what was exposed still is: asked of the instruments, and seen by the monitor.

        Returns:
            Why it does not hold; empty where it does.

        Raises:
            InputError: nothing is exposed.
        """
        marks, settings = self._marks(), self.exposed.settings
        try:
            emits, holds_back, _ = self._involved
            for role, name, is_now, was in (
                (emits, "level", self.generator.level_dbm, settings.generator_dbm),
                (emits, "frequency", self.generator.frequency_hz, settings.frequency_hz),
                (
                    holds_back,
                    "attenuation",
                    self.attenuator.attenuation_db,
                    settings.attenuation_db,
                ),
            ):
                if abs(is_now - was) > 1e-6 * max(1.0, abs(was)):
                    return f"{role}: the {name} is {is_now:g} and was set to {was:g}"
            self._look_at(settings)
            seen = without_noise(self._see(settings), self._noise_dbm)
            problem = disagreement(settings, seen, self._noise_dbm)
            if problem:
                return f"the monitor {problem}; {self._way_named}"
            self._refuse_taints(marks)
        except InstrumentError as error:
            return str(error)
        return ""


def _range_of(instrument: Instrument, name: str) -> tuple[float, float, float]:
    number = _number_of(type(instrument), name)
    low, high = number.range(instrument)
    return low, high, number.step or 0.0


def _number_of(kind: type, name: str) -> Number:
    """The declared number of a driver."""
    found: Any = getattr(kind, name)
    assert isinstance(found, Number)
    return found


def _reference(level_dbm: float) -> float:
    """A reference level with room above what is expected, within every analyser's range."""
    return float(min(max(round(level_dbm) + 15, -60), 25))
