"""Carrying on: SW-1 and REC-1, one trial each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.devices.carriages import CARRIAGES, TCP
from bench.devices.profile import AlarmProfile, Stream
from bench.measure import events as ev
from bench.measure.holding import command_arrivals
from bench.measure.metrics import longest_gap_s
from bench.measure.needs import IMAGE_KIND, ON_DEMAND
from bench.measure.pairing import by_sequence, flow_of
from bench.measure.reordering import reordering
from bench.network.impairment import DIRECTIONS
from bench.network.scenario import Window
from bench.sessions.packets import PacketTable
from bench.sessions.recording import Recording
from bench.units import ns

_TAIL_NS = ns(0.05)
"""The last moment of a recording: a gap that begins there has not ended by chance."""

OFTEN_S = 0.1
"""A stream of this period or a shorter one shows a gap."""

_NOTICED_NS = ns(0.3)
"""Within it a device notices that a link is bad: its streams give way no later."""

_ENCODER_NS = ns(0.05)
"""How far the encoder's reading may lie from the edge of the motion contact."""


def sw_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The longest gap between commands at the patient's interface from the fault on.

    A command that is executed twice or out of order makes it ``inf``; that shows only where some
    were executed after the gap. A device that executes nothing: :func:`_longest_silence`. What
    became of the packets is in the details: :func:`_packet_counts`.
    """
    if "motion" not in recording.device.functions:
        return _longest_silence(recording)
    window = ev.faulty_window(recording)
    onset = ev.onset(recording, window)
    ev.moving_at(recording, onset)
    arrivals = command_arrivals(recording)
    before = arrivals[arrivals < onset]
    if not len(before) or onset - before[-1] > ns(0.1):
        raise ev.Cannot("no commands arrived before the fault")
    end = recording.schedule.end_ns - _TAIL_NS
    gap = longest_gap_s(arrivals, int(before[-1]), end)
    executed = ev.executed(recording)
    numbers = executed.column("seq").astype(np.int64)
    wrong = int((np.diff(numbers) <= 0).sum())
    _standby_works(recording, onset, end)
    short = gap <= recording.device.declares.get("switchover_gap_s", 0.0)
    if short and not wrong and not (executed.column("t_ns") > onset + ns(gap)).any():
        raise ev.Cannot("nothing was executed after the gap")
    _, firsts = np.unique(numbers, return_index=True)
    details: ev.Details = {
        "gap_s": gap,
        "executed_twice_or_out_of_order": float(wrong),
        "executed_twice": float(len(numbers) - len(firsts)),
        "executed_out_of_order": float(_reordered(numbers[np.sort(firsts)])),
    }
    watched = recording.device.stream(recording.device.watched)
    details |= _packet_counts(recording, window, [(watched, 0)])
    return (ev.NEVER if wrong else gap), details


def _longest_silence(recording: Recording) -> tuple[float, ev.Details]:
    """The longest gap in a stream, of a device without commands.

    It is looked for in the stream that the device watches, at the patient's interface, and in
    those that it sends often and unasked, at the doctor's. Of one that gives way to others, as
    declared, only what comes before counts.
    """
    device = recording.device
    window = ev.faulty_window(recording)
    onset = ev.onset(recording, window)
    end = recording.schedule.end_ns - _TAIL_NS
    often = [stream for stream in device.active_streams if _often(stream)]
    looked_at = [(device.stream(device.watched), 0), *((stream, 1) for stream in often)]
    gaps: dict[str, float] = {}
    gave_way: list[str] = []
    for stream, way in looked_at:
        tap = "doctor" if way else "patient"
        rows = recording.packets.where(tap=tap, direction=way, stream=stream.code)
        arrivals = rows.column("t_ns")
        before = arrivals[arrivals < onset]
        if not len(before) or onset - before[-1] > ns(2 * OFTEN_S):
            raise ev.Cannot(f"nothing of {stream.name} arrived before the fault")
        until = _gave_way_ns(recording, stream, window.start_ns, end) if way else None
        gave_way += [stream.name] if until is not None else []
        gaps[stream.name] = longest_gap_s(
            arrivals, int(before[-1]), end if until is None else until
        )
    _standby_works(recording, onset, end)
    worst = max(gaps, key=lambda name: gaps[name])
    details: ev.Details = {"gap_s": gaps[worst], "stream": worst, "streams": float(len(gaps))}
    if gave_way:
        details["gave_way"] = ", ".join(gave_way)
    return gaps[worst], details | _packet_counts(recording, window, looked_at)


def _packet_counts(
    recording: Recording, window: Window, looked_at: Iterable[tuple[Stream, int]]
) -> ev.Details:
    """Packets lost, duplicated and reordered from the fault on: of each stream, and together.

    By the packets' own numbers, whichever link each took: lost where no copy arrived (RFC 7680),
    duplicated by each arrival beyond the first (RFC 5560), reordered where one that was sent later
    arrived before (RFC 4737). What may still be on its way when the recording ends is not lost. On
    each connection of TCP the numbers are its own, and order is told link by link.

    Args:
        window: the step with the fault.
        looked_at: each stream with the index of its direction.
    """
    start, end = window.start_ns - ev.EDGE_NS, recording.schedule.end_ns + 1
    since = replace(recording, packets=recording.packets.between(start, end))
    totals = {"packets_lost": 0.0, "packets_duplicated": 0.0, "packets_reordered": 0.0}
    each: ev.Details = {}
    for stream, way in looked_at:
        flow = flow_of(since, stream.name, DIRECTIONS[way])
        once = by_sequence(flow)
        arrivals = np.argsort(once.received_ns[once.arrived], kind="stable")
        over_tcp = recording.bench != "virtual" and CARRIAGES[stream.carriage].protocol == TCP
        counts = {
            "lost": int(once.lost.sum()),
            "duplicated": flow.duplicates + int(flow.arrived.sum() - once.arrived.sum()),
            "reordered": flow.reordered if over_tcp else _reordered(arrivals),
        }
        for name, count in counts.items():
            each[f"{stream.name}_{name}"] = float(count)
            totals[f"packets_{name}"] += count
    return {**totals, **each}


def _reordered(order: NDArray[np.int64]) -> int:
    """How many places in order of sending came after a later one; first arrival first."""
    return reordering(order, np.zeros(len(order), dtype=np.int64)).packets


def _often(stream: Stream) -> bool:
    """Sent by the patient's side so often that a gap shows, and whether asked for or not."""
    unasked = not {ON_DEMAND, IMAGE_KIND} & {*stream.kinds}
    return stream.source == "patient" and stream.period_s <= OFTEN_S and unasked


