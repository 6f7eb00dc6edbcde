"""Foreign and damaged folders: one line with file, field and remedy; never a wrong recording."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.errors import InputError
from bench.judge.scope import ScopeItem
from bench.network import library
from bench.runs.reader import read_recording, read_run, read_stimulus


@pytest.fixture
def stored(run, record, session):
    """A concluded run with one session; its path and the session's folder."""
    record()
    run.conclude()
    return run.path, run.path / "sessions" / session.id


def edit(path, change):
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def refusal(call, *words):
    with pytest.raises(InputError) as caught:
        call(*words)
    line = caught.value.line()
    assert "\n" not in line
    assert caught.value.remedy
    return line


def whole(path):
    run = read_run(path)
    for session in run.sessions:
        read_recording(run, session.id)
        read_stimulus(run, session.id)
    return run


def test_foreign_folders(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        assert "is not a run folder" in refusal(read_run, path)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("run.json", b"", "run.json: is not JSON"),
        ("run.json", b"{}", "run.json: format: is not a format that this version reads"),
        ("run.json", b"[]", "run.json: is not a JSON object"),
        ("run.json", b"[" * 100_000, "run.json: is not JSON"),
        ("run.json", b"\xff\xfe", "run.json: is not JSON"),
        ("verdicts.json", b"{}", "verdicts.json: verdicts: is not a list"),
        ("verdicts.json", b'{"verdicts": [{}]}', "verdicts.json: verdicts[0].against: is missing"),
        ("session/session.json", b"{}", "session.json: id: is missing"),
        ("session/session.json", b"x", "session.json: is not JSON"),
        ("session/events.jsonl", b"{}\n", "events.jsonl: line 1.name: is missing"),
        ("session/events.jsonl", b'{"t_ns"', "events.jsonl: line 1: is not whole"),
        ("session/events.jsonl", b"x\n", "events.jsonl: line 1: is not JSON"),
        ("session/events.jsonl", None, "events.jsonl: is missing"),
        ("session/transcript.jsonl", b"3\n", "transcript.jsonl: [0] = 3: is not an object"),
        ("session/stimulus.json", b'{"steps": 3}', "stimulus.json: steps = 3: is not a list"),
        ("session/packets.parquet", None, "packets.parquet: is missing"),
        ("session/packets.parquet", b"", "packets.parquet: is not a packet table"),
        ("session/packets.parquet", b"PAR1" * 9, "packets.parquet: is not a packet table"),
    ],
)
def test_damaged_files(stored, name, text, says):
    path, session = stored
    file = session / name[8:] if name.startswith("session/") else path / name
    if text is None:
        file.unlink()
    else:
        file.write_bytes(text)
    line = refusal(whole, path)
    assert str(file) in line
    assert says in line


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("run", lambda d: d["device"].pop("name"), "device.name: is missing"),
        ("run", lambda d: d.pop("device"), "device: is not an object"),
        ("run", lambda d: d.pop("completion"), "completion: is missing"),
        ("run", lambda d: d.update(scope=[{}]), "scope[0].in_scope: is missing"),
        ("run", lambda d: d.update(format=2), "format = 2: is not a format"),
        ("session", lambda d: d.update(id="x"), "id = 'x': lies in the folder"),
        ("session", lambda d: d.update(trial="1"), "trial = '1': is not a whole number"),
        ("session", lambda d: d.update(changes=None), "changes: is not a list"),
        ("session", lambda d: d["health"].update(tap=1), "health.tap: unknown key"),
        (
            "session",
            lambda d: d["schedule"]["changes"][0]["impairment"]["delay"].update(law="x"),
            "schedule.changes[0].impairment.delay.law = 'x': is unknown",
        ),
    ],
)
def test_damaged_fields(stored, name, change, says):
    path, session = stored
    edit((path if name == "run" else session) / f"{name}.json", change)
    assert says in refusal(whole, path)


