"""The long proof that the bench can fail a device: every defect over 100 seeds, healthy ones too.

``./run proof --only prove [--seeds 100]``. Each unit is kept in ``results/prove.jsonl`` as it
ends, so that an interrupted proof goes on where it was; what was kept of another state of the
project is thrown away. The table comes to ``results/prove.md``; ``--publish`` puts it into
``docs/prove.md`` as well.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.report.prove import Lines, markdown
from bench.requirements.loader import load_catalogue
from bench.studies.prove import DefectResult, Proved, healthy_units, to_json
from bench.studies.prove_run import Hands, Wish, prove, subjects_of
from bench.studies.prove_units import Done, Seen
from benchmarks.kept import Kept, state_of

TOP = Path(__file__).resolve().parents[1]
DOCS = TOP / "docs" / "prove.md"
BEGIN, END = "<!-- table: ./run proof --only prove --publish -->", "<!-- end of the table -->"
HEALTHY_SESSIONS = 1000
OTHER_DEVICES_SEEDS = 3
"""Each defect runs over all seeds on one device, and over so many on every other."""


ELSEWHERE = (
    "bench/benches/fidelity", "bench/benches/lab", "bench/benches/local", "bench/commands",
    "bench/report", "bench/runs",
)  # fmt: skip
"""What no unit of the proof rests on: it is played on the virtual bench and never written."""


def state_of_the_project() -> str:
    """A digest of everything that decides what a unit comes to."""
    return state_of(TOP, ("bench", "fixtures", "testplans"), without=ELSEWHERE)


def kept_units(path: Path, state: str) -> Kept[str, Done]:
    """The units that were carried out in a state, by key."""

    def read(entry: dict[str, Any]) -> Done:
        return Done(seen=tuple(Seen(**each) for each in entry.pop("seen")), **entry)

    return Kept(path, state, read, lambda done: done.key)


def seeds_for(sessions: int) -> int:
    """How many seeds give so many healthy sessions; not every seed has the same."""
    subjects, catalogue, seeds = subjects_of(Wish()), load_catalogue(), 1
    while (found := len(healthy_units(subjects, catalogue, seeds))) < sessions:
        seeds += max(1, (sessions - found) * seeds // found)
    return seeds


def run(seeds: int, *, results: Path, publish: bool) -> dict[str, Any]:
    """Carry the proof out; the figures in short."""
    kept = kept_units(results / "prove.jsonl", state_of_the_project())
    made = (
        f"Made on {datetime.now(UTC).date().isoformat()}, at {_commit()}."  # before it is published
    )
    healthy_seeds = min(seeds, seeds_for(HEALTHY_SESSIONS))
    wish = Wish(seeds=seeds, healthy_seeds=healthy_seeds)
    other = Wish(seeds=min(seeds, OTHER_DEVICES_SEEDS), healthy_seeds=0, everywhere=True)
    sizes = Wish(seeds=min(seeds, 10), healthy_seeds=0, find_size=True)
    with Lines() as watch, Hands(watch, kept.done, kept.keep) as hands:
        found = prove(wish, hands)
        _write(found, results, publish, made)
        with_sizes = {(d.defect, d.device): d.certain_from for d in prove(sizes, hands).defects}
        _write(_table(found, with_sizes), results, publish, made)
        elsewhere = prove(other, hands)
    here = {(d.defect, d.device) for d in found.defects}
    beside = tuple(d for d in elsewhere.defects if (d.defect, d.device) not in here)
    _write(_table(found, with_sizes), results, publish, made, beside)
    healthy = found.healthy
    return {
        "seeds": seeds,
        "defects": len(found.defects),
        "not_certain": [d.defect for d in found.defects if not d.certain],
        "not_certain_elsewhere": [f"{d.defect} on {d.device}" for d in beside if not d.certain],
        "healthy_sessions": healthy.sessions,
        "false_fail": healthy.false_fail,
        "inconclusive": healthy.inconclusive,
        "error": healthy.error,
        "verdicts": healthy.verdicts,
    }


def _write(
    found: Proved,
    results: Path,
    publish: bool,
    made: str,
    beside: tuple[DefectResult, ...] = (),
) -> None:
    """What is known so far: the sizes and the other devices come later, and take as long again."""
    text = _page(found, made, beside)
    (results / "prove.md").write_text(text + "\n", encoding="utf-8")
    (results / "prove.json").write_text(json.dumps(to_json(found)), encoding="utf-8")
    if publish:
        _publish(text)


def _table(found: Proved, sizes: dict[tuple[str, str], float | None]) -> Proved:
    defects = tuple(replace(d, certain_from=sizes.get((d.defect, d.device))) for d in found.defects)
    return replace(found, defects=defects)


def _page(found: Proved, made: str, beside: tuple[DefectResult, ...]) -> str:
    parts = [made, markdown(found)]
    if beside:
        certain = sum(d.certain for d in beside)
        parts.append(
            f"On every other device that can have them: {certain} of {len(beside)} pairs "
            f"of defect and device detected in all of {beside[0].seeds} seeds."
        )
        missed = [f"* {d.defect} on {d.device}: {d.note}" for d in beside if not d.certain]
        parts += ["Not in all:\n\n" + "\n".join(missed)] if missed else []
    return "\n\n".join(parts)


def _commit() -> str:
    """Which commit the working tree is, and whether it was changed since."""
    command = ["git", "-C", str(TOP), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "an unknown commit"


def _publish(text: str) -> None:
    page = DOCS.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def part(publish: bool) -> Callable[[int, Callable[[], None]], dict[str, Any]]:
    """The proof as a part of :mod:`benchmarks.proof`; it shows its own progress."""

    def prove_part(seeds: int, tick: Callable[[], None]) -> dict[str, Any]:
        return run(seeds, results=TOP / "results", publish=publish)

    return prove_part
