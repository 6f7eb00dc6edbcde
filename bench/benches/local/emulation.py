"""Where the local bench meets the emulators: the process between the two sides."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

from bench.benches.local.channel import Sender
from bench.benches.local.layout import Wire
from bench.benches.local.protocol import Backend
from bench.errors import InputError
from bench.network.scenario import Schedule
from bench.units import NS_PER_S
from instruments.emulators import timing
from instruments.emulators.base import Emulator, EmulatorError, LinkPlan
from instruments.emulators.forwarder import Options
from instruments.emulators.userspace import UserspaceEmulator

_PRIORITY = 2
"""Above the agents: a packet that is due must not wait for a device that computes."""


def link_plans(wires: Sequence[Wire], schedule: Schedule, seed: int) -> tuple[LinkPlan, ...]:
    """One plan per link."""
    return tuple(
        LinkPlan(
            link=schedule.links[wire.link],
            patient_ifname=wire.patient_end,
            doctor_ifname=wire.doctor_end,
            to_patient=schedule.of(schedule.links[wire.link], "to-patient"),
            to_doctor=schedule.of(schedule.links[wire.link], "to-doctor"),
            seed=seed,
        )
        for wire in wires
    )


def netem_refusal(schedule: Schedule) -> InputError | None:
    """Why kernel netem cannot follow the schedule faithfully, or ``None`` where it can."""
    from instruments.emulators.netem import refused_plan

    wires = tuple(Wire(link, "", "") for link in range(len(schedule.links)))
    return refused_plan(link_plans(wires, schedule, 0))


def netem_problem() -> str:
    """What keeps the netem emulator from working on this kernel; empty where it works."""
    from instruments.emulators.netem import probe

    found = probe()
    if found.netem and found.redirect:
        return ""
    return found.reason or "interfaces cannot be joined"


def make_emulator(backend: Backend) -> Emulator:
    """The emulator of that name."""
    if backend == "netem":
        from instruments.emulators.netem import NetemEmulator

        return NetemEmulator()
    return UserspaceEmulator(Options(withhold_damaged=True))


def emulate(
    backend: Backend, plans: Sequence[LinkPlan], t0_ns: int, end_ns: int, sender: Sender
) -> None:
    """Run the emulator for a whole session; messages ``ready``, then ``done`` with its report.

    Raises:
        EmulatorError: the emulator failed or lost one of its processes.
        InputError: a plan holds what this emulator would distort (see :func:`netem_refusal`).
    """
    emulator = make_emulator(backend)
    # Before it forks: on a busy host its processes would else not be ready at the start.
    timing.prefer_timing(_PRIORITY)
    emulator.start(plans, t0_ns)
    for pid in getattr(emulator, "pids", ()):
        timing.prefer_timing(_PRIORITY, pid)
    sender.send({"ready": time.monotonic_ns()})
    _sleep_until(t0_ns + end_ns, getattr(emulator, "pids", ()))
    sender.send({"done": emulator.stop().to_json()})


def _sleep_until(end_ns: int, pids: Sequence[int]) -> None:
    """Sleep until ``end_ns`` (CLOCK_MONOTONIC), or until one of the processes ends.

    Raises:
        EmulatorError: one of the processes ended.
    """
    poll = select.poll()
    fds = [os.pidfd_open(pid) for pid in pids]
    try:
        for fd in fds:
            poll.register(fd, select.POLLIN)
        while (left_ns := end_ns - time.monotonic_ns()) > 0:
            if poll.poll(left_ns * 1000 / NS_PER_S + 1):
                raise EmulatorError("a process of the emulator ended in the middle of the session")
    finally:
        for fd in fds:
            os.close(fd)
