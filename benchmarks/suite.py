"""The certification suite: all plans on every device, quick, on the virtual bench, side by side.

``python -m benchmarks.suite [--device NAME]``, or ``./run proof --only suite``. A process per core;
the report says how long it took and what each device came to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.devices.registry import find_device, names


def run_all(device: str, results: Path) -> dict[str, Any]:
    """Every plan on one device: exit code, time in s, verdicts by outcome."""
    words = [sys.executable, "-m", "bench.cli", "run", "all", "--device", device]
    words += ["--bench", "virtual", "--results", str(results / device), "--json"]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    ends = [json.loads(line) for line in done.stdout.splitlines()[-1:]]
    verdicts = ends[0].get("verdicts", []) if ends else []
    return {
        "device": device,
        "exit": done.returncode,
        "seconds": round(time.monotonic() - began, 1),
        "verdicts": dict(Counter(v["verdict"] for v in verdicts)),
        "not_passed": sorted(
            {f"{v['requirement']}: {v['reason']}" for v in verdicts if v["verdict"] != "PASS"}
        ),
        "error": done.stderr.strip().splitlines()[-1:] if not verdicts else [],
    }


def work(device: str) -> float:
    """How much there is to do for a device, roughly: moments at which it sends, by functions."""
    profile = find_device(device)
    moments = sum(1 / stream.period_s for stream in profile.active_streams)
    return moments * (1 + len(profile.functions))


def suite(devices: Sequence[str], tick: Callable[[], None]) -> dict[str, Any]:
    """All devices, the busiest first; wall time in s."""
    began = time.monotonic()
    found = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        ordered = sorted(devices, key=work, reverse=True)
        for each in pool.map(lambda name: run_all(name, Path(scratch)), ordered):
            found.append(each)
            tick()
    return {"seconds": round(time.monotonic() - began, 1), "devices": found}


def main() -> None:
    """Run the suite and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", action="append")
    arguments = parser.parse_args()
    found = suite(arguments.device or names(), lambda: None)
    for each in found["devices"]:
        print(json.dumps(each))
    print(f"{len(found['devices'])} devices in {found['seconds']} s")


if __name__ == "__main__":
    main()
