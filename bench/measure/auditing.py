"""What the device records: MON-4, LOG-1, LOG-2, OPS-2 and OPS-3, one trial each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure import session_truth as truth
from bench.measure.alarming import mon_2
from bench.measure.device_log import (
    ANSWER_NS,
    NOT_ENTRIES,
    DeviceClock,
    Export,
    LogEntry,
    actions,
    clock_of,
    exports,
    last_export,
)
from bench.measure.pairing import MISSING, Flow
from bench.measure.reconcile import (
    REACH_NS,
    Account,
    Tolerance,
    condition_entry,
    reconcile,
    tolerance_of,
)
from bench.measure.stimulus import timer_lateness_s
from bench.sessions.recording import Event, Recording
from bench.units import ns, show_duration

WITNESS_SIDE = "patient"
"""The side on which network faults are judged: the one that the watched stream comes to."""

JUST_BEFORE_NS = ns(0.25)
"""Something must have been logged this shortly before the power was cut."""

_SHOWN = 5
"""Of a long list, so many are named in the details."""


# ---- MON-4 -----------------------------------------------------------------------------------


def mon_4(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The largest time error of the entries about the session's faults.

    The device's own time of each entry against when the fault began at the taps. A fault without
    an entry, or with a wrong figure, is ``inf``.
    """
    declared_s = recording.device.declares.get("log_time_error_s")
    if declared_s is None:
        raise ev.Cannot("not declared: D:log_time_error_s")
    clock = clock_of(recording, WITNESS_SIDE)
    export = last_export(recording, WITNESS_SIDE)
    details: ev.Details = {"clock_offset_s": clock.offset_s, "clock_drift": clock.drift}
    worst = 0.0
    for window, onset in truth.faults(recording):
        if export is not None and export.t_ns < onset + ns(declared_s):
            raise ev.Cannot(f"the log was read out before the deadline of {window.name}")
        entry = condition_entry(window, onset, export.entries if export else (), REACH_NS)
        if entry is None:
            details["wrong"] = f"no entry of {window.name}"
            return ev.NEVER, details
        error_s = abs(entry.clock_ns - onset) / 1e9
        details[f"{window.name}_s"] = error_s
        if error_s <= declared_s and not _figure_right(recording, entry, clock, details):
            return ev.NEVER, details
        worst = max(worst, error_s)
    return worst, details


def _figure_right(
    recording: Recording, entry: LogEntry, clock: DeviceClock, details: ev.Details
) -> bool:
    """Whether an entry's figure agrees with the taps at its time, as a displayed one must.

    Raises:
        Cannot: how well it must agree is not declared.
    """
    figure, name = entry.content.get("value"), entry.content["alarm"]
    true_figure = _FIGURES.get(name)
    if true_figure is None:
        return True
    error = recording.device.declares.get("display_error")
    if error is None:
        raise ev.Cannot("not declared: D:display_error")
    if not isinstance(figure, int | float) or not math.isfinite(figure):
        details["wrong"] = f"{name} was recorded without a figure"
        return False
    t_ns = clock.true_ns(entry.clock_ns)
    doubt_ns = clock.expanded_ns + ns(timer_lateness_s(recording))
    flow = ev.watched(recording)
    bounds = [true_figure(recording, flow, t_ns + by) for by in (-doubt_ns, 0, doubt_ns)]
    low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
    details[f"{name}_recorded"], details[f"{name}_true"] = float(figure), (low + high) / 2
    if low * (1 - error) <= figure <= high * (1 + error):
        return True
    details["wrong"] = f"{name} was recorded with a wrong figure"
    return False


Bounds = tuple[float, float]


def _received(flow: Flow, start_ns: int, end_ns: int) -> Flow:
    came = (flow.received_ns != MISSING) & (flow.received_ns > start_ns)
    return flow.select(came & (flow.received_ns <= end_ns))


def _true_delay(recording: Recording, flow: Flow, t_ns: int) -> Bounds:
    """The smallest age over the window in which the device watches it."""
    window_ns = ns(ev.device_limit(recording, "command_delay_window_s"))
    delay_s = _received(flow, t_ns - window_ns, t_ns).delay_s
    if not len(delay_s):
        raise ev.Cannot("nothing arrived when the delay was recorded")
    return float(delay_s.min()), float(delay_s.min())


def _true_loss(recording: Recording, flow: Flow, t_ns: int) -> Bounds:
    """The share missing over the window in which the device watches it, give or take a packet."""
    window_ns = ns(ev.device_limit(recording, "command_loss_window_s"))
    before = _received(flow, -1, t_ns - window_ns).seq
    inside = _received(flow, t_ns - window_ns, t_ns).seq
    if not len(inside):
        raise ev.Cannot("nothing arrived when the loss was recorded")
    lowest = int(before.max()) if len(before) else int(inside.min()) - 1
    sent = int(inside.max()) - lowest
    lost = max(0, sent - len(inside))
    return max(0, lost - 1) / max(1, sent), (lost + 1) / max(1, sent)


