"""A device at the far ends of two links, and the lab bench between them, in a namespace of its own.

The interfaces' far ends are in two further namespaces, where the sides of a simulated device run as
processes of their own: nothing of the bench plays them. Prints what came of it as JSON.
"""

from __future__ import annotations

import os
import socket
import sys

from bench.benches.local import kernel

KIND = 0x88B5
"""EtherType for local experiments."""


def main() -> None:
    kernel.enter_own_namespaces()
    from pathlib import Path

    from pyroute2 import IPRoute

    from bench.benches.local.carriage.credentials import identities
    from bench.benches.local.layout import SIDES
    from bench.benches.local.topology import Topology

    folder = Path(sys.argv[1])
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        kernel.interface_up(control, "lo")
    topology = Topology(IPRoute(), 2, 1)
    own = identities("telesurgery-robot")
    pids = [pid for side in SIDES for pid in device(topology, side, own[side])]
    try:
        session(folder, topology)
    finally:
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def device(topology, side, own, profile=None, build=None):
    """One side of the device, and a process that reads what its agent would tell a bench."""
    import time

    from bench.benches.local.agent import Agent
    from bench.benches.local.channel import Sender
    from bench.devices import registry

    near, far = socket.socketpair()
    profile = profile or registry.find_device("telesurgery-robot")
    pid = os.fork()
    if not pid:
        topology.enter(side)
        made = build or registry.build
        now_ns = time.monotonic_ns()
        agent = Agent(profile, side, 2, made, (), Sender(near), now_ns, "normal", own)
        agent.run(600_000_000_000)
        os._exit(0)
    reader = os.fork()
    if not reader:
        near.close()
        while far.recv(1 << 20):
            pass
        os._exit(0)
    near.close()
    far.close()
    return pid, reader


class Flow:
    """Numbered frames beside the device's own, from the patient's side to the doctor's."""

    def __init__(self, topology) -> None:
        self.tell, told = socket.socketpair()
        arrived, self.arrived = socket.socketpair()
        receiver = forked(lambda: receive_until_told(topology, arrived))
        self.arrived.recv(1)
        self.pids = [receiver, forked(lambda: send_until_told(topology, told))]

    def end(self) -> tuple[int, list[int]]:
        """How many were sent, and the numbers that arrived, in order."""
        import json
        import time

        self.tell.sendall(b"end")
        sent = int(self.tell.recv(100))
        time.sleep(1.0)
        self.arrived.sendall(b"end")
        with self.arrived.makefile() as lines:
            numbers = json.loads(lines.readline())
        for pid in self.pids:
            os.waitpid(pid, 0)
        return sent, numbers


def forked(work) -> int:
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def frames_of(topology, side) -> socket.socket:
    topology.enter(side)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
    name = next(name for _, name in socket.if_nameindex() if name != "lo")
    sock.bind((name, KIND))
    return sock


def send_until_told(topology, told) -> None:
    sock, number = frames_of(topology, "patient"), 0
    told.settimeout(0.002)
    while True:
        sock.send(b"\xff" * 6 + bytes(6) + KIND.to_bytes(2) + number.to_bytes(4) + bytes(42))
        number += 1
        try:
            told.recv(10)
        except TimeoutError:
            continue
        told.sendall(str(number).encode())
        return


def receive_until_told(topology, told) -> None:
    import json
    import select

    sock, numbers = frames_of(topology, "doctor"), []
    told.sendall(b"r")
    while told not in (ready := select.select([sock, told], [], [])[0]):
        if sock in ready:
            numbers.append(int.from_bytes(sock.recv(100)[14:18]))
    told.sendall(json.dumps(numbers).encode() + b"\n")


