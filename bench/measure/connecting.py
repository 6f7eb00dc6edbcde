"""Connections: CON-1, one trial: how many clients a device serves, and what it does beyond."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.metrics import longest_gap_s
from bench.measure.pairing import Flow, by_sequence
from bench.measure.securing import SETTLED_NS, attempts_of, logged
from bench.measure.stimulus import timer_lateness_s
from bench.sessions.recording import Recording
from bench.units import ns


def con_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The largest number of connections, the operator's included, at which all keep their limits.

    One too many that is served, that is not refused with a log entry, or that disturbs the
    others makes it 0. What only the bench's own lateness may have disturbed shows nothing.
    """
    value, details = _connections(recording, 0.0)
    late_s = max(timer_lateness_s(recording), recording.health.lateness_s.get("max", 0.0))
    if late_s and value < _connections(recording, late_s)[0]:
        raise ev.Cannot(f"the bench itself was up to {late_s * 1e3:.1f} ms late")
    return value, details


def _connections(recording: Recording, late_s: float) -> tuple[float, ev.Details]:
    """As :func:`con_1`, every limit wider by ``late_s``."""
    declared = recording.device.declares.get("connections")
    if declared is None:
        raise ev.Cannot("not declared: D:connections")
    attempts = sorted(attempts_of(recording, "connect"), key=lambda a: a["began_s"])
    if len(attempts) + 1 <= declared:
        raise ev.Cannot(f"only {len(attempts) + 1} connections were tried, {declared:g} declared")
    starts = [ns(a["began_s"]) for a in attempts]
    end_ns = min(recording.schedule.end_ns, ev.faulty_window(recording).end_ns)
    flow = by_sequence(ev.watched(recording))
    ev.moving_at(recording, starts[0])
    ev.offered(flow, starts[0], end_ns)
    beyond = attempts[int(declared) - 1 :]
    details: ev.Details = {"tried": float(len(attempts) + 1), "refused": float(len(beyond))}
    served = 0
    for number, (begin, end) in enumerate(pairwise([starts[0] - SETTLED_NS, *starts, end_ns])):
        held = all(_served(recording, a, end_ns, late_s) for a in attempts[:number])
        if number >= declared or not held or not _kept(recording, flow, begin, end, late_s):
            break
        served = number + 1
    details["served"] = float(served)
    wrong = [a["peer"] for a in beyond if a["answer"] == "welcome" or a["received"]]
    silent = [a["peer"] for a in beyond if not logged(recording, a["peer"])]
    if wrong or silent or not _kept(recording, flow, starts[0], end_ns, late_s):
        details["wrong"] = (
            f"served beyond the declared number: {len(wrong)}, refused without a log entry: "
            f"{len(silent)}, or the others were disturbed"
        )
        return 0.0, details
    return float(served), details


def _served(recording: Recording, attempt: Mapping[str, Any], end_ns: int, late_s: float) -> bool:
    """Whether a further client got the device's state, whole, in time, to the end."""
    limits = recording.device.limits
    period_s = recording.device.stream("control").period_s
    stayed_s = end_ns / 1e9 - attempt["began_s"]
    return bool(
        attempt["answer"] == "welcome"
        and attempt["received"] >= 0.5 * stayed_s / period_s
        and not attempt["lost"]
        and attempt["longest_gap_s"] <= limits["link_silence_s"] + late_s
        and attempt["delay_max_s"] <= limits["command_delay_s"] + late_s
    )


def _kept(recording: Recording, flow: Flow, begin_ns: int, end_ns: int, late_s: float) -> bool:
    """Whether the operator's commands kept their limits, and the drive went on.

    A drive may stop for commands that the bench made as late as that.
    """
    limits = recording.device.limits
    part = flow.sent_between(begin_ns, end_ns)
    stopped = ev.first(ev.contact(recording, "motion"), 0, begin_ns, end_ns) is not None
    stopped = stopped and late_s < limits["command_delay_s"]
    late = len(part.delay_s) == 0 or part.delay_s.max() > limits["command_delay_s"] + late_s
    gap_s = longest_gap_s(part.received_ns[part.arrived], begin_ns, end_ns)
    silent = gap_s > limits["link_silence_s"] + late_s
    return not (stopped or late or silent or part.lost.any())
