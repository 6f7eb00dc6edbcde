"""How one device behaves: the traits that its profile gives, and that defects deviate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.devices.playout import PlayOutTraits
from bench.devices.readout import ReadoutTraits
from bench.devices.screen import ScreenTraits
from bench.devices.studio import StudioTraits
from bench.devices.supervision import NervesTraits


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
    screen: ScreenTraits = field(default_factory=ScreenTraits)
    readout: ReadoutTraits = field(default_factory=ReadoutTraits)
    nerves: NervesTraits = field(default_factory=NervesTraits)
    studio: StudioTraits = field(default_factory=StudioTraits)
    play_out: PlayOutTraits = field(default_factory=PlayOutTraits)
