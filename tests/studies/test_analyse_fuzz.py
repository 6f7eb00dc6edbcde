"""A damaged capture never crashes the analysis, and never makes a PASS out of what is none.

One of the two captures is damaged, as a tap, a disk or a tool would do it; the other is whole.
(Who cuts the same time out of both has made two captures of another, shorter time.)
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.judge.verdict import Outcome
from bench.requirements.loader import load_catalogue
from bench.studies.analyse import Question, analyse
from bench.studies.analyse_clock import given_clock
from bench.studies.analyse_judge import find_asked

_spec = importlib.util.spec_from_file_location(
    "analyse_kit", Path(__file__).with_name("analyse_kit.py")
)
kit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kit)
MS, COUNT = kit.MS, 400
LOSS, DELAY = "000-t2-audio-loss", "000-t2-audio-delay"
CATALOGUE = load_catalogue()
BLOCK = range(150, 190)


def slow(n):
    return (200 if n in BLOCK else 5) * MS


CASES = {
    # spread losses, nothing numbers the packets
    "plain-loss": (LOSS, None, {"lost": range(5, COUNT, 20)}),
    # one outage: of the path, at its beginning, at its end
    "plain-outage": (LOSS, None, {"lost": BLOCK}),
    "plain-head": (LOSS, None, {"lost": range(40)}),
    "plain-tail": (LOSS, None, {"lost": range(COUNT - 42, COUNT - 2)}),
    # the same with numbers; whoever cuts exactly these packets out leaves a hole in the numbers
    "rtp-outage": (LOSS, None, {"lost": BLOCK, "payload": kit.rtp}),
    "device-outage": (
        LOSS, kit.DEVICE,
        {"lost": BLOCK, "payload": kit.wire("audio-to-doctor"), "ports": (7006, 7006)},
    ),
    "slow": (DELAY, None, {"delay_ns": slow}),
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    made = {}
    for name, (_, _, options) in CASES.items():
        for kind, write in (("pcap", kit.frames.pcap), ("pcapng", kit.frames.pcapng)):
            folder = tmp_path_factory.mktemp(f"{name}-{kind}")
            streams = kit.stream(COUNT, **options), kit.back(COUNT)
            made[name, kind] = kit.save(folder, *streams, write=write)
    return made


def outcome(paths, case):
    entry, device, _ = CASES[case]
    only = "audio-to-doctor" if device else "> 10.0.0.2"
    question = Question(
        device=device, only=only, clock=given_clock(None, "1us"),
        asked=find_asked((entry,), device, CATALOGUE), fit=False,
    )  # fmt: skip
    found = analyse(*paths, question)
    json.dumps(found.to_json(), allow_nan=False)
    return {verdict.verdict for verdict in found.verdicts}


@pytest.mark.parametrize("case", CASES)
def test_the_whole_pairs_do_not_pass_and_healthy_ones_of_their_size_do(tmp_path, pairs, case):
    """Else the law below would hold of anything."""
    for kind in ("pcap", "pcapng"):
        assert Outcome.PASS not in outcome(pairs[case, kind], case)
    options = {**CASES[case][2]}
    options.pop("lost", None)
    options.pop("delay_ns", None)
    healthy = kit.save(tmp_path, kit.stream(COUNT - len(BLOCK), **options), kit.back(COUNT))
    assert outcome(healthy, case) == {Outcome.PASS}


def places(data, kind):
    """Where the records begin, and the end: by the formats' documents alone."""
    found, at = [], 24 if kind == "pcap" else 0
    while at < len(data):
        found.append(at)
        length = struct.unpack_from("<I", data, at + (8 if kind == "pcap" else 4))[0]
        at += 16 + length if kind == "pcap" else max(length, 12)
    return [*found, at]


edge = st.one_of(st.sampled_from([0, 40, 150, 190, 358, 398, COUNT]), st.integers(0, COUNT))
share = st.floats(0, 1, exclude_max=True)
damage = st.one_of(
    st.tuples(st.just("flip"), share, st.integers(0, 7)),
    st.tuples(st.just("put"), share, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("cut"), share, st.integers(1, 400)),
    st.tuples(st.just("cut records"), share, st.integers(1, 200)),
    st.tuples(st.just("repeat records"), share, st.integers(1, 50)),
    st.tuples(st.just("swap stamps"), share, share),
    st.tuples(st.just("set stamp"), share, st.binary(min_size=4, max_size=4)),
    st.tuples(st.just("end"), share, st.none()),
    st.tuples(st.just("cut time"), edge, edge),
)


