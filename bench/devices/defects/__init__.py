"""The catalogue of deliberate defects, for proving that the bench can fail a device."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.devices.defects import alarms, imaging, links, motion
from bench.devices.defects.defect import Defect as Defect
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits
from bench.errors import InputError
from bench.units import duration_s

_TOPICS = (
    alarms,
    links,
    motion,
    imaging,
)

DEFECTS: Mapping[str, Defect] = {
    defect.name: defect for topic in _TOPICS for defect in topic.DEFECTS
}


def traits_of(profile: DeviceProfile) -> Traits:
    """The traits of a simulated device: its profile's, deviated by its defects."""
    traits = Traits(
        command_age_s=profile.limits.get("command_age_s", math.inf),
        signal_after_s=profile.limits["alarm_signal_s"],
    )
    for name, size in (profile.defects or {}).items():
        traits = DEFECTS[name].apply(traits, size)
    return traits


def parse_defect(text: str) -> tuple[str, float]:
    """``late-alarm`` or ``late-alarm=3s`` as a name and a size in s.

    Raises:
        InputError: unknown defect, or a size where the defect has none.
    """
    name, _, size = text.partition("=")
    defect = DEFECTS.get(name)
    if defect is None:
        raise InputError(
            "unknown defect",
            remedy=f"use one of {', '.join(DEFECTS)}",
            field="--defect",
            value=name,
        )
    if not size:
        return name, defect.size
    if not defect.timed:
        raise InputError(
            "this defect has no size", remedy=f"write {name}", field="--defect", value=text
        )
    return name, duration_s(size, field=f"--defect {name}")
