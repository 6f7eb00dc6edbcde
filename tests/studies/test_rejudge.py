"""Judging a stored run again: what it rests on, and what counts as a difference."""

from __future__ import annotations

import json
import shutil

import pytest

from bench.judge.verdict import Outcome
from bench.studies.rejudge import rejudge


def session_of(path, scenario):
    return next(path.glob(f"sessions/{scenario}-*"))


def add_attempt(path, edit, completion):
    """A second attempt at the local stop, later than the one that was judged."""
    first = session_of(path, "local-stop")
    second = first.with_name(first.name.replace("local-stop-", "local-stop-a2-"))
    shutil.copytree(first, second)
    edit(second / "session.json", id=second.name, attempt=2, completion=completion, reason="x")
    return second


def test_everything_is_reproduced(ended):
    again = rejudge(ended)
    assert again.differences == ()
    assert again.exit_code == 0
    stored = json.loads((ended / "verdicts.json").read_text())
    assert json.loads(json.dumps(again.to_json()["verdicts"])) == stored["verdicts"]


def test_an_attempt_that_failed_is_not_judged(copy, edit):
    add_attempt(copy, edit, "failed")
    again = rejudge(copy)
    assert again.differences == ()
    assert again.exit_code == 0


def test_the_last_complete_attempt_is_judged(copy, edit):
    second = add_attempt(copy, edit, "complete")
    again = rejudge(copy)
    assert again.verdicts[0].session == second.name
    assert len(again.differences) == 1
    assert again.exit_code == 4


def test_what_is_going_on_is_judged_only_where_the_run_was_cut_short(copy, edit):
    edit(session_of(copy, "local-stop") / "session.json", completion="incomplete")
    (again,) = rejudge(copy).verdicts
    assert again.verdict is Outcome.INCONCLUSIVE
    assert again.reason == "the session never ran"
    edit(copy / "run.json", completion="incomplete")
    (again,) = rejudge(copy).verdicts
    assert again.verdict is Outcome.INCONCLUSIVE
    assert again.session == session_of(copy, "local-stop").name


def test_a_complete_attempt_comes_before_the_one_that_was_going_on(copy, edit):
    first = session_of(copy, "local-stop").name
    add_attempt(copy, edit, "incomplete")
    edit(copy / "run.json", completion="incomplete")
    again = rejudge(copy)
    assert again.verdicts[0].session == first
    assert again.differences == ()


@pytest.mark.parametrize(("completion", "differences"), [("complete", 1), ("incomplete", 0)])
def test_only_a_complete_run_must_have_every_verdict(copy, edit, completion, differences):
    (copy / "verdicts.json").write_text('{"verdicts": []}')
    edit(copy / "run.json", completion=completion)
    again = rejudge(copy)
    assert len(again.differences) == differences
    assert again.exit_code == (4 if differences else 0)


def test_a_difference_never_hides_a_fail(copy, edit):
    """A stored PASS over a recording that fails is a FAIL, exit 1."""
    folder = session_of(copy, "local-stop")
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    kept = [line for line in lines if not (line["name"] == "motion" and line["value"] == 0)]
    assert len(kept) < len(lines)
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    again = rejudge(copy)
    assert len(again.differences) == 1
    assert again.exit_code != 0
    assert again.verdicts[0].verdict is not Outcome.PASS


def test_an_error_without_a_session_stays_an_error(copy, edit):
    (verdict,) = json.loads((copy / "verdicts.json").read_text())["verdicts"]
    error = {**verdict, "verdict": "ERROR", "session": "", "reason": "the bench broke"}
    edit(copy / "verdicts.json", verdicts=[error])
    again = rejudge(copy)
    assert again.differences == ()
    assert again.exit_code == 4
    with_session = {**error, "session": verdict["session"]}
    edit(copy / "verdicts.json", verdicts=[with_session])
    assert rejudge(copy).exit_code == 4, "the recording is there and says otherwise"
    assert len(rejudge(copy).differences) == 1
