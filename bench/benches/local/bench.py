"""The local bench: sessions with real packets between network namespaces of this host."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import IO, Any, Literal, Self

from bench.benches.base import BenchError, Sink
from bench.benches.local.beside import beside_problem
from bench.benches.local.carriage import OPENERS
from bench.benches.local.channel import Receiver
from bench.benches.local.collect import Collector
from bench.benches.local.conductor import Conductor
from bench.benches.local.emulation import netem_refusal
from bench.benches.local.layout import LARGEST_PAYLOAD, SIDES, interface
from bench.benches.local.lease import Lease
from bench.benches.local.pcapng import file_header
from bench.benches.local.protocol import Backend, Request, send_request
from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.network.addresses import refuse_address_changes
from bench.network.attacks import attack_of, attacks_of
from bench.network.scenario import Side
from bench.sessions.recording import Recording, Session

CHANNELS = ("tap", "emulator", "patient", "doctor")
"""The processes of a session."""
BETWEEN = ("tap", "emulator")
"""Those between physical interfaces, at whose far ends a real device is."""

_UP_WITHIN_S = 20.0
_READ_BYTES = 1 << 18


class LocalBench:
    """Runs sessions with real packets, one per host at a time.

    Needs Linux with network namespaces, as root or through a user namespace.

    Enter and leave it in the same thread: the kernel ends the host process when the thread that
    started it ends.

    Args:
        backend: what emulates the links; ``auto`` takes netem where the kernel has it.
        wait_s: how long to wait for another local bench on this host.
        build: what makes the device's sides: ``module:function`` or ``file.py:function``, with
            the signature of :func:`bench.devices.registry.build`.
        nics: by link, the physical interfaces (:data:`bench.benches.local.nics.Ends`), of which
            somebody else has custody; nobody plays a device then.

    Attributes:
        nics: as given; may be filled in until the first session.
        t0_ns: start of the last session, CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        backend: Literal["auto", "netem", "userspace"] = "auto",
        *,
        wait_s: float = 0.0,
        build: str = "bench.devices.registry:build",
        nics: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.nics = nics
        self.t0_ns = 0
        self._wanted = backend
        self._build = build
        self._lease = Lease(wait_s)
        self._host: _HostProcess | None = None
        self._backend: Backend | None = None

    @property
    def name(self) -> str:
        """``local``, or ``lab`` with physical interfaces."""
        return "local" if self.nics is None else "lab"

    @property
    def offers(self) -> frozenset[str]:
        """Nothing besides."""
        return frozenset()

    @property
    def backend(self) -> str:
        """``netem`` or ``userspace``; known once entered."""
        return self._backend or self._wanted

    @property
    def privilege(self) -> str:
        """``root`` or ``user namespace``; empty before the bench is entered."""
        return self._host.privilege if self._host else ""

    def __enter__(self) -> Self:
        """Take the lease and start the host process.

        Raises:
            InputError: another local bench runs; namespaces are not allowed; netem is wanted
                and missing.
            BenchError: the host process does not come up.
        """
        self._lease.__enter__()
        try:
            self._running()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop_host()
        self._lease.__exit__(kind, value, trace)

    def _running(self) -> _HostProcess:
        """The host process, started anew where the last one was given up."""
        if self._host is None:
            self._host = _HostProcess((self.nics or {}).values())
            problem = self._host.wait_up()["netem"]
            if self._wanted == "netem" and problem:
                raise InputError(
                    f"netem does not work here ({problem})",
                    remedy="load or install the kernel module sch_netem, or use userspace",
                    field="bench.backend",
                    value="netem",
                )
            wanted = self._wanted
            if wanted == "auto":
                wanted = "userspace" if problem else "netem"
            self._backend = wanted
        return self._host

    def _backend_for(self, session: Session) -> Backend:
        """The backend of one session.

        ``auto`` leaves to the userspace emulator what netem would distort (a hold, for one).
        """
        assert self._backend is not None
        if self._backend == "userspace":
            return "userspace"
        refusal = netem_refusal(session.schedule())
        if refusal is None:
            return "netem"
        if self._wanted == "netem":
            raise refusal
        return "userspace"

    def _drop_host(self) -> None:
        if self._host is not None:
            self._host.kill()
            self._host = None

    def run(self, session: Session, sink: Sink, conductor: Conductor | None = None) -> Recording:
        """Carry a session out; rows and events go to ``sink`` as they come.

        Args:
            session: what is carried out.
            sink: where it is told.
            conductor: commands the changes of a link while the session runs.

        Raises:
            InputError: the device cannot run on this bench, the scenario changes an address, or
                netem, which was asked for, would distort the scenario.
            BenchError: a process of the bench failed; its traceback is in the message.
            OSError: a capture file could not be written.
        """
        able = frozenset[str]() if conductor is None else conductor.able
        nics = () if self.nics is None else _ends(self.nics, session, able)
        if not nics:
            check_device(session.device)
        refuse_address_changes(session.schedule().actions, session.scenario.links)
        host = self._running()
        backend = self._backend_for(session)
        try:
            recording, self.t0_ns = _carry_out(
                host, session, sink, backend, self._build, conductor, nics
            )
            return recording
        except BaseException:
            self._drop_host()
            raise


