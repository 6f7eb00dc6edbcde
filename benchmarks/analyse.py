"""Two captures in, every metric out: our engine beside what a lab uses today, in one run.

``python -m benchmarks.analyse [--peers PYTHON] [--times 3] [--large] [--json]``: a synthetic pair
with known truth is made; then each way pairs the packets of both files, in a process of its own, in
turn, ours before and after each peer, so that the ratios hold on a busy host. Rates are packets of
both files per second, median of the times; peers get fewer packets, as they are slow. Beside them
stand seconds of processors (user and system, of all processes). Memory is that of all processes
together, each page counted once, from a run of its own. ``--peers``: an interpreter that has dpkt,
scapy and pandas (this project needs none of them); tshark is looked for on the path. What is
missing is named. ``--large`` adds a pair of 22 million packets.

The ways: ``pair`` reads and pairs; ``analyse`` is the whole of ``bench analyse``, every figure of
every stream; ``kept`` (at the sizes only) adds the files' SHA-256, as for an answer that is kept
(``--json``, verdicts); all as the command does it, by two processes where that pays. The peers read
and pair by a dict (dpkt, struct, scapy) or by a join (tshark, pandas). Every figure of ours is
checked against the truth: packets paired, and none wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.synthetic_pair import Truth, write_pair

PEERS = {"dpkt": 40_000, "struct": 150_000, "scapy": 5_000, "pandas": 20_000}
"""Packets sent, of the pair that a peer gets: a few seconds of work."""

OURS = 700_000
LINEAR = (175_000, 700_000, 2_800_000)
LARGE = 11_050_000
SNAP = 96

_PEER = Path(__file__).with_name("analyse_peers.py")

Found = dict[str, Any]


def run_ours(way: str, left: Path, right: Path) -> Found:
    """In this process; imports are not timed, and each way takes only its own."""
    if way == "pair":
        from bench.captures.beside import hands
        from bench.captures.matching import Fate
        from bench.captures.taps import compare, read_captures

        start, used = time.perf_counter(), processor_s()
        many = hands(left, right)
        found = compare(*read_captures(left, right, hands=many), hands=many)
        seconds, used = time.perf_counter() - start, processor_s() - used
        packets = len(found.left) + len(found.right)
        paired = sum(flow.pairs.count(Fate.ARRIVED) for flow in found.flows)
    else:
        from bench.studies.analyse import Question, analyse

        start, used = time.perf_counter(), processor_s()
        result = analyse(left, right, Question(), digests=way == "kept")
        seconds, used = time.perf_counter() - start, processor_s() - used
        told = result.to_json()
        packets = result.left.packets + result.right.packets
        paired = sum(each["received"] for each in told["streams"])
    return {"packets": packets, "paired": paired, "seconds": seconds, "processor_s": used}


def processor_s() -> float:
    """User and system time of this process and of those it has waited for."""
    return sum(os.times()[:4])


def child(command: Sequence[str]) -> Found | str:
    """What a process prints as JSON; or why it could not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1]
    found: Found = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def our_command(way: str, pair: tuple[Path, Path]) -> list[str]:
    return [sys.executable, "-m", "benchmarks.analyse", "--way", way, *map(str, pair)]


def ours(way: str, pair: tuple[Path, Path]) -> Found | str:
    """One of our ways, in a process of its own."""
    return child(our_command(way, pair))


def peak_B(command: Sequence[str]) -> int:  # noqa: N802 (bytes)
    """The most memory that a process and its children had at once, each page counted once.

    Shared pages count in parts (proportional set size), and the parts are looked at one after the
    other: a look during which a process came or went does not count.
    """
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            start, pids = time.perf_counter(), family(process.pid)
            total = sum(proportional_B(pid) for pid in pids)
            if family(process.pid) == pids:
                peak = max(peak, total)
            time.sleep(max(0.005, 2 * (time.perf_counter() - start)))
    return peak


