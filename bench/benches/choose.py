"""From ``--bench`` to a bench."""

from __future__ import annotations

from pathlib import Path

from bench.benches.base import Bench
from bench.benches.virtual import VirtualBench
from bench.errors import InputError

NAMES = ("auto", "virtual", "local", "simulated-lab")
"""Besides, the path of a bench file (``FILE.toml``)."""


def make_bench(name: str) -> Bench:
    """The bench of that name; ``auto`` is the best one that this host offers.

    Raises:
        InputError: unknown name, a broken bench file, or this host cannot carry it.
    """
    if name == "auto":
        from bench.benches.check import best_bench

        name, _ = best_bench()
    if name == "virtual":
        return VirtualBench()
    if name == "local":
        from bench.benches.local.bench import LocalBench

        return LocalBench()
    if name == "simulated-lab" or name.endswith(".toml"):
        from bench.benches.lab.bench import LabBench
        from bench.benches.lab.file import SHIPPED

        return LabBench(SHIPPED if name == "simulated-lab" else Path(name))
    raise InputError(
        "unknown bench",
        remedy=f"use one of {', '.join(NAMES)}, or FILE.toml",
        field="--bench",
        value=name,
    )


def prospects_of(name: str) -> tuple[str, frozenset[str]]:
    """What the packets of that bench are, and what it offers besides, without taking it.

    Raises:
        InputError: as :func:`make_bench`.
    """
    if name == "auto":
        from bench.benches.check import best_bench

        return best_bench()[0], frozenset()
    bench = make_bench(name)
    return bench.name, bench.offers
