"""The seal: whatever is changed afterwards, the run no longer verifies; and nothing writes in."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from bench.errors import InputError
from bench.runs.folder import RunFolder
from bench.runs.seal import is_sealed, seal, verify

EDITED = [
    "run.json", "verdicts.json", "report.html", "sessions/{id}/session.json",
    "sessions/{id}/packets.parquet", "sessions/{id}/events.jsonl",
    "sessions/{id}/stimulus.json", "sessions/{id}/captures/patient.pcapng",
]  # fmt: skip


@pytest.fixture
def sealed(run, record, session):
    record()
    captures = run.path / "sessions" / session.id / "captures"
    captures.mkdir()
    (captures / "patient.pcapng").write_bytes(b"packets")
    run.finish(before_seal=lambda folder: (folder / "report.html").write_text("report"))
    assert verify(run.path).ok
    return run.path


@pytest.fixture
def named(session):
    return lambda name: name.format(id=session.id)


@pytest.mark.parametrize("name", EDITED)
def test_edited_file(sealed, named, name):
    path = sealed / named(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = verify(sealed)
    assert not found.ok
    assert f"changed: {named(name)}" in found.problems


@pytest.mark.parametrize("name", EDITED)
def test_removed_file(sealed, named, name):
    (sealed / named(name)).unlink()
    found = verify(sealed)
    assert not found.ok
    assert f"missing: {named(name)}" in found.problems


@pytest.mark.parametrize("name", ["x", "sessions/x", "sessions/{id}/.x", "a/b/c", "SHA256SUMS.bak"])
def test_added_file(sealed, named, name):
    path = sealed / named(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert verify(sealed).problems == (f"extra: {named(name)}",)


@pytest.mark.parametrize("kind", ["same content", "folder", "fifo"])
def test_file_that_became_something_else(sealed, tmp_path, kind):
    path = sealed / "report.html"
    shutil.copy(path, tmp_path / "copy")
    path.unlink()
    if kind == "same content":
        path.symlink_to(tmp_path / "copy")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert not verify(sealed).ok


def test_linked_folder_is_not_followed(sealed, tmp_path):
    shutil.move(sealed / "sessions", tmp_path / "moved")
    (sealed / "sessions").symlink_to(tmp_path / "moved")
    assert not verify(sealed).ok


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"",
        lambda text: text[:-1],
        lambda text: text[: len(text) // 2],
        lambda text: text + b"x\n",
        lambda text: text + text.splitlines(keepends=True)[0],
        lambda text: text.upper(),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"0" * 64 + b"  ../outside\n" + text,
        lambda text: b"".join(x for x in text.splitlines(keepends=True) if b"run.json" not in x),
    ],
)
def test_edited_seal(sealed, change):
    path = sealed / "SHA256SUMS"
    path.write_bytes(change(path.read_bytes()))
    assert not verify(sealed).ok


def test_seal_of_another_run(sealed, tmp_path, identity):
    other = RunFolder.create(tmp_path / "other", "other", identity)
    other.finish()
    shutil.copy(other.path / "SHA256SUMS", sealed / "SHA256SUMS")
    assert not verify(sealed).ok


def test_file_taken_out_of_folder_and_seal(sealed):
    """Even then: a run without run.json is none."""
    (sealed / "run.json").unlink()
    text = (sealed / "SHA256SUMS").read_text().splitlines(keepends=True)
    (sealed / "SHA256SUMS").write_text("".join(x for x in text if not x.endswith("  run.json\n")))
    assert verify(sealed).problems == ("damaged: the seal does not cover run.json",)


def test_moved_run_still_verifies(sealed, tmp_path):
    shutil.copytree(sealed, tmp_path / "copy")
    assert verify(tmp_path / "copy").ok


def test_verify_writes_nothing(sealed, snapshot):
    before = snapshot(sealed)
    verify(sealed)
    assert snapshot(sealed) == before


def test_anyone_can_check_with_sha256sum(sealed):
    if shutil.which("sha256sum") is None:
        pytest.skip("NOT TESTED: sha256sum is not installed")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=sealed, check=True,
                   capture_output=True, timeout=30)  # fmt: skip


def test_run_without_seal(run, record):
    record()
    assert verify(run.path).problems == (
        "incomplete: the run is incomplete",
        "unsealed: it has no SHA256SUMS",
    )
    run.conclude()
    assert verify(run.path).problems == ("unsealed: it has no SHA256SUMS",)


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_no_run_folder(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("x")
    for check in (verify, seal):
        with pytest.raises(InputError, match="is not a run folder"):
            check(path)


def test_nothing_writes_into_a_sealed_run(run, record, session, identity, snapshot):
    recording = record()
    late = run.claim(type(session)(**{**_fields(session), "trial": 5}), "virtual", "x")
    run.finish()
    before = snapshot(run.path)
    for write in (
        lambda: run.update(seed=8),
        lambda: run.verdict({"verdict": "PASS"}),
        lambda: run.claim(session, "virtual", "x"),
        lambda: late.packets(recording.packets.rows),
        lambda: late.event(recording.events[0]),
        lambda: late.capture_path("x"),
        lambda: late.finish(recording),
        run.conclude,
        run.finish,
        lambda: seal(run.path),
        lambda: RunFolder.open(run.path.parent, run.path.name, identity),
    ):
        with pytest.raises(InputError, match="is sealed"):
            write()
    late.abandon("too late")
    assert snapshot(run.path) == before
    assert is_sealed(run.path)


def _fields(session):
    return {name: getattr(session, name) for name in type(session).__slots__}


def test_link_is_not_sealed(run, tmp_path):
    (tmp_path / "outside").write_text("x")
    (run.path / "link").symlink_to(tmp_path / "outside")
    run.conclude()
    with pytest.raises(InputError, match="neither a file nor a folder"):
        seal(run.path)
    assert not is_sealed(run.path)