def family(pid: int) -> list[int]:
    """A process and its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return [pid]
    return [pid, *(each for child in children.split() for each in family(int(child)))]


def proportional_B(pid: int) -> int:  # noqa: N802 (bytes)
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def summed(name: str, runs: list[Found | str]) -> Found:
    """The median run of a way."""
    good = [run for run in runs if not isinstance(run, str)]
    if not good:
        return {"way": name, "missing": runs[0]}
    packets = good[0]["packets"]
    return {
        "way": name,
        "packets": packets,
        "paired": good[0]["paired"],
        "packets_per_s": packets / statistics.median(run["seconds"] for run in good),
        "packets_per_processor_s": packets / statistics.median(run["processor_s"] for run in good),
        "runs": len(good),
    }


def measure(folder: Path, peers: str | None, times: int) -> list[Found]:
    """Every way at its size, in turn, ``times`` times."""
    pairs = {name: make(folder, name, size)[0] for name, size in {**PEERS, "ours": OURS}.items()}
    runs: dict[str, list[Found | str]] = {}
    for _ in range(times):
        for way in PEERS:
            for own in ("pair", "analyse"):
                runs.setdefault(own, []).append(ours(own, pairs["ours"]))
            if way == "pandas" and shutil.which("tshark") is None:
                runs.setdefault(way, []).append("tshark is not installed")
            elif peers is not None or way == "struct":
                command = [peers or sys.executable, str(_PEER), way, *map(str, pairs[way])]
                runs.setdefault(way, []).append(child(command))
            else:
                runs.setdefault(way, []).append("no --peers interpreter")
    found = [summed(way, each) for way, each in runs.items()]
    rate = next(each.get("packets_per_s") for each in found if each["way"] == "analyse")
    reading = next(each.get("packets_per_s") for each in found if each["way"] == "pair")
    for each in found:
        if "packets_per_s" in each and each["way"] in PEERS and rate and reading:
            each["times_slower_than_pair"] = reading / each["packets_per_s"]
            each["times_slower_than_analyse"] = rate / each["packets_per_s"]
    return found


def make(folder: Path, name: str, size: int) -> tuple[tuple[Path, Path], Truth]:
    """A pair of captures, and what is true of it."""
    pair = folder / f"{name}-left.pcap", folder / f"{name}-right.pcap"
    return pair, write_pair(*pair, size, seed=size, snap=SNAP)


def at_size(folder: Path, size: int) -> list[Found]:
    """Our ways, each twice: for the memory, then for the time (the files are in memory)."""
    pair, truth = make(folder, "sized", size)
    arrived = int(truth.sent.sum() - truth.lost.sum())
    found = []
    for way in ("pair", "analyse", "kept"):
        peak = peak_B(our_command(way, pair))
        each = summed(way, [ours(way, pair)])
        if "packets" in each:
            each["peak_B"] = peak
            each["seconds"] = each["packets"] / each["packets_per_s"]
            each["arrived_in_truth"] = arrived
            each["bytes_per_packet_beyond_100MB"] = (each["peak_B"] - 100e6) / each["packets"]
        found.append(each)
    for path in pair:
        path.unlink()
    return found


def show(found: Found) -> None:
    """A line per way, for people."""
    load = f"load {found['load']:.1f} before, {found['load_after']:.1f} after"
    print(f"{found['host']}, {found['processors']} processors, {load}")
    for each in found["ways"]:
        if "missing" in each:
            print(f"{each['way']:8} not run: {each['missing']}")
            continue
        slower = [each.get(f"times_slower_than_{way}") for way in ("pair", "analyse")]
        against = "" if slower[0] is None else f"  1/{slower[0]:.0f} of pair, 1/{slower[1]:.0f}"
        against += " of analyse" if against else ""
        print(
            f"{each['way']:8} {each['packets_per_s'] / 1e6:8.4f} M packets/s, per processor "
            f"{each['packets_per_processor_s'] / 1e6:8.4f} M, {each['runs']} runs{against}"
        )
    for each in found["sizes"]:
        if "missing" in each:
            print(f"{each['way']:8} failed: {each['missing']}")
            continue
        print(
            f"{each['way']:8} {each['packets']:9} packets {each['seconds']:7.2f} s "
            f"{each['packets_per_s'] / 1e6:6.2f} M packets/s, {each['peak_B'] / 1e6:6.0f} MB "
            f"(100 MB + {each['bytes_per_packet_beyond_100MB']:.0f} B per packet), paired "
            f"{each['paired']} of {each['arrived_in_truth']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="interpreter that has dpkt, scapy and pandas")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="22 million packets as well")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=("pair", "analyse", "kept"), help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(run_ours(given.way, *given.files)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: Found = {
            "host": platform.processor() or platform.machine(),
            "processors": os.cpu_count(),
            "load": os.getloadavg()[0],
            "ways": measure(folder, given.peers, given.times),
            "sizes": [],
        }
        for path in folder.iterdir():
            path.unlink()
        for size in (*LINEAR, *([LARGE] if given.large else [])):
            found["sizes"] += at_size(folder, size)
        found["load_after"] = os.getloadavg()[0]
    if given.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
