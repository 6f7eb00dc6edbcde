"""A margin variant: a healthy device that uses most of what it declares, by a share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits


@dataclass(frozen=True, slots=True)
class Margin:
    """One way to run near a limit and keep it.

    ``apply``: traits, profile and the share of the limit that is used (0.8 … 0.95); unchanged
    where the profile declares no such limit. ``keeps``: the requirements that must still pass.
    """

    name: str
    title: str
    keeps: tuple[str, ...]
    apply: Callable[[Traits, DeviceProfile, float], Traits]
