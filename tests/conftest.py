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
    "cli/test_local.py",
    "instruments",
    "instruments_together/test_contacts.py",
)
"""Folders and files whose tests are marked ``real_time``; elsewhere single tests are."""

SHARING = (
    "benches/local/test_carriage.py",
    "benches/local/test_dicom.py",
    "benches/local/test_mllp.py",
    "benches/local/test_parts.py",
    "instruments/test_custody.py",
    "instruments/test_guardian.py",
    "instruments/test_netem.py",
    "instruments/test_netem_uml.py",
    "instruments/test_stamp_packets.py",
    "instruments/test_stamp_sessions.py",
    "instruments/test_userspace_parts.py",
)
"""Files in those folders that are not: they keep no time, or leave out what others took."""


def needs_the_machine(path: Path) -> bool:
    """Whether all tests of a file do."""
    places = [_HERE / name for name in REAL_TIME]
    sharing = [_HERE / name for name in SHARING]
    return path not in sharing and any(path == p or p in path.parents for p in places)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m real_time`` a file that has none is not even imported: that takes as long as
    many tests. A single test is marked by the word, so a file without it has no such test.
    """
    if config.getoption("markexpr") != "real_time" or collection_path.suffix != ".py":
        return None
    if needs_the_machine(collection_path):
        return None
    return None if "real_time" in collection_path.read_text(encoding="utf-8") else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if needs_the_machine(item.path):
            item.add_marker("real_time")
