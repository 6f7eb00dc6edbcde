"""What the tests of benches with real packets share: the demand for a host that can run them."""

from __future__ import annotations

import os

import pytest

from bench.benches.check import best_bench


@pytest.fixture(scope="session")
def local_host() -> None:
    """Skips (or fails, where TELEMED_BENCH_REQUIRE demands "local") without namespaces."""
    name, reason = best_bench()
    if name == "local":
        return
    if "local" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(f"the local bench is demanded here and cannot run: {reason}")
    pytest.skip(f"NOT TESTED: the local bench cannot run here: {reason}")