def _true_silence(recording: Recording, flow: Flow, t_ns: int) -> Bounds:
    """Time since the last packet."""
    came = flow.received_ns[(flow.received_ns != MISSING) & (flow.received_ns <= t_ns)]
    if not len(came):
        raise ev.Cannot("nothing had arrived when silence was recorded")
    silence_s = (t_ns - int(came.max())) / 1e9
    return silence_s, silence_s


_FIGURES: Mapping[str, Callable[[Recording, Flow, int], Bounds]] = {
    "network-delay": _true_delay,
    "network-loss": _true_loss,
    "network-interrupted": _true_silence,
}
"""What the figure of a recorded condition is, at the taps. Others (a lost link) have none."""


# ---- LOG-1 and OPS-3 -------------------------------------------------------------------------

ALWAYS = ("operator", "procedure", "alarm", "connection", "anomaly")


def log_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Number of the session's events that the log does not show, and of entries that are false.

    The session must hold every kind of event that the device can have.
    """
    account = _session(recording)
    return _count(account)


def _session(recording: Recording) -> Account:
    """Both sides' logs against what happened.

    Raises:
        Cannot: some kind of event did not happen, or the log cannot be compared.
    """
    account = Account()
    for side in truth.SIDES:
        export = last_export(recording, side)
        asked_ns = actions(recording, side, "export-log")[-1].t_ns
        tolerance = tolerance_of(recording, clock_of(recording, side))
        account.add(reconcile(recording, side, export, tolerance, asked_ns))
    needed = [*ALWAYS, *(["command"] if "motion" in recording.device.functions else [])]
    if truth.attacked_ns(recording) is not None:
        needed.append("attack")
    absent = [kind for kind in needed if not account.offered[kind]]
    if absent:
        raise ev.Cannot(f"the session held no {', no '.join(absent)}")
    return account


def _count(account: Account, *more: str) -> tuple[float, ev.Details]:
    wrong = [*account.missing, *account.false, *more]
    if account.unsure and not wrong:
        raise ev.Cannot(
            f"the time of {len(account.unsure)} entries is within the uncertainty of what is "
            f"allowed, or no time error is declared: {account.unsure[0]}"
        )
    details: ev.Details = {
        "events": float(account.offered.total()),
        "missing": "; ".join(account.missing[:_SHOWN]) or None,
        "false": "; ".join(account.false[:_SHOWN]) or None,
    }
    if more:
        details["export"] = "; ".join(more[:_SHOWN])
    return float(len(wrong)), details


def ops_3(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """As :func:`log_1`, after the operation; the export also has no gap and keeps the order."""
    faults: list[str] = []
    for side in truth.SIDES:
        ended = actions(recording, side, "procedure-end")
        asked = actions(recording, side, "export-log")
        if not ended:
            raise ev.Cannot(f"no operation ended at the {side}'s side")
        if not asked or asked[-1].t_ns < ended[-1].t_ns:
            raise ev.Cannot(f"the {side}'s log was not read out after the operation")
        export = last_export(recording, side)
        faults += _course(side, export, tolerance_of(recording, clock_of(recording, side)))
    return _count(_session(recording), *faults)


def _course(side: str, export: Export | None, tolerance: Tolerance) -> list[str]:
    """Entries that the export leaves out by its own numbers, or gives in a wrong order."""
    entries = export.entries if export is not None else ()
    missing = (entries[0].number - 1 if entries else 0) + sum(
        max(0, after.number - before.number - 1) for before, after in pairwise(entries)
    )
    found = [f"{side}: an entry is left out" for _ in range(missing)]
    for before, after in pairwise(entries):
        back_ns = before.clock_ns - after.clock_ns
        if after.number <= before.number or back_ns > tolerance.doubt_ns:
            found.append(f"{side}: entry {after.number} is out of order")
    return found


# ---- LOG-2 -----------------------------------------------------------------------------------


def log_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Entries that a power cut or a full medium cost, and edits that the log's check misses.

    What was made: the entries of the export before, and those that the device told on its live
    channel since. A full medium must be shown before entries may be refused.
    """
    wrong: list[str] = []
    open_: list[str] = []
    done: Counter[str] = Counter()
    for side in truth.SIDES:
        read = exports(recording, side)
        for name, examine in _TROUBLES.items():
            for event in actions(recording, side, name):
                done[name] += 1
                try:
                    wrong += examine(recording, side, event, *_around(recording, side, read, event))
                except ev.Cannot as reason:
                    open_.append(str(reason))
    if open_ and not wrong:
        raise ev.Cannot("; ".join(dict.fromkeys(open_)))
    absent = [name for name in _TROUBLES if not done[name]]
    if absent and not wrong:
        raise ev.Cannot(f"the session held no {', no '.join(absent)}")
    details: ev.Details = {"wrong": "; ".join(wrong[:_SHOWN]) or None}
    details |= {name: float(count) for name, count in done.items()}
    return float(len(wrong)), details