def _gave_way_ns(recording: Recording, stream: Stream, start_ns: int, end_ns: int) -> int | None:
    """When a stream stopped for the sake of those before it in the declared order; else None.

    Nothing that comes after it in the order goes on, and the first in the order shows that the
    link was bad and not dead: some of its packets were lost there, and later ones arrived.
    """
    device = recording.device
    ranked = [s for s in device.active_streams if s.source == stream.source and s.served.priority]
    first = min(ranked, key=lambda s: s.served.priority, default=stream)
    if "priorities" not in device.functions or stream not in ranked or stream is first:
        return None
    sent = recording.packets.where(tap="patient", direction=1)
    own = sent.where(stream=stream.code).between(start_ns, end_ns)
    times = np.append(own.column("t_ns"), end_ns)
    pauses = np.flatnonzero(np.diff(times) > ns(2 * OFTEN_S))
    if not len(pauses):
        return None
    stop, again = int(times[pauses[0]]), int(times[pauses[0] + 1])
    after = [s.code for s in ranked if s.served.priority > stream.served.priority]
    meanwhile = sent.between(stop + ns(2 * OFTEN_S), again)
    if np.isin(meanwhile.column("stream"), after).any():
        return None
    link = int(own.column("link")[pauses[0]])
    offered = sent.where(stream=first.code, link=link).between(start_ns, stop + _NOTICED_NS)
    got = recording.packets.where(tap="doctor", direction=1, link=link, stream=first.code)
    arrived = np.isin(offered.column("seq"), got.column("seq"))
    offered_ns = offered.column("t_ns")
    lost_ns = offered_ns[~arrived]
    later = (offered_ns > lost_ns.min(initial=end_ns)) & (offered_ns > stop - _NOTICED_NS)
    return stop if bool((arrived & later).any()) else None


