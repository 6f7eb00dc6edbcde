"""From ``--bench`` to a bench."""

from __future__ import annotations

from bench.benches.base import Bench
from bench.benches.virtual import VirtualBench
from bench.errors import InputError

NAMES = ("auto", "virtual", "local")


def make_bench(name: str) -> Bench:
    """The bench of that name; ``auto`` is the best one that this host offers.

    Raises:
        InputError: unknown name, or this host cannot carry it.
    """
    if name == "auto":
        from bench.benches.check import best_bench

        name, _ = best_bench()
    if name == "virtual":
        return VirtualBench()
    if name == "local":
        from bench.benches.local.bench import LocalBench

        return LocalBench()
    raise InputError(
        "unknown bench", remedy=f"use one of {', '.join(NAMES)}", field="--bench", value=name
    )
