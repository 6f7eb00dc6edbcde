"""Whether this host can keep time just now: a short session that nobody judges."""

from __future__ import annotations

from bench.benches.base import Bench, BenchError, Nowhere
from bench.devices.profile import DeviceProfile
from bench.judge.assess import stimulus_problems
from bench.measure.floor import measure_floor
from bench.measure.stimulus import achieved
from bench.network import library
from bench.sessions.recording import Recording, Session

TRIAL_S = 2.5
TRIES = 2
"""A single stall of the host is no reason to give real packets up."""


def timekeeping_problem(bench: Bench, device: DeviceProfile, seed: int) -> str:
    """Why a bench cannot keep time on this host now, with the figure; empty where it can.

    The device plays over an unimpaired path for :data:`TRIAL_S`; of :data:`TRIES` one must be
    sound by the same rules that every session is held to.
    """
    problem = ""
    for attempt in range(1, TRIES + 1):
        session = Session("trial", device, library.null_path(TRIAL_S), seed, attempt=attempt)
        try:
            problem = _problem(bench.run(session, Nowhere()))
        except BenchError as error:
            problem = str(error).splitlines()[0]
        if not problem:
            return ""
    return problem


def _problem(recording: Recording) -> str:
    stimulus = achieved(recording, measure_floor(recording))
    found = stimulus_problems([recording], {recording.session_id: stimulus}, reactions=True)
    return next(iter(found.get(recording.session_id, ())), "")
