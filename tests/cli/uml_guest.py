"""Runs inside User-Mode Linux: commands and a session of the bench on a kernel that has netem.

Prints one line ``NETEM-RESULT {json}``; ``test_emulate_uml.py`` judges it.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from itertools import pairwise
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = Path(HERE).parents[1]
sys.path[:0] = [HERE, str(ROOT)]

if __name__ == "__main__":
    from test_emulate import all_of, emulating, ends, isolation, settled

    from instruments.emulators import rtnetlink

PLACE = Path("/run/bench")
LONG = "2.5s"
HOME = {"HOME": str(PLACE), "TMPDIR": str(PLACE), "XDG_STATE_HOME": str(PLACE)}
STEP_S, SESSION_DELAY_S = 1.5, 0.2


def insmod(*names):
    (root,) = Path("/usr/lib/uml/modules").glob(f"{os.uname().release}/kernel")
    for name in names:
        subprocess.run(["insmod", f"{root}/{name}.ko"], check=True)


def shown():
    """The qdiscs and bridges that somebody has put there."""
    found = [link.name for link in rtnetlink.links() if link.kind == "bridge"]
    for name in ends.ENDS:
        for qdisc in ends.state(name)[4]:
            if qdisc.handle:
                found.append(f"{name} {qdisc.kind}")
    return sorted(found)


def carried(wire):
    """A link with a delay, changed while it runs, ended with packets in it."""
    with emulating(PLACE, "--delay", "20ms", "--backend", "auto") as command:
        ready = command.line()
        there = shown()
        for number in range(20):
            wire.send(number)
        arrived = wire.wait_received(wire.b, all_of(20))
        changes = [command.until("change") for _ in range(2)]
        command.control(ready, {"delay": {"mean_s": 0.7}})
        change = command.until("change")
        for number in range(20, 30):
            wire.send(number)
        time.sleep(0.1)
        code, _, last, err = command.end()
    late = wire.wait_received(wire.b, all_of(10))
    return {
        "ready": ready, "there": there, "changes": [*changes, change], "code": code, "end": last,
        "errors": err, "waited_ns": [at - made for _, made, at, *_ in arrived],
        "drained": [number for number, *_ in late],
    }  # fmt: skip


def long_delay(wire, impatient):
    """Interrupted with packets in a long delay, where ``impatient`` again before they are due."""
    with emulating(PLACE, "--delay", LONG, "--backend", "netem") as command:
        command.line()
        wire.received(wire.b)
        for number in range(40, 50):
            wire.send(number)
        time.sleep(0.1)
        began = time.monotonic()
        command.process.send_signal(signal.SIGINT)
        draining = command.until("draining")
        if impatient:
            time.sleep(0.4)
            began = time.monotonic()
            command.process.send_signal(signal.SIGINT)
        end = command.until("end")
        code, took_s = command.process.wait(20), time.monotonic() - began
    arrived = [number for number, *_ in wire.received(wire.b)]
    return {"draining": draining, "end": end, "code": code, "s": took_s, "arrived": arrived}


def killed(before, with_guardian):
    """SIGKILL with netem in place; what is left, and what was there."""
    with emulating(PLACE, "--delay", "20ms", "--backend", "netem") as command:
        pid = command.line()["pid"]
        there = shown()
        if with_guardian:
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                guardian = b"guardian" in Path(f"/proc/{child}/cmdline").read_bytes()
                # A driver that stands still cannot tidy up in its last moment.
                os.kill(int(child), signal.SIGKILL if guardian else signal.SIGSTOP)
        command.process.kill()
        command.process.wait()
    between = []
    if with_guardian:
        time.sleep(1.0)
        between = shown()
        with emulating(PLACE, "--backend", "netem") as command:
            command.line()
            command.end()
    return {"there": there, "between": between, "left": repr(settled(before, PLACE / "state"))}


def certified():
    """``bench certify-emulator``, and what it says."""
    words = ["certify-emulator", "--backend", "netem", "--quick", "--json"]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "bench.cli", *words],
        capture_output=True, text=True, cwd=PLACE, env={**os.environ, **HOME},
    )  # fmt: skip
    told = json.loads(done.stdout) if done.stdout else None
    return {"code": done.returncode, "told": told, "errors": done.stderr[-3000:]}


def build(profile, side, port):
    """The device's sides, as ever."""
    from bench.devices import registry

    return registry.build(profile, side, port)


