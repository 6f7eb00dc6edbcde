"""Reports of a monitor: ICU-1 and ICU-2, one trial each."""

from __future__ import annotations

from itertools import pairwise

from bench.devices.monitor.streams import live_of, sources
from bench.devices.profile import AlarmProfile, Stream
from bench.measure import events as ev
from bench.measure.pairing import flow_of
from bench.measure.preserving import Key, delivered, measurements
from bench.network.scenario import Window
from bench.sessions.recording import Event, Recording
from bench.units import ns

SET_PERIOD_S = 60.0
"""One set of measurements each minute (5G smart healthcare full-process white paper, 2020,
1.2.1)."""

FULL_RATE = 0.95
"""Of a stream's declared packets, so many must be sent for it to be served."""

_PLUGGING_NS = ns(0.5)
"""From a plugging-in on, until what a device sends is counted."""


def icu_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The time between two sets of one source that is farthest from a minute.

    Sets are what the station hands on; of a source that stops reporting, the time until the
    recording's end. ``inf``: an alarm of the patient that the station does not signal at once,
    within what is declared for it, or signals with another priority.
    """
    times: dict[str, list[int]] = {}
    taken = measurements(recording)
    for event in recording.named("record", side="doctor"):
        if event.value.get("kind") == "set":
            times.setdefault(str(event.value.get("source")), []).append(event.t_ns)
    measured = {source for source, _ in taken}
    end_ns = recording.schedule.end_ns
    first_ns = min(event.t_ns for event in taken.values())
    if (end_ns - first_ns) / 1e9 < 2 * SET_PERIOD_S:
        raise ev.Cannot("the recording is shorter than two minutes")
    intervals = [
        gap for source in measured for gap in intervals_of(times.get(source, []), first_ns, end_ns)
    ]
    value = max(intervals, key=lambda gap: abs(gap - SET_PERIOD_S))
    details: ev.Details = {
        "sources": float(len(measured)),
        "sets": float(sum(map(len, times.values()))),
        "shortest_s": min(intervals),
        "longest_s": max(intervals),
    }
    at_once = _alarm_at_once(recording, details)
    return (value if at_once else ev.NEVER), details


def intervals_of(times: list[int], first_ns: int, end_ns: int) -> list[float]:
    """Between sets in s; the open one at the end where it is longer than any of them."""
    if not times:
        return [(end_ns - first_ns) / 1e9]
    gaps = [(after - before) / 1e9 for before, after in pairwise(times)]
    rest = (end_ns - times[-1]) / 1e9
    return [*gaps, rest] if rest > max(gaps, default=0.0) else gaps


def _alarm_at_once(recording: Recording, details: ev.Details) -> bool:
    onset = next((e for e in recording.named("patient-state") if e.value.get("state")), None)
    if onset is None:
        raise ev.Cannot("the patient was never in a state that the device alarms on")
    alarm = recording.device.alarm(str(onset.value["state"]))
    if alarm is None:
        raise ev.Cannot(f"no alarm is declared for {onset.value['state']}")
    if recording.schedule.end_ns - onset.t_ns < ns(alarm.within_s):
        raise ev.Cannot("the recording ends before the deadline of the patient's alarm")
    signals = [
        event
        for event in recording.named("alarm-signal", side="doctor")
        if event.value.get("alarm") == alarm.name and event.value.get("on")
    ]
    if any(event.t_ns < onset.t_ns for event in signals):
        raise ev.Cannot(f"the alarm {alarm.name} was on before the patient's state changed")
    details["alarm"] = alarm.name
    details["alarm_s"] = (signals[0].t_ns - onset.t_ns) / 1e9 if signals else None
    if not signals or signals[0].value.get("priority") != alarm.priority:
        return False
    return signals[0].t_ns - onset.t_ns <= ns(alarm.within_s)


def icu_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The largest number of devices that are served together, as is every smaller number.

    A device is served where the station hands on each of its measurements once, unaltered and
    within the declared time, and where each of its live streams keeps its declared rate.
    """
    within_s = recording.device.declares.get("backfill_within_s")
    if within_s is None:
        raise ev.Cannot("not declared: D:backfill_within_s")
    taken = measurements(recording)
    steps = [w for w in recording.schedule.windows if w.kind == "connections"]
    if not steps:
        raise ev.Cannot("the scenario connects no devices")
    if recording.schedule.end_ns - steps[-1].end_ns < ns(within_s):
        raise ev.Cannot("the recording ends before the last measurements were due")
    served = 0
    for count, window in enumerate(steps, 1):
        connected = _connected(recording, window, taken, count)
        unserved = [name for name in connected if _wrong_with(recording, window, taken, name)]
        if unserved:
            worst = unserved[0]
            why = _wrong_with(recording, window, taken, worst)
            return float(served), {"with": float(count), "not_served": f"{worst}: {why}"}
        served = count
    return float(served), {"with": float(served), "not_served": None}


def _connected(
    recording: Recording, window: Window, taken: dict[Key, Event], count: int
) -> tuple[str, ...]:
    """The devices that measured in a step; as many as the step connects.

    Raises:
        Cannot: others.
    """
    start = window.start_ns + _PLUGGING_NS
    found = {key[0] for key, e in taken.items() if start <= e.t_ns < window.end_ns}
    if len(found) != count:
        raise ev.Cannot(f"{len(found)} devices measured where {count} were to be connected")
    return tuple(name for name in sources(recording.device) if name in found)


def _wrong_with(recording: Recording, window: Window, taken: dict[Key, Event], source: str) -> str:
    keys = [
        key
        for key, e in taken.items()
        if key[0] == source and window.start_ns <= e.t_ns < window.end_ns
    ]
    within_s = recording.device.declares["backfill_within_s"]
    wrong = delivered(recording, taken, keys, within_s).wrong
    if any(key in wrong for key in keys):
        return "records are missing, doubled or different"
    for stream in live_of(recording.device, source):
        if not _flows(recording, window, stream):
            return f"{stream.name} falls below its rate"
    return ""


def _flows(recording: Recording, window: Window, stream: Stream) -> bool:
    """The stream is sent at its rate.

    Raises:
        Cannot: the network lost some of it.
    """
    start, end = window.start_ns + _PLUGGING_NS, window.end_ns
    flow = flow_of(recording, stream.name).sent_between(start, end)
    if flow.lost.any():
        raise ev.Cannot(f"the network lost packets of {stream.name}")
    wanted = (end - start) / 1e9 * stream.packets_per_s
    return len(flow) >= FULL_RATE * (wanted - stream.packets)
