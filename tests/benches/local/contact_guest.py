"""A device at the far ends of two links, its contacts wired to a box, and the lab bench.

As ``nic_guest.py``; here the stop, an encoder on the drive and an alarm light are wired to a
simulated contact box on a pseudo terminal, and the cells of the shipped laboratory are there, each
instrument served at an address as hardware has. Prints what LOC-1 and, of a healthy device, MOB-1
come to as JSON.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import threading
import time

POLL_NS = 2_000_000
TURN_S = 0.01
STOP, TEST = 0, 1
WHEEL, LAMP = 0, 1


def main(then=None) -> None:
    """``then``: what is done in the place of :func:`session`."""
    from bench.benches.local import kernel

    kernel.enter_own_namespaces()
    from pathlib import Path

    from pyroute2 import IPRoute

    from bench.benches.local.carriage.credentials import identities
    from bench.benches.local.layout import SIDES
    from bench.benches.local.topology import Topology
    from tests.benches.local.nic_guest import device

    folder, defects = Path(sys.argv[1]), sys.argv[2:]
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        kernel.interface_up(control, "lo")
    topology = Topology(IPRoute(), 2, 1)
    own = identities("telesurgery-robot")
    button = mmap.mmap(-1, 1)
    told, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pids = [
        pid
        for side in SIDES
        for pid in device(topology, side, own[side], robot(), wired(button, told, defects))
    ]
    told.close()
    try:
        (then or session)(folder, topology, button, heard, defects)
    finally:
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def robot():
    """A robot that costs little and minds no late host: few streams, wide limits."""
    from dataclasses import replace

    from bench.devices.registry import find_device

    whole = find_device("telesurgery-robot")
    periods = {"control": 0.05, whole.watched: 0.01}
    streams = tuple(
        replace(
            one,
            option=one.option if one.name in periods else "off",
            period_s=periods.get(one.name, one.period_s),
        )
        for one in whole.streams
    )
    patient = ("command_delay_s", "command_jitter_s", "command_silence_alarm_s",
               "command_silence_s", "command_age_s", "link_silence_s")  # fmt: skip
    limits = {**whole.limits, **dict.fromkeys(patient, 10.0), "safe_state_silence_s": 30.0}
    return replace(whole, streams=streams, limits=limits)


def wired(button, told, defects):
    """Builds the device, its stop moved by ``button``; its contacts go to ``told``."""
    from bench.devices import registry

    def build(profile, side, port):
        profile = profile.with_defects(dict.fromkeys(defects, 0.0))
        if side == "doctor":
            return registry.build(profile, side, port)
        contact, signal = port.contact, port.signal

        def tell(then):
            def call(now_ns, name, value):
                if name in ("motion", "alarm-signal"):
                    on = value if name == "motion" else value["on"]
                    which = "" if name == "motion" else value["alarm"]
                    told.send(f"{name} {int(on)} {which}".encode())
                then(now_ns, name, value)

            return call

        port.contact, port.signal = tell(contact), tell(signal)
        endpoint = registry.build(profile, side, port)
        was = 0

        def look(now_ns):
            nonlocal was
            if button[0] != was:
                was = button[0]
                endpoint.operate(now_ns, "local-stop" if was else "local-release")
            port.at(now_ns + POLL_NS, look)

        port.at(POLL_NS, look)
        return endpoint

    return build


class Wires:
    """From the device to the box's inputs, and from its outputs to the device."""

    def __init__(self, sim, button, heard) -> None:
        self._sim, self._button, self._heard = sim, button, heard
        self._turning = threading.Event()
        sim.on_output = self._set
        for work in (self._turn, self._hear):
            threading.Thread(target=work, daemon=True).start()

    def _set(self, number, level) -> None:
        if number == STOP:
            self._button[0] = level
        else:
            self._sim.drive(LAMP, level)

    def _turn(self) -> None:
        level = 0
        while True:
            self._turning.wait()
            level = 1 - level
            self._sim.drive(WHEEL, level)
            time.sleep(TURN_S)

    def _hear(self) -> None:
        while True:
            text = self._heard.recv(200).decode()
            if not text:
                return
            name, on, alarm = text.split(" ")
            if name == "motion":
                self._turning.set() if on == "1" else self._turning.clear()
            elif alarm == "network-delay":
                self._sim.drive(LAMP, int(on))


