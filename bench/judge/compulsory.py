"""What a class of device must answer for, whatever its profile leaves out.

A test that needs a function does not apply to a device without it. Where what it judges is
compulsory for the device's class, leaving the function out of the profile waives nothing: the
verdict is INCONCLUSIVE, "not declared". In some classes not every device has the function; there
the profile may say so in so many words (``without``), and only then it is out of scope.
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


def undeclared(requirement: str, needs: tuple[str, ...], device: DeviceProfile) -> tuple[str, ...]:
    """Functions that a compulsory test needs and of which the profile says nothing."""
    asked = COMPULSORY.get(device.device_class)
    if asked is None or requirement not in asked.ids:
        return ()
    said = {*device.functions, *(device.without if asked.waivable else ())}
    return tuple(name for name in needs if name in FUNCTIONS and name not in said)
