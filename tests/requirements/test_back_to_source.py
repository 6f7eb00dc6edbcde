"""Back to the documents: each quotation stands in its document, each value follows from it.

The first half needs the documents beside the checkout (or in $TELEMED_BENCH_DOCUMENTS) and says
NOT RUN where they are not; TELEMED_BENCH_REQUIRE=seeds makes that a failure. The second half
parses the quotations again, with nothing of the loader or of ``bench.units``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import re
import tomllib
import warnings
from fractions import Fraction
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

from bench.requirements import loader

CATALOGUE = loader.load_catalogue()
ENTRIES = list(CATALOGUE.requirements.values())
STATEMENTS = list(CATALOGUE.statements.values())
TABLE_2 = [entry for entry in ENTRIES if entry.id.startswith("000-t2-")]
BEHAVIOURS = [entry for entry in ENTRIES if entry.kind in ("behaviour", "declaration")]
FIGURES = [entry for entry in ENTRIES if any(r.low is not None for r in entry.readings)]
QUOTATIONS = [
    (entry.id, source)
    for entry in (*ENTRIES, *STATEMENTS)
    for source in (entry.source, *getattr(entry, "also", ()))
]
ROWS = {
    "2D视频流": "video-2d",
    "3D视频流": "video-3d",
    "音频流": "audio",
    "体温": "temperature",
    "血压": "blood-pressure",
    "心跳频率": "heart-rate",
    "呼吸频率": "respiration",
    "心电图": "ecg",
    "肌电图": "emg",
    "脑电图": "eeg",
    "压力": "force",
    "震动": "vibration",
}
COLUMNS = {"时延": "delay", "抖动": "jitter", "丢包率": "loss", "数据速率": "rate"}


def squeeze(text: str) -> str:
    """Without white space: the documents break lines and pad cells at will."""
    return "".join(text.split())


@cache
def document(digits: str) -> bytes:
    beside = Path(__file__).parents[2].parent / "shared" / "seeds"
    folder = Path(os.environ.get("TELEMED_BENCH_DOCUMENTS") or beside)
    found = sorted(folder.glob(f"{digits}*.txt"))
    if found:
        return found[0].read_bytes()
    message = f"NOT RUN: document {digits} is not in {folder}; set TELEMED_BENCH_DOCUMENTS"
    if "seeds" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(message)
    warnings.warn(message, stacklevel=2)  # pytest shows warnings where it hides skips
    pytest.skip(message)


@cache
def squeezed(digits: str) -> str:
    return squeeze(document(digits).decode())


@cache
def from_cells(digits: str) -> list[str]:
    """What stands in the document from each white space on, 200 characters: lines and cells."""
    parts = document(digits).decode().split()
    text, starts = "".join(parts), accumulate((len(part) for part in parts), initial=0)
    return [text[start : start + 200] for start in starts]


@pytest.mark.parametrize("digits", CATALOGUE.documents)
def test_document_is_the_one_read(digits):
    assert hashlib.sha256(document(digits)).hexdigest() == CATALOGUE.documents[digits].sha256


@pytest.mark.parametrize("digits", CATALOGUE.documents)
def test_quotations_stand_in_their_document(digits):
    own = [(entry, source) for entry, source in QUOTATIONS if source.file == digits]
    text = squeezed(digits)
    assert [(e, source.text) for e, source in own if squeeze(source.text) not in text] == []


@pytest.mark.parametrize("digits", CATALOGUE.documents)
def test_cells_stand_behind_the_label_of_their_row(digits):
    """A cell like ``1 - 2`` stands in many places: it must stand in the stated row, too."""
    cells = [
        source
        for _, source in QUOTATIONS
        if source.file == digits and re.fullmatch("表 ?[0-9]+ / .+ / .+", source.place)
    ]
    astray = []
    for cell in cells:
        label, fragment = (squeeze(text) for text in (cell.place.split(" / ")[1], cell.text))
        rows = (row[len(label) :] for row in from_cells(digits) if row.startswith(label))
        if not any(fragment in row for row in rows):
            astray.append((cell.place, cell.text))
    assert astray == []


def test_quotations_are_fragments():
    """The shortest piece that carries it, never a sentence."""
    long = [(entry, source.text) for entry, source in QUOTATIONS if len(squeeze(source.text)) > 40]
    assert long == []
    ended = [(entry, source.text) for entry, source in QUOTATIONS if source.text[-1] in "。！？"]
    assert ended == []


@pytest.mark.parametrize("entry", TABLE_2, ids=lambda entry: entry.id)
def test_id_and_stream_are_those_of_the_cell(entry):
    _, row, column = entry.source.place.split(" / ")
    assert entry.id == f"000-t2-{ROWS[row]}-{COLUMNS[column]}"
    assert entry.stream == ROWS[row]
    assert (entry.kind == "sizing") == (column == "数据速率")


@pytest.mark.parametrize("row", ROWS)
def test_entries_give_back_the_whole_row(row):
    """The entries of a row, put together with strokes for empty cells, are the row as printed."""
    text = document("000").decode()
    start = text.index("表 2 远程治疗类医疗器械网络需求")
    table = text[start : text.index("来源", start)]
    lines = [squeeze(line) for line in table.splitlines()]
    cells = {e.source.place: e.source.text for e in TABLE_2}
    printed = [cells.get(f"表 2 / {row} / {column}", "/") for column in COLUMNS]
    assert squeeze(row + "".join(printed)) in lines


def test_no_row_of_table_2_is_left_out():
    text = document("000").decode()
    start = text.index("表 2 远程治疗类医疗器械网络需求")
    table = text[start : text.index("来源", start)]
    with_a_rate = [line for line in table.splitlines() if re.search(r"\d ?[kKMG]?b?ps|Mbs", line)]
    rows = [line.split()[0] for line in with_a_rate]
    assert rows == list(ROWS)


# The stated conversions: `kps` is kbit/s, `Mbs` is Mbit/s, prefixes are decimal.
SCALE = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "kbps": Fraction(1000),
    "Kbps": Fraction(1000),
    "kps": Fraction(1000),
    "Mbps": Fraction(10**6),
    "Mbs": Fraction(10**6),
    "Gbps": Fraction(10**9),
}
FIGURE = re.compile(r"(<?)(?:([\d.]+)([A-Za-z]*)-)?([\d.]+)([A-Za-z]+)$")
POWER = re.compile(r"<10-(\d)$")


def follows(text: str, unit: str) -> list[tuple]:
    """The (comparator, low, high) that a quotation may be read as; the default first.

    A single ratio `<10-3` is a power of ten that lost its superscript. A range of a limit is read
    at its loose end, then at its strict end; a range of a rate as the range; a single rate as
    itself ± 5 %, then as an upper bound.
    """
    text = squeeze(text)
    if unit == "1":
        power = POWER.search(text)
        return [("<", Fraction(1, 10 ** int(power.group(1))), None)]
    below, first, first_unit, last, last_unit = FIGURE.search(text).groups()
    high = Fraction(last) * SCALE[last_unit]
    if below:
        return [("<", high, None)]
    if first:
        low = Fraction(first) * SCALE[first_unit or last_unit]
        return [("in", low, high)] if unit == "bit/s" else [("<=", high, None), ("<=", low, None)]
    return [("in", high * Fraction(95, 100), high * Fraction(105, 100)), ("<=", high, None)]


def same(reading, wanted) -> bool:
    comparator, *figures = wanted
    return reading.comparator == comparator and all(
        got is want is None or (None not in (got, want) and math.isclose(got, want, rel_tol=1e-12))
        for got, want in zip((reading.low, reading.high), figures, strict=True)
    )


@pytest.mark.parametrize("entry", TABLE_2, ids=lambda entry: entry.id)
def test_values_follow_from_the_quotation(entry):
    wanted = follows(entry.source.text, entry.unit)
    wanted += [follows(source.text, entry.unit)[0] for source in entry.also]
    assert same(entry.readings[0], wanted[0])
    assert same(entry, wanted[0])
    for reading in entry.readings:
        assert any(same(reading, each) for each in wanted), reading
    for each in wanted:
        assert any(same(reading, each) for reading in entry.readings), each


def test_reported_recovery_follows_from_its_quotation():
    entry = CATALOGUE.get("REC-1")
    assert entry.low is None
    (wanted,) = follows(entry.also[0].text, "s")
    assert same(entry.readings[1], wanted)


# Every entry: the general reading of its quotations, and its stated conversions.


def load_quotations():
    file = Path(__file__).with_name("quotations.py")
    spec = importlib.util.spec_from_file_location("quotations", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


QUOTES = load_quotations()
NARROWER = {"<": ("<",), "<=": ("<=", "<"), ">": (">",), ">=": (">=", ">")}


def raw_entries() -> dict[str, dict]:
    """The entries as they stand in the files: what the loader fills in is not there."""
    files = [tomllib.loads(path.read_text()) for path in sorted(loader.DATA.glob("*.toml"))]
    return {entry["id"]: entry for file in files for entry in file.get("requirements", ())}


RAW = raw_entries()


def texts(entry) -> list[str]:
    return [source.text for source in (entry.source, *entry.also)]


def si_unit(reading) -> str:
    return CATALOGUE.metrics[reading.metric].unit


def near(one: float, other: Fraction) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)


def given(entry, reading) -> list[Fraction]:
    """What the entry's quotations give by the reading's stated conversion.

    A behaviour counts what must never happen: its words stand for a number of none.
    """
    never = [Fraction(0)] if entry.kind == "behaviour" and reading.conversion == "in-words" else []
    return never + QUOTES.derivable(texts(entry), si_unit(reading), reading.conversion)


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_each_value_follows_by_its_stated_conversion(entry):
    for reading in entry.readings:
        for value in (reading.low, reading.high):
            if value is not None and not any(near(value, v) for v in given(entry, reading)):
                found = sorted({float(each) for each in given(entry, reading)})
                pytest.fail(
                    f"{value} {si_unit(reading)} does not follow from {texts(entry)} "
                    f"{reading.conversion}; that gives {found}"
                )


@pytest.mark.parametrize("factor", [1000, 1 / 1000, 8, 1 / 8, 60, 1 / 60, 1.1])
def test_a_wrong_prefix_or_unit_would_be_seen(factor):
    """The check above can fail: no default value follows when it is off by a usual mistake."""
    unseen = []
    for entry in FIGURES:
        default, *rivals = entry.readings
        wrong = (default.low or 0) * factor
        rival = any(near(wrong, each.low) for each in rivals if each.low)
        if wrong and not rival and any(near(wrong, each) for each in given(entry, default)):
            unseen.append((entry.id, texts(entry)))
    assert unseen == []


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_comparator_is_that_of_the_text(entry):
    """A default reading that stands in the file with its own reason may differ, not turn round."""
    default = entry.readings[0]
    if default.low is None or default.conversion == "complement":
        return
    own = any(each.get("default") for each in RAW[entry.id].get("readings", ()))
    for figure in QUOTES.figures(entry.source.text):
        given = QUOTES.derivable_from(figure, texts(entry), si_unit(default), default.conversion)
        if figure.sign and any(near(default.low, each) for each in given):
            assert own or default.comparator in NARROWER[figure.sign], figure
            assert default.comparator[0] in (figure.sign[0], "=", "i"), figure


def test_direction_is_that_of_the_text():
    """``上行`` is up from the patient's side, ``下行`` down to it."""
    stated = {"上行": "to-doctor", "下行": "to-patient"}
    wrong = [
        (entry.id, word)
        for entry in FIGURES
        for word, direction in stated.items()
        if word in entry.source.text + entry.source.place and entry.direction != direction
    ]
    assert wrong == []


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_no_figure_of_the_fragment_is_left_out(entry):
    """Each figure of the entry's own dimension is the value of a reading."""
    if entry.readings[0].conversion in ("superscript", "complement", "nominal", "in-words"):
        return
    used = [value for r in entry.readings for value in (r.low, r.high) if value is not None]
    for figure in QUOTES.figures(entry.source.text):
        if si_unit(entry.readings[0]) in ("1", "count"):
            continue
        for number in figure.numbers:
            one = QUOTES.Figure((number,), figure.unit, "")
            given = [
                value
                for reading in entry.readings
                for value in QUOTES.derivable_from(
                    one, texts(entry), si_unit(reading), reading.conversion
                )
            ]
            assert not given or any(near(v, each) for v in used for each in given), one
