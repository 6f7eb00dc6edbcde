"""The commands under test, and one whole run on the virtual bench that several tests look at."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def load_kit() -> ModuleType:
    """kit.py by its path, once per process."""
    name = "telemed_bench_command_kit"
    if name not in sys.modules:
        file = Path(__file__).with_name("kit.py")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    return load_kit()


@pytest.fixture(scope="session")
def bench(kit: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    bench = kit.shared(tmp_path_factory.mktemp("commands"))
    yield bench
    bench.close()


RAREST = {f"000-t2-{name}-loss" for name in ("force", "vibration", "temperature", "blood-pressure")}
"""To show them takes six minutes of session time, the others one; nothing else is different."""


@pytest.fixture(scope="session")
def whole_run(kit: ModuleType, bench: Any) -> Iterator[Any]:
    """The plans of the demo on the healthy robot, everything in scope but the rarest losses.

    It takes a while: only one file uses it, so that only one process of a run in parts makes it.
    """
    results = bench.scratch / "whole"
    words = (*kit.PLANS, "--device", kit.DEVICE, "--bench", "virtual")
    planned = json.loads(bench.call("plan", *words, "--json").out)["requirements"]
    asked = sorted({row["requirement"] for row in planned} - RAREST)
    words = (*words, *(f"--only={name}" for name in asked))
    with (bench.scratch / "whole.err").open("w") as errors:
        process = bench.start("run", *words, "--results", results, stderr=errors)
    try:
        out, _ = process.communicate(timeout=900)
        yield kit.Done(process.returncode, out, (bench.scratch / "whole.err").read_text(), results)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def small_run(bench: Any) -> Any:
    """A sealed run of two short sessions and one verdict; never written into."""
    return bench.run("--only", "LOC-1", reports=True)
