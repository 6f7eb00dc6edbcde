"""The most unfavourable case: WC-1, every safety assertion on one recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.holding import fail_1, fail_3, loc_1
from bench.measure.takeover import loc_2
from bench.sessions.recording import Recording

REPEATED = 5
"""Copies and overtaken commands that must arrive while the drive moves, or nothing is shown."""

_Trial = Callable[[Recording, AlarmProfile | None], tuple[float, ev.Details]]

_ASSERTIONS: tuple[tuple[str, str, _Trial, str], ...] = (
    ("stale", "late", fail_1, "command_age_s"),
    ("safe-state", "blackout", fail_3, "safe_state_within_s"),
    ("takeover", "late-again", loc_2, "takeover_within_s"),
    ("local-stop", "stop", loc_1, "local_stop_within_s"),
)
"""Name, the step whose fault it is about, the trial, and what is declared for it."""


def wc_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The number of safety assertions that fail: each by its own trial and its declared limit.

    Commands that are executed twice or out of order are one more. One that the recording cannot
    show leaves the whole open.
    """
    details: ev.Details = {}
    failed = 0
    for name, step, trial, declared in _ASSERTIONS:
        limit_s = recording.device.declares.get(declared)
        if limit_s is None:
            raise ev.Cannot(f"not declared: D:{declared}")
        try:
            value, found = trial(focused(recording, step), None)
        except ev.Cannot as reason:
            raise ev.Cannot(f"{name}: {reason}") from reason
        details[name] = value
        if value > limit_s:
            failed += 1
            details[f"{name}_wrong"] = found.get("wrong", "later than declared")
    wrong = _repeated(recording)
    details["executed_twice_or_out_of_order"] = float(wrong)
    return float(failed + (wrong > 0)), details


def focused(recording: Recording, step: str) -> Recording:
    """The same recording, of which only one step is a fault.

    Raises:
        Cannot: the scenario has no such step.
    """
    windows = recording.schedule.windows
    if step not in {window.name for window in windows}:
        raise ev.Cannot(f"the scenario has no step {step}")
    others = tuple(w if w.name == step else replace(w, role="within") for w in windows)
    return replace(recording, schedule=replace(recording.schedule, windows=others))


def _repeated(recording: Recording) -> int:
    """Commands executed twice or out of order; enough must have been offered, on both links."""
    window = recording.schedule.window("together")
    code = recording.device.stream(recording.device.watched).code
    rows = recording.packets.where(tap="patient", direction=0, stream=code)
    here = rows.between(window.start_ns, window.end_ns)
    if len(set(here.column("link").tolist())) < 2:
        raise ev.Cannot("order: commands did not move to the standby link")
    seq, t_ns = rows.column("seq"), rows.column("t_ns")
    old = np.zeros(len(seq), dtype=bool)
    old[1:] = seq[1:] <= np.maximum.accumulate(seq)[:-1]
    offered = ev.while_moving(recording, t_ns[old])
    if offered < REPEATED:
        raise ev.Cannot(f"order: only {offered} repeated commands arrived while the drive moved")
    return int((np.diff(ev.executed(recording).column("seq")) <= 0).sum())
