"""A deliberate defect: one declared deviation of a healthy device, with a size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits

ROBOT = "remote-robot"
MONITOR = "monitor"
CONSOLE = "console"
IMAGING = "imaging"


@dataclass(frozen=True, slots=True)
class Defect:
    """One deliberate defect.

    ``size`` is its stated size in s (1 where it has none); ``breaks`` names the
    requirements that must catch it. ``machines``: the simulated devices that can have it.
    ``sized``: its stated size on a device, where one size does not fit the limits of all.
    ``fits``: whether a device of these has what it spoils; None: every one.
    """

    name: str
    title: str
    breaks: tuple[str, ...]
    apply: Callable[[Traits, float], Traits]
    size: float = 1.0
    timed: bool = False
    machines: tuple[str, ...] = (ROBOT,)
    sized: Callable[[DeviceProfile], float] | None = None
    fits: Callable[[DeviceProfile], bool] | None = None

    def size_on(self, device: DeviceProfile) -> float:
        """Its stated size on a device."""
        return self.size if self.sized is None else self.sized(device)
