"""When the watched stream went beyond the device's limits: delay, loss, silence."""

from __future__ import annotations

import numpy as np

from bench.measure import events as ev
from bench.measure.pairing import Flow
from bench.network.scenario import Window
from bench.sessions.recording import Recording
from bench.units import ns

GUARD_NS = 10_000_000
"""A silence that ends this soon after its limit may pass between two looks."""

APART_NS = 1_000_000_000
"""Losses closer than this belong to one exceedance."""


def exceedances(recording: Recording, flow: Flow, window: Window) -> list[int]:
    """When the watched stream went beyond the device's limits in a step, once per exceedance."""
    inside = (flow.sent_ns >= window.start_ns - ev.EDGE_NS) & (flow.sent_ns < window.end_ns)
    part = flow.select(inside)
    return sorted([*_late(recording, part), *_lossy(recording, part), *_silent(recording, part)])


def _limits(recording: Recording) -> tuple[float, float, float]:
    """Delay (s), loss and silence (s) of the watched stream that count as kept.

    The device's own, on which it acts, but no wider than what the stream needs of a network.

    Raises:
        Cannot: the device declares one of them not.
    """
    watched = recording.device.stream(recording.device.watched)
    if watched.most_delay_s is None or watched.most_loss is None:
        raise ev.Cannot(f"not declared: most_delay and most_loss of {watched.name}")
    return (
        min(ev.device_limit(recording, "command_delay_s"), watched.most_delay_s),
        min(ev.device_limit(recording, "command_loss"), watched.most_loss),
        min(ev.device_limit(recording, "command_silence_alarm_s"), watched.most_delay_s),
    )


def _late(recording: Recording, flow: Flow) -> list[int]:
    """Every packet that arrives over two of the device's delay windows is older than its limit.

    However its windows lie, one of them holds nothing else.
    """
    limit_ns = ns(_limits(recording)[0])
    least_ns = 2 * ns(ev.device_limit(recording, "command_delay_window_s"))
    order = np.argsort(flow.received_ns[flow.arrived], kind="stable")
    received = flow.received_ns[flow.arrived][order]
    late = received - flow.sent_ns[flow.arrived][order] > limit_ns
    edges = np.flatnonzero(np.diff(np.concatenate(([False], late, [False])).astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [
        int(received[first])
        for first, end in runs
        if received[end - 1] - received[first] >= least_ns
    ]


def _lossy(recording: Recording, flow: Flow) -> list[int]:
    """More packets are lost within the device's loss window than its limit allows."""
    span_ns = ns(ev.device_limit(recording, "command_loss_window_s"))
    period_ns = ns(recording.device.stream(recording.device.watched).period_s)
    allowed = max(
        recording.device.limits.get("command_loss_packets", 1.0),
        _limits(recording)[1] * span_ns / period_ns,
    )
    lost = flow.sent_ns[flow.lost]
    return [
        first
        for first in _groups(lost)
        if np.count_nonzero((lost >= first) & (lost < first + span_ns)) > allowed
    ]


def _silent(recording: Recording, flow: Flow) -> list[int]:
    """Nothing arrives for longer than the limit on silence."""
    limit_ns = ns(_limits(recording)[2]) + GUARD_NS
    received = np.sort(flow.received_ns[flow.arrived])
    return [int(t) for t in received[:-1][np.diff(received) > limit_ns]]


def _groups(times_ns: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """The first of each group of times that lie close together."""
    if not len(times_ns):
        return []
    return [
        int(times_ns[0]),
        *(int(t) for t in times_ns[1:][np.diff(times_ns) > APART_NS]),
    ]
