"""What this host allows, tried out: ``python -m bench.benches.local.probe`` prints it as JSON.

Every probe runs in a forked child and leaves nothing: its namespaces end with it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.benches.local import kernel
from bench.benches.local.awake import processors_awake
from instruments.emulators import timing

_SLEEPS = 200
_SLEEP_NS = 1_000_000
_ARRIVES_WITHIN_S = 0.5


def probe_namespaces() -> dict[str, Any]:
    """Namespaces, interfaces, capture and netem, as a session would use them.

    Returns:
        ``privilege`` (how; absent where refused), then ``interfaces``, ``capture`` and ``netem``:
        an empty text where it works, else what is in the way.
    """
    found: dict[str, Any] = {}
    try:
        found["privilege"] = kernel.enter_own_namespaces()
    except OSError as error:
        return {"refused": str(error)}
    try:
        from pyroute2 import IPRoute

        from bench.benches.local.emulation import netem_problem
        from bench.benches.local.topology import Topology

        with IPRoute() as ipr:
            topology = Topology(ipr, 1, 0)
            found["interfaces"] = ""
            found["capture"] = _text_of(lambda: _capture(topology))
            topology.close()
            found["netem"] = netem_problem()
    except Exception as error:
        found["interfaces"] = f"{type(error).__name__}: {error}"
    return found


def _text_of(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _capture(topology: Any) -> None:
    """A datagram must show up in the ring of the interface that sends it."""
    import socket

    from bench.benches.local.layout import address

    (ring,) = topology.rings("patient")
    with topology.inside("patient"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"probe", (address(0, "doctor"), 9))
    deadline = time.monotonic() + _ARRIVES_WITHIN_S
    while ring.take() is None:
        if time.monotonic() > deadline:
            raise TimeoutError("a packet that was sent did not show up")
        time.sleep(0.001)


def probe_clocks() -> dict[str, Any]:
    """How punctually this host wakes a process that sleeps 1 ms, kept awake as in a session.

    Returns:
        ``resolution_ns`` of CLOCK_MONOTONIC; ``wake_p50_ns``, ``wake_p99_ns``: from the due time
        to running, over 200 sleeps; ``scheduling``: what the scheduler grants; ``awake``: how the
        processors were kept awake (:func:`~bench.benches.local.awake.processors_awake`).
    """
    timing.set_timer_slack()
    granted = timing.prefer_timing(1)
    late = []
    with processors_awake() as awake:
        for _ in range(_SLEEPS):
            due = time.monotonic_ns() + _SLEEP_NS
            time.sleep(_SLEEP_NS / 1e9)
            late.append(time.monotonic_ns() - due)
    late.sort()
    return {
        "resolution_ns": round(time.clock_getres(time.CLOCK_MONOTONIC) * 1e9),
        "wake_p50_ns": late[len(late) // 2],
        "wake_p99_ns": late[len(late) * 99 // 100],
        "scheduling": granted,
        "awake": awake,
    }


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "namespaces": probe_namespaces,
    "clocks": probe_clocks,
}


def in_child(probe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``probe`` finds in a forked child of its own."""
    parent = os.getpid()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kernel.die_with_parent(parent)
            os.write(write, json.dumps(probe()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return dict(json.loads(text)) if text else {"refused": "the probe ended without an answer"}


def main() -> None:
    """Run the probes named on the command line."""
    print(json.dumps({name: in_child(PROBES[name]) for name in sys.argv[1:]}))


if __name__ == "__main__":
    main()
