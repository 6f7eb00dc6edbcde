"""The certification grid: which stimuli, how long, and how they lie in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.measure.fidelity_cells import Cell
from bench.network.impairment import (
    CLEAN,
    Delay,
    GilbertElliott,
    Impairment,
    Reordering,
    bernoulli,
)
from bench.units import NS_PER_S, ns

SETTLE_S = 0.05
"""From a change to the first packet that is to meet it."""

_DELAYS_S = (0.0, 0.005, 0.020, 0.050)
_LAWS = (
    ("uniform", Delay(0.020, "uniform", 0.005)),
    ("normal", Delay(0.020, "normal", 0.002)),
    ("paretonormal", Delay(0.020, "paretonormal", 0.004)),
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much evidence: seconds of packets per cell and point.

    ``trial_s``: how long a trial of several cells may be; ``within_s``: all of it; ``tries``: how
    often an inconclusive row is looked at in all.
    """

    null_s: float
    delay_s: float
    jitter_s: float
    loss_s: float
    rate_s: float
    order_s: float
    event_s: float
    point_s: float
    rates_pps: tuple[int, ...]
    trial_s: float
    within_s: float
    tries: int


FULL = Effort(
    null_s=3.0, delay_s=3.0, jitter_s=15.0, loss_s=5.0, rate_s=2.0, order_s=3.0, event_s=1.0,
    point_s=1.0, rates_pps=(2_000, 5_000, 10_000, 20_000, 50_000, 100_000), trial_s=16.0,
    within_s=230.0, tries=4,
)  # fmt: skip
QUICK = Effort(
    null_s=0.5, delay_s=0.4, jitter_s=1.0, loss_s=0.6, rate_s=0.5, order_s=0.6, event_s=0.4,
    point_s=0.3, rates_pps=(20_000,), trial_s=5.0, within_s=22.0, tries=4,
)  # fmt: skip


NULL = "null path"


def null_cell(seconds: float) -> Cell:
    """The unimpaired path through the same set-up."""
    return Cell(NULL, "path", ((0.0, CLEAN),), 1000, seconds, tail_s=0.05)


def grid(effort: Effort) -> tuple[Cell, ...]:
    """Every cell but the null path."""
    delays = [
        Cell(f"delay {1e3 * mean_s:g} ms", "path", ((0.0, Impairment(Delay(mean_s))),), 1000,
             effort.delay_s, tail_s=mean_s + 0.05)
        for mean_s in _DELAYS_S
    ]  # fmt: skip
    jitters = [
        Cell(f"jitter {name}", "jitter", ((0.0, Impairment(law, "allow")),), 1000,
             effort.jitter_s)
        for name, law in _LAWS
    ]  # fmt: skip
    kept = Impairment(Delay(0.020, "normal", 0.002))
    jitters.append(Cell("jitter, order kept", "jitter", ((0.0, kept),), 1000, effort.delay_s))
    return (*delays, *jitters, *_losses(effort), *_others(effort), *_events(effort))


def _losses(effort: Effort) -> list[Cell]:
    models = (("Bernoulli", bernoulli(0.02)), ("Gilbert-Elliott", GilbertElliott(0.01, 0.25)))
    return [
        Cell(f"loss {name}", "loss", ((0.0, Impairment(Delay(0.005), loss=model)),), 2000,
             effort.loss_s)
        for name, model in models
    ]  # fmt: skip


def _others(effort: Effort) -> list[Cell]:
    rate = Impairment(rate_bps=10e6, queue_s=3.0, queue_packets=2000)
    # Half a gap beside the gaps: a packet that skips the delay and one that does not never
    # leave together.
    skips = Impairment(Delay(0.0205), "allow", reordering=Reordering(0.05))
    return [
        Cell("rate 10 Mbit/s", "rate", ((0.0, rate),), 3000, effort.rate_s, 500,
             tail_s=0.3 * effort.rate_s + 0.1),
        Cell("reordering", "reordering", ((0.0, skips),), 1000, effort.order_s),
        Cell("duplication", "duplication", ((0.0, Impairment(Delay(0.005), duplication=0.05)),),
             1000, effort.order_s),
    ]  # fmt: skip


def _events(effort: Effort) -> list[Cell]:
    base, quarter = Impairment(Delay(0.005)), effort.event_s / 4
    states = {
        "step": ((0.0, base), (2 * quarter, Impairment(Delay(0.025)))),
        "outage": ((0.0, base), (quarter, Impairment(up=False)), (2 * quarter, base)),
        "hold": ((0.0, base), (quarter, Impairment(hold=True)), (2 * quarter, base)),
    }
    # What was held leaves at once, 2 to 5 µs after one another: more packets would measure how
    # fast a burst is sent.
    rates_pps = {"step": 4000, "outage": 4000, "hold": 400}
    return [
        Cell(name, name, of, rates_pps[name], effort.event_s)  # type: ignore[arg-type]
        for name, of in states.items()
    ]


def short_cells() -> tuple[Cell, ...]:
    """What is looked at before each run: delay, jitter, loss in bursts, a step."""
    mixed = Impairment(Delay(0.020, "normal", 0.002), loss=GilbertElliott(0.01, 0.25))
    step = ((0.0, Impairment(Delay(0.005))), (0.15, Impairment(Delay(0.025))))
    return (
        Cell("delay 20 ms", "path", ((0.0, Impairment(Delay(0.020))),), 1000, 0.5),
        Cell("jitter and loss", "loss", ((0.0, mixed),), 1000, 1.0),
        Cell("step", "step", step, 4000, 0.3),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell lies in a trial: its packets' numbers, and when the first one's slot begins."""

    cell: Cell
    first: int
    end: int
    start_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """Cells one after the other; shapes (n,), ns of session time, captured bytes."""

    places: tuple[Place, ...]
    changes: tuple[tuple[int, Impairment], ...]
    send_ns: NDArray[np.int64]
    sizes: NDArray[np.int64]
    end_ns: int


def lay(cells: Iterable[Cell], settle_s: float = SETTLE_S) -> Laid:
    """Lay cells out. Packets go in the middle of their slots, so never at a change."""
    places: list[Place] = []
    changes: list[tuple[int, Impairment]] = []
    sends, sizes, t_ns, number = [], [], 0, 0
    for cell in cells:
        start = t_ns + ns(settle_s)
        changes.append((t_ns, cell.states[0][1]))
        changes += [(start + ns(t_s), state) for t_s, state in cell.states[1:]]
        slots = (np.arange(cell.count) + 0.5) / cell.rate_pps
        sends.append(start + np.rint(slots * NS_PER_S).astype(np.int64))
        sizes.append(np.full(cell.count, cell.size_bytes, dtype=np.int64))
        places.append(Place(cell, number, number + cell.count, start))
        number += cell.count
        t_ns = start + ns(cell.seconds + cell.tail_s)
    return Laid(tuple(places), tuple(changes), np.concatenate(sends), np.concatenate(sizes), t_ns)


def seconds_of(cells: Iterable[Cell], overhead_s: float = 1.0) -> float:
    """About how long a trial of these cells takes, starting and ending included."""
    return overhead_s + sum(SETTLE_S + cell.seconds + cell.tail_s for cell in cells)


def trials_of(cells: Sequence[Cell], trial_s: float) -> list[list[Cell]]:
    """The cells in groups that each make one trial of bounded length."""
    groups: list[list[Cell]] = []
    for cell in cells:
        if groups and seconds_of([*groups[-1], cell], 0.0) <= trial_s:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return groups