def _standby_works(recording: Recording, start_ns: int, end_ns: int) -> None:
    """The other links must have carried what was sent on them, whatever stream it was."""
    sent: PacketTable = recording.packets.where(tap="doctor", direction=0).between(start_ns, end_ns)
    got = recording.packets.where(tap="patient", direction=0).between(start_ns, end_ns)
    others = np.unique(sent.column("link")[sent.column("link") > 0])
    if len(others) and not np.isin(others, got.column("link")).any():
        raise ev.Cannot("the standby link carried nothing of what was sent on it")


def rec_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the network's return to motion: reconnected, re-armed, and no jump.

    The clock starts when the schedule gives the links back, and stops with the motion contact:
    the device's own word for "connected" is not needed, and the operator's re-arm is part of the
    time, as the metric says. When commands arrive again is in the details. ``inf``: no motion,
    motion while the links were down, motion without a re-arm since standstill (at any later
    start), commands executed at standstill, or a jump beyond the declared one between the
    positions at standstill and start.
    """
    window = ev.faulty_window(recording)
    onset, back, end_ns = ev.onset(recording, window), window.end_ns, recording.schedule.end_ns
    ev.moving_at(recording, onset)
    motion = ev.contact(recording, "motion")
    stop = ev.first(motion, 0, onset, back)
    if stop is None:
        raise ev.Cannot("the drive did not stop during the interruption")
    arrivals = command_arrivals(recording)
    again = arrivals[arrivals >= back]
    details: ev.Details = {"commands_back_s": (int(again[0]) - back) / 1e9 if len(again) else None}
    _links_came_back(recording, back)
    first_start = ev.first_after(motion, 1, stop, end_ns)
    if first_start is None:
        deadline_s = recording.device.declares.get("reconnect_within_s", 0.0)
        return ev.never(recording, back, deadline_s, details), details
    largest = 0.0
    start: int | None = first_start
    while stop is not None and start is not None:
        jump = _jump_m(recording, stop, start)
        largest = max(largest, jump)
        if start < back or not ev.rearmed(recording, stop, start):
            down = start < back
            details["wrong"] = "moved while the links were down" if down else "moved unarmed"
            return ev.NEVER, details
        if len(recording.packets.where(tap="actuator").between(stop + 1, start)):
            details["wrong"] = "executed commands at standstill"
            return ev.NEVER, details
        stop = ev.first_after(motion, 0, start, end_ns)
        start = None if stop is None else ev.first_after(motion, 1, stop, end_ns)
    details["position_jump_m"] = largest
    if largest > recording.device.declares.get("position_jump_m", 0.0):
        details["wrong"] = "jumped when it moved again"
        return ev.NEVER, details
    return (first_start - back) / 1e9, details


def _links_came_back(recording: Recording, back_ns: int) -> None:
    """Something of what the doctor's side sent after the interruption must have arrived."""
    sent = recording.packets.where(tap="doctor", direction=0)
    got = recording.packets.where(tap="patient", direction=0)
    end_ns = recording.schedule.end_ns + 1
    if len(sent.between(back_ns, end_ns)) and not len(got.between(back_ns, end_ns)):
        raise ev.Cannot("the links did not come back at the taps")


def _jump_m(recording: Recording, stop_ns: int, start_ns: int) -> float:
    """Distance between the encoder's readings at standstill and at the next start, in m."""
    edges = ev.contact(recording, "position")

    def position_um(edge: str, t_ns: int) -> float:
        near = [e for e in edges if e.value["edge"] == edge and abs(e.t_ns - t_ns) <= _ENCODER_NS]
        if not near:
            raise ev.Cannot(f"the encoder gave no position at the {edge} of motion")
        return float(min(near, key=lambda e: abs(e.t_ns - t_ns)).value["um"])

    return abs(position_um("start", start_ns) - position_um("stop", stop_ns)) * 1e-6
