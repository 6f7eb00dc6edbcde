"""Imaging devices in scenarios of the library, on the virtual bench. Loaded by path."""

from dataclasses import replace
from functools import lru_cache

from bench.benches.virtual import VirtualBench
from bench.devices.defects import DEFECTS
from bench.devices.registry import find_device
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure.stimulus import achieved
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.sessions.recording import Session

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
CATALOGUE = load_catalogue()
DOCUMENTS = tuple(CATALOGUE.requirements.values())
UNIT, MRI = "mobile-dr-ct", "remote-mri-console"
BARE = ("control", "operator-input", "images")


class Nowhere:
    """A sink that keeps nothing."""

    def packets(self, rows):
        pass

    event = progress = packets

    def capture_path(self, name):
        return None


@lru_cache(maxsize=16)
def play(device, scenario, seed=7, defect="", steps=(), bare=False, size=None):
    """One session.

    Args:
        device: its name.
        scenario: its name.
        defect: at its stated size, or none.
        steps: those of the scenario that run; all if none is named.
        bare: without the streams that only fill the network.
        size: of the defect; its stated one if none is given.
    """
    profile, found = find_device(device), library.find_scenario(scenario)
    if bare:
        streams = (replace(s, option="" if s.name in BARE else "off") for s in profile.streams)
        profile = replace(profile, streams=tuple(streams))
    if defect:
        profile = profile.with_defects({defect: size or DEFECTS[defect].size})
    if steps:
        found = replace(
            found,
            steps=tuple(s for s in found.steps if s.name in steps),
            actions=tuple(a for a in found.actions if a.step in steps),
        )
    with VirtualBench() as bench:
        return bench.run(Session("t", profile, found, seed), Nowhere())


@lru_cache(maxsize=16)
def stimulus(recording_id, recording):
    """What was achieved in a recording; checked once."""
    return achieved(recording.value, None)


class _ById:
    """A recording as a key: frozen as it is, it holds arrays."""

    def __init__(self, value):
        self.value = value

    def __hash__(self):
        return id(self.value.packets)

    def __eq__(self, other):
        same = self.value.packets is other.value.packets
        return same and self.value.schedule is other.value.schedule


def verdict(recording, requirement, *, documents=DOCUMENTS, planned_n=1):
    """What one recording shows of a requirement."""
    checked = stimulus(recording.session_id, _ById(recording))
    return assess(
        CATALOGUE.get(requirement), recording.device, "", [recording],
        stimulus={recording.session_id: checked}, floor=None, planned_n=planned_n, test="t",
        documents=documents,
    )  # fmt: skip


def unsound(recording):
    """The phases whose stimulus was not achieved."""
    checked = stimulus(recording.session_id, _ById(recording))
    return [(s.step, s.phase, s.reason) for s in checked if not s.ok]


def declaring(recording, *, without=(), **figures):
    """The same recording of a device that declares something else."""
    kept = {key: value for key, value in recording.device.declares.items() if key not in without}
    device = replace(recording.device, declares={**kept, **figures})
    return replace(recording, device=device)


def needing(recording, stream, **limits):
    """The same recording of a device that says otherwise what a stream needs."""
    streams = tuple(
        replace(s, **limits) if s.name == stream else s for s in recording.device.streams
    )
    return replace(recording, device=replace(recording.device, streams=streams))


def without(recording, *names, where=lambda event: True):
    """The same recording without some of its events."""
    events = tuple(e for e in recording.events if not (e.name in names and where(e)))
    return replace(recording, events=events)


def ended(recording, t_ns):
    """The same recording, ended early."""
    schedule = replace(recording.schedule, end_ns=t_ns)
    events = tuple(e for e in recording.events if e.t_ns <= t_ns)
    return replace(recording, schedule=schedule, events=events)
