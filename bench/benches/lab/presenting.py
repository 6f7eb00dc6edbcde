"""What a scenario exposes the device's radio to, presented by the laboratory's instruments.

Whatever keeps a stimulus from being verified is in the presentation and ends in INCONCLUSIVE; an
instrument that fails ends the session: ERROR.
"""

from __future__ import annotations

from contextlib import suppress

from bench.benches.lab.exposing import NotCalibrated, Unverified
from bench.benches.lab.laboratory import Laboratory
from bench.devices.defects import traits_of
from bench.devices.profile import DeviceProfile
from bench.network.radio.exposure import FLAWLESS, Presented, RadioFlaws, reception_of
from bench.network.radio.receivers import Reception
from bench.network.scenario import Interference, Scenario, interferences
from instruments.visa.errors import Tainted

UNVERIFIED = (NotCalibrated, Unverified, Tainted)
"""What keeps a stimulus from being known, while the instruments work."""


def present(lab: Laboratory, scenario: Scenario, device: DeviceProfile) -> tuple[Presented, ...]:
    """Present every segment of a scenario, in order, and leave the laboratory quiet.

    Raises:
        InputError: the laboratory cannot present it: no such signal, no such level, several at
            once.
        InstrumentError: an instrument failed.
    """
    flaws = flaws_of(device)
    try:
        return tuple(present_one(lab, segment, flaws) for segment in interferences(scenario))
    finally:
        lab.quiet()


def rehearsed(lab: Laboratory, scenario: Scenario) -> tuple[Presented, ...]:
    """Everything of every segment but RF, for a real device: it must not meet an exposure twice.

    The paths are verified, with a carrier of the bench file's level for that.

    Returns:
        One for each segment, none of them presented yet.

    Raises:
        InputError, InstrumentError: as :func:`present`.
    """
    segments = interferences(scenario)
    try:
        for segment in segments:
            if segment.exposures:
                with suppress(*UNVERIFIED):  # it is presented all the same, and says why
                    lab.arm(*segment.exposures)
    finally:
        lab.quiet()
    return tuple(
        Presented(one.exposures, None, verified_by=lab.verified_by, problem="was not presented")
        for one in segments
    )


def flaws_of(device: DeviceProfile) -> RadioFlaws:
    """How the radio of a simulated device deviates from its profile."""
    return traits_of(device).radio if device.defects else FLAWLESS


def present_one(lab: Laboratory, segment: Interference, flaws: RadioFlaws) -> Presented:
    """Present one segment; what was presented stays until the next one.

    Raises:
        InputError, InstrumentError: as :func:`present`.
    """
    radio = segment.radio
    assert radio is not None, "the scenario was compiled"
    try:
        if segment.exposures:
            lab.expose(*segment.exposures)
            return exposed(lab, lab.reception(radio, flaws))
        lab.quiet()
        return alone(lab, lab.reception(radio, flaws))
    except UNVERIFIED as error:
        return unverified(lab, segment, flaws, str(error))


def exposed(lab: Laboratory, reception: Reception | None) -> Presented:
    """What is exposed now, where it still holds after it was received so.

    Raises:
        InstrumentError: an instrument failed.
    """
    achieved = lab.exposed
    return Presented(
        (achieved.exposure.at_level(achieved.level_dbm),),
        reception,
        uncertainty_db=achieved.uncertainty_db,
        verified_by=lab.verified_by,
        problem=lab.holds(),
    )


def alone(lab: Laboratory, reception: Reception | None) -> Presented:
    """The radio alone, where the monitor sees that what was there before is gone.

    Raises:
        InstrumentError: the monitor failed.
    """
    return Presented((), reception, verified_by=lab.verified_by, problem=lab.gone())


def unverified(
    lab: Laboratory, segment: Interference, flaws: RadioFlaws, problem: str
) -> Presented:
    """What was meant, and why it backs no verdict.

    A simulated radio gets the reception that is reckoned for it.
    """
    assert segment.radio is not None, "the scenario was compiled"
    reckoned = None
    if lab.file.packets != "links":
        reckoned = reception_of(segment.radio, segment.exposures, flaws)
    return Presented(segment.exposures, reckoned, verified_by=lab.verified_by, problem=problem)
