"""What the tests need of this host, and what comes of them where it is not there."""

from __future__ import annotations

import os

import pytest

from bench.benches.check import best_bench


def demand_local_bench() -> None:
    """Skip (or fail, where TELEMED_BENCH_REQUIRE demands "local") without namespaces."""
    name, reason = best_bench()
    if name == "local":
        return
    if "local" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(f"the local bench is demanded here and cannot run: {reason}")
    pytest.skip(f"NOT TESTED: the local bench cannot run here: {reason}")
