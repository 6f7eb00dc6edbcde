"""How one device behaves: the traits that its profile gives, and that defects deviate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.devices.links import LinkTraits
from bench.devices.local_control import TakeoverTraits
from bench.devices.quality import QualityTraits


@dataclass(frozen=True, slots=True)
class Traits:
    """Everything about a device's behaviour that a profile or a defect can set. SI."""

    command_age_s: float
    signal_after_s: float
    muted: frozenset[str] = frozenset()
    priority: Mapping[str, str] = field(default_factory=dict)
    switches: bool = True
    obeys_local_stop: bool = True
    stop_after_s: float = 0.0
    holds_on_delay: bool = True
    holds_on_loss: bool = True
    holds_on_silence: bool = True
    reaches_safe_state: bool = True
    needs_rearm: bool = True
    drops_old_sequence: bool = True
    keeps_position: bool = True
    reconnect_after_s: float = 0.0
    links: LinkTraits = field(default_factory=LinkTraits)
    takeover: TakeoverTraits = field(default_factory=TakeoverTraits)
    quality: QualityTraits = field(default_factory=QualityTraits)
