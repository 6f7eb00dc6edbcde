"""Random faults of the simulated laboratory, and the verdicts that coexistence runs end in.

``./run proof --only coexistence [--runs 1250]``. Each run takes the shipped laboratory with one
random fault of one instrument, exposes a healthy or a defective device to one signal, and judges
COEX-1. Every second fault is there from the start, or from a command on; the others strike once the
laboratory is taken, from a random message of the session on. A fault may end in the right verdict,
or in INCONCLUSIVE or ERROR with a reason that names the instrument; never in a wrong verdict. One
run in five has no fault: its verdict must be definite and right. Runs are kept in
``results/coexistence.jsonl`` as they end, so that an interrupted proof goes on.
"""

from __future__ import annotations

import multiprocessing
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from bench.benches.base import BenchError, Nowhere
from bench.benches.lab.bench import LabBench
from bench.benches.lab.file import SHIPPED, BenchFile, load_bench_file
from bench.devices.profile import Coexistence, DeviceProfile
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.assess import assess
from bench.judge.verdict import Outcome
from bench.measure.stimulus import achieved
from bench.network.library import coexistence
from bench.network.library.places import Visit
from bench.requirements.loader import Catalogue, load_catalogue
from bench.sessions.recording import Session
from benchmarks.kept import Kept, state_of
from instruments.simulators.faults import Answer, Fault, FaultPlan, Subject, read_fault

TOP = Path(__file__).resolve().parents[1]
CONTROLS_EVERY = 5
PROCESSES = 2

DEVICES: tuple[dict[str, float], ...] = ({}, {"deaf-radio": 1.0}, {"radio-rescans": 1.5})
"""The defects of the devices under test; without any it must pass, with one fail."""

STREAMS = ("control", "haptic-command", "ultrasound", "video-4k")
USE_S, RECOVERY_S = 2.2, 1.0

COMMANDS = {
    "generator": (
        "", "*IDN?", "*OPC?", "SYST:ERR?", "FREQ", "FREQ?", "POW", "POW?", "OUTP", "OUTP?",
    ),
    "analyser": ("", "*IDN?", "*OPC?", "SYST:ERR?", "FREQ:CENT", "BAND:RES", "INIT", "TRAC?"),
    "attenuator": ("", "MN?", "SETATT", "ATT?"),
    "supply": ("", "*IDN?", "SYST:ERR?", "OUTP", "OUTP?"),
}  # fmt: skip
"""What a fault may be tied to; without a command it strikes whatever its kind strikes."""

EXPOSING = ("generator", "analyser", "attenuator")
"""Who is spoken to while signals are presented."""
MESSAGES = 90
"""So many each of these gets at least in a session, after the laboratory is taken."""


def fault_of(rng: random.Random) -> tuple[str, str]:
    """An instrument and a fault of it, as ``--fault`` takes it."""
    role = rng.choice(list(COMMANDS))
    kind, values = rng.choice(
        (
            ("delay", ("50ms", "1.5s")), ("late", ("", "20ms", "1.2s")), ("half", ("",)),
            ("mute", ("",)), ("drop", ("",)), ("refuse", ("", "1s")), ("reboot", ("", "1s")),
            ("stuck", ("",)), ("error", ("", "-222", "-410")),
            ("identity", ("", "Rohde&Schwarz,SMB100A,0,0")),
            ("drift", ("0.02", "-0.02", "0.3", "-0.3", "5", "-5")),
            ("no-result", ("", "NAN", "1e9")),
        )
    )  # fmt: skip
    value = rng.choice(values)
    text = f"{kind}={value}" if value else kind
    command = rng.choice(COMMANDS[role])
    if command and kind not in ("identity", "stuck", "refuse"):
        text += f"@{command}"
    count = rng.choice(("", "x1", "x2", "x5"))
    return role, text + (count if kind not in ("refuse", "drift") else "")


