"""The arming states of a remote-controlled robot as a transition table.

State names follow CRTK (collaborative robotics toolkit): DISABLED, ENABLED, PAUSED, FAULT; LOCAL
is this bench's own. Leaving PAUSED takes an explicit command. A pair that is not in the table is
refused and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum


class Arming(StrEnum):
    """CRTK operating states. ENABLED moves on remote commands, LOCAL on those of the pendant."""

    DISABLED = "DISABLED"
    ENABLED = "ENABLED"
    PAUSED = "PAUSED"
    FAULT = "FAULT"
    LOCAL = "LOCAL"


class Trigger(StrEnum):
    """What can happen to the arming state."""

    ENABLE = "enable"
    HOLD = "hold"
    REARM = "rearm"
    SAFE = "safe"
    CLEAR = "clear"
    LOCAL_STOP = "local-stop"
    TAKEOVER = "takeover"
    RELEASE = "release"


TRANSITIONS: dict[tuple[Arming, Trigger], Arming] = {
    (Arming.DISABLED, Trigger.ENABLE): Arming.ENABLED,
    (Arming.ENABLED, Trigger.HOLD): Arming.PAUSED,
    (Arming.PAUSED, Trigger.REARM): Arming.ENABLED,
    (Arming.ENABLED, Trigger.SAFE): Arming.FAULT,
    (Arming.PAUSED, Trigger.SAFE): Arming.FAULT,
    (Arming.FAULT, Trigger.CLEAR): Arming.PAUSED,
    (Arming.DISABLED, Trigger.LOCAL_STOP): Arming.DISABLED,
    (Arming.ENABLED, Trigger.LOCAL_STOP): Arming.DISABLED,
    (Arming.PAUSED, Trigger.LOCAL_STOP): Arming.DISABLED,
    (Arming.FAULT, Trigger.LOCAL_STOP): Arming.DISABLED,
    (Arming.LOCAL, Trigger.LOCAL_STOP): Arming.DISABLED,
    (Arming.DISABLED, Trigger.TAKEOVER): Arming.LOCAL,
    (Arming.ENABLED, Trigger.TAKEOVER): Arming.LOCAL,
    (Arming.PAUSED, Trigger.TAKEOVER): Arming.LOCAL,
    (Arming.FAULT, Trigger.TAKEOVER): Arming.LOCAL,
    (Arming.LOCAL, Trigger.RELEASE): Arming.DISABLED,
}

MOVING = frozenset({Arming.ENABLED, Arming.LOCAL})
BRAKED = frozenset({Arming.FAULT, Arming.DISABLED})


def after(state: Arming, trigger: Trigger) -> Arming | None:
    """The next state, or ``None`` where the trigger is refused in this state."""
    return TRANSITIONS.get((state, trigger))
