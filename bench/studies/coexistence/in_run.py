"""A coexistence plan within a run: on its bench, watched, kept in run.json."""

from __future__ import annotations

from pathlib import Path

from bench.measure.failure_region import Region
from bench.studies.coexistence.explore import explore
from bench.studies.coexistence.plan import load_plan, shipped_plan
from bench.studies.run import Run

KEY = "coexistence"
"""Of run.json: a :class:`~bench.measure.failure_region.Region`."""


def explore_in_run(run: Run, plan: Path | None) -> Region:
    """Explore where the run's device fails, and keep what was found in run.json.

    Args:
        run: open.
        plan: a plan's file; None: the shipped one.

    Raises:
        InputError: a broken plan, or one that the device or the bench cannot carry out.
    """
    found = load_plan(plan) if plan is not None else shipped_plan()
    options = run.options
    note = run.observer.note
    note(f"coexistence: {found.title}: {len(found.columns)} columns, {found.points} points")
    region = explore(found, options.device, run.bench, options.seed, note)
    run.folder.update(**{KEY: region})
    saved = 1 - region.points / region.full_points
    note(f"coexistence: {region.points} of {region.full_points} points, {100 * saved:.0f} % saved")
    return region
