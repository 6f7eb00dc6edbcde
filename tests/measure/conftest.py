"""Synthetic recordings for these tests."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

_FILE = Path(__file__).parents[1] / "support" / "synthetic.py"


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
