"""The commands under test, and one whole run on the virtual bench that several tests look at."""

from __future__ import annotations

import importlib.util
import subprocess
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


@pytest.fixture(scope="session", autouse=True)
def _started(
    request: pytest.FixtureRequest, kit: ModuleType
) -> Iterator[subprocess.Popen[str] | None]:
    """The whole run, begun at once where a test wants it: it takes a while."""
    if not any("whole_run" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    bench = request.getfixturevalue("bench")
    results = bench.scratch / "whole"
    words = (*kit.PLANS, "--device", kit.DEVICE, "--bench", "virtual")
    with (bench.scratch / "whole.err").open("w") as errors:
        process = bench.start("run", *words, "--results", results, stderr=errors)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="session")
def whole_run(_started: subprocess.Popen[str], kit: ModuleType, bench: Any) -> Any:
    """The plans of the demo on the healthy robot, everything in scope."""
    out, _ = _started.communicate(timeout=200)
    errors = (bench.scratch / "whole.err").read_text()
    return kit.Done(_started.returncode, out, errors, bench.scratch / "whole")


@pytest.fixture(scope="session")
def small_run(bench: Any) -> Any:
    """A sealed run of two short sessions and one verdict; never written into."""
    return bench.run("--only", "LOC-1", reports=True)
