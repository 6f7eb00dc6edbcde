"""Processors that stay awake: who keeps them so, how unobtrusively, and until when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.benches.local import awake

ROOT = Path(__file__).parents[3]
WITHIN_S = 20.0
AUTOGROUPS = Path("/proc/self/autogroup").exists()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(there, what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Says what this host is: its idle driver, its processors, its control groups."""

    def say(driver="none", cpuinfo="flags : fpu hypervisor\n", groups="0::/a/b\n", **quotas):
        for name, text in {
            "_DRIVER": driver,
            "_PROCESSORS": cpuinfo,
            "_OWN_GROUPS": groups,
        }.items():
            file = tmp_path / name
            if text is not None:
                file.write_text(text)
            monkeypatch.setattr(awake, name, file)
        monkeypatch.setattr(awake, "_GROUPS", tmp_path / "groups")
        monkeypatch.setattr(awake, "_LATENCY", tmp_path / "latency")
        for place, text in quotas.pop("quotas", {}).items():
            file = tmp_path / "groups" / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / "latency"

    return say


def test_a_guest_that_halts_is_kept_busy_by_who_gives_way_to_everybody(host):
    host()
    processors = os.sched_getaffinity(0)
    before = set(children(os.getpid()))
    with awake.processors_awake() as how:
        assert how == "busy"
        busy = [pid for pid in children(os.getpid()) if pid not in before]
        until(
            lambda: all(os.sched_getscheduler(pid) == os.SCHED_IDLE for pid in busy), "idle class"
        )
        until(lambda: all(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in busy), "nice")
        autogroups = [Path(f"/proc/{pid}/autogroup").read_text() for pid in busy if AUTOGROUPS]
        assert all(group.endswith(" nice 19\n") for group in autogroups)
        assert sorted(min(os.sched_getaffinity(pid)) for pid in busy) == sorted(processors)
        assert all(len(os.sched_getaffinity(pid)) == 1 for pid in busy)
        # A socket or pipe of the bench ends when its process does, not when these do.
        held = {os.readlink(fd) for pid in busy for fd in Path(f"/proc/{pid}/fd").iterdir()}
        assert held == {"/dev/null"}
    assert set(children(os.getpid())) == before


def test_they_can_die_beside_other_work(host, monkeypatch):
    """In the idle class, beside a busy process, it takes seconds."""
    host()
    killed = []
    kill = subprocess.Popen.kill

    def looked_at(process):
        pid = process.pid
        killed.append((os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid)))
        kill(process)

    monkeypatch.setattr(subprocess.Popen, "kill", looked_at)
    with awake.processors_awake():
        assert killed == []
    assert killed == [(os.SCHED_OTHER, 0)] * len(os.sched_getaffinity(0))


def test_where_that_is_not_permitted_nobody_waits_for_them(host, monkeypatch):
    host()
    before = set(children(os.getpid()))

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(subprocess.Popen, "wait", lambda *_: pytest.fail("waited for"))
    with awake.processors_awake():
        monkeypatch.setattr(os, "sched_setscheduler", refused)
    monkeypatch.undo()
    until(lambda: all(process.poll() is not None for process in awake._ending), "they have died")
    host()
    with awake.processors_awake():
        pass
    assert awake._ending == []
    assert set(children(os.getpid())) == before


def test_what_cannot_be_had_is_done_without(host, monkeypatch):
    host()
    before = set(children(os.getpid()))
    monkeypatch.setattr(awake, "_SPIN", ("/nowhere/sh",))
    with awake.processors_awake() as how:
        assert how == ""
    assert set(children(os.getpid())) == before


def test_the_kernel_is_asked_for_no_latency(host):
    latency = host(driver="intel_idle\n")
    latency.write_bytes(b"")
    host(quotas={"a/b/cpu.max": "150000 100000\n"})
    with awake.processors_awake() as how:
        assert how == "", "asked, and without effect where processors only halt"
    host(driver="intel_idle\n")
    before = children(os.getpid())
    with awake.processors_awake() as how:
        assert how == "latency"
        assert latency.read_bytes() == bytes(4)
        held = {os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}
        assert str(latency) in held, "it holds as long as the file is open"
        assert children(os.getpid()) == before


@pytest.mark.parametrize(
    "said",
    [
        {"driver": "haltpoll\n"},
        {"cpuinfo": "flags : fpu sse\n"},
        {"cpuinfo": "vendor_id : User Mode Linux\nflags : fpu hypervisor\n"},
        {"cpuinfo": None},
        {"quotas": {"a/b/cpu.max": "150000 100000\n"}},
        {"quotas": {"a/cpu.max": "150000 100000\n"}},
        {"groups": "3:cpuset:/x\n1:cpu,cpuacct:/c\n0::/\n",
         "quotas": {"cpu,cpuacct/c/cpu.cfs_quota_us": "200000\n"}},
    ],
    ids=["an idle driver", "no guest", "User-Mode Linux", "unknown", "a quota", "a quota above",
         "a quota of version 1"],
)  # fmt: skip
def test_nobody_is_kept_busy_where_it_would_not_help(host, said):
    host(**said)
    before = children(os.getpid())
    with awake.processors_awake() as how:
        assert how == ""
        assert children(os.getpid()) == before


@pytest.mark.parametrize(
    "said",
    [
        {"quotas": {"a/b/cpu.max": "max 100000\n"}},
        {"groups": "3:cpuset:/x\n1:cpu:/c\n", "quotas": {"cpu/c/cpu.cfs_quota_us": "-1\n"}},
        {"driver": None},
    ],
    ids=["no quota", "no quota of version 1", "no driver's name"],
)
def test_no_quota_is_no_hindrance(host, said):
    host(**said)
    with awake.processors_awake() as how:
        assert how == "busy"


SCRIPT = """
import time
from bench.benches.local import awake
awake._halts, awake._limited = lambda: True, lambda: False
with awake.processors_awake():
    print("awake", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_stays_when_the_bench_is_killed(number):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "awake\n"
    busy = children(process.pid)
    assert len(busy) == len(os.sched_getaffinity(0))
    process.send_signal(number)
    process.wait()
    until(lambda: not any(alive(pid) for pid in busy), "they have ended")
