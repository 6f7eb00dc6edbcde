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


def _real_time(path: Path) -> bool:
    places = [_HERE / name for name in REAL_TIME]
    sharing = [_HERE / name for name in SHARING]
    return path not in sharing and any(path == p or p in path.parents for p in places)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m real_time`` a file that has none is not even imported: that takes as long as
    many tests. A single test is marked by the word, so a file without it has no such test.
    """
    if config.getoption("markexpr") != "real_time" or collection_path.suffix != ".py":
        return None
    if _real_time(collection_path) or "real_time" in collection_path.read_text(encoding="utf-8"):
        return None
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _real_time(item.path):
            item.add_marker("real_time")
