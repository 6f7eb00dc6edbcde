"""Devices, state machines and defects that users bring as Python files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices import files
from bench.devices.defects import check_defects, find_defect, parse_defect, traits_of
from bench.devices.registry import build, find_device, machine_of
from bench.errors import InputError
from bench.network import library
from bench.sessions.recording import Session

EXAMPLE = Path(__file__).parents[2] / "docs" / "outsider_example.py"
PROFILE = Path(__file__).parents[2] / "bench" / "devices" / "data" / "telesurgery-robot.toml"


class Port:
    """A port that does nothing."""

    def __getattr__(self, name):
        return lambda *words: None


def test_a_machine_out_of_a_file_is_found_by_path_in_any_process():
    device = find_device(f"{EXAMPLE}:creeping_robot")
    assert device.machine == f"{EXAMPLE.resolve()}:creeping-robot"
    for side in ("patient", "doctor"):
        assert build(device, side, Port()) is not None
    files._executed.cache_clear()  # what another process begins with
    assert type(build(device, "patient", Port()).inner).__name__ == "CreepingSide"


def test_it_runs_a_session():
    device = find_device(f"{EXAMPLE}:creeping_robot")
    session = Session("t", device, library.null_path(1.0), 7)
    recording = VirtualBench().run(session, Nowhere())
    assert len(recording.packets.where(tap="patient")) > 1000


def test_a_profile_file_names_a_machine_beside_it(tmp_path):
    (tmp_path / "own.py").write_text(EXAMPLE.read_text())
    text = PROFILE.read_text().replace('"remote-robot"', '"own.py:creeping-robot"')
    (tmp_path / "own.toml").write_text(text)
    device = find_device(str(tmp_path / "own.toml"))
    assert type(build(device, "patient", Port()).inner).__name__ == "CreepingSide"


def test_a_defect_out_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(EXAMPLE.parent)
    name, size = parse_defect("outsider_example.py:sleepy_alarm=2s")
    assert (name, size) == (f"{EXAMPLE.resolve()}:sleepy_alarm", 2.0)
    monkeypatch.chdir(tmp_path)
    assert find_defect(name).title.startswith("the alarm of an interruption")
    robot = find_device("telesurgery-robot")
    check_defects(robot, {name: size})
    assert traits_of(robot.with_defects({name: size})).signal_after["link-lost"] == 2.0


@pytest.mark.parametrize(
    ("text", "content", "parts"),
    [
        ("nowhere.py:x", None, ("nowhere.py", "no such file")),
        ("f.py:x", "y = 1", ("f.py:x", "defines no 'x'", "name one of y")),
        ("f.py:x", "x = 1", ("f.py:x", "is not a defect", "bench.devices.defects.Defect")),
        ("f.py:x", "import nothing_of_the_kind", ("f.py", "ModuleNotFoundError", "correct")),
    ],
)
def test_a_defect_that_cannot_be_used(tmp_path, text, content, parts):
    if content is not None:
        (tmp_path / "f.py").write_text(content)
    with pytest.raises(InputError) as found:
        parse_defect(str(tmp_path / text))
    assert found.value.field == "--defect"
    for part in parts:
        assert part in str(found.value)


@pytest.mark.parametrize(
    ("machines", "parts"),
    [
        ("{}", ("no maker for each side", "MACHINES")),
        ("{'m': {'patient': print}}", ("no maker for each side", "'doctor'")),
        ("7", ("no maker for each side",)),
    ],
)
def test_a_machine_that_cannot_be_used(tmp_path, machines, parts):
    (tmp_path / "m.py").write_text(f"MACHINES = {machines}\n")
    with pytest.raises(InputError) as found:
        machine_of(f"{tmp_path}/m.py:m")
    for part in ("device.machine", "m.py:m", *parts):
        assert part in str(found.value)


def test_a_machine_that_nobody_has():
    with pytest.raises(InputError, match=r"device\.machine = 'loom': no such simulated device"):
        machine_of("loom")


def test_a_defect_that_the_device_cannot_have():
    device = find_device(f"{EXAMPLE}:creeping_robot")
    words = r"creeping-robot cannot have it: it is one of monitor, remote-robot"
    with pytest.raises(InputError, match=words):
        check_defects(device, {"late-alarm": 0.7})
