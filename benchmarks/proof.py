"""The long proofs, with dated figures: ``./run proof [--seeds N] [--kills N] [--only PART]``.

* ``healthy``: the healthy robot over many seeds on the virtual bench; anything but PASS counts.
* ``defects``: every deliberate defect over many seeds; caught means FAIL in what it breaks.
* ``repeat``: one seed twice, every scenario; the content hashes must be equal.
* ``floor``: noise floor of the local bench.
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
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress as Bar

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.judge.verdict import Verdict
from bench.measure.floor import measure_floor
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.runs.content import recording_hash
from bench.sessions.recording import Recording, Session
from benchmarks.emulate_kills import kill_emulate

WHERE = Path(__file__).resolve().parents[1] / "results" / "proof.jsonl"

JUDGED = {
    "MON-2": (
        "primary-outage", "blackout", "delay-ramp", "loss-step", "radio-link-failure",
        "urumqi-shanghai", "beijing-shanghai",
    ),
    "LIM-1": ("delay-ramp", "urumqi-shanghai", "beijing-shanghai"),
    "LIM-2": ("loss-step",),
    "FAIL-1": ("urumqi-shanghai", "beijing-shanghai"),
    "FAIL-3": ("blackout",),
    "SW-1": ("primary-outage", "radio-link-failure"),
    "REC-1": ("blackout",),
    "LOC-1": ("local-stop",),
    "MOB-1": ("nr-handover", "radio-link-failure"),
}  # fmt: skip
"""Behaviour to the scenarios in which the therapy plan judges it."""


def record(scenario: str, seed: int, defects: dict[str, float]) -> Recording:
    """One session on the virtual bench."""
    device = find_device("telesurgery-robot").with_defects(defects)
    session = Session("proof", device, library.find_scenario(scenario), seed)
    return VirtualBench().run(session, Nowhere())


def verdicts(seed: int, defects: dict[str, float], wanted: tuple[str, ...]) -> list[Verdict]:
    """The verdicts of the behaviours in ``wanted`` for one seed."""
    catalogue = load_catalogue()
    floor = measure_floor(record("null-path", seed, {}))
    recordings: dict[str, Recording] = {}
    found = []
    for requirement in wanted:
        for scenario in JUDGED[requirement]:
            if scenario not in recordings:
                recordings[scenario] = record(scenario, seed, defects)
            recording = recordings[scenario]
            found.append(
                assess(
                    catalogue.get(requirement), recording.device, "", [recording],
                    stimulus={recording.session_id: achieved(recording, floor)},
                    floor=floor, planned_n=1, test=scenario,
                )
            )  # fmt: skip
    return found


def healthy(seeds: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Outcomes of the healthy robot."""
    counts: Counter[str] = Counter()
    for seed in range(1, seeds + 1):
        counts.update(str(v.verdict) for v in verdicts(seed, {}, tuple(JUDGED)))
        tick()
    return {"seeds": seeds, "outcomes": dict(counts)}


def defects(seeds: int, tick: Callable[[], None]) -> dict[str, Any]:
    """How often each defect is caught by what it breaks."""
    caught = {}
    for name, defect in DEFECTS.items():
        hits = 0
        for seed in range(1, seeds + 1):
            outcomes = verdicts(seed, {name: defect.size}, defect.breaks)
            hits += all(
                any(v.verdict == "FAIL" and v.requirement == broken for v in outcomes)
                for broken in defect.breaks
            )
            tick()
        caught[name] = hits
    return {"seeds": seeds, "caught": caught}


def repeat(_: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Scenarios whose second recording differs from the first."""
    different = []
    for scenario in sorted(set(library.SCENARIOS) - {"steady-5g-slice"}):
        first, second = (recording_hash(record(scenario, 7, {})) for _ in range(2))
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


PARTS = ("repeat", "healthy", "defects", "floor", "kills", "emulate-kills")


def main() -> None:
    """Run the parts and append their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    parts: dict[str, tuple[Callable[[int, Callable[[], None]], dict[str, Any]], int, int]] = {
        "repeat": (repeat, 0, len(library.SCENARIOS) - 1),
        "healthy": (healthy, arguments.seeds, arguments.seeds),
        "defects": (defects, arguments.seeds, arguments.seeds * len(DEFECTS)),
        "floor": (floor, 0, 1),
        "kills": (kills, arguments.kills, arguments.kills),
        "emulate-kills": (kill_emulate, 50, 50),
    }
    WHERE.parent.mkdir(exist_ok=True)
    for name, (part, size, steps) in parts.items():
        if arguments.only not in (None, name):
            continue
        with Bar() as bar:
            task = bar.add_task(name, total=steps)
            figures = part(size, lambda task=task: bar.advance(task))  # type: ignore[misc]
        line = {"date": datetime.now(UTC).date().isoformat(), "host": platform.release()}
        text = json.dumps({**line, "part": name, **figures})
        with WHERE.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
