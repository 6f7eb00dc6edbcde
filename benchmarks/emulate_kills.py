"""SIGKILL of ``bench emulate`` at random moments: nothing of it may stay on the interfaces.

``python -m benchmarks.emulate_kills [TIMES]``, or :func:`kill_emulate`. Each time the command joins
two interfaces in a network namespace made for it; it is killed somewhere
between its start and its end, a quarter of the times while it takes the interfaces and a quarter
while it gives them back; some time later everything must be as before: flags, offloads, IPv6,
qdiscs, links, journals, sockets, processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instruments.emulators import rtnetlink, settings

ROOT = Path(__file__).resolve().parents[1]
_WITHIN_S = 10.0
_IN_NAMESPACE = "--in-namespace"


def kill_emulate(
    times: int = 50, tick: Callable[[], None] = lambda: None, seed: int = 7
) -> dict[str, Any]:
    """Kill it ``times`` times; ``tick`` is called after each.

    Returns:
        ``times``; ``moments``: how often it was killed in each; ``left``: what was not as before,
        by kind, with counts (empty is good); ``longest_s``: from the kill until everything was
        as before.

    Raises:
        subprocess.CalledProcessError: there are no network namespaces here.
    """
    enter = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    words = [sys.executable, "-m", "benchmarks.emulate_kills", _IN_NAMESPACE, str(times), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*enter, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found: dict[str, Any] = {}
        for line in process.stdout:
            found = json.loads(line)
            tick()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return found


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, stdout=subprocess.DEVNULL)


def _state(folder: Path) -> dict[str, Any]:
    """Everything that might be left, by kind."""
    names = [link.name for link in rtnetlink.links()]
    return {
        "links": sorted((link.name, link.master) for link in rtnetlink.links()),
        "flags": {name: settings.flags(name) & 0x181 for name in names},
        "offloads": {name: settings.features(name) for name in names if name != "lo"},
        "ipv6": {name: settings.ipv6_disabled(name) for name in names},
        "qdiscs": {
            link.name: [qdisc for qdisc in rtnetlink.qdiscs(link.index) if qdisc.handle]
            for link in rtnetlink.links()
        },
        "journals and sockets": sorted(path.name for path in folder.iterdir()),
        "processes": _processes(str(folder)),
    }


def _processes(mark: str) -> list[str]:
    """Processes of the emulator: they carry the state folder in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        pid = path.parent.name
        try:
            ours = f"TELEMED_BENCH_STATE={mark}".encode() in path.read_bytes().split(b"\0")
        except OSError:
            continue
        if ours and int(pid) != os.getpid():
            found.append(pid)
    return found


_MOMENTS = ("starting", "taking", "running", "giving back")


def _trial(
    folder: Path, draw: random.Random, moment: str, ready_s: float
) -> tuple[list[str], float, float]:
    """Kill it once: what is different, how long until nothing was, when it was ready."""
    before = _state(folder)
    words = ["--left", "fa", "--right", "fb", "--delay", "5ms", "--loss", "1%", "--json"]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", "from bench.cli import main; main()", "emulate", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TELEMED_BENCH_STATE": str(folder)},
    )
    assert process.stdout is not None
    if moment == "starting":
        time.sleep(draw.uniform(0.0, ready_s))
    elif moment == "taking":  # a journal is the first thing to appear
        while not any(folder.iterdir()) and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(draw.uniform(0.0, 0.1))
    else:
        process.stdout.readline()
        ready_s = time.monotonic() - began
        time.sleep(draw.uniform(0.0, 1.0))
        if moment == "giving back":
            process.terminate()
            time.sleep(draw.uniform(0.0, 0.1))
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    process.communicate()
    if process.returncode != -signal.SIGKILL and moment != "giving back":
        raise RuntimeError(f"bench emulate ended by itself with {process.returncode}")
    while (now := _state(folder)) != before and time.monotonic() - killed < _WITHIN_S:
        time.sleep(0.01)
    different = [kind for kind in before if now[kind] != before[kind]]
    return different, time.monotonic() - killed, ready_s


def _main(times: int, seed: int) -> None:
    """In a namespace of its own already."""
    draw = random.Random(seed)
    for end, peer in (("pa", "fa"), ("pb", "fb")):
        _ip(f"link add name {end} type veth peer name {peer}")
    for name in ("pa", "pb", "fa"):
        _ip(f"link set dev {name} up")
    time.sleep(2.5)  # until IPv6 has settled
    moments: Counter[str] = Counter()
    left: Counter[str] = Counter()
    longest_s, ready_s = 0.0, 2.0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number in range(times):
            moment = _MOMENTS[-1 - number % len(_MOMENTS)]
            different, took_s, ready_s = _trial(folder, draw, moment, ready_s)
            moments[moment] += 1
            left.update(different)
            longest_s = max(longest_s, took_s)
            found = {"moments": moments, "left": left, "longest_s": round(longest_s, 3)}
            print(json.dumps({"times": number + 1, **found}), flush=True)


if __name__ == "__main__":
    if _IN_NAMESPACE in sys.argv:
        _main(int(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(kill_emulate(int(sys.argv[1]) if len(sys.argv) > 1 else 50)))
