"""Random faults in random programs of the drivers: ``./run proof --only instruments [--faults N]``.

Each unit is one seed: a driver, some actions with it, and up to two faults of its simulator (none
in every tenth, the control). Every number that the driver gives, and every setting that it accepts,
is compared with what the simulated instrument really has at that moment. Counted:

* ``right``    it was so;
* ``refused``  an InstrumentError, or a reading without a number;
* ``wrong``    another number than the true one, or a setting that does not hold: must be 0;
* ``unsafe``   the safe state was reported and does not hold: must be 0;
* ``other``    another exception, which no caller is told to expect: must be 0.

Left out is the fault ``drift``: an instrument that measures wrongly and says nothing is not found
by its driver, but by the verification of the path. Each unit is kept in
``results/instrument_faults.jsonl`` as it ends; what was kept of another state of the project is
thrown away, so an interrupted proof goes on where it was.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from bench.network.radio.state import Cell, Emission
from bench.network.radio.world import Path, World
from benchmarks.kept import Kept, state_of
from instruments.files import KINDS
from instruments.modem.modem import Modem
from instruments.rf.levels import Path as PortPath
from instruments.rf.levels import Port, permit
from instruments.safety import SafeState
from instruments.simulators.faults import read_fault
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.errors import Excess, InstrumentError
from instruments.visa.readings import Reading
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript, check_entries

TOP = FilePath(__file__).resolve().parents[1]
WHERE = TOP / "results" / "instrument_faults.jsonl"
GHZ = 2.44e9
WORLD = World(
    emitters={
        "carrier": Emission(GHZ, -40.0),
        "cell": Emission(2.14e9, -60.0, 18e6, cell=Cell(0xABC01, 17, 5, 300, 1)),
    },
    paths=(Path("carrier", "one:1", ((0.0, 3.0),)), Path("cell", "one:1", ((0.0, 10.0),))),
)

Got = list[tuple[str, object, object]]
"""What the driver gave, by name, and what is true."""


@dataclass(frozen=True)
class Subject:
    """A driver, its simulator, what may be done with it, and which commands faults may strike."""

    kind: str
    simulator: Described
    identity: Identity
    act: Callable[[Any, Any, random.Random], Got]
    commands: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    end: str = "\n"
    safe: Callable[[Any], bool] | None = None


def taken(name: str, reading: Reading, true: object) -> Got:
    """A reading that has a number, with what it should be."""
    return [(name, reading.number(), true)]


def generator(one: Any, sim: Any, rng: random.Random) -> Got:
    what = rng.choice(("frequency_hz", "level_dbm", "read", "load", "arb", "on", "off"))
    if what == "frequency_hz":
        one.frequency_hz = float(rng.randrange(1_000_000, 6_000_000)) * 1e3
        return [(what, one.frequency_hz, sim.number("frequency", 1))]
    if what == "level_dbm":
        value = rng.randrange(-400, -100) / 4
        one.level_dbm = value
        return [(what, value, sim.number("level", 1))]
    if what == "read":
        return [(what, one.level_dbm, sim.number("level", 1))]
    if what == "load":
        one.load("wifi20")
        return [(what, "wifi20" in str(sim.get("waveform", 1)), True)]
    if what == "arb":
        one.load("wifi20")
        one.arb = "on"
        return [(what, True, sim.get("arb", 1))]
    if what == "off":
        one.switch_off()
        return [(what, False, sim.get("rf", 1))]
    if hasattr(type(one), "modulation"):
        one.modulation = "off"
    one.arb = "off"
    allowed = permit("one", -20.0, 0.0, (PortPath(Port("input", 30.0), 0.0),), {})
    one.switch_on(allowed, modulated=False)
    return [(what, True, sim.get("rf", 1))]


def analyser(one: Any, sim: Any, rng: random.Random) -> Got:
    what = rng.choice(("centre", "resolution", "peak", "peak", "trace", "highest"))
    if what == "centre":
        value = GHZ + rng.randrange(-4, 5) * 1e6
        one.centre_hz, one.span_hz = value, 20e6
        return [(what, value, sim.number("centre")), (what, 20e6, sim.number("span"))]
    if what == "resolution":
        one.resolution_hz = 100e3
        return [(what, 100e3, sim.resolution_hz)]
    if what == "peak":
        values = [reading.number() for reading in one.peak()]
        true = max(zip(sim.trace(), sim.frequencies(), strict=True))
        return list(zip(("level", "frequency"), values, true, strict=True))
    if what == "trace":
        return [(what, one.levels_dbm(), tuple(sim.trace()))]
    highest = one.highest().number()
    return [(what, highest, max(sim.trace()))]


def attenuator(one: Any, sim: Any, rng: random.Random) -> Got:
    if rng.random() < 0.5:
        one.attenuation_db = value = rng.randrange(361) / 4
        return [("set", value, sim.radio().attenuations_db["one:1"])]
    return [("read", one.attenuation_db, sim.radio().attenuations_db["one:1"])]


def switch(one: Any, sim: Any, rng: random.Random) -> Got:
    letter, port = rng.choice("ABCD"), rng.choice((1, 2))
    one.connect(letter, port)
    return [("connect", port, sim.radio().positions[f"one:{letter}"])]


def supply(one: Any, sim: Any, rng: random.Random) -> Got:
    what = rng.choice(("voltage_v", "on", "off", "voltage", "current"))
    if what == "voltage_v":
        one.voltage_v = value = rng.randrange(120) / 10
        return [(what, value, sim.number("volts", 2))]
    if what in ("on", "off"):
        (one.switch_on if what == "on" else one.switch_off)()
        return [(what, what == "on", sim.get("output", 2))]
    reading = one.voltage() if what == "voltage" else one.current()
    return taken(what, reading, sim.output(2)[what == "current"])


def scope(one: Any, sim: Any, rng: random.Random) -> Got:
    sim.edges_s = {1: 0.0, 2: rng.randrange(1, 40) * 1e-4}
    return taken("latency", one.latency(1, 2, REPLY_S), sim.edges_s[2])


def tester(one: Any, sim: Any, rng: random.Random) -> Got:
    what = rng.choice(("level", "on", "off", "read"))
    if what == "level":
        one.rs_epre_dbm = value = float(rng.randrange(-120, -60))
        return [(what, value, sim.number("level", 1))]
    if what == "on":
        allowed = permit("one", 0.0, 0.0, (PortPath(Port("input", 30.0), 0.0),), {})
        one.switch_on(allowed)
        return [(what, True, sim.adjusted(1))]
    if what == "off":
        one.switch_off()
        return [(what, False, sim.get("cell", 1))]
    return [(what, one.rs_epre_dbm, sim.number("level", 1))]


def modem(one: Modem, sim: Any, rng: random.Random) -> Got:
    heard = sim.serving()
    if rng.random() < 0.5:
        rsrp, _ = one.signal()
        return [("signal", rsrp, float(int(heard.rsrp // 1)))]
    cell = one.look().cells[0]
    return [("cell", cell.pci, 17), ("level", cell.rsrp_dbm, float(round(heard.rsrp)))]


def _rf_off(sim: Any) -> bool:
    return not sim.get("rf", 1)


def _most(sim: Any) -> bool:
    return bool(sim.radio().attenuations_db["one:1"] == 90.0)


REPLY_S = 0.12
RS, KEYSIGHT, MINI = "Rohde&Schwarz", "Keysight Technologies", "Mini-Circuits"
_RCDAT = ("SETATT", "ATT?", "MN?", "SN?")
_LEVELS = {"limits": {"voltage_v": (0.0, 12.0), "current_a": (0.0, 1.0)}, "output": 2}
SUBJECTS = {
    "smw": Subject(
        "rohde-schwarz-smw", Described("signal-generator", "smw"), Identity(RS, "SMW200A"),
        generator, ("FREQ", "FREQ?", "POW", "POW?", "OUTP1", "OUTP1?", "POW:OFFS?",
                    "BB:ARB:WAV:SEL?", "BB:ARB:STAT?", "SYST:ERR?", "*IDN?"), safe=_rf_off,
    ),
    "mxg": Subject(
        "keysight-mxg", Described("signal-generator", "mxg"), Identity(KEYSIGHT, "N5182B"),
        generator, ("FREQ", "FREQ?", "POW", "POW?", "OUTP", "OUTP?", "POW:OFFS?", "OUTP:MOD?",
                    "RAD:ARB?", "SYST:ERR?", "*IDN?"), safe=_rf_off,
    ),
    "fsx": Subject(
        "rohde-schwarz-fs", Described("spectrum-analyser", "fsx"), Identity(RS, "FSW-13"),
        analyser, ("FREQ:CENT", "FREQ:CENT?", "FREQ:SPAN?", "BAND?", "INIT", "*OPC?", "TRAC?",
                   "CALC:MARK1:MAX", "CALC:MARK1:Y?", "CALC:MARK1:X?", "STAT:QUES:POW?",
                   "CALC:UNIT:POW", "SYST:ERR?", "*IDN?"),
    ),
    "x": Subject(
        "keysight-x", Described("spectrum-analyser", "x-series"), Identity(KEYSIGHT, "N9020B"),
        analyser, ("FREQ:CENT", "FREQ:CENT?", "BAND?", "INIT", "*OPC?", "TRAC?", "CALC:MARK1:MAX",
                   "CALC:MARK1:Y?", "CALC:MARK1:X?", "UNIT:POW", "SYST:ERR?", "*IDN?"),
    ),
    "attenuator": Subject(
        "mini-circuits-rcdat", Described("attenuator"), Identity(MINI, "RCDAT-6000-90"),
        attenuator, _RCDAT, end="", safe=_most,
    ),
    "telnet-attenuator": Subject(
        "mini-circuits-rcdat-scpi", Described("attenuator"), Identity(MINI, "RCDAT-6000-90"),
        attenuator, _RCDAT, end="\r\n", safe=_most,
    ),
    "switch": Subject(
        "mini-circuits-spdt", Described("switch"), Identity(MINI, "RC-4SPDT-A18"),
        switch, ("SETA", "SETB", "SWPORT?", "MN?", "SN?"), {"switches": 4}, "\r\n",
    ),
    "supply": Subject(
        "keysight-e36312a", Described("power-supply"), Identity(KEYSIGHT, "E36312A"),
        supply, ("VOLT", "VOLT?", "OUTP", "OUTP?", "MEAS:VOLT?", "MEAS:CURR?", "SYST:ERR?",
                 "*IDN?"), _LEVELS, safe=lambda sim: sim.output(2) == (0.0, 0.0),
    ),
    "scope": Subject(
        "keysight-infiniivision", Described("oscilloscope"),
        Identity("KEYSIGHT TECHNOLOGIES", "DSO-X 3054T"), scope,
        ("MEAS:DEF", "DIG", "*OPC?", "MEAS:DEL?", "SYST:ERR?", "*IDN?"),
    ),
    "tester": Subject(
        "rohde-schwarz-cmw500-lte", Described("radio-tester"), Identity(RS, "CMW"), tester,
        ("CONF:LTE:SIGN:DL:RSEP:LEV", "CONF:LTE:SIGN:DL:RSEP:LEV?", "SOUR:LTE:SIGN:CELL:STAT",
         "SOUR:LTE:SIGN:CELL:STAT:ALL?", "CONF:LTE:SIGN:RFS:EATT:OUTP?", "SYST:ERR?", "*IDN?"),
        safe=lambda sim: not sim.get("cell", 1),
    ),
    "modem": Subject(
        "modem", Described("modem"), Identity("Quectel", "EG25-G"), modem,
        ("AT+CESQ", "AT+QENG", "AT+CGMM", "AT", "ATE"),
    ),
}  # fmt: skip


def draw_faults(rng: random.Random, subject: Subject) -> tuple[str, ...]:
    """One or two faults as people write them, none of them beyond the driver's power to see."""
    times = [f"{s:g}s" for s in (0.02, REPLY_S * 0.9, REPLY_S * 1.5, REPLY_S * 3)]
    found = []
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(
            ("delay", "late", "half", "mute", "drop", "refuse", "reboot", "stuck", "error",
             "identity", "no-result")
        )  # fmt: skip
        if subject.kind == "modem" and name in ("refuse", "drop", "reboot"):
            name = "mute"
        value = {
            "delay": rng.choice(times),
            "late": rng.choice((*times, "")),
            "refuse": rng.choice((*times, "")),
            "reboot": rng.choice(("0s", *times)),
            "error": rng.choice(("-310", "-221,Settings conflict;really", "-350")),
            "identity": rng.choice(("Another,Instrument,0,0", "nonsense")),
            "no-result": rng.choice(("9.9E37", "NAV", "9.91E+37", "-1")),
        }.get(name, "")
        if name == "no-result" and value == "-1" and subject.kind not in ("mini-circuits-rcdat",):
            value = "INV"  # a plausible number that is none cannot be told apart
        on = "" if name in ("stuck", "identity") else f"@{rng.choice(subject.commands)}"
        count = f"x{rng.choice((1, 1, 2))}"
        found.append(f"{name}{'=' if value else ''}{value}{on}{count}")
    return tuple(found)


