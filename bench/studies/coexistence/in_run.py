"""A coexistence plan within a run: on its bench, watched, kept in run.json."""

from __future__ import annotations

from pathlib import Path

from bench.benches.base import Bench
from bench.errors import InputError
from bench.measure.failure_region import Region
from bench.studies.coexistence.explore import explore
from bench.studies.coexistence.plan import CoexistencePlan, load_plan, shipped_plan
from bench.studies.run import Run

KEY = "coexistence"
"""Of run.json: a :class:`~bench.measure.failure_region.Region`."""


def plan_for(bench: Bench, plan: Path | None) -> CoexistencePlan:
    """The plan of a file, None: the shipped one, if it is of the method that the bench tests by.

    A bench without a laboratory emits nothing, and has no method.

    Raises:
        InputError: a broken plan, or one of another method.
    """
    found = load_plan(plan) if plan is not None else shipped_plan()
    method = getattr(bench, "method", found.method)
    if found.method == method:
        return found
    raise InputError(
        f"is not how this laboratory tests: its bench file says {method}",
        remedy=f'give --coexistence a plan with method = "{method}", or correct the bench file'
        if plan is None
        else "give the plan and the bench file the same method",
        file=plan or "the shipped coexistence plan",
        field="method",
        value=found.method,
    )


def explore_in_run(run: Run, plan: Path | None) -> Region:
    """Explore where the run's device fails, and keep what was found in run.json.

    Args:
        run: open.
        plan: a plan's file; None: the shipped one.

    Raises:
        InputError: a broken plan, or one that the device or the bench cannot carry out.
    """
    found = plan_for(run.bench, plan)
    options = run.options
    note = run.observer.note
    note(f"coexistence: {found.title}: {len(found.columns)} columns, {found.points} points")
    for text in found.short():
        note(f"coexistence: {text}")
    region = explore(found, options.device, run.bench, options.seed, note)
    run.folder.update(**{KEY: region})
    saved = 1 - region.points / region.full_points
    note(f"coexistence: {region.points} of {region.full_points} points, {100 * saved:.0f} % saved")
    return region
