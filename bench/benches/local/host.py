"""The host process of the local bench: lives in its own namespace, forks what a session needs.

Started through ``__main__.py`` of this package. It ends with the main process: by a parent-death
signal, and when its control socket closes. Its children end with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from bench.benches.local import carriage, kernel
from bench.benches.local.agent import Agent
from bench.benches.local.attacking import Attacking, Hands
from bench.benches.local.awake import processors_awake
from bench.benches.local.beside import AttackingBeside
from bench.benches.local.carriage.credentials import identities
from bench.benches.local.channel import Sender
from bench.benches.local.emulation import emulate, link_plans, netem_problem
from bench.benches.local.layout import SIDES, attacker_hardware_address
from bench.benches.local.nics import Ends, Handover, Joined, Nics
from bench.benches.local.protocol import Request, receive_request
from bench.benches.local.ring import PacketRing
from bench.benches.local.tap import Streams, Tap, TapPoint
from bench.benches.local.topology import Topology
from bench.devices.carriages import PLAIN
from bench.network.attacks import attack_of, attacks_of
from bench.network.scenario import Schedule, Side
from bench.sessions.packets import TAPS
from bench.units import NS_PER_S
from instruments.attacks.messages import beside, stand
from instruments.emulators import timing

LEAD_NS = 500_000_000
"""From the fork of the session's processes to its start; twice as long with attackers ..."""

SLOW_LEAD_NS = 1_500_000_000
"""... and where some of them have processes of their own."""

_AGENT_PRIORITY = 1
_LAST_WORDS_S = 2.0


def load(text: str) -> Callable[..., Any]:
    """The function that ``module:name`` or ``file.py:name`` stands for."""
    place, _, name = text.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    found: Callable[..., Any] = getattr(module, name)
    return found


class Host:
    """Serves one request after the other until the main process is gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._out = Sender(control)
        self._ipr = IPRoute()
        self._serial = 0
        self._joined: Joined | None = None

    def serve(self, privilege: str, nics: Ends = ()) -> None:
        """Say what this host can do, then carry out requests."""
        try:
            if nics:
                self._joined = Joined(nics)
                self._joined.join()
            else:  # Some hosts grant a user namespace and then none of its rights.
                Topology(self._ipr, 1, self._serial).close()
        except Exception as error:
            self._say({"refused": f"{type(error).__name__}: {error}"})
            return
        self._say({"up": os.getpid(), "privilege": privilege, "netem": netem_problem()})
        while True:
            self._control.setblocking(True)
            received = receive_request(self._control)
            self._control.setblocking(False)
            if received is None:
                return
            self._serial += 1
            try:
                self._carry_out(*received)
            except Exception:
                self._say({"error": traceback.format_exc()})

    def _say(self, data: dict[str, Any]) -> None:
        self._out.send(data)
        self._out.drain(_LAST_WORDS_S)

    def _carry_out(self, request: Request, fds: list[int]) -> None:
        session = _Session(request, fds, self._ipr, self._serial, self._control)
        try:
            self._say({"started": session.start()})
            if self._joined is not None and (taken_ns := session.taken_ns()) is not None:
                self._say({"notes": self._joined.leave(taken_ns)})
            self._say({"ended": self._wait(session)})
        finally:
            if self._joined is not None:
                self._joined.join()
            session.close()

    def _wait(self, session: _Session) -> dict[str, int]:
        """Reap the children; the main process gives up on a session by killing this one."""
        poll = select.epoll()
        pids = {os.pidfd_open(pid): pid for pid in session.pids}
        for fd in (*pids, self._control.fileno()):
            poll.register(fd, select.EPOLLIN)
        statuses = {}
        while pids:
            for fd, _ in poll.poll(self._pause_s(session)):
                if fd not in pids:
                    # No request comes while one is carried out: the main process is gone.
                    os._exit(0)
                name, status = session.reap(pids.pop(fd))
                poll.unregister(fd)
                os.close(fd)
                statuses[name] = status
                if status:
                    self._say({"died": name, "status": status})
        poll.close()
        return statuses

    def _pause_s(self, session: _Session) -> float | None:
        """How long to wait for children; at a session's end its links are joined again."""
        if self._joined is None:
            return None
        left_s = session.left_s()
        if left_s <= 0:
            session.release(self._joined.join())
            return None
        return left_s


