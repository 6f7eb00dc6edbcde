"""How one device behaves: the healthy traits that its profile gives, and deliberate defects.

A defect is a declared deviation of a healthy device with a size; it exists to prove that the
bench can fail a device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.units import duration_s


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


@dataclass(frozen=True, slots=True)
class Defect:
    """One deliberate defect.

    ``size`` is its stated size in s (1 where it has none); ``breaks`` names the
    requirements that must catch it.
    """

    name: str
    title: str
    breaks: tuple[str, ...]
    apply: Callable[[Traits, float], Traits]
    size: float = 1.0
    timed: bool = False


_OUTAGE_ALARMS = frozenset({"network-interrupted", "link-lost"})


def _defects(*defects: Defect) -> Mapping[str, Defect]:
    return {defect.name: defect for defect in defects}


DEFECTS: Mapping[str, Defect] = _defects(
    Defect(
        "silent-outage",
        "no alarm on an outage",
        ("MON-2",),
        lambda t, _: replace(t, muted=t.muted | _OUTAGE_ALARMS),
    ),
    Defect(
        "late-alarm",
        "every alarm signal comes late",
        ("MON-2",),
        lambda t, size: replace(t, signal_after_s=t.signal_after_s + size),
        size=3.0,
        timed=True,
    ),
    Defect(
        "wrong-priority",
        "alarms sound with low priority",
        ("MON-2",),
        lambda t, _: replace(
            t, priority=dict.fromkeys([*_OUTAGE_ALARMS, "network-delay", "network-loss"], "low")
        ),
    ),
    Defect(
        "never-switches",
        "never switches to the standby link",
        ("SW-1",),
        lambda t, _: replace(t, switches=False),
    ),
    Defect(
        "stale-commands",
        "executes commands of any age",
        ("FAIL-1",),
        lambda t, _: replace(t, command_age_s=float("inf")),
    ),
    Defect(
        "old-sequence",
        "executes duplicated and reordered commands",
        ("SW-1",),
        lambda t, _: replace(t, drops_old_sequence=False, command_age_s=float("inf")),
    ),
    Defect(
        "ignores-local-stop",
        "the local stop does nothing while remote commands come",
        ("LOC-1",),
        lambda t, _: replace(t, obeys_local_stop=False),
    ),
    Defect(
        "slow-local-stop",
        "the local stop acts late",
        ("LOC-1",),
        lambda t, size: replace(t, stop_after_s=size),
        size=0.3,
        timed=True,
    ),
    Defect(
        "ignores-delay-limit",
        "goes on moving beyond its delay limit",
        ("LIM-1",),
        lambda t, _: replace(t, holds_on_delay=False),
    ),
    Defect(
        "ignores-loss-limit",
        "goes on moving beyond its loss limit",
        ("LIM-2",),
        lambda t, _: replace(t, holds_on_loss=False),
    ),
    Defect(
        "no-safe-state",
        "never reaches the safe state in a blackout",
        ("FAIL-3",),
        lambda t, _: replace(t, reaches_safe_state=False),
    ),
    Defect(
        "resumes-without-rearm",
        "moves again without being re-armed",
        ("REC-1",),
        lambda t, _: replace(t, needs_rearm=False),
    ),
    Defect(
        "motion-jump",
        "jumps to the master's position when re-armed",
        ("REC-1",),
        lambda t, _: replace(t, keeps_position=False),
    ),
    Defect(
        "slow-reconnect",
        "takes too long to reconnect",
        ("REC-1",),
        lambda t, size: replace(t, reconnect_after_s=size),
        size=12.0,
        timed=True,
    ),
)


def traits_of(profile: DeviceProfile) -> Traits:
    """The traits of a simulated device: its profile's, deviated by its defects."""
    traits = Traits(
        command_age_s=profile.limits["command_age_s"],
        signal_after_s=profile.limits["alarm_signal_s"],
    )
    for name, size in (profile.defects or {}).items():
        traits = DEFECTS[name].apply(traits, size)
    return traits


def parse_defect(text: str) -> tuple[str, float]:
    """``late-alarm`` or ``late-alarm=3s`` as a name and a size in s.

    Raises:
        InputError: unknown defect, or a size where the defect has none.
    """
    name, _, size = text.partition("=")
    defect = DEFECTS.get(name)
    if defect is None:
        raise InputError(
            "unknown defect",
            remedy=f"use one of {', '.join(DEFECTS)}",
            field="--defect",
            value=name,
        )
    if not size:
        return name, defect.size
    if not defect.timed:
        raise InputError(
            "this defect has no size", remedy=f"write {name}", field="--defect", value=text
        )
    return name, duration_s(size, field=f"--defect {name}")
