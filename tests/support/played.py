"""Simulated devices in scenarios of the library, on the virtual bench. Loaded by path."""

from __future__ import annotations

from dataclasses import replace

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.sessions.recording import Session

CATALOGUE = load_catalogue()


class Nowhere:
    """A sink that keeps nothing."""

    def packets(self, rows):
        pass

    event = progress = packets

    def capture_path(self, name):
        return None


def device(name, defect=None, *, streams=()):
    """A device with one defect at its stated size, or none; only the streams that are needed.

    ``streams``: those beside its heartbeats and the one that it watches.
    """
    found = find_device(name)
    found = light(found, ("control", found.watched, *streams))
    return found.with_defects({defect: DEFECTS[defect].size}) if defect else found


def light(device, used):
    """The same device with these streams only."""
    kept = tuple(replace(s, option=s.option if s.name in used else "off") for s in device.streams)
    return replace(device, streams=kept)


def play(device, scenario, seed=7):
    """One session of a device in a named scenario; the steady one is cut short."""
    steady = scenario == "steady-5g-slice"
    found = library.steady(3.0) if steady else library.find_scenario(scenario)
    with VirtualBench() as bench:
        return bench.run(Session("t", device, found, seed), Nowhere())


def verdict(recording, requirement, *, certify=False):
    """What one recording shows of a requirement."""
    return verdicts(recording, (requirement,), certify=certify)[requirement]


def verdicts(recording, requirements, *, planned_n=1, certify=False):
    """What one recording shows of each of the requirements."""
    stimulus = {recording.session_id: achieved(recording, None)}
    return {
        name: assess(
            CATALOGUE.get(name), recording.device, "", [recording], stimulus=stimulus, floor=None,
            planned_n=planned_n, test="t", certify=certify,
            documents=CATALOGUE.requirements.values(),
        )
        for name in requirements
    }  # fmt: skip


def unsound(recording):
    """The steps whose stimulus was not achieved."""
    return [(s.step, s.phase, s.reason) for s in achieved(recording, None) if not s.ok]


def shown_clean(faulty, clean):
    """What a device did on a clean network, under the schedule of a fault."""
    return replace(faulty, packets=clean.packets, events=clean.events, changes=clean.changes)
