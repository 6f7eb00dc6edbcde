"""Replay of a trace on links: piecewise constant, wrapped or interpolated only where said."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NoReturn

from bench.errors import InputError
from bench.network.effects import Effect
from bench.network.impairment import DIRECTIONS, Direction, bernoulli
from bench.network.scenario import Disturbance
from bench.network.traces import Row, Trace, windows
from bench.units import show_duration

Interpolation = Literal["hold", "linear"]


def replay(
    trace: Trace,
    on: tuple[str, ...],
    directions: tuple[Direction, ...] = DIRECTIONS,
    *,
    length_s: float | None = None,
    wrap: bool = False,
    interpolation: Interpolation = "hold",
    increment_s: float = 0.05,
) -> tuple[tuple[Disturbance, ...], str]:
    """The segments of a replay, and the note of their step.

    Rate, delay and loss come from the trace, where it has them; all else stays as the link has
    it, and the link returns afterwards to what it was. A segment ends where the loss changes, so
    that each has one loss to be judged by.

    Args:
        trace: what to replay.
        on: the links. ``directions``: those of each that follow it.
        length_s: how long; all of the trace where None.
        wrap: start again at its end, if it is shorter than that.
        interpolation: ``hold`` each row until the next; ``linear``: go there in steps.
        increment_s: with ``linear``, the length of such a step.

    Raises:
        InputError: too short without ``wrap``, no length, or nothing to interpolate.
    """
    length = trace.length_s if length_s is None else length_s
    if not length:
        _refuse(trace, "duration", "one row has no length", "give the step a duration")
    if length > trace.length_s + 1e-9 and not wrap:
        _refuse(
            trace,
            "duration",
            f"the trace lasts {show_duration(trace.length_s)}, the step {show_duration(length)}",
            "shorten the step, or say wrap = true",
        )
    notes = [trace.provenance()]
    rows = _unrolled(trace, length)
    if length > trace.length_s + 1e-9:
        notes.append(f"wrapped: repeated up to {show_duration(length)}")
    if interpolation == "linear":
        rows = _linear(trace, rows, length, increment_s)
        notes.append(
            f"interpolated linearly in steps of {show_duration(increment_s)}: what lies between "
            "two rows was not measured"
        )
    segments = _segments(rows, length, on, directions, trace.form == "mahimahi")
    return segments, "; ".join(notes)


def _unrolled(trace: Trace, length_s: float) -> tuple[Row, ...]:
    if trace.opportunities_ms:
        return windows(trace, length_s)
    if not trace.length_s:
        return trace.rows
    rows = []
    for turn in range(max(1, math.ceil(length_s / trace.length_s - 1e-9))):
        start_s = turn * trace.length_s
        rows += [replace(row, t_s=start_s + row.t_s) for row in trace.rows]
    return tuple(row for row in rows if row.t_s < length_s)


def _linear(
    trace: Trace, rows: tuple[Row, ...], length_s: float, increment_s: float
) -> tuple[Row, ...]:
    if trace.form == "mahimahi" or any(row.rate_bps == 0 for row in trace.rows):
        _refuse(
            trace,
            "interpolation",
            "between opportunities, and at a rate of zero, there is nothing to interpolate",
            'use interpolation = "hold"',
        )
    if not increment_s >= 1e-3:
        _refuse(trace, "increment", "is below a millisecond", "give 1ms or more")
    made: list[Row] = []
    for here, there in itertools.pairwise((*rows, replace(rows[-1], t_s=length_s))):
        count = max(1, round((there.t_s - here.t_s) / increment_s))
        for i in range(count):
            share = i / count
            made.append(
                Row(
                    here.t_s + (there.t_s - here.t_s) * share,
                    _mixed(here.rate_bps, there.rate_bps, share),
                    _mixed(here.delay_s, there.delay_s, share),
                    _mixed(here.loss, there.loss, share),
                )
            )
    return tuple(made)


def _mixed(here: float | None, there: float | None, share: float) -> float | None:
    return None if here is None or there is None else here + (there - here) * share


def _segments(
    rows: Iterable[Row],
    length_s: float,
    on: tuple[str, ...],
    directions: tuple[Direction, ...],
    opportunities: bool,
) -> tuple[Disturbance, ...]:
    """One segment per stretch of equal loss; the rows in it follow as later changes."""
    stretches = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row.loss)]
    ends = [group[0].t_s for group in stretches[1:]] + [length_s]
    segments = []
    for number, (group, end_s) in enumerate(zip(stretches, ends, strict=True), 1):
        start_s = group[0].t_s
        then = tuple(
            (row.t_s - start_s, dict.fromkeys(directions, _effect(row, opportunities)))
            for row in group[1:]
        )
        segments.append(
            Disturbance(
                "replay" if len(stretches) == 1 else f"replay-{number}",
                end_s - start_s,
                on=on,
                effects=dict.fromkeys(directions, _effect(group[0], opportunities)),
                then=then,
            )
        )
    return tuple(segments)


def _effect(row: Row, opportunities: bool) -> Effect:
    fields: tuple[tuple[str, object], ...] = ()
    if opportunities:
        fields = (("framing_bytes", 0), ("slot", None))
    if row.loss is not None:
        fields = (*fields, ("loss", bernoulli(row.loss) if row.loss else None))
    return Effect(
        rate_bps=row.rate_bps or None,
        hold=True if row.rate_bps == 0 else None,
        delay_s=row.delay_s,
        fields=fields,
    )


def _refuse(trace: Trace, field: str, problem: str, remedy: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, file=trace.name, field=field)
