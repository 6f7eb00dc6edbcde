"""Finding devices by name and building the state machines that play them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from bench.devices import files
from bench.devices.clients import DeviceSecurity
from bench.devices.console.doctor import ConsoleSide
from bench.devices.console.patient import StationSide
from bench.devices.defects import traits_of
from bench.devices.imaging.doctor import ReadingRoom
from bench.devices.imaging.patient import Modality
from bench.devices.load import load_profile
from bench.devices.monitor import build as monitor
from bench.devices.ports import Endpoint, Port
from bench.devices.profile import DeviceProfile
from bench.devices.robot.doctor import DoctorSide
from bench.devices.robot.patient import PatientSide
from bench.devices.security import ConsoleSecurity, SecurityLayer
from bench.errors import InputError
from bench.network.scenario import Side

SIDES: tuple[Side, ...] = ("patient", "doctor")

Maker = Callable[[DeviceProfile, Port], Endpoint]

MACHINES: Mapping[str, Mapping[Side, Maker]] = {
    "remote-robot": {
        "patient": lambda profile, port: PatientSide(profile, traits_of(profile), port),
        "doctor": lambda profile, port: DoctorSide(profile, traits_of(profile), port),
    },
    "console": {
        "patient": lambda profile, port: StationSide(profile, traits_of(profile), port),
        "doctor": lambda profile, port: ConsoleSide(profile, traits_of(profile), port),
    },
    "monitor": {
        "patient": lambda profile, port: monitor.bedside(profile, traits_of(profile), port),
        "doctor": lambda profile, port: monitor.station(profile, traits_of(profile), port),
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
    maker = machine_of(profile.machine)[side]
    if "secure-channel" not in profile.functions:
        return maker(profile, port)
    kind: type[SecurityLayer] = DeviceSecurity if side == "patient" else ConsoleSecurity
    layer = kind(profile, side, traits_of(profile).security, port)
    layer.attach(maker(profile, layer))
    return layer


def machine_of(name: str) -> Mapping[Side, Maker]:
    """The makers of both sides, of a state machine of the bench or of ``FILE.py:NAME``.

    A file defines ``MACHINES``, as this module does: per name and side a function of the profile
    and the port that gives the :class:`~bench.devices.ports.Endpoint`.

    Raises:
        InputError: nobody knows the machine, or the file's does not have both sides.
    """
    if not files.is_reference(name):
        if name in MACHINES:
            return MACHINES[name]
        raise InputError(
            "no such simulated device",
            remedy=f"use one of {', '.join(MACHINES)}, or a bench file for a real device",
            field="device.machine",
            value=name,
        )
    path, key = files.split(name)
    found = getattr(files.module_of(path, "device.machine"), "MACHINES", {})
    makers = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(makers, Mapping) or not all(callable(makers.get(s)) for s in SIDES):
        raise InputError(
            "has no maker for each side",
            remedy=f"define MACHINES = {{{key!r}: {{'patient': ..., 'doctor': ...}}}} there",
            field="device.machine",
            value=name,
        )
    return makers


def names() -> tuple[str, ...]:
    """The devices that come with the bench."""
    folder = resources.files("bench.devices") / "data"
    found = (item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in found))


def find_device(text: str) -> DeviceProfile:
    """A device by ``NAME``, ``FILE.toml`` or ``FILE.py:NAME``.

    A Python file defines ``NAME`` as a :class:`DeviceProfile` or a function that returns one. The
    profile may name a state machine of the file's own ``MACHINES`` (:func:`machine_of`).

    Raises:
        InputError: unknown name, missing or broken file.
    """
    if text.endswith(".toml"):
        return load_profile(Path(text))
    if files.is_reference(text):
        return _from_python(text)
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


def _from_python(text: str) -> DeviceProfile:
    found = files.load(text, "--device")
    profile = found() if callable(found) else found
    if not isinstance(profile, DeviceProfile):
        raise InputError(
            "is not a device profile",
            remedy="define it as a bench.devices.profile.DeviceProfile or a function giving one",
            field="--device",
            value=text,
        )
    path, _ = files.split(text)
    own = getattr(files.module_of(path, "--device"), "MACHINES", {})
    if profile.machine in own and profile.machine not in MACHINES:
        # By path: the processes that play the device get the profile as data, and load the file.
        profile = replace(profile, machine=files.absolute(f"{path}:{profile.machine}"))
        machine_of(profile.machine)
    return profile
