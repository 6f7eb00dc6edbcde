"""Back to the documents: each quotation stands in its document, each value follows from it.

The first half needs the documents beside the checkout (or in $TELEMED_BENCH_DOCUMENTS) and says
NOT RUN where they are not; TELEMED_BENCH_REQUIRE=seeds makes that a failure. The second half
parses the quotations again, with nothing of the loader or of ``bench.units``.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
from fractions import Fraction
from pathlib import Path

import pytest

from bench.requirements.loader import load_catalogue

CATALOGUE = load_catalogue()
ENTRIES = list(CATALOGUE.requirements.values())
TABLE_2 = [entry for entry in ENTRIES if entry.id.startswith("000-t2-")]
BEHAVIOURS = [entry for entry in ENTRIES if entry.kind == "behaviour"]
QUOTATIONS = [(entry.id, source) for entry in ENTRIES for source in (entry.source, *entry.also)]
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


@pytest.mark.parametrize("digits", CATALOGUE.documents)
def test_document_is_the_one_read(digits):
    assert hashlib.sha256(document(digits)).hexdigest() == CATALOGUE.documents[digits].sha256


@pytest.mark.parametrize(
    ("entry", "source"), QUOTATIONS, ids=[f"{entry}-{i}" for i, (entry, _) in enumerate(QUOTATIONS)]
)
def test_quotation_stands_in_its_document(entry, source):
    assert squeeze(source.text) in squeeze(document(source.file).decode())


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


@pytest.mark.parametrize("entry", BEHAVIOURS, ids=lambda entry: entry.id)
def test_behaviours_quote_fragments(entry):
    for source in (entry.source, *entry.also):
        assert len(source.text) <= 20
        assert not source.text.endswith("。")


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
