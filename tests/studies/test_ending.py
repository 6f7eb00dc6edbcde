"""The end of a run: every answer given, complete only when it is."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.judge.verdict import Outcome
from bench.runs.reader import read_run
from bench.runs.seal import verify
from bench.studies.ending import NO_VERDICT, end_run, unanswered
from bench.studies.rejudge import rejudge

_FILE = Path(__file__).with_name("conftest.py")
_SPEC = importlib.util.spec_from_file_location("studies_conftest", _FILE)
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)


@pytest.fixture(scope="module")
def unjudged(tmp_path_factory) -> Path:
    """Two items in scope, nothing judged, not ended; never written into."""
    results = tmp_path_factory.mktemp("unjudged")
    return made.carry_out(results, [made.STOP, made.SWITCH], judged=False)


@pytest.fixture
def open_run(unjudged, tmp_path) -> Path:
    """A copy of it that may be ended."""
    return shutil.copytree(unjudged, tmp_path / unjudged.name)


def test_what_has_no_verdict_becomes_an_error(open_run):
    stored = read_run(open_run)
    assert [item.requirement for item in unanswered(stored.scope, stored.verdicts)] == [
        "LOC-1", "SW-1",
    ]  # fmt: skip
    ended = end_run(open_run, made.no_reports)
    assert ended.complete
    assert unanswered(ended.scope, ended.verdicts) == []
    assert {(v.verdict, v.reason) for v in ended.verdicts} == {(Outcome.ERROR, NO_VERDICT)}
    assert verify(open_run).ok
    again = rejudge(open_run)
    assert again.differences == ()
    assert again.exit_code == 4


def test_reports_see_the_run_as_it_will_be(open_run):
    seen = []

    def look(path, known):
        seen.append((read_run(path).completion, known, (path / "verdicts.json").exists()))

    end_run(open_run, look)
    assert seen == [("incomplete", {"completion": "complete"}, True)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left"), ValueError()])
def test_an_end_that_is_cut_short_leaves_it_incomplete(open_run, error):
    def fail(path, known):
        raise error

    expected = InputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        end_run(open_run, fail)
    stored = read_run(open_run)
    assert stored.completion == "incomplete"
    assert len(stored.verdicts) == 2
    assert not verify(open_run).ok


def test_a_seal_that_cannot_be_written_leaves_it_incomplete(open_run, monkeypatch):
    def fail(path):
        raise InputError("cannot be written", remedy="free some space", file=path)

    monkeypatch.setattr("bench.studies.ending.seal", fail)
    with pytest.raises(InputError):
        end_run(open_run, made.no_reports)
    assert read_run(open_run).completion == "incomplete"


def test_a_torn_last_verdict_is_left_out(tmp_path):
    path = made.carry_out(tmp_path, [made.STOP, made.SWITCH])
    lines = (path / "verdicts.jsonl").read_bytes()
    (path / "verdicts.jsonl").write_bytes(lines[:-40])
    stored = read_run(path)
    assert [v.requirement for v in stored.verdicts] == ["LOC-1"]
    assert any("verdicts.jsonl" in note for note in stored.notes)
    again = rejudge(path)
    assert again.differences == ()
    assert [v.requirement for v in again.verdicts] == ["LOC-1", "SW-1"]
    assert json.loads(lines.splitlines()[1])["verdict"] == str(again.verdicts[1].verdict)