def check_device(device: DeviceProfile) -> None:
    """Raises ``InputError`` where the device's packets do not fit this bench."""
    for stream in device.active_streams:
        if stream.carriage not in OPENERS:
            raise InputError(
                "the local bench has no such carriage yet",
                remedy=f"use one of {', '.join(OPENERS)}, or --bench virtual",
                field=f"streams.{stream.name}.carriage",
                value=stream.carriage,
            )
        if stream.payload_bytes > LARGEST_PAYLOAD:
            raise InputError(
                f"a payload over {LARGEST_PAYLOAD} bytes does not fit one Ethernet frame",
                remedy="lower the payload and send more packets per period",
                field=f"streams.{stream.name}.payload",
                value=stream.payload_bytes,
            )


def _carry_out(
    host: _HostProcess,
    session: Session,
    sink: Sink,
    backend: Backend,
    build: str,
    conductor: Conductor | None,
    nics: tuple[tuple[str, ...], ...],
) -> tuple[Recording, int]:
    attacked = bool(attacks_of(session.schedule().actions))
    channels: tuple[str, ...] = BETWEEN if nics else CHANNELS
    if attacked:
        channels = (*channels, "attacker")
    with contextlib.ExitStack() as stack:
        near: dict[str, socket.socket] = {}
        far: dict[str, socket.socket] = {}
        for name in channels:
            near[name], far[name] = socket.socketpair()
            stack.enter_context(near[name])
        captures: dict[Side, IO[bytes]] = {}
        with contextlib.ExitStack() as sent:
            for sock in far.values():
                sent.enter_context(sock)
            for side in SIDES:
                path = sink.capture_path(f"{side}.pcapng")
                if path is not None:
                    captures[side] = sent.enter_context(open(path, "wb", buffering=0))
                    captures[side].write(_capture_header(session, side))
            live = None if conductor is None else conductor.live
            request = Request(session, backend, build, channels, tuple(captures), live, nics)
            fds = [sock.fileno() for sock in far.values()]
            fds += [file.fileno() for file in captures.values()]
            send_request(host.control, request, fds)
        bench = "lab" if nics else "local"
        collector = Collector(session, sink, host, near, backend, conductor, bench)
        return collector.run(), collector.t0_ns


def _ends(
    nics: Mapping[str, tuple[str, ...]], session: Session, able: Collection[str]
) -> tuple[tuple[str, ...], ...]:
    """The interfaces of a session's links.

    Args:
        able: the actions that somebody carries out.

    Raises:
        BenchError: it has a link without interfaces, or asks for hands that nobody has here, or
            for attacks that take more than a network.
    """
    missing = [link for link in session.scenario.links if link not in nics]
    if missing:
        raise BenchError(f"no network interfaces are named for the link {', '.join(missing)}")
    attacks = [attack for _, attack in attacks_of(session.schedule().actions)]
    if problem := beside_problem(session.device, attacks):
        raise BenchError(problem)
    asked = {a.name for a in session.scenario.actions if attack_of(a.name) is None}
    actions = sorted(asked - set(able))
    if actions:
        raise BenchError(f"nobody here can do to a real device: {', '.join(actions)}")
    return tuple(nics[link] for link in session.scenario.links)


def _capture_header(session: Session, side: Side) -> bytes:
    names = [interface(side, link) for link in range(len(session.scenario.links))]
    return file_header(names, f"{session.id}, {side} side")


class _HostProcess:
    """The host process, from the main process's side."""

    def __init__(self, nics: Iterable[tuple[str, ...]] = ()) -> None:
        self.privilege = ""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self.control, theirs = socket.socketpair()
        self._receiver = Receiver()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bench.benches.local",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    *(",".join(names) for names in nics),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the main process to handle
            )

    def wait_up(self) -> dict[str, Any]:
        """Wait until it serves.

        Raises:
            InputError: this host does not allow namespaces.
            BenchError: it does not come up.
        """
        self.control.settimeout(_UP_WITHIN_S)
        try:
            while True:
                for message in self.read():
                    if "refused" in message:
                        raise InputError(
                            f"network namespaces are not allowed here ({message['refused']})",
                            remedy="run as root, allow user namespaces, or use --bench virtual",
                            field="--bench",
                            value="local",
                        )
                    self.privilege = message["privilege"]
                    return message
        except TimeoutError:
            raise BenchError("the host process of the local bench does not come up") from None
        finally:
            self.control.settimeout(None)

    def read(self) -> list[dict[str, Any]]:
        """What it says next; waits as long as the control socket's timeout.

        Raises:
            BenchError: it is gone.
        """
        data = self.control.recv(_READ_BYTES)
        if not data:
            raise BenchError(f"the host process of the local bench ended\n{self.last_words()}")
        return [message.data for message in self._receiver.feed(data)]

    def last_words(self) -> str:
        """What it wrote to its standard error."""
        self._errors.seek(0)
        return self._errors.read()[-4000:].decode(errors="replace")

    def kill(self) -> None:
        """End it and, through the kernel, its children."""
        self._process.kill()
        self._process.wait()
        self.control.close()
        self._errors.close()


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        # Threads of a numerical library would only get in the way of timing.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
