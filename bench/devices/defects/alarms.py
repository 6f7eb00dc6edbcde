"""Defects of alarms."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import MONITOR, ROBOT, Defect
from bench.devices.defects.margin import Margin
from bench.devices.path import NOTICE_BEATS
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits

_OUTAGE_ALARMS = frozenset({"network-interrupted", "link-lost"})
_NETWORK_ALARMS = _OUTAGE_ALARMS | {"network-delay", "network-loss"}


_NOTICED_BY = frozenset(
    {"command_delay_window_s", "command_silence_alarm_s", "command_loss_window_s", "link_silence_s"}
)


def _signal_near_limit(traits: Traits, profile: DeviceProfile, share: float) -> Traits:
    """The signals of network alarms later, so that event to signal takes ``share`` of the limit.

    What the device takes to notice comes out of its own limits, with one period of its heartbeat.
    """
    limits = profile.limits
    if not limits.keys() >= _NOTICED_BY:
        return traits
    window_s, beat_s = limits["command_delay_window_s"], profile.stream("control").period_s
    notice_s = {
        "network-interrupted": limits["command_silence_alarm_s"] + window_s,
        "network-delay": 2 * window_s,
        "network-loss": limits["command_loss_window_s"] + window_s,
        "link-lost": max(limits["link_silence_s"] + 2 * beat_s, NOTICE_BEATS * beat_s),
    }
    later = {
        alarm.name: max(traits.signal_after_s, share * alarm.within_s - notice_s[alarm.name])
        for alarm in profile.alarms
        if alarm.name in notice_s
    }
    return replace(traits, signal_after={**traits.signal_after, **later})


MARGINS = (
    Margin(
        "alarm-near-limit",
        "network alarms sound shortly before their deadline",
        ("MON-2", "MOB-1"),
        _signal_near_limit,
    ),
)


def _beyond_outage_alarms(device: DeviceProfile) -> float:
    """So late that no alarm which may answer an outage comes in time.

    What the device takes to signal in health is taken off: what it takes to notice stays beyond.
    """
    deadlines = [a.within_s for a in device.alarms if a.name in _OUTAGE_ALARMS]
    return max(deadlines) - device.limits["alarm_signal_s"]


DEFECTS = (
    Defect(
        "silent-outage",
        "no alarm on an outage",
        ("MON-2",),
        lambda t, _: replace(t, muted=t.muted | _OUTAGE_ALARMS),
        machines=(MONITOR, ROBOT),
    ),
    Defect(
        "mute-alarms",
        "no alarm of the network ever sounds",
        ("MOB-1", "OPS-2"),
        lambda t, _: replace(t, muted=t.muted | _NETWORK_ALARMS),
    ),
    Defect(
        "late-alarm",
        "every alarm signal comes late",
        ("MON-2",),
        lambda t, size: replace(t, signal_after_s=t.signal_after_s + size),
        size=0.7,
        timed=True,
        machines=(MONITOR, ROBOT),
        sized=_beyond_outage_alarms,
    ),
    Defect(
        "wrong-priority",
        "alarms sound with low priority",
        ("MON-2",),
        lambda t, _: replace(t, priority=dict.fromkeys(_NETWORK_ALARMS, "low")),
        machines=(MONITOR, ROBOT),
    ),
)
