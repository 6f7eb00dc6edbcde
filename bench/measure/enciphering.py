"""Encryption: DAT-1 and DAT-2, a trial each: what a listener could read, what sealing costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.devices.carriages import CARRIAGES
from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.securing import MARKED, SETTLED_NS, seen
from bench.sessions.recording import Recording


def dat_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Flows whose known content a listener could read, or that ran under another suite."""
    device = recording.device
    bare = [s.name for s in device.active_streams if not s.suite]
    if bare:
        raise ev.Cannot(f"no suite is declared for {', '.join(bare)}")
    reports = seen(recording, "overheard")
    if not reports:
        raise ev.Cannot("nobody listened")
    flows = {(f["stream"], f["way"]): f for f in reports[-1]["flows"]}
    for stream in device.active_streams:
        if not flows.get((stream.name, stream.direction), {}).get("marked"):
            raise ev.Cannot(f"no known content of {stream.name} passed while somebody listened")
    declared = {s.name: s.suite for s in device.active_streams}
    suites = set(reports[-1]["suites"])
    plain = sorted({name for (name, _), flow in flows.items() if flow["readable"]})
    if not suites and not plain:
        raise ev.Cannot("the handshake was not overheard, so that the suite is not known")
    other = sorted(name for name, _ in flows if suites and suites != {declared.get(name)})
    details: ev.Details = {
        "flows": float(len(flows)), "suites": ", ".join(sorted(suites)),
        "plain": ", ".join(plain), "other_suite": ", ".join(dict.fromkeys(other)),
    }  # fmt: skip
    wrong = [key for key, flow in flows.items() if flow["readable"] or key[0] in other]
    modelled = [
        s.name for s in device.active_streams
        if recording.bench != "virtual" and device.simulated
        and not CARRIAGES[s.carriage].enciphered
    ]  # fmt: skip
    if modelled and not wrong:
        raise ev.Cannot(f"sealed by a model, not enciphered: {', '.join(modelled)}")
    return float(len(wrong)), details


def dat_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The 99th percentile of the delay with encryption, less that without.

    From the test point, where the console makes a command, to its execution. A listener shows
    that commands were sealed in the one step and in clear in the other.
    """
    p99 = {step: _p99_s(recording, step) for step in ("sealed", "clear")}
    reports = [(e.t_ns, e.value) for e in recording.named("overheard")]
    readable = [_readable(value, recording.device.watched) for _, value in reports]
    if len(readable) != 2 or readable[0] or not readable[1]:
        raise ev.Cannot("no listener showed commands sealed in one step and clear in the other")
    details: ev.Details = {f"p99_{step}_s": value for step, value in p99.items()}
    return max(0.0, p99["sealed"] - p99["clear"]), details


def _readable(report: Mapping[str, Any], stream: str) -> int:
    return sum(f["readable"] for f in report["flows"] if f["stream"] == stream)


def _p99_s(recording: Recording, step: str) -> float:
    window = recording.schedule.window(step)
    begin = window.start_ns + SETTLED_NS
    made = {
        e.value["seq"]: e.t_ns
        for e in recording.named("test-point", side="doctor")
        if e.origin == "contact" and begin <= e.t_ns < window.end_ns
    }
    done = recording.packets.where(tap="actuator")
    delays = [
        t - made[seq]
        for t, seq in zip(done.column("t_ns").tolist(), done.column("seq").tolist(), strict=True)
        if seq in made
    ]
    if len(delays) < MARKED or len(delays) < len(made) // 2:
        raise ev.Cannot(f"only {len(delays)} of {len(made)} marked commands were executed: {step}")
    return float(np.quantile(np.array(delays), 0.99)) / 1e9
