"""A host that cannot keep time: settled before the start, bounded where it shows later."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

import bench.studies.run as study
from bench.benches.base import BenchError
from bench.benches.virtual import VirtualBench
from bench.judge.scope import CANNOT_KEEP_TIME, Candidate
from bench.studies.run import Run, RunOptions
from bench.studies.sessions import ATTEMPTS
from bench.studies.timekeeping import TRIES

PLAYED = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "support/played.py")))
DEVICE = PLAYED.device("telesurgery-robot", streams=("force-feedback",))
STOP = Candidate("LOC-1", "", "stop", "local-stop")
LATE = {"p50": 0.0001, "p99": 0.0032, "p999": 0.009, "max": 0.011}
PUNCTUAL = {"p50": 0.00001, "p99": 0.0001, "p999": 0.0002, "max": 0.0003}
STALLED = {**PUNCTUAL, "max": 0.045}


class Host(VirtualBench):
    """Stands for the local bench: ``lateness`` gives its emulator's for each session in turn."""

    name = "local"
    backend = "userspace"

    def __init__(self, *lateness: dict[str, float] | BaseException) -> None:
        super().__init__()
        self.lateness = list(lateness)
        self.sessions: list[str] = []

    def run(self, session, sink):
        self.sessions.append(session.id)
        late = self.lateness.pop(0) if len(self.lateness) > 1 else self.lateness[0]
        if isinstance(late, BaseException):
            raise late
        found = super().run(session, sink)
        health = dataclasses.replace(found.health, lateness_s=late)
        return dataclasses.replace(found, bench="local", backend="userspace", health=health)


class Listener:
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def __getattr__(self, name: str):
        return lambda *_: None


@pytest.fixture
def run_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A run on a host, opened; and who listened."""
    runs = []

    def open_run(host: Host, wanted: str) -> tuple[Run, Listener]:
        made = study.make_bench
        monkeypatch.setattr(study, "best_bench", lambda: ("local", "real packets"))
        monkeypatch.setattr(
            study, "make_bench", lambda name: host if name != "virtual" else made(name)
        )
        listener = Listener()
        run = Run(RunOptions("therapy", DEVICE, bench=wanted, results=tmp_path), listener)
        runs.append(run)
        run.open()
        return run, listener

    yield open_run
    for run in runs:
        run.close()


@pytest.mark.parametrize(
    ("late", "figure"),
    [
        (LATE, "p99 3.2 ms, limit 1 ms"),
        (STALLED, "45 ms late"),
        (BenchError("gone\nwhere"), "gone"),
    ],
    ids=["late", "stalls", "fails"],
)
def test_auto_takes_the_virtual_bench_where_the_host_is_late(run_on, late, figure):
    host = Host(late)
    run, listener = run_on(host, "auto")
    assert run.bench.name == "virtual"
    assert len(host.sessions) == TRIES
    identity = run.folder.identity
    assert identity["bench"] == "virtual"
    assert figure in identity["bench_reason"]
    assert any(figure in note for note in listener.notes)
    assert "-virtual-" in run.folder.path.name
    run.settle_scope([STOP])
    (item,) = run.scope
    assert run.judge(item, run.recordings(item)).verdict == "PASS"


def test_auto_forgives_one_stall(run_on):
    host = Host(STALLED, PUNCTUAL)
    run, _ = run_on(host, "auto")
    assert run.bench is host
    assert run.folder.identity["bench_reason"] == "real packets"


def test_a_bench_that_was_asked_for_is_not_exchanged(run_on):
    """Its null path tells, and everything is out of scope with the figure."""
    host = Host(LATE)
    run, _ = run_on(host, "local")
    assert run.folder.identity["bench_reason"] == "asked for"
    run.settle_scope([STOP, dataclasses.replace(STOP, test="again")])
    assert len(host.sessions) == ATTEMPTS
    for item in run.scope:
        assert not item.in_scope
        assert item.reason == CANNOT_KEEP_TIME
        assert "p99 3.2 ms, limit 1 ms" in item.figure
    assert run.folder.identity["scope"][0]["in_scope"] is False


def test_a_session_is_repeated_until_it_is_sound(run_on):
    host = Host(PUNCTUAL, LATE, STALLED, PUNCTUAL)
    run, listener = run_on(host, "local")
    run.settle_scope([STOP])
    (item,) = run.scope
    assert run.judge(item, run.recordings(item)).verdict == "PASS"
    assert [name.split("-")[2] for name in host.sessions[2:]] == ["a2", "a3"]
    assert "p99 3.2 ms" in listener.notes[0]
    assert "45 ms late" in listener.notes[1]


def test_a_session_that_stays_unsound_backs_nothing(run_on):
    host = Host(PUNCTUAL, LATE)
    run, _ = run_on(host, "local")
    run.settle_scope([STOP])
    (item,) = run.scope
    verdict = run.judge(item, run.recordings(item))
    assert verdict.verdict == "INCONCLUSIVE"
    assert "p99 3.2 ms" in verdict.reason
    assert len(host.sessions) == 1 + ATTEMPTS


def test_repeats_have_a_budget(run_on, monkeypatch):
    """The first repeat is free of it; what it took counts."""
    monkeypatch.setattr(study, "REPEAT_BUDGET_S", 0.0)
    host = Host(PUNCTUAL, LATE)
    run, _ = run_on(host, "local")
    switch = Candidate("SW-1", "", "switch", "primary-outage")
    run.settle_scope([STOP, switch])
    for item in run.scope:
        assert run.judge(item, run.recordings(item)).verdict == "INCONCLUSIVE"
    assert len(host.sessions) == 1 + 2 + 1


def test_an_unsound_kpi_session_asks_for_no_more_of_them(run_on, monkeypatch):
    monkeypatch.setattr(study, "REPEAT_BUDGET_S", -1.0)
    monkeypatch.setattr(Run, "_is_thin", lambda *_: True)
    host = Host(PUNCTUAL, LATE)
    run, _ = run_on(host, "local")
    run.settle_scope([Candidate("000-t2-force-rate", "force-feedback", "t", "steady-5g-slice")])
    (item,) = run.scope
    assert item.in_scope
    assert run.judge(item, run.recordings(item)).verdict == "INCONCLUSIVE"
    assert len(host.sessions) == 2
