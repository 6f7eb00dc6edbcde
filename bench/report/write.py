"""Everything that a run folder shows to people and to CI, from the folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.report.allure import write_allure
from bench.report.data import ReportData, report_data
from bench.report.html import write_html
from bench.report.junit import write_junit
from bench.report.trace import unasked
from bench.requirements.loader import load_catalogue
from bench.runs.reader import read_recording, read_run, read_stimulus
from bench.runs.seal import SEAL

REPORT = "report.html"


def stored_report(path: Path, known: Mapping[str, Any] | None = None) -> ReportData:
    """What a report of this run folder shows.

    Args:
        path: the run folder.
        known: fields of run.json that will be written after the reports.

    Raises:
        InputError: not a run folder, or damaged.

    """
    run, catalogue = read_run(path), load_catalogue()
    ids = [session.id for session in run.sessions]
    stimuli = {i: [dataclasses.asdict(step) for step in read_stimulus(run, i)] for i in ids}
    return report_data(
        {**run.identity, **(known or {})},
        verdicts=run.verdicts,
        scope=run.scope,
        recordings=[read_recording(run, i) for i in ids],
        stimuli=stimuli,
        requirements=run.requirements,
        unasked=unasked(run.identity, catalogue.values(), catalogue.statements.values()),
    )


def write_reports(path: Path, known: Mapping[str, Any] | None = None) -> Path:
    """Write report.html, junit.xml and allure/ into a run folder that is not sealed yet.

    ``known`` as in :func:`stored_report`.
    """
    data = stored_report(path, known)
    write_html(data, path / REPORT)
    write_junit(data, path / "junit.xml")
    write_allure(data, path / "allure")
    return path / REPORT


def write_report(path: Path, output: Path | None) -> Path:
    """Write the HTML report of a run; never into a sealed one.

    Raises:
        InputError: not a run folder, or the output lies in a sealed run.

    """
    target = output or path.parent / f"{path.name}-report.html"
    for folder in target.resolve().parents:
        if (folder / SEAL).exists():
            raise InputError(
                "lies in a sealed run", remedy="name another place with --output",
                field="--output", value=str(target),
            )  # fmt: skip
    write_html(stored_report(path), target)
    return target
