"""What the device says of its network: the displayed figures (MON-1), false alarms (MON-3)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.devices.profile import AlarmProfile
from bench.devices.side import CONTROL
from bench.measure import events as ev
from bench.measure.pairing import Flow, flow_of
from bench.measure.statistics import binomial_lower, binomial_upper
from bench.measure.warranted import EXPECTED_ALARMS
from bench.sessions.recording import Recording
from bench.units import ns, show_duration

READY = 0.9
"""Share of the display period after a change from which on what is shown may be compared."""

CHANGED = {"delay_s": 2.0, "loss": 2.0, "jitter_s": 2.0}
"""How many times its least value (or its smallest step) each figure must reach at the taps."""

LEAST_MINUTES = 5
"""Minutes inside the limits that a run must have to show that no alarm comes."""

NEAR = 0.8
"""Share of the delay limit that the median delay of a minute must reach to be near it."""

_MINUTE_NS = 60 * 10**9
_CONFIDENCE = 0.95


def mon_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The largest error of the displayed delay, loss and jitter, relative as the metric says.

    Compared once per quarter of the display period, from one period after each change on. Truth
    is what the taps saw of the heartbeats on the primary link: mean delay, share lost, mean
    absolute difference of the delays of consecutive arrivals (RFC 3393). It shows something only
    if all three changed at the taps.
    """
    period_ns = ns(_declared(recording, "display_period_s"))
    steps = {
        "delay_s": _declared(recording, "display_delay_step_s"),
        "loss": _declared(recording, "display_loss_step"),
        "jitter_s": _declared(recording, "display_jitter_step_s"),
    }
    shown = [e for e in recording.named("network-display", side="doctor") if e.origin == "signal"]
    if not shown:
        raise ev.Cannot("nothing was displayed")
    times = np.array([event.t_ns for event in shown], dtype=np.int64)
    whole = flow_of(recording, CONTROL, "to-doctor")
    flow = whole.select(whole.link == 0)
    truths: list[dict[str, float]] = []
    worst, details = 0.0, ev.Details()
    for change_ns, t_ns in _looks(recording, period_ns):
        place = int(np.searchsorted(times, t_ns, side="right")) - 1
        read_ns = int(times[place]) if place >= 0 else 0
        fresh = read_ns >= change_ns + READY * period_ns
        at_ns = read_ns if fresh else t_ns
        true = _truth(flow, max(at_ns - period_ns, change_ns), at_ns, change_ns)
        truths.append(true)
        display = shown[place].value if place >= 0 else {}
        for name, value in true.items():
            figure = display.get(name)
            wrong = math.inf if figure is None else abs(figure - value)
            error = wrong / max(value, steps[name])
            if error > worst:
                worst = error
                details = {"figure": name, "true": value, "shown": figure, "at_s": t_ns / 1e9}
    _really_changed(truths, steps)
    return worst, {**details, "compared": float(len(truths))}


def _declared(recording: Recording, name: str) -> float:
    value = recording.device.declares.get(name)
    if value is None:
        raise ev.Cannot(f"not declared: D:{name}")
    return value


