"""What a transcript tells of contacts and power, against what a session has stored."""

from __future__ import annotations

from bench.benches.lab.attended import told_events, unlike
from bench.sessions.codec import to_json
from bench.sessions.recording import Event

T0 = 1_000_000_000
MOTION = to_json(Event(0, "patient", "contact", "motion", 1))
POWER = to_json(Event(0, "patient", "contact", "power", 1))
NOTES = [
    {"tells": ["contacts", "power"]},
    {"session": "a"},
    {"does": "Contacts.ready", "with": []},
    {"came": None},
    {"does": "Contacts.press", "with": ["local-stop"]},
    {"came": T0 + 5},
    {"does": "Power.cut", "with": []},
    {"clock_ns": T0 + 7},
    {"came": [T0 + 7, T0 + 9]},
    {"does": "Power.restore", "with": [T0]},
    {"came": [T0 + 20, T0 + 30, {"voltage_v": 5.0}]},
    {"does": "Power.events", "with": [T0, 100]},
    {"came": [POWER]},
    {"does": "Contacts.events", "with": [T0, 100]},
    {"came": [MOTION]},
    {"session": "b"},
    {"does": "Contacts.events", "with": [T0, 100]},
    {"raised": "NotWitnessed", "problem": "wheel: was not seen"},
]
STORED = [
    to_json(event)
    for event in (
        Event(0, "bench", "bench", "contacts-wired", ["power", "motion", "stop"]),
        Event(0, "patient", "contact", "power", 1),
        Event(0, "patient", "contact", "motion", 1),
        Event(5, "patient", "bench", "action", {"name": "local-stop"}),
        Event(5, "patient", "contact", "stop-button", 1),
        Event(9, "patient", "contact", "power", 0),
        Event(20, "patient", "contact", "power", 1),
        Event(50, "patient", "signal", "alarm-signal", {"on": True}),
    )
]


def test_what_is_stored_is_what_was_told() -> None:
    told = told_events(NOTES)
    assert list(told) == ["a"], "the other one did not come to its end"
    assert unlike(STORED, told["a"]) == ()


def test_what_is_stored_otherwise_is_found_on_both_sides() -> None:
    told = told_events(NOTES)["a"]
    moved = [{**one, "t_ns": 19} if one["t_ns"] == 20 else one for one in STORED]
    stored, missing = unlike(moved, told)
    assert stored.startswith("power 1 at 0.000000019 s is stored")
    assert missing.startswith("power 1 at 0.000000020 s is told")
    assert unlike([one for one in STORED if one["name"] != "motion"], told) == (
        "motion 1 at 0.000000000 s is told by the transcript of the run, and not stored",
    )
    lit = [{**one, "value": [*one["value"], "lights"]} if one["name"] == "contacts-wired" else one
           for one in STORED]  # fmt: skip
    (stored,) = unlike(lit, told)
    assert stored.startswith("alarm-signal")
