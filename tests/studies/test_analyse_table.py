"""The per-packet table: what it holds, how it is stored, and that it is whole or not there."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.errors import InputError
from bench.measure.pairing import MISSING, Flow
from bench.studies import analyse_table
from bench.studies.analyse_table import packet_table

START = 1_700_000_000_000_000_000


def flow(n, seed=1):
    """Every fate there is, in turn."""
    draws = np.random.default_rng(seed)
    sent = START + np.cumsum(draws.integers(900_000, 1_100_000, n))
    fate = np.arange(n) % 4
    received = np.where(fate == 1, sent + draws.integers(4_000_000, 6_000_000, n), MISSING)
    ambiguous = fate == 3
    earliest = np.where(ambiguous, sent + 1_000_000, received)
    latest = np.where(ambiguous, sent + 9_000_000, received)
    earliest[7::8], latest[7::8] = MISSING, MISSING  # no arrival may be theirs
    return Flow(
        sent, received, np.arange(n), np.zeros(n, dtype=np.int64), np.full(n, 100),
        in_flight=fate == 2, duplicates=0, unmatched=0, reordered=0,
        ambiguous=ambiguous, earliest_ns=earliest, latest_ns=latest, may_be_lost=ambiguous,
    )  # fmt: skip


def test_rows_say_what_became_of_each_packet(tmp_path):
    path, there = tmp_path / "packets.parquet", flow(16)
    with packet_table(path) as table:
        table.add("video", "left-to-right", there)
        table.add("voice", "right-to-left", flow(3))
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 19
    assert [row["fate"] for row in rows[:4]] == ["lost", "arrived", "in-flight", "ambiguous"]
    first, arrived, _, doubtful = rows[:4]
    assert (first["stream"], first["direction"], first["sequence"]) == ("video", "left-to-right", 0)
    assert first["received_ns"] is first["delay_ns"] is first["earliest_ns"] is None
    assert arrived["sent_ns"] == there.sent_ns[1]
    assert arrived["delay_ns"] == arrived["received_ns"] - arrived["sent_ns"] > 0
    assert arrived["earliest_ns"] is None
    assert doubtful["received_ns"] is None
    assert doubtful["earliest_ns"] == there.sent_ns[3] + 1_000_000
    assert doubtful["latest_ns"] == there.sent_ns[3] + 9_000_000
    assert rows[7]["fate"] == "ambiguous"
    assert rows[7]["earliest_ns"] is rows[7]["latest_ns"] is None
    assert rows[-1]["stream"] == "voice"


def test_it_is_stored_compactly_and_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(analyse_table, "GROUP_ROWS", 1000)
    path, there = tmp_path / "packets.parquet", flow(2500)
    with packet_table(path) as table:
        table.add("video", "left-to-right", there)
        table.add("voice", "right-to-left", flow(700))
    stored = pq.ParquetFile(path)
    sizes = [stored.metadata.row_group(i).num_rows for i in range(stored.num_row_groups)]
    assert sum(sizes) == 3200
    assert max(sizes) <= 1000
    group = stored.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert "DELTA_BINARY_PACKED" in columns["sent_ns"].encodings
    assert "RLE_DICTIONARY" in columns["stream"].encodings
    whole = stored.read()
    assert whole["sent_ns"].to_numpy()[:2500].tolist() == there.sent_ns.tolist()
    assert set(whole["stream"].to_pylist()) == {"video", "voice"}


def test_it_is_whole_or_not_there(tmp_path):
    path = tmp_path / "packets.parquet"
    path.write_bytes(b"before")

    def interrupted():
        with packet_table(path) as table:
            table.add("video", "left-to-right", flow(10))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with (
        pytest.raises(InputError, match=r"--parquet.*you may write"),
        packet_table(tmp_path / "none" / "x.parquet"),
    ):
        pass


def test_errors_of_what_is_written_about_pass_through(tmp_path):
    with (
        pytest.raises(InputError, match="is empty"),
        packet_table(tmp_path / "x.parquet"),
    ):
        raise InputError("is empty", remedy="capture again", file=tmp_path / "a.pcap")
    assert not list(tmp_path.iterdir())
