"""The host process of a fidelity bench: lives in its own namespace, carries trials out.

It ends with the main process: by a parent-death signal, and when its control socket closes.
"""

from __future__ import annotations

import os
import signal
import traceback
from multiprocessing.connection import Connection

from bench.benches.fidelity.stage import Stage
from bench.benches.local.emulation import netem_problem
from bench.benches.local.protocol import Backend
from bench.errors import InputError
from bench.network.impairment import Impairment


def refused(backend: Backend, impairment: Impairment) -> str:
    """Why that emulator does not do this impairment on this kernel; empty where it does."""
    if backend == "userspace":
        return ""
    from instruments.emulators.base import LinkPlan
    from instruments.emulators.netem import probe, refused_plan

    plan = LinkPlan("", "", "", ((0, impairment),), (), 0)
    found = refused_plan([plan], capability=probe())
    return "" if found is None else found.problem


def serve(control: Connection, privilege: str) -> None:
    """Carry out one request after the other until the main process is gone.

    Requests: ``("trial", Trial)``, answered by ``("seen", Seen)``; ``("refused", backend,
    impairments)``, answered by ``("refusals", texts)``. A failure is ``("error", text)`` or
    ``("input", InputError's arguments)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stage = Stage()
        control.send(("up", {"privilege": privilege, "netem": netem_problem(),
                             "kernel": os.uname().release}))  # fmt: skip
    except Exception as error:
        control.send(("refused", f"{type(error).__name__}: {error}"))
        return
    while True:
        try:
            kind, *values = control.recv()
        except EOFError:
            return
        try:
            if kind == "trial":
                control.send(("seen", stage.carry_out(values[0])))
            else:
                backend, impairments = values
                control.send(("refusals", [refused(backend, each) for each in impairments]))
        except InputError as error:
            control.send(("input", (error.problem, error.remedy, error.field, error.value)))
        except Exception:
            control.send(("error", traceback.format_exc()))
