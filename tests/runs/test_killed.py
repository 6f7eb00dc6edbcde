"""A run that is really killed: what its writer had handed over is there, and it says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.runs.reader import read_recording, read_run
from bench.runs.seal import verify
from bench.sessions.packets import merge

WRITER = """
import sys
from pathlib import Path
import numpy as np
from bench.devices.registry import find_device
from bench.network import library
from bench.runs.folder import RunFolder
from bench.sessions.packets import ROW
from bench.sessions.recording import Event, Session
rows = np.fromfile(sys.argv[2], dtype=ROW)
device = find_device("telesurgery-robot")
session = Session("therapy", device, library.basic.primary_outage(), 7)
run = RunFolder.create(Path(sys.argv[1]), "killed", {"device": device, "seed": 7})
writer = run.claim(session, "virtual", "virtual link")
for count in range(1, len(rows) // 50 + 1):
    writer.packets(rows[50 * (count - 1) : 50 * count])
    writer.event(Event(count, "bench", "bench", "tick", count))
    if count % 10 == 0:
        run.update(count=count)
    print(count, flush=True)
"""


@pytest.fixture
def killed(tmp_path, make_rows):
    """A run folder whose writer got SIGKILL in full swing, and the batches it had confirmed."""
    rows = make_rows(500_000)
    rows.tofile(tmp_path / "rows")
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "results"), str(tmp_path / "rows")],
        stdout=subprocess.PIPE,
    )
    try:
        confirmed = 0
        while confirmed < 137:
            confirmed = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")[:-1]
    finally:
        child.kill()
        code = child.wait(20)
    assert code == -signal.SIGKILL, "the writer had ended before it was killed"
    return tmp_path / "results" / "killed", rows, int(rest[-1]) if rest else confirmed


def test_killed_run_is_readable(killed):
    path, rows, confirmed = killed
    run = read_run(path)
    assert run.completion == "incomplete"
    assert not run.complete
    (session,) = run.sessions
    assert session.completion == "incomplete"
    recording = read_recording(run, session.id)
    # The last batch may have got there without having been confirmed.
    assert len(recording.packets) in (50 * confirmed, 50 * (confirmed + 1))
    expected = merge([rows[: len(recording.packets)]]).rows
    assert np.array_equal(recording.packets.rows, expected)
    ticks = [event.value for event in recording.events]
    assert ticks == list(range(1, len(ticks) + 1))
    assert len(ticks) in (confirmed, confirmed + 1)
    assert run.identity["count"] >= confirmed // 10 * 10
    assert not recording.health.complete
    assert "not ended" in recording.health.notes[0]


def test_killed_run_does_not_verify(killed):
    found = verify(killed[0])
    assert not found.ok
    assert any(problem.startswith("incomplete") for problem in found.problems)
    assert any(problem.startswith("unsealed") for problem in found.problems)


def test_half_written_ends_are_left_out(killed):
    """A kill in the middle of a write, made certain: every growing file is cut in its last item."""
    path, rows, _ = killed
    (session,) = (path / "sessions").iterdir()
    for name in ("packets.arrows", "events.jsonl"):
        os.truncate(session / name, (session / name).stat().st_size - 3)
    (path / "verdicts.jsonl").write_bytes(b'{"requirement": "T')
    run = read_run(path)
    assert run.verdicts == ()
    assert run.notes == ("verdicts.jsonl: the last line is not whole and is left out",)
    recording = read_recording(run, session.name)
    count = len(recording.packets)
    assert count > 0
    assert count % 50 == 0
    assert np.array_equal(recording.packets.rows, merge([rows[:count]]).rows)
    assert recording.health.notes[1:] == (
        f"packets.arrows: cut short after {count} packets",
        "events.jsonl: the last line is not whole and is left out",
    )


def test_kill_before_anything_was_recorded(run, session):
    run.claim(session, "virtual", "x")
    folder = run.path / "sessions" / session.id
    for name in ("packets.arrows", "events.jsonl"):
        Path(folder / name).unlink()
    recording = read_recording(read_run(run.path), session.id)
    assert len(recording.packets) == 0
    assert not recording.health.complete


def test_kill_between_final_forms(run, session, make_recording, monkeypatch):
    """Parquet is there, the description does not say complete yet: readable, not complete."""
    writer = run.claim(session, "virtual", "x")
    recording = make_recording(session)
    writer.packets(recording.packets.rows)
    monkeypatch.setattr(type(writer), "_describe", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        writer.finish(recording)
    back = read_recording(read_run(run.path), session.id)
    assert np.array_equal(back.packets.rows, recording.packets.rows)
    assert not back.health.complete
