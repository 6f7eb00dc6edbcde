"""What a transaction costs against bare PyVISA on loopback: ``python -m benchmarks.visa_overhead``.

Simulated instruments run in processes of their own (``bench simulate instrument``): a generator,
one that a description drives (``kind = "generic"``), and an attenuator over telnet. Each way to ask
goes to them in alternating short blocks, and beside it what bare PyVISA (with pyvisa-py) does for
the same: ``query``, and for a setting ``write`` and ``query``, its socket told to send at once.
Reported: the time of one in the quickest block and in the median one, and the ratio of the
quickest ones: what else runs on the host only adds to a block, and to a longer one more often. The
issue asks for ratios below 3.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyvisa

from instruments.rf.attenuators import Rcdat
from instruments.rf.generators import RohdeSchwarzSmw
from instruments.visa import Identity, Resource, Session, Transcript
from instruments.visa.generic import load_generic
from instruments.visa.readings import number

Way = Callable[[int], None]
"""Asks so many times."""

QUERY = "FREQ?"
GENERIC = """
title = "A generator that a description drives"
family = "signal-generator"
manufacturer = "Rohde&Schwarz"
models = ["SMW200A"]
manual = "R&S SMW200A User Manual"
{compound}
[measurements.frequency_hz]
query = "FREQ?"
unit = "Hz"
source = "SOURce:FREQuency"
"""


@contextmanager
def simulated(kind: str) -> Iterator[str]:
    """A simulated instrument in a process of its own; its VISA resource."""
    words = [sys.executable, "-m", "bench.cli", "simulate", "instrument", kind]
    process = subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["resource"]
    finally:
        process.terminate()
        process.wait(10)


def opened(address: str) -> Any:
    """Bare PyVISA, which else would wait 40 ms between a command and the query behind it."""
    found: Any = pyvisa.ResourceManager("@py").open_resource(
        address, read_termination="\n", write_termination="\n", timeout=5000
    )
    below = found.visalib.sessions[found.session].interface
    below.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def bare(address: str, query: str, setting: str = "") -> Way:
    """``setting``: with ``{n}`` for the number of the round."""
    one = opened(address)

    def ask(count: int) -> None:
        for n in range(count):
            if setting:
                one.write(setting.format(n=n))
            one.query(query)

    return ask


def repeated(one: Callable[[int], object]) -> Way:
    def ask(count: int) -> None:
        for n in range(count):
            one(n)

    return ask


def in_a_step(live: Session, one: Way) -> Way:
    def ask(count: int) -> None:
        with live.step("many"):
            one(count)

    return ask


Ways = dict[str, tuple[str, Way]]
"""By name: what it is compared with, and the way."""


def generator_ways(live: Session, address: str) -> Ways:
    """Queries, measurements and settings of a driver."""
    generator, frequency = RohdeSchwarzSmw(live), RohdeSchwarzSmw.frequency_hz
    command = generator.filled(frequency.set, "1{n:09d}")
    query = repeated(lambda _: live.query(QUERY))
    measure = repeated(lambda _: live.read(QUERY, "frequency", "Hz", number).number())
    setting = repeated(lambda n: setattr(generator, "frequency_hz", 1e9 + n))
    return {
        "bare query": ("bare query", bare(address, QUERY)),
        "query alone": ("bare query", query),
        "query in a step": ("bare query", in_a_step(live, query)),
        "measurement alone": ("bare query", measure),
        "measurement in a step": ("bare query", in_a_step(live, measure)),
        "bare setting and query": (
            "bare setting and query",
            bare(address, generator.filled(frequency.get), command),
        ),
        "setting with read-back": ("bare setting and query", setting),
    }  # fmt: skip


def attenuator_ways(live: Session, address: str) -> Ways:
    """The attenuator, which has no error queue and answers to its settings."""
    attenuator = Rcdat(live)

    def bare_setting(n: int) -> None:
        one.query(f"SETATT={n % 90}")
        one.query("ATT?")

    one = opened(address)
    setting = repeated(lambda n: setattr(attenuator, "attenuation_db", float(n % 90)))
    return {
        "bare RCDAT query": ("bare RCDAT query", bare(address, "ATT?")),
        "RCDAT read": ("bare RCDAT query", repeated(lambda _: attenuator.attenuation_db)),
        "bare RCDAT setting": ("bare RCDAT setting", repeated(bare_setting)),
        "RCDAT setting": ("bare RCDAT setting", setting),
    }


def measure(blocks: int, count: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Time of one in each block, s, by way; and what each is compared with."""
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def session(role: str, address: str, identity: Identity, **rest: Any) -> Session:
            where = Resource(role, address, identity, "\n", "\n", 5.0, 5.0)
            transcript = stack.enter_context(Transcript(folder / f"{role}.jsonl"))
            live = Session(where, transcript, lock_folder=folder, **rest)
            return stack.enter_context(live)

        smw = Identity("Rohde&Schwarz", "SMW200A")
        address = stack.enter_context(simulated("signal-generator"))
        asked = generator_ways(session("generator", address, smw), address)
        for name, compound in (("generic", ""), ("generic, compound", "compound = true")):
            file = folder / f"{name}.toml"
            file.write_text(GENERIC.format(compound=compound), encoding="utf-8")
            kind = load_generic(file)
            address = stack.enter_context(simulated("signal-generator"))
            driver = kind(session(name, address, smw, dialect=kind.dialect))
            query = repeated(lambda _, driver=driver: driver.channel.query(QUERY))
            asked[f"{name}: query alone"] = ("bare query", query)
        address = stack.enter_context(simulated("attenuator"))
        rcdat = Identity("Mini-Circuits", "RCDAT-*")
        live = session("attenuator", address, rcdat, dialect=Rcdat.dialect)
        asked |= attenuator_ways(live, address)
        for block in range(blocks + 1):
            for name, (_, ask) in asked.items():
                begun = time.perf_counter()
                ask(count)
                spent = (time.perf_counter() - begun) / count
                if block:  # the first one warms up
                    found.setdefault(name, []).append(spent)
    return found, {name: against for name, (against, _) in asked.items()}


def figures(blocks: int = 200, count: int = 10) -> dict[str, Any]:
    """Times in s and ratios, by way."""
    found, against = measure(blocks, count)
    quickest = {name: min(times) for name, times in found.items()}
    return {
        "quickest_s": quickest,
        "median_s": {name: statistics.median(times) for name, times in found.items()},
        "ratio": {name: quickest[name] / quickest[bare] for name, bare in against.items()},
    }


def main() -> None:
    """Print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = figures(arguments.blocks, arguments.count)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{'':32} {'quickest':>11} {'median':>9} {'ratio':>7}")
    for name, ratio in found["ratio"].items():
        quickest, median = found["quickest_s"][name] * 1e6, found["median_s"][name] * 1e6
        print(f"{name:32} {quickest:8.0f} us {median:6.0f} us {ratio:7.2f}")


if __name__ == "__main__":
    main()
