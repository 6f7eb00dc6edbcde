"""From the reports of a session's processes to its health and its applied changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.benches.attacker import THIRD_PARTY
from bench.benches.local.layout import SIDES
from bench.network.scenario import Schedule, Side
from bench.sessions.recording import AppliedChange, Health
from bench.units import NS_PER_S

Report = Mapping[str, Any]

_AGENT_COUNTERS = (
    "received",
    "undecodable",
    "send_errors",
    "receive_drops",
    "timers",
    "timer_late_p50_ns",
    "timer_late_p99_ns",
    "timer_late_max_ns",
    "cpu_ns",
)
_DIRECTION_COUNTERS = (
    "rx",
    "tx",
    "accepted",
    "before_start",
    "in_flight",
    "unread",
    "kernel_drops",
    "tx_errors",
    "oversize",
    "copies",
    "damaged",
    "skipped",
    "undecided",
    "withheld",
    "unfinished_checksums",
    "clock_steps",
)
_ATTACKER_FAULTS = (
    ("dropped", "packets lost by the attack process"),
    ("failed", "packets that the attack process could not send"),
    ("unanswered", "attacks on a passing packet that came too late"),
    ("refused", "packets made up beyond the attack process's bound"),
    ("untold", "packets that the attackers were not told of"),
    ("lost", "orders of the attackers that were lost"),
    ("nothing", "packets of attackers to be made of a flow of which nothing had passed"),
    ("unsent", "packets of attackers that could not be sent"),
)
_USUAL = ("/not-yet", "/not-accepted")
"""What carriages meet whenever a session begins, or the network makes copies."""
_LATE_NS = 5_000_000
"""A side of the device that ran this much late is worth a note: its reactions were late too."""


def health(done: Mapping[str, Report]) -> Health:
    """What the bench knows about its own work.

    Args:
        done: the last report of each process: ``tap``, ``emulator``, ``patient``, ``doctor``,
            and ``attacker`` where there were attacks.

    ``emulator_drops`` also counts packets that the sides' sockets lost: like the emulator's
    losses they are the bench's own. ``counters`` are named ``process/figure``,
    ``link/direction/figure`` or, of what a carriage met, ``side/stream/fault``.
    """
    tap, directions = done["tap"], done["emulator"]["directions"]
    played = [side for side in SIDES if side in done]  # a real device reports nothing here
    own = {side: done[side]["send_errors"] + done[side]["receive_drops"] for side in played}
    counters = {f"tap/{key}": value for key, value in tap.items()}
    for side in played:
        counters |= {f"{side}/{key}": done[side][key] for key in _AGENT_COUNTERS}
        counters |= {f"{side}/{key}": n for key, n in done[side].get("faults", {}).items()}
    for report in directions:
        counters |= _direction_counters(report)
    attacker = done.get("attacker", {})
    counters |= {f"attacker/{key}": value for key, value in attacker.items()}
    hop = sum(attacker.get(key, 0) for key in ("dropped", "failed"))
    steps = [report["clock_largest_step_s"] for report in directions]
    return Health(
        tap_drops=tap["drops"],
        emulator_drops=sum(r["emulator_drops"] for r in directions) + sum(own.values()) + hop,
        clock_step_s=max([tap["clock_step_ns"] / NS_PER_S, *steps]),
        lateness_s=merged_lateness([r["lateness"] for r in directions]),
        counters=counters,
        notes=(*_notes(done, own), *done["emulator"]["notes"]),
    )


def _direction_counters(report: Report) -> dict[str, int]:
    name = f"{report['link']}/{report['direction']}"
    counters = {f"{name}/{key}": report[key] for key in _DIRECTION_COUNTERS}
    counters |= {f"{name}/{fate}": count for fate, count in report["fates"].items()}
    counters[f"{name}/cpu_ns"] = round(report["cpu_s"] * NS_PER_S)
    return counters


def _notes(done: Mapping[str, Report], own: Mapping[Side, int]) -> Iterable[str]:
    if done["tap"]["foreign"]:
        yield f"{done['tap']['foreign']} packets at the taps were none of the device's"
    if "attacker" in done:
        yield THIRD_PARTY
        for key, words in _ATTACKER_FAULTS:
            if done["attacker"].get(key):
                yield f"{done['attacker'][key]} {words}"
    for side in own:
        report = done[side]
        if own[side]:
            yield f"{own[side]} packets lost in the sockets of the {side} side"
        if report["undecodable"]:
            yield f"{report['undecodable']} packets that the {side} side could not read"
        for fault, count in sorted(report.get("faults", {}).items()):
            if not fault.endswith(_USUAL):
                yield f"{count} times at the {side} side: {fault}"
        for error in report["socket_errors"]:
            yield f"socket error on the {side} side: {error}"
        if report["timer_late_max_ns"] > _LATE_NS:
            late_ms = report["timer_late_max_ns"] / 1e6
            yield f"the {side} side ran up to {late_ms:.1f} ms late: the host was busy"
        if report["scheduling"] != "fifo":
            yield f"the {side} side ran without real-time scheduling ({report['scheduling']})"
    for report in done["emulator"]["directions"]:
        if report["unfinished_checksums"]:
            yield f"checksum offload was on at {report['link']}/{report['direction']}"
        differing = sum(change["read_back"] is False for change in report["changes"])
        if differing:
            yield f"{report['link']}/{report['direction']}: {differing} changes not as commanded"


def merged_lateness(parts: Sequence[Report | None]) -> dict[str, float]:
    """Quantiles over all packets of several directions; empty where there were none.

    Args:
        parts: per direction ``max_s`` and ``histogram`` (pairs of upper edge in s and count).
    """
    buckets: dict[float, int] = {}
    largest = 0.0
    for part in parts:
        if part is None or part["max_s"] is None:
            continue
        largest = max(largest, part["max_s"])
        for edge, count in part["histogram"]:
            buckets[edge] = buckets.get(edge, 0) + count
    total = sum(buckets.values())
    if not total:
        return {}
    quantiles = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found = {
        name: min(_quantile(sorted(buckets.items()), share * total), largest)
        for name, share in quantiles.items()
    }
    return {**found, "max": largest}


def _quantile(buckets: Sequence[tuple[float, int]], wanted: float) -> float:
    seen = 0
    for edge, count in buckets:
        seen += count
        if seen >= wanted:
            return edge
    return buckets[-1][0]


def applied_changes(schedule: Schedule, report: Report) -> tuple[AppliedChange, ...]:
    """When each change of the schedule was commanded and took effect, in the schedule's order.

    Args:
        schedule: what was meant.
        report: the emulator's report.
    """
    waiting = {
        (entry["link"], entry["direction"]): iter(entry["changes"])
        for entry in report["directions"]
    }
    applied = []
    for change in schedule.changes:
        entry = next(waiting.get((change.link, change.direction), iter(())), None)
        effective = None
        if entry is not None:
            effective = entry["effective_ns"]
            if effective is None:
                effective = entry["confirmed_ns"]
        applied.append(
            AppliedChange(
                change.t_ns,
                change.link,
                change.direction,
                change.impairment.describe(),
                None if entry is None else entry["commanded_ns"],
                effective,
            )
        )
    return tuple(applied)
