"""wirefilter (Virtual Distributed Ethernet) between the endpoints of ``traffic``."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import traffic
from benchmarks.traffic import Place

PROGRAMS = ("vde_switch", "wirefilter")


def missing() -> str:
    """Why it cannot be measured here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {' and no '.join(absent)} (Debian packages vde-switch and vde-wirefilter)"
    return "" if Path("/dev/net/tun").exists() else "no /dev/net/tun"


@contextlib.contextmanager
def joined(delay_ms: float) -> Iterator[tuple[Place, Place]]:
    """Two places, each at a tap interface of a switch, and wirefilter between the switches.

    Raises:
        RuntimeError: it did not start.
    """
    from pyroute2 import IPRoute

    places = (Place(), Place())
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        quiet = subprocess.DEVNULL
        pipe = subprocess.PIPE  # it ends when its input does
        running.append(subprocess.Popen(command, stdin=pipe, stdout=quiet, stderr=quiet))

    with tempfile.TemporaryDirectory() as folder:
        try:
            switches = [f"{folder}/left", f"{folder}/right"]
            for switch, name in zip(switches, ("pa", "pb"), strict=True):
                start("vde_switch", "-s", switch, "-t", name)
            with IPRoute() as route:
                for number, (name, place) in enumerate(zip(("pa", "pb"), places, strict=True)):
                    index = _appeared(route, name)
                    route.link("set", index=index, net_ns_pid=place.pid)
                    place.call(traffic.settle, number, False)
            start("wirefilter", "-v", ":".join(switches), "-d", f"{delay_ms:g}")
            time.sleep(0.3)
            if any(process.poll() is not None for process in running):
                raise RuntimeError("wirefilter or vde_switch ended at once")
            yield places
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()
            for place in places:
                place.end()


def _appeared(route: object, name: str, within_s: float = 5.0) -> int:
    """The index of an interface, once it is there."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = route.link_lookup(ifname=name)  # type: ignore[attr-defined]
        if found:
            return int(found[0])
        time.sleep(0.01)
    raise RuntimeError(f"no interface {name} appeared")
