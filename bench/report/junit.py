"""JUnit XML for continuous integration: one test case per verdict."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as Xml

from bench.report import head
from bench.report.data import WATERMARK, ReportData
from bench.report.entries import Entry, entries, milliseconds
from bench.report.html import write_whole
from bench.report.words import anything, xml_text

PROPERTIES = (
    "value", "unit", "uncertainty", "limit", "comparator", "margin", "n", "confidence", "metric",
    "reference_points", "rule", "against", "reading", "independent", "session", "attempt",
)  # fmt: skip


def write_junit(report: ReportData, path: Path) -> None:
    """Write the run as JUnit XML.

    FAIL becomes a failure, ERROR and INCONCLUSIVE errors of that type, what was out of scope is
    skipped with its reason. Nothing but a PASS reads as passed.

    Raises:
        OSError: the file cannot be written.

    """
    suites = junit(report)
    Xml.indent(suites)
    text = Xml.tostring(suites, encoding="unicode")
    write_whole(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')


def junit(report: ReportData) -> Xml.Element:
    """The run as a ``testsuites`` element."""
    found = entries(report)
    counts = Counter(entry.junit for entry in found)
    start, end = (milliseconds(report.run.get(key)) for key in ("start", "end"))
    totals = {
        "name": xml_text(report.run.get("plan") or "telemed-bench"),
        "tests": str(len(found)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": f"{(end - start) / 1000:.3f}" if start is not None and end is not None else "0",
    }
    suites = Xml.Element("testsuites", totals)
    suite = Xml.SubElement(suites, "testsuite", totals)
    if report.run.get("start"):
        suite.set("timestamp", xml_text(report.run["start"]))
    if report.run.get("host"):
        suite.set("hostname", xml_text(report.run["host"]))
    facts = head.device_facts(report) + head.bench_facts(report) + head.run_facts(report)
    mark = [("watermark", WATERMARK)] if report.simulated else []
    _properties(suite, [*mark, ("run", head.run_id(report.run)), *facts])
    for entry in found:
        _case(suite, entry)
    return suites


def _case(suite: Xml.Element, entry: Entry) -> None:
    module = entry.file.removesuffix(".py").replace("/", ".")
    case = Xml.SubElement(
        suite,
        "testcase",
        {"classname": xml_text(module), "name": xml_text(entry.name), "time": "0"},
    )
    if entry.file.endswith(".py"):
        case.set("file", xml_text(entry.file))
    title = [("title", entry.title)] if entry.title else []
    figures = [
        (key, "" if entry.verdict.get(key) is None else str(entry.verdict[key]))
        for key in PROPERTIES
        if key in entry.verdict
    ]
    _properties(case, [("requirement", entry.requirement), *title, *figures])
    if entry.junit:
        word = entry.outcome.value if entry.outcome is not None else "out of scope"
        told = Xml.SubElement(case, entry.junit, {"message": xml_text(entry.reason)})
        if entry.outcome is not None:
            told.set("type", word)
        told.text = xml_text(_text(entry, word))


def _text(entry: Entry, word: str) -> str:
    details = entry.verdict.get("details") or ()
    items = details.items() if hasattr(details, "items") else details
    lines = [f"{word}: {entry.reason}", *(f"{name}: {anything(value)}" for name, value in items)]
    return "\n".join(lines)


def _properties(parent: Xml.Element, pairs: list[tuple[str, str]]) -> None:
    holder = Xml.SubElement(parent, "properties")
    for name, value in pairs:
        Xml.SubElement(holder, "property", {"name": xml_text(name), "value": xml_text(value)})
