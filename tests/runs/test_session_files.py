"""A session on disk: what is written comes back, byte by byte the same for the same session."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.benches.base import Sink
from bench.errors import InputError
from bench.runs import packet_files
from bench.runs.folder import RunFolder
from bench.runs.packet_files import Columns, PacketStream, read_parquet, read_stream, write_parquet
from bench.runs.reader import read_recording, read_run, read_stimulus
from bench.runs.session_writer import SessionWriter
from bench.sessions.packets import ROW, PacketTable, merge
from bench.sessions.recording import Event

COLUMNS = ["t_ns", "tap", "direction", "link", "stream", "seq", "size"]


@pytest.fixture(scope="module")
def columns(session):
    return Columns(session.device, session.scenario.links)


def test_writer_is_the_sink_of_a_bench(run, session):
    assert isinstance(run.claim(session, "virtual", "virtual link"), Sink)


def test_recording_comes_back_equal(run, record, session, same):
    recording = record(1000)
    stored = read_run(run.path)
    assert same(read_recording(stored, session.id), recording)
    head = stored.session(session.id)
    assert (head.scenario, head.seed, head.trial, head.attempt) == ("primary-outage", 7, 0, 1)
    assert head.completion == "complete"
    assert read_stimulus(stored, session.id) == ()
    files = sorted(p.name for p in head.folder.iterdir())
    assert files == [
        "events.jsonl", "packets.parquet", "session.json", "stimulus.json", "transcript.jsonl",
    ]  # fmt: skip


def test_session_without_a_packet_comes_back(run, record, session, same):
    recording = record(0, events=(), transcript=(), changes=())
    assert same(read_recording(read_run(run.path), session.id), recording)


def test_unsorted_packets_are_stored_sorted(run, record, session, make_rows):
    rows = make_rows(400)
    record(400, packets=PacketTable(rows))
    stored = read_recording(read_run(run.path), session.id)
    assert np.array_equal(stored.packets.rows, merge([rows]).rows)
    assert stored.health.complete


def test_columns_are_readable(run, record, session):
    record(300)
    folder = run.path / "sessions" / session.id
    table = pq.read_table(folder / "packets.parquet")
    assert table.column_names == COLUMNS
    assert set(table["tap"].to_pylist()) == {"doctor", "patient", "actuator"}
    assert set(table["direction"].to_pylist()) == {"to-patient", "to-doctor"}
    assert set(table["link"].to_pylist()) == {"primary", "standby", None}
    assert set(table["stream"].to_pylist()) <= {s.name for s in session.device.streams}
    actuator = table.filter(pa.compute.equal(table["tap"], "actuator"))
    assert set(actuator["link"].to_pylist()) == {None}


def test_parquet_says_nothing_of_time_or_place(tmp_path, columns, make_rows):
    write_parquet(tmp_path / "p.parquet", merge([make_rows(10)]).rows, columns)
    assert pq.ParquetFile(tmp_path / "p.parquet").metadata.metadata is None


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_rows_come_back(data, columns):
    """Damaged packets may carry any code; nothing about them is lost."""
    byte = st.integers(0, 255)
    link = st.one_of(byte, st.just(255))
    size = st.integers(0, 2**32 - 1)
    row = st.tuples(st.integers(-(2**63), 2**63 - 1), byte, byte, link, byte, size, size)
    rows = np.array(data.draw(st.lists(row, max_size=40)), dtype=ROW)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_parquet(path / "p.parquet", rows, columns)
        assert np.array_equal(read_parquet(path / "p.parquet", columns), rows)
        stream = PacketStream(path / "p.arrows", columns)
        for start in range(0, len(rows), 7):
            stream.append(rows[start : start + 7])
        stream.close()
        back, cut_short = read_stream(path / "p.arrows", columns)
        assert np.array_equal(back, rows)
        assert not cut_short


def test_row_groups_close_by_count(tmp_path, columns, make_rows, monkeypatch):
    monkeypatch.setattr(packet_files, "GROUP_ROWS", 100)
    rows = merge([make_rows(250)]).rows
    write_parquet(tmp_path / "p.parquet", rows, columns)
    metadata = pq.ParquetFile(tmp_path / "p.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [
        100, 100, 50,
    ]  # fmt: skip
    assert np.array_equal(read_parquet(tmp_path / "p.parquet", columns), rows)


WRITE = """
import sys
from pathlib import Path
import numpy as np
from bench.devices.registry import find_device
from bench.network import library
from bench.runs.packet_files import Columns, write_parquet
from bench.sessions.packets import ROW
rows = np.fromfile(sys.argv[1], dtype=ROW)
device = find_device("telesurgery-robot")
write_parquet(Path(sys.argv[2]), rows, Columns(device, library.basic.primary_outage().links))
"""


def test_same_rows_give_the_same_bytes(tmp_path, columns, make_rows):
    """Also in another process, another folder and after other work in this one."""
    rows = merge([make_rows(5000)]).rows
    write_parquet(tmp_path / "other.parquet", merge([make_rows(70, 3)]).rows, columns)
    write_parquet(tmp_path / "one.parquet", rows, columns)
    rows.tofile(tmp_path / "rows")
    (tmp_path / "elsewhere").mkdir()
    there = tmp_path / "elsewhere" / "two.parquet"
    words = [sys.executable, "-c", WRITE, str(tmp_path / "rows"), str(there)]
    subprocess.run(words, check=True, timeout=60)
    assert (tmp_path / "one.parquet").read_bytes() == there.read_bytes()


def test_same_session_gives_the_same_files(tmp_path, session, identity, make_recording, snapshot):
    found = []
    for name in ("one", "two"):
        run = RunFolder.create(tmp_path / name, name, identity)
        writer = run.claim(session, "virtual", "virtual link")
        recording = make_recording(session)
        for part in np.array_split(recording.packets.rows, 3 if name == "one" else 7):
            writer.packets(part)
        writer.finish(recording, ())
        run.finish()
        found.append(snapshot(run.path / "sessions"))
        found.append(read_run(run.path).identity["content_hash"])
    assert found[:2] == found[2:]


def test_grows_as_things_happen(run, session, make_recording):
    """Everything handed over is in the files at once, before the session ends."""
    recording = make_recording(session)
    writer = run.claim(session, "virtual", "virtual link")
    for count, start in enumerate(range(0, 500, 100), 1):
        writer.packets(recording.packets.rows[start : start + 100])
        writer.event(Event(start, "bench", "bench", "tick", count))
        now = read_recording(read_run(run.path), session.id)
        assert np.array_equal(now.packets.rows, recording.packets.rows[: start + 100])
        assert len(now.events) == count
        assert not now.health.complete
        assert "not ended" in now.health.notes[0]


def test_session_given_up_says_why(run, session, make_recording):
    writer = run.claim(session, "local", "netem")
    writer.packets(make_recording(session).packets.rows)
    writer.abandon("BenchError: the tap died")
    stored = read_run(run.path)
    assert stored.session(session.id).completion == "failed"
    assert stored.session(session.id).reason == "BenchError: the tap died"
    recording = read_recording(stored, session.id)
    assert len(recording.packets) == 500
    assert not recording.health.complete
    assert recording.health.notes == ("the bench gave the session up: BenchError: the tap died",)
    assert (recording.bench, recording.backend) == ("local", "netem")


def test_captures_have_a_folder(run, session):
    writer = run.claim(session, "local", "netem")
    path = writer.capture_path("patient.pcapng")
    path.write_bytes(b"x")
    assert path == run.path / "sessions" / session.id / "captures" / "patient.pcapng"
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="not a plain file name"):
            writer.capture_path(name)


def test_event_that_json_cannot_carry_is_refused(run, session):
    writer = run.claim(session, "virtual", "virtual link")
    with pytest.raises(TypeError):
        writer.event(Event(0, "bench", "bench", "x", {1, 2}))


def test_lines_end_at_line_feeds_only(run, record, session, same):
    odd = "a\u2028b\x85c\r\nd\x00 \ud800"
    recording = record(5, events=(Event(0, "bench", "log", odd, {"x": odd}),))
    assert same(read_recording(read_run(run.path), session.id), recording)


def test_recording_of_another_session_is_refused(run, session, make_recording):
    writer = run.claim(session, "virtual", "virtual link")
    with pytest.raises(ValueError, match="is not a recording of"):
        writer.finish(replace(make_recording(session), session_id="other"))


def test_names_must_tell_links_apart(session):
    with pytest.raises(InputError, match="have the same name"):
        Columns(session.device, ("primary", "primary"))


def test_stream_cut_anywhere_gives_a_beginning(tmp_path, columns, make_rows):
    rows = make_rows(60)
    stream = PacketStream(tmp_path / "whole", columns)
    for start in range(0, 60, 20):
        stream.append(rows[start : start + 20])
    stream.close()
    whole = (tmp_path / "whole").read_bytes()
    seen = set()
    for length in [*range(0, len(whole), 13), len(whole) - 8, len(whole)]:
        (tmp_path / "cut").write_bytes(whole[:length])
        back, cut_short = read_stream(tmp_path / "cut", columns)
        assert np.array_equal(back, rows[: len(back)])
        assert len(back) % 20 == 0
        seen.add((len(back), cut_short))
    assert {count for count, _ in seen} == {0, 20, 40, 60}
    assert {(0, True), (20, True), (40, True)} <= seen


def test_batch_that_points_outside_its_names_ends_the_stream(tmp_path, columns, make_rows):
    """A dictionary index that a damaged file may hold; used unchecked it reads foreign memory."""
    good = columns.batch(make_rows(20))
    taps = pa.array(np.full(20, 9, dtype=np.uint8))
    bad = pa.DictionaryArray.from_arrays(taps, good["tap"].dictionary, safe=False)
    with pa.OSFile(str(tmp_path / "p"), "wb") as file, pa.ipc.new_stream(file, good.schema) as out:
        out.write_batch(good)
        out.write_batch(good.set_column(1, good.schema.field(1), bad))
    back, cut_short = read_stream(tmp_path / "p", columns)
    assert len(back) == 20
    assert cut_short


def test_million_rows_in_pieces(run, session, make_rows, make_recording, same):
    """More rows than one row group holds; handed over in uneven pieces."""
    count = packet_files.GROUP_ROWS + 50_000
    recording = make_recording(session, packets=merge([make_rows(count)]))
    writer = run.claim(session, "virtual", "virtual link")
    writer.packets(recording.packets.rows[:1])
    writer.packets(recording.packets.rows[1:])
    writer.finish(recording)
    assert same(read_recording(read_run(run.path), session.id), recording)
    table = pq.ParquetFile(run.path / "sessions" / session.id / "packets.parquet").metadata
    assert table.num_row_groups == 2


def test_description_holds_device_and_schedule_in_full(run, record, session):
    record()
    file = run.path / "sessions" / session.id / "session.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["device"]["declares"] == dict(session.device.declares)
    assert len(data["schedule"]["changes"]) == len(session.schedule().changes)
    assert data["links"] == ["primary", "standby"]
    assert data["seed"] == 7
    assert len(data["content_hash"]) == len(hashlib.sha256().hexdigest())


def test_existing_folder_is_somebody_elses(run, session):
    sessions = run.path / "sessions"
    assert SessionWriter.claim(sessions, session, "virtual", "x") is not None
    assert SessionWriter.claim(sessions, session, "virtual", "x") is None
