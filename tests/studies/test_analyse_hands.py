"""Two processes find what one finds, to the last bit, and say the same of what is wrong."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from bench.captures import beside
from bench.captures.taps import compare, read_captures
from bench.errors import InputError
from bench.requirements.loader import load_catalogue
from bench.studies.analyse import Question, analyse
from bench.studies.analyse_clock import given_clock
from bench.studies.analyse_judge import find_asked
from benchmarks.synthetic_pair import SESSION, Stream, write_pair

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="second processes are Linux's only")

_spec = importlib.util.spec_from_file_location(
    "analyse_kit", Path(__file__).with_name("analyse_kit.py")
)
kit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kit)

REAL = [
    Path(__file__).parents[1] / "captures" / "data" / f"loss-step-{name}.pcapng"
    for name in ("patient", "doctor")
]
CATALOGUE = load_catalogue()


@pytest.fixture
def processes(monkeypatch):
    """How many second processes did their work."""
    done = []
    taken = beside._taken

    def counted(memory):
        found = taken(memory)
        done.append(1)
        return found

    monkeypatch.setattr(beside, "_taken", counted)
    return done


def assert_same(one, two, where=""):
    """Every field, every array's kind and every bit."""
    assert type(one) is type(two), where
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (two.dtype, two.shape), where
        assert one.tobytes() == two.tobytes(), where
    elif is_dataclass(one) and not isinstance(one, Enum):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(two, field.name), f"{where}.{field.name}")
    elif isinstance(one, tuple | list):
        assert len(one) == len(two), where
        for place, (left, right) in enumerate(zip(one, two, strict=True)):
            assert_same(left, right, f"{where}[{place}]")
    else:
        assert repr(one) == repr(two), where


def outcome(paths, question, hands):
    """All that comes out: the words of an error, or the figures and every stream's packets."""
    rows = []
    try:
        found = analyse(*paths, question, each=lambda *each: rows.append(each), hands=hands)
    except InputError as error:
        return error.line()
    return json.dumps(found.to_json()), rows


def assert_one_and_two_agree(paths, question):
    one, two = (outcome(paths, question, hands) for hands in (1, 2))
    assert_same(one, two)
    return one


LOOKALIKES = [*SESSION[:2], *(Stream(f"alive{n}", 40, 12, 7000 + n, values=3) for n in range(3))]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Pairs of every kind: pcap, pcapng, cut, with payloads that repeat, of one stream."""
    made = {}
    for name, options in {
        "pcap": {"snap": 96},
        "pcapng": {"ng": True, "snap": 80},
        "whole": {},
        "alike": {"streams": LOOKALIKES},
        "one": {"streams": SESSION[1:2]},
    }.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = folder / "left", folder / "right"
        write_pair(*made[name], 6000, seed=3, **options)
    made["real"] = REAL
    made["snaps"] = made["pcap"][0], made["whole"][1]  # one is read twice
    return made


@pytest.mark.parametrize("name", ["pcap", "pcapng", "whole", "alike", "one", "real", "snaps"])
def test_captures_and_pairs_are_the_same_bit_by_bit(pairs, processes, name):
    found = []
    for hands in (1, 2):
        read = read_captures(*pairs[name], hands=hands)
        found.append((read, compare(*read, hands=hands)))
    assert_same(*found)
    assert len(processes) == (1 if name == "one" else 2)


@pytest.mark.parametrize("name", ["pcap", "pcapng", "alike", "one", "real"])
def test_figures_and_packets_are_the_same(pairs, processes, name):
    question = Question(survival_s=0.01, deadline_s=0.0203)
    assert not isinstance(assert_one_and_two_agree(pairs[name], question), str)
    assert len(processes) == (2 if name == "one" else 3)


def test_verdicts_are_the_same(processes):
    asked = find_asked(("000-t2-force-loss", "000-t2-force-delay"), kit.DEVICE, CATALOGUE)
    question = Question(device=kit.DEVICE, clock=given_clock(None, "1us"), asked=asked)
    text, _ = assert_one_and_two_agree(REAL, question)
    assert json.loads(text)["verdicts"]
    assert len(processes) == 3


def test_translated_addresses(tmp_path, processes):
    back = kit.back(first=5000)
    near = kit.save(tmp_path, kit.stream(), back)[0]
    (tmp_path / "far").mkdir()
    far = kit.save(tmp_path / "far", kit.stream(hosts=("192.0.2.9", kit.DOCTOR)), back)[1]
    text, _ = assert_one_and_two_agree((near, far), Question(nat=True))
    assert any(each["seen_as"] for each in json.loads(text)["streams"])
    assert len(processes) == 3


WRONG = {
    "damaged": lambda near, far: (near[:-1], far[:9000] + b"\xff" * 64 + far[9000:]),
    "empty left": lambda near, far: (b"", far),
    "empty right": lambda near, far: (near, b""),
    "both": lambda near, far: (b"x" * 99, b"y" * 99),
    "other order": lambda near, far: (far, near),
    "the same": lambda near, far: (near, near),
    "cut": lambda near, far: (near[: len(near) // 3], far[: len(far) // 2]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_in_the_same_words(pairs, tmp_path, wrong):
    paths = tmp_path / "left", tmp_path / "right"
    made = WRONG[wrong](*(path.read_bytes() for path in pairs["pcap"]))
    for path, data in zip(paths, made, strict=True):
        path.write_bytes(data)
    assert_one_and_two_agree(paths, Question(fit=False))


def test_of_several_wrong_streams_the_first_is_named(tmp_path):
    """The largest; here the second process meets it, and the first one another."""

    def early(n):
        return (5 if n % 3 else -5) * kit.MS

    streams = [
        kit.stream(count, delay_ns=delay_ns, ports=(1000, 2000 + count))
        for count, delay_ns in ((90, 5 * kit.MS), (80, early), (70, early), (60, early))
    ]
    paths = kit.save(tmp_path, *streams)
    said = assert_one_and_two_agree(paths, Question())
    assert isinstance(said, str)
    assert ":2080 arrive before they are sent" in said


@pytest.mark.parametrize("seed", range(12))
def test_damaged_captures(pairs, tmp_path, seed):
    rng = np.random.default_rng(seed)
    paths = [tmp_path / "left", tmp_path / "right"]
    for path, whole in zip(paths, pairs["pcapng" if seed % 2 else "pcap"], strict=True):
        data = bytearray(whole.read_bytes()[:120_000])
        for at in rng.integers(24, len(data), rng.integers(0, 4)):
            data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
    assert_one_and_two_agree(paths, Question(fit=False))
