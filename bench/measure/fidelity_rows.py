"""One cell of a certification grid, intended against achieved, and whether it holds.

Lateness may be the host's: beyond its bound a row is inconclusive, and so is what a late packet or
a change that was commanded late would explain. What the host cannot excuse, a packet that left
early, another decision than the law's, a law that is another law, fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.measure import fidelity as fid
from bench.measure import fidelity_laws as laws
from bench.measure.fidelity import MISSING, Decisions, Ints, Passage, Quantiles
from bench.measure.fidelity_cells import Bounds, Cell, Kind, Row, Verdict
from bench.measure.fidelity_finding import Finding
from bench.units import show_duration

NO_STALLS = np.empty((0, 2), dtype=np.int64)
_UNBOUND = Quantiles(0, 0.0, math.inf, math.inf, math.inf, math.inf)


def refused(cell: Cell, reason: str) -> Row:
    """The row of a cell that the backend refuses."""
    return Row(cell.name, cell.kind, cell.describe(), "", "not offered", reason, 0, False)


def evaluate(
    cell: Cell,
    passed: Passage,
    decided: Decisions,
    *,
    exact: bool,
    start_ns: int,
    null: Quantiles | None,
    bounds: Bounds,
    stalls_ns: Ints = NO_STALLS,
    confirmed_ns: Mapping[int, int] | None = None,
    problem: str = "",
) -> Row:
    """One cell's row.

    Args:
        cell: what was asked for.
        passed: its packets.
        decided: the law's decisions on them, with its draws where ``exact``; else those of the
            law :func:`~bench.measure.fidelity.without_chance`.
        exact: whether the emulator drew what ``decided`` holds.
        start_ns: session time of the slot of the first packet.
        null: delays of the null path; ``None`` for the null path itself, which only the bounds
            in all bind.
        bounds: see :class:`Bounds`.
        stalls_ns: when the host did not run what was due; shape (k, 2).
        confirmed_ns: when a change was surely in force, by its time; both session time. Packets
            before that may have met the state before, where not ``exact``.
        problem: why the bench itself cannot be trusted here; empty where it can.
    """
    found = Finding(
        passed, decided, exact, null or _UNBOUND, bounds, start_ns, stalls_ns, confirmed_ns or {}
    )
    found.changes_ns = tuple(_at(found, t_s) for t_s, _ in cell.states[1:])
    if (passed.sent_ns == MISSING).any():
        seen = int((passed.sent_ns != MISSING).sum())
        problem = problem or f"the near tap saw {seen} of {cell.count} packets"
    else:
        _losses(cell, found)
        if exact or not any(s.delay.spread_s or s.reordering for _, s in cell.states):
            _timing(found)
        _order(cell, found)
        if (check := _CHECKS.get(cell.kind)) is not None:
            check(cell, found)
    verdict: Verdict = "holds"
    reason = ""
    if problem:
        verdict, reason = "inconclusive", problem
    elif found.fails:
        verdict, reason = "fails", found.fails[0]
    elif found.unsure:
        verdict, reason = "inconclusive", found.unsure[0]
    return Row(
        cell.name, cell.kind, cell.describe(), ", ".join(found.words), verdict, reason,
        cell.count, exact, **found.figures,
    )  # fmt: skip


def _timing(found: Finding) -> None:
    due_ns = np.where(found.open, -1, found.decided.due_ns)
    decided = Decisions(due_ns, found.decided.copy_ns)
    errors = fid.quantiles(fid.delay_errors(found.passed, decided))
    awake = fid.quantiles(fid.delay_errors(fid.awake(found.passed, found.stalls_ns), decided))
    found.figures["delay_error"], found.figures["delay_error_awake"] = errors, awake
    if not errors.n or errors.p50_s is None or errors.p99_s is None or errors.min_s is None:
        return
    found.words.append(
        f"error p50 {show_duration(errors.p50_s)}, p99 {show_duration(errors.p99_s)}"
    )
    if errors.min_s < -found.bounds.early_s:
        found.fails.append(f"a packet came {show_duration(-errors.min_s)} before it was due")
    median_s = min(found.bounds.most_p50_s, found.bounds.p50_s + (found.null.p50_s or 0.0))
    for name, value, limit, quiet in (
        ("median", errors.p50_s, median_s, awake.p50_s),
        ("p99", errors.p99_s, found.bounds.p99_s, awake.p99_s),
    ):
        if value > limit:
            found.unsure.append(
                f"{name} of the delay error is {show_duration(value)}, limit "
                f"{show_duration(limit)}; {errors.n - awake.n} of {errors.n} packets came while "
                f"the host stalled, without them {show_duration(quiet)}"
            )


def _losses(cell: Cell, found: Finding) -> None:
    lost, count = found.lost, len(found.lost)
    decided = found.decided.due_ns < 0
    state = cell.states[0][1]
    drawn = state.loss is not None and not found.exact
    seen, meant = laws.bursts(lost), laws.bursts(decided)
    figures: dict[str, Any] = {
        "observed": seen.lost,
        "decided": None if drawn else meant.lost,
        "difference": None if drawn else int(((lost != decided) & ~found.open).sum()),
        "ratio": seen.lost / count if count else None,
        "intended_ratio": state.loss_ratio if len(cell.states) == 1 else None,
        "low": None, "high": None, "error_probability": None,
        "burst_mean": seen.mean, "burst_longest": seen.longest,
        "decided_burst_mean": None if drawn else meant.mean,
        "pairs": seen.pairs, "pairs_low": None, "pairs_high": None,
    }  # fmt: skip
    found.figures["loss"] = figures
    if figures["difference"]:
        found.fails.append(f"{figures['difference']} packets met another fate than the law decided")
    if state.loss is not None:
        spans = laws.loss_intervals(state.loss, count)
        figures["low"], figures["high"] = spans["lost"]
        figures["pairs_low"], figures["pairs_high"] = spans["pairs"]
        figures["error_probability"] = laws.ERROR
        for name, value in (("lost", seen.lost), ("pairs", seen.pairs)):
            low, high = spans[name]
            if not low <= value <= high:
                what = "losses" if name == "lost" else "losses right after a loss"
                found.fails.append(f"{value} {what}, where {low} to {high} are the law's")
        burst = "" if seen.mean is None else f", mean burst {seen.mean:.3g}"
        found.words.append(f"lost {seen.lost} of {count}{burst}")


def _order(cell: Cell, found: Finding) -> None:
    """No packet overtakes where the order is to be kept; no more copies than there may be."""
    keeps = all(state.order == "preserve" for _, state in cell.states)
    copies = int((found.times > 1).sum())
    if keeps and (out := fid.reordering(found.passed.seen).reordered):
        found.fails.append(f"{out} packets came out of order")
    if copies and cell.kind != "duplication":
        found.fails.append(f"{copies} packets came more than once")


def _jitter(cell: Cell, found: Finding) -> None:
    state, null_s = cell.states[0][1], found.null.p50_s or 0.0
    delays_s = fid.seconds(found.delays_ns)
    count = len(delays_s)
    critical, law = laws.critical_distance(count), state.delay.values_s()
    free = state.order == "allow"
    raw, shifted = laws.distance(delays_s, law), laws.distance(delays_s - null_s, law)
    q_error = laws.compared_quantiles(delays_s - null_s) - laws.compared_quantiles(law)
    figures: dict[str, Any] = {
        "n": count,
        "shift_s": null_s,
        "distance": shifted.largest if free else None,
        "critical": critical,
        "error_probability": laws.ERROR,
        "against_draws": None,
        "against_draws_limit": None,
        "quantile_error_s": float(np.abs(q_error).max()) if free and count else None,
    }
    found.figures["distribution"] = figures
    if free:
        found.words.append(f"KS {shifted.largest:.4f} (critical {critical:.4f})")
        if raw.early > critical:
            found.fails.append(f"earlier than the law: KS {raw.early:.4f}, critical {critical:.4f}")
        elif shifted.largest > critical:
            found.unsure.append(f"KS to the law is {shifted.largest:.4f}, critical {critical:.4f}")
    if not found.exact:
        if count:
            p50_s, p95_s = np.quantile(delays_s, [0.5, 0.95])
            found.words.append(f"p50 {show_duration(p50_s)}, p95 {show_duration(p95_s)}")
        return
    meant = found.decided.due_ns >= 0
    draws_s = fid.seconds((found.decided.due_ns - found.passed.sent_ns)[meant])
    apart = float(np.median(delays_s) - np.median(draws_s)) if count and len(draws_s) else 0.0
    figures["against_draws"] = own = laws.distance(delays_s - apart, draws_s).largest
    figures["against_draws_limit"] = found.bounds.distance if free else None
    drawn = laws.distance(draws_s, law)
    if free and drawn.largest > critical:
        found.fails.append(f"the draws are {drawn.largest:.4f} from the law, over {critical:.4f}")
    if free and own > found.bounds.distance:
        found.unsure.append(
            f"KS of delays to draws is {own:.4f}, limit {found.bounds.distance:.3f}"
        )


def _rate(cell: Cell, found: Finding) -> None:
    state = cell.states[0][1]
    assert state.rate_bps is not None
    size = found.passed.size[found.passed.seen]
    arrived = found.passed.seen_ns.copy()
    # A first packet that came late would make the link look faster.
    if len(arrived) and (due_ns := int(found.decided.due_ns[found.passed.seen[0]])) >= 0:
        arrived[0] = min(int(arrived[0]), due_ns)
    achieved = fid.mean_rate(arrived, size, state.framing_bytes)
    windows = fid.rate_windows(arrived, size, state.framing_bytes)
    found.figures["rate"] = {
        "intended_bps": state.rate_bps,
        "achieved_bps": achieved,
        "windows": [asdict(window) for window in windows],
    }
    if achieved is None:
        found.unsure.append("too few packets came to tell a rate")
        return
    found.words.insert(0, f"{achieved / 1e6:.5g} Mbit/s")
    if abs(achieved / state.rate_bps - 1) > found.bounds.rate:
        text = f"the rate is {achieved / 1e6:.5g} Mbit/s"
        # Nothing but the emulator can make a link faster than it is to be.
        faster = achieved > state.rate_bps
        (found.fails if faster else found.unsure).append(text)
    packet_bits = 8.0 * (cell.size_bytes + state.framing_bytes)
    for window in windows:
        if window.p50_bps is None:
            continue
        tolerance = packet_bits / window.window_s + found.bounds.rate * state.rate_bps
        if abs(window.p50_bps - state.rate_bps) > tolerance:
            found.unsure.append(
                f"in windows of {show_duration(window.window_s)} the rate is "
                f"{window.p50_bps / 1e6:.5g} Mbit/s"
            )


def _reordering(cell: Cell, found: Finding) -> None:
    state = cell.states[0][1]
    assert state.reordering is not None
    seen = fid.reordering(found.passed.seen)
    half_ns = state.delay.mean_s * 0.5e9
    skipped, sent = int((found.delays_ns < half_ns).sum()), found.passed.sent_ns
    low, high = laws.binomial_interval(state.reordering.ratio, cell.count)
    meant = None
    if found.exact:
        meant = fid.reordering(fid.order_of(found.decided))
    found.figures["reordering"] = {
        **asdict(seen),
        "ratio": seen.reordered / cell.count,
        "skipped": skipped, "low": low, "high": high, "error_probability": laws.ERROR,
        "decided": None if meant is None else asdict(meant),
    }  # fmt: skip
    extent = "" if seen.extent_mean is None else f", extent {seen.extent_mean:.3g}"
    found.words.append(f"{seen.reordered} of {cell.count} reordered{extent}")
    if not low <= skipped <= high:
        # A packet that came late does not look as if it had skipped the delay.
        late = (
            skipped < low <= skipped + int((found.stalled & (found.first - sent >= half_ns)).sum())
        )
        text = f"{skipped} packets skipped the delay, where {low} to {high} may"
        (found.unsure if late else found.fails).append(text)
    if meant is not None and abs(seen.reordered - meant.reordered) > 0.005 * cell.count:
        found.unsure.append(f"{seen.reordered} reordered, {meant.reordered} decided")


def _duplication(cell: Cell, found: Finding) -> None:
    ratio = cell.states[0][1].duplication
    copies, most = int((found.times > 1).sum()), int(found.times.max(initial=0))
    low, high = laws.binomial_interval(ratio, cell.count)
    decided = found.decided.copy_ns >= 0
    difference = int(((found.times > 1) != decided).sum()) if found.exact else None
    found.figures["duplication"] = {
        "copies": copies, "ratio": copies / cell.count, "low": low, "high": high,
        "error_probability": laws.ERROR, "difference": difference,
    }  # fmt: skip
    found.words.append(f"{copies} of {cell.count} came twice")
    if difference:
        found.fails.append(f"{difference} packets were copied or not against the decision")
    if not low <= copies <= high or most > 2:
        found.fails.append(f"{copies} copies, where {low} to {high} are the law's")


def _step(cell: Cell, found: Finding) -> None:
    (_, before), (at_s, after) = cell.states
    there = ~found.lost
    middle_ns = (before.delay.mean_s + after.delay.mean_s) * 0.5e9
    at_ns, least_ns = _at(found, at_s), (after.delay.mean_s - found.bounds.early_s) * 1e9
    error = fid.switch_error_ns(found.passed.sent_ns[there], found.delays_ns > middle_ns, at_ns)
    late = ("step",) if found.only_late(error, at_ns, least_ns) else ()
    _event(found, {"step": error}, late)


def _outage(cell: Cell, found: Finding) -> None:
    begin_ns, end_ns = (_at(found, t_s) for t_s, _ in cell.states[1:])
    sent, lost = found.passed.sent_ns, found.lost
    early = sent < (begin_ns + end_ns) // 2
    begin = fid.switch_error_ns(sent[early], lost[early], begin_ns)
    end = fid.switch_error_ns(sent[~early], ~lost[~early], end_ns)
    held_up = {"begin": found.held_up(begin, begin_ns), "end": found.held_up(end, end_ns)}
    _event(found, {"begin": begin, "end": end}, [name for name in held_up if held_up[name]])


def _hold(cell: Cell, found: Finding) -> None:
    begin_ns, end_ns = (_at(found, t_s) for t_s, _ in cell.states[1:])
    sent, first = found.passed.sent_ns, found.first
    early = sent < (begin_ns + end_ns) // 2
    held = ~early & (sent < end_ns) & ~found.lost
    due_ns = end_ns + round(cell.states[2][1].delay.mean_s * 1e9)
    begin = fid.switch_error_ns(sent[early], first[early] >= end_ns, begin_ns)
    release = int(first[held].min() - due_ns) if held.any() else None
    late = ("begin",) if found.only_late(begin, begin_ns) else ()
    _event(found, {"begin": begin, "release": release}, late)


def _at(found: Finding, t_s: float) -> int:
    return found.start_ns + round(t_s * 1e9)


def _event(found: Finding, errors_ns: dict[str, int | None], late: Collection[str] = ()) -> None:
    """A change meets packets by arrival; a release is a departure like any other.

    ``late``: where packets that the host held up would look like an early change.
    """
    change_s = found.bounds.event_s + (found.null.p50_s or 0.0)
    figures = {name: None if ns is None else ns * 1e-9 for name, ns in errors_ns.items()}
    limits = {name: found.bounds.p99_s if name == "release" else change_s for name in figures}
    found.figures["event"] = {"error_s": figures, "limit_s": limits}
    for name, error_s in figures.items():
        if error_s is None:
            found.unsure.append(f"no clear {name}: packets of both states are mixed")
            continue
        found.words.append(f"{name} {error_s * 1e6:+.0f} µs")
        if error_s < -found.bounds.early_s:
            text = f"the {name} came {show_duration(-error_s)} early"
            if name in late:
                found.unsure.append(f"{text}, or the host held packets up before it")
            else:
                found.fails.append(text)
        elif error_s > limits[name]:
            found.unsure.append(
                f"the {name} came {show_duration(error_s)} late, limit "
                f"{show_duration(limits[name])}"
            )


_CHECKS: dict[Kind, Callable[[Cell, Finding], None]] = {
    "jitter": _jitter,
    "rate": _rate,
    "reordering": _reordering,
    "duplication": _duplication,
    "step": _step,
    "outage": _outage,
    "hold": _hold,
}
