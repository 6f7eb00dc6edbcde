"""Alarms as an answer to a network fault: MON-2 and MOB-1, one trial each."""

from __future__ import annotations

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.exceeding import exceedances
from bench.measure.warranted import EXPECTED_ALARMS, false_alarms
from bench.network.scenario import Window
from bench.sessions.cells import CELL_CHANGE, changed_in
from bench.sessions.recording import Recording


def expected_alarms(recording: Recording) -> tuple[AlarmProfile, ...]:
    """The declared alarms that answer the scenario's fault; empty if none is declared."""
    kinds = [w.kind for w in recording.schedule.windows if w.role != "within"]
    names = EXPECTED_ALARMS.get(kinds[0], ()) if kinds else ()
    found = (recording.device.alarm(name) for name in names)
    return tuple(alarm for alarm in found if alarm is not None)


def mon_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the fault to the alarm signal with its declared priority.

    Another priority than the declared one is no answer. Condition delay and signal generation
    delay are told apart in the details (IEC 60601-1-8); the former is the device's own word. So are
    an alarm that never came (``missed_alarms``) and those that nothing warrants
    (``false_alarms``), which are MON-3's affair and change no value here.
    """
    window = ev.faulty_window(recording)
    value, details = _alarm_after(recording, alarm, window, ev.onset(recording, window))
    unwarranted = false_alarms(recording)
    details["missed_alarms"] = float("priority" not in details)
    details["false_alarms"] = float(len(unwarranted))
    if unwarranted:
        t_ns, name = unwarranted[0]
        details["first_false_alarm"] = f"{name} at {t_ns / 1e9:.3f} s"
    return value, details


def mob_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Zero where the limits hold through the handover; else the time to the alarm signal.

    They are those of MOB-2: the device's own limits of delay, loss and silence, no wider than what
    the watched stream needs.
    """
    window = ev.faulty_window(recording)
    if window.kind == CELL_CHANGE:
        _insist_on_another_cell(recording, window)
    flow = ev.watched(recording)
    exceeded = exceedances(recording, flow, window)
    beyond = min(exceeded, default=window.end_ns)
    # A silence is the network's only if commands were sent in it.
    ev.offered(flow, window.start_ns, min(beyond + 2 * ev.PAUSE_NS, window.end_ns))
    if not exceeded:
        return 0.0, {"limits": "held"}
    value, details = _alarm_after(recording, alarm, window, min(exceeded))
    return value, {"limits": "exceeded", **details}


def _insist_on_another_cell(recording: Recording, window: Window) -> None:
    """Insist that the device's modem was seen to change its cell in the step.

    Raises:
        Cannot: it was not, or nobody says so.
    """
    changed = changed_in(recording, window)
    if changed is None:
        raise ev.Cannot("this bench has no cells: nothing shows that the modem changed its cell")
    if changed.problem:
        raise ev.Cannot(changed.problem)
    length_s = (window.end_ns - window.start_ns) / 1e9
    if not changed.after or changed.after == changed.before:
        raise ev.Cannot("the modem reported no other cell")
    if changed.seen_s is None or not 0 < changed.seen_s < length_s:
        raise ev.Cannot("the modem did not report the other cell within the step")


def _alarm_after(
    recording: Recording, alarm: AlarmProfile | None, window: Window, onset: int
) -> tuple[float, ev.Details]:
    if alarm is None:
        raise ev.Cannot("no alarm is declared for this fault")
    spans = ev.alarm_spans(recording, alarm.name)
    begin = ev.earliest_ns(window, onset)
    if any(on < begin and (off is None or off > begin) for on, off, _ in spans):
        raise ev.Cannot(f"the alarm {alarm.name} was on before the fault")
    details: ev.Details = {"alarm": alarm.name, "declared_priority": alarm.priority}
    condition = [
        e.t_ns
        for e in recording.named("alarm-condition", side="patient")
        if e.value.get("alarm") == alarm.name and e.value.get("on") and e.t_ns >= begin
    ]
    details["condition_delay_s"] = (condition[0] - onset) / 1e9 if condition else None
    after = [
        (on, priority)
        for on, off, priority in spans
        if on >= begin and (off is None or off > onset)
    ]
    if not after:
        return ev.never(recording, onset, alarm.within_s, details), details
    on, priority = after[0]
    details["priority"] = priority
    if condition:
        details["signal_delay_s"] = (on - condition[0]) / 1e9
    # A device may notice a fault that grows a little before the taps show it beyond the limit.
    return (max(0.0, (on - onset) / 1e9) if priority == alarm.priority else ev.NEVER), details
