"""The behaviours of mission and catalogue as measurements: one function per id, one trial each.

Each takes one recording and gives one value: ``inf`` where the awaited response never came or
came wrongly (the device's fault), and problems where the evidence cannot show it (nobody's).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.devices.profile import AlarmProfile, DeviceProfile
from bench.measure import events as ev
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import evidence_problems, time_budget
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.measure.metrics import longest_gap_s
from bench.network.scenario import Window
from bench.sessions.packets import PacketTable
from bench.sessions.recording import Recording

NEVER = math.inf

EXPECTED_ALARM: Mapping[str, str] = {
    "outage": "network-interrupted",
    "blackout": "network-interrupted",
    "handover": "network-interrupted",
    "ramp": "network-delay",
    "profile": "network-delay",
    "loss": "network-loss",
    "radio-link-failure": "network-loss",
}
"""Kind of the faulty step to the alarm that answers it."""

TIME_TERMS = ("tap", "clock", "event")
STALE_OFFERED = 5
"""Commands beyond the limit that must arrive while the drive moves, or nothing is shown."""

Details = dict[str, float | str | None]


class _Cannot(Exception):
    """This recording cannot show the behaviour: the reason, for an INCONCLUSIVE."""


def expected_alarm(recording: Recording) -> AlarmProfile | None:
    """The declared alarm that the scenario's fault calls for; ``None`` if none is declared."""
    window = ev.faulty_window(recording)
    name = EXPECTED_ALARM.get(window.kind, "") if window is not None else ""
    return recording.device.alarm(name)


def _window(recording: Recording) -> Window:
    window = ev.faulty_window(recording)
    if window is None:
        raise _Cannot("the scenario holds no fault")
    return window


def _onset(recording: Recording, window: Window) -> int:
    """When the fault began at the taps."""
    flow = ev.commands(recording)
    if window.kind in ("ramp", "profile"):
        onset = ev.first_late_ns(flow, window, recording.device.limits["command_delay_s"])
        if onset is None:
            raise _Cannot("the delay never passed the device's limit at the taps")
        return onset
    onset = ev.first_loss_ns(flow, window)
    if onset is None:
        raise _Cannot("no command was lost at the taps")
    return onset


def _moving_at(recording: Recording, t_ns: int) -> None:
    if ev.state_at(ev.contact(recording, "motion"), t_ns) != 1:
        raise _Cannot("the drive was not moving when the fault began")


def mon_2(recording: Recording) -> tuple[float, Details]:
    """Time from the fault to the alarm signal with its declared priority.

    Condition delay and signal generation delay are told apart in the details (IEC 60601-1-8);
    the former is the device's own word.
    """
    window = _window(recording)
    onset = _onset(recording, window)
    alarm = expected_alarm(recording)
    if alarm is None:
        raise _Cannot("no alarm is declared for this fault")
    return _alarm_after(recording, alarm, onset)


def _alarm_after(
    recording: Recording, alarm: AlarmProfile, onset: int
) -> tuple[float, Details]:
    spans = ev.alarm_spans(recording, alarm.name)
    if any(on < onset and (off is None or off > onset) for on, off, _ in spans):
        raise _Cannot(f"the alarm {alarm.name} was on before the fault")
    details: Details = {"alarm": alarm.name, "declared_priority": alarm.priority}
    condition = [
        e.t_ns
        for e in recording.named("alarm-condition", side="patient")
        if e.value.get("alarm") == alarm.name and e.value.get("on") and e.t_ns >= onset
    ]
    details["condition_delay_s"] = (condition[0] - onset) / 1e9 if condition else None
    after = [(on, priority) for on, _, priority in spans if on >= onset]
    if not after:
        return NEVER, details
    on, priority = after[0]
    details["priority"] = priority
    if condition:
        details["signal_delay_s"] = (on - condition[0]) / 1e9
    return ((on - onset) / 1e9 if priority == alarm.priority else NEVER), details


