"""What the tests of the local bench share: the kit."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


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
