"""The standby link's health and the way back: SW-2 and SW-3, one trial each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.devices.links import PREFERRED
from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.network.scenario import Window
from bench.sessions.packets import PacketTable
from bench.sessions.recording import Recording
from bench.units import ns

_BACK_NS = ns(0.5)
"""So long after its restoration the primary line must carry what is sent on it."""


def sw_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the loss of the standby line to the alarm signal, while the primary still works.

    ``inf``: no signal before the primary was cut, one that had gone by then, or another priority
    than the declared one. It shows something only where the standby carried nothing of what was
    sent on it, the primary carried every command, and was cut later than the alarm's deadline.
    """
    if alarm is None:
        raise ev.Cannot("no alarm is declared for this fault")
    window = ev.faulty_window(recording)
    onset = _spare_lost_ns(recording, window)
    needed = _needed_ns(recording, window)
    if (needed - onset) / 1e9 < alarm.within_s:
        raise ev.Cannot("the primary was cut before the deadline of the alarm")
    spans = ev.alarm_spans(recording, alarm.name)
    begin = onset - ev.EDGE_NS
    if any(on < begin and (off is None or off > begin) for on, off, _ in spans):
        raise ev.Cannot(f"the alarm {alarm.name} was on before the fault")
    details: ev.Details = {
        "alarm": alarm.name,
        "declared_priority": alarm.priority,
        "needed_s": (needed - onset) / 1e9,
    }
    shown = [span for span in spans if begin <= span[0] < needed]
    if not shown:
        return ev.NEVER, details
    on, _, priority = shown[0]
    details["priority"] = priority
    if shown[-1][1] is not None and shown[-1][1] < needed:
        details["wrong"] = "the signal had gone when the standby was needed"
        return ev.NEVER, details
    return (max(0.0, (on - onset) / 1e9) if priority == alarm.priority else ev.NEVER), details


def _spare_lost_ns(recording: Recording, window: Window) -> int:
    """When the first packet was sent on another line than the primary that never arrived."""

    def spare(tap: str) -> PacketTable:
        rows = recording.packets.where(tap=tap, direction=0)
        return PacketTable(rows.rows[rows.rows["link"] > PREFERRED])

    sent = spare("doctor").between(window.start_ns - ev.EDGE_NS, window.end_ns).column("t_ns")
    got = spare("patient").between(window.start_ns + ns(0.1), window.end_ns)
    sent = sent[sent >= window.start_ns]
    if not len(sent):
        raise ev.Cannot("nothing was sent on the standby line")
    if len(got):
        raise ev.Cannot("the standby line went on carrying what was sent on it")
    return int(sent[0])


def _needed_ns(recording: Recording, window: Window) -> int:
    """When the primary was cut, too: the first command lost in the step after."""
    flow = ev.watched(recording)
    if ev.first_loss_ns(flow, window) is not None:
        raise ev.Cannot("the primary line lost commands before it was cut")
    ev.offered(flow, window.start_ns, window.end_ns)
    for later in recording.schedule.windows:
        if later.start_ns >= window.end_ns and later.role != "within":
            lost = ev.first_loss_ns(flow, later)
            if lost is not None:
                return lost
    raise ev.Cannot("the primary line was never cut")


def sw_3(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the restoration of the primary line to payload on it for good.

    Every stream counts that kept to one line before the fault; heartbeats on all lines do not. A
    change of line after the return moves the time to the next return. It passes only where the
    recording goes on for twice the declared time, and a stream had left the primary line.
    """
    declared_s = recording.device.declares.get("switch_back_within_s")
    if declared_s is None:
        raise ev.Cannot("not declared: D:switch_back_within_s")
    window = ev.faulty_window(recording)
    onset, back = ev.onset(recording, window), window.end_ns
    _primary_came_back(recording, back)
    lines = _payload(recording, window, onset)
    if not any((link[t_ns < back] != PREFERRED).any() for t_ns, link in lines.values()):
        raise ev.Cannot("the device did not leave the primary line")
    details: ev.Details = {}
    last_s = 0.0
    for name, (t_ns, link) in lines.items():
        after = t_ns >= back
        times, off = t_ns[after], link[after] != PREFERRED
        changes = int(np.count_nonzero(np.diff(off.astype(int)) != 0))
        details[f"{name}_changes"] = float(changes)
        since = times[off][-1] if off.any() else back - 1
        home = times[~off & (times > since)]
        if not len(home):
            return ev.never(recording, back, declared_s, details), details
        last_s = max(last_s, (int(home[0]) - back) / 1e9)
    watched_s = (recording.schedule.end_ns - back) / 1e9
    if last_s <= declared_s and watched_s < 2 * declared_s:
        raise ev.Cannot("the recording ends too soon to show that the line changes no more")
    return last_s, details


def _payload(
    recording: Recording, window: Window, onset: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """When, and on which line, each stream was sent that kept to the primary before the fault.

    One that has ended by the restoration (a file that was sent) says nothing of the way back.
    """
    found = {}
    for stream in recording.device.active_streams:
        tap, direction = ("doctor", 0) if stream.source == "doctor" else ("patient", 1)
        rows = recording.packets.where(tap=tap, direction=direction, stream=stream.code)
        t_ns, link = rows.column("t_ns"), rows.column("link")
        before, later = link[t_ns < onset], t_ns[t_ns >= window.end_ns]
        if len(before) and len(later) and (before == PREFERRED).all():
            found[stream.name] = t_ns, link
    if recording.device.watched not in found:
        raise ev.Cannot("the commands did not keep to the primary line before the fault")
    return found


def _primary_came_back(recording: Recording, back: int) -> None:
    for direction, near, far in ((0, "doctor", "patient"), (1, "patient", "doctor")):
        primary = recording.packets.where(direction=direction, link=PREFERRED)
        sent = primary.where(tap=near).between(back, back + _BACK_NS)
        if len(sent) and not len(primary.where(tap=far).between(back, back + 2 * _BACK_NS)):
            raise ev.Cannot("the primary line did not come back at the taps")
