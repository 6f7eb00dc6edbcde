"""The writer of captures, and seeded examples."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("seeded", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("seeded")

_FILE = Path(__file__).with_name("kit.py")


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("captures_kit", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
