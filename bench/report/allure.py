"""Allure 2 result files: one result per verdict, with plots and tables attached."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import Attachment, Label, Link, Parameter, StatusDetails, TestResult
from allure_commons.types import LabelType

from bench.report import head, sessions, view, words
from bench.report.data import WATERMARK, ReportData, as_mapping, sessions_of
from bench.report.entries import Entry, entries, milliseconds
from bench.report.words import plain

_SVG, _CSV, _JSON = "image/svg+xml", "text/csv", "application/json"
_CATEGORIES = [
    {"name": "Device failed a requirement", "matchedStatuses": ["failed"]},
    {
        "name": "Inconclusive: the evidence backs no verdict",
        "matchedStatuses": ["unknown", "broken"],
        "messageRegex": "INCONCLUSIVE.*",
    },
    {
        "name": "Bench error: not the device's fault",
        "matchedStatuses": ["broken"],
        "messageRegex": "ERROR.*",
    },
    {"name": "Out of scope", "matchedStatuses": ["skipped"]},
]


def write_allure(report: ReportData, folder: Path) -> None:
    """Write Allure results into ``folder``; results already there are replaced.

    Raises:
        OSError: the folder or a file cannot be written.

    """
    make: Any = AllureFileLogger  # untyped
    logger = make(str(folder), clean=True)
    attached = _session_files(report, logger)
    for entry in entries(report):
        logger.report_result(_result(report, entry, logger, attached))
    properties = "".join(f"{_key(k)}={_escaped(v)}\n" for k, v in environment(report))
    (folder / "environment.properties").write_text(properties, encoding="ascii")
    (folder / "categories.json").write_text(json.dumps(_CATEGORIES, indent=1), encoding="utf-8")


def environment(report: ReportData) -> list[tuple[str, str]]:
    """What the results were made with, as names and values."""
    facts = head.device_facts(report) + head.bench_facts(report) + head.run_facts(report)
    mark = [("watermark", WATERMARK)] if report.simulated else []
    return [*mark, ("run", head.run_id(report.run)), *facts]


def _result(
    report: ReportData,
    entry: Entry,
    logger: Any,
    attached: Mapping[str, list[tuple[str, str, str]]],
) -> Any:
    word = entry.outcome.value if entry.outcome is not None else "OUT OF SCOPE"
    test = f"{entry.file}::{entry.name}"
    space = uuid.uuid5(uuid.NAMESPACE_URL, f"{head.run_id(report.run)}/{test}")
    title = f"{entry.name}: {entry.title}" if entry.title else entry.name
    result = TestResult(uuid=str(space), historyId=entry.key, testCaseId=entry.key, fullName=test)
    result.name = title
    result.status = entry.allure
    result.stage = "finished"
    result.statusDetails = StatusDetails(message=f"{word}: {entry.reason}")
    result.start = milliseconds(report.run.get("start"))
    result.stop = milliseconds(report.run.get("end")) or result.start
    result.titlePath = [part for part in entry.file.split("/") if part]
    result.labels = [Label(name=name, value=value) for name, value in _labels(report, entry)]
    address = f"report.html#requirement-{entry.requirement}"
    result.links = [Link(type="requirement", url=address, name=entry.requirement)]
    result.description = _description(report, entry)
    result.parameters = [
        Parameter(name=name, value=value)
        for name, value in (
            ("stream", entry.stream),
            ("session", plain(entry.verdict.get("session"))),
            ("seed", plain(report.run.get("seed"))),
        )
        if value
    ]
    if entry.verdict:
        body = json.dumps(as_mapping(entry.verdict), indent=1, default=str, ensure_ascii=False)
        name = f"{space}-attachment.json"
        logger.report_attached_data(body, name)
        result.attachments.append(Attachment(name="Verdict", source=name, type=_JSON))
        for identity in sessions_of(entry.verdict):
            files = attached.get(identity, [])
            result.attachments += [Attachment(name=n, source=s, type=t) for n, s, t in files]
    return result


def _labels(report: ReportData, entry: Entry) -> list[tuple[str, str]]:
    pairs = [
        (LabelType.PARENT_SUITE, plain(report.run.get("plan")) or "telemed-bench"),
        (LabelType.SUITE, entry.file),
        (LabelType.FEATURE, entry.requirement),
        (LabelType.STORY, entry.stream),
        (LabelType.HOST, plain(report.run.get("host"))),
        (LabelType.FRAMEWORK, "telemed-bench"),
        (LabelType.LANGUAGE, "python"),
        (LabelType.TAG, entry.outcome.value if entry.outcome is not None else "out of scope"),
        (LabelType.TAG, "simulated device" if report.simulated_device else "real device"),
        ("requirement", entry.requirement),
    ]
    return [(str(name), value) for name, value in pairs if value]


def _description(report: ReportData, entry: Entry) -> str:
    lines = [f"{WATERMARK}."] if report.simulated else []
    if not entry.verdict:
        return "\n\n".join([*lines, entry.reason])
    row = view.row(entry.verdict, report.requirements)
    lines.append(
        f"value {row.value}, limit {row.limit}, margin {row.margin}, n {row.n}, rule {row.rule}"
    )
    lines.append(f"{row.source}: {row.quote}" if row.quote else row.source)
    lines += [f"{name}: {value}" for name, value in row.facts]
    return "\n\n".join(lines)


def _session_files(report: ReportData, logger: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Plots and stimulus tables, written once: (title, file name, type) per session."""
    mark = WATERMARK if report.simulated else ""
    files: dict[str, list[tuple[str, str, str]]] = {}
    shown = sessions.plotted(report)
    for index, recording in enumerate(report.recordings):
        if recording.session_id not in shown:
            continue
        own = files.setdefault(recording.session_id, [])
        name = f"session-{index:03d}"
        svg = sessions.over_time(report, recording, mark)
        if svg:
            own.append(("Session over time", f"{name}-attachment.svg", _SVG))
            logger.report_attached_data(svg, own[-1][1])
        svg = sessions.distribution(report, recording, mark)
        if svg:
            own.append(("Delay distribution", f"{name}-tails-attachment.svg", _SVG))
            logger.report_attached_data(svg, own[-1][1])
        rows = report.stimuli.get(recording.session_id)
        if rows:
            own.append(("Stimulus", f"{name}-attachment.csv", _CSV))
            logger.report_attached_data(_csv(rows), own[-1][1])
    return files


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    columns = (
        "step", "phase", "role", "link", "direction", "intended", "commanded", "achieved", "floor",
        "ok", "reason",
    )  # fmt: skip
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([words.anything(row.get(column)) for column in columns])
    return buffer.getvalue()


def _key(text: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "." for letter in text)


def _escaped(text: str) -> str:
    """A value of a Java properties file: ASCII only, backslashes doubled, the rest escaped."""
    units = plain(text).replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 0x7F else f"\\u{code:04x}" for code in codes)
