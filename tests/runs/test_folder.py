"""The run folder while a run goes on: made whole or not at all, joined, concluded once."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.judge.verdict import Outcome, Verdict
from bench.runs.folder import RunFolder, SessionLost
from bench.runs.ids import check_run_id, latest_run, new_run_id
from bench.runs.reader import read_run, verdict_to_json
from bench.runs.seal import verify
from bench.runs.session_writer import SessionWriter
from bench.sessions.recording import Recording


def verdict_of(number: int = 0, value: float | None = 0.0021) -> Verdict:
    return Verdict(
        requirement=f"T2-{number}", test="t", device="d", stream="s", metric="delay_p99",
        reference_points="interface–interface", verdict=Outcome.PASS, value=value, unit="s",
        uncertainty=1e-6, n=10, confidence=0.95, limit=0.01, comparator="<=", margin=0.0079,
        rule="simple", reason="2.1 ms ≤ 10 ms", reading="", against="document", session="x",
        attempt=1, details=(("median", 0.002), ("note", "x"), ("none", None)),
    )  # fmt: skip


def test_says_what_it_was_made_with(run, device):
    identity = read_run(run.path).identity
    assert identity["completion"] == "incomplete"
    assert identity["run_id"] == "a-run"
    assert identity["seed"] == 7
    assert identity["simulated"] is True
    assert identity["device"]["name"] == device.name
    assert {"python", "numpy", "telemed-bench", "pyroute2"} <= identity["versions"].keys()
    for key in ("git_commit", "host", "kernel", "cpu_count", "start", "end", "order", "scope"):
        assert key in identity
    assert identity["end"] is None
    start = datetime.fromisoformat(identity["start"])
    assert abs(datetime.now(UTC) - start) < timedelta(minutes=5)


def test_device_is_read_back(run, device):
    assert read_run(run.path).device == device


def test_update_sets_fields_and_keeps_the_others(run):
    run.update(noise_floor={"p50": 1e-5}, options=("a",))
    run.update(options=("b",))
    identity = read_run(run.path).identity
    assert identity["noise_floor"] == {"p50": 1e-5}
    assert identity["options"] == ["b"]
    assert identity["seed"] == 7


def test_verdicts_are_there_at_once_and_come_back_equal(run):
    given = [verdict_of(i, value) for i, value in enumerate([0.1, None, float("inf")])]
    for count, verdict in enumerate(given, 1):
        run.verdict(verdict)
        assert read_run(run.path).verdicts == tuple(given[:count])
    run.conclude()
    assert read_run(run.path).verdicts == tuple(given)
    data = json.loads((run.path / "verdicts.json").read_text(encoding="utf-8"))
    assert data == {"verdicts": [verdict_to_json(v) for v in given]}
    assert data["verdicts"][1]["value"] is None
    assert not (run.path / "verdicts.jsonl").exists()


def test_several_workers_append_whole_verdicts(run):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: RunFolder(run.path).verdict(verdict_of(i)), range(40)))
    found = read_run(run.path).verdicts
    assert sorted(v.requirement for v in found) == sorted(f"T2-{i}" for i in range(40))


def test_finish_concludes_and_seals(run, record, session):
    record()
    run.verdict(verdict_of())
    seen = []

    def report(folder: Path) -> None:
        seen.append(read_run(folder).completion)
        (folder / "report.html").write_text("x")

    run.finish(before_seal=report)
    assert seen == ["complete"]
    assert verify(run.path).ok
    identity = read_run(run.path).identity
    assert identity["sessions"] == {"complete": 1, "failed": 0, "incomplete": 0}
    assert identity["start"] <= identity["end"]
    assert "report.html" in (run.path / "SHA256SUMS").read_text()


def test_interrupted_run_is_sealed_but_says_so(run, record):
    record()
    run.finish("interrupted")
    assert verify(run.path).problems == ("incomplete: the run is interrupted",)


def test_unfinished_sessions_are_counted(run, record, session):
    record()
    run.claim(replace(session, trial=1), "virtual", "x")
    run.claim(replace(session, trial=2), "virtual", "x").abandon("no")
    (run.path / "sessions" / "killed-at-once").mkdir()
    run.conclude()
    stored = read_run(run.path)
    assert stored.identity["sessions"] == {"complete": 1, "failed": 1, "incomplete": 2}
    assert [s.completion for s in stored.sessions] == ["complete", "incomplete", "failed"]
    assert "killed-at-once" in stored.notes[0]


def test_existing_run_is_not_touched(run, identity, snapshot):
    before = snapshot(run.path)
    with pytest.raises(InputError, match="exists already"):
        RunFolder.create(run.path.parent, "a-run", identity)
    assert snapshot(run.path) == before
    assert [p.name for p in run.path.parent.iterdir()] == ["a-run"]


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".x", "-x", "a b", "x" * 201, "a\0", "ä"])
def test_id_that_cannot_name_a_folder(tmp_path, identity, run_id):
    with pytest.raises(InputError, match="cannot name a run folder"):
        RunFolder.create(tmp_path / "r", run_id, identity)
    assert list(tmp_path.iterdir()) == []


def test_worker_joins_the_run_of_its_invocation(run, identity, record, session, same):
    recording = record()
    worker = RunFolder.open(run.path.parent, "a-run", identity)
    found = worker.claim(session, "virtual", "virtual link")
    assert isinstance(found, Recording)
    assert same(found, recording)


@pytest.mark.parametrize("how", ["another seed", "concluded", "sealed"])
def test_worker_joins_no_other_run(run, identity, how):
    if how == "another seed":
        identity = identity | {"seed": 8}
    elif how == "concluded":
        run.conclude()
    else:
        run.finish()
    with pytest.raises(InputError):
        RunFolder.open(run.path.parent, "a-run", identity)


def test_many_workers_make_one_run(tmp_path, identity):
    barrier = threading.Barrier(6)

    def work(_: int) -> Path:
        barrier.wait(10)
        return RunFolder.open(tmp_path, "shared", identity).path

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(work, range(6))) == {tmp_path / "shared"}
    assert [p.name for p in tmp_path.iterdir()] == ["shared"]


def test_one_worker_gets_the_session_the_others_its_recording(run, session, make_recording, same):
    recording = make_recording(session)
    barrier = threading.Barrier(4)

    def work(_: int) -> Recording | None:
        barrier.wait(10)
        got = run.claim(session, "virtual", "virtual link", deadline_s=20)
        if isinstance(got, Recording):
            return got
        time.sleep(0.2)
        got.finish(recording)
        return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert found.count(None) == 1
    assert all(same(other, recording) for other in found if other is not None)


def test_waiting_ends_when_the_worker_gave_up(run, session):
    run.claim(session, "virtual", "x").abandon("BenchError: no tap")
    with pytest.raises(SessionLost, match="BenchError: no tap"):
        run.claim(session, "virtual", "x", deadline_s=60)


def test_waiting_has_a_deadline(run, session):
    assert isinstance(run.claim(session, "virtual", "x"), SessionWriter)
    start = time.monotonic()
    with pytest.raises(SessionLost, match=r"within 0\.3 s"):
        run.wait_for(session.id, 0.3)
    assert 0.3 <= time.monotonic() - start < 5


def test_ids_name_time_device_and_bench():
    east = timezone(timedelta(hours=8))
    run_id = new_run_id("my robot/ü!", "local", datetime(2026, 11, 21, 10, 5, tzinfo=east))
    assert run_id.startswith("20261121T020500Z-my-robot-local-")
    assert len({new_run_id("d", "virtual") for _ in range(20)}) > 15
    assert check_run_id(run_id) == run_id


def test_latest_run(tmp_path, identity):
    for name in ("b", "a", "c"):
        run = RunFolder.create(tmp_path, name, identity)
        run.update(start={"b": "2026-01-02", "a": "2026-01-03", "c": "2026-01-01"}[name])
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "foreign").mkdir()
    assert latest_run(tmp_path) == tmp_path / "a"
    for empty in (tmp_path / "foreign", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="holds no run"):
            latest_run(empty)


def test_temporary_files_do_not_stay(run, record):
    record()
    run.update(x=1)
    run.conclude()
    assert not [p for p in run.path.rglob(".*")]
    assert os.listdir(run.path.parent) == ["a-run"]
