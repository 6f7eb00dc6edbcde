"""Models to JSON and back: nothing is lost, and nothing foreign gets in."""

from __future__ import annotations

import dataclasses
import json
import math
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.devices.profile import AlarmProfile, DeviceProfile, Stream
from bench.errors import InputError
from bench.judge.verdict import Outcome, Verdict
from bench.measure.measurement import UncertaintyTerm
from bench.network.impairment import CLEAN, Delay, GilbertElliott, Impairment
from bench.network.scenario import Change, Schedule, ScheduledAction, Window
from bench.sessions.codec import from_json, to_json
from bench.sessions.recording import AppliedChange, Event, Health

# Three texts stand for floats; elsewhere any text may stand.
words = st.text(max_size=12).filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
whole = st.integers(-(2**63), 2**63)
finite = st.floats(allow_nan=False, allow_infinity=False)
number = st.one_of(finite, st.just(math.inf), st.just(-math.inf), st.integers(-(2**70), 2**70))
ratio = st.floats(0, 1)
direction = st.sampled_from(["to-patient", "to-doctor"])
side = st.sampled_from(["patient", "doctor"])


def some(strategy: Any, size: int = 3) -> Any:
    return st.lists(strategy, max_size=size).map(tuple)


def by_name(strategy: Any) -> Any:
    return st.dictionaries(words, strategy, max_size=3)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), whole, finite, words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), by_name(inner)),
    max_leaves=6,
)
delay = st.one_of(
    st.builds(Delay, st.floats(0, 9)),
    st.floats(0, 9).map(lambda s: Delay(s, "uniform", s / 2)),
    st.floats(0, 9).map(lambda s: Delay(s, "normal", s / 4)),
)
impairment = st.one_of(
    st.builds(
        Impairment,
        delay=delay,
        order=st.sampled_from(["preserve", "allow"]),
        loss=st.none() | st.builds(GilbertElliott, ratio, ratio, ratio, ratio),
        rate_bps=st.none() | st.floats(1, 1e10),
        queue_s=st.floats(0.001, 2),
        hold=st.booleans(),
    ),
    st.just(CLEAN.with_(up=False)),
)
window = st.builds(
    Window,
    words,
    words,
    st.sampled_from(["within", "at", "beyond"]),
    st.booleans(),
    whole,
    whole,
    some(st.tuples(words, whole, whole)),
)
schedule = st.builds(
    Schedule,
    windows=some(window),
    changes=some(st.builds(Change, whole, words, direction, impairment)),
    actions=some(st.builds(ScheduledAction, whole, side, words)),
    draws=some(st.tuples(words, finite)),
    end_ns=whole,
    links=some(words),
)
stream = st.builds(
    Stream, words, words, whole, side, whole, some(words), whole, finite, whole, words
)
alarm = st.builds(
    AlarmProfile, words, words, st.sampled_from(["high", "medium", "low"]), finite, finite
)
profile = st.builds(
    DeviceProfile,
    *[words] * 7,
    streams=some(stream),
    limits=by_name(number),
    alarms=some(alarm),
    declares=by_name(number),
    options=some(words),
    defects=st.none() | by_name(number),
)
event = st.builds(
    Event,
    whole,
    st.sampled_from(["patient", "doctor", "bench"]),
    st.sampled_from(["contact", "signal", "log", "bench"]),
    words,
    plain,
)
applied = st.builds(AppliedChange, whole, words, words, words, st.none() | whole, st.none() | whole)
health = st.builds(
    Health, st.booleans(), whole, whole, number, by_name(number), by_name(whole), some(words)
)
verdict = st.builds(
    Verdict,
    **{f.name: words for f in dataclasses.fields(Verdict) if f.type == "str"},
    verdict=st.sampled_from(Outcome),
    value=st.none() | number,
    uncertainty=st.none() | number,
    n=whole,
    confidence=st.none() | ratio,
    limit=st.none() | number,
    margin=st.none() | number,
    attempt=whole,
    independent=st.booleans(),
    budget=some(st.builds(UncertaintyTerm, words, number, words)),
    readings=some(by_name(plain)),
    details=some(st.tuples(words, st.none() | number | words)),
)
MODELS = {
    Schedule: schedule,
    DeviceProfile: profile,
    Event: event,
    AppliedChange: applied,
    Health: health,
    Verdict: verdict,
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_comes_back_equal(model):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(MODELS[model])
    def check(value):
        text = json.dumps(to_json(value), allow_nan=False)
        back = from_json(model, json.loads(text), file="x.json")
        assert back == value
        assert json.dumps(to_json(back), allow_nan=False) == text

    check()


def test_device_keeps_its_fingerprint(device):
    for defects in ({}, {"stale-commands": 1}, {"late-alarm": 3.0}):
        broken = device.with_defects(defects)
        data = json.loads(json.dumps(to_json(broken)))
        assert from_json(DeviceProfile, data, file="x").fingerprint == broken.fingerprint


def test_missing_figures_come_back_missing():
    data = to_json(Health(clock_step_s=math.nan))
    assert data["clock_step_s"] == "NaN"
    assert math.isnan(from_json(Health, data, file="x").clock_step_s)


def test_figures_of_numpy_are_plain():
    data = to_json([np.float64(0.5), np.int64(3), np.bool_(True), np.float32(2)])
    assert json.dumps(data) == "[0.5, 3, true, 2.0]"


@pytest.mark.parametrize("value", [{1: "a"}, {"a": {1, 2}}, b"x", object()])
def test_refuses_what_json_cannot_carry(value):
    with pytest.raises(TypeError):
        to_json(Event(0, "bench", "bench", "x", value))


class Colour(StrEnum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Odd:
    colour: Colour
    flag: bool
    count: int
    pair: tuple[str, int]
    share: float = 0.0
    many: tuple[int, ...] = ()


GOOD = {"colour": "red", "flag": True, "count": 3, "pair": ["a", 1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "blue"}, "f.json: top.colour = 'blue': is unknown; use one of red"),
        ({"colour": ["red"]}, "f.json: top.colour: is unknown"),
        ({"flag": 1}, "f.json: top.flag = 1: is not true or false"),
        ({"count": True}, "f.json: top.count = True: is not a whole number"),
        ({"count": 3.0}, "f.json: top.count = 3.0: is not a whole number"),
        ({"count": None}, "f.json: top.count: is not a whole number"),
        ({"share": "12"}, "f.json: top.share = '12': is not a number"),
        ({"share": []}, "f.json: top.share: is not a number"),
        ({"share": True}, "f.json: top.share = True: is not a number"),
        ({"pair": ["a"]}, "f.json: top.pair: has 1 items instead of 2"),
        ({"pair": ["a", "b"]}, "f.json: top.pair[1] = 'b': is not a whole number"),
        ({"many": "abc"}, "f.json: top.many = 'abc': is not a list"),
        ({"many": [1, "x"]}, "f.json: top.many[1] = 'x': is not a whole number"),
        ({"coutn": 3}, "f.json: top.coutn: unknown key; did you mean count?"),
    ],
)
def test_says_file_and_field_of_what_is_wrong(change, message):
    assert from_json(Odd, GOOD, file="f.json") == Odd(Colour.RED, True, 3, ("a", 1))
    with pytest.raises(InputError) as caught:
        from_json(Odd, GOOD | change, file="f.json", field="top")
    assert caught.value.line().startswith(message)


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_refuses_what_is_no_object(data):
    with pytest.raises(InputError, match="is not an object"):
        from_json(Odd, data, file="f.json")


def test_says_what_is_missing():
    with pytest.raises(InputError, match=r"f.json: count: is missing"):
        from_json(Odd, {k: v for k, v in GOOD.items() if k != "count"}, file="f.json")


def test_says_where_a_model_refused():
    with pytest.raises(InputError, match=r"f.json: a.delay = \(-1, 0\): is negative"):
        from_json(Delay, {"mean_s": -1, "law": "constant", "spread_s": 0}, file="f.json", field="a")
