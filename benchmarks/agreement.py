"""Whether the virtual and the local bench agree on the verdicts of the same sessions.

``python -m benchmarks.agreement [--device NAME …] [--seed N] [--json]``, or :func:`agreement`. Each
simulated device goes through its steady, outage and handover scenario on both benches, as
``bench run`` does it, with the same budget; every verdict that both give is compared, and told
device by device (``--json``: a line each). One that only
one of them gives (the other's noise or time does not suffice) is counted, with the reason.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.devices.registry import find_device, names
from bench.judge.scope import Candidate
from bench.studies.collection import collect
from bench.studies.invoke import plan_folders
from bench.studies.planning import STEADY
from bench.studies.run import Run, RunOptions

SCENARIOS = (STEADY, "primary-outage", "nr-handover")
BUDGET_S = 60.0

Key = tuple[str, str, str]


class Nobody:
    """Watches a run and says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def judged(device: str, bench: str, seed: int) -> dict[Key, tuple[str, str]]:
    """Verdict (or that it is out of scope) and reason per requirement, stream and test."""
    wanted = [c for c in collected(device) if c.scenario in SCENARIOS]
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(
            "agreement", find_device(device), bench=bench, seed=seed, results=Path(folder),
            budget_s=BUDGET_S,
        )  # fmt: skip
        run = Run(options, Nobody())
        run.open()
        try:
            run.settle_scope(wanted)
            return {_key(item): _verdict(run, item) for item in run.scope}
        finally:
            run.close()


def collected(device: str) -> tuple[Candidate, ...]:
    """What every plan would judge this device on."""
    return collect(list(plan_folders().values()), device).candidates


def _key(item: Any) -> Key:
    return (item.requirement, item.stream, item.test)


def _verdict(run: Run, item: Any) -> tuple[str, str]:
    if not item.in_scope:
        return "out of scope", f"{item.reason} {item.figure}".strip()
    found = run.judge(item, run.recordings(item))
    return str(found.verdict), found.reason


def compared(device: str, seed: int) -> dict[str, Any]:
    """One device: how many verdicts are the same, and every other one in words."""
    virtual, local = (judged(device, bench, seed) for bench in ("virtual", "local"))
    both = [k for k in virtual if "out of scope" not in (virtual[k][0], local[k][0])]
    same = [k for k in both if virtual[k][0] == local[k][0]]
    alone = [k for k in virtual if "out of scope" in {virtual[k][0], local[k][0]}]
    alone = [k for k in alone if virtual[k][0] != local[k][0]]
    return {
        "device": device,
        "compared": len(both),
        "same": len(same),
        "different": [_difference(k, virtual[k], local[k]) for k in both if k not in same],
        "one_bench_only": len(alone),
        "why": dict(Counter(_missing(virtual[k], local[k]) for k in alone)),
    }


def _missing(virtual: tuple[str, str], local: tuple[str, str]) -> str:
    """Which bench gave no verdict, and why."""
    if virtual[0] == "out of scope":
        return f"virtual: {virtual[1]}"
    return f"local: {local[1]}"


def _difference(key: Key, virtual: tuple[str, str], local: tuple[str, str]) -> dict[str, str]:
    requirement, stream, test = key
    return {
        "requirement": requirement, "stream": stream, "test": test,
        "virtual": ": ".join(virtual), "local": ": ".join(local),
    }  # fmt: skip


def agreement(
    devices: Iterable[str] = (), tick: Callable[[], None] = lambda: None, seed: int = 7
) -> dict[str, Any]:
    """Every device (default: all that come with the bench); ``tick`` is called after each."""
    found = []
    for device in tuple(devices) or names():
        found.append(compared(device, seed))
        tick()
    return {"budget_s": BUDGET_S, "scenarios": list(SCENARIOS), "devices": found}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", action="append", default=[], choices=names())
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for device in given.device or names():
        found = compared(device, given.seed)
        print(json.dumps(found) if given.json else in_words(found), flush=True)


def in_words(found: dict[str, Any]) -> str:
    """One device's comparison, every difference on a line of its own."""
    lines = [
        f"{found['device']:24} {found['same']} of {found['compared']} verdicts the same, "
        f"{found['one_bench_only']} on one bench only"
    ]
    lines += [f"  {count}: {reason}" for reason, count in found["why"].items()]
    for other in found["different"]:
        lines.append("  " + "; ".join(f"{name} {value}" for name, value in other.items()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