def _around(
    recording: Recording, side: str, read: Sequence[Export], event: Event
) -> tuple[Export, Export]:
    """The exports before and after a trouble, with no other trouble in between.

    A log that is asked for and not given out any more is empty.

    Raises:
        Cannot: it was not read out so.
    """
    others = [
        e.t_ns for name in (*_TROUBLES, "restore-log") for e in actions(recording, side, name)
    ]
    start_ns = max((t for t in others if t < event.t_ns), default=-1)
    end_ns = min((t for t in others if t > event.t_ns), default=recording.schedule.end_ns)
    before = [export for export in read if start_ns < export.t_ns < event.t_ns]
    after = [export for export in read if event.t_ns < export.t_ns <= end_ns]
    asked = [e.t_ns for e in actions(recording, side, "export-log") if e.t_ns > event.t_ns]
    if before and asked and not after and end_ns - asked[0] >= ANSWER_NS:
        after = [Export(end_ns, (), "", False)]
    if not before or not after:
        raise ev.Cannot(f"the log was not read out before and after {event.value['name']}")
    return before[-1], after[0]


def _told(recording: Recording, side: str, start_ns: int, end_ns: int) -> list[Event]:
    """The entries that the device told on its live channel."""
    return [
        event
        for event in recording.events
        if event.side == side
        and event.origin == "log"
        and start_ns < event.t_ns <= end_ns
        and event.name not in NOT_ENTRIES
    ]


def _made(
    recording: Recording, side: str, before: Export, start_ns: int, end_ns: int
) -> list[Event]:
    """Of those the ones that are stored at all, as the export before shows."""
    stored = {entry.name for entry in before.entries}
    return [event for event in _told(recording, side, start_ns, end_ns) if event.name in stored]


def _lost(
    recording: Recording, side: str, until_ns: int, before: Export, after: Export
) -> list[str]:
    """Entries made before a trouble that are missing or damaged after it."""
    kept = {entry.number: entry for entry in after.entries}
    lost = [
        f"{side}: entry {entry.number} is lost or damaged"
        for entry in before.entries
        if kept.get(entry.number) != entry
    ]
    known = {entry.number for entry in before.entries}
    newer = Counter(
        truth.key_of("", entry.name, entry.content)
        for entry in after.entries
        if entry.number not in known
    )
    for event in _made(recording, side, before, before.t_ns, until_ns):
        key = truth.key_of("", event.name, event.value)
        newer[key] -= 1
        if newer[key] < 0:
            lost.append(f"{side}: {event.name} of {show_duration(event.t_ns / 1e9)} is lost")
    return lost


def _power_cut(
    recording: Recording, side: str, cut: Event, before: Export, after: Export
) -> list[str]:
    since_ns = max(before.t_ns, cut.t_ns - JUST_BEFORE_NS)
    made = _made(recording, side, before, since_ns, cut.t_ns - 1)
    if not made:
        raise ev.Cannot("nothing was logged just before the power was cut")
    begun = (event for name in ("power-on", "power") for event in recording.named(name, side=side))
    if not any(cut.t_ns <= event.t_ns <= after.t_ns for event in begun):
        raise ev.Cannot("nothing shows that the power was cut")
    return _lost(recording, side, cut.t_ns - 1, before, after)


def _disk_full(
    recording: Recording, side: str, full: Event, before: Export, after: Export
) -> list[str]:
    lost = _lost(recording, side, full.t_ns, before, after)
    refused = _lost(recording, side, after.t_ns, before, after)[len(lost) :]
    spoken = any(
        event.value["alarm"] == "log-full" and event.value["on"]
        for event in recording.named("alarm-signal", side=side)
        if full.t_ns < event.t_ns <= after.t_ns
    )
    shown = spoken or after.full or any(entry.name == "log-full" for entry in after.entries)
    if not _made(recording, side, before, full.t_ns, after.t_ns):
        raise ev.Cannot("nothing was to be logged while the medium was full")
    if not refused and not shown and not lost:
        raise ev.Cannot("nothing shows that the medium was full")
    return lost if shown else [*lost, *(f"{text} without a sign" for text in refused)]


def _edited(
    recording: Recording, side: str, edit: Event, before: Export, after: Export
) -> list[str]:
    if before.entries == after.entries[: len(before.entries)]:
        raise ev.Cannot("the edit changed nothing in the log that was read out")
    if after.check and not before.check:
        return []
    return [f"{side}: {edit.value['name']} is not evident"]


_TROUBLES: Mapping[str, Callable[[Recording, str, Event, Export, Export], Sequence[str]]] = {
    "power-cut": _power_cut,
    "disk-full": _disk_full,
    "edit-log": _edited,
}


# ---- OPS-2 -----------------------------------------------------------------------------------


def ops_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """As MON-2, for a fault that comes while an operation is running.

    It shows something only if the operation had begun, with the device at work, and went on.
    """
    side = WITNESS_SIDE
    onset = ev.onset(recording, ev.faulty_window(recording))
    started = [e.t_ns for e in actions(recording, side, "procedure-start") if e.t_ns < onset]
    ended = [e.t_ns for e in actions(recording, side, "procedure-end") if e.t_ns > onset]
    if not started or not ended:
        raise ev.Cannot("no operation was running when the fault came")
    if "motion" in recording.device.functions:
        ev.moving_at(recording, onset)
    value, details = mon_2(recording, alarm)
    return value, {"into_operation_s": (onset - started[-1]) / 1e9, **details}
