"""Which tests need the machine for themselves: those with real packets, real time or whole runs.

``./run test`` runs the others first, in as many processes as there are cores (up to four), then
these, one after the other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent

REAL_TIME = (
    "benches/local",
    "benches/test_check.py",
    "cli/test_emulate.py",
    "cli/test_emulate_uml.py",
    "cli/test_exit_codes.py",
    "cli/test_interrupt.py",
    "cli/test_local.py",
    "cli/test_probe.py",
    "fixtures/test_plugin.py",
    "instruments",
    "instruments_together/test_contacts.py",
    "instruments_together/test_faults.py",
    "simulators/test_clients.py",
    "simulators/test_command.py",
    "studies/test_certify.py",
    "studies/test_emulate.py",
    "studies/test_emulator_proof.py",
    "studies/test_timekeeping.py",
    "tooling/test_run_script.py",
)
"""Folders and files whose tests are marked ``real_time``."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [_HERE / name for name in REAL_TIME]
    for item in items:
        if any(item.path == place or place in item.path.parents for place in places):
            item.add_marker("real_time")
