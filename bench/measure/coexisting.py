"""Coexistence with other radios: COEX-1, one trial, and what one exposure did to a device.

Performance (the functional wireless performance of ANSI C63.27) is that every stream keeps what
its maker states for it (:mod:`bench.measure.needs`), and that a drive goes on moving.
"""

from __future__ import annotations

from bench.devices.profile import AlarmProfile, Coexistence
from bench.measure import events as ev
from bench.measure.needs import Needs, needs_between, settled
from bench.network.library.coexistence import BASELINE_KIND
from bench.network.radio.exposure import Exposure, Radio
from bench.network.scenario import ScheduledExposure
from bench.sessions.exposing import presented_at
from bench.sessions.recording import Recording
from bench.units import ns

LEVEL_TOLERANCE_DB = 1.5
"""An exposure counts where its level at the antenna port, and what is not known of it, are within
this of the level that was asked for."""

_FREQUENCY_TOLERANCE = 1e-5


def coex_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Signals of the declared environment at which the performance is not kept or not regained.

    Raises:
        Cannot: nothing is declared, a declared signal was not tried, not verified or not at its
            level, or the performance was not there without any.
    """
    radio, declared = _declared(recording)
    baseline(recording)
    details: ev.Details = {}
    failed = 0
    for exposure in declared.environment:
        due = _trial_of(recording, radio, exposure)
        broken = performance(recording, due, declared.recovery_s)
        details[exposure.describe()] = "; ".join(broken) or "kept and regained"
        failed += bool(broken)
    return float(failed), details


def baseline(recording: Recording) -> None:
    """Insist that the performance was there while the radio was alone.

    Raises:
        Cannot: it was not, or the recording does not show it.
    """
    windows = [w for w in recording.schedule.windows if w.kind == BASELINE_KIND]
    if not windows:
        raise ev.Cannot("the recording holds no baseline")
    for due in recording.schedule.exposures:
        if any(due.step == window.name for window in windows):
            verified(recording, due)
    for window in windows:
        found = needs_between(recording, window.start_ns, window.end_ns)
        _motion(recording, found, window.start_ns, window.end_ns)
        if found.broken or found.unclear:
            raise ev.Cannot(f"the baseline does not show the performance: {found.words}")


def performance(recording: Recording, due: ScheduledExposure, recovery_s: float) -> list[str]:
    """What of the performance was lost in an exposure, or not back in time; empty: nothing.

    Raises:
        Cannot: nothing was lost for certain, and the recording does not show all of it.
    """
    during = needs_between(recording, due.start_ns, due.end_ns)
    _motion(recording, during, due.start_ns, due.end_ns)
    gone_ns, end_ns = left_alone(recording, due)
    start_ns = gone_ns + ns(recovery_s)
    after = needs_between(recording, start_ns, end_ns)
    _motion(recording, after, start_ns, end_ns)
    settled({f"{due.step}, exposed": during, f"{due.step}, after it": after})
    return [*during.broken, *(f"not regained: {text}" for text in after.broken)]


def verified(recording: Recording, due: ScheduledExposure) -> float:
    """Insist that an exposure was presented as asked, or that there was none where none was.

    Returns:
        The expanded uncertainty (k = 2) of its level, in dB.

    Raises:
        Cannot: it was not, or nobody verified it.
    """
    found = presented_at(recording, due.start_ns)
    if found is None:
        raise ev.Cannot(f"{due.step}: nobody says what the radio was exposed to")
    if found.problem:
        raise ev.Cannot(f"{due.step}: the exposure is not verified: {found.problem}")
    if len(found.exposures) != len(due.exposures):
        raise ev.Cannot(
            f"{due.step}: {len(found.exposures)} signals were there, {len(due.exposures)} asked for"
        )
    for asked, came in zip(due.exposures, found.exposures, strict=True):
        off_db = abs(came.level_dbm - asked.level_dbm)
        if off_db + found.uncertainty_db > LEVEL_TOLERANCE_DB:
            raise ev.Cannot(
                f"{due.step}: the level is {came.level_dbm:.4g} dBm ± {found.uncertainty_db:.2g} "
                f"dB where {asked.level_dbm:.4g} dBm ± {LEVEL_TOLERANCE_DB:g} dB was asked for"
            )
        if not _same_shape(asked, came):
            raise ev.Cannot(
                f"{due.step}: {came.describe()} was there instead of {asked.describe()}"
            )
    return found.uncertainty_db


def _same_shape(asked: Exposure, came: Exposure) -> bool:
    off_hz = abs(asked.frequency_hz - came.frequency_hz)
    return (
        off_hz <= _FREQUENCY_TOLERANCE * asked.frequency_hz
        and abs(asked.bandwidth_hz - came.bandwidth_hz) <= 0.01 * asked.bandwidth_hz
        and abs(asked.duty - came.duty) <= 0.01
        and abs(asked.burst_s - came.burst_s) <= 0.01 * asked.burst_s
    )


def _declared(recording: Recording) -> tuple[Radio, Coexistence]:
    device = recording.device
    if device.radio is None or device.coexistence is None:
        raise ev.Cannot("not declared: the device's radio and its surroundings")
    return device.radio, device.coexistence


def _trial_of(recording: Recording, radio: Radio, exposure: Exposure) -> ScheduledExposure:
    for due in recording.schedule.exposures:
        if due.exposures == (exposure,):
            if due.radio != radio:
                raise ev.Cannot(f"{due.step}: it was not this device's radio that was exposed")
            verified(recording, due)
            return due
    raise ev.Cannot(f"not tried: {exposure.describe()}")


def left_alone(recording: Recording, due: ScheduledExposure) -> tuple[int, int]:
    """From when, and until when, the radio was left alone after an exposure; ns.

    Raises:
        Cannot: the radio was not left alone for so long.
    """
    name = f"after-{due.step}"
    for window in recording.schedule.windows:
        if window.name == name and window.start_ns == due.end_ns:
            for other in recording.schedule.exposures:
                if window.start_ns <= other.start_ns < window.end_ns:
                    verified(recording, other)
            return due.end_ns, window.end_ns
    raise ev.Cannot(f"{due.step}: nothing was recorded of the time after it")


def _motion(recording: Recording, found: Needs, start_ns: int, end_ns: int) -> None:
    """A drive that stands still has lost its performance."""
    if "motion" not in recording.device.functions:
        return
    motion = ev.contact(recording, "motion")
    if ev.state_at(motion, start_ns) != 1:
        found.broken.append("the drive does not move")
    elif ev.first(motion, 0, start_ns, end_ns) is not None:
        found.broken.append("the drive stopped")
