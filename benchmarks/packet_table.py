"""The table of all packets as Parquet beside the same rows as CSV by pandas, in one run.

``python -m benchmarks.packet_table --peers PYTHON [--times 5] [--json]``: the packets of a
synthetic pair are written by the code of ``bench analyse --parquet``; an interpreter that has
pandas and pyarrow reads them, and writes the same rows with ``DataFrame.to_csv``. Only the writing
is timed, ours and theirs in turn; the rows are in memory before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure.pairing import Flow
from bench.studies.analyse import Question, analyse
from bench.studies.analyse_table import packet_table
from benchmarks.synthetic_pair import write_pair

SENT = 350_000
SNAP = 96

_PEER = """
import sys, time, pandas
rows = pandas.read_parquet(sys.argv[1])
start = time.perf_counter()
rows.to_csv(sys.argv[2], index=False)
print(len(rows), time.perf_counter() - start)
"""


def write_ours(flows: list[tuple[str, str, Flow]], path: Path) -> float:
    """Seconds to write every packet as Parquet."""
    start = time.perf_counter()
    with packet_table(path) as table:
        for stream, direction, flow in flows:
            table.add(stream, direction, flow)
    return time.perf_counter() - start


def write_theirs(peers: str, parquet: Path, csv: Path) -> tuple[int, float]:
    """Rows, and seconds that pandas takes to write them."""
    command = [peers, "-c", _PEER, str(parquet), str(csv)]
    rows, seconds = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    return int(rows), float(seconds)


def measure(folder: Path, peers: str, times: int) -> dict[str, Any]:
    """Both ways in turn, ``times`` times."""
    left, right, parquet, csv = (
        folder / name for name in ("left.pcap", "right.pcap", "packets.parquet", "packets.csv")
    )
    truth = write_pair(left, right, SENT, seed=SENT, snap=SNAP)
    flows: list[tuple[str, str, Flow]] = []
    analyse(
        left,
        right,
        Question(),
        each=lambda result, flow: flows.append((result.stream, result.direction, flow)),
    )
    mine, theirs, rows = [], [], 0
    for _ in range(times):
        mine.append(write_ours(flows, parquet))
        rows, seconds = write_theirs(peers, parquet, csv)
        theirs.append(seconds)
    parquet_bytes, csv_bytes = parquet.stat().st_size, csv.stat().st_size
    return {
        "rows": rows,
        "sent_in_truth": int(truth.sent.sum()),
        "parquet_bytes": parquet_bytes,
        "csv_bytes": csv_bytes,
        "times_smaller": csv_bytes / parquet_bytes,
        "parquet_s": statistics.median(mine),
        "csv_s": statistics.median(theirs),
        "times_faster": statistics.median(theirs) / statistics.median(mine),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has pandas")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), given.peers, given.times)
    if given.json:
        print(json.dumps(found))
        return
    print(
        f"{found['rows']} rows ({found['sent_in_truth']} sent): Parquet "
        f"{found['parquet_bytes'] / 1e6:.1f} MB in {found['parquet_s']:.2f} s, CSV "
        f"{found['csv_bytes'] / 1e6:.1f} MB in {found['csv_s']:.2f} s: "
        f"{found['times_smaller']:.1f} times smaller, {found['times_faster']:.1f} times faster"
    )


if __name__ == "__main__":
    main()
