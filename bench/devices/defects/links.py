"""Defects of links: switching over, reconnecting."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import CONSOLE, IMAGING, MONITOR, ROBOT, Defect
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
        machines=(MONITOR, ROBOT, CONSOLE, IMAGING),
    ),
    Defect(
        "slow-reconnect",
        "takes too long to reconnect",
        ("REC-1",),
        lambda t, size: replace(t, reconnect_after_s=size),
        size=7.0,
        timed=True,
    ),
    Defect(
        "dead-standby-unannounced",
        "says nothing of a dead standby link until it needs it",
        ("SW-2",),
        lambda t, _: replace(t, links=replace(t.links, spare_alarm_after_s=float("inf"))),
    ),
    Defect(
        "late-standby-alarm",
        "announces a dead standby link late",
        ("SW-2",),
        lambda t, size: replace(t, links=replace(t.links, spare_alarm_after_s=size)),
        size=0.6,
        timed=True,
    ),
    Defect(
        "never-switches-back",
        "stays on the standby link when the primary is back",
        ("SW-3",),
        lambda t, _: replace(t, links=replace(t.links, switch_back_later_s=float("inf"))),
    ),
    Defect(
        "slow-switch-back",
        "switches back too late",
        ("SW-3",),
        lambda t, size: replace(t, links=replace(t.links, switch_back_later_s=size)),
        size=2.0,
        timed=True,
    ),
    Defect(
        "oscillating-switch-back",
        "swings between the links after it switched back",
        ("SW-3",),
        lambda t, size: replace(t, links=replace(t.links, swings_every_s=size)),
        size=1.0,
        timed=True,
    ),
    Defect(
        "silent-half-open",
        "takes a link for good that works one way only, and says nothing of what is lost",
        ("FAIL-4",),
        lambda t, _: replace(t, links=replace(t.links, trusts_half_open=True)),
    ),
    Defect(
        "no-path-probe",
        "does not look whether its links carry large packets, and tells nobody of what is lost",
        ("FAIL-4",),
        lambda t, _: replace(t, links=replace(t.links, probes_path=False)),
    ),
    Defect(
        "late-path-alarm",
        "notices late that a link swallows large packets",
        ("FAIL-4",),
        lambda t, size: replace(t, links=replace(t.links, path_later_s=size)),
        size=0.4,
        timed=True,
    ),
    Defect(
        "keeps-old-address",
        "goes on sending to an address that the other side had, and tells nobody of what is lost",
        ("FAIL-4",),
        lambda t, _: replace(
            t, links=replace(t.links, follows_address=False, trusts_half_open=True)
        ),
    ),
)