def lim_1(recording: Recording) -> tuple[float, Details]:
    """Time from the delay's passing its limit to standstill; moving again while beyond: never."""
    window = _window(recording)
    return _hold_after(recording, window, _onset(recording, window))


def lim_2(recording: Recording) -> tuple[float, Details]:
    """Time from the first lost command of the loss step to standstill."""
    window = _window(recording)
    return _hold_after(recording, window, _onset(recording, window))


def _hold_after(recording: Recording, window: Window, onset: int) -> tuple[float, Details]:
    _moving_at(recording, onset)
    motion = ev.contact(recording, "motion")
    stop = ev.first(motion, 0, onset, recording.schedule.end_ns)
    if stop is None:
        return NEVER, {"held": "never"}
    again = ev.first(motion, 1, stop, window.end_ns)
    details: Details = {"moved_again_s": None if again is None else (again - onset) / 1e9}
    executed = recording.packets.where(tap="actuator").between(stop + 1, again or window.end_ns)
    if len(executed):
        details["executed_after_standstill"] = float(len(executed))
        return NEVER, details
    return (NEVER if again is not None else (stop - onset) / 1e9), details


def fail_1(recording: Recording) -> tuple[float, Details]:
    """The largest age of an executed command: from the doctor's interface to its execution."""
    limit_ns = int(recording.device.declares["command_age_s"] * 1e9)
    executed = recording.packets.where(tap="actuator")
    flow = ev.commands(recording)
    offered = _stale_while_moving(recording, limit_ns)
    if offered < STALE_OFFERED:
        raise _Cannot(f"only {offered} stale commands arrived while the drive was moving")
    order = np.argsort(flow.seq, kind="stable")
    seqs, index = np.unique(flow.seq[order], return_index=True)
    first_sent = flow.sent_ns[order][index]
    wanted = executed.column("seq")
    place = np.minimum(np.searchsorted(seqs, wanted), max(0, len(seqs) - 1))
    known = seqs[place] == wanted if len(seqs) else np.zeros(len(wanted), dtype=bool)
    if not known.all():
        raise _Cannot(f"{int((~known).sum())} executed commands were never seen being sent")
    age = executed.column("t_ns") - first_sent[place]
    if not len(age):
        raise _Cannot("no command was executed")
    details: Details = {"executed": float(len(age)), "stale_offered": float(offered)}
    return float(age.max()) / 1e9, details


def _stale_while_moving(recording: Recording, limit_ns: int) -> int:
    flow = ev.commands(recording)
    late = flow.arrived & (flow.received_ns - flow.sent_ns > limit_ns)
    arrivals = flow.received_ns[late]
    count = 0
    motion = ev.contact(recording, "motion")
    edges = [(e.t_ns, e.value) for e in motion] + [(recording.schedule.end_ns, 0)]
    for (start, value), (end, _) in zip(edges, edges[1:], strict=False):
        if value == 1:
            count += int(((arrivals >= start) & (arrivals <= end)).sum())
    return count


def fail_3(recording: Recording) -> tuple[float, Details]:
    """Time from the interruption to the safe state: standstill, then brakes engaged."""
    window = _window(recording)
    onset = _onset(recording, window)
    _moving_at(recording, onset)
    stop = ev.first(ev.contact(recording, "motion"), 0, onset, recording.schedule.end_ns)
    brake = ev.first(ev.contact(recording, "brake"), 1, onset, recording.schedule.end_ns)
    details: Details = {
        "standstill_s": None if stop is None else (stop - onset) / 1e9,
        "brakes_s": None if brake is None else (brake - onset) / 1e9,
    }
    if stop is None or brake is None:
        return NEVER, details
    return (max(stop, brake) - onset) / 1e9, details


