"""Local takeover: LOC-2, one trial."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.devices.local_control import LOCAL_STREAM
from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.holding import action_ns
from bench.network.scenario import Window
from bench.sessions.recording import Recording
from bench.units import ns

LOAD = 50
"""Fresh remote commands that must arrive while the local side has control, or nothing is shown."""

AFTER_RELEASE = 10
"""As many must arrive after the release, before a re-arm."""

_PAUSE_NS = ns(0.25)
"""Local control with a longer pause between its commands has been lost."""


def loc_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the takeover at the patient's side to the first local command carried out.

    ``inf``: no local command; a remote command executed after the first local one, before the
    release and a re-arm after it; local commands that ceased before the release. It shows
    something only where the takeover fell into the fault, and remote commands that were fresh
    enough to be executed arrived while the local side had control and after its release.
    """
    window = ev.faulty_window(recording)
    asked = action_ns(recording, "takeover", 0)
    released = action_ns(recording, "takeover-release", asked)
    end_ns = recording.schedule.end_ns
    if not fault_onset(recording, window) <= asked <= window.end_ns:
        raise ev.Cannot("the takeover did not fall into the fault")
    rearm = ev.rearmed_ns(recording, released)
    until = end_ns if rearm is None else rearm
    details = _offered(recording, asked, released, until)
    executed = recording.packets.where(tap="actuator")
    local = executed.where(stream=LOCAL_STREAM).column("t_ns")
    local = local[(local >= asked) & (local <= released)]
    if not len(local):
        if (released - asked) / 1e9 < recording.device.declares.get("takeover_within_s", 0.0):
            raise ev.Cannot("the takeover was released before its deadline")
        return ev.NEVER, {**details, "wrong": "no local command was carried out"}
    remote = ev.executed(recording).column("t_ns")
    after = remote[(remote > local[0]) & (remote < until)]
    details |= {"local_commands": float(len(local)), "remote_executed_after": float(len(after))}
    if len(after):
        details["wrong"] = "a remote command was executed after the takeover"
        return ev.NEVER, details
    if int(np.diff(np.append(local, released)).max()) > _PAUSE_NS:
        details["wrong"] = "local control was lost before the release"
        return ev.NEVER, details
    return (int(local[0]) - asked) / 1e9, details


def fault_onset(recording: Recording, window: Window) -> int:
    """When the fault began at the taps; half-open, when what the patient sends was lost.

    Raises:
        Cannot: it never did.
    """
    if window.kind != "half-open":
        return ev.onset(recording, window)
    sent = recording.packets.where(tap="patient", direction=1)
    got = recording.packets.where(tap="doctor", direction=1)
    margin = ns(0.1)
    lost = sent.between(window.start_ns, window.end_ns - margin).column("t_ns")
    if not len(lost):
        raise ev.Cannot("the patient's side sent nothing in the fault")
    if len(got.between(window.start_ns + margin, window.end_ns)):
        raise ev.Cannot("what the patient's side sent went on arriving")
    return int(lost[0])


def _offered(recording: Recording, asked: int, released: int, until: int) -> ev.Details:
    fresh = fresh_arrivals(recording)
    taken = int(((fresh > asked) & (fresh < released)).sum())
    after = int(((fresh > released) & (fresh < until)).sum())
    if taken < LOAD:
        raise ev.Cannot(f"only {taken} fresh remote commands arrived while taken over")
    if after < AFTER_RELEASE:
        raise ev.Cannot(f"only {after} fresh remote commands arrived after the release")
    return {"remote_commands": float(taken), "remote_after_release": float(after)}


def fresh_arrivals(recording: Recording) -> NDArray[np.int64]:
    """When remote commands arrived that are no older than the device executes, in ns."""
    flow = ev.watched(recording)
    limit_s = recording.device.declares.get("command_age_s")
    if limit_s is None:
        raise ev.Cannot("not declared: D:command_age_s")
    limit_s = min(limit_s, recording.device.limits.get("command_age_s", limit_s))
    fresh = flow.arrived & (flow.received_ns - flow.sent_ns <= ns(limit_s))
    found: NDArray[np.int64] = np.sort(flow.received_ns[fresh])
    return found
