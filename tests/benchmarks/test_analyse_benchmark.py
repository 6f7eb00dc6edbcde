"""The ways that are compared do the same work: they pair the packets that the truth says."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks import analyse_peers
from benchmarks.analyse import child, ours, summed
from benchmarks.synthetic_pair import SESSION, write_pair


def test_ours_and_a_dict_pair_what_arrived(tmp_path):
    pair = tmp_path / "l.pcap", tmp_path / "r.pcap"
    told_apart = [stream for stream in SESSION if not stream.values]
    truth = write_pair(*pair, 3000, streams=told_apart)
    arrived = int(truth.sent.sum() - truth.lost.sum())
    both = len(truth.left) + len(truth.right)
    found = ours("pair", pair)
    assert (found["packets"], found["paired"]) == (both, arrived)
    done = subprocess.run(
        [sys.executable, analyse_peers.__file__, "struct", *map(str, pair)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["packets"], found["paired"]) == (both, arrived)


def test_what_is_missing_is_named():
    failed = child([sys.executable, "-c", "import no_such_package"])
    assert summed("dpkt", [failed]) == {
        "way": "dpkt",
        "missing": "ModuleNotFoundError: No module named 'no_such_package'",
    }