def sw_1(recording: Recording) -> tuple[float, Details]:
    """The longest gap between commands at the patient's interface from the fault on.

    A command that is executed twice or out of order makes it ``inf``.
    """
    window = _window(recording)
    onset = _onset(recording, window)
    arrivals = _arrivals(recording)
    before = arrivals[arrivals < onset]
    if not len(before) or onset - before[-1] > 100_000_000:
        raise _Cannot("no commands arrived before the fault")
    end = recording.schedule.end_ns - 50_000_000
    gap = longest_gap_s(arrivals, int(before[-1]), end)
    seq = recording.packets.where(tap="actuator").column("seq")
    wrong = int((np.diff(seq) <= 0).sum())
    standby = recording.packets.where(tap="patient", direction=0, link=1).between(onset, end)
    details: Details = {
        "gap_s": gap,
        "executed_twice_or_out_of_order": float(wrong),
        "packets_on_standby": float(len(standby)),
    }
    return (NEVER if wrong else gap), details


def _arrivals(recording: Recording) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    code = recording.device.stream(ev.COMMAND).code
    rows: PacketTable = recording.packets.where(tap="patient", direction=0, stream=code)
    return rows.column("t_ns")


def rec_1(recording: Recording) -> tuple[float, Details]:
    """Time from the network's return to motion, which needs a re-arm and must not jump.

    ``inf``: no motion again, motion without a re-arm since standstill, or a jump beyond the
    declared one between the positions at standstill and at the start.
    """
    window = _window(recording)
    onset, back = _onset(recording, window), window.end_ns
    _moving_at(recording, onset)
    motion = ev.contact(recording, "motion")
    stop = ev.first(motion, 0, onset, back)
    if stop is None:
        raise _Cannot("the drive did not stop during the interruption")
    start = ev.first(motion, 1, stop, recording.schedule.end_ns)
    arrivals = _arrivals(recording)
    commands_back = arrivals[arrivals >= back]
    details: Details = {
        "commands_back_s": (int(commands_back[0]) - back) / 1e9 if len(commands_back) else None
    }
    if start is None:
        return NEVER, details
    rearmed = [
        e.t_ns
        for e in recording.named("rearm", side="doctor")
        if stop <= e.t_ns <= start and e.value.get("request") == "rearm"
    ]
    jump = _jump_m(recording, stop, start)
    details["rearms"] = float(len(rearmed))
    details["position_jump_m"] = jump
    if not rearmed or jump is None or jump > recording.device.declares["position_jump_m"]:
        return NEVER, details
    return (start - back) / 1e9, details


def _jump_m(recording: Recording, stop_ns: int, start_ns: int) -> float | None:
    """Distance between the encoder's readings at standstill and at the next start, in m."""
    edges = ev.contact(recording, "position")
    before = [e.value["um"] for e in edges if e.value["edge"] == "stop" and e.t_ns <= stop_ns]
    after = [e.value["um"] for e in edges if e.value["edge"] == "start" and e.t_ns >= start_ns]
    if not before or not after:
        return None
    return float(abs(after[0] - before[-1])) * 1e-6


def loc_1(recording: Recording) -> tuple[float, Details]:
    """Time from the press of the local stop to the last executed command and to standstill."""
    pressed = _action(recording, "local-stop")
    released = _action(recording, "local-release", recording.schedule.end_ns)
    executed = recording.packets.where(tap="actuator").column("t_ns")
    arrivals = _arrivals(recording)
    if not ((executed > pressed - 200_000_000) & (executed <= pressed)).any():
        raise _Cannot("nothing was being executed when the stop was pressed")
    load = int(((arrivals > pressed) & (arrivals < released)).sum())
    if load < 100:
        raise _Cannot(f"only {load} remote commands arrived while the stop was pressed")
    after = executed[(executed > pressed) & (executed < released)]
    stop = ev.first(ev.contact(recording, "motion"), 0, pressed, released)
    details: Details = {"remote_commands": float(load), "executed_after": float(len(after))}
    if stop is None:
        return NEVER, details
    last = max(int(after[-1]) if len(after) else pressed, stop)
    return (last - pressed) / 1e9, details