WIRED = """
{links}
[arming]
by = "test"
at = {now}
holds = "1h"
phantom_in_place = true
area_clear = true
hardware_stop_tested = true
[instruments.box]
kind = "contact-box"
address = "{port}"
manufacturer = "telemed-bench"
model = "contact-box-1"
reply = "5s"
inputs.wheel = {{ number = 0, kind = "motion", settle = "0s" }}
inputs.lamp = {{ number = 1, kind = "light" }}
outputs.stop = {{ number = 0, safe = 1 }}
outputs.lamp-test = {{ number = 1, safe = 0 }}
[contacts]
motion = "wheel"
still = "500ms"
stop = "stop"
alarm_test = "lamp-test"
dark = "300ms"
[contacts.lights.network-delay]
input = "lamp"
priority = "medium"
"""


def moving():
    """The modem's cell is taken away quickly."""
    from bench.network.library.cells import CELL_CHANGE
    from bench.network.library.parts import usual_links
    from bench.network.scenario import CellChange, Scenario, Segment, Step

    links = usual_links()
    fade = CellChange("fade", 4.0, link="primary", within_s=3.5, every_s=0.25, step_db=6.0)
    steps = (
        Step("settle", "settle", "within", (Segment("settle", 1.0, links),)),
        Step(CELL_CHANGE, CELL_CHANGE, "at", (fade,), judged=False),
        Step("recover", "recover", "within", (Segment("recover", 0.5, links),)),
    )
    return Scenario(CELL_CHANGE, "A change of cell", steps)


def session(folder, topology, button, heard, defects) -> None:
    import datetime
    import json

    from bench.benches.base import Nowhere
    from bench.benches.lab.bench import LabBench
    from bench.benches.lab.chapters import FILE
    from bench.benches.lab.file import load_bench_file
    from bench.benches.lab.replaying import replay
    from bench.measure.behaviours import expected_alarms, measure_behaviour
    from bench.network.library import find_scenario
    from bench.sessions.recording import Session
    from instruments.rf import testers
    from instruments.simulators.lab import Described, Lab, RunningLab
    from tests.support.bench_files import served

    testers.EVERY_S = 0.01  # simulated testers count their polls
    device = robot()
    links = "".join(
        f'[links.{name}]\nleft = {{ name = "{wire.patient_end}" }}\n'
        f'right = {{ name = "{wire.doctor_end}" }}\n'
        for name, wire in zip(("primary", "standby"), topology.wires, strict=True)
    )
    hardware = ('packets = "virtual"', 'packets = "links"')
    bound = ("[roles]", '[roles]\ncontacts = "box"')
    with (
        RunningLab(Lab({"box": Described("contact-box")})) as lab,
        served(folder, hardware, bound) as (path, _),
    ):
        sim = lab.lab.instruments["box"]
        port = lab.resources["box"].removeprefix("ASRL").removesuffix("::INSTR")
        now = datetime.datetime.now(datetime.UTC).isoformat()
        path.write_text(path.read_text() + WIRED.format(links=links, now=now, port=port))
        Wires(sim, button, heard)
        with LabBench(path) as bench:
            bench.keep_in(folder)
            time.sleep(1.0)
            recording = bench.run(Session("x", device, find_scenario("local-stop"), 7), Nowhere())
            described = bench.describe()
            moved = None if defects else bench.run(Session("x", device, moving(), 7), Nowhere())
        after = sim.outputs
    again = replay(load_bench_file(path), folder / FILE)

    def measured(requirement, one):
        return measure_behaviour(
            requirement, [one], profile=device, confidence=0.95, floor=None, unsound={},
            alarm=(expected_alarms(one) or (None,))[0],
        )  # fmt: skip

    found, other = measured("LOC-1", recording), measured("LIM-1", recording)
    answer = {
        "value": found.value,
        "problems": list(found.problems),
        "other": list(other.problems),
        "limit": device.declares["local_stop_within_s"],
        "events": [
            [e.t_ns / 1e9, e.origin, e.name, e.value]
            for e in recording.events
            if e.name in ("action", "motion", "stop-button", "alarm-signal", "contacts-wired")
        ],
        "instruments": described["instruments"],
        "outputs_after": list(after),
        "replayed": {
            "differences": [one.words() for one in again.differences],
            "left_out": dict(again.left_out),
            "ends": again.ends,
            "box": again.messages["box"],
            "sessions": len(again.sessions),
        },
    }
    if moved is not None:
        mobile = measured("MOB-1", moved)
        (change,) = [e.value for e in moved.events if e.name == "cell-change"]
        answer["mobile"] = {
            "value": mobile.value,
            "problems": list(mobile.problems),
            "details": mobile.details,
            "change": change,
            "motion": [e.value for e in moved.events if e.name == "motion"],
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