def played():
    """A session of the local bench: clean, then with a delay."""
    from bench.benches.local.bench import LocalBench
    from bench.benches.local.layout import SIDES
    from bench.devices.registry import find_device
    from bench.network.impairment import CLEAN, Delay, Impairment
    from bench.network.scenario import Scenario, Segment, Step, both
    from bench.sessions.packets import TAPS
    from bench.sessions.recording import Session

    class Sink:
        def packets(self, rows):
            pass

        event = progress = packets

        def capture_path(self, name):
            return None

    def step(name, impairment):
        links = dict.fromkeys(("primary", "standby"), both(impairment))
        return Step(name, "hold", "within", (Segment("hold", STEP_S, links),))

    os.environ.update(HOME)
    steps = (step("clean", CLEAN), step("delayed", Impairment(Delay(SESSION_DELAY_S))))
    session = Session("uml", find_device("glucose-meter"), Scenario("two", "Two", steps), seed=7)
    with LocalBench("auto", build=f"{__file__}:build") as bench:
        recording = bench.run(session, Sink())
    rows = recording.packets.rows
    stream = recording.device.stream("acknowledgement").code
    one = rows[(rows["stream"] == stream) & (rows["link"] == 0)]
    sent, seen = (one[one["tap"] == TAPS.index(side)] for side in ("doctor", "patient"))
    arrived = dict(zip(seen["seq"].tolist(), seen["t_ns"].tolist(), strict=True))
    return {
        "backend": recording.backend,
        "complete": recording.health.complete,
        "taps": {side: int((rows["tap"] == TAPS.index(side)).sum()) for side in SIDES},
        "changes": [
            [c.t_ns, c.link, c.direction, c.commanded_ns, c.effective_ns]
            for c in recording.changes
        ],
        "delays": [
            [int(row["t_ns"]), arrived[int(row["seq"])] - int(row["t_ns"])]
            for row in sent
            if int(row["seq"]) in arrived
        ],
    }  # fmt: skip


def main():
    signal.alarm(280)
    insmod("drivers/net/veth", "net/sched/sch_netem", "net/sched/sch_ingress")
    insmod("net/sched/act_mirred", "net/sched/cls_matchall")
    (PLACE / "state").mkdir(parents=True, mode=0o700)
    wire = isolation.Wire()
    ends.ip("link set dev fb down")
    before = ends.states()
    result = {"carried": carried(wire), "left": repr(settled(before, PLACE / "state"))}
    result["long"] = [long_delay(wire, impatient) for impatient in (False, True)]
    result["killed"] = killed(before, with_guardian=False)
    result["killed_both"] = killed(before, with_guardian=True)
    spent = [time.monotonic()]
    for name, do in (("played", played), ("certified", certified)):
        result[name] = do()
        spent.append(time.monotonic())
    result["spent_s"] = [after - before for before, after in pairwise(spent)]
    return result


if __name__ == "__main__":
    try:
        answer = main()
    except BaseException:
        answer = {"failed": traceback.format_exc()}
    print(f"\nNETEM-RESULT {json.dumps(answer)}", flush=True)
elif "bench.benches.local.host" in sys.modules:
    # Loaded by the bench's host process for its ``build``. Its processes share one slow processor.
    host = sys.modules["bench.benches.local.host"]
    host.LEAD_NS = host.SLOW_LEAD_NS = 4_000_000_000
