"""A real device's contacts: what a box's record comes to in a session, and what it cannot show."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.benches.lab.contacts import Light, light_events, motion_events
from bench.benches.lab.file import load_bench_file
from bench.errors import InputError
from instruments.contacts.timing import Pair
from instruments.contacts.witness import Edge, Input, Record
from instruments.visa.errors import NotWitnessed

MS, STILL_S, DARK_S = 1_000_000, 0.05, 0.4
T0_MS, END_MS, UNTIL_MS = 2000, 3000, 5500
LAMP = Light("lamp", "medium")


def record(edges_ms, half_ms=0.25, kind="motion", fault=""):
    """A box that was heard for 6 s; its clock is the host's, known within ``half_ms``."""
    levels = [(t, 1 - k % 2) for k, t in enumerate(edges_ms)]
    settle_s = 0.0 if kind == "motion" else 0.001
    name = "wheel" if kind == "motion" else "lamp"
    beats = []
    for t_ms in range(0, 6001, 100):
        at = bisect_right([t for t, _ in levels], t_ms)
        beats.append((t_ms * 1000, levels[at - 1][1] if at else 0))
    pairs = tuple(
        Pair(round((t - half_ms) * MS), t * 1000, round((t + half_ms) * MS))
        for t in range(0, 6001, 100)
    )
    edges = {name: tuple(Edge(round(t * 1000), level) for t, level in levels)}
    return Record({name: Input(0, kind, settle_s)}, edges, tuple(beats), pairs, fault)


def motion(seen, *released):
    events = motion_events(seen, "wheel", STILL_S, T0_MS * MS, END_MS * MS, UNTIL_MS * MS, released)
    assert {(e.side, e.origin, e.name) for e in events} == {("patient", "contact", "motion")}
    return [(e.t_ns / MS, e.value) for e in events]


def turning(*spans_ms):
    """Edges of an encoder that turns in these times, 10 ms apart."""
    return [t for begin, end in spans_ms for t in range(begin, end + 1, 10)]


U = pytest.approx


def test_motion_lasts_from_the_first_edge_to_the_last() -> None:
    found = motion(record(turning((1500, 2700), (4000, 5400))))
    assert [level for _, level in found] == [1, 0, 1]
    assert [t for t, _ in found] == [0, U(710, abs=0.6), U(2000, abs=0.3)]
    assert found[1][0] > 710, "an edge was due then, at the later end of what is known"
    assert found[2][0] < 2000, "the earlier one"


def release(t_ms):
    """The stop let go of: asked for 1 ms before, answered 1 ms after the box's time of it."""
    return Pair(round((t_ms - 1) * MS), round(t_ms * 1000), round((t_ms + 1) * MS))


def test_a_drive_that_a_release_sets_in_motion_does_not_move_before_it() -> None:
    seen = record(turning((1500, 2700), (4001, 5400)), half_ms=5.0)
    assert motion(seen)[2][0] < 1999, "the edge may be 5 ms earlier"
    assert motion(seen, release(4000.5))[2] == (1999.5, 1), "but the box has the release before it"
    assert motion(seen, release(4020))[2][0] < 2000, "a later release has nothing to do with it"


def test_a_drive_that_moves_on_around_its_release_is_not_judged() -> None:
    seen = record(turning((1500, 2700), (4001, 5400)), half_ms=5.0)
    with pytest.raises(NotWitnessed, match="at the release of the stop, or just before it"):
        motion(seen, release(4003))


def test_a_drive_that_stands_still_when_the_session_begins() -> None:
    found = motion(record(turning((1000, 1500), (2500, 5400))))
    assert [level for _, level in found] == [0, 1]


@pytest.mark.parametrize("spans", [((1500, 2700),), ((1500, 4950),), ()])
def test_an_encoder_that_is_not_seen_to_turn_again_shows_nothing(spans) -> None:
    with pytest.raises(NotWitnessed, match="not seen to move behind the session"):
        motion(record(turning(*spans)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"half_ms": 30}, "known within"),
        ({"fault": "was silent"}, "was silent"),
    ],
)
def test_a_record_that_cannot_be_relied_on_shows_nothing(change, problem) -> None:
    with pytest.raises(NotWitnessed, match=problem):
        motion(record(turning((1500, 2700), (4000, 5400)), **change))


def test_a_gap_of_the_record_is_no_standstill() -> None:
    whole = record(turning((1500, 5400)))
    beats = tuple(b for b in whole.beats if not 3_000_000 < b[0] < 3_600_000)
    with pytest.raises(NotWitnessed, match="silent"):
        motion(Record(whole.inputs, whole.edges, beats, whole.pairs))
    short = tuple(b for b in whole.beats if b[0] < 5_000_000)
    with pytest.raises(NotWitnessed, match="ends before"):
        motion(Record(whole.inputs, whole.edges, short, whole.pairs))