class _Session:
    """The processes and interfaces of one session."""

    def __init__(
        self,
        request: Request,
        fds: list[int],
        ipr: IPRoute,
        serial: int,
        control: socket.socket,
    ) -> None:
        self._request = request
        self._control = control
        count = len(request.channels)
        self._channels = {
            name: socket.socket(fileno=fd)
            for name, fd in zip(request.channels, fds[:count], strict=True)
        }
        self._captures = dict(zip(request.captures, fds[count:], strict=True))
        self._schedule: Schedule = request.session.schedule()
        self._attacks = attacks_of(self._schedule.actions)
        links = len(self._schedule.links)
        self._topology: Topology | Nics = (
            Nics(request.nics)
            if request.nics
            else Topology(ipr, links, serial, attacked=bool(self._attacks))
        )
        self._rings: dict[Side, list[PacketRing]] = {
            side: self._topology.rings(side) for side in SIDES
        }
        # Made before the fork, and gone with the session: no disk ever holds a private key.
        self._identities = {} if request.nics else identities(request.session.device.name)
        self._t0_ns = 0
        self._handover = Handover() if request.nics else None
        self._awake = contextlib.ExitStack()
        self.pids: dict[int, str] = {}

    def start(self) -> int:
        """Fork everything.

        Returns:
            The session's start, CLOCK_MONOTONIC in ns.
        """
        self._awake.enter_context(processors_awake())
        if self._request.nics:
            hands = self._start_hands() if self._attacks else None
            self._t0_ns = time.monotonic_ns() + 2 * LEAD_NS
            self._fork("tap", self._tap)
            self._fork("emulator", self._emulate)
            if hands is not None:
                self._fork("attacker", partial(self._attack, hands))
            return self._t0_ns
        build = load(self._request.build)
        hands = self._start_hands() if self._attacks else None
        slow = carriage.load(s.carriage for s in self._request.session.device.active_streams)
        lead_ns = SLOW_LEAD_NS if slow else LEAD_NS
        self._t0_ns = time.monotonic_ns() + lead_ns * (1 + bool(self._attacks))
        gc.collect()
        gc.freeze()
        self._fork("tap", self._tap)
        self._fork("emulator", self._emulate)
        for side in SIDES:
            self._fork(side, partial(self._agent, side, build))
        if hands is not None:
            self._fork("attacker", partial(self._attack, hands))
        gc.unfreeze()
        return self._t0_ns

    def _fork(self, name: str, run: Callable[[Sender], None]) -> None:
        host = os.getpid()
        pid = os.fork()
        if pid:
            self.pids[pid] = name
            return
        status = 1
        try:
            kernel.die_with_parent(host)
            timing.set_timer_slack()
            gc.disable()
            self._control.close()
            for other, channel in self._channels.items():
                if other != name:
                    channel.close()
            sender = Sender(self._channels[name])
            try:
                run(sender)
                status = 0
            except BaseException as error:
                number = error.errno if isinstance(error, OSError) else None
                sender.send({"error": traceback.format_exc(), "errno": number})
            sender.drain(_LAST_WORDS_S)
        except BaseException:
            # Nobody listens any more, or not yet: the last place to say it is standard error.
            traceback.print_exc()
        finally:
            os._exit(status)

    def _agent(self, side: Side, build: Callable[..., Any], sender: Sender) -> None:
        self._topology.enter(side)
        scheduling = timing.prefer_timing(_AGENT_PRIORITY)
        actions = [
            action
            for action in self._schedule.actions
            if action.side == side and attack_of(action.name) is None
        ]
        device, links = self._request.session.device, len(self._schedule.links)
        until_ns = self._schedule.end_ns if self._attacks else None
        agent = Agent(
            device, side, links, build, actions, sender, self._t0_ns, scheduling,
            self._identities[side], until_ns,
        )  # fmt: skip
        agent.run(self._schedule.end_ns)

    def _start_hands(self) -> Hands:
        """The attack process, ready."""
        session = self._request.session
        if self._request.nics:
            links = [
                {"patient": wire.patient_end, "doctor": wire.doctor_end,
                 "own": attacker_hardware_address(wire.link)}
                for wire in self._topology.wires
            ]  # fmt: skip
            hands = Hands(beside(links, session.seed_of_trial))
        else:
            lengths = sorted({stream.payload_bytes for stream in session.device.streams})
            hands = Hands(stand(self._topology.stations, lengths))
        self.pids[hands.pid] = "attack process"
        return hands

    def _attack(self, hands: Hands, sender: Sender) -> None:
        timing.prefer_timing(_AGENT_PRIORITY)
        session, links = self._request.session, self._schedule.links
        attacking: Attacking | AttackingBeside
        if self._request.nics:
            attacking = AttackingBeside(
                session.device, links, self._attacks, hands.socket, sender, self._t0_ns
            )
        else:
            seed = session.seed_of_trial
            attacking = Attacking(
                session.device, links, self._attacks, hands.socket, sender, self._t0_ns, seed
            )
        attacking.run(self._schedule.end_ns)

    def _tap(self, sender: Sender) -> None:
        nic = bool(self._request.nics)
        points = [
            TapPoint(ring, TAPS.index(side), link, link, self._captures.get(side), nic)
            for side in SIDES
            for link, ring in enumerate(self._rings[side])
        ]
        device = self._request.session.device
        known = [(s.name, s.port, s.code, s.carriage) for s in device.streams]
        # Further clients have no session of a carriage with the device.
        if self._attacks and not nic:
            known += [(*each[:3], PLAIN) for each in known if each[3] == "dtls"]
        streams = Streams.of(known) if device.simulated else Streams.declared(device)
        Tap(points, streams, sender, self._t0_ns).run(self._schedule.end_ns)

    def _emulate(self, sender: Sender) -> None:
        seed = self._request.session.seed_of_trial
        live = self._request.live
        plans = link_plans(self._topology.wires, self._schedule, seed, live)
        orders = None if live is None else self._channels["emulator"]
        end_ns, handover = self._schedule.end_ns, self._handover
        emulate(self._request.backend, plans, self._t0_ns, end_ns, sender, orders, handover)

    def taken_ns(self) -> int | None:
        """From when on (CLOCK_REALTIME) its emulator has the links; None: not before its start."""
        if self._handover is None:
            return None
        return self._handover.wait_taken((self._t0_ns - time.monotonic_ns()) / NS_PER_S)

    def left_s(self) -> float:
        """Until its end, s."""
        return (self._t0_ns + self._schedule.end_ns - time.monotonic_ns()) / NS_PER_S

    def release(self, since_ns: int) -> None:
        """Somebody else has the links again from then on (CLOCK_REALTIME)."""
        if self._handover is not None:
            self._handover.release(since_ns)

    def reap(self, pid: int) -> tuple[str, int]:
        """Name and exit status of child ``pid``, which has ended or is about to."""
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return self.pids.pop(pid), status

    def close(self) -> None:
        """Let go of everything; the namespaces end when the last of their processes has."""
        self._awake.close()
        for pid in tuple(self.pids):
            os.kill(pid, signal.SIGKILL)
            self.reap(pid)
        for rings in self._rings.values():
            for ring in rings:
                ring.close()
        for channel in self._channels.values():
            channel.close()
        for fd in self._captures.values():
            os.close(fd)
        if self._handover is not None:
            self._handover.close()
        self._topology.close()


def serve(control: socket.socket, privilege: str, nics: Ends = ()) -> None:
    """Serve the main process at the other end of ``control`` until it is gone.

    ``nics``: physical interfaces of this namespace, by pairs, in the place of its own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Host(control).serve(privilege, nics)
