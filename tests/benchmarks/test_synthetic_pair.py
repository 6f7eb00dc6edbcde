"""The synthetic pair is what it says: its truth agrees with what is in its files."""

from __future__ import annotations

import numpy as np
import pytest

from bench.captures.flows import read_capture
from benchmarks.synthetic_pair import SESSION, write_pair


@pytest.mark.parametrize("ng", [False, True])
def test_truth_agrees_with_the_files(tmp_path, ng):
    paths = tmp_path / "l.cap", tmp_path / "r.cap"
    truth = write_pair(*paths, 5000, ng=ng, stretch_ns=100_000_000)
    for path, seen in zip(paths, (truth.left, truth.right), strict=True):
        found = read_capture(path)
        assert (found.others, found.truncated, found.snap_cut) == (0, False, 0)
        assert np.all(np.diff(found.t_ns) >= 0)
        ports = np.array([found.names[n].destination_port for n in found.flow])
        assert ports.tolist() == [SESSION[n].port for n in seen.stream]
        audio = ports == 5006
        assert (found.head[audio] >> np.uint64(32) & np.uint64(0xFFFF)).tolist() == seen.serial[
            audio
        ].tolist()
    for index, stream in enumerate(SESSION):
        sides = [each.serial[each.stream == index] for each in (truth.left, truth.right)]
        sent, got = sides if stream.forward else sides[::-1]
        assert sent.tolist() == list(range(truth.sent[index]))
        assert len(set(sent.tolist()) - set(got.tolist())) == truth.lost[index]
    assert truth.lost.sum() > 0
    assert len(truth.left) + len(truth.right) > 2 * truth.sent.sum() - truth.lost.sum()


def test_one_seed_one_pair_whatever_is_kept(tmp_path):
    whole = write_pair(tmp_path / "a", tmp_path / "b", 1000, seed=5)
    cut = write_pair(tmp_path / "c", tmp_path / "d", 1000, seed=5, snap=50)
    again = write_pair(tmp_path / "e", tmp_path / "f", 1000, seed=5)
    assert cut.left.serial.tolist() == whole.left.serial.tolist() == again.left.serial.tolist()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "e").read_bytes()
    assert read_capture(tmp_path / "c").least_payload == 8