def damaged(data, kind, what, where, more):
    """One deed done to a capture's bytes."""
    if what == "cut time":
        return without(data, kind, where, more)
    at = int(where * len(data))
    if what == "flip":
        return data[:at] + bytes([data[at] ^ 1 << more]) + data[at + 1 :]
    if what == "put":
        return data[:at] + more + data[at:]
    if what == "cut":
        return data[:at] + data[at + more :]
    if what == "end":
        return data[:at]
    try:
        rows = places(data, kind)
    except struct.error:
        return data
    first = int(where * (len(rows) - 1))
    stamp = 0 if kind == "pcap" else 12
    if what in ("cut records", "repeat records"):
        last = rows[min(first + more, len(rows) - 1)]
        if what == "cut records":
            return data[: rows[first]] + data[last:]
        return data[:last] + data[rows[first] : last] + data[last:]
    out = bytearray(data)
    one = rows[first] + stamp
    if what == "set stamp":
        out[one + 4 : one + 8] = more
        return bytes(out)
    other = rows[int(more * (len(rows) - 1))] + stamp
    out[one : one + 8], out[other : other + 8] = data[other : other + 8], data[one : one + 8]
    return bytes(out)


def without(data, kind, first, last):
    """Cut every record from the sending of one packet to just before the sending of another."""
    try:
        rows = places(data, kind)
        kept = [data[: rows[0]]]
        for start, end in itertools.pairwise(rows):
            at = None
            if kind == "pcap":
                at = struct.unpack_from("<II", data, start)
                at = at[0] * 10**9 + at[1]
            elif struct.unpack_from("<I", data, start)[0] == 6:
                at = struct.unpack_from("<II", data, start + 12)
                at = at[0] << 32 | at[1]
            place = None if at is None else (at - kit.frames.START_NS) / (20 * MS)
            if place is None or not min(first, last) - 0.5 <= place < max(first, last) - 0.5:
                kept.append(data[start:end])
    except struct.error:
        return data
    return b"".join(kept)


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
@pytest.mark.parametrize("case", CASES)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(side=st.integers(0, 1), deeds=st.lists(damage, min_size=1, max_size=4))
def test_no_damage_to_one_capture_makes_a_pass(pairs, tmp_path, case, kind, side, deeds):
    paths = list(pairs[case, kind])
    data = paths[side].read_bytes()
    for deed in deeds:
        if data:
            data = damaged(data, kind, *deed)
    paths[side] = tmp_path / paths[side].name
    paths[side].write_bytes(data)
    with contextlib.suppress(InputError):
        assert Outcome.PASS not in outcome(paths, case)


REAL = Path(__file__).parents[1] / "captures" / "data"
"""0.35 s of what the local bench's taps saw of the simulated robot, 6 % of the commands lost."""


def real_pair():
    return [REAL / f"loss-step-{name}.pcapng" for name in ("patient", "doctor")]


def test_the_whole_real_pair_fails():
    assert real_outcome(real_pair()) == {Outcome.FAIL}


def real_outcome(paths):
    device = kit.DEVICE
    asked = find_asked(("000-t2-force-loss",), device, CATALOGUE)
    found = analyse(
        *paths,
        Question(device=device, only="haptic-command", clock=given_clock(None, "1us"), asked=asked),
    )
    json.dumps(found.to_json(), allow_nan=False)
    return {verdict.verdict for verdict in found.verdicts}


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(side=st.integers(0, 1), deeds=st.lists(damage, min_size=1, max_size=4))
def test_no_damage_to_a_real_capture_makes_a_pass(tmp_path, side, deeds):
    paths = real_pair()
    data = paths[side].read_bytes()
    for deed in deeds:
        if data:
            data = damaged(data, "pcapng", *deed)
    paths[side] = tmp_path / paths[side].name
    paths[side].write_bytes(data)
    with contextlib.suppress(InputError):
        assert Outcome.PASS not in real_outcome(paths)
