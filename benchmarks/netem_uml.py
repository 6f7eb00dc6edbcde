"""The userspace emulator beside netem on the same work: netem in User-Mode Linux.

``python -m benchmarks.netem_uml [--json]``: that kernel has netem and one processor, and keeps time
badly, so its figures say how the two compare there, not what either reaches on a host; the
userspace emulator is measured on this host as well. The work is the scenario of the three-way test:
packets of 64 to 1400 bytes through constant delay, four laws of jitter, two of loss and a rate.
What a stall or a late sender spoilt is repeated, or not shown.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from types import ModuleType
from typing import Any

import numpy as np

from bench.benches.fidelity.bench import FidelityBench
from bench.benches.local.emulation import netem_problem
from bench.units import NS_PER_S
from benchmarks.uml import ROOT, in_uml

_WITHIN_S = 1200.0
_HOST_LEAD_NS = 400_000_000
_LEAD_NS = 10_000_000_000
"""Where a switch between processes costs much, the guest is long in getting ready."""

_GUEST = """
import json, os, sys

os.environ["PATH"] = {path!r}
sys.path[:0] = [{root!r}, {root!r} + "/tests/instruments"]
from benchmarks.netem_uml import measured

print("NETEM-RESULT " + json.dumps(measured()), flush=True)
"""


def _work() -> ModuleType:
    """The scenario, and how it is carried out in the guest."""
    file = ROOT / "tests" / "instruments" / "three_way_guest.py"
    spec = importlib.util.spec_from_file_location("three_way_guest", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured() -> dict[str, dict[str, Any]]:
    """In the guest: by emulator and cell, packets lost and the delay's quantiles in s."""
    work = _work()
    work.insmod()
    # While nothing else runs: what is found is known to the emulators, which are forked from here.
    if problem := netem_problem():
        raise SystemExit(problem)
    work.prefer_the_kernel()
    found: dict[str, dict[str, Any]] = {}
    for backend in ("userspace", "netem"):
        stage = work.Stage(work.WATCH)
        try:
            found[backend] = _seen(work, work.attempts(backend, stage.carry_out, _LEAD_NS))
        finally:
            stage.close()
    return found


def measured_here() -> dict[str, Any]:
    """The userspace emulator on this host, as :func:`measured`."""
    work = _work()
    with FidelityBench("userspace", wait_s=300.0) as bench:
        return _seen(work, work.attempts("userspace", bench.run, _HOST_LEAD_NS))


def _seen(work: ModuleType, attempted: Any) -> dict[str, Any]:
    usable, lacking, reason = attempted
    found: dict[str, Any] = {name: {"why": reason} for name in lacking}
    for played, good, passed, _ in usable:
        laid = work.laid_out([work.SHOWN[number] for number in played])
        for number, place in zip(played, laid.places[1:], strict=True):
            # Some cells are played again, shorter: the figures are of the whole one.
            if number in good and number < len(work.CELLS):
                found[place.cell.name] = _figures(passed, place, laid.send_ns)
    return found


def _figures(passed: Any, place: Any, planned_ns: Any) -> dict[str, Any]:
    own = passed.part(place.first, place.end)
    # A packet that goes when the next cell is on gets that one's state.
    beyond = own.sent_ns - planned_ns[place.first : place.end] > place.cell.tail_s * NS_PER_S
    if beyond.any():
        return {"why": f"{int(beyond.sum())} packets were sent too late for its state"}
    delay_s = (own.seen_ns - own.sent_ns[own.seen]) / 1e9
    quantiles = np.quantile(delay_s, [0.5, 0.99]) if len(delay_s) else (None, None)
    return {
        "sent": place.end - place.first,
        "lost": place.end - place.first - len(np.unique(own.seen)),
        "p50_s": None if quantiles[0] is None else float(quantiles[0]),
        "p99_s": None if quantiles[1] is None else float(quantiles[1]),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {"userspace on this host": measured_here()}
    found |= in_uml(_GUEST.format(path=path, root=str(ROOT)), _WITHIN_S)
    if arguments.json:
        print(json.dumps(found))
        return
    for name in found["netem"]:
        for backend, rows in found.items():
            row = rows[name]
            if "why" in row:
                print(f"{name:14} {backend:22} not shown: {row['why']}")
                continue
            delay = f"p50 {1e3 * row['p50_s']:7.3f} ms   p99 {1e3 * row['p99_s']:7.3f} ms"
            print(f"{name:14} {backend:22} lost {row['lost']:4} of {row['sent']:4}   {delay}")


if __name__ == "__main__":
    main()
