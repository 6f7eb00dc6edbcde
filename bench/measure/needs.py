"""What a device needs of a network, stream by stream, and whether it got it for a while.

The figures are those that the profile states per stream (``most_delay``, ``most_loss``), and for
image sets the rate at which they get through (D:image_rate). Whether a document asks for more is
the judge's affair: measuring knows no requirement. This is demonstrated, as behaviours are: the
figure of the packets of one trial, and no probability beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.devices.profile import DeviceProfile, Stream
from bench.devices.side import CONTROL
from bench.measure import events as ev
from bench.measure.kpi import flow_problems, measure_flow
from bench.measure.pairing import by_sequence, flow_of
from bench.measure.preserving import delivered, measurements
from bench.network.library.places import ANYBODY, USE_S, Visit
from bench.sessions.recording import Recording
from bench.units import ns, show_duration

LEAST_PACKETS = 100
"""Fewer tell nothing of a 99th percentile; of a ratio one packet must weigh less than its limit."""

LEAST_RATE = 0.5
"""A stream that sends less than this share of its packets has fallen silent, not kept a limit."""

IMAGE_KIND = "dicom"
"""Streams of this kind carry image sets: whole and in time, whatever becomes of one packet."""

RECORD_KIND = "records"
"""Streams of this kind carry records that are stored and forwarded: the same holds for them."""

ON_DEMAND = "on-demand"
"""Streams of this kind send only when something is to be sent: silent, they break nothing."""

_EXTRA = 1.05
"""What a stream sends beside what it takes: a packet or two are on their way at either end."""


@dataclass(slots=True)
class Needs:
    """``broken``: what was certainly not met. ``unclear``: what the recording cannot show.

    ``p99_s``: per stream the 99th percentile of the delay.
    """

    broken: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    p99_s: dict[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """For the details of a verdict."""
        if self.broken:
            return "broken: " + "; ".join(self.broken)
        return "unclear: " + "; ".join(self.unclear) if self.unclear else "kept"


def needs_between(recording: Recording, start_ns: int, end_ns: int) -> Needs:
    """Whether every stream that runs had its limits kept from ``start_ns`` to ``end_ns``."""
    found = Needs()
    for stream in recording.device.active_streams:
        if IMAGE_KIND in stream.kinds:
            found.broken += late_images(recording, start_ns, end_ns, found.unclear)
        elif RECORD_KIND in stream.kinds:
            source = stream.name.removesuffix(f"-{RECORD_KIND}")
            found.broken += late_records(recording, source, (start_ns, end_ns), found.unclear)
        elif stream.most_delay_s is None or stream.most_loss is None:
            found.unclear.append(f"not declared: most_delay and most_loss of {stream.name}")
        else:
            _stream(recording, stream, (start_ns, end_ns), found)
    return found


def _stream(recording: Recording, stream: Stream, span: tuple[int, int], found: Needs) -> None:
    whole = flow_of(recording, stream.name)
    found.unclear += flow_problems(recording, whole, stream.name)
    part = by_sequence(whole).sent_between(*span)
    seconds = (span[1] - span[0]) / 1e9
    if ON_DEMAND in stream.kinds and not len(part):
        return
    if len(part) < LEAST_RATE * stream.packets_per_s * seconds:
        sent = f"{len(part)} of {stream.packets_per_s * seconds:.0f} packets"
        found.broken.append(f"{stream.name} fell silent: {sent} sent")
        return
    health = recording.health
    clock_s = health.clock_step_s + health.lateness_s.get("p99", 0.0)
    for metric, limit, margin, least in (
        ("delay-p99", stream.most_delay_s, clock_s, LEAST_PACKETS),
        ("loss", stream.most_loss, 0.0, 1 / stream.most_loss if stream.most_loss else math.inf),
    ):
        assert limit is not None
        figure = measure_flow([part], seconds, metric, confidence=0.5, budget=(), terms=())
        if figure.value is None or figure.n < least:
            found.unclear.append(f"{figure.n} packets tell no {metric} of {stream.name}")
            continue
        if metric == "delay-p99":
            found.p99_s[stream.name] = figure.value
        if figure.value - margin > limit:
            found.broken.append(f"{metric} of {stream.name} is {figure.value:.3g}, not {limit:.3g}")
        elif figure.value + margin > limit:
            found.unclear.append(f"{metric} of {stream.name} is at its limit")


def late_images(
    recording: Recording,
    start_ns: int,
    end_ns: int,
    unclear: list[str],
    down: Sequence[tuple[int, int]] = (),
) -> list[str]:
    """Image sets made from ``start_ns`` to ``end_ns`` that were not shown whole and in time.

    Args:
        unclear: takes what the recording cannot show.
        down: spans in which nothing could pass, in order: a set that is on its way may wait then.
    """
    made = recording.named("image-acquired", side="patient")
    made = tuple(e for e in made if start_ns <= e.t_ns < end_ns)
    rate_bps = recording.device.declares.get("image_rate_bps")
    if rate_bps is None or not made:
        unclear.append("no image set was made" if rate_bps else "not declared: D:image_rate_bps")
        return []
    late = []
    for event in made:
        number, sha256 = event.value["set"], event.value["sha256"]
        due_ns = event.t_ns + ns(event.value["bytes"] * 8 / rate_bps)
        for begin, until in down:
            due_ns += max(0, until - max(begin, event.t_ns)) if begin < due_ns else 0
        shown = [e for e in recording.named("image", side="doctor") if e.value["set"] == number]
        if any(e.value["sha256"] != sha256 for e in shown):
            late.append(f"image set {number} was shown altered")
        elif not any(e.t_ns <= due_ns for e in shown):
            limit = show_duration((due_ns - event.t_ns) / 1e9)
            if due_ns > recording.schedule.end_ns:
                unclear.append(f"the recording ends before image set {number} was due")
            elif _at_the_hosts_pace(recording):
                unclear.append(
                    f"image set {number} was not shown whole within {limit}, but how fast DICOM "
                    "gets through here is the host's affair (the virtual bench shows the device's)"
                )
            else:
                late.append(f"image set {number} was not shown whole within {limit}")
    return late


def late_records(
    recording: Recording, source: str, span: tuple[int, int], unclear: list[str]
) -> list[str]:
    """Measurements of a source taken in a span that were not handed on once, unaltered, in time.

    Args:
        unclear: takes what the recording cannot show.
    """
    within_s = recording.device.declares.get("backfill_within_s")
    taken = measurements(recording)
    keys = [k for k, e in taken.items() if k[0] == source and span[0] <= e.t_ns < span[1]]
    if within_s is None or not keys:
        unclear.append(
            f"no measurement of {source} was taken"
            if within_s
            else "not declared: D:backfill_within_s"
        )
        return []
    if max(taken[key].t_ns for key in keys) + ns(within_s) > recording.schedule.end_ns:
        unclear.append(f"the recording ends before the records of {source} were due")
        return []
    wrong = delivered(recording, taken, keys, within_s).of(source)
    return [f"{wrong} records of {source} were not handed on once, unaltered, in time"] * (
        wrong > 0
    )


def seconds_needed(device: DeviceProfile) -> float:
    """How long its slowest stream takes to show its stated limits at a place, in s."""
    needed = [USE_S]
    for stream in device.active_streams:
        stated = stream.most_delay_s is not None and stream.most_loss
        if stated and ON_DEMAND not in stream.kinds:
            packets = max(LEAST_PACKETS, 1 / (stream.most_loss or 1.0))
            needed.append(_EXTRA * packets / stream.packets_per_s)
    return max(needed)


_RUN_S, _FEW = 300.0, 3
"""Of a run inside the limits; so few lost packets in a window come about by chance in it."""


def visit_of(device: DeviceProfile) -> Visit:
    """What a device makes of scenarios that suit themselves to it."""
    declares, limits = device.declares, device.limits
    return Visit(
        use_s=seconds_needed(device),
        rest_s=declares.get("backfill_within_s", 0.0) + 1.0,
        methods=tuple(name for name in device.functions if name.startswith("access-")),
        delay_s=declares.get("site_delay_s", math.inf),
        loss=declares.get("site_loss", 1.0),
        rate_bps=declares.get("site_rate_bps", 0.0),
        radio=device.radio,
        environment=device.coexistence.environment if device.coexistence else (),
        recovery_s=device.coexistence.recovery_s if device.coexistence else 1.0,
        delay_limit_s=limits.get("command_delay_s", ANYBODY.delay_limit_s),
        pause_s=_pause_s(device),
        stray_loss=_stray_loss(device),
    )


def _pause_s(device: DeviceProfile) -> float:
    """Most of the silence that a device bears, where that leaves time for its next heartbeat."""
    limit_s = device.limits.get("command_silence_alarm_s", 0.0)
    beat_s = max((s.period_s for s in device.streams if s.name == CONTROL), default=math.inf)
    pause_s = 0.625 * limit_s
    return pause_s if limit_s - pause_s > beat_s else ANYBODY.pause_s


def _stray_loss(device: DeviceProfile) -> float:
    """A ratio of loss that stays below the device's limit in every window of a run, but by chance.

    Where ``k`` lost packets of a window of ``n`` are beyond it, independent losses of ratio ``p``
    are so in a run of ``w`` windows at a chance of about ``w k (p n)**k / k!``; that is one in 500.
    """
    asked = ("command_loss", "command_loss_window_s", "command_loss_packets")
    if any(name not in device.limits for name in asked) or not device.watched:
        return ANYBODY.stray_loss
    limit, window_s, least = (device.limits[name] for name in asked)
    n = window_s * device.stream(device.watched).packets_per_s
    k = max(int(least), math.floor(limit * n) + 1)
    if k > _FEW:
        return ANYBODY.stray_loss
    expected: float = (math.factorial(k) / (500 * k * _RUN_S / window_s)) ** (1 / k)
    return min(ANYBODY.stray_loss, expected / n)


def _at_the_hosts_pace(recording: Recording) -> bool:
    """Whether image sets travel over a real DICOM stack that the bench brought: slow on its own."""
    device = recording.device
    images = [stream for stream in device.active_streams if IMAGE_KIND in stream.kinds]
    real = recording.bench != "virtual" and device.simulated
    return real and any(stream.carriage == "dicom" for stream in images)


def settled(found: dict[str, Needs]) -> None:
    """Insist that each place was decided, or that one certainly failed.

    Raises:
        Cannot: nothing failed for certain, and something is unclear.
    """
    if any(needs.broken for needs in found.values()):
        return
    for place, needs in found.items():
        if needs.unclear:
            raise ev.Cannot(f"{place}: {'; '.join(needs.unclear)}")