@given(
    st.lists(st.integers(20, 400), min_size=1, max_size=12),
    st.integers(1, 30),
)
def test_the_drive_moves_just_where_the_encoder_turned(gaps, step) -> None:
    """Edges at most ``step`` apart are one motion; a gap of ``still`` or more ends it."""
    edges, t_ms = [], 1000
    for gap in gaps:
        edges += [t_ms, t_ms + step]
        t_ms += step + gap + 51
    edges = [t for t in edges if t < 5000] + turning((5100, 5400))
    found = motion(record(edges))
    assert [t for t, _ in found] == sorted(t for t, _ in found)
    assert all(a != b for (_, a), (_, b) in pairwise(found))
    for t in edges:
        if T0_MS < t < T0_MS + END_MS:
            state = [level for at, level in found if at <= t - T0_MS][-1]
            assert state == 1


def lit(seen):
    events = light_events(
        seen, "network-delay", LAMP, DARK_S, T0_MS * MS, END_MS * MS, UNTIL_MS * MS
    )
    assert all(e.origin == "signal" and e.name == "alarm-signal" for e in events)
    assert all(e.value["alarm"] == "network-delay" for e in events)
    return [(e.t_ns / MS, e.value["on"]) for e in events]


def test_a_light_that_flashes_is_one_signal() -> None:
    flashes = [t for k in range(3) for t in (2500 + 500 * k, 2700 + 500 * k)]
    seen = record([500, 900, *flashes, 5450, 5480], kind="light")
    assert lit(seen) == [(U(500, abs=0.3), True), (U(1700, abs=0.3), False)]
    assert lit(seen)[0][0] > 500


def test_a_light_that_stays_dark_is_no_signal_and_one_that_is_on_says_so() -> None:
    assert lit(record([500, 900, 5450, 5480], kind="light")) == []
    assert lit(record([500], kind="light")) == [(0, True)]
    assert lit(record([500, 2100], kind="light"))[0] == (0, True)
    assert lit(record([4900], kind="light")) == [(U(2900, abs=0.3), True)]


def test_a_light_that_is_stuck_is_on_from_the_start() -> None:
    dark = record([], kind="light")
    assert lit(dark) == []
    beats = tuple((t_us, 1) for t_us, _ in dark.beats)
    assert lit(Record(dark.inputs, dark.edges, beats, dark.pairs)) == [(0, True)]


# ---- the bench file -----------------------------------------------------------------------------

BOX = """
[instruments.box]
kind = "contact-box"
address = "/dev/ttyACM0"
manufacturer = "telemed-bench"
model = "contact-box-1"
reply = "5s"
inputs.wheel = { number = 0, kind = "motion", settle = "0s" }
inputs.lamp = { number = 1, kind = "light" }
outputs.stop = { number = 0, safe = 1 }
outputs.lamp-test = { number = 1, safe = 0 }

[roles]
contacts = "box"

[contacts]
motion = "wheel"
still = "50ms"
stop = "stop"
alarm_test = "lamp-test"
dark = "2.5s"

[contacts.lights.network-delay]
input = "lamp"
priority = "medium"

[links.primary]
left = { name = "a" }
right = { name = "b" }
"""
HEAD = 'title = "Contacts"\n'


def test_a_bench_file_says_what_is_wired(tmp_path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(HEAD + BOX)
    found = load_bench_file(path)
    assert found.contacts is not None
    assert found.contacts.seen == ("motion", "stop", "lights")
    assert (found.contacts.box, found.contacts.still_s, found.contacts.dark_s) == ("box", 0.05, 2.5)
    assert found.contacts.lights == {"network-delay": LAMP}
    assert not found.wholly_simulated


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('motion = "wheel"', 'motion = "lamp"', "contacts.motion.*is unknown.*wheel"),
        ('still = "50ms"\n', "", "contacts.still.*is missing.*with motion"),
        ('still = "50ms"', 'still = "11s"', "contacts.still.*is no such time"),
        ('stop = "stop"', 'stop = "lamp-test"', "contacts.stop.*released in the safe state"),
        ('alarm_test = "lamp-test"\n', "", "contacts.alarm_test.*is missing.*with lights"),
        ('dark = "2.5s"\n', "", "contacts.dark.*is missing"),
        ('input = "lamp"', 'input = "wheel"', "lights.network-delay.input.*is unknown.*lamp"),
        ('priority = "medium"', 'priority = "loud"', "priority.*is unknown"),
        ('motion = "wheel"', 'motor = "wheel"', "contacts.motor.*unknown key"),
        ('contacts = "box"', "", "contacts.*has no box"),
        ('contacts = "box"', 'monitor = "box"', "roles.monitor.*is a contact-box"),
        ('"/dev/ttyACM0"', '"simulated"', "contacts.*are a real device's"),
    ],
)
def test_what_cannot_be_wired_is_refused(tmp_path, old, new, said) -> None:
    assert old in BOX
    path = tmp_path / "lab.toml"
    path.write_text(HEAD + BOX.replace(old, new))
    with pytest.raises(InputError) as refused:
        load_bench_file(path)
    assert re.search(said, refused.value.line())


def test_lights_and_lines_do_not_both_tell_alarms(tmp_path) -> None:
    path = tmp_path / "lab.toml"
    device = '[device]\nalarms = "127.0.0.1:0"\nside = "patient"\nwitness = "independent"\n'
    path.write_text(HEAD + BOX + device)
    with pytest.raises(InputError, match="both tell alarms"):
        load_bench_file(path)
