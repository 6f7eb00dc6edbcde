"""Certify an emulator: a grid of stimuli, intended against achieved, and the envelope."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bench.benches.fidelity.bench import FidelityBench
from bench.benches.fidelity.trial import Seen, Trial
from bench.errors import InputError
from bench.measure import fidelity as fid
from bench.measure.fidelity import MISSING, Decisions, Passage, Quantiles
from bench.measure.fidelity_cells import Bounds, Cell, Row
from bench.measure.fidelity_rows import NO_STALLS, evaluate, refused
from bench.network.impairment import Delay, Direction, GilbertElliott, Impairment
from bench.network.laws import DirectionLaw
from bench.studies.certificate import LATEST_S, Certificate, Point
from bench.studies.certify_grid import (
    FULL,
    NULL,
    QUICK,
    SETTLE_S,
    Effort,
    Laid,
    Place,
    grid,
    lay,
    null_cell,
    seconds_of,
    short_cells,
    trials_of,
)
from bench.units import show_duration

Backend = Literal["auto", "netem", "userspace", "virtual"]
Tell = Callable[[str], None]

_DIRECTION: Direction = "to-doctor"
_NAME = f"primary/{_DIRECTION}"
_CLOCK_STEP_S = 20e-6
_NEAR_NS = 50_000
"""A packet that passes the near tap so shortly before a change may meet it."""

_LEAD_NS = {"userspace": 400_000_000, "netem": 1_000_000_000}
"""Until an emulator is ready; netem first tries what the kernel can do. Where it is too short,
it is doubled for the next trial."""
_MOST_LEAD_NS = 4_000_000_000

_TRIAL_NULL_S = 0.4
_TICK_NS = 250_000
_SENT_SHARE = 0.95
_POINT_S = 1.3
"""What a point of the envelope takes besides its packets."""

SIZES = (64, 1400)
_NETEM_EVENT_S = 1e-3
"""netem's changes are sent by a process when their time has come."""


