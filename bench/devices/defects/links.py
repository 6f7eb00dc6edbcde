"""Defects of links: switching over, reconnecting."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import Defect
from bench.devices.defects.margin import Margin
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits


def _reconnect_near_limit(traits: Traits, profile: DeviceProfile, share: float) -> Traits:
    """Connected again late; what link, heartbeat and the operator's re-arm take comes beside."""
    declared_s = profile.declares.get("reconnect_within_s")
    if declared_s is None:
        return traits
    limits = profile.limits
    rest_s = limits.get("operator_rearm_s", 0.0) + limits["link_silence_s"]
    rest_s += limits["clear_after_s"]
    later_s = max(traits.reconnect_after_s, share * declared_s - rest_s)
    return replace(traits, reconnect_after_s=later_s)


MARGINS = (
    Margin(
        "reconnects-near-limit",
        "reconnects shortly before its deadline",
        ("REC-1",),
        _reconnect_near_limit,
    ),
)

DEFECTS = (
    Defect(
        "never-switches",
        "never switches to the standby link",
        ("SW-1",),
        lambda t, _: replace(t, switches=False),
    ),
    Defect(
        "slow-reconnect",
        "takes too long to reconnect",
        ("REC-1",),
        lambda t, size: replace(t, reconnect_after_s=size),
        size=7.0,
        timed=True,
    ),
)