def session(folder, topology) -> None:
    import datetime
    import json
    import threading
    import time

    import numpy as np

    from bench.benches.base import BenchError, Nowhere
    from bench.benches.lab.bench import LabBench
    from bench.devices.registry import find_device
    from bench.errors import InputError
    from bench.measure.floor import measure_floor
    from bench.measure.kpi import evidence_problems
    from bench.measure.pairing import pair
    from bench.measure.stimulus import achieved, health_problems
    from bench.network.impairment import Delay, Impairment
    from bench.network.library import null_path
    from bench.network.scenario import Scenario, Segment, Step, both
    from bench.sessions.packets import PacketTable
    from bench.sessions.recording import Session

    device = find_device("telesurgery-robot")
    links = "".join(
        f'[links.{name}]\nleft = {{ name = "{wire.patient_end}" }}\n'
        f'right = {{ name = "{wire.doctor_end}" }}\n'
        for name, wire in zip(("primary", "standby"), topology.wires, strict=True)
    )
    head = f'title = "Two links"\npackets = "links"\n{links}'
    now = datetime.datetime.now(datetime.UTC).isoformat()
    head += '[device]\nalarms = "127.0.0.1:0"\nside = "patient"\nwitness = "independent"\n'
    arming = (
        f'[arming]\nby = "test"\nat = {now}\nholds = "1h"\nphantom_in_place = true\n'
        "area_clear = true\nhardware_stop_tested = true\n"
    )
    path = folder / "links.toml"
    slow = both(Impairment(delay=Delay(mean_s=0.02)))
    scenario = Scenario(
        "slower",
        "20 ms",
        (
            Step("as-it-is", "hold", "within", (Segment("as-it-is", 1.0),)),
            Step("slower", "delay", "at", (Segment("slower", 2.0, {"primary": slow}),)),
        ),
    )
    asked = Session("x", device, scenario, 7)
    found = {}
    path.write_text(head)
    with LabBench(path) as bench:
        try:
            bench.run(asked, Nowhere())
        except InputError as error:
            found["unarmed"] = error.line()
    path.write_text(head + arming)
    with LabBench(path) as bench:
        try:
            bench.run(Session("x", device, null_path(0.3), 7), Nowhere())
        except BenchError as error:
            found["unconnected"] = str(error)
        flow = Flow(topology)
        with socket.create_connection(("127.0.0.1", bench._alarms.port)) as lamp:
            null = bench.run(Session("x", device, null_path(1.0), 7), Nowhere())

            def light() -> None:
                time.sleep(1.5)
                lamp.sendall(b'{"alarm": "network-delay", "priority": "medium", "on": true}\n')

            threading.Thread(target=light).start()
            recording = bench.run(asked, Nowhere())
        sent, arrived = flow.end()
    floor = measure_floor(null)
    window = recording.schedule.window("slower")
    delays = {}
    for way in (0, 1):
        table = recording.packets.where(link=0, direction=way)
        for stream in np.unique(table.rows["stream"]):
            one = PacketTable(table.rows[table.rows["stream"] == stream])
            flow = pair(one, way, recording.schedule.end_ns)
            inside = (flow.sent_ns >= window.start_ns + 10_000_000) & (flow.received_ns > 0)
            delay = (flow.received_ns - flow.sent_ns)[inside] / 1e9
            if len(delay) > 20:
                delays[f"{way}/{stream}"] = [len(delay), float(np.median(delay))]
    found |= {
        "bench": [recording.bench, recording.backend],
        "delays": delays,
        "alarms": [
            [e.t_ns / 1e9, e.side, e.independent, e.value] for e in recording.named("alarm-signal")
        ],
        "problems": [*evidence_problems(recording), *health_problems(recording)],
        "stimulus": [s.reason for s in achieved(recording, floor) if not s.ok],
        "notes": [*null.health.notes, *recording.health.notes],
        "missing": sorted(set(range(sent)) - set(arrived)),
        "twice": len(arrived) - len(set(arrived)),
        "sent": sent,
        "before_start": [
            recording.health.counters[f"{link}/{way}/before_start"]
            for link in ("primary", "standby")
            for way in ("to-patient", "to-doctor")
        ],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
