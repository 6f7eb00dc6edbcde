"""What this host can do, what that means for each bench, and the remedy for what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from bench.benches.leftovers import clean_leftovers
from bench.units import show_duration

__all__ = ["Finding", "best_bench", "check_host", "clean_leftovers"]

Status = Literal["ok", "degraded", "missing"]
Facts = Mapping[str, Any]

_PROBE_WITHIN_S = 30.0
_PUNCTUAL_NS = 500_000
_AWAKE = {
    "latency": ", processors kept from idle states",
    "busy": ", processors kept busy so that they do not halt",
}
_LEAST_MEMORY_BYTES = 1 << 30
_LEAST_CORES = 2
_UML = ("linux.uml", "linux")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``figure``: what was found; ``meaning``: for which bench it matters and how; ``remedy``: what
    to do, empty where all is well.
    """

    what: str
    status: Status
    figure: str
    meaning: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """All fields; keys are always present."""
        return asdict(self)


@cache
def facts(probe: str) -> Facts:
    """What a probe of :mod:`bench.benches.local.probe` finds here (asked once per process)."""
    if sys.platform != "linux":
        return {"refused": f"{platform.system()} has no network namespaces"}
    command = [sys.executable, "-m", "bench.benches.local.probe", probe]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_PROBE_WITHIN_S,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        return dict(json.loads(done.stdout)[probe])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        return {"refused": f"the probe failed: {error}"}


def check_host() -> list[Finding]:
    """Look at everything the benches use."""
    spaces = facts("namespaces")
    return [
        _privileges(spaces),
        _interfaces(spaces),
        _capture(spaces),
        _netem(spaces),
        _netem_proof(),
        _clocks(facts("clocks")),
        _scheduling(facts("clocks")),
        _memory(),
        _cores(),
        _instruments(),
    ]


def best_bench() -> tuple[str, str]:
    """``local`` where packets can really move here, else ``virtual``; and why."""
    spaces = facts("namespaces")
    for finding in (_privileges(spaces), _interfaces(spaces), _capture(spaces)):
        if finding.status == "missing":
            return "virtual", f"{finding.what}: {finding.figure}"
    how = "netem" if spaces.get("netem") == "" else "the userspace emulator"
    return "local", f"real packets through {how}, as {spaces['privilege']}"


def _privileges(spaces: Facts) -> Finding:
    what, meaning = "privileges", "local bench: namespaces need root or a user namespace"
    privilege = spaces.get("privilege")
    if privilege is None:
        return Finding(
            what,
            "missing",
            str(spaces.get("refused", "refused")),
            meaning,
            "run as root, or allow user namespaces (sysctl user.max_user_namespaces; on Ubuntu "
            "kernel.apparmor_restrict_unprivileged_userns=0)",
        )
    return Finding(what, "ok", privilege, meaning)


def _tried(spaces: Facts, key: str, what: str, meaning: str, remedy: str) -> Finding:
    problem = spaces.get(key, "not tried: no privileges")
    if problem:
        return Finding(what, "missing", problem, meaning, remedy)
    return Finding(what, "ok", "works", meaning)


def _interfaces(spaces: Facts) -> Finding:
    return _tried(
        spaces,
        "interfaces",
        "namespaces and veth",
        "local bench: both sides and the links between them",
        "a kernel with CONFIG_NET_NS and CONFIG_VETH; in a container, capability NET_ADMIN",
    )


def _capture(spaces: Facts) -> Finding:
    return _tried(
        spaces,
        "capture",
        "packet capture",
        "local bench: the taps (packet socket with a receive ring)",
        "a kernel with CONFIG_PACKET; in a container, capability NET_RAW",
    )


def _netem(spaces: Facts) -> Finding:
    meaning = "local bench: kernel netem as emulator; without it the userspace emulator"
    problem = spaces.get("netem", "not tried: no privileges")
    if problem:
        return Finding(
            "netem",
            "degraded",
            problem,
            meaning,
            "load the kernel module sch_netem, or go on with the userspace emulator",
        )
    return Finding("netem", "ok", "works", meaning)


def _netem_proof() -> Finding:
    meaning = "proofs only: netem in User-Mode Linux, where this kernel has none"
    found = next((path for name in _UML if (path := shutil.which(name))), None)
    if found is None:
        remedy = "apt-get install user-mode-linux (Debian, Ubuntu)"
        return Finding("netem in User-Mode Linux", "degraded", "not installed", meaning, remedy)
    return Finding("netem in User-Mode Linux", "ok", found, meaning)


def _clocks(clocks: Facts) -> Finding:
    what, meaning = "clocks", "local bench: noise floor of delays and reaction times"
    if "refused" in clocks:
        return Finding(what, "missing", clocks["refused"], meaning, "use the virtual bench")
    figure = (
        f"resolution {clocks['resolution_ns']} ns, wake-up late by "
        f"{show_duration(clocks['wake_p50_ns'] / 1e9)} (p50), "
        f"{show_duration(clocks['wake_p99_ns'] / 1e9)} (p99)"
        f"{_AWAKE.get(clocks.get('awake', ''), '')}"
    )
    if clocks["wake_p99_ns"] > _PUNCTUAL_NS:
        return Finding(what, "degraded", figure, meaning, "stop other work on this host")
    return Finding(what, "ok", figure, meaning)


def _scheduling(clocks: Facts) -> Finding:
    what, meaning = "scheduling", "local bench: devices and emulator keep time beside other work"
    granted = clocks.get("scheduling", "normal")
    if granted == "fifo":
        return Finding(what, "ok", "real-time", meaning)
    remedy = "run as root, or allow real-time priority (ulimit -r 2)"
    return Finding(what, "degraded", granted, meaning, remedy)


def _memory() -> Finding:
    meaning = "all benches: a session is held in memory until it is written"
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return Finding("memory", "degraded", "unknown", meaning, "see to 1 GiB of free memory")
    figure = f"{available / (1 << 30):.1f} GiB free"
    if available < _LEAST_MEMORY_BYTES:
        return Finding("memory", "degraded", figure, meaning, "free 1 GiB")
    return Finding("memory", "ok", figure, meaning)


def _cores() -> Finding:
    meaning = "local bench: two or more keep devices and emulator apart"
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    figure = f"{count} usable"
    if count < _LEAST_CORES:
        return Finding("processor cores", "degraded", figure, meaning, "give it two cores")
    return Finding("processor cores", "ok", figure, meaning)


def _instruments() -> Finding:
    what, meaning = "instruments (pyvisa)", "lab bench only: VISA instruments"
    if importlib.util.find_spec("pyvisa") is None:
        remedy = "pip install pyvisa pyvisa-py, when there are instruments"
        return Finding(what, "degraded", "not installed", meaning, remedy)
    return Finding(what, "ok", "installed", meaning)
