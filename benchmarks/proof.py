"""The long proofs, with dated figures: ``./run proof [--only PART]`` (``--help``).

* ``prove``: every deliberate defect over many seeds, and healthy devices (``benchmarks.prove``).
* ``suite``: all plans on every device, quick, on the virtual bench (``benchmarks.suite``).
* ``repeat``: one seed twice, every scenario; the content hashes must be equal.
* ``floor``: noise floor of the local bench.
* ``coexistence``: random faults of the simulated laboratory (``benchmarks.coexistence_faults``).
* ``instruments``: random faults of simulated instruments in random programs of the drivers
  (``benchmarks.instrument_faults``); no number may be wrong.
* ``overhead``: transactions against bare PyVISA on loopback (``benchmarks.visa_overhead``).
* ``kills``: SIGKILL of a local run at a random moment; nothing of it may stay on the host.

Each part appends one JSON line to ``results/proof.jsonl`` as it ends, so that a part that came
to its end is kept when a later one is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress as Bar

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device, names
from bench.measure.floor import measure_floor
from bench.network import library
from bench.runs.content import recording_hash
from bench.sessions.recording import Recording, Session
from benchmarks import instrument_faults, prove, suite, visa_overhead
from benchmarks.coexistence_faults import faults
from benchmarks.emulate_kills import kill_emulate

WHERE = Path(__file__).resolve().parents[1] / "results" / "proof.jsonl"


def record(scenario: str, seed: int) -> Recording:
    """One session on the virtual bench."""
    device = find_device("telesurgery-robot")
    session = Session("proof", device, library.find_scenario(scenario), seed)
    return VirtualBench().run(session, Nowhere())


def repeat(_: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Scenarios whose second recording differs from the first."""
    different = []
    for scenario in sorted(set(library.SCENARIOS) - {"steady-5g-slice"}):
        first, second = (recording_hash(record(scenario, 7)) for _ in range(2))
        if first != second:
            different.append(scenario)
        tick()
    return {"different": different}


def floor(_: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Noise floor of the local bench, per stream, in s."""
    from bench.benches.local.bench import LocalBench

    device = find_device("telesurgery-robot")
    with LocalBench(wait_s=300.0) as bench:
        session = Session("proof", device, library.null_path(20.0), 7)
        found = measure_floor(bench.run(session, Nowhere()))
    tick()
    return {name: asdict(stream) for name, stream in found.streams.items()}


def overhead(tick: Callable[[], None]) -> dict[str, Any]:
    """What transactions cost, in s and as multiples of bare PyVISA."""
    found = visa_overhead.figures()
    tick()
    return found


def kills(count: int, tick: Callable[[], None]) -> dict[str, Any]:
    """SIGKILL local runs at random moments of their first 15 s; count what stays."""
    rng = random.Random(7)
    left = []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as results:
            words = [sys.executable, "-m", "bench.cli", "run", "therapy"]
            words += ["--device", "telesurgery-robot", "--bench", "local", "--results", results]
            process = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, "TELEMED_BENCH_PROOF": results},
            )  # fmt: skip
            time.sleep(rng.uniform(0.5, 15))
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(2)
            left += processes_with(f"TELEMED_BENCH_PROOF={results}")
        tick()
    return {"kills": count, "processes_left": len(left)}


def processes_with(entry: str) -> list[int]:
    """Processes whose environment holds ``entry``; their namespaces would live on with them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


PARTS = (
    "repeat", "prove", "suite", "coexistence", "instruments", "overhead", "floor", "kills",
    "emulate-kills",
)  # fmt: skip


def main() -> None:
    """Run the parts and append their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1250, help="of coexistence")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--publish", action="store_true", help="the table also into docs/prove.md")
    arguments = parser.parse_args()
    parts: dict[str, tuple[Callable[[int, Callable[[], None]], dict[str, Any]], int, int]] = {
        "repeat": (repeat, 0, len(library.SCENARIOS) - 1),
        "prove": (prove.part(arguments.publish), arguments.seeds, 0),
        "suite": (lambda _, tick: suite.suite(names(), tick), 0, len(names())),
        "coexistence": (faults, arguments.runs, arguments.runs),
        "instruments": (instrument_faults.proof, arguments.faults, arguments.faults),
        "overhead": (lambda _, tick: overhead(tick), 0, 1),
        "floor": (floor, 0, 1),
        "kills": (kills, arguments.kills, arguments.kills),
        "emulate-kills": (kill_emulate, 50, 50),
    }
    WHERE.parent.mkdir(exist_ok=True)
    for name, (part, size, steps) in parts.items():
        if arguments.only not in (None, name):
            continue
        with Bar(disable=not steps) as bar:
            task = bar.add_task(name, total=steps)
            figures = part(size, lambda task=task: bar.advance(task))  # type: ignore[misc]
        line = {"date": datetime.now(UTC).date().isoformat(), "host": platform.release()}
        text = json.dumps({**line, "part": name, **figures})
        with WHERE.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