def test_every_damaged_byte_of_the_packets_is_noticed(stored, session):
    """Refused, or used with its health spoilt: never taken for what was recorded."""
    path, folder = stored
    file = folder / "packets.parquet"
    good = file.read_bytes()
    run = read_run(path)
    original = read_recording(run, session.id).packets.rows
    rng = np.random.default_rng(3)
    refused = 0
    for place in rng.choice(len(good), 150, replace=False):
        data = bytearray(good)
        data[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        try:
            found = read_recording(run, session.id)
        except InputError:
            refused += 1
            continue
        same = np.array_equal(found.packets.rows, original)
        assert same or not found.health.complete
    assert refused > 75


@pytest.mark.parametrize("what", ["an event", "the health", "the schedule", "a packet"])
def test_edited_recording_spoils_its_health(stored, session, what):
    path, folder = stored
    if what == "an event":
        file = folder / "events.jsonl"
        file.write_bytes(file.read_bytes().replace(b'"um": 3', b'"um": 2'))
    elif what == "the health":
        edit(folder / "session.json", lambda d: d["health"].update(notes=[]))
    elif what == "the schedule":
        edit(folder / "session.json", lambda d: d["schedule"].update(end_ns=5))
    else:
        table = pq.read_table(folder / "packets.parquet")
        pq.write_table(table.slice(1), folder / "packets.parquet")
    health = read_recording(read_run(path), session.id).health
    assert not health.complete
    assert "not what was recorded" in health.notes[-1]


def test_packets_in_another_encoding_are_the_same_recording(stored, session, same):
    """The content counts, not the file: another compression, other row groups."""
    path, folder = stored
    before = read_recording(read_run(path), session.id)
    table = pq.read_table(folder / "packets.parquet")
    pq.write_table(table, folder / "packets.parquet", compression="gzip", row_group_size=77)
    assert same(read_recording(read_run(path), session.id), before)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.drop_columns(["seq"]),
        lambda t: t.rename_columns(["t", *t.column_names[1:]]),
        lambda t: t.set_column(0, "t_ns", t["t_ns"].cast(pa.float64())),
        lambda t: t.set_column(0, "t_ns", pa.array([None] * t.num_rows, pa.int64())),
        lambda t: t.set_column(1, "tap", pa.array([None] * t.num_rows, pa.string())),
        lambda t: t.set_column(1, "tap", pa.array(["moon"] * t.num_rows)),
        lambda t: t.set_column(4, "stream", pa.array(["moon"] * t.num_rows)),
    ],
)
def test_foreign_packet_tables_are_refused(stored, change):
    path, folder = stored
    table = pq.read_table(folder / "packets.parquet")
    pq.write_table(change(table), folder / "packets.parquet")
    assert "packets.parquet: is not a packet table of this session" in refusal(whole, path)


def test_unknown_session(stored):
    run = read_run(stored[0])
    line = refusal(read_recording, run, "moon")
    assert "no such session" in line
    assert run.sessions[0].id in line


def test_session_of_another_run_in_its_place(stored):
    path, folder = stored
    folder.rename(folder.with_name("other"))
    assert "lies in the folder other" in refusal(whole, path)


def test_sessions_come_in_the_order_of_the_scope(run, session):
    scope = [
        ScopeItem("A", "s", "t", "primary-outage", True, planned_n=3, duration_s=1.5),
        ScopeItem("B", "s", "t", "blackout", False, "why", "3 s"),
    ]
    run.update(scope=scope)
    for scenario, trial, attempt in [
        (library.find_scenario("blackout"), 0, 1),
        (session.scenario, 1, 1),
        (session.scenario, 0, 2),
        (session.scenario, 0, 1),
        (library.null_path(), 0, 1),
    ]:
        run.claim(replace(session, scenario=scenario, trial=trial, attempt=attempt), "virtual", "x")
    stored = read_run(run.path)
    assert stored.scope == tuple(scope)
    assert [(s.scenario, s.trial, s.attempt) for s in stored.sessions] == [
        ("null-path", 0, 1), ("primary-outage", 0, 1), ("primary-outage", 0, 2),
        ("primary-outage", 1, 1), ("blackout", 0, 1),
    ]  # fmt: skip


def test_reading_writes_nothing(stored, snapshot):
    before = snapshot(stored[0])
    whole(stored[0])
    assert snapshot(stored[0]) == before
