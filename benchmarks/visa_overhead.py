"""What a transaction costs against bare PyVISA on loopback: ``python -m benchmarks.visa_overhead``.

A simulated signal generator runs in a process of its own (``bench simulate instrument``); the same
query goes to it bare (PyVISA with pyvisa-py, ``query``), alone in a session, within a step, and as
a measurement, in alternating short blocks. Reported: the time of one query in the quickest block
and in the median one, and the ratio of the quickest ones: what else runs on the host only adds to
a block, and to a longer one more often. The issue asks for ratios below 3.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyvisa

from instruments.visa import Identity, Resource, Session, Transcript
from instruments.visa.readings import number

QUERY = "FREQ?"


@contextmanager
def simulated() -> Iterator[str]:
    """A simulated generator in a process of its own; its VISA resource."""
    words = [sys.executable, "-m", "bench.cli", "simulate", "instrument", "signal-generator"]
    process = subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["resource"]
    finally:
        process.terminate()
        process.wait(10)


def bare(address: str) -> Callable[[int], None]:
    opened = pyvisa.ResourceManager("@py").open_resource(
        address, read_termination="\n", write_termination="\n", timeout=5000
    )

    def ask(count: int) -> None:
        for _ in range(count):
            opened.query(QUERY)  # type: ignore[attr-defined]

    return ask


def ways(live: Session) -> dict[str, Callable[[int], None]]:
    """The ways to ask through a session."""

    def lone(count: int) -> None:
        for _ in range(count):
            live.query(QUERY)

    def in_step(count: int) -> None:
        with live.step("queries"):
            for _ in range(count):
                live.query(QUERY)

    def lone_measurement(count: int) -> None:
        for _ in range(count):
            live.read(QUERY, "frequency", "Hz", number).number()

    def measurement_in_step(count: int) -> None:
        with live.step("measurements"):
            for _ in range(count):
                live.read(QUERY, "frequency", "Hz", number).number()

    return {
        "query alone": lone,
        "query in a step": in_step,
        "measurement alone": lone_measurement,
        "measurement in a step": measurement_in_step,
    }


def measure(blocks: int, count: int) -> dict[str, list[float]]:
    """Time of one query in each block, s, by way."""
    found: dict[str, list[float]] = {}
    with simulated() as address, tempfile.TemporaryDirectory() as folder:
        where = Resource(
            "generator", address, Identity("Rohde&Schwarz", "SMW200A"), "\n", "\n", 5.0, 5.0
        )
        with (
            Transcript(Path(folder) / "transcript.jsonl") as transcript,
            Session(where, transcript, lock_folder=Path(folder)) as live,
        ):
            asked = {"bare": bare(address), **ways(live)}
            for block in range(blocks + 1):
                for name, ask in asked.items():
                    begun = time.perf_counter()
                    ask(count)
                    spent = (time.perf_counter() - begun) / count
                    if block:  # the first one warms up
                        found.setdefault(name, []).append(spent)
    return found


def main() -> None:
    """Print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.blocks, arguments.count)
    quickest = {name: min(times) for name, times in found.items()}
    median = {name: statistics.median(times) for name, times in found.items()}
    ratios = {name: spent / quickest["bare"] for name, spent in quickest.items()}
    if arguments.json:
        print(json.dumps({"quickest_s": quickest, "median_s": median, "ratio": ratios}))
        return
    print(f"{'':22} {'quickest':>11} {'median':>9} {'ratio':>7}")
    for name in found:
        times = f"{quickest[name] * 1e6:8.0f} us {median[name] * 1e6:6.0f} us"
        print(f"{name:22} {times} {ratios[name]:7.2f}")


if __name__ == "__main__":
    main()
