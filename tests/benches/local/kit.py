"""Sessions of the stand-in device, benches that know it, and a sink that keeps everything.

Loaded by path: by conftest.py, and by the programs that the lifetime tests start.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from bench.benches.local.bench import LocalBench
from bench.network.impairment import CLEAN, Impairment
from bench.network.scenario import Action, Scenario, Segment, Step, both
from bench.sessions.recording import Session

STANDIN = Path(__file__).with_name("standin.py")


def load(file: Path) -> ModuleType:
    """A module by its path."""
    spec = importlib.util.spec_from_file_location(f"local_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ListSink:
    """Keeps everything; captures go to ``folder`` where one is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.rows: list = []
        self.events: list = []
        self.reports: list = []

    def packets(self, rows) -> None:
        self.rows.append(rows)

    def event(self, event) -> None:
        self.events.append(event)

    def capture_path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name

    def progress(self, progress) -> None:
        self.reports.append(progress)


class Kit:
    """Makes sessions of the stand-in device and benches that know it."""

    standin = load(STANDIN)
    build = f"{STANDIN}:build"
    sink = ListSink

    def scenario(
        self, duration_s: float, impairment: Impairment = CLEAN, actions: tuple[Action, ...] = ()
    ) -> Scenario:
        links = {"primary": both(impairment), "standby": both(CLEAN)}
        step = Step("only", "hold", "within", (Segment("hold", duration_s, links),))
        return Scenario("stand-in", "Stand-in", (step,), actions)

    def session(self, duration_s: float, impairment: Impairment = CLEAN, **rest) -> Session:
        actions = rest.pop("actions", ())
        device = self.standin.profile(**rest)
        return Session("tests", device, self.scenario(duration_s, impairment, actions), seed=7)

    def bench(self, **options) -> LocalBench:
        options.setdefault("backend", "userspace")
        options.setdefault("wait_s", 240.0)  # as long as a whole demo
        return LocalBench(build=self.build, **options)
