"""Holding back: LIM-1, LIM-2, FAIL-1, FAIL-3 and LOC-1, one trial each."""

from __future__ import annotations

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.metrics import longest_gap_s
from bench.network.scenario import Window
from bench.sessions.packets import PacketTable
from bench.sessions.recording import Recording
from bench.units import ns

STALE_OFFERED = 5
"""Commands beyond the limit that must arrive while the drive moves, or nothing is shown."""

SILENT = 0.9
"""Share of a brief interruption for which no command may have arrived."""

LOAD = 100
"""Remote commands that must arrive while the local stop is pressed, or nothing is shown."""


def lim_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the delay's passing its limit to standstill.

    Moving again while beyond the limit, or at any time without a re-arm, is ``inf``.
    """
    window = ev.faulty_window(recording)
    return hold_s(recording, "hold_within_s", ev.onset(recording, window))


def lim_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the first lost command of the loss step to standstill; else as :func:`lim_1`."""
    window = ev.faulty_window(recording)
    return hold_s(recording, "loss_action_within_s", ev.onset(recording, window))


def hold_s(recording: Recording, deadline: str, onset: int) -> tuple[float, ev.Details]:
    """Time from ``onset`` to standstill, against the declared ``deadline``; see :func:`lim_1`."""
    window = ev.faulty_window(recording)
    details: ev.Details = {}
    stop = _standstill(recording, window, onset)
    if stop is None:
        deadline_s = recording.device.declares.get(deadline, 0.0)
        return ev.never(recording, onset, deadline_s, details), details
    end_ns = recording.schedule.end_ns
    again = ev.first_after(ev.contact(recording, "motion"), 1, stop, end_ns)
    details["moved_again_s"] = None if again is None else (again - onset) / 1e9
    if again is not None and again <= window.end_ns:
        details["wrong"] = "moved again while beyond the limit"
        return ev.NEVER, details
    if again is not None and not ev.rearmed(recording, stop, again):
        details["wrong"] = "moved again without a re-arm"
        return ev.NEVER, details
    executed = recording.packets.where(tap="actuator").between(stop + 1, again or end_ns)
    if len(executed):
        details["wrong"] = f"executed {len(executed)} commands after standstill"
        return ev.NEVER, details
    # A device may notice a delay that grows a little before the taps show it beyond the limit.
    return max(0.0, (stop - onset) / 1e9), details


def _standstill(recording: Recording, window: Window, onset: int) -> int | None:
    """When the drive stopped for the fault; it must have been moving when the step began."""
    motion = ev.contact(recording, "motion")
    if ev.state_at(motion, onset) == 1:
        return ev.first(motion, 0, onset, recording.schedule.end_ns)
    earliest = ev.earliest_ns(window, onset)
    before = [e.t_ns for e in motion if e.value == 0 and earliest <= e.t_ns <= onset]
    if not before:
        raise ev.Cannot("the drive was not moving when the fault began")
    return before[-1]


def fail_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The largest age of an executed command: from the doctor's interface to its execution.

    It shows something only if commands beyond the limit arrived while the drive was moving.
    """
    limit_s = recording.device.declares.get("command_age_s")
    if limit_s is None:
        raise ev.Cannot("not declared: D:command_age_s")
    flow = ev.watched(recording)
    late = flow.arrived & (flow.received_ns - flow.sent_ns > ns(limit_s))
    offered = ev.while_moving(recording, flow.received_ns[late])
    if offered < STALE_OFFERED:
        raise ev.Cannot(f"only {offered} stale commands arrived while the drive was moving")
    executed = ev.executed(recording)
    if not len(executed):
        raise ev.Cannot("no command was executed")
    seqs, index = np.unique(flow.seq, return_index=True)  # in order of sending: the first one
    wanted = executed.column("seq")
    place = np.minimum(np.searchsorted(seqs, wanted), len(seqs) - 1)
    unknown = int((seqs[place] != wanted).sum())
    if unknown:
        raise ev.Cannot(f"{unknown} executed commands were never seen being sent")
    age = executed.column("t_ns") - flow.sent_ns[index][place]
    if age.min() < 0:
        raise ev.Cannot("a command was executed before it was sent")
    details: ev.Details = {"executed": float(len(age)), "stale_offered": float(offered)}
    return float(age.max()) / 1e9, details


def fail_3(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the interruption to the safe state: standstill, and brakes engaged.

    Leaving the safe state while the interruption lasts is ``inf``. One that was over before the
    deadline shows nothing where the safe state was not reached; one that was over before the
    silence at which the device declares to go there must not lead there (:func:`_brief`).
    """
    window = ev.faulty_window(recording)
    onset = ev.onset(recording, window)
    motion, brake = ev.contact(recording, "motion"), ev.contact(recording, "brake")
    ev.moving_at(recording, onset)
    if ev.state_at(brake, onset) != 0:
        raise ev.Cannot("the brakes were not seen released when the fault began")
    end_ns = recording.schedule.end_ns
    silence_s = recording.device.limits.get("safe_state_silence_s")
    if silence_s is not None and window.end_ns - window.start_ns < ns(silence_s):
        return _brief(recording, window, silence_s)
    stop, braked = ev.first(motion, 0, onset, end_ns), ev.first(brake, 1, onset, end_ns)
    details: ev.Details = {
        "standstill_s": None if stop is None else (stop - onset) / 1e9,
        "brakes_s": None if braked is None else (braked - onset) / 1e9,
    }
    if stop is None or braked is None:
        deadline_s = recording.device.declares.get("safe_state_within_s", 0.0)
        if window.end_ns - onset < ns(deadline_s):
            raise ev.Cannot("the interruption was over before the deadline of the safe state")
        return ev.never(recording, onset, deadline_s, details), details
    left = [
        ev.first_after(motion, 1, stop, window.end_ns),
        ev.first_after(brake, 0, braked, window.end_ns),
    ]
    if any(t is not None for t in left):
        details["wrong"] = "left the safe state while the interruption lasted"
        return ev.NEVER, details
    return (max(stop, braked) - onset) / 1e9, details


