"""Sessions on the virtual bench, and the verdicts on what they recorded."""

import dataclasses

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.judge.assess import assess
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.sessions.recording import Session

CATALOGUE = load_catalogue()

ELSEWHERE = {
    "monitors": {"ICU-1", "ICU-2", "PRE-1"},
}
"""Behaviours that a robot does not show, by topic: ``test_defects_<topic>.py`` judges them."""


def defects_of(machine):
    """The names of the defects that a machine can have."""
    return [name for name, defect in DEFECTS.items() if machine in defect.machines]


class Nowhere:
    """A sink that keeps nothing."""

    def packets(self, rows):
        pass

    event = progress = packets

    def capture_path(self, name):
        return None


def light(device, used):
    """The same device without the streams that no behaviour rests on."""
    streams = tuple(
        dataclasses.replace(s, option=s.option if s.name in used else "off") for s in device.streams
    )
    return dataclasses.replace(device, streams=streams)


def play(device, name, seed=7):
    """A session of a library scenario; the steady one is cut short."""
    scenario = library.steady(3.0) if name == "steady-5g-slice" else library.find_scenario(name)
    with VirtualBench() as bench:
        return bench.run(Session("therapy", device, scenario, seed), Nowhere())


def verdicts(recording, requirements, planned_n=1):
    """The verdict on each of the requirements."""
    stimulus = {recording.session_id: achieved(recording, None)}
    return {
        name: assess(
            CATALOGUE.get(name), recording.device, "", [recording], stimulus=stimulus, floor=None,
            planned_n=planned_n, test="t",
        )
        for name in requirements
    }  # fmt: skip
