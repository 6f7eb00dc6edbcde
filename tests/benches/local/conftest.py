"""What the tests of the local bench share: the kit, and the demand for a host that can run it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.benches.check import best_bench


@pytest.fixture(scope="session")
def loaded_kit() -> Any:
    file = Path(__file__).with_name("kit.py")
    spec = importlib.util.spec_from_file_location("local_kit", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Kit()


@pytest.fixture(scope="module")
def kit(loaded_kit: Any) -> Iterator[Any]:
    """The kit; a bench that it kept ends with the file."""
    yield loaded_kit
    loaded_kit.let_go()


@pytest.fixture(scope="session")
def local_host() -> None:
    """Skips (or fails, where TELEMED_BENCH_REQUIRE demands "local") without namespaces."""
    name, reason = best_bench()
    if name == "local":
        return
    if "local" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(f"the local bench is demanded here and cannot run: {reason}")
    pytest.skip(f"NOT TESTED: the local bench cannot run here: {reason}")
