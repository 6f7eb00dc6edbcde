"""Finding devices by name and building the state machines that play them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from bench.devices.defects import traits_of
from bench.devices.imaging.doctor import ReadingRoom
from bench.devices.imaging.patient import Modality
from bench.devices.load import load_profile
from bench.devices.ports import Endpoint, Port
from bench.devices.profile import DeviceProfile
from bench.devices.robot.doctor import DoctorSide
from bench.devices.robot.patient import PatientSide
from bench.errors import InputError
from bench.network.scenario import Side

Maker = Callable[[DeviceProfile, Port], Endpoint]

MACHINES: Mapping[str, Mapping[Side, Maker]] = {
    "remote-robot": {
        "patient": lambda profile, port: PatientSide(profile, traits_of(profile), port),
        "doctor": lambda profile, port: DoctorSide(profile, traits_of(profile), port),
    },
    "imaging": {
        "patient": lambda profile, port: Modality(profile, traits_of(profile), port),
        "doctor": lambda profile, port: ReadingRoom(profile, traits_of(profile), port),
    },
}


def build(profile: DeviceProfile, side: Side, port: Port) -> Endpoint:
    """One side of a simulated device.

    Raises:
        InputError: the profile names no state machine that the bench knows.
    """
    machine = MACHINES.get(profile.machine)
    if machine is None:
        raise InputError(
            "no such simulated device",
            remedy=f"use one of {', '.join(MACHINES)}, or a bench file for a real device",
            field="device.machine",
            value=profile.machine,
        )
    return machine[side](profile, port)


def names() -> tuple[str, ...]:
    """The devices that come with the bench."""
    folder = resources.files("bench.devices") / "data"
    found = (item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in found))


def find_device(text: str) -> DeviceProfile:
    """A device by ``NAME``, ``FILE.toml`` or ``FILE.py:NAME``.

    A Python file defines ``NAME`` as a :class:`DeviceProfile` or a function that returns one.

    Raises:
        InputError: unknown name, missing or broken file.
    """
    if text.endswith(".toml"):
        return load_profile(Path(text))
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_python(Path(path), name)
    if text not in names():
        raise InputError(
            "unknown device",
            remedy=f"use one of {', '.join(names())}, a FILE.toml or FILE.py:NAME",
            field="--device",
            value=text,
        )
    folder = resources.files("bench.devices") / "data"
    with resources.as_file(folder / f"{text}.toml") as file:
        return load_profile(file)


def _from_python(path: Path, name: str) -> DeviceProfile:
    if not path.is_file():
        raise InputError("no such file", remedy="check the path", field="--device", value=str(path))
    spec = importlib.util.spec_from_file_location(f"device_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(
            f"cannot be loaded: {type(error).__name__}: {error}",
            remedy="correct the device file",
            field="--device",
            value=str(path),
        ) from error
    found = getattr(module, name, None)
    profile = found() if callable(found) else found
    if not isinstance(profile, DeviceProfile):
        raise InputError(
            "is not a device profile",
            remedy="define it as a bench.devices.profile.DeviceProfile or a function giving one",
            field="--device",
            value=f"{path}:{name}",
        )
    return profile
