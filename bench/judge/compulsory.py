"""What a class of device must answer for, whatever its profile leaves out.

A test that needs a function does not apply to a device without it. Where what it judges is
compulsory for the device's class, leaving the function out of the profile waives nothing: the
verdict is INCONCLUSIVE, "not declared". In some classes not every device has the function; there
the profile may say so in so many words (``without``), and only then it is out of scope.

The same holds for what the documents ask of any remote device, or of a class: :data:`ASKED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.devices.profile import FUNCTIONS, DeviceProfile

MOVING = frozenset({"LOC-1", "FAIL-1", "FAIL-3", "REC-1", "LIM-1", "LIM-2"})
"""A device that moves at a distance: stops locally at any time, holds or stops on excess delay,
loss and interruption, and moves again only after an explicit re-arm."""


@dataclass(frozen=True, slots=True)
class Compulsory:
    """``ids``: behaviours that a class answers for. ``waivable``: by an explicit ``without``."""

    ids: frozenset[str]
    waivable: bool


COMPULSORY: Mapping[str, Compulsory] = {
    "therapy": Compulsory(MOVING, waivable=False),
    "diagnosis": Compulsory(MOVING, waivable=True),  # a console or an X-ray unit moves nothing
    "rehabilitation": Compulsory(MOVING, waivable=True),  # so does a trainer in virtual reality
    "emergency": Compulsory(frozenset(), waivable=True),
    "monitoring": Compulsory(frozenset(), waivable=True),
}
"""By device class. What every device must show needs no function, and so cannot be left out."""

_ANY = frozenset(COMPULSORY)

ASKED: Mapping[str, tuple[str, frozenset[str]]] = {
    **dict.fromkeys(("LOG-1", "LOG-2", "OPS-3", "MON-4"), ("audit-log", _ANY)),
    **dict.fromkeys(("SEC-1", "SEC-2", "SEC-3", "SEC-5"), ("secure-channel", _ANY)),
    **dict.fromkeys(("SW-1", "SW-2", "SW-3"), ("standby-link", _ANY)),
    "MON-1": ("network-display", _ANY),
    "CON-1": ("clients", _ANY),
    "SEC-6": ("updates", _ANY),
    "PRE-1": ("records", frozenset({"emergency", "monitoring"})),
    "MOB-2": ("mobile", frozenset({"emergency"})),
}
"""By behaviour: the function that it needs, and the classes whose profiles must say whether the
device has it. A maker may say that it has not: the report then shows that, and why nothing was
judged."""


def undeclared(requirement: str, needs: tuple[str, ...], device: DeviceProfile) -> tuple[str, ...]:
    """Functions that a compulsory test needs and of which the profile says nothing."""
    name, classes = ASKED.get(requirement, ("", frozenset()))
    silent = device.device_class in classes and name not in (*device.functions, *device.without)
    if silent and name in needs:
        return (name,)
    asked = COMPULSORY.get(device.device_class)
    if asked is None or requirement not in asked.ids:
        return ()
    said = {*device.functions, *(device.without if asked.waivable else ())}
    return tuple(name for name in needs if name in FUNCTIONS and name not in said)


def remedy(requirement: str, device: DeviceProfile) -> str:
    """What the profile must say for a function of :func:`undeclared`."""
    asked = COMPULSORY.get(device.device_class)
    if asked is not None and requirement in asked.ids and not asked.waivable:
        return "its profile must have it in functions"
    return "its profile must have it in functions, or in without if the device has no such thing"
