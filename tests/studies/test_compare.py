"""Runs side by side: what is called a change, and what cannot be compared."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.errors import InputError
from bench.judge.verdict import Outcome, Verdict
from bench.report.comparison import print_comparison
from bench.studies.compare import change_between, compare

FIGURE = Verdict(
    requirement="R", test="t", device="d", stream="s", metric="delay-p99",
    reference_points="interface-interface", verdict=Outcome.PASS, value=0.004, unit="s",
    uncertainty=0.0001, n=1000, confidence=0.95, limit=0.01, comparator="<=", margin=0.006,
    rule="guard band", reason="", reading="", against="document", session="x", attempt=1,
    lower=0.0039, upper=0.0041,
)  # fmt: skip


def figure(value: float | None, half: float = 0.0001, **more) -> Verdict:
    bounds = {} if value is None else {"lower": value - half, "upper": value + half}
    return dataclasses.replace(FIGURE, value=value, **{**bounds, **more})


def trials(*values: float | None, verdict: Outcome = Outcome.PASS) -> Verdict:
    worst = None if None in values else max(v for v in values if v is not None)
    return dataclasses.replace(
        FIGURE, value=worst, lower=None, upper=None, trials=values, verdict=verdict
    )


@pytest.mark.parametrize(
    ("one", "two", "change"),
    [
        (figure(0.004), figure(0.004), "none"),
        (figure(0.004), figure(0.0041), "noise"),
        (figure(0.004), figure(0.0043), "significant"),
        (figure(0.0043), figure(0.004), "significant"),
        (figure(0.004, 0.001), figure(0.0043), "noise"),
        (figure(0.004), figure(0.02, verdict=Outcome.FAIL), "significant"),
        (figure(0.004), figure(0.0041, verdict=Outcome.INCONCLUSIVE), "not compared"),
        (figure(0.004), figure(None, verdict=Outcome.ERROR), "not compared"),
        (figure(0.004), None, "not compared"),
        (None, figure(0.004), "not compared"),
        # a loss of nothing in few packets and in many
        (figure(0.0, lower=0.0, upper=1e-3), figure(1e-4, lower=0.0, upper=5e-4), "noise"),
        (figure(0.0, lower=0.0, upper=1e-5), figure(1e-3, lower=5e-4, upper=2e-3), "significant"),
        # a bound on one side only
        (figure(0.004, lower=None), figure(0.0042, lower=None), "noise"),
        # no bound: the expanded uncertainty alone
        (figure(0.004, lower=None, upper=None), figure(0.00415, lower=None, upper=None), "noise"),
        (figure(0.004, lower=None, upper=None), figure(0.0043, lower=None, upper=None),
         "significant"),
    ],
)  # fmt: skip
def test_change_of_a_figure(one, two, change):
    assert change_between(one, two)[0] == change


@pytest.mark.parametrize(
    ("one", "two", "change"),
    [
        (trials(0.1), trials(0.1), "none"),
        (trials(0.1), trials(0.3), "noise"),
        (trials(0.1), trials(0.9, verdict=Outcome.FAIL), "significant"),
        (trials(0.1), trials(None, verdict=Outcome.FAIL), "significant"),
        (trials(None, verdict=Outcome.FAIL), trials(None, verdict=Outcome.FAIL), "none"),
        (trials(*[0.10, 0.11, 0.12, 0.13]), trials(*[0.20, 0.21, 0.22, 0.23]), "noise"),
        (trials(*[0.10, 0.11, 0.12, 0.13, 0.14]), trials(*[0.20, 0.21, 0.22, 0.23, 0.24]),
         "significant"),
        (trials(*[0.10, 0.11, 0.12, 0.13, 0.14]), trials(*[0.11, 0.12, 0.13, 0.14, 0.15]),
         "noise"),
    ],
)  # fmt: skip
def test_change_of_a_behaviour(one, two, change):
    assert change_between(one, two)[0] == change


values = st.floats(0, 1, allow_nan=False)


@given(values, st.floats(1e-6, 0.5), values, st.floats(1e-6, 0.5))
@settings(derandomize=True, deadline=None)
def test_which_run_came_first_does_not_matter(a, wide_a, b, wide_b):
    one, two = figure(a, wide_a), figure(b, wide_b)
    assert change_between(one, two)[0] == change_between(two, one)[0]


def test_a_device_that_did_not_change_is_seldom_called_changed():
    """2,000 pairs of 59 trials of one device: at most 1 in 100, with 3 standard errors."""
    rng = np.random.default_rng(7)
    sample = rng.uniform(0.1, 0.2, (2000, 2, 59))
    found = [change_between(trials(*a), trials(*b))[0] for a, b in sample.tolist()]
    share = found.count("significant") / len(found)
    assert share <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 2000)


def edit(path: Path, name: str, change) -> Path:
    file = path / name
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture
def pair(ended: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A finished run and a copy of it to change."""
    other = tmp_path / "other"
    shutil.copytree(ended, other)
    return ended, other


def test_the_same_run_twice(pair):
    found = compare(pair)
    assert [cell.change for row in found.rows for cell in row.cells] == ["none", "none"]
    assert found.worse == ()
    assert found.forced == ()


def test_a_pass_that_became_a_fail(pair):
    def fail(data):
        data["verdicts"][0].update(verdict="FAIL", value=0.2, trials=[0.2], margin=-0.15)

    edit(pair[1], "verdicts.json", fail)
    found = compare(pair)
    (row,) = found.rows
    assert row.cells[1].change == "significant"
    assert found.worse == (row,)
    assert compare(pair[::-1]).worse == ()
    entry = json.loads(json.dumps(found.to_json()))["requirements"][0]
    assert entry["requirement"] == "LOC-1"
    assert entry["cells"][1]["margin"] == -0.15
    out = Console(file=io.StringIO())
    print_comparison(found, console=out)
    assert "PASS became FAIL" in out.file.getvalue()
    shown = Console(file=io.StringIO(), force_terminal=True, width=140)
    print_comparison(found, console=shown)
    assert "1 from PASS to FAIL" in shown.file.getvalue()


def test_a_verdict_that_is_gone_is_not_compared(pair):
    edit(pair[1], "verdicts.json", lambda data: data["verdicts"].clear())
    (row,) = compare(pair).rows
    assert (row.cells[1].verdict, row.cells[1].change) == (None, "not compared")


def other_limit(data):
    data["requirements"][0]["reading"] = "Another sentence."


def other_stimulus(data):
    data["steps"][0]["intended"] = "80 ms"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("run.json", other_limit, "the catalogue has another LOC-1"),
        ("sessions/local-stop*/stimulus.json", other_stimulus, "scenario local-stop had another"),
    ],
)
def test_another_question_is_refused_without_force(pair, name, change, said):
    (file,) = pair[1].glob(name)
    edit(pair[1], str(file.relative_to(pair[1])), change)
    with pytest.raises(InputError, match=said):
        compare(pair)
    assert said in compare(pair, force=True).forced[0]


def test_what_cannot_be_compared(pair):
    with pytest.raises(InputError, match="two runs or more"):
        compare(pair[:1])
    edit(pair[1], "run.json", lambda data: data.update(completion="incomplete"))
    with pytest.raises(InputError, match="is incomplete"):
        compare(pair)
