"""A device whose radio hop lies between the lab bench's two taps, in a namespace of its own.

The device's sides run in two further namespaces (as in nic_guest.py). The hop is two more pairs of
interfaces, whose far ends an emulator of the test's own joins: the stand-in for a real radio. It
receives in the simulated laboratory's world what the generator emits there. Prints what came of it
as JSON.
"""

from __future__ import annotations

import os
import socket
import sys

from bench.benches.local import kernel

MOST_BPS = 2e6
HOP = ("air-p", "air-d")
"""Interfaces of the bench that lead to the radio; the radio's own end in an "r"."""


def main() -> None:
    kernel.enter_own_namespaces()
    from pathlib import Path

    from nic_guest import device
    from pyroute2 import IPRoute

    from bench.benches.local.carriage.credentials import identities
    from bench.benches.local.layout import SIDES
    from bench.benches.local.topology import Topology
    from bench.devices.registry import find_device
    from instruments.emulators.interfaces import offloads_off

    folder = Path(sys.argv[1])
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        kernel.interface_up(control, "lo")
    with IPRoute() as ipr:
        topology = Topology(ipr, 2, 1)
        for name in HOP:
            ipr.link("add", ifname=name, kind="veth", peer={"ifname": f"{name}r"})
            for end in (name, f"{name}r"):
                ipr.link("set", index=ipr.link_lookup(ifname=end)[0], state="up")
                offloads_off(end)
        robot = without_video(find_device("tele-ultrasound-robot"))
        own = identities(robot.name)
        pids = [pid for side in SIDES for pid in device(topology, side, own[side], robot)]
        try:
            session(folder, topology, robot)
        finally:
            for pid in pids:
                os.kill(pid, 9)
                os.waitpid(pid, 0)


def without_video(robot):
    """The robot with the streams that this host carries beside all the rest."""
    from dataclasses import replace

    streams = (
        replace(s, option=s.option if s.rate_bps < MOST_BPS else "off") for s in robot.streams
    )
    return replace(robot, streams=tuple(streams))


def bench_file(folder, topology):
    """The shipped laboratory around the two links, the first with the radio between."""
    import datetime

    from tests.support.bench_files import written

    first, second = topology.wires
    links = f"""
[links.primary]
left = {{ name = "{first.patient_end}" }}
right = {{ name = "{first.doctor_end}" }}
[links.primary.radio]
left = {{ name = "{HOP[0]}" }}
right = {{ name = "{HOP[1]}" }}
[links.standby]
left = {{ name = "{second.patient_end}" }}
right = {{ name = "{second.doctor_end}" }}
[arming]
by = "test"
at = {datetime.datetime.now(datetime.UTC).isoformat()}
holds = "1h"
phantom_in_place = true
area_clear = true
hardware_stop_tested = true
"""
    path = written(
        folder,
        ('packets = "virtual"', 'packets = "links"'),
        ('modem = "modem" ', "# "),  # the device has no cells here
    )
    path.write_text(path.read_text() + links)
    return path


class Radio:
    """The stand-in for the device's radio: two interfaces, and what it receives between them."""

    def __init__(self, laboratory, profile):
        import time

        from bench.network.impairment import CLEAN
        from instruments.emulators.base import LinkPlan
        from instruments.emulators.forwarder import Options
        from instruments.emulators.userspace import UserspaceEmulator

        self._laboratory, self._radio = laboratory, profile.radio
        self._emulator = UserspaceEmulator(Options())
        clean = ((0, CLEAN),)
        plan = LinkPlan("air", f"{HOP[0]}r", f"{HOP[1]}r", clean, clean, 3)
        self._emulator.start([plan], time.monotonic_ns())
        self._state = None
        self.heard = []

    def follow(self, stopped):
        """Receive what is there, until it is stopped."""
        import time

        from bench.network.impairment import CLEAN, DIRECTIONS
        from bench.network.interference import impairment_of
        from bench.network.radio.exposure import WANTED, receiver_of
        from bench.network.radio.receivers import receive
        from bench.network.radio.state import Emission
        from bench.network.radio.world import Arrival, arrivals

        wanted = Arrival(WANTED, Emission(self._radio.frequency_hz, self._radio.wanted_dbm))
        while not stopped.wait(0.005):
            lab = self._laboratory._running.lab
            came = arrivals(lab.world, lab.state(), "device:1")
            reception = receive(receiver_of(self._radio), (wanted, *came))
            state = impairment_of(reception, CLEAN, self._radio)
            if state != self._state:
                self._state = state
                self.heard.append((time.monotonic_ns(), state.up))
                for direction in DIRECTIONS:
                    self._emulator.change("air", direction, state)

    def close(self):
        self._emulator.stop()