class _Study:
    """Trials on one backend until their rows hold, the tries or the time run out."""

    def __init__(
        self, backend: Backend, bench: FidelityBench | None, seed: int, effort: Effort, tell: Tell
    ) -> None:
        self.bench, self.seed, self.effort, self.tell = bench, seed, effort, tell
        self.begin = time.monotonic()
        self.backend = bench.backend if bench is not None else "virtual"
        self.exact = self.backend != "netem"
        self.bounds = Bounds() if self.exact else Bounds(event_s=_NETEM_EVENT_S)
        self.drops = dict.fromkeys(("emulator", "taps", "before_emulator", "after_emulator"), 0)
        self.notes: dict[str, None] = {}
        self.lead_ns = _LEAD_NS.get(self.backend, 0)

    def left_s(self) -> float:
        return self.begin + self.effort.within_s - time.monotonic()

    def offered(self, cells: Sequence[Cell]) -> tuple[list[Cell], list[Row]]:
        """The cells that the backend carries out, and the rows of the others."""
        if self.bench is None:
            return list(cells), []
        reasons = [next(filter(None, self.bench.refusals([s for _, s in cell.states])), "")
                   for cell in cells]  # fmt: skip
        told = [refused(cell, why) for cell, why in zip(cells, reasons, strict=True) if why]
        return [cell for cell, why in zip(cells, reasons, strict=True) if not why], told

    def rows(self, cells: Sequence[Cell], reserve_s: float) -> dict[str, Row]:
        """Every cell's row; inconclusive ones again, while tries and time last."""
        found: dict[str, Row] = {}
        waiting = list(cells)
        for tries in range(1, self.effort.tries + 1):
            for group in trials_of(waiting, self.effort.trial_s):
                long_s = seconds_of(group) + _TRIAL_NULL_S
                if tries > 1 and long_s > self.left_s() - reserve_s:
                    continue
                again = f"try {tries}: " if tries > 1 else ""
                self.tell(f"{again}{', '.join(cell.name for cell in group)} ({long_s:.0f} s)")
                for row in self._trial(group):
                    found[row.name] = replace(row, tries=tries)
                    why = f" ({row.reason})" if row.reason else ""
                    self.tell(f"  {row.name}: {row.verdict}{why}")
            waiting = [cell for cell in waiting if found[cell.name].verdict == "inconclusive"]
        return found

    def _trial(self, cells: Sequence[Cell]) -> list[Row]:
        nulls = [] if cells[0].name == NULL else [null_cell(_TRIAL_NULL_S)]
        laid = lay([*nulls, *cells])
        found = self.carry_out(laid)
        problem = found.problem
        decided = self.decide(laid, found.passed)
        null: Quantiles | None = None
        rows = []
        for place in laid.places:
            # Where one packet may have met another state, all draws after it are uncertain.
            problem = problem or _too_close(laid, found.passed, place)
            row = evaluate(
                place.cell,
                found.passed.part(place.first, place.end),
                decided.part(place.first, place.end),
                exact=self.exact,
                start_ns=place.start_ns,
                null=null,
                bounds=self.bounds,
                stalls_ns=found.stalls_ns,
                confirmed_ns=found.confirmed_ns,
                problem=problem or _too_late(laid, found.confirmed_ns, place),
            )
            if null is None:
                null = row.delay_error or fid.quantiles(np.zeros(1, np.int64))
                problem = problem or _runs_over(null)
            rows.append(row)
        return rows[len(nulls) :]

    def decide(self, laid: Laid, passed: Passage) -> Decisions:
        """The law's decisions; without meaning where the near tap missed packets."""
        law = laid.changes if self.exact else fid.without_chance(laid.changes)
        sent_ns = np.maximum.accumulate(np.maximum(passed.sent_ns, 0))
        return fid.decide(law, self.seed, _NAME, sent_ns, passed.size)

    def carry_out(self, laid: Laid, *, watched: bool = True) -> _Outcome:
        """A trial."""
        if self.bench is None:
            return _Outcome(virtual_passage(laid, self.seed), NO_STALLS, "")
        trial = Trial(
            backend=self.bench.backend,
            direction=_DIRECTION,
            changes=laid.changes,
            send_ns=laid.send_ns,
            sizes=laid.sizes,
            end_ns=laid.end_ns,
            seed=self.seed,
            lead_ns=self.lead_ns,
            watched=watched,
        )
        seen = self.bench.run(trial)
        if seen.late_start:
            self.lead_ns = min(_MOST_LEAD_NS, 2 * self.lead_ns)
        counted = _drops(seen)
        for name, value in counted.items():
            self.drops[name] += value
        self.notes |= dict.fromkeys(seen.report.notes)
        passed = fid.passage(seen.near, seen.far, len(laid.send_ns))
        problem = _problem(seen, counted)
        if not problem and (missed := int((passed.sent_ns == MISSING).sum())):
            problem = f"the near tap did not see {missed} packets"
        return _Outcome(passed, seen.stalls_ns, problem, _confirmed(seen))


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """A trial's packets, the host's stalls, and why it shows nothing (empty where it may).

    ``confirmed_ns``: by the time of each change, when it was surely in force, where that is known.
    """

    passed: Passage
    stalls_ns: NDArray[np.int64]
    problem: str
    confirmed_ns: Mapping[int, int] = field(default_factory=dict)


def _confirmed(seen: Seen) -> dict[int, int]:
    changes = seen.report.direction("primary", _DIRECTION).changes
    return {each.t_ns: each.confirmed_ns for each in changes if each.confirmed_ns is not None}


def _drops(seen: Seen) -> dict[str, int]:
    """Packets that vanished without a decision, by where."""
    report = seen.report.direction("primary", _DIRECTION)
    return {
        "emulator": report.emulator_drops,
        "taps": seen.tap_drops,
        "before_emulator": max(0, len(seen.near) - report.rx - report.kernel_drops),
        "after_emulator": max(0, report.tx - len(seen.far)),
    }


