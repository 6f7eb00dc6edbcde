"""A device at the far ends of two links, its stop and drive wired, and attackers beside it.

As ``contact_guest.py``. Prints what SEC-7 comes to, and what became of copies of packets that
passed and of packets made of them, as JSON.
"""

from __future__ import annotations

import time

from tests.benches.local import contact_guest

HEAD = """title = "Attacked"
packets = "links"
[roles]
contacts = "box"
"""


def copies():
    """Commands, copied and made up; and what the device answers, copied."""
    from bench.network.attacks import Attack
    from bench.network.library.parts import recover, settle, usual_links
    from bench.network.scenario import Scenario, Segment, Step

    links = usual_links()
    step = Step("attacked", "attacked", "beyond", (Segment("attacked", 3.0, links),), judged=False)
    attacks = (
        Attack("replay", count=40, rate_per_s=20.0),
        Attack("inject", count=30, rate_per_s=15.0),
        Attack("replay", stream="control", way="to-doctor", count=9, rate_per_s=5.0),
        Attack("replay", stream="video-3d", way="to-doctor", count=2, rate_per_s=5.0),
    )
    acts = tuple(attack.action("attacked", 0.1) for attack in attacks)
    return Scenario("copies", "Copies", (settle(links), step, recover(links, 1.0)), acts)


def session(folder, topology, button, heard, defects) -> None:
    import datetime
    import json
    from dataclasses import replace

    import numpy as np

    from bench.benches.base import BenchError, Nowhere
    from bench.benches.lab.bench import LabBench
    from bench.measure.behaviours import measure_behaviour
    from bench.measure.kpi import evidence_problems
    from bench.network.library import find_scenario
    from bench.sessions.packets import TAPS
    from bench.sessions.recording import Session
    from instruments.simulators.lab import Described, Lab, RunningLab

    device = contact_guest.robot()
    links = "".join(
        f'[links.{name}]\nleft = {{ name = "{wire.patient_end}" }}\n'
        f'right = {{ name = "{wire.doctor_end}" }}\n'
        for name, wire in zip(("primary", "standby"), topology.wires, strict=True)
    )
    path, refused = folder / "lab.toml", {}
    with RunningLab(Lab({"box": Described("contact-box")})) as lab:
        sim = lab.lab.instruments["box"]
        port = lab.resources["box"].removeprefix("ASRL").removesuffix("::INSTR")
        now = datetime.datetime.now(datetime.UTC).isoformat()
        path.write_text(HEAD + contact_guest.WIRED.format(links=links, now=now, port=port))
        contact_guest.Wires(sim, button, heard)
        with LabBench(path) as bench:
            time.sleep(1.0)
            flooded = bench.run(Session("x", device, find_scenario("flood"), 7), Nowhere())
            if not defects:
                copied = bench.run(Session("x", device, copies(), 7), Nowhere())
                for name in ("tampering", "intrusion"):
                    try:
                        bench.run(Session("x", device, find_scenario(name), 7), Nowhere())
                    except BenchError as error:
                        refused[name] = str(error)
                over_tcp = replace(copies(), name="tcp")
                streams = tuple(replace(s, carriage="mllp") if s.name == "control" else s
                                for s in device.streams)  # fmt: skip
                try:
                    bench.run(
                        Session("x", replace(device, streams=streams), over_tcp, 7), Nowhere()
                    )
                except BenchError as error:
                    refused["tcp"] = str(error)
    found = measure_behaviour(
        "SEC-7", [flooded], profile=device, confidence=0.95, floor=None, unsound={}
    )
    answer = {
        "value": found.value,
        "problems": list(found.problems),
        "details": found.details,
        "flood": [
            [e.name, e.value.get("sent")]
            for e in flooded.events
            if "flood" in e.name or "attack" in e.name
        ],
        "notes": list(flooded.health.notes),
        "counters": {k: v for k, v in flooded.health.counters.items() if "attacker/" in k},
    }
    if not defects:
        rows = copied.packets.rows
        foreign = rows[rows["tap"] == TAPS.index("third-party")]
        watched = device.stream(device.watched).code
        own = {}
        for tap in ("doctor", "patient"):
            table = copied.packets.where(tap=tap, direction=0, link=0, stream=watched)
            numbers = table.column("seq")
            own[tap] = [len(numbers), len(np.unique(numbers))]
        acts = copied.named("attack")
        late = [
            round(float(one["t_ns"] - e.t_ns) / 1e6)
            for e in acts
            if e.value["kind"] == "replay" and e.value["stream"] == watched
            for one in foreign
            if one["seq"] == e.value["seq"] and 0 <= one["t_ns"] - e.t_ns < 600_000_000
        ]
        answer |= {
            "refused": refused,
            "copied_problems": evidence_problems(copied),
            "copied_notes": list(copied.health.notes),
            "copied_counters": {
                k: v for k, v in copied.health.counters.items() if "attacker/" in k
            },
            "acts": [[e.value["kind"], e.value["stream"], e.value["way"]] for e in acts],
            "foreign": [
                [int(one["direction"]), int(one["link"]), int(one["stream"])] for one in foreign
            ],
            "own": own,
            "late_ms": late,
            "watched": watched,
            "control": device.stream("control").code,
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    contact_guest.main(session)
