"""The scenario of the three-way test, and its netem run, which happens inside User-Mode Linux.

Prints one line ``NETEM-RESULT {json}``; ``test_three_way.py`` judges it.
"""

import base64
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import traceback
import zlib
from dataclasses import replace

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE))]
if __name__ == "__main__":
    # Where this kernel saves the old registers only (uml_boot.py), what numpy holds in the new
    # ones is lost whenever another process gets its turn.
    os.environ["NPY_DISABLE_CPU_FEATURES"] = (
        "AVX F16C FMA3 AVX2 X86_V3 X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
        "AVX512_ICL AVX512_SPR AVX512_KNL AVX512_KNM"
    )

import numpy as np  # noqa: E402

from bench.benches.fidelity.stage import Stage, Watch  # noqa: E402
from bench.benches.fidelity.trial import Trial  # noqa: E402
from bench.measure.fidelity import in_stall, passage  # noqa: E402
from bench.measure.fidelity_cells import Cell  # noqa: E402
from bench.network.impairment import CLEAN, Delay, GilbertElliott, Impairment, bernoulli  # noqa: E402
from bench.studies.certify_grid import lay  # noqa: E402

SEED = 11
TRIES = 7
AGAIN = {"constant": (5, 0.4), "kept": (1, 1.0), "bernoulli": (2, 0.4), "bursts": (1, 0.4),
         "rate": (2, 0.6)}  # fmt: skip
"""So often these cells are seen once more, for so many s of packets: the host does not hold up
the same packet twice. All in one trial, which costs one lead."""
SIZES = (64, 200, 700, 1400)
NAMES = ("sent_ns", "size", "seen", "seen_ns", "stalls_ns")

# The guest's one processor also sends: its sleeper goes before the sender, and wakes more seldom.
WATCH = Watch(every_ns=2_000_000, stall_ns=250_000, priority=45)

NULL = Cell("null", "path", ((0.0, CLEAN),), 1000, 0.8)


def _cell(name, kind, impairment, pps, seconds):
    return Cell(name, kind, ((0.0, impairment),), pps, seconds, tail_s=0.08)


CELLS = (
    _cell("constant", "path", Impairment(Delay(0.020)), 500, 0.8),
    _cell("uniform", "jitter", Impairment(Delay(0.020, "uniform", 0.005), "allow"), 1000, 2.5),
    _cell("normal", "jitter", Impairment(Delay(0.020, "normal", 0.002), "allow"), 1000, 2.5),
    _cell(
        "paretonormal",
        "jitter",
        Impairment(Delay(0.020, "paretonormal", 0.004), "allow"),
        1000,
        2.5,
    ),
    _cell("kept", "jitter", Impairment(Delay(0.020, "normal", 0.002)), 200, 2.5),
    _cell("bernoulli", "loss", Impairment(Delay(0.005), loss=bernoulli(0.05)), 1000, 1.5),
    _cell("bursts", "loss", Impairment(Delay(0.005), loss=GilbertElliott(0.02, 0.25)), 1000, 2.5),
    _cell("rate", "rate", Impairment(rate_bps=6e6, queue_s=3.0, queue_packets=1400), 1000, 1.2),
)

SHOWN = (
    *CELLS,
    *(
        replace(cell, seconds=AGAIN[cell.name][1])
        for cell in CELLS
        for _ in range(AGAIN.get(cell.name, (0,))[0])
    ),
)
"""All that must be seen: each cell as a whole, then some of them again."""


def laid_out(cells):
    """The null path and these cells, one after the other, with sizes mixed."""
    laid = lay((NULL, *cells))
    rng = np.random.default_rng(SEED)
    laid.sizes[:] = rng.choice(SIZES, len(laid.sizes))
    return laid


def trial_of(backend, laid, lead_ns):
    """The trial of that scenario."""
    return Trial(
        backend, "to-doctor", laid.changes, laid.send_ns, laid.sizes, laid.end_ns, SEED, lead_ns
    )


