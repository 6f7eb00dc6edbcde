"""Which tests need the machine for themselves: those with real packets or real time.

``./run test`` runs the others first, in as many processes as there are cores (up to four), then
these, one after the other. User-Mode Linux shares: it is one process, and goes before others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent

REAL_TIME = (
    "benches/local",
    "cli/test_emulate.py",
    "cli/test_interrupt.py",
    "cli/test_local.py",
    "cli/test_probe.py",
    "instruments",
    "instruments_together/test_contacts.py",
    "instruments_together/test_faults.py",
    "simulators/test_clients.py",
    "simulators/test_command.py",
    "studies/test_certify.py",
    "studies/test_emulate.py",
    "studies/test_emulator_proof.py",
    "tooling/test_run_script.py",
)
"""Folders and files whose tests are marked ``real_time``; elsewhere single tests are."""

SHARING = ("instruments/test_netem_uml.py", "instruments/test_stamp_packets.py")
"""Files in those folders that are not."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [_HERE / name for name in REAL_TIME]
    sharing = [_HERE / name for name in SHARING]
    for item in items:
        if item.path not in sharing and any(
            item.path == place or place in item.path.parents for place in places
        ):
            item.add_marker("real_time")
