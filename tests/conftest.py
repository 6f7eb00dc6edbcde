"""Which tests need the machine for themselves: those with real packets or real time.

``./run test`` runs the others first, in one process more than there are cores (up to four), then
these, one after the other. User-Mode Linux shares: it is one process, and goes before others.

Files that take long go first: what is left at the end then evens the processes out.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bench.benches.local.awake import processors_awake

_HERE = Path(__file__).parent

REAL_TIME = (
    "benches/local",
    "cli/test_local.py",
    "instruments",
    "instruments_together/test_contacts.py",
)
"""Folders and files whose tests are marked ``real_time``; elsewhere single tests are."""

SHARING = (
    "benches/local/test_awake.py",
    "benches/local/test_carriage.py",
    "benches/local/test_dicom.py",
    "benches/local/test_hop_plans.py",
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


LONG = (
    "instruments/test_netem_uml.py",
    "cli/test_run_folder.py",
    "studies/test_prove.py",
    "cli/test_defects.py",
    "studies/test_emulate.py",
    "cli/test_emulate.py",
    "studies/test_certify.py",
    "cli/test_probe.py",
    "tooling/test_run_script.py",
    "instruments_together/test_faults.py",
    "benches/local/test_dicom.py",
    "benches/test_virtual.py",
    "cli/test_exit_codes.py",
    "judge/test_defects.py",
    "fixtures/test_plugin.py",
    "cli/test_interrupt.py",
    "benches/lab/test_replaying_attended.py",
    "cli/test_replay_attended.py",
    "measure/test_fitting.py",
    "cli/test_emulate_uml.py",
    "judge/test_defects_picture.py",
    "studies/test_timekeeping.py",
    "fixtures/test_parallel.py",
    "studies/test_analyse_fuzz.py",
    "benches/lab/test_lab_check.py",
    "benches/lab/test_places.py",
    "judge/test_power.py",
    "cli/test_analyse.py",
    "measure/test_coverage.py",
    "cli/test_plan.py",
    "judge/test_defects_security.py",
    "cli/test_bad_input.py",
    "cli/test_prove.py",
    "benchmarks/test_coexistence_faults.py",
    "studies/test_ending.py",
    "benches/lab/test_laboratory.py",
    "benches/lab/test_accepting.py",
    "studies/test_fit.py",
    "cli/test_check_lab.py",
    "judge/test_defects_coexistence.py",
    "judge/test_defects_monitors.py",
    "report/test_html.py",
    "report/test_exports.py",
    "benchmarks/test_prove.py",
    "studies/test_coverage.py",
    "cli/test_seeds.py",
    "cli/test_coexistence.py",
)
"""The files that take longest, the longest first; the two of User-Mode Linux never at once."""


SELDOM = (100_000, 20, 50)
"""So many new objects, and so many looks at younger ones, are between two looks of the garbage
collector; else 700, 10, 10."""


@cache
def needs_the_machine(path: Path) -> bool:
    """Whether all tests of a file do."""
    if path in {_HERE / name for name in SHARING}:
        return False
    return not {path, *path.parents}.isdisjoint(_HERE / name for name in REAL_TIME)


@cache
def _place(path: Path) -> int:
    places = [_HERE / name for name in LONG]
    return places.index(path) if path in places else len(places)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Each part of ``./run test`` reads only the files that may hold some of its tests."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    asked = config.getoption("markexpr")
    if asked == "not real_time":
        return needs_the_machine(collection_path) or None
    if asked == "real_time":
        marked = (
            needs_the_machine(collection_path) or b"mark.real_time" in collection_path.read_bytes()
        )
        return None if marked else True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if needs_the_machine(item.path):
            item.add_marker("real_time")
    items.sort(key=lambda item: _place(item.path))


@pytest.fixture(scope="session", autouse=True)
def awake(pytestconfig: pytest.Config) -> Iterator[None]:
    """Real packets and real time on processors that do not halt, as in a session of the bench."""
    with contextlib.ExitStack() as stack:
        if pytestconfig.getoption("markexpr") == "real_time":
            stack.enter_context(processors_awake())
        yield


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests stay to the end: the garbage collector need not look at them again.

    Recordings are millions of small objects without circles, a sixth of whose cost is looking for
    some. Not in real time, where one long look is worse than many short ones.
    """
    gc.collect()
    gc.freeze()
    if session.config.getoption("markexpr") == "not real_time":
        gc.set_threshold(*SELDOM)