def _problem(seen: Seen, counted: dict[str, int]) -> str:
    """Why a trial shows nothing; empty where it may."""
    if seen.late_start:
        return "the processes were not ready in time"
    if seen.clock_step_s > _CLOCK_STEP_S:
        return f"the host's clock was stepped by {show_duration(seen.clock_step_s)}"
    words = {
        "emulator": "dropped by the emulator",
        "taps": "missed by a tap",
        "before_emulator": "lost on the way to the emulator",
        "after_emulator": "lost on the way from the emulator",
    }
    for name, value in counted.items():
        if value:
            return f"{value} packets {words[name]}"
    report = seen.report.direction("primary", _DIRECTION)
    if left := report.in_flight + report.unread:
        return f"{left} packets were still under way at the end"
    return ""


def _too_close(laid: Laid, passed: Passage, place: Place) -> str:
    """Whether a packet of the cell may have met a change or not; what follows is uncertain too."""
    for t_ns, _ in laid.changes:
        close = passed.sent_ns[place.first : place.end]
        if ((close > t_ns - _NEAR_NS) & (close < t_ns)).any():
            return "a packet was sent right at a change: the host delayed the sender"
    return ""


def _runs_over(null: Quantiles) -> str:
    """Whether packets of a cell may have come to the emulator in the next cell."""
    if (null.max_s or 0.0) <= SETTLE_S:
        return ""
    return f"the unimpaired path held a packet up for {show_duration(null.max_s)}"


def _too_late(laid: Laid, confirmed_ns: Mapping[int, int], place: Place) -> str:
    """Whether the cell's first state was not surely in force when its first packet was sent."""
    begin_ns = max(t_ns for t_ns, _ in laid.changes if t_ns <= place.start_ns)
    late_ns = confirmed_ns.get(begin_ns, begin_ns) - begin_ns
    if begin_ns + late_ns <= place.start_ns:
        return ""
    return f"a change was commanded {show_duration(late_ns * 1e-9)} late: the host delayed it"


def virtual_passage(laid: Laid, seed: int) -> Passage:
    """What the virtual link does: the laws over the planned times, on arrays where they can be."""
    due = DirectionLaw(laid.changes, seed=seed, name=_NAME).offer_many(laid.send_ns, laid.sizes)
    copy = np.full(len(due), -1, dtype=np.int64)
    if any(state.duplication for _, state in laid.changes):
        decided = fid.decide(laid.changes, seed, _NAME, laid.send_ns, laid.sizes)
        due, copy = decided.due_ns, decided.copy_ns
    numbers = np.arange(len(due))
    seen = np.concatenate([numbers[due >= 0], numbers[copy >= 0]])
    seen_ns = np.concatenate([due[due >= 0], copy[copy >= 0]])
    order = np.argsort(seen_ns, kind="stable")
    return Passage(laid.send_ns, laid.sizes, seen[order], seen_ns[order])


# ---- the envelope


def _stressed(backend: str) -> Impairment:
    """Delay with jitter and bursty loss; for netem, whose draws nobody knows, without jitter."""
    loss = GilbertElliott(0.01, 0.25)
    if backend == "netem":
        return Impairment(Delay(0.010), loss=loss)
    return Impairment(Delay(0.010, "normal", 0.002), loss=loss)


def point_laid(impairment: Impairment, size: int, pps: float, seconds: float) -> Laid:
    """Packets in ticks of 250 µs, as many in each as the rate asks for."""
    cell = Cell("point", "path", ((0.0, impairment),), pps, seconds, size)
    laid = lay([cell])
    start = laid.places[0].start_ns
    ticks = start + (laid.send_ns - start) // _TICK_NS * _TICK_NS
    return replace(laid, send_ns=ticks)


def _point(study: _Study, size: int, pps: float) -> Point:
    laid = point_laid(_stressed(study.backend), size, pps, study.effort.point_s)
    before = dict(study.drops)
    found = study.carry_out(laid, watched=False)
    passed, problem = found.passed, found.problem
    lateness, sent_pps = fid.quantiles(np.zeros(0, np.int64)), None
    if not (passed.sent_ns == MISSING).any():
        lateness = fid.quantiles(fid.delay_errors(passed, study.decide(laid, passed)))
        span_ns = int(passed.sent_ns[-1] - passed.sent_ns[0])
        planned_ns = int(laid.send_ns[-1] - laid.send_ns[0])
        sent_pps = pps * planned_ns / span_ns if span_ns else None
    reason = problem
    if not reason and (lateness.p99_s is None or lateness.p99_s >= LATEST_S):
        reason = f"p99 lateness {show_duration(lateness.p99_s)}"
    if not reason and (sent_pps or 0.0) < _SENT_SHARE * pps:
        reason = f"the sender only reached {sent_pps or 0:.0f} packets/s"
    drops = {name: study.drops[name] - before[name] for name in before}
    return Point(size, pps, sent_pps, lateness, drops["emulator"], drops["taps"], not reason,
                 reason)  # fmt: skip