class Quick(Session):
    """No deadline is longer than the usual one: a simulator needs no minute to load or sweep."""

    def _exchange(self, text: str, within_s: float | None, answered: bool = True) -> str:
        return super()._exchange(text, None, answered)


@dataclass
class Done:
    """What came of one seed."""

    seed: int
    role: str
    faults: tuple[str, ...]
    right: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def run(seed: int, folder: FilePath, actions: int = 5) -> Done:
    """Carry one seed out."""
    rng = random.Random(seed)
    role = rng.choice(tuple(SUBJECTS))
    subject = SUBJECTS[role]
    faults = () if seed % 10 == 0 else draw_faults(rng, subject)
    done = Done(seed, role, faults)
    kind = subject.simulator
    described = Described(kind.kind, kind.dialect, 0, tuple(read_fault(f) for f in faults))
    transcript = Transcript()
    with RunningLab(Lab({"one": described}, WORLD)) as lab:
        sim = lab.lab.instruments["one"]
        try:
            if subject.kind == "modem":
                port = lab.resources["one"].removeprefix("ASRL").removesuffix("::INSTR")
                with Modem(
                    "one", port, subject.identity, REPLY_S if faults else 5.0, transcript,
                    lock_folder=folder,
                ) as live:  # fmt: skip
                    _work(done, subject, live, sim, rng, actions)
            else:
                with _session(subject, lab, transcript, folder, bool(faults)) as opened:
                    driver: Any = KINDS[subject.kind]
                    one = driver(opened, **subject.options)
                    with SafeState([one]):
                        _check_safe(done, subject, sim, "entered")
                        _work(done, subject, one, sim, rng, actions)
                    _check_safe(done, subject, sim, "left")
        except InstrumentError:
            done.refused += 1
        except Exception as error:
            done.other.append(repr(error))
    check_entries(transcript.entries)
    return done


