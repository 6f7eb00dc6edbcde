"""Where the local bench meets the emulators: the process between the two sides."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from bench.benches.local.channel import Receiver, Sender
from bench.benches.local.layout import Wire
from bench.benches.local.nics import Handover, around_radio
from bench.benches.local.protocol import Backend, Live
from bench.errors import InputError
from bench.network.impairment import Direction, Impairment
from bench.network.scenario import Schedule
from bench.sessions.codec import from_json
from bench.units import NS_PER_S
from instruments.emulators import timing
from instruments.emulators.base import Changes, Emulator, EmulatorError, LinkPlan
from instruments.emulators.forwarder import Options
from instruments.emulators.userspace import UserspaceEmulator

if TYPE_CHECKING:
    from instruments.emulators.netem_probe import Capability

_READ_BYTES = 1 << 16
_PRIORITY = 2
"""Above the agents: a packet that is due must not wait for a device that computes."""


def link_plans(
    wires: Sequence[Wire], schedule: Schedule, seed: int, live: Live | None = None
) -> tuple[LinkPlan, ...]:
    """One plan per link, two around a radio hop; what is commanded ``live`` is not in it."""

    def of(link: str, direction: Direction) -> Changes:
        known = schedule.of(link, direction)
        if live is None or link != live.link:
            return known
        return tuple(change for change in known if change[0] < live.from_ns)

    plans: list[LinkPlan] = []
    for wire in wires:
        plan = LinkPlan(
            link=schedule.links[wire.link],
            patient_ifname=wire.patient_end,
            doctor_ifname=wire.doctor_end,
            to_patient=of(schedule.links[wire.link], "to-patient"),
            to_doctor=of(schedule.links[wire.link], "to-doctor"),
            seed=seed,
        )
        plans += around_radio(plan, wire)
    return tuple(plans)


def netem_refusal(schedule: Schedule) -> InputError | None:
    """Why kernel netem cannot follow the schedule faithfully, or ``None`` where it can."""
    from instruments.emulators.netem import refused_plan

    wires = tuple(Wire(link, "", "") for link in range(len(schedule.links)))
    return refused_plan(link_plans(wires, schedule, 0))


def netem_problem() -> str:
    """What keeps the netem emulator from working on this kernel; empty where it works."""
    try:
        _working_netem()
    except EmulatorError as error:
        return str(error)
    return ""


@cache
def _working_netem() -> Capability:
    """What netem can do here: found out once, for this process and those it forks.

    Raises:
        EmulatorError: it does not work (asked anew each time: a module may have been loaded).
    """
    from instruments.emulators.netem import probe

    found = probe()
    if not (found.netem and found.redirect):
        raise EmulatorError(found.reason or "interfaces cannot be joined")
    return found


def make_emulator(backend: Backend) -> Emulator:
    """The emulator of that name."""
    if backend == "netem":
        from instruments.emulators.netem import NetemEmulator

        return NetemEmulator(capability=_working_netem())
    return UserspaceEmulator(Options(withhold_damaged=True))


def emulate(
    backend: Backend,
    plans: Sequence[LinkPlan],
    t0_ns: int,
    end_ns: int,
    sender: Sender,
    orders: socket.socket | None = None,
    handover: Handover | None = None,
) -> None:
    """Run the emulator for a whole session; messages ``ready``, then ``done`` with its report.

    ``orders``: where messages ``change`` come from while it runs: link, direction, time, state.
    ``handover``: with whoever joins the links before and after (userspace only): each packet is
    passed on by one of the two, and what is held back at the end goes then.

    Raises:
        EmulatorError: the emulator failed or lost one of its processes.
        InputError: a plan holds what this emulator would distort (see :func:`netem_refusal`).
    """
    between = None
    if handover is not None:
        between = UserspaceEmulator(Options(withhold_damaged=True, waits=True))
    emulator = between or make_emulator(backend)
    # Before it forks: on a busy host its processes would else not be ready at the start.
    timing.prefer_timing(_PRIORITY)
    emulator.start(plans, t0_ns)
    for pid in getattr(emulator, "pids", ()):
        timing.prefer_timing(_PRIORITY, pid)
    if between is not None and handover is not None:
        since_ns = between.open()
        handover.take(since_ns)
        time.sleep(max(0, since_ns - time.time_ns()) / NS_PER_S)
    sender.send({"ready": time.monotonic_ns()})
    follow = None if orders is None else _Orders(orders, emulator)
    _sleep_until(t0_ns + end_ns, getattr(emulator, "pids", ()), follow)
    if between is not None and handover is not None:
        report = between.stop(drain=True, until_ns=handover.wait_released())
    else:
        report = emulator.stop()
    sender.send({"done": report.to_json()})


class _Orders:
    """Changes that are commanded while the emulator runs."""

    def __init__(self, sock: socket.socket, emulator: Emulator) -> None:
        self.sock, self._emulator, self._receiver = sock, emulator, Receiver()

    def take(self) -> None:
        """Carry out what has come.

        Raises:
            EmulatorError: whoever gives the orders is gone.
            InputError: a change lies before one that is known.
        """
        data = self.sock.recv(_READ_BYTES)
        if not data:
            raise EmulatorError("nobody commands the changes any more")
        for message in self._receiver.feed(data):
            link, direction, at_ns, state = message.data["change"]
            impairment = from_json(Impairment, state, file="the channel", field="change")
            self._emulator.change(link, direction, impairment, at_ns)


def _sleep_until(end_ns: int, pids: Sequence[int], orders: _Orders | None = None) -> None:
    """Sleep until ``end_ns`` (CLOCK_MONOTONIC), follow orders; or until a process ends.

    Raises:
        EmulatorError: one of the processes ended.
    """
    poll = select.poll()
    fds = [os.pidfd_open(pid) for pid in pids]
    try:
        for fd in fds:
            poll.register(fd, select.POLLIN)
        if orders is not None:
            poll.register(orders.sock, select.POLLIN)
        while (left_ns := end_ns - time.monotonic_ns()) > 0:
            came = [fd for fd, _ in poll.poll(left_ns * 1000 / NS_PER_S + 1)]
            if orders is not None and orders.sock.fileno() in came:
                orders.take()
            if any(fd in fds for fd in came):
                raise EmulatorError("a process of the emulator ended in the middle of the session")
    finally:
        for fd in fds:
            os.close(fd)
