"""Carrying out ``bench prove``: what to prove from the user's words, and on how many processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from types import TracebackType
from typing import Protocol, Self

from bench.devices.defects import parse_defect
from bench.devices.registry import find_device, machine_of, names
from bench.errors import InputError
from bench.requirements.loader import load_catalogue
from bench.studies.collection import collect
from bench.studies.invoke import ALL, plan_folders_of
from bench.studies.prove import (
    Proved,
    Subject,
    chosen_defects,
    faulty,
    find_sizes,
    healthy_units,
    judges_all,
    prove_defects,
    prove_healthy,
)
from bench.studies.prove_units import Done, Unit, carry_out

WORTH_A_POOL = 24
"""Fewer units are done before a second process has started."""

MOST_SEEDS = 10_000


@dataclass(frozen=True, slots=True)
class Wish:
    """The words of one ``bench prove``; empty tuples: all.

    ``plans`` or ``devices`` without ``defects``: those defects of which the plans judge, on these
    devices, all that they break.
    ``healthy_seeds``: None for as many as ``seeds``. ``everywhere``: each defect on every device
    that can have it.
    """

    plans: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    seeds: int = 10
    healthy_seeds: int | None = None
    everywhere: bool = False
    find_size: bool = False


class Watch(Protocol):
    """Told how a run of ``bench prove`` goes on."""

    def begin(self, what: str, total: int) -> None:
        """A part of so many units begins; 0: nobody knows how many."""

    def tick(self) -> None:
        """One unit is done."""

    def end(self) -> None:
        """The part is over."""


@dataclass
class Hands:
    """Carries units out: here, or in as many processes as there are cores where that pays.

    A context manager: leaving it ends the processes.

    ``known``: units that were carried out before, by key. ``keep``: told of each new one.
    """

    watch: Watch
    known: Mapping[str, Done] = field(default_factory=dict)
    keep: Callable[[Done], None] | None = None
    processes: int = 0
    _pool: Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    def __call__(self, units: Sequence[Unit]) -> Iterator[Done]:
        """What became of the units, in any order.

        Raises:
            InputError: a device or a defect comes out of a file that cannot be used.
        """
        new = [unit for unit in units if unit.key not in self.known]
        for unit in units:
            if unit.key in self.known:
                self.watch.tick()
                yield self.known[unit.key]
        for done in self._map(new):
            if self.keep is not None:
                self.keep(done)
            self.watch.tick()
            yield done

    def _map(self, units: Sequence[Unit]) -> Iterator[Done]:
        count = self.processes or len(os.sched_getaffinity(0))
        if self._pool is None and (count < 2 or len(units) < WORTH_A_POOL):
            return map(carry_out, units)
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = context.Pool(count, initializer=_leave_signals_to_the_parent)
        return self._pool.imap_unordered(carry_out, units)


def _leave_signals_to_the_parent() -> None:
    """Ctrl-C comes to every process of the terminal; the parent ends its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def subjects_of(wish: Wish) -> tuple[Subject, ...]:
    """The devices of a wish with what its plans judge on them.

    Raises:
        InputError: unknown plan or device, or a device that is not simulated.
    """
    found = []
    for name in wish.devices or names():
        device = find_device(name)
        if not device.simulated:
            raise InputError(
                "is not simulated: its defects are not known",
                remedy="name a simulated device",
                field="--device",
                value=name,
            )
        machine_of(device.machine)
        folders = plan_folders_of(wish.plans or (ALL,), name)
        found.append(Subject(device, collect(folders, name).candidates))
    return tuple(found)


def prove(wish: Wish, hands: Hands) -> Proved:
    """Carry out what a wish asks for.

    Raises:
        InputError: a plan, device, defect or number that cannot be used.
    """
    if not 1 <= wish.seeds <= MOST_SEEDS:
        raise InputError(
            f"is not from 1 to {MOST_SEEDS}",
            remedy="give a number of seeds, like 10",
            field="--seeds",
            value=wish.seeds,
        )
    asked = dict(_asked(text) for text in wish.defects)
    catalogue, subjects = load_catalogue(), subjects_of(wish)
    defects = chosen_defects(asked, subjects)
    cases = faulty(subjects, defects, catalogue, everywhere=wish.everywhere)
    left_out: dict[str, None] = {}
    if (wish.plans or wish.devices) and not asked:  # what others judge says nothing of these
        left_out = dict.fromkeys(case.defect for case in cases if not judges_all(case))
        cases = tuple(case for case in cases if case.defect not in left_out)
    watch = hands.watch
    watch.begin("defects", len(cases) * wish.seeds)
    results = prove_defects(cases, wish.seeds, hands)
    watch.end()
    if wish.find_size:
        watch.begin("sizes", 0)
        results = find_sizes(cases, results, wish.seeds, hands)
        watch.end()
    if asked:
        broken = {name for case in cases for name in case.breaks}
        subjects = tuple(
            Subject(s.device, tuple(c for c in s.candidates if c.requirement in broken))
            for s in subjects
        )
    healthy_seeds = wish.seeds if wish.healthy_seeds is None else wish.healthy_seeds
    units = healthy_units(subjects, catalogue, healthy_seeds)
    watch.begin("healthy devices", len(units))
    healthy = prove_healthy(units, hands)
    watch.end()
    return Proved(results, healthy, tuple(left_out))


def _asked(text: str) -> tuple[str, float | None]:
    """Name and size of a defect; None where the text leaves the size to the device."""
    name, size = parse_defect(text)
    return name, size if "=" in text.rpartition(".py:")[2] else None
