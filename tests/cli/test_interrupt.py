"""Ctrl-C, SIGTERM and SIGKILL on the virtual bench: soon over, marked incomplete, readable."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.support.own_time import took_to_end

WORDS = (
    "run",
    "alarms",
    "therapy",
    "--device",
    "infusion-monitor",
    "--bench",
    "virtual",
    "--json",
)

WITHIN_S, TRIES = 2.0, 3


def ignore_interrupts():
    """As a shell does for a command in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def started(bench, results, until, **options):
    """A run that has come to the event ``until``."""
    process = bench.start(*WORDS, "--results", results, **options)
    for line in process.stdout:
        if json.loads(line)["event"] == until:
            return process
    pytest.fail(f"ended before {until}: {process.stderr.read()}")


def end(process, number):
    """Send a signal; the seconds it took by its own doing, and the rest of both outputs."""
    began = time.monotonic()
    process.send_signal(number)
    took = took_to_end(process.pid, began)
    out, err = process.communicate()
    return took, out, err


def check_incomplete(bench, kit, run, *, verdicts, report):
    """The folder is marked incomplete, does not verify, and can be read by every command."""
    assert kit.read(run / "run.json")["completion"] == "incomplete"
    assert not (run / "SHA256SUMS").exists()
    verified = bench.call("verify", run)
    assert verified.code == 1
    assert "sealed" in verified.out
    lines = (run / "verdicts.jsonl").read_text() if (run / "verdicts.jsonl").exists() else ""
    stored = [json.loads(line) for line in lines.splitlines()]
    assert len(stored) >= verdicts
    judged = bench.call("judge", run, "--json")
    assert "Traceback" not in judged.err
    assert judged.code == 3, judged.err
    found = json.loads(judged.out)
    assert found["differences"] == []
    again = {(v["requirement"], v["stream"], v["test"]): v for v in found["verdicts"]}
    for verdict in stored:
        assert again[verdict["requirement"], verdict["stream"], verdict["test"]] == verdict
    assert {v["verdict"] for v in found["verdicts"]} <= {"PASS", "INCONCLUSIVE"}
    if not report:
        return
    done = bench.call("report", run)
    assert done.code == 0, done.err
    html = (run.parent / f"{run.name}-report.html").read_text(encoding="utf-8")
    assert "incomplete" in html.lower()


@pytest.mark.parametrize(
    ("number", "until", "options"),
    [
        (signal.SIGINT, "verdict", {}),
        (signal.SIGTERM, "session", {}),
        (signal.SIGINT, "session", {"preexec_fn": ignore_interrupts}),
    ],
    ids=["SIGINT", "SIGTERM", "SIGINT, inherited ignored"],
)
def test_a_signal_ends_a_run_in_order(bench, kit, number, until, options):
    """Within 2 s: a host that stalls meanwhile gets two more tries, and only for that."""
    for _ in range(TRIES):
        results = bench.folder()
        process = started(bench, results, until, **options)
        try:
            took, out, err = end(process, number)
        finally:
            process.kill()
        assert process.returncode == 130
        assert "Traceback" not in err
        (run,) = results.iterdir()
        assert err.strip().splitlines()[-1] == f"bench: interrupted; {run} is incomplete"
        last = json.loads(out.splitlines()[-1])
        assert (last["event"], last["completion"], last["report"]) == ("end", "incomplete", None)
        if took < WITHIN_S:
            break
    assert took < WITHIN_S
    check_incomplete(bench, kit, run, verdicts=int(until == "verdict"), report=not options)


def test_an_interrupted_run_never_looks_passed(bench):
    """The summary for people says so too."""
    words = [word for word in WORDS if word != "--json"]
    process = bench.start(*words, "--results", bench.folder())
    try:
        for line in process.stderr:
            if "session 2 of" in line:
                break
        _, out, err = end(process, signal.SIGINT)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "incomplete" in out
    assert "All " not in out


def test_a_killed_run_stays_readable(bench, kit):
    results = bench.folder()
    process = started(bench, results, "verdict")
    try:
        end(process, signal.SIGKILL)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (run,) = results.iterdir()
    check_incomplete(bench, kit, run, verdicts=1, report=False)


INTERRUPT_THE_REPORTS = """
import os, signal, time
import bench.report.write
def interrupted(*_):
    os.kill(os.getpid(), signal.{number})
    time.sleep(10)
    raise AssertionError("the signal did not come")
bench.report.write.write_junit = interrupted
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_interrupted_while_the_reports_are_written(bench, kit, number):
    done = bench.run("--only=LOC-1", setup=INTERRUPT_THE_REPORTS.format(number=number))
    assert done.code == 130
    assert "Traceback" not in done.err
    last = done.err.strip().splitlines()[-1]
    assert last == f"bench: interrupted; {done.run} is incomplete"
    assert done.identity["completion"] == "incomplete"
    assert len(done.verdicts) == 1
    assert bench.call("verify", done.run).code == 1
    assert bench.call("judge", done.run).code == 0
    assert bench.call("report", done.run).code == 0


HANG = """
import os, pathlib, signal, threading, time
import bench.report.write
def hang(*_):
    pathlib.Path({began!r}).write_text(str(time.monotonic()))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
bench.report.write.write_junit = hang
"""


def test_a_run_that_hangs_ends_all_the_same(bench, tmp_path):
    began = tmp_path / "began"
    done = bench.run("--only=LOC-1", setup=HANG.format(began=str(began)))
    assert done.code == 130
    assert time.monotonic() - float(began.read_text()) < 12
    assert done.identity["completion"] == "incomplete"
