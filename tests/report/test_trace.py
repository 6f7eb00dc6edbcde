"""Traceability on the report's page: what was asked of the device, and what was not."""

from __future__ import annotations

import dataclasses

from bench.report.data import report_data
from bench.report.html import render
from bench.report.trace import traced, unasked
from bench.requirements.loader import load_catalogue
from bench.requirements.model import Source, Statement

CATALOGUE = load_catalogue()
RUN = {
    "completion": "complete",
    "device": {"device_class": "therapy"},
    "scope": [
        {"requirement": "SW-1", "test": "plans/a.py::switch[x]", "in_scope": True},
        {"requirement": "SW-1", "test": "plans/a.py::switch[y]", "in_scope": True},
        {"requirement": "LOC-1", "test": "plans/b.py::stop", "in_scope": False},
        {"requirement": "GONE", "test": "plans/b.py::gone", "in_scope": True},
    ],
}
VERDICTS = [
    {"requirement": "SW-1", "test": "plans/a.py::switch[x]", "verdict": "PASS"},
    {"requirement": "SW-1", "test": "plans/a.py::switch[y]", "verdict": "INCONCLUSIVE"},
]


def statement(name: str, device_class: str, *mission: str) -> Statement:
    source = Source("000", "d", "p", "t")
    return Statement(name, source, f"reading of {name}", device_class, "behaviour", mission)


def test_each_requirement_once_with_its_tests_and_worst_verdict():
    found = traced(report_data(RUN, verdicts=VERDICTS, requirements=CATALOGUE.requirements))
    assert [(t.id, t.tests, t.verdict) for t in found] == [
        ("SW-1", ("a.py::switch",), "INCONCLUSIVE"),
        ("LOC-1", ("b.py::stop",), ""),
        ("GONE", ("b.py::gone",), ""),
    ]
    assert found[0].text == CATALOGUE.get("SW-1").source.text


def test_what_the_catalogue_asks_beyond_the_scope():
    other = dataclasses.replace(CATALOGUE.get("000-t2-force-delay"), device_class="monitoring")
    measured = dataclasses.replace(CATALOGUE.get("000-t2-force-loss"), kind="measured")
    limit = CATALOGUE.get("000-t2-audio-delay")
    asked = [CATALOGUE.get("SW-1"), CATALOGUE.get("LOC-1"), other, measured, limit]
    statements = [
        statement("answered", "any", "SW-1", "REC-1"),
        statement("open", "therapy", "REC-1"),
        statement("others", "monitoring", "REC-1"),
    ]
    found = unasked(RUN, asked, statements)
    assert [entry.id for entry in found] == ["000-t2-audio-delay", "open"]
    assert found[0].text.endswith("< 150 ms")
    page = render(report_data(RUN, verdicts=VERDICTS, unasked=found))
    assert 'data-unasked="open"' in page
    assert 'data-traced="SW-1"' in page
    assert "2 further entries of the catalogue" in page


def test_a_run_without_a_device_or_scope_is_asked_nothing_of_a_class():
    found = unasked({}, [CATALOGUE.get("SW-1"), CATALOGUE.get("000-t2-audio-delay")])
    assert [entry.id for entry in found] == ["SW-1"]
