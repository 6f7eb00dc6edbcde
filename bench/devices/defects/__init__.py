"""The catalogue of deliberate defects, for proving that the bench can fail a device."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.devices import files
from bench.devices.defects import (
    alarms,
    audit,
    imaging,
    links,
    motion,
    operation,
    picture,
    radio,
    rates,
    records,
    security,
    takeover,
)
from bench.devices.defects.defect import Defect as Defect
from bench.devices.defects.margin import Margin as Margin
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits
from bench.errors import InputError
from bench.units import duration_s

_TOPICS = (
    alarms,
    links,
    motion,
    takeover,
    picture,
    records,
    rates,
    operation,
    audit,
    security,
    imaging,
    radio,
)

DEFECTS: Mapping[str, Defect] = {
    defect.name: defect for topic in _TOPICS for defect in topic.DEFECTS
}

MARGINS: Mapping[str, Margin] = {
    margin.name: margin for topic in _TOPICS for margin in getattr(topic, "MARGINS", ())
}
"""Healthy variants that run near their limits. A topic need not have any."""


def traits_of(profile: DeviceProfile) -> Traits:
    """The traits of a simulated device: its profile's, deviated by its defects and margins.

    Raises:
        InputError: a defect out of a file that cannot be loaded.
    """
    traits = Traits(
        command_age_s=profile.limits.get("command_age_s", math.inf),
        signal_after_s=profile.limits["alarm_signal_s"],
    )
    for name, size in (profile.defects or {}).items():
        if name in MARGINS:
            traits = MARGINS[name].apply(traits, profile, size)
        else:
            traits = find_defect(name).apply(traits, size)
    return traits


def find_defect(name: str) -> Defect:
    """A defect by its name, or by ``FILE.py:NAME``.

    Raises:
        InputError: unknown defect, or a file that does not define one.
    """
    if files.is_reference(name):
        found = files.load(name, "--defect")
        if not isinstance(found, Defect):
            raise InputError(
                "is not a defect",
                remedy="define it as a bench.devices.defects.Defect",
                field="--defect",
                value=name,
            )
        return found
    if name not in DEFECTS:
        raise InputError(
            "unknown defect",
            remedy=f"use one of {', '.join(DEFECTS)}, or FILE.py:NAME",
            field="--defect",
            value=name,
        )
    return DEFECTS[name]


def parse_defect(text: str, device: DeviceProfile | None = None) -> tuple[str, float]:
    """``late-alarm``, ``late-alarm=3s`` or ``FILE.py:NAME=3s`` as a name and a size in s.

    Without a size it is the one that is stated for the device, where one is given.

    Raises:
        InputError: unknown defect, or a size where the defect has none.
    """
    file, mark, rest = text.rpartition(".py:")
    short, _, size = rest.partition("=")
    name = files.absolute(f"{file}{mark}{short}") if mark else short
    defect = find_defect(name)
    if not size:
        if device is None or not can_have(device, defect):
            return name, defect.size
        return name, defect.size_on(device)
    if not defect.timed:
        raise InputError(
            "this defect has no size", remedy=f"write {short}", field="--defect", value=text
        )
    return name, duration_s(size, field=f"--defect {short}")


def machine_name(machine: str) -> str:
    """The short name of a state machine, also of one out of a file."""
    return files.split(machine)[1] if files.is_reference(machine) else machine


def can_have(device: DeviceProfile, defect: Defect) -> bool:
    """Whether a simulated device can have a defect."""
    if machine_name(device.machine) not in defect.machines:
        return False
    return defect.fits is None or defect.fits(device)


def check_defects(device: DeviceProfile, names: Mapping[str, float]) -> None:
    """Refuse a defect that the device cannot have: it would change nothing.

    Raises:
        InputError: such a defect, or a device that is not simulated.
    """
    for name in names:
        defect = find_defect(name)
        if not device.simulated:
            raise InputError(
                "defects exist for simulated devices only",
                remedy="leave --defect out",
                field="--defect",
                value=name,
            )
        if not can_have(device, defect):
            fitting = [d.name for d in DEFECTS.values() if can_have(device, d)]
            why = f"it is one of {', '.join(defect.machines)}"
            if machine_name(device.machine) in defect.machines:
                why = "it has nothing that this would spoil"
            raise InputError(
                f"{device.name} cannot have it: {why}",
                remedy=f"use one of {', '.join(fitting)}" if fitting else "leave it out",
                field="--defect",
                value=name,
            )