def _brief(recording: Recording, window: Window, silence_s: float) -> tuple[float, ev.Details]:
    """Zero where the brakes stay released through an interruption that is no reason for them.

    Engaged brakes, at any time from its beginning on, are ``inf``. It shows something only if no
    command arrived for nearly as long as it lasted, and some did before the declared silence.
    """
    length_s = (window.end_ns - window.start_ns) / 1e9
    around = window.start_ns - ns(length_s), window.end_ns + ns(silence_s)
    gap_s = longest_gap_s(command_arrivals(recording), *around)
    if not SILENT * length_s <= gap_s < silence_s:
        raise ev.Cannot(
            f"commands were silent for {gap_s:.3g} s at the patient's tap, not for {length_s:.3g} s"
        )
    details: ev.Details = {"silence_s": gap_s, "declared_silence_s": silence_s}
    begin, end_ns = window.start_ns, recording.schedule.end_ns
    braked = ev.first_after(ev.contact(recording, "brake"), 1, begin, end_ns)
    if braked is None:
        return 0.0, details
    details["brakes_s"] = (braked - begin) / 1e9
    details["wrong"] = "the brakes engaged in an interruption shorter than declared for them"
    return ev.NEVER, details


def loc_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the press of the local stop to standstill and to the last executed command.

    It shows something only if commands were executed just before the press and kept arriving
    while the stop was pressed. Moving again before the release is ``inf``. Of a real device there
    is its motion alone.
    """
    end_ns = recording.schedule.end_ns
    pressed = action_ns(recording, "local-stop", 0)
    released = action_ns(recording, "local-release", pressed, end_ns)
    executed = recording.packets.where(tap="actuator").column("t_ns")
    before = (executed > pressed - ns(0.2)) & (executed <= pressed)
    if recording.bench != "lab" and not before.any():  # nobody looks into a real device's drive
        raise ev.Cannot("nothing was being executed when the stop was pressed")
    ev.moving_at(recording, pressed - 1)
    arrivals = command_arrivals(recording)
    load = int(((arrivals > pressed) & (arrivals < released)).sum())
    if load < LOAD:
        raise ev.Cannot(f"only {load} remote commands arrived while the stop was pressed")
    after = executed[(executed > pressed) & (executed < released)]
    motion = ev.contact(recording, "motion")
    stop = ev.first(motion, 0, pressed, released)
    details: ev.Details = {"remote_commands": float(load), "executed_after": float(len(after))}
    if stop is None:
        deadline_s = recording.device.declares.get("local_stop_within_s", 0.0)
        if (released - pressed) / 1e9 < deadline_s:
            raise ev.Cannot("the stop was released before its deadline")
        return ev.NEVER, details
    if ev.first_after(motion, 1, stop, released - 1) is not None:
        details["wrong"] = "moved again before the release"
        return ev.NEVER, details
    last = max(int(after[-1]) if len(after) else pressed, stop)
    return (last - pressed) / 1e9, details


def command_arrivals(recording: Recording) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """When commands arrived at the patient's interface, on any link, ascending."""
    code = recording.device.stream(recording.device.watched).code
    rows: PacketTable = recording.packets.where(tap="patient", direction=0, stream=code)
    return rows.column("t_ns")


def action_ns(recording: Recording, name: str, after_ns: int, default: int | None = None) -> int:
    """When the bench did ``name`` from ``after_ns`` on.

    Raises:
        Cannot: it did not, and there is no ``default``.
    """
    for event in recording.named("action"):
        if event.t_ns >= after_ns and event.value.get("name") == name:
            return event.t_ns
    if default is None:
        raise ev.Cannot(f"the bench did not carry out {name}")
    return default
