"""The main process's side of the fidelity bench."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Literal, Self

from bench.benches.base import BenchError
from bench.benches.fidelity.trial import Seen, Trial
from bench.benches.local.lease import Lease
from bench.benches.local.protocol import Backend
from bench.errors import InputError
from bench.network.impairment import Impairment

_UP_WITHIN_S = 20.0
_ANSWER_WITHIN_S = 30.0


class FidelityBench:
    """Trials of an emulator between two network namespaces of this host.

    Holds the lease of the local bench: the two would spoil each other's figures. Enter and leave
    it in the same thread.

    Args:
        backend: ``auto`` takes netem where the kernel has it.
        wait_s: how long to wait for a local bench on this host.
        lease: whether to take the lease; not where the caller holds it already.
    """

    def __init__(
        self,
        backend: Literal["auto", "netem", "userspace"] = "auto",
        *,
        wait_s: float = 0.0,
        lease: bool = True,
    ) -> None:
        self._wanted = backend
        self._lease = Lease(wait_s) if lease else None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed on leaving)
        self.backend: Backend = "userspace"
        self.privilege = ""
        self.kernel = ""

    def __enter__(self) -> Self:
        """Start the host process.

        Raises:
            InputError: another local bench runs; namespaces are not allowed; netem is wanted
                and missing.
            BenchError: the host process does not come up.
        """
        if self._lease is not None:
            self._lease.__enter__()
        try:
            self._start()
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
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._control is not None:
            self._control.close()
        self._errors.close()
        if self._lease is not None:
            self._lease.__exit__(kind, value, trace)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "bench.benches.fidelity"]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                    # Threads of a numerical library would only get in the way of timing.
                    "OPENBLAS_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                },
                start_new_session=True,  # Ctrl-C is for the main process to handle
            )
        self._control = Connection(ours.detach())
        kind, *values = self._answer(_UP_WITHIN_S)
        if kind == "refused":
            raise InputError(
                f"network namespaces are not allowed here ({values[0]})",
                remedy="run as root, allow user namespaces, or use --backend virtual",
                field="--backend",
                value=self._wanted,
            )
        found = values[0]
        self.privilege, self.kernel = found["privilege"], found["kernel"]
        if self._wanted == "netem" and found["netem"]:
            raise InputError(
                f"netem does not work here ({found['netem']})",
                remedy="load or install the kernel module sch_netem, or use userspace",
                field="--backend",
                value="netem",
            )
        if self._wanted == "netem" or (self._wanted == "auto" and not found["netem"]):
            self.backend = "netem"

    def _answer(self, within_s: float) -> tuple[Any, ...]:
        assert self._control is not None
        try:
            if self._control.poll(within_s):
                answer: tuple[Any, ...] = self._control.recv()
                return answer
        except (EOFError, ConnectionResetError):
            self._errors.seek(0)
            words = self._errors.read()[-4000:].decode(errors="replace")
            raise BenchError(f"the host process of the fidelity bench ended\n{words}") from None
        raise BenchError("the host process of the fidelity bench does not answer")

    def _ask(self, within_s: float, *request: object) -> Any:
        assert self._control is not None
        self._control.send(request)
        kind, *values = self._answer(within_s)
        if kind == "input":
            problem, remedy, field, value = values[0]
            raise InputError(problem, remedy=remedy, field=field, value=value)
        if kind == "error":
            raise BenchError(f"a trial failed\n{values[0]}")
        return values[0]

    def run(self, trial: Trial) -> Seen:
        """Carry a trial out.

        Raises:
            InputError: the emulator would distort an impairment.
            BenchError: a process of the bench failed.
        """
        within_s = (trial.lead_ns + trial.end_ns) * 1e-9 + _ANSWER_WITHIN_S
        seen: Seen = self._ask(within_s, "trial", trial)
        return seen

    def refusals(self, impairments: Sequence[Impairment]) -> list[str]:
        """Per impairment, why the emulator does not do it here; empty where it does.

        Raises:
            BenchError: a process of the bench failed.
        """
        found: list[str] = self._ask(_ANSWER_WITHIN_S, "refused", self.backend, tuple(impairments))
        return found
