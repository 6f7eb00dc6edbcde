"""The synthetic run that these tests report on."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from bench.report.data import ReportData

_FILE = Path(__file__).with_name("sample.py")


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_sample", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def report(sample: ModuleType) -> ReportData:
    return sample.sample()