def late_fault_of(rng: random.Random) -> tuple[str, str, int]:
    """A fault of an instrument that exposes, and how many messages of the session come before."""
    while True:
        role, text = fault_of(rng)
        # Connections are not made again without cause: what strikes them would never show.
        if role in EXPOSING and not text.startswith(("identity", "refuse")):
            return role, text, rng.randrange(MESSAGES)


class Later(FaultPlan):
    """A fault that strikes from a message on.

    Args:
        fault: that it is.
        spared: messages that are carried out before.
    """

    def __init__(self, fault: Fault, spared: int) -> None:
        super().__init__((fault,))
        self._spared = spared
        self.struck = False

    def answer(self, subject: Subject, message: bytes | None) -> Answer:
        """Carry a message out, or not, as the plan has it."""
        if message is not None and self._spared > 0:
            self._spared -= 1
            outcome = subject.handle(message)
            return Answer(outcome, outcome.response)
        return super().answer(subject, message)

    def _take(self, name: str, *what: Any) -> Fault | None:
        found = super()._take(name, *what)
        self.struck = self.struck or found is not None
        return found


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run ended. ``fault`` empty: a control. ``defect`` empty: a healthy device.

    ``after``: messages of the session before the fault; None: it was there from the start.
    ``struck`` False: the session came to its end before it did.
    """

    number: int
    fault: str
    defect: str
    verdict: str
    reason: str
    after: int | None = None
    struck: bool = True

    @property
    def right(self) -> bool:
        """Whether the verdict is definite, and that of this device."""
        return self.verdict == ("FAIL" if self.defect else "PASS")

    @property
    def cause_named(self) -> bool:
        """Whether the reason of a verdict that is not definite names the struck instrument."""
        role = self.fault.partition(":")[0]
        definite = self.verdict in ("PASS", "FAIL")
        return definite or re.search(rf"\b{re.escape(role)}\b", self.reason) is not None

    @property
    def wrong(self) -> str:
        """``false PASS`` or ``false FAIL``; empty where it is neither."""
        if self.verdict == "PASS" and self.defect:
            return "false PASS"
        return "false FAIL" if self.verdict == "FAIL" and not self.defect else ""


def device_under_test() -> DeviceProfile:
    """The tele-ultrasound robot with few streams and one signal, 3 dB or more from any doubt."""
    robot = find_device("tele-ultrasound-robot")
    assert robot.coexistence is not None
    signal = robot.coexistence.environment[0].at_level(-76.0)
    streams = tuple(
        s if s.name in STREAMS else replace(s, option="not-in-this-session") for s in robot.streams
    )
    return replace(robot, streams=streams, coexistence=Coexistence(RECOVERY_S, (signal,)))


@cache
def laboratory() -> BenchFile:
    """The shipped laboratory with short deadlines, read once per process."""
    with tempfile.TemporaryDirectory() as folder:
        for file in SHIPPED.parent.glob("simulated-lab*.toml"):
            text = file.read_text(encoding="utf-8")
            text = text.replace('reply = "5s"', 'reply = "1s"')
            text = text.replace('connect = "5s"', 'connect = "1s"')
            (Path(folder) / file.name).write_text(text, encoding="utf-8")
        found = load_bench_file(Path(folder) / SHIPPED.name)
    return replace(found, path=SHIPPED)


@cache
def catalogue() -> Catalogue:
    """Read once per process."""
    return load_catalogue()


def drawn(number: int) -> tuple[str, str, int | None, dict[str, float]]:
    """Role and fault, messages before it (None: from the start), and defects of a run.

    The role is empty for a control.
    """
    rng = random.Random(f"coexistence {number}")
    role, text = fault_of(rng)
    defects = rng.choice(DEVICES)
    if not number % CONTROLS_EVERY:
        return "", "", None, defects
    if rng.random() < 0.5:
        return *late_fault_of(rng), defects
    return role, text, None, defects


def carry_out(number: int) -> Ended:
    """One run; everything about it follows from its number."""
    role, text, after, defects = drawn(number)
    defect = next(iter(defects), "")
    device = device_under_test().with_defects(defects)
    file = laboratory()
    if not role:
        return Ended(number, "", defect, *judged(device, file, number))
    fault = read_fault(text, field="faults", file=SHIPPED)
    if after is not None:
        later = Later(fault, after)
        told = judged(device, file, number, (role, later))
        return Ended(number, f"{role}: {text}", defect, *told, after, later.struck)
    one = replace(file.described[role], faults=(fault,))
    file = replace(file, described={**file.described, role: one})
    return Ended(number, f"{role}: {text}", defect, *judged(device, file, number))


def judged(
    device: DeviceProfile, file: BenchFile, seed: int, late: tuple[str, Later] | None = None
) -> tuple[str, str]:
    """Verdict and reason of COEX-1 for one session in a laboratory.

    ``late``: an instrument, and a fault that it has once the bench is entered.
    """
    assert device.radio is not None
    assert device.coexistence is not None
    scenario = coexistence.coexistence(
        Visit(use_s=USE_S, radio=device.radio, environment=device.coexistence.environment,
              recovery_s=RECOVERY_S)
    )  # fmt: skip
    try:
        with LabBench(file) as bench:
            if late is not None:
                simulation = bench.laboratory.simulation
                assert simulation is not None
                simulation.served[late[0]].plan = late[1]
            recording = bench.run(Session("proof", device, scenario, seed), Nowhere())
    except (BenchError, InputError) as error:
        return str(Outcome.ERROR), str(error).splitlines()[0]
    except Exception as error:
        return "CRASH", f"{type(error).__name__}: {error}"
    found = assess(
        catalogue().get("COEX-1"), device, "", [recording],
        stimulus={recording.session_id: achieved(recording, None)}, floor=None, planned_n=1,
        test="proof", documents=catalogue().requirements.values(),
    )  # fmt: skip
    return str(found.verdict), found.reason


# ---- many of them ----------------------------------------------------------------------------


def state() -> str:
    """A digest of everything that decides how a run ends."""
    own = Path(__file__).relative_to(TOP).as_posix()
    return state_of(TOP, (own, "bench", "instruments"))


def kept_in(path: Path) -> Kept[int, Ended]:
    """The runs that ended before, in this state of the project."""
    return Kept(path, state(), lambda entry: Ended(**entry), lambda ended: ended.number)


def figures(ended: Iterable[Ended]) -> dict[str, Any]:
    """What the runs come to."""
    runs = list(ended)
    controls = [one for one in runs if not one.fault]
    faulty = [one for one in runs if one.fault]
    late = [one for one in faulty if one.after is not None]
    right = sum(one.right for one in controls)
    return {
        "runs": len(runs),
        "with_fault": len(faulty),
        "false_pass": [asdict(one) for one in runs if one.wrong == "false PASS"],
        "false_fail": [asdict(one) for one in runs if one.wrong == "false FAIL"],
        "crashed": [asdict(one) for one in runs if one.verdict == "CRASH"],
        "without_cause": [asdict(one) for one in runs if not one.reason],
        "cause_not_named": [asdict(one) for one in faulty if not one.cause_named],
        "late_fault": len(late),
        "late_fault_that_did_not_strike": sum(not one.struck for one in late),
        "verdicts_with_late_fault": dict(Counter(one.verdict for one in late if one.struck)),
        "verdicts_with_fault": dict(Counter(one.verdict for one in faulty)),
        "right_with_fault": sum(one.right for one in faulty),
        "controls": len(controls),
        "controls_right": right,
        "controls_not_right": [asdict(one) for one in controls if not one.right],
    }


def faults(count: int, tick: Callable[[], None]) -> dict[str, Any]:
    """So many runs, of which those are left out that ended before; the figures of all."""
    path = TOP / "results" / "coexistence.jsonl"
    kept = kept_in(path)
    for _ in range(len(kept.done)):
        tick()
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        wanted = [number for number in range(count) if number not in kept.done]
        for ended in pool.imap_unordered(carry_out, wanted):
            kept.keep(ended)
            tick()
    return figures(kept.done[number] for number in range(count))
