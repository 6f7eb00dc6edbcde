"""``bench fit``: a profile from two captures, which the next command takes."""

import importlib.util
import json
from pathlib import Path

import pytest

from bench.network.profiles import load_profiles

_FILE = Path(__file__).parents[1] / "captures" / "kit.py"
COUNT, DELAY_NS = 500, 5_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("captures_kit", _FILE)
    captures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(captures)
    folder = tmp_path_factory.mktemp("pair")
    frames = list(captures.numbered(COUNT, ends=("10.0.0.1", "10.0.0.2"), ports=(1000, 2000)))
    paths = folder / "patient.pcap", folder / "doctor.pcap"
    for path, later_ns in zip(paths, (0, DELAY_NS), strict=True):
        rows = [
            (captures.START_NS + n * 1_000_000 + later_ns, frame) for n, frame in enumerate(frames)
        ]
        captures.save(path, captures.pcap(rows))
    return paths


def test_table_json_and_profile(bench, pair, tmp_path):
    output = tmp_path / "site.toml"
    done = bench.call("fit", *pair, "--output", output, "--name", "site")
    assert done.code == 0, done.err
    assert "to-doctor" in done.out
    assert str(output) in done.out
    assert load_profiles(output)["site"].to_doctor.delay.mean_s == pytest.approx(0.005, abs=1e-6)
    done = bench.call("fit", *pair, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["directions"]["to-doctor"]["sent"] == COUNT


def test_wrong_order_and_missing_file_are_bad_input(bench, pair, tmp_path):
    left, right = pair
    for words, said in (((right, left), "order"), ((left, tmp_path / "none.pcap"), "none.pcap")):
        done = bench.call("fit", *words, "--output", tmp_path / "x.toml")
        assert done.code == 2
        assert len(done.err.strip().splitlines()) == 1
        assert said in done.err
        assert not (tmp_path / "x.toml").exists()
