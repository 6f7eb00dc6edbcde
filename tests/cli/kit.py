"""Runs the bench's commands as a user does, and reads what they leave.

``Bench.call`` forks a process in which everything is imported already: a command costs its own
time, not a second and a half of imports. ``Bench.start`` starts the installed command itself.
Loaded by path, once per test session.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEVICE = "telesurgery-robot"
PLANS = (
    "alarms", "failures", "therapy", "limits", "local_control", "mobility", "reconnection",
    "standby",
)  # fmt: skip
"""What most runs here judge."""
SCRIPT = Path(sys.executable).with_name("bench")


QUICK_REPORTS = """
import bench.report.write as _write
_write.write_html = lambda data, path: path.write_text("a stand-in for the report")
_write.write_allure = lambda data, path: path.mkdir()
"""


@dataclass(frozen=True)
class Done:
    """A command that has ended; ``results`` is the folder its runs go to."""

    code: int
    out: str
    err: str
    results: Path

    @property
    def runs(self) -> list[Path]:
        """The run folders in the results folder, in order of their start."""
        return sorted(self.results.iterdir()) if self.results.is_dir() else []

    @property
    def run(self) -> Path:
        """The one run folder."""
        (run,) = self.runs
        return run

    @property
    def identity(self) -> dict[str, Any]:
        """run.json."""
        return read(self.run / "run.json")

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """The entries of verdicts.json."""
        return read(self.run / "verdicts.json")["verdicts"]

    def outcomes(self) -> dict[tuple[str, str], str]:
        """Verdict by requirement and what stands in the brackets of the test's name."""
        return {
            (v["requirement"], v["test"].partition("[")[2].rstrip("]")): v["verdict"]
            for v in self.verdicts
        }


_SHARED: list[Bench] = []


def shared(scratch: Path) -> Bench:
    """One forking process for all tests of a session."""
    if not _SHARED:
        _SHARED.append(Bench(scratch))
    return _SHARED[0]


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


class Bench:
    """The commands, with a results folder each."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._count = 0
        self._near, far = socket.socketpair()
        with far:
            self._zygote = subprocess.Popen(
                [sys.executable, __file__, str(far.fileno())],
                pass_fds=[far.fileno()],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._lines = self._near.makefile("r")

    def close(self) -> None:
        """End the forking process. May be called twice."""
        if self in _SHARED:
            _SHARED.remove(self)
        self._near.close()
        self._lines.close()
        self._zygote.wait(10)

    def folder(self) -> Path:
        """A new empty place for results; the folder itself is not made."""
        while True:  # a forked test counts for itself
            self._count += 1
            place = self.scratch / f"{self._count:03d}"
            with contextlib.suppress(FileExistsError):
                place.mkdir()
                return place / "results"

    def run(self, *words: object, plan: object = PLANS, **rest: Any) -> Done:
        """``bench run`` on the virtual bench, unless the words say otherwise.

        ``reports=True``: with whole reports; else with stand-ins, which takes a third of the time.
        """
        words = tuple(str(word) for word in words)
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        results = rest.pop("results", None) or self.folder()
        usual = {"--device": DEVICE, "--bench": "virtual", "--results": str(results)}
        for option, value in usual.items():
            if option not in given:
                words = (*words, option, value)
        plans = plan if isinstance(plan, tuple) else (plan,)
        return self.call("run", *plans, *words, results=results, **rest)

    def call(
        self,
        *words: object,
        program: str = "bench",
        results: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        within: float = 60.0,
        setup: str = "",
        reports: bool = False,
    ) -> Done:
        """A command (``program``: bench or pytest) in a forked process.

        ``setup``: Python text that is executed in it first. ``reports`` as in :meth:`run`.
        """
        setup = setup if reports or words[0] == "report" else QUICK_REPORTS + setup
        place = self.folder().parent
        job = {
            "program": program,
            "words": [str(word) for word in words],
            "cwd": str(cwd or place),
            "env": dict(env or {}),
            "out": str(place / "out"),
            "err": str(place / "err"),
            "setup": setup,
        }
        self._near.sendall(json.dumps(job).encode() + b"\n")
        pid = json.loads(self._lines.readline())
        self._near.settimeout(within)
        try:
            code = json.loads(self._lines.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            self._near.settimeout(None)
        out, err = ((place / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return Done(code, out, err, results or place / "results")

    def start(self, *words: object, **options: Any) -> subprocess.Popen[str]:
        """The installed command ``bench`` with pipes; the caller ends it."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(
            [SCRIPT, *map(str, words)], text=True, env=environment(), stdin=subprocess.DEVNULL,
            **options,
        )  # fmt: skip


