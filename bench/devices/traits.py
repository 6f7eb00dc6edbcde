"""How one device behaves: the traits that its profile gives, and that defects deviate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.devices.audit import AuditTraits
from bench.devices.backup import BackupTraits
from bench.devices.links import LinkTraits
from bench.devices.local_control import TakeoverTraits
from bench.devices.playout import PlayOutTraits
from bench.devices.quality import QualityTraits
from bench.devices.readout import ReadoutTraits
from bench.devices.reports import ReportTraits
from bench.devices.screen import ScreenTraits
from bench.devices.security import SecurityTraits
from bench.devices.store import StoreTraits
from bench.devices.studio import StudioTraits
from bench.devices.supervision import NervesTraits
from bench.devices.transfer import TransferTraits
from bench.network.radio.exposure import RadioFlaws


@dataclass(frozen=True, slots=True)
class Traits:
    """Everything about a device's behaviour that a profile or a defect can set. SI.

    ``signal_after``: another time than ``signal_after_s``, by alarm. ``pace``: by stream, its
    period over the declared one. ``safe_state_at``: share of its declared silence after which the
    brakes engage.
    """

    command_age_s: float
    signal_after_s: float
    signal_after: Mapping[str, float] = field(default_factory=dict)
    muted: frozenset[str] = frozenset()
    priority: Mapping[str, str] = field(default_factory=dict)
    switches: bool = True
    obeys_local_stop: bool = True
    stop_after_s: float = 0.0
    holds_on_delay: bool = True
    holds_on_loss: bool = True
    holds_on_silence: bool = True
    reaches_safe_state: bool = True
    safe_state_at: float = 1.0
    needs_rearm: bool = True
    drops_old_sequence: bool = True
    keeps_position: bool = True
    reconnect_after_s: float = 0.0
    links: LinkTraits = field(default_factory=LinkTraits)
    takeover: TakeoverTraits = field(default_factory=TakeoverTraits)
    screen: ScreenTraits = field(default_factory=ScreenTraits)
    readout: ReadoutTraits = field(default_factory=ReadoutTraits)
    nerves: NervesTraits = field(default_factory=NervesTraits)
    studio: StudioTraits = field(default_factory=StudioTraits)
    play_out: PlayOutTraits = field(default_factory=PlayOutTraits)
    store: StoreTraits = field(default_factory=StoreTraits)
    reports: ReportTraits = field(default_factory=ReportTraits)
    audit: AuditTraits = field(default_factory=AuditTraits)
    pace: Mapping[str, float] = field(default_factory=dict)
    quality: QualityTraits = field(default_factory=QualityTraits)
    security: SecurityTraits = field(default_factory=SecurityTraits)
    transfer: TransferTraits = field(default_factory=TransferTraits)
    backup: BackupTraits = field(default_factory=BackupTraits)
    radio: RadioFlaws = field(default_factory=RadioFlaws)
