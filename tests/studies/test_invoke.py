"""From what pytest came to, to the exit code of ``bench run``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.judge.verdict import Outcome
from bench.studies.invoke import Invocation, _exit_code, _Watcher

GIVEN = Invocation(("therapy",), "telesurgery-robot", "virtual", "7", Path("results"))


@dataclass
class Verdict:
    verdict: Outcome


@dataclass
class Stored:
    verdicts: list[Verdict]
    path: Path = Path("results/run")


def watcher(*outcomes: Outcome, **fields) -> _Watcher:
    return _Watcher(stored=Stored([Verdict(outcome) for outcome in outcomes]), **fields)


@pytest.mark.parametrize(
    ("seen", "status", "code", "said"),
    [
        (watcher(Outcome.PASS), 0, 0, ""),
        (watcher(Outcome.PASS, Outcome.FAIL), 1, 1, ""),
        (watcher(Outcome.FAIL, crashes=["test: bug"]), 1, 1, "own fault: test: bug"),
        (watcher(Outcome.PASS, crashes=["test: bug"]), 1, 4, "own fault: test: bug"),
        (watcher(Outcome.PASS), 3, 4, ""),
        (watcher(Outcome.INCONCLUSIVE), 1, 3, ""),
        (watcher(), 0, 3, "nothing was in scope"),
        (_Watcher(), 5, 2, "holds no test"),
        (_Watcher(), 4, 2, ""),
        (_Watcher(unusable=[("test_x.py", "is odd")]), 2, 2, "test_x.py: is odd"),
        (_Watcher(unusable=[("", "is odd")]), 2, 2, "therapy: is odd"),
        (_Watcher(end=("a line", 2)), 2, 2, "bench: a line"),
        (_Watcher(end=("no bench", 4)), 4, 4, "bench: no bench"),
        (watcher(Outcome.PASS, end=("interrupted", 130)), 2, 130, "results/run is incomplete"),
        (watcher(Outcome.FAIL, crashes=["x"], end=("interrupted", 130)), 2, 130, "interrupted"),
    ],
)
def test_exit_code(capsys, seen, status, code, said):
    assert _exit_code(seen, status, GIVEN) == code
    err = capsys.readouterr().err
    assert said in err
    assert bool(err) == bool(said)


def test_words_that_begin_with_a_dash_stay_values():
    words = Invocation(("therapy",), "-x", "-y", "-1", Path("-r"), only=("-o",)).arguments(
        [Path("p")]
    )
    assert {"--device=-x", "--bench=-y", "--seed=-1", "--results=-r", "--only=-o"} <= set(words)
    assert not {"-x", "-y", "-1", "-r", "-o"} & set(words)
