"""A session and the recording of it: frozen data that every later step derives from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.devices.defects import traits_of
from bench.devices.profile import DeviceProfile
from bench.network.cells import CellChanged
from bench.network.radio.exposure import FLAWLESS, Presented
from bench.network.scenario import Scenario, Schedule, compile_scenario
from bench.sessions.packets import PacketTable

Origin = Literal["contact", "signal", "log", "bench"]
"""Who observed an event. ``contact``: an electrical contact or encoder on the device's actuator.
``signal``: a light or sound sensor on its alarm. Both are independent of the device.
``log``: the device said so itself. ``bench``: the bench did it (a button pressed, a step)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, seen by ``origin`` on ``side`` at ``t_ns`` from the start.

    ``value`` is plain JSON data.
    """

    t_ns: int
    side: Literal["patient", "doctor", "bench"]
    origin: Origin
    name: str
    value: Any = None

    @property
    def independent(self) -> bool:
        """False when only the device itself says so."""
        return self.origin != "log"


@dataclass(frozen=True, slots=True)
class Session:
    """One run of a device through a scenario, with a seed.

    ``attempt`` counts from 1: a session is repeated only where the bench failed to deliver its
    stimulus, and every attempt is kept. ``presented``: how the instruments of a laboratory
    present what the scenario exposes the device's radio to
    (:func:`bench.network.scenario.interferences`, one for each); empty where it is reckoned.
    ``cells``: how it changed the serving cell (:func:`bench.network.scenario.cell_changes`).
    """

    plan: str
    device: DeviceProfile
    scenario: Scenario
    seed: int
    trial: int = 0
    attempt: int = 1
    presented: tuple[Presented, ...] = ()
    cells: tuple[CellChanged, ...] = ()

    @property
    def id(self) -> str:
        """``scenario[-trial][-attempt]-hash``; derives from plan, device, scenario and seed."""
        key = json.dumps(
            [self.plan, self.device.fingerprint, repr(self.scenario), self.seed, self.trial]
        )
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        trial = f"-t{self.trial:02d}" if self.trial else ""
        attempt = f"-a{self.attempt}" if self.attempt > 1 else ""
        return f"{self.scenario.name}{trial}{attempt}-{digest}"

    @property
    def seed_of_trial(self) -> int:
        """The seed that draws and emulators use: trials differ, attempts do not."""
        return self.seed * 1000 + self.trial

    def schedule(self) -> Schedule:
        """The absolute schedule of this session."""
        flawed = self.device.radio is not None and self.device.defects
        flaws = traits_of(self.device).radio if flawed else FLAWLESS
        received = [one.reception for one in self.presented]
        return compile_scenario(self.scenario, self.seed_of_trial, received, flaws, self.cells)


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """One change of a link direction: when it was due, commanded, and first effective (ns)."""

    t_ns: int
    link: str
    direction: str
    intended: str
    commanded_ns: int | None
    effective_ns: int | None


@dataclass(frozen=True, slots=True)
class Health:
    """What the bench knows about its own work in this session.

    ``lateness_s``: quantiles of release minus due time over all emulated packets
    (``p50``, ``p99``, ``p999``, ``max``), empty where nothing was late by construction.
    ``tap_drops``: packets a tap did not get. ``emulator_drops``: packets the emulator lost
    against its own decision (kernel drops, send errors). ``clock_step_s``: the largest
    disagreement between the clocks' pairs in the session. ``notes``: anything else, in words.
    """

    complete: bool = True
    tap_drops: int = 0
    emulator_drops: int = 0
    clock_step_s: float = 0.0
    lateness_s: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """All that was observed in a session. Read back from disk it gives the same verdicts."""

    session_id: str
    scenario: str
    bench: str
    backend: str
    device: DeviceProfile
    schedule: Schedule
    packets: PacketTable
    events: tuple[Event, ...]
    changes: tuple[AppliedChange, ...] = ()
    health: Health = Health()
    transcript: tuple[Mapping[str, Any], ...] = ()

    def named(self, name: str, *, side: str | None = None) -> tuple[Event, ...]:
        """The events of that name, in order of time."""
        return tuple(e for e in self.events if e.name == name and (side is None or e.side == side))