def _looks(recording: Recording, period_ns: int) -> list[tuple[int, int]]:
    """When the display is looked at, each with the change before it."""
    schedule = recording.schedule
    changes = sorted({change.t_ns for change in schedule.changes if change.link == "primary"})
    return [
        (change, t_ns)
        for change, following in pairwise([*changes, schedule.end_ns])
        for t_ns in range(change + period_ns, following, period_ns // 4)
    ]


def _truth(flow: Flow, start_ns: int, end_ns: int, change_ns: int) -> dict[str, float]:
    """Delay, loss and jitter of what arrived from ``start_ns`` to ``end_ns``, sent after a change.

    Raises:
        Cannot: too little arrived.
    """
    inside = flow.arrived & (flow.received_ns > start_ns) & (flow.received_ns <= end_ns)
    inside &= flow.sent_ns >= change_ns
    places = np.flatnonzero(inside)
    if len(places) < 2:
        raise ev.Cannot("too few heartbeats arrived to tell what the network was like")
    sent = slice(places[0], places[-1] + 1)
    order = np.argsort(flow.received_ns[places], kind="stable")
    age_s = (flow.received_ns - flow.sent_ns)[places][order] / 1e9
    return {
        "delay_s": float(age_s.mean()),
        "loss": float(flow.lost[sent].mean()),
        "jitter_s": float(np.abs(np.diff(age_s)).mean()),
    }


def _really_changed(truths: list[dict[str, float]], steps: dict[str, float]) -> None:
    for name, times in CHANGED.items():
        values = [true[name] for true in truths]
        if not values or max(values) < times * max(min(values), steps[name]):
            raise ev.Cannot(f"the network's {name.removesuffix('_s')} hardly changed at the taps")


def mon_3(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The share of the minutes near but inside every limit in which a network alarm sounds.

    A share that lies beyond the declared one, but not surely (95 %), is no finding either way.
    """
    declared = _declared(recording, "false_alarm_rate")
    flow = ev.watched(recording)
    spans = _network_alarms(recording)
    alarmed = total = 0
    for window in recording.schedule.windows:
        if window.role != "within":
            continue
        for start in range(window.start_ns, window.end_ns - _MINUTE_NS + 1, _MINUTE_NS):
            end = start + _MINUTE_NS
            if _inside(recording, flow, start, end):
                total += 1
                alarmed += any(on < end and off >= start for on, off in spans)
    share = alarmed / total if total else 0.0
    if share > declared and binomial_lower(alarmed, total, _CONFIDENCE) <= declared:
        raise ev.Cannot(f"alarms in {alarmed} of {total} minutes do not tell what is usual")
    if share <= declared and total < LEAST_MINUTES:
        raise ev.Cannot(
            f"only {total} whole minutes near but inside every limit; {LEAST_MINUTES} are needed"
        )
    return share, {
        "minutes": float(total),
        "with_alarm": float(alarmed),
        "upper_bound_95": binomial_upper(alarmed, total, _CONFIDENCE),
    }


def _network_alarms(recording: Recording) -> list[tuple[int, int]]:
    """The signals of network alarms on both sides: on, off."""
    names = {name for expected in EXPECTED_ALARMS.values() for name in expected}
    spans: list[tuple[int, int]] = []
    since: dict[tuple[str, str], int] = {}
    for event in recording.named("alarm-signal"):
        key = (event.side, str(event.value.get("alarm")))
        if key[1] not in names:
            continue
        if event.value.get("on"):
            since.setdefault(key, event.t_ns)
        elif key in since:
            spans.append((since.pop(key), event.t_ns))
    return [*spans, *((on, recording.schedule.end_ns) for on in since.values())]


def _inside(recording: Recording, flow: Flow, start_ns: int, end_ns: int) -> bool:
    """Whether delay, loss and silence stayed inside the device's limits at the taps.

    Raises:
        Cannot: the delay was nowhere near its limit.
    """
    limit_s = ev.device_limit(recording, "command_delay_s")
    part = flow.sent_between(start_ns, end_ns)
    if not part.arrived.any():
        return False
    median_s = float(np.median(part.delay_s))
    if median_s < NEAR * limit_s:
        far = f"{show_duration(median_s)} against a limit of {show_duration(limit_s)}"
        raise ev.Cannot(f"the network was not near the device's limits: {far}")
    bucket_ns = ns(ev.device_limit(recording, "command_delay_window_s"))
    arrivals = np.sort(part.received_ns[part.arrived])
    silence_s = float(np.diff(arrivals).max()) / 1e9 if len(arrivals) > 1 else math.inf
    return (
        _least_delays(part, bucket_ns).max() <= ns(limit_s)
        and not _too_lossy(recording, part, bucket_ns)
        and silence_s <= ev.device_limit(recording, "command_silence_alarm_s")
    )


def _least_delays(part: Flow, bucket_ns: int) -> NDArray[np.int64]:
    """The least delay of each window, ns."""
    arrived = part.arrived
    received, age = part.received_ns[arrived], (part.received_ns - part.sent_ns)[arrived]
    order = np.argsort(received, kind="stable")
    starts = np.flatnonzero(np.diff(received[order] // bucket_ns, prepend=-1))
    return np.asarray(np.minimum.reduceat(age[order], starts), dtype=np.int64)


def _too_lossy(recording: Recording, part: Flow, bucket_ns: int) -> bool:
    """Whether any loss window held more than the device's limit."""
    limit = ev.device_limit(recording, "command_loss")
    least = ev.device_limit(recording, "command_loss_packets")
    buckets = max(1, round(ev.device_limit(recording, "command_loss_window_s") * 1e9 / bucket_ns))
    place = (part.sent_ns - part.sent_ns[0]) // bucket_ns
    sent = np.convolve(np.bincount(place), np.ones(buckets))
    lost = np.convolve(np.bincount(place, weights=part.lost), np.ones(buckets))
    return bool(((lost >= least) & (lost > limit * sent)).any())
