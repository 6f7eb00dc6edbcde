"""What a scenario exposes the device's radio to, presented by the laboratory's instruments.

Whatever keeps a stimulus from being verified is in the presentation and ends in INCONCLUSIVE; an
instrument that fails ends the session: ERROR.
"""

from __future__ import annotations

from dataclasses import replace

from bench.benches.lab.exposing import NotCalibrated, Unverified
from bench.benches.lab.laboratory import Laboratory
from bench.devices.defects import traits_of
from bench.devices.profile import DeviceProfile
from bench.network.radio.exposure import FLAWLESS, Presented, Radio, RadioFlaws, reception_of
from bench.network.scenario import Interference, Scenario, interferences
from instruments.visa.errors import Tainted

_UNVERIFIED = (NotCalibrated, Unverified, Tainted)


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
        if not segment.exposures:
            problem = lab.silence()
            return Presented(
                (), lab.reception(radio, flaws), verified_by=lab.verified_by, problem=problem
            )
        return _exposed(lab, segment, radio, flaws)
    except _UNVERIFIED as error:
        reckoned = reception_of(radio, segment.exposures, flaws)
        return Presented(
            segment.exposures, reckoned, verified_by=lab.verified_by, problem=str(error)
        )


def _exposed(lab: Laboratory, segment: Interference, radio: Radio, flaws: RadioFlaws) -> Presented:
    achieved = lab.expose(*segment.exposures)
    reception = lab.reception(radio, flaws)
    problem = lab.holds()
    return Presented(
        (achieved.exposure.at_level(achieved.level_dbm),),
        reception,
        uncertainty_db=achieved.uncertainty_db,
        verified_by=lab.verified_by,
        problem=problem,
    )


def confirmed(planned: Presented, live: Presented) -> Presented:
    """What was presented when it counted, where it is what had been rehearsed.

    A live presentation that differs is a problem: the packets met the rehearsed one.
    """
    problem = live.problem
    if not problem and live.reception != planned.reception:
        problem = "the reception differs from the one that the link was given"
    return replace(live, reception=planned.reception, problem=planned.problem or problem)