def _session(
    subject: Subject, lab: RunningLab, transcript: Transcript, folder: FilePath, faulty: bool
) -> Session:
    address = lab.resources["one"] if subject.end else lab.urls["one"]
    reply_s = REPLY_S if faulty else 5.0
    where = Resource("one", address, subject.identity, subject.end, subject.end, 5.0, reply_s)
    dialect = KINDS[subject.kind].dialect
    return Quick(where, transcript, dialect, lock_folder=folder, sleep=lambda _: None)


def _check_safe(done: Done, subject: Subject, sim: Any, when: str) -> None:
    if subject.safe is not None and not subject.safe(sim):
        done.unsafe.append(when)


def _work(
    done: Done, subject: Subject, one: Any, sim: Any, rng: random.Random, actions: int
) -> None:
    for _ in range(actions):
        try:
            got = subject.act(one, sim, rng)
        except Excess:  # the driver's own refusal: not while RF is on
            continue
        except InstrumentError:
            done.refused += 1
            continue
        for name, value, true in got:
            if _same(value, true):
                done.right += 1
            else:
                done.wrong.append(f"{name}: {value!r}, true is {true!r}")


def _same(value: object, true: object) -> bool:
    if isinstance(value, tuple) and isinstance(true, tuple):
        return len(value) == len(true) and all(map(_same, value, true))
    if isinstance(value, int | float) and isinstance(true, int | float):
        return abs(value - true) <= 1e-6 * max(1.0, abs(true))
    return value == true