DROPPED = "the emulator dropped packets"


DROPPED = "the emulator dropped packets"


def problem(seen, count):
    """Why a trial cannot be used at all: not as a whole what was sent and seen."""
    report = seen.report.direction("primary", "to-doctor")
    found = {
        "not ready in time": seen.late_start,
        "the clock was stepped": seen.clock_step_s > 0.5e-3,
        "a tap missed packets": seen.tap_drops or len(seen.near) != count,
        DROPPED: report.emulator_drops,
        "packets were under way at the end": report.in_flight,
    }
    return next((text for text, there in found.items() if there), "")


STALLED = 0.6  # of a cell's packets


def kept_time(laid, place, passed, stalls_ns):
    """Whether the host ran while most of the cell's packets arrived, and of the null path's."""
    for own in (laid.places[0], place):
        seen_ns = passed.part(own.first, own.end).seen_ns
        if not len(seen_ns) or in_stall(stalls_ns, seen_ns).mean() > STALLED:
            return False
    return True


def attempts(backend, run, lead_ns, tries=TRIES):
    """Trials until all of ``SHOWN`` was seen while the host kept time, or tries are used up.

    ``run`` carries a trial out. A host that was not ready in time gets twice as long the next
    time. Answers, for each usable trial, what it played (places in ``SHOWN``), those of them that
    count, and what was seen; then the cells that still lack, with the last reason.
    """
    lacking, usable, reason = list(range(len(SHOWN))), [], ""
    for _ in range(tries):
        played = tuple(lacking)
        laid = laid_out([SHOWN[number] for number in played])
        seen = run(trial_of(backend, laid, lead_ns))
        reason = problem(seen, len(laid.send_ns))
        if seen.late_start:
            lead_ns *= 2
        if reason:
            continue
        passed = passage(seen.near, seen.far, len(laid.send_ns))
        good = [
            number
            for number, place in zip(played, laid.places[1:], strict=True)
            if kept_time(laid, place, passed, seen.stalls_ns)
        ]
        if good:
            usable.append((played, good, passed, seen.stalls_ns))
        reason = "the host stalled"
        lacking = [number for number in lacking if number not in good]
        if not lacking:
            break
    return usable, sorted({SHOWN[number].name for number in lacking}), reason


def packed(array):
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode()


def unpacked(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.int64)


def insmod():
    (root,) = glob.glob(f"/usr/lib/uml/modules/{os.uname().release}/kernel")
    for name in (
        "drivers/net/veth",
        "net/sched/sch_netem",
        "net/sched/sch_ingress",
        "net/sched/act_mirred",
        "net/sched/cls_matchall",
    ):
        subprocess.run(["insmod", f"{root}/{name}.ko"], check=True)


def prefer_the_kernel():
    """netem's packets leave from ``ksoftirqd``, which has to wait for nothing here."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/comm") as file:
            if file.read().startswith("ksoftirqd"):
                os.sched_setscheduler(int(name), os.SCHED_FIFO, os.sched_param(50))


def main():
    signal.alarm(240)
    insmod()
    prefer_the_kernel()
    stage = Stage(WATCH)
    usable, lacking, reason = attempts("netem", stage.carry_out, lead_ns=5_000_000_000)
    stage.close()
    found = []
    for played, good, passed, stalls_ns in usable:
        arrays = (passed.sent_ns, passed.size, passed.seen, passed.seen_ns, stalls_ns)
        found.append(
            {
                "played": played,
                "good": good,
                **{name: packed(array) for name, array in zip(NAMES, arrays, strict=True)},
            }
        )
    return {"usable": found, "lacking": lacking, "reason": reason}


if __name__ == "__main__":
    try:
        answer = main()
    except BaseException:
        answer = {"failed": traceback.format_exc()}
    print(f"\nNETEM-RESULT {json.dumps(answer)}", flush=True)
