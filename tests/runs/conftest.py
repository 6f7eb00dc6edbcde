"""What the tests of run folders share: a short session, made-up recordings, an open run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.devices.profile import DeviceProfile
from bench.devices.registry import find_device
from bench.network import library
from bench.runs.folder import RunFolder
from bench.sessions.packets import NO_LINK, ROW, PacketTable, merge
from bench.sessions.recording import AppliedChange, Event, Health, Recording, Session

END_NS = 8_000_000_000


def rows_of(count: int, seed: int = 1) -> Any:
    """Rows as a session has them: in no particular order, the actuator's without a link."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, dtype=ROW)
    rows["t_ns"] = rng.integers(0, END_NS, count)
    rows["tap"] = rng.integers(0, 3, count)
    rows["direction"] = rng.integers(0, 2, count)
    rows["link"] = np.where(rows["tap"] == 2, NO_LINK, rng.integers(0, 2, count))
    rows["stream"] = rng.integers(0, 14, count)
    rows["seq"] = rng.integers(0, 2**32, count)
    rows["size"] = rng.integers(60, 1500, count)
    return rows


@pytest.fixture(scope="session")
def device() -> DeviceProfile:
    return find_device("telesurgery-robot")


@pytest.fixture(scope="session")
def session(device: DeviceProfile) -> Session:
    return Session("therapy", device, library.basic.primary_outage(), 7)


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Any]:
    return rows_of


@pytest.fixture(scope="session")
def make_recording() -> Callable[..., Recording]:
    """A recording of a session with ``count`` made-up packets and whatever else is given."""

    def make(session: Session, count: int = 500, seed: int = 1, **given: Any) -> Recording:
        recording = Recording(
            session_id=session.id,
            scenario=session.scenario.name,
            bench="virtual",
            backend="virtual link",
            device=session.device,
            schedule=session.schedule(),
            packets=merge([rows_of(count, seed)]),
            events=(
                Event(0, "bench", "bench", "step", {"name": "settle", "role": "within"}),
                Event(5, "patient", "contact", "position", {"um": 3, "edge": "stop"}),
                Event(9, "doctor", "log", "alarm-condition", {"alarm": "Verzögerung", "on": True}),
            ),
            changes=(AppliedChange(0, "primary", "to-patient", "2 ms", 0, None),),
            health=Health(lateness_s={"p50": 1e-5}, counters={"sent": 3}, notes=("a note",)),
            transcript=({"t_ns": 1, "sent": "*IDN?"},),
        )
        return replace(recording, **given)

    return make


@pytest.fixture(scope="session")
def same() -> Callable[[Recording, Recording], bool]:
    """Equality of recordings, packets row by row (a packet table compares by identity)."""

    def compare(one: Recording, other: Recording) -> bool:
        empty = PacketTable(np.zeros(0, dtype=ROW))
        rest = replace(one, packets=empty) == replace(other, packets=empty)
        return rest and np.array_equal(one.packets.rows, other.packets.rows)

    return compare


@pytest.fixture
def identity(device: DeviceProfile) -> dict[str, Any]:
    return {"bench": "virtual", "backend": "virtual link", "device": device, "seed": 7}


@pytest.fixture
def run(tmp_path: Path, identity: dict[str, Any]) -> RunFolder:
    return RunFolder.create(tmp_path / "results", "a-run", identity)


@pytest.fixture
def record(
    run: RunFolder, session: Session, make_recording: Callable[..., Recording]
) -> Callable[..., Recording]:
    """Record a session into the run, as a bench does, and finish it."""

    def record_(count: int = 500, of: Session = session, **given: Any) -> Recording:
        recording = make_recording(of, count, **given)
        writer = run.claim(of, "virtual", "virtual link")
        for start in range(0, count, 100):
            writer.packets(recording.packets.rows[start : start + 100])
        for event in recording.events:
            writer.event(event)
        writer.finish(recording, ())
        return recording

    return record_


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""

    def take(folder: Path) -> dict[str, bytes]:
        return {
            str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }

    return take