def summed(found: list[Done]) -> dict[str, Any]:
    """The figures of many seeds."""
    faulty = [one for one in found if one.faults]
    controls = [one for one in found if not one.faults]
    return {
        "runs": len(found),
        "with_faults": len(faulty),
        "right": sum(one.right for one in faulty),
        "refused": sum(one.refused for one in faulty),
        "wrong": [f"seed {one.seed}: {text}" for one in found for text in one.wrong],
        "unsafe": [f"seed {one.seed}: {text}" for one in found for text in one.unsafe],
        "other": [f"seed {one.seed}: {text}" for one in found for text in one.other],
        "controls": len(controls),
        "controls_refused": sum(one.refused > 0 for one in controls),
        "by_fault": dict(Counter(f.partition("@")[0].partition("=")[0].partition("x")[0]
                                 for one in faulty for f in one.faults)),
    }  # fmt: skip


def state_of_the_project() -> str:
    """A digest of everything that decides what a seed comes to."""
    own = FilePath(__file__).relative_to(TOP).as_posix()
    return state_of(TOP, (own, "instruments", "bench/network/radio"))


def proof(count: int, tick: Callable[[], None], path: FilePath = WHERE) -> dict[str, Any]:
    """``count`` seeds, those that are kept already among them."""
    kept = Kept(path, state_of_the_project(), lambda entry: Done(**entry), lambda done: done.seed)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(count):
            if seed not in kept.done:
                kept.keep(run(seed, FilePath(folder)))
            tick()
    return summed([kept.done[seed] for seed in range(count)])