def session(folder, topology, robot) -> None:
    import json
    import threading
    from dataclasses import replace

    from bench.benches.base import BenchError, Nowhere
    from bench.benches.lab.bench import LabBench
    from bench.benches.lab.file import load_bench_file
    from bench.measure.coexisting import verified
    from bench.measure.floor import measure_floor
    from bench.measure.kpi import evidence_problems
    from bench.measure.needs import needs_between
    from bench.measure.stimulus import achieved, health_problems
    from bench.network.library import null_path
    from bench.network.library.coexistence import one_exposure
    from bench.network.radio.exposure import Exposure
    from bench.sessions.instruments import radios_between
    from bench.sessions.recording import Session

    strong = Exposure("noise40", 3.5e9, -40.0, 40e6)
    asked = Session("x", robot, one_exposure(robot.radio, strong, 1.5, 1.0), 7)
    found = {}
    file = load_bench_file(bench_file(folder, topology))
    outside = {name: replace(link, radio=None) for name, link in file.links.items()}
    with LabBench(replace(file, links=outside)) as bench:
        try:
            bench.run(asked, Nowhere())
        except BenchError as error:
            found["outside"] = str(error)
    stopped = threading.Event()
    with LabBench(file) as bench:
        radio = Radio(bench.laboratory, robot)
        following = threading.Thread(target=radio.follow, args=(stopped,))
        following.start()
        try:
            null = bench.run(Session("x", robot, null_path(1.0), 7), Nowhere())
            before = len(radio.heard)
            recording = bench.run(asked, Nowhere())
            t0_ns = bench._packets.t0_ns
        finally:
            stopped.set()
            following.join()
            radio.close()
    floor = measure_floor(null)
    due = next(one for one in recording.schedule.exposures if one.exposures)
    alone = recording.schedule.window("baseline")
    after = recording.schedule.windows[-1]
    spans = {
        "alone": (alone.start_ns, alone.end_ns),
        "exposed": (due.start_ns, due.end_ns),
        "after": (due.end_ns + 1_000_000_000, after.end_ns),
    }
    problems = [*evidence_problems(recording), *health_problems(recording)]
    found |= {
        "bench": [recording.bench, recording.backend],
        "radios": sorted(radios_between(recording)),
        "problems": problems,
        "stimulus": [s.reason for s in achieved(recording, floor) if not s.ok],
        "uncertainty_db": None if problems else verified(recording, due),
        "needs": {name: needs_between(recording, *span).broken for name, span in spans.items()},
        "passed": {
            name: [
                len(flow) for way in (0, 1)
                for flow in [recording.packets.where(link=0, direction=way,
                                                     tap="patient" if way == 0 else "doctor")]
                for flow in [[t for t in flow.column("t_ns") if span[0] <= t < span[1]]]
            ]
            for name, span in spans.items()
        },
        "down_ns": [t - t0_ns for t, up in radio.heard[before:] if not up],
        "up_ns": [t - t0_ns for t, up in radio.heard[before:] if up],
        "start_ns": due.start_ns,
        "end_ns": due.end_ns,
        "commanded": [
            [c.link, c.t_ns, c.commanded_ns] for c in recording.changes if c.t_ns >= due.start_ns
        ],
        "reception": due.reception is None,
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
