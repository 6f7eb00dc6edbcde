"""Runs inside User-Mode Linux: ``bench emulate`` on a kernel that has netem.

Prints one line ``NETEM-RESULT {json}``; ``test_emulate_uml.py`` judges it.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = Path(HERE).parents[1]
sys.path[:0] = [HERE, str(ROOT)]

from test_emulate import all_of, emulating, ends, isolation, settled  # noqa: E402

from instruments.emulators import rtnetlink  # noqa: E402

PLACE = Path("/run/bench")


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


def main():
    signal.alarm(160)
    insmod("drivers/net/veth", "net/sched/sch_netem", "net/sched/sch_ingress")
    insmod("net/sched/act_mirred", "net/sched/cls_matchall")
    (PLACE / "state").mkdir(parents=True, mode=0o700)
    wire = isolation.Wire()
    ends.ip("link set dev fb down")
    before = ends.states()
    result = {"carried": carried(wire), "left": repr(settled(before, PLACE / "state"))}
    result["killed"] = killed(before, with_guardian=False)
    result["killed_both"] = killed(before, with_guardian=True)
    return result


try:
    answer = main()
except BaseException:
    answer = {"failed": traceback.format_exc()}
print(f"\nNETEM-RESULT {json.dumps(answer)}", flush=True)
