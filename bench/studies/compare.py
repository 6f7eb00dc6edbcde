"""``bench compare RUN RUN…``: what changed between runs, and whether it is more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from bench.errors import InputError
from bench.judge.verdict import Outcome, Verdict
from bench.runs.reader import StoredRun, read_run, read_stimulus
from bench.sessions.codec import to_json

Change = Literal["none", "noise", "significant", "not compared"]

Key = tuple[str, str, str]
"""Requirement, stream, test."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one run says of a requirement. Figures SI; ``None`` where the run has no verdict.

    ``change``: against the first run. ``reason``: why it is called that.
    """

    run: str
    verdict: str | None
    value: float | None
    uncertainty: float | None
    lower: float | None
    upper: float | None
    margin: float | None
    n: int | None
    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement for one stream in one test, across the runs."""

    requirement: str
    stream: str
    test: str
    metric: str
    unit: str
    limit: float | None
    comparator: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs in the order given, and a row per verdict key.

    ``forced``: differences of stimulus or catalogue that were allowed.
    """

    runs: tuple[str, ...]
    rows: tuple[Row, ...]
    forced: tuple[str, ...]

    @property
    def worse(self) -> tuple[Row, ...]:
        """Rows that passed in the first run and fail in the last."""
        return tuple(
            row
            for row in self.rows
            if (row.cells[0].verdict, row.cells[-1].verdict) == (Outcome.PASS, Outcome.FAIL)
        )

    def to_json(self) -> dict[str, Any]:
        """``{"runs": [...], "requirements": [...], "forced": [...]}``."""
        rows = [to_json(row) for row in self.rows]
        return {"runs": list(self.runs), "requirements": rows, "forced": list(self.forced)}


def compare(paths: Sequence[Path], *, force: bool = False) -> Comparison:
    """Compare runs with the first of them.

    Args:
        paths: two or more run folders.
        force: compare runs of another stimulus or of other readings of the catalogue too.

    Raises:
        InputError: fewer than two, not a run folder, a run that is not complete, or another
            stimulus or catalogue without ``force``.
    """
    if len(paths) < 2:
        raise InputError("needs two runs or more", remedy="name them", field="RUN")
    runs = [read_run(path) for path in paths]
    for run in runs:
        if not run.complete:
            raise InputError(
                "is incomplete: what it lacks would read as a change",
                remedy="compare complete runs",
                file=run.path,
            )
    first = runs[0]
    differences = [
        f"{run.path.name}: {text}"
        for run in runs[1:]
        for text in (*_other_requirements(first, run), *_other_stimulus(first, run))
    ]
    if differences and not force:
        raise InputError(
            f"cannot be compared with {first.path.name}: {differences[0]}"
            + (f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""),
            remedy="compare runs of one plan and catalogue, or add --force",
            field="RUN",
        )
    verdicts = [{_key(verdict): verdict for verdict in run.verdicts} for run in runs]
    keys = dict.fromkeys(key for each in verdicts for key in each)
    names = tuple(run.path.name for run in runs)
    rows = tuple(_row(key, names, [each.get(key) for each in verdicts]) for key in keys)
    return Comparison(names, rows, tuple(differences))


def _key(verdict: Verdict) -> Key:
    return verdict.requirement, verdict.stream, verdict.test


def _other_requirements(first: StoredRun, other: StoredRun) -> list[str]:
    """Requirements that both judged, but not by the same text."""
    return [
        f"the catalogue has another {name}"
        for name in first.requirements
        if name in other.requirements and first.requirements[name] != other.requirements[name]
    ]


def _other_stimulus(first: StoredRun, other: StoredRun) -> list[str]:
    """Scenarios that both ran, but not with the same intended impairments."""
    one, two = _intended(first), _intended(other)
    return [
        f"scenario {name} had another stimulus"
        for name in one
        if name in two and one[name] != two[name]
    ]


def _intended(run: StoredRun) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Per scenario what each phase of each step was meant to do; lengths and draws left aside."""
    found = {}
    for session in run.sessions:
        if session.trial == 0 and session.completion == "complete":
            found[session.scenario] = tuple(
                (s.step, s.phase, s.role, s.link, s.direction, s.intended)
                for s in read_stimulus(run, session.id)
            )
    return found


def _row(key: Key, names: Sequence[str], verdicts: Sequence[Verdict | None]) -> Row:
    known = next(verdict for verdict in verdicts if verdict is not None)
    return Row(
        requirement=key[0],
        stream=key[1],
        test=key[2],
        metric=known.metric,
        unit=known.unit,
        limit=known.limit,
        comparator=known.comparator,
        cells=tuple(
            _cell(name, verdicts[0], verdict, place == 0)
            for place, (name, verdict) in enumerate(zip(names, verdicts, strict=True))
        ),
    )


def _cell(name: str, first: Verdict | None, found: Verdict | None, is_first: bool) -> Cell:
    change: Change = "none"
    reason = ""
    if not is_first:
        change, reason = change_between(first, found)
    if found is None:
        return Cell(name, None, None, None, None, None, None, None, change, reason)
    return Cell(
        name,
        str(found.verdict),
        found.value,
        found.uncertainty,
        found.lower,
        found.upper,
        found.margin,
        found.n,
        change,
        reason,
    )


_DECIDED = (Outcome.PASS, Outcome.FAIL)

SIGNIFICANCE = 0.01
_LEAST_TRIALS = 5


def change_between(first: Verdict | None, other: Verdict | None) -> tuple[Change, str]:
    """Whether two verdicts on the same differ by more than what each leaves open, and why.

    Behaviours: significant where one passes and the other fails, or where the trials of the two
    differ (Mann-Whitney U test at :data:`SIGNIFICANCE`, which takes five trials each). Figures:
    significant where the intervals, each at its verdict's confidence, are disjoint.
    """
    if first is None or other is None:
        return "not compared", "judged in one of the runs only"
    if first.verdict not in _DECIDED or other.verdict not in _DECIDED:
        return "not compared", "one of the two is neither PASS nor FAIL"
    if (first.value, first.trials) == (other.value, other.trials):
        return "none", ""
    if first.trials or other.trials:
        return _between_trials(first, other)
    return _between_intervals(first, other)


def _between_trials(first: Verdict, other: Verdict) -> tuple[Change, str]:
    if first.verdict != other.verdict:
        return "significant", f"{first.verdict} became {other.verdict}"
    samples = [
        np.array([math.inf if trial is None else trial for trial in each.trials], dtype=np.float64)
        for each in (first, other)
    ]
    counts = f"{len(samples[0])} and {len(samples[1])} trials"
    if min(map(len, samples)) < _LEAST_TRIALS:
        return "noise", f"{counts} do not tell the device's own spread"
    p = float(stats.mannwhitneyu(samples[0], samples[1]).pvalue)
    return ("significant" if p < SIGNIFICANCE else "noise"), f"{counts}, p = {p:.2g}"


def _between_intervals(first: Verdict, other: Verdict) -> tuple[Change, str]:
    one, two = _interval(first), _interval(other)
    if one[1] < two[0] or two[1] < one[0]:
        return "significant", "disjoint intervals"
    return "noise", "intervals overlap"


def _interval(verdict: Verdict) -> tuple[float, float]:
    """What the verdict leaves open; without bounds, the expanded uncertainty alone."""
    value, spread = verdict.value, verdict.uncertainty or 0.0
    if verdict.lower is None and verdict.upper is None and value is not None:
        return value - spread, value + spread
    low = -math.inf if verdict.lower is None else verdict.lower
    return low, math.inf if verdict.upper is None else verdict.upper
