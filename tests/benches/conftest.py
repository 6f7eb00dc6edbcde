"""What the tests of benches with real packets share: the demand for a host that can run them."""

from __future__ import annotations

import pytest

from tests.support.demanded import demand_local_bench


@pytest.fixture(scope="session")
def local_host() -> None:
    """Skips (or fails, where that is demanded) without namespaces."""
    demand_local_bench()
