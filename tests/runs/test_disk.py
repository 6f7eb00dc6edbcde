"""A disk that is full or refuses: one line that says so, and nothing half-made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.errors import InputError
from bench.runs.folder import RunFolder
from bench.runs.reader import read_recording, read_run
from bench.sessions.packets import ROW, merge


@pytest.mark.parametrize("kind", ["a file", "below a file", "/proc"])
def test_results_folder_that_cannot_be_written(tmp_path, identity, kind):
    (tmp_path / "file").write_text("x")
    results = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "results",
        "/proc": Path("/proc/results"),
    }[kind]
    if kind == "/proc" and not Path("/proc/self").exists():
        pytest.skip("NOT TESTED: no /proc here")
    with pytest.raises(InputError, match="cannot be written") as caught:
        RunFolder.create(results, "x", identity)
    assert "\n" not in caught.value.line()
    assert "--results" in caught.value.line()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_results_folder_without_permission(tmp_path, identity):
    if os.geteuid() == 0:
        pytest.skip("NOT TESTED: permissions do not bind root; a file in its place is tested")
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder.create(tmp_path / "results", "x", identity)


COMMON = """
import sys
from pathlib import Path
import numpy as np
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.network import library
from bench.runs.folder import RunFolder
from bench.sessions.packets import ROW
from bench.sessions.recording import Event, Session
device = find_device("telesurgery-robot")
session = Session("therapy", device, library.basic.primary_outage(), 7)
results = Path(sys.argv[1])
rows = np.fromfile(sys.argv[2], dtype=ROW)
identity = {"device": device, "bench": "virtual", "backend": "x"}

def refused(call, *words):
    try:
        call(*words)
    except InputError as error:
        assert "cannot be written" in error.line() and "\\n" not in error.line(), error
        return True
    return False
"""

FILL = (
    COMMON
    + """
run = RunFolder.create(results, "run", identity)
writer = run.claim(session, "virtual", "x")
before = (run.path / "run.json").read_bytes()
count = 0
while not refused(writer.packets, rows[100 * count : 100 * count + 100]):
    count += 1
    assert count < 4000, "the disk never filled up"
"""
)

# What stays of a run whose disk filled up: read back by the test after the writer has ended.
FULL = (
    FILL
    + """
try:  # whatever space is left
    with open(results / "filler", "wb", buffering=0) as file:
        while file.write(b"x" * 100):
            pass
except OSError:
    pass
assert refused(run.verdict, {"requirement": "x" * 9000})
assert refused(lambda: run.update(large="x" * 9000))
assert (run.path / "run.json").read_bytes() == before
assert refused(RunFolder.create, results, "second", identity)
assert refused(RunFolder.create, results / "new" / "er", "third", identity)
assert sorted(p.name for p in results.iterdir()) == ["filler", "run"], list(results.iterdir())
writer.abandon("the disk is full")
import shutil
shutil.copytree(run.path, sys.argv[3])
print(count)
"""
)

LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n" + (
    FILL + "writer.abandon('a file is as large as it may be')\nprint(count)\n"
)


def run_child(words: list[str], tmp_path: Path, make_rows) -> tuple[int, np.ndarray]:
    rows = make_rows(400_000)
    rows.tofile(tmp_path / "rows")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), rows


def check(path: Path, confirmed: int, rows: np.ndarray) -> None:
    run = read_run(path)
    (session,) = run.sessions
    recording = read_recording(run, session.id)
    assert not recording.health.complete
    assert len(recording.packets) in (100 * confirmed, 100 * (confirmed + 1))
    assert np.array_equal(recording.packets.rows, merge([rows[: len(recording.packets)]]).rows)
    assert recording.packets.rows.dtype == ROW


def test_full_disk(tmp_path, make_rows):
    """A file system of 256 KiB in a mount namespace of its own, which ends with the child."""
    disk, copy, ready = tmp_path / "disk", tmp_path / "copy", tmp_path / "mounted"
    disk.mkdir()
    unshare = shutil.which("unshare")
    space = [str(unshare), "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=256k tmpfs {disk} && touch {ready}"
    if unshare is None or subprocess.run([*space, mount], capture_output=True).returncode:
        pytest.skip("NOT TESTED: no mount namespace here (root or user namespaces needed)")
    script = tmp_path / "full.py"
    script.write_text(FULL)
    call = f"{mount} && exec {sys.executable} {script} {disk} {tmp_path / 'rows'} {copy}"
    confirmed, rows = run_child([*space, call], tmp_path, make_rows)
    assert list(disk.iterdir()) == [], "the mount stayed in its own namespace"
    check(copy, confirmed, rows)


def test_file_that_may_not_grow(tmp_path, make_rows):
    """Refused in the middle of a file, without root: a limit on file size in a child."""
    words = [sys.executable, "-c", LIMITED, str(tmp_path / "results"), str(tmp_path / "rows")]
    confirmed, rows = run_child(words, tmp_path, make_rows)
    check(tmp_path / "results" / "run", confirmed, rows)


# run.json is larger than this; the folders around it can be made.
TINY = (
    "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))\n"
    + COMMON
    + """
assert refused(RunFolder.create, results / "new" / "er", "run", identity)
assert not results.exists(), list(results.rglob("*"))
results.mkdir()
assert refused(RunFolder.create, results, "run", identity)
assert list(results.iterdir()) == []
print(0)
"""
)


def test_nothing_half_made(tmp_path, make_rows):
    """run.json is refused when its folder is there already: both go, and what was made for them."""
    words = [sys.executable, "-c", TINY, str(tmp_path / "results"), str(tmp_path / "rows")]
    run_child(words, tmp_path, make_rows)


def test_old_file_stays_until_the_new_one_is_whole(run, monkeypatch):
    before = (run.path / "run.json").read_bytes()

    def refuse(*_: object) -> None:
        assert (run.path / "run.json").read_bytes() == before
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match="No space left"):
        run.update(x=1)
    assert (run.path / "run.json").read_bytes() == before
    assert sorted(p.name for p in run.path.iterdir()) == ["run.json", "sessions"]


def test_verdict_is_durable_when_it_is_given(run, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    run.verdict({"verdict": "PASS"})
    assert synced == [(run.path / "verdicts.jsonl").stat().st_ino]
