"""The commands on the local bench: real packets, one run at a time, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from bench.benches.local.lease import holder
from bench.judge.outcomes import INCONCLUSIVE
from tests.support.demanded import demand_local_bench
from tests.support.host_time import NotShown, shown
from tests.support.own_time import took_to_end

DEVICE = ("--device", "telesurgery-robot", "--bench", "local")
LEASE_S = 240.0
TRIES = 4
LATE = re.compile(r"late: p99|the host stalled|not ready at the session's start")
"""What a bench says of a host that keeps no time."""
FLOWING = 50_000
"""Bytes of a capture in the midst of a session: some hundred packets."""


@pytest.fixture(scope="module", autouse=True)
def local_host() -> None:
    """Skips (or fails, where that is demanded) without namespaces."""
    demand_local_bench()


def started_here(bench, kit):
    """Start ``bench run`` on the local bench, when nobody else on this host has it."""
    processes = []

    def start(*words, **options):
        """A run whose first session has begun."""
        deadline = time.monotonic() + LEASE_S
        while True:
            kit.wait_until(lambda: holder() is None, LEASE_S, "the local bench is free")
            results = bench.folder()
            process = bench.start(
                "run", *kit.PLANS, *DEVICE, "--json", "--results", results, *words, **options
            )
            processes.append(process)
            for line in process.stdout:
                if json.loads(line)["event"] == "session":
                    return process, results
            err = process.stderr.read()
            if "is in use by" not in err or time.monotonic() > deadline:
                pytest.fail(f"no session began, exit {process.wait()}: {err}")

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def local(bench, kit):
    yield from started_here(bench, kit)


@pytest.fixture(scope="module")
def local_for_all(bench, kit):
    yield from started_here(bench, kit)


def below(pid: int) -> list[int]:
    """All living processes below ``pid``."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found.append(int(child))
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            found += below(int(child))
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def net_of(pids: list[int]) -> set[str]:
    """Network namespaces of processes, this one's left out."""
    found = set()
    for pid in pids:
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            continue
    return found - {os.readlink("/proc/self/ns/net")}


def everybody() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def interfaces() -> set[str]:
    """Network interfaces in this host's own namespace."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def namespace_files() -> set[str]:
    """Named network namespaces."""
    return {str(path) for path in Path("/run/netns").glob("*")}


def finish(process, within=120):
    out, err = process.communicate(timeout=within)
    return out, err


def concluded(kit, local, *words, meanwhile=lambda process: None):
    """A whole run and its processes; again where this host was too busy for a verdict.

    ``meanwhile`` is called while its first session runs.
    """

    def attempt():
        process, results = local(*words)
        meanwhile(process)
        theirs = below(process.pid)
        out, err = finish(process)
        done = kit.Done(process.returncode, out, err, results)
        late = [line for line in err.splitlines() if LATE.search(line)]
        if late and done.code == INCONCLUSIVE:
            raise NotShown(late[-1])
        return done, theirs

    return shown(attempt, TRIES)


def test_a_healthy_robot_stops_on_real_packets(bench, kit, local):
    before = interfaces(), namespace_files()
    done, theirs = concluded(kit, local, "--only", "LOC-1")
    assert done.code == 0, done.err
    assert done.outcomes() == {("LOC-1", ""): "PASS"}
    assert done.identity["bench"] == "local"
    assert done.identity["backend"] in ("netem", "userspace")
    assert done.identity["noise_floor"]["streams"]["haptic-command"]["p99"] > 0
    session = next(done.run.glob("sessions/local-stop-*"))
    for name in ("patient.pcapng", "doctor.pcapng"):
        assert (session / "captures" / name).stat().st_size > 1_000_000
    assert bench.call("verify", done.run).code == 0
    again = bench.call("judge", done.run, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["differences"] == []
    assert not [pid for pid in theirs if alive(pid)]
    assert (interfaces(), namespace_files()) == before


@pytest.fixture(scope="module")
def defective(bench, kit, local_for_all):
    """A run of a robot that ignores its stop, and what others were told who came meanwhile."""
    told = []

    def others_come(process):
        second = bench.run(*DEVICE, "--only", "LOC-1")
        words = ("testplans/therapy", "-n", "2", *DEVICE)
        told.append((process.pid, second, bench.call(*words, program="pytest", cwd=kit.ROOT)))

    words = ("--only", "LOC-1", "--defect", "ignores-local-stop")
    done, _ = concluded(kit, local_for_all, *words, meanwhile=others_come)
    return done, told


def test_a_robot_that_ignores_its_stop_fails_on_real_packets(bench, defective):
    done, _ = defective
    assert done.code == 1, done.err
    assert done.outcomes() == {("LOC-1", ""): "FAIL"}
    assert bench.call("judge", done.run).code == 1


def test_a_second_run_is_refused_and_leaves_the_first_alone(bench, kit, defective):
    done, told = defective
    for pid, second, shared in told:
        line = kit.one_line(second, "--bench", "in use by process", "--bench virtual")
        assert f"in use by process {pid}" in line
        assert not second.results.exists()
        assert shared.code == pytest.ExitCode.USAGE_ERROR
        assert "leave out -n" in shared.err
    assert done.code == 1, done.err
    assert done.identity["completion"] == "complete"
    assert bench.call("verify", done.run).code == 0


def ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def check_readable(bench, kit, run, code):
    assert kit.read(run / "run.json")["completion"] == "incomplete"
    assert bench.call("verify", run).code == 1
    judged = bench.call("judge", run, "--json")
    assert judged.code == code, judged.err
    assert json.loads(judged.out)["differences"] == []
    assert bench.call("report", run).code == 0
    session = next(iter(sorted((run / "sessions").iterdir())))
    assert kit.read(session / "session.json")["completion"] != "complete"


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, {}),
        (signal.SIGTERM, {}),
        (signal.SIGINT, {"preexec_fn": ignore_interrupts}),
        (signal.SIGKILL, {}),
    ],
    ids=["SIGINT", "SIGTERM", "SIGINT, inherited ignored", "SIGKILL"],
)
def test_nothing_stays_when_a_run_is_ended(bench, kit, local, number, options):
    before = interfaces(), namespace_files()
    process, results = local("--only", "LOC-1", **options)
    captures = "*/sessions/*/captures/patient.pcapng"
    kit.wait_until(
        lambda: any(file.stat().st_size > FLOWING for file in results.glob(captures)),
        20, "packets flow",
    )  # fmt: skip
    theirs = below(process.pid)
    spaces = net_of(theirs)
    assert len(spaces) == 3, "host process, patient side, doctor side"
    began = time.monotonic()
    process.send_signal(number)
    assert took_to_end(process.pid, began) < 2.0
    assert process.wait() == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    kit.wait_until(lambda: not any(map(alive, theirs)), 2.0, "all its processes are gone")
    assert not spaces & net_of(everybody())
    assert (interfaces(), namespace_files()) == before
    _, err = finish(process)
    assert "Traceback" not in err
    (run,) = results.iterdir()
    check_readable(bench, kit, run, 3)


def test_a_file_that_may_not_grow_ends_the_run_in_one_line(bench, kit, local):
    """The captures grow fastest; their writer has the same limit as everybody else."""
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    process, results = local("--only", "LOC-1", preexec_fn=limit)
    _, err = finish(process)
    assert process.returncode == 2, err
    said = [line for line in err.splitlines() if line.startswith("bench: ")]
    assert len(said) == 1, err
    assert "cannot be written (" in said[0]
    assert "File too large" in said[0]
    assert "Traceback" not in err
    (run,) = results.iterdir()
    check_readable(bench, kit, run, 3)
