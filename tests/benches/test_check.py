"""``bench check``: what is found, what it means, and what is removed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.benches import check
from bench.benches.leftovers import clean_leftovers, scratch_folder
from instruments.emulators.journal import process_start

WORKS = {"privilege": "root", "interfaces": "", "capture": "", "netem": ""}
CLOCKS = {
    "resolution_ns": 1, "wake_p50_ns": 50_000, "wake_p99_ns": 90_000, "scheduling": "fifo"
}  # fmt: skip


@pytest.fixture
def host(monkeypatch):
    """Say what the probes find."""

    def say(clocks=CLOCKS, **spaces):
        found = {"namespaces": spaces, "clocks": clocks}
        monkeypatch.setattr(check, "facts", found.__getitem__)
        return {finding.what: finding for finding in check.check_host()}

    return say


def test_a_host_with_everything(host):
    found = host(**WORKS)
    for what in ("privileges", "namespaces and veth", "packet capture", "netem", "clocks"):
        assert found[what].status == "ok", what
    assert check.best_bench() == ("local", "real packets through netem, as root")


def test_no_netem_still_gives_the_local_bench(host):
    found = host(**{**WORKS, "privilege": "user namespace", "netem": "no such qdisc"})
    assert found["netem"].status == "degraded"
    assert found["netem"].figure == "no such qdisc"
    name, reason = check.best_bench()
    assert name == "local"
    assert "userspace emulator" in reason
    assert "user namespace" in reason


@pytest.mark.parametrize(
    ("spaces", "what"),
    [
        ({"refused": "Operation not permitted"}, "privileges"),
        ({**WORKS, "interfaces": "no veth"}, "namespaces and veth"),
        ({"privilege": "root", "interfaces": "no veth"}, "packet capture"),
        ({**WORKS, "capture": "no packet sockets"}, "packet capture"),
    ],
)
def test_what_is_missing_leads_to_the_virtual_bench(host, spaces, what):
    found = host(**spaces)
    assert found[what].status == "missing"
    assert found[what].remedy
    name, reason = check.best_bench()
    assert name == "virtual"
    assert reason


def test_a_slow_or_silent_clock_is_said(host):
    assert host({**CLOCKS, "wake_p99_ns": 5_000_000}, **WORKS)["clocks"].status == "degraded"
    assert host({"refused": "no answer"}, **WORKS)["clocks"].status == "missing"
    assert host({**CLOCKS, "scheduling": "nice"}, **WORKS)["scheduling"].status == "degraded"


def test_this_host_is_described():
    findings = check.check_host()
    assert len({finding.what for finding in findings}) == len(findings) >= 10
    for finding in findings:
        assert finding.to_json().keys() == {"what", "status", "figure", "meaning", "remedy"}
        assert finding.figure
        assert finding.meaning
        assert bool(finding.remedy) == (finding.status != "ok"), finding
    name, reason = check.best_bench()
    assert name in ("local", "virtual")
    assert reason


def test_a_probe_that_dies_is_a_finding(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    check.facts.cache_clear()
    try:
        assert "probe failed" in check.facts("clocks")["refused"]
    finally:
        check.facts.cache_clear()


def dead_process() -> tuple[int, int]:
    """Number and start of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_start(process.pid)
    assert started
    process.communicate()
    return process.pid, started


def test_only_leftovers_of_dead_runs_are_removed(tmp_path):
    mine = scratch_folder(tmp_path)
    assert scratch_folder(tmp_path) == mine
    (mine / "file").write_text("keep")
    pid, started = dead_process()
    dead = tmp_path / f"telemed-bench-{pid}-{started}"
    (dead / "deep").mkdir(parents=True)
    reused = tmp_path / f"telemed-bench-{os.getpid()}-1"
    reused.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (dead / "link").symlink_to(outside)
    for name in (f"telemed-bench-{pid}", f"telemed-bench-{pid}-{started}-notes", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / f"telemed-bench-{pid}-7").symlink_to(outside)
    (tmp_path / f"telemed-bench-{pid}-8").write_text("a file")
    kept = {path.name for path in tmp_path.iterdir()} - {dead.name, reused.name}
    assert clean_leftovers(tmp_path) == sorted([str(dead), str(reused)])
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert clean_leftovers(tmp_path) == []
