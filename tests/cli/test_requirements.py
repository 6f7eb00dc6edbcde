"""``bench requirements``: what people and programs get of the catalogue."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.report.catalogue import Wanted, entry_json, figure_text, print_entry, print_list, select
from bench.requirements.loader import load_catalogue
from bench.requirements.model import Reading

KEYS = {
    "id", "source", "title", "reading", "device_class", "stream", "metric", "metric_definition",
    "direction", "reference_points", "comparator", "low", "high", "unit", "kind", "readings",
    "declared", "rule", "also", "conflicts", "mission", "note",
}  # fmt: skip
SOURCE = {"file", "document", "place", "text", "sha256"}
READING = {
    "low", "high", "comparator", "metric", "reference_points", "default", "reason", "conversion",
}  # fmt: skip
LAB = f"""
[documents.LAB]
title = "House specification"
publisher = "Laboratory"
year = "2025"
sha256 = "{"a" * 64}"

[[requirements]]
id = "LAB-1"
file = "LAB"
place = "clause 4"
text = "20 ms"
title = "Delay"
reading = "The delay is at most 20 ms."
device_class = "therapy"
stream = "house-stream"
direction = "both"
kind = "requirement"
rule = "guard-band"
metric = "delay-p99"
comparator = "<="
low = "20ms"
"""


@pytest.fixture(scope="module")
def known():
    return load_catalogue()


@pytest.fixture
def lab(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(LAB, encoding="utf-8")
    return path


def entries(done) -> list[dict]:
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    assert list(data) == ["requirements"]
    return data["requirements"]


def ids(done) -> list[str]:
    return [entry["id"] for entry in entries(done)]


@pytest.fixture(scope="module")
def everything(bench):
    return entries(bench.call("requirements", "--json"))


def test_holds_every_figure_and_statement(everything, known):
    assert [entry["id"] for entry in everything] == [*known.requirements, *known.statements]


def test_every_entry_has_every_key(everything):
    for entry in everything:
        assert entry.keys() == KEYS, entry["id"]
        for source in (entry["source"], *entry["also"]):
            assert source.keys() == SOURCE
            assert all(source.values()), entry["id"]
        for reading in entry["readings"]:
            assert reading.keys() == READING
        for key in ("readings", "declared", "also", "conflicts", "mission"):
            assert isinstance(entry[key], list)
        assert "" not in entry.values(), entry["id"]


def test_figures_are_the_default_readings_in_si(everything, known):
    for entry in everything:
        if entry["id"] in known.statements:
            continue
        (default,) = [reading for reading in entry["readings"] if reading["default"]]
        assert default == entry["readings"][0]
        for key in ("low", "high", "comparator", "metric", "reference_points"):
            assert entry[key] == default[key], entry["id"]
        for value in (entry["low"], entry["high"]):
            assert value is None or isinstance(value, float)
            assert value is None or entry["unit"] != "1" or 0 <= value <= 1
        assert entry["metric_definition"]
        assert entry["low"] is not None or entry["declared"]


def test_statements_have_no_figure(everything, known):
    none = ("title", "stream", "metric", "metric_definition", "low", "high", "unit", "comparator")
    for entry in everything:
        if entry["id"] in known.statements:
            assert [entry[key] for key in none] == [None] * len(none)
            assert entry["readings"] == []
            assert entry["mission"]
            assert entry["kind"] in ("behaviour", "declaration")


def test_a_cell_of_table_2(everything):
    (force,) = [entry for entry in everything if entry["id"] == "000-t2-force-delay"]
    assert (force["low"], force["high"], force["comparator"]) == (0.010, None, "<=")
    assert (force["metric"], force["unit"]) == ("delay-p99", "s")
    assert force["source"]["text"] == "3-10ms"
    assert [reading["low"] for reading in force["readings"]] == [0.010, 0.003, 0.010, 0.010]
    assert all(reading["reason"] for reading in force["readings"])


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ("--class", "device_class", "therapy"),
        ("--stream", "stream", "ecg"),
        ("--kind", "kind", "sizing"),
    ],
)
def test_a_filter_leaves_what_it_names(bench, everything, option, key, value):
    found = entries(bench.call("requirements", option, value, "--json"))
    assert found == [entry for entry in everything if entry[key] == value]
    assert 0 < len(found) < len(everything)


def test_filters_together(bench, everything):
    words = ("--source", "000", "--class", "therapy", "--stream", "force", "--stream", "vibration")
    found = ids(bench.call("requirements", *words, "--json"))
    wanted = [
        entry["id"]
        for entry in everything
        if entry["source"]["file"] == "000"
        and entry["device_class"] == "therapy"
        and entry["stream"] in ("force", "vibration")
    ]
    assert found == wanted
    assert len(found) >= 8


@pytest.mark.parametrize(
    ("option", "hint"),
    [("--class", "therapy"), ("--stream", "ecg"), ("--source", "004"), ("--kind", "sizing")],
)
def test_an_unknown_filter_names_the_known(bench, kit, option, hint):
    done = bench.call("requirements", option, "nonesuch", "--json")
    kit.one_line(done, option, "'nonesuch'", hint)
    assert done.out == ""


def test_plain_lines_for_pipes(bench, known):
    done = bench.call("requirements", "--source", "000", "--class", "therapy")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("000  远程医疗器械研究报告")
    (line,) = [line for line in lines if line.startswith("000-t2-force-delay: ")]
    assert line.endswith("; therapy, force; ≤ 10 ms; requirement")
    assert f"of {len(known.requirements)} and {len(known.statements)}" in lines[-1]


def test_a_catalogue_of_the_laboratory_joins_in(bench, lab):
    assert "LAB-1" in ids(bench.call("requirements", "--catalogue", lab, "--json"))
    words = ("--catalogue", lab, "--source", "LAB", "--stream", "house-stream", "--json")
    (entry,) = entries(bench.call("requirements", *words))
    assert (entry["low"], entry["source"]["document"]) == (0.02, "House specification")
    shown = bench.call("requirements", "show", "LAB-1", "--catalogue", lab)
    assert (shown.code, "House specification, clause 4" in shown.out) == (0, True)
    before = bench.call("requirements", "--catalogue", lab, "--json", "show", "LAB-1")
    assert entries(before) == [entry]


def test_a_broken_catalogue_is_named_with_entry_field_value_and_remedy(bench, kit, lab):
    lab.write_text(LAB.replace('"20ms"', '"20parsec"'), encoding="utf-8")
    line = kit.one_line(bench.call("requirements", "--catalogue", lab))
    assert f"{lab}: requirements[LAB-1].low = '20parsec'" in line
    assert "use one of" in line
    gone = lab.with_name("gone.toml")
    kit.one_line(bench.call("requirements", "--catalogue", gone), str(gone), "no such file")


def test_show_tells_everything(bench, known):
    done = bench.call("requirements", "show", "000-t2-force-delay")
    assert (done.code, done.err) == (0, "")
    entry = known.get("000-t2-force-delay")
    assert entry.reading in done.out
    assert f"“{entry.source.text}”" in done.out
    assert entry.source.sha256 in done.out
    assert known.metrics[entry.metric].definition in done.out
    for reading in entry.readings:
        assert reading.reason in done.out
    assert done.out.count("the default") == 1
    assert "≤ 3 ms" in done.out


def test_show_tells_what_an_entry_is_linked_to(bench, known):
    linked = next(entry for entry in known.requirements.values() if entry.conflicts)
    done = bench.call("requirements", "show", linked.id)
    for other in linked.conflicts:
        assert f"conflict    {other}: " in done.out
    statement = next(iter(known.statements.values()))
    done = bench.call("requirements", "show", statement.id)
    for behaviour in statement.mission:
        assert f"mission     {behaviour}: {known.get(behaviour).title}" in done.out
    answered = bench.call("requirements", "show", statement.mission[0])
    (line,) = [line for line in answered.out.splitlines() if line.startswith("answers")]
    assert statement.id in line.replace(",", "").split()


def test_show_gives_the_same_entry_as_the_list(bench, everything, known):
    for name in ("REC-1", next(iter(known.statements))):
        (wanted,) = [entry for entry in everything if entry["id"] == name]
        assert entries(bench.call("requirements", "show", name, "--json")) == [wanted]


@pytest.mark.parametrize(
    ("asked", "hint"), [("rec-1", "REC-1"), ("000-t2-force-dely", "000-t2-force-delay")]
)
def test_show_of_an_unknown_id_names_the_closest(bench, kit, asked, hint):
    kit.one_line(bench.call("requirements", "show", asked), repr(asked), hint)


def test_a_filter_beside_show_is_refused(bench, kit):
    kit.one_line(bench.call("requirements", "--class", "any", "show", "REC-1"), "show")


def on_terminal(show, *about) -> list[str]:
    out = io.StringIO()
    show(*about, console=Console(file=out, force_terminal=True, width=100, no_color=True))
    plain = "".join(part.partition("m")[2] for part in ("m" + out.getvalue()).split("\x1b["))
    return plain.splitlines()


def test_the_table_fits_100_columns_with_ids_and_figures_whole(known):
    chosen = select(known, Wanted())
    lines = on_terminal(print_list, known, chosen)
    text = "\n".join(lines)
    heads = [line for line in lines if line.startswith(tuple(known.documents))]
    rows = [line for line in lines if line not in heads]
    assert max(cell_len(line) for line in rows) <= 100
    for entry in known.requirements.values():
        assert any(line.startswith(f"{entry.id} ") for line in lines), entry.id
        assert figure_text(entry, entry.unit) in text, entry.id
    assert "…" not in text.replace(" … ", "")  # nothing is cut


def test_one_entry_on_a_terminal_fits_too(known):
    lines = on_terminal(print_entry, known, known.get("REC-1"))
    assert max(cell_len(line) for line in lines) <= 100
    assert any("断网后网络恢复时间" in line for line in lines)


@pytest.mark.parametrize(
    ("unit", "low", "comparator", "shown"),
    [
        ("1", 0.99999, ">=", "≥ 99.999 %"),
        ("1", 0.001, "<", "< 1 × 10⁻³"),
        ("1", 0.008256, "==", "= 0.8256 %"),
        ("1", 0.0, "==", "= 0 %"),
        ("s", 0.10666, "==", "= 106.66 ms"),
        ("s", 1800.0, "==", "= 30 min"),
        ("s", 86400.0, ">=", "≥ 24 h"),
        ("s", 30 * 86400.0, ">", "> 30 d"),
        ("bit/s", 86400.0, "<=", "≤ 86.4 kbit/s"),
        ("bit", 2.4e9, "<=", "≤ 300 MB"),
        ("m/s", 500 / 3.6, "==", "= 500 km/h"),
        ("m", 5e6, ">", "> 5000 km"),
        ("Hz", 60.0, "==", "= 60 Hz"),
        ("1/m2", 1.0, ">=", "≥ 1 000 000 /km²"),
        ("count", 5.0, "<=", "≤ 5"),
    ],
)
def test_figures_are_shown_in_customary_units(unit, low, comparator, shown):
    reading = Reading(low, None, comparator, "any", True, "")
    assert figure_text(reading, unit).replace("\u202f", " ") == shown


def test_a_range_says_its_unit_once():
    assert figure_text(Reading(0.003, 0.03, "in", "any", True, ""), "s") == "3 … 30 ms"
    assert figure_text(Reading(None, None, "<=", "any", True, ""), "s") == "as declared"


def test_nulls_stand_where_nothing_is(known):
    bare = replace(known.get("000-t2-video-2d-delay"), note="", conflicts=())
    plain = entry_json(bare, known.metrics)
    assert (plain["high"], plain["note"], plain["conflicts"]) == (None, None, [])


def test_a_reading_without_points_of_its_own_has_those_of_the_entry(known):
    entry = known.get("000-t2-video-2d-delay")
    bare = replace(entry, readings=(replace(entry.readings[0], reference_points=None),))
    (reading,) = entry_json(bare, known.metrics)["readings"]
    assert reading["reference_points"] == "interface-interface"
