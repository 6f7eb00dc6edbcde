"""Who armed a real device is in the run and in the report; it must hold until a session's end."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from bench.benches.base import Nowhere
from bench.benches.lab import bench as lab_bench
from bench.benches.lab.bench import LabBench
from bench.benches.lab.file import load_bench_file
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.network.scenario import Scenario, Segment, Step
from bench.report.data import ReportData
from bench.report.head import bench_facts
from bench.sessions.recording import Session

ROBOT = find_device("telesurgery-robot")
FILE = """title = "One link"
[links.primary]
left = { name = "a" }
right = { name = "b" }
"""
AT = datetime.datetime(2026, 11, 30, 8, 15, tzinfo=datetime.UTC)
STEPS = ["phantom_in_place", "area_clear", "hardware_stop_tested"]


def armed(folder: Path, at: datetime.datetime = AT, holds: str = "8h") -> LabBench:
    path = folder / "lab.toml"
    steps = "".join(f"{step} = true\n" for step in STEPS)
    table = f'[arming]\nby = "A. Person"\nat = {at.isoformat()}\nholds = "{holds}"\n{steps}'
    path.write_text(FILE + table)
    return LabBench(load_bench_file(path))


def session(length_s: float) -> Session:
    step = Step("as-it-is", "hold", "within", (Segment("as-it-is", length_s),))
    return Session("t", ROBOT, Scenario("s", "S", (step,)), 7)


def test_a_run_and_its_report_say_who_armed_the_device(tmp_path, monkeypatch) -> None:
    bench = armed(tmp_path)
    monkeypatch.setattr(bench, "_instruments", list)  # of a laboratory that is entered
    described = bench.describe()
    assert described["arming"] == {
        "by": "A. Person",
        "at": "2026-11-30T08:15:00+00:00",
        "holds_s": 8 * 3600,
        "steps": STEPS,
    }
    shown = dict(bench_facts(ReportData(run={"laboratory": described})))
    assert shown["device armed"] == (
        "by A. Person, 2026-11-30T08:15:00+00:00, for 8 h: "
        "phantom in place, area clear, hardware stop tested"
    )


def test_nothing_is_said_where_nobody_armed_it(tmp_path, monkeypatch) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(FILE)
    bench = LabBench(path)
    monkeypatch.setattr(bench, "_instruments", list)
    assert bench.describe()["arming"] is None
    assert "device armed" not in dict(bench_facts(ReportData(run={"laboratory": {}})))


def test_a_session_that_outlasts_the_arming_is_refused(tmp_path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    bench = armed(tmp_path, now - datetime.timedelta(minutes=55), "1h")
    bench._refuse_unready(session(60.0))
    with pytest.raises(InputError, match=r"ends in \d+ s, within the session of 600 s") as caught:
        bench.run(session(600.0), Nowhere())
    assert (caught.value.file, caught.value.field) == (str(tmp_path / "lab.toml"), "arming")
    assert re.search("record .arming.", caught.value.remedy)


def test_an_arming_that_ends_while_all_is_made_ready_is_refused(tmp_path, monkeypatch) -> None:
    """The supply's boot took ten minutes: no packet is sent to a device that nobody watches."""
    real = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    bench = armed(tmp_path, real - datetime.timedelta(minutes=55), "1h")

    class Clock(datetime.datetime):
        late = datetime.timedelta()

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return real + cls.late

    class SlowSupply:
        seen = ()

        def ready(self) -> None:
            Clock.late = datetime.timedelta(minutes=10)

    class Patched:
        datetime, UTC = Clock, datetime.UTC

    monkeypatch.setattr(lab_bench, "datetime", Patched)
    bench._attending = [SlowSupply()]  # type: ignore[list-item]
    monkeypatch.setattr(
        bench._packets, "run", lambda *_: pytest.fail("packets were sent"), raising=True
    )
    with pytest.raises(InputError, match="held for 1 h"):
        bench.run(session(60.0), Nowhere())
