"""A device at the far ends of two links whose patient side is fed by a simulated supply.

As ``tests/benches/local/nic_guest.py``; here the process that is the device's patient side lives
only while the supply's output is on, and so does its connection to the bench's alarm adapter.
Prints what came of a session with a power cut as JSON.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import sys
import threading
import time

OUTPUT = 2


def main() -> None:
    from bench.benches.local import kernel

    kernel.enter_own_namespaces()
    from pathlib import Path

    from pyroute2 import IPRoute

    from bench.benches.local.carriage.credentials import identities
    from bench.benches.local.topology import Topology
    from tests.benches.local.nic_guest import device

    folder = Path(sys.argv[1])
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        kernel.interface_up(control, "lo")
    topology = Topology(IPRoute(), 2, 1)
    profile = monitor()
    own = identities(profile.name)
    switch = mmap.mmap(-1, 1)
    pids = list(device(topology, "doctor", own["doctor"], profile))
    keeper = os.fork()
    if not keeper:
        keep(switch, lambda: device(topology, "patient", own["patient"], profile))
    try:
        session(folder, topology, profile, switch)
    finally:
        os.kill(keeper, signal.SIGTERM)
        os.waitpid(keeper, 0)
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def monitor():
    """A home monitor whose packets need no session that its peer would have to make anew."""
    from dataclasses import replace

    from bench.devices.registry import find_device

    whole = find_device("home-monitor")
    streams = tuple(replace(one, carriage="datagram") for one in whole.streams)
    functions = tuple(name for name in whole.functions if name != "secure-channel")
    return replace(whole, streams=streams, functions=functions)


def keep(switch, make) -> None:
    """The device's power: its processes live while the switch is on."""
    alive: tuple[int, ...] = ()

    def dark() -> None:
        for pid in alive:
            os.kill(pid, 9)
            os.waitpid(pid, 0)

    def end(*_) -> None:
        dark()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        if switch[0] and not alive:
            alive = make()
        elif not switch[0] and alive:
            dark()
            alive = ()
        time.sleep(0.002)


class Wires:
    """From the supply's output to the device, and from the device to the alarm adapter."""

    def __init__(self, sim, switch) -> None:
        self._sim, self._switch = sim, switch
        self.port = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        said = None
        while True:
            on = self._sim.output(OUTPUT)[0] > 4.0
            self._switch[0] = int(on)
            if on and self.port and said is None:
                with contextlib.suppress(OSError):
                    said = socket.create_connection(("127.0.0.1", self.port))
                    said.sendall(b'{"alarm": "network-delay", "priority": "medium", "on": true}\n')
            elif not on and said is not None:
                said.close()
                said = None
            time.sleep(0.002)


def scenario():
    from bench.network.library.parts import usual_links
    from bench.network.scenario import Action, Scenario, Segment, Step

    links = usual_links()
    steps = tuple(
        Step(name, "hold", "within", (Segment(name, lasts, links),))
        for name, lasts in (("before", 0.5), ("cut", 1.3), ("after", 1.0))
    )
    return Scenario("cut", "A cut", steps, (Action("cut", 0.0, "patient", "power-cut:1s"),))


def session(folder, topology, profile, switch) -> None:
    import json

    from bench.benches.base import Nowhere
    from bench.benches.lab import chapters
    from bench.benches.lab.bench import LabBench
    from bench.benches.lab.file import load_bench_file
    from bench.benches.lab.replaying import replay
    from bench.measure.behaviours import measure_behaviour
    from bench.network.library import null_path
    from bench.sessions.recording import Session
    from instruments.simulators.lab import Described, Lab, RunningLab
    from tests.benches.lab.test_powering import FILE

    links = "".join(
        f'[links.{name}]\nleft = {{ name = "{wire.patient_end}" }}\n'
        f'right = {{ name = "{wire.doctor_end}" }}\n'
        for name, wire in zip(("primary", "standby"), topology.wires, strict=True)
    )
    alarms = '[device]\nalarms = "127.0.0.1:0"\nside = "patient"\nwitness = "self-reported"\n'
    with RunningLab(Lab({"supply": Described("power-supply")})) as lab:
        sim = lab.lab.instruments["supply"]
        text = FILE.format(address=lab.resources["supply"], leave_on="false")
        path = folder / "lab.toml"
        path.write_text(text.replace('"100ms"', '"500ms"') + links + alarms)
        wires = Wires(sim, switch)
        with LabBench(path) as bench:
            bench.keep_in(folder)
            wires.port = bench._alarms.port
            recording = bench.run(Session("x", profile, scenario(), 7), Nowhere())
            again = bench.run(Session("x", profile, null_path(0.5), 7), Nowhere())
            described = bench.describe()
        after = sim.output(OUTPUT)[0]
    replayed = replay(load_bench_file(path), folder / chapters.FILE)
    sent = recording.packets.where(tap="patient", direction=1).rows["t_ns"] / 1e9
    measured = measure_behaviour(
        "PRE-1", [recording], profile=profile, confidence=0.95, floor=None, unsound={}
    )
    print(
        json.dumps(
            {
                "events": [
                    [e.t_ns / 1e9, e.side, e.origin, e.name, e.value]
                    for e in recording.events
                    if e.name not in ("instruments", "step")
                ],
                "again": [
                    [e.name, e.value] for e in again.events if e.name not in ("instruments", "step")
                ],
                "sent": [float(t) for t in sent],
                "problems": list(measured.problems),
                "instruments": described["instruments"],
                "after": after,
                "transcript": len(recording.transcript),
                "replayed": {
                    "differences": [one.words() for one in replayed.differences],
                    "left_out": dict(replayed.left_out),
                    "ends": replayed.ends,
                    "sessions": len(replayed.sessions),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