def environment() -> dict[str, str]:
    """This environment without what pytest and a signing key would add."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "TELEMED_BENCH_"))}
    return keep | {"COLUMNS": "200", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def wait_until(true: Any, within: float, what: str) -> float:
    """Wait until ``true()``; returns how long it took in s."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < within, f"not within {within:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started


MODULES = (
    "bench.benches.local.bench",
    "bench.cli",
    "bench.measure.fitting",
    "bench.report.terminal",
    "bench.report.write",
    "bench.studies.analyse",
    "bench.studies.fit",
    "bench.studies.foresee",
    "bench.studies.invoke",
    "bench.studies.prove_run",
    "bench.studies.rejudge",
    "fixtures.plugin",
    "scipy.optimize",
    "scipy.special",
)
FOUND = ("pandas", "pyarrow.pandas_compat")
"""What pyarrow looks for, where it is installed."""


def main(number: int) -> None:
    """The forking process: imports everything, then serves one job after the other."""
    for name in MODULES:
        importlib.import_module(name)
    warm_up()
    control = socket.socket(fileno=number)
    for line in control.makefile("r"):
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            control.close()
            become(job)
        control.sendall(json.dumps(pid).encode() + b"\n")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        control.sendall(json.dumps(code).encode() + b"\n")


def warm_up() -> None:
    """Load what the programs load at their first use; none of it changes what they do."""
    import gc

    import pytest
    import typer.main
    from typer.testing import CliRunner

    import bench.cli
    from bench.requirements.loader import load_catalogue

    for name in FOUND:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    load_catalogue()
    make, made = typer.main.get_command, typer.main.get_command(bench.cli.app)
    # 40 ms of reading signatures, always the same.
    typer.main.get_command = lambda app: made if app is bench.cli.app else make(app)
    CliRunner().invoke(bench.cli.app, ["verify", "/no/such/folder"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main(["--version", "--version", "-p", "no:cacheprovider"])
    gc.collect()
    gc.freeze()  # else every child copies what its garbage collector touches
    gc.set_threshold(100_000, 20, 50)  # as tests/conftest.py


def become(job: Mapping[str, Any]) -> None:
    """Carry a job out in this process, and end it."""
    import traceback

    code: Any = 99
    try:
        os.chdir(job["cwd"])
        os.environ.update(job["env"])
        for path, fd in ((job["out"], 1), (job["err"], 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
        sys.argv = [job["program"], *job["words"]]
        exec(job["setup"], {})
        code = _program(job["program"])()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))


def _program(name: str) -> Any:
    if name == "bench":
        from bench.cli import main

        return main
    import pytest

    return pytest.console_main


def one_line(done: Done, *parts: str) -> str:
    """The one clear line of bad input: no traceback, no second line, nothing made."""
    lines: Sequence[str] = done.err.strip().splitlines()
    assert done.code == 2, done.err
    assert len(lines) == 1, done.err
    assert lines[0].startswith("bench: ")
    for part in parts:
        assert part in lines[0], lines[0]
    return lines[0]


if __name__ == "__main__":
    main(int(sys.argv[1]))