def _sweep(study: _Study) -> list[Point]:
    """Up to the knee, for each size; a point beyond it is tried again."""
    points: list[Point] = []
    for size in SIZES:
        for pps in study.effort.rates_pps:
            if study.left_s() < study.effort.point_s + _POINT_S:
                return points
            study.tell(f"envelope: {pps} packets/s of {size} bytes")
            point = _point(study, size, pps)
            for _ in range(study.effort.tries - 1):
                if point.inside or study.left_s() < study.effort.point_s + _POINT_S:
                    break
                point = _point(study, size, pps)
            points.append(point)
            if not point.inside:
                break
    return points


# ---- the whole


def certify(
    backend: str = "auto", *, seed: int = 7, quick: bool = False, tell: Tell = lambda text: None
) -> Certificate:
    """Certify an emulator on this host, now.

    Args:
        backend: ``auto``, ``netem``, ``userspace`` or ``virtual``.
        seed: of the emulator's draws.
        quick: less evidence, at most 25 s; else at most 4 minutes.
        tell: gets a line whenever something begins or is found.

    Raises:
        InputError: unknown backend, or this host cannot carry it.
        BenchError: a process of the bench failed.
    """
    effort = QUICK if quick else FULL
    cells = (null_cell(effort.null_s), *grid(effort))
    return _certify(backend, seed, quick, effort, cells, tell)


def short_proof(
    backend: str = "auto", seed: int = 7, *, lease: bool = True, tell: Tell = lambda text: None
) -> Certificate:
    """The short form before a run: at most 6 s, no envelope.

    Args:
        backend: see :func:`certify`.
        seed: of the emulator's draws.
        lease: whether to take the local bench's lease; not where the caller holds it.
        tell: see :func:`certify`.

    Raises:
        InputError: unknown backend, or this host cannot carry it.
        BenchError: a process of the bench failed.
    """
    effort = replace(QUICK, within_s=5.5, rates_pps=(), tries=2)
    cells = (null_cell(0.5), *short_cells())
    return _certify(backend, seed, True, effort, cells, tell, lease=lease)


def _certify(
    backend: str,
    seed: int,
    quick: bool,
    effort: Effort,
    cells: Sequence[Cell],
    tell: Tell,
    *,
    lease: bool = True,
) -> Certificate:
    if backend not in get_args(Backend):
        raise InputError(
            "unknown emulator",
            remedy=f"use one of {', '.join(get_args(Backend))}",
            field="--backend",
            value=backend,
        )
    begin = time.monotonic()
    entered: AbstractContextManager[FidelityBench | None] = nullcontext()
    if backend != "virtual":
        entered = FidelityBench(backend, lease=lease)  # type: ignore[arg-type]
    with entered as bench:
        study = _Study(backend, bench, seed, effort, tell)  # type: ignore[arg-type]
        tell(f"{study.backend}: {len(cells)} rows, at most {effort.within_s:.0f} s")
        offered, rows = study.offered(cells)
        found = {row.name: row for row in rows}
        sweep_s = 2 * len(effort.rates_pps) * (effort.point_s + _POINT_S)
        found |= study.rows(offered, sweep_s)
        points = _sweep(study) if bench is not None else []
    null, *others = (found[cell.name] for cell in cells)
    return Certificate(
        backend=study.backend,
        kernel=bench.kernel if bench is not None else platform.release(),
        seed=seed,
        quick=quick,
        null=null,
        rows=tuple(others),
        envelope=tuple(points),
        drops=study.drops,
        notes=tuple(study.notes),
        took_s=round(time.monotonic() - begin, 3),
    )