def _action(recording: Recording, name: str, default: int | None = None) -> int:
    times = [e.t_ns for e in recording.named("action") if e.value.get("name") == name]
    if times:
        return times[0]
    if default is None:
        raise _Cannot(f"the bench did not carry out {name}")
    return default


def mob_1(recording: Recording) -> tuple[float, Details]:
    """Zero where the limits hold through the handover; else the time to the alarm signal.

    The limits stop holding at the first lost command or the first of several late ones.
    """
    window = _window(recording)
    flow = ev.commands(recording)
    late = ev.first_late_ns(flow, window, recording.device.limits["command_delay_s"])
    lost = ev.first_loss_ns(flow, window)
    exceeded = [t for t in (late, lost) if t is not None]
    if not exceeded:
        return 0.0, {"limits": "held"}
    alarm = expected_alarm(recording)
    if alarm is None:
        raise _Cannot("no alarm is declared for this fault")
    value, details = _alarm_after(recording, alarm, min(exceeded))
    return value, {"limits": "exceeded", **details}


Trial = Callable[[Recording], tuple[float, Details]]

BEHAVIOURS: Mapping[str, tuple[Trial, str, bool]] = {
    "MON-2": (mon_2, "fault-signal", True),
    "LIM-1": (lim_1, "fault-signal", True),
    "LIM-2": (lim_2, "fault-signal", True),
    "FAIL-1": (fail_1, "interface-interface", True),
    "FAIL-3": (fail_3, "fault-signal", True),
    "SW-1": (sw_1, "none", True),
    "REC-1": (rec_1, "fault-signal", True),
    "LOC-1": (loc_1, "stop-motion", True),
    "MOB-1": (mob_1, "fault-signal", True),
}
"""Id to its trial, its reference points, and whether all it rests on is independent of the
device (contacts, signals and taps are; the device's own log appears in details only)."""


def measure_behaviour(
    requirement: str,
    recordings: Sequence[Recording],
    *,
    profile: DeviceProfile,
    confidence: float,
    floor: NoiseFloor | None,
) -> Measurement:
    """All trials of a behaviour together: the worst value, one entry per trial.

    Raises:
        KeyError: an id that the bench does not measure.
    """
    trial, points, independent = BEHAVIOURS[requirement]
    values: list[float] = []
    problems: list[str] = []
    details: Details = {}
    for recording in recordings:
        trouble = evidence_problems(recording)
        try:
            value, found = trial(recording)
        except _Cannot as reason:
            trouble.append(str(reason))
        else:
            values.append(value)
            if value >= max(values):
                details = found
        problems += [f"{recording.session_id}: {text}" for text in trouble]
    worst = max(values, default=None)
    return Measurement(
        value=worst,
        unit="s",
        n=len(values),
        method=requirement,
        reference_points=points,
        lower=worst,
        upper=worst,
        confidence=confidence,
        extreme=worst,
        budget=_event_budget(recordings, floor),
        required_terms=TIME_TERMS,
        independent=independent,
        trials=tuple(values),
        problems=tuple(problems),
        details=details,
    )


def _event_budget(
    recordings: Sequence[Recording], floor: NoiseFloor | None
) -> tuple[UncertaintyTerm, ...]:
    """As for a time between taps, and ``event``: the stamp of a contact or a signal."""
    if not recordings:
        return ()
    terms = time_budget(recordings, ev.COMMAND, floor)
    if all(recording.bench == "virtual" for recording in recordings):
        return (*terms, UncertaintyTerm("event", 0.0, "virtual clock: exact"))
    found = floor.stream(ev.COMMAND) if floor is not None else None
    if found is None or not math.isfinite(found.p99):
        return terms
    origin = "99th percentile of the noise floor, rectangular"
    return (*terms, UncertaintyTerm("event", found.p99 / math.sqrt(3), origin))
