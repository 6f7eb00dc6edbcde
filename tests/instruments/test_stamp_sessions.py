"""STAMP's sender and reflector without sockets, and the figures against a network that is known."""

from __future__ import annotations

import random
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.probe import notes_of
from bench.studies.probe_figures import figures
from instruments.probes import reflecting
from instruments.probes.probing import NOT_SENT, Session
from instruments.probes.reflecting import Reflector
from instruments.probes.stamp_packets import decode_reflected, decode_test
from instruments.probes.stamp_time import ErrorEstimate

MS, S = 1_000_000, 1_000_000_000
T0 = 1_795_262_249 * S
ESTIMATE = ErrorEstimate.of(0.001, synchronised=False)
KEY = bytes(range(32))
SOURCE = ("192.0.2.1", 40_000)
WAIT = S


def session(count, *, size=44, interval_ns=10 * MS, key=None, ssid=77):
    due = np.arange(count, dtype=np.int64) * interval_ns
    return Session(due, size=size, ssid=ssid, filling=random.Random(1), key=key)


def reflector(*, stateful=True, key=None, ptp=False):
    estimate = ErrorEstimate.of(0.001, synchronised=False, ptp=ptp)
    return Reflector(stateful=stateful, error=lambda: estimate, key=key)


def asked(mirror, data, source=SOURCE, at=T0, ttl=63):
    return mirror.answer(data, source, ttl=ttl, received_ns=at, now_ns=lambda: at + 5_000)


def run(mirror, ours, way, *, offset_ns=0):
    """Send every packet of a session over a network that is known.

    ``way(sequence)``: (delays there, delays back of each of those), in ns; none where lost.
    """
    there, back = [], []
    for sequence in range(len(ours.due_ns)):
        t1 = T0 + int(ours.due_ns[sequence])
        data = ours.packet(t1, ESTIMATE)
        ours.sent(t1, 0)
        delays, backs = way(sequence)
        there += [(t1 + delay, n, data, backs[n]) for n, delay in enumerate(delays)]
    for t2, _, data, delays in sorted(there, key=lambda row: row[:2]):
        t3 = t2 + 7_000
        answer = mirror.answer(
            data, SOURCE, ttl=60, received_ns=t2 + offset_ns, now_ns=lambda t=t3: t + offset_ns
        )
        back += [(t3 + delay, answer) for delay in delays]
    for t4, answer in sorted(back, key=lambda row: row[0]):
        assert ours.take(answer, t4, kernel=True, ttl=59)
    return figures(
        ours.samples(), wait_ns=WAIT, ran_ns=int(ours.due_ns[-1]) + WAIT, numbering="stateful"
    )


# ---- the reflector


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("ptp", [False, True])
def test_the_answer_gives_back_what_was_asked_and_as_much(key, ptp):
    ours = session(1, size=200, key=key)
    data = ours.packet(T0, ESTIMATE)
    answer = asked(reflector(key=key, ptp=ptp), data)
    assert len(answer) == len(data) == 200
    came = decode_reflected(answer, key)
    test = decode_test(data, key)
    assert (came.sender_sequence, came.sender_time) == (0, test.time)
    assert came.sender_error == test.error.encode()
    assert (came.ssid, came.ttl, came.received_ns, came.t_ns) == (77, 63, T0, T0 + 5_000)
    assert came.error.ptp == ptp


def test_a_stateful_reflector_counts_each_session_and_a_stateless_one_copies():
    counting, copying = reflector(), reflector(stateful=False)

    def numbers(mirror, sequence, source=SOURCE, ssid=77, at=T0):
        data = struct.pack("!IQHH28x", sequence, 1, 1, ssid)
        return decode_reflected(asked(mirror, data, source, at)).sequence

    assert [numbers(counting, each) for each in (5, 9, 9)] == [0, 1, 2]
    assert numbers(counting, 5, ssid=78) == 0
    assert numbers(counting, 5, source=("192.0.2.1", 40_001)) == 0
    assert numbers(counting, 5) == 3
    assert numbers(counting, 5, at=T0 + reflecting.IDLE_NS + 1) == 0
    assert counting.counts.sessions == 4
    assert [numbers(copying, each) for each in (5, 9, 9)] == [5, 9, 9]


def test_the_sessions_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(reflecting, "SESSIONS", 10)
    mirror = reflector()
    for port in range(1000):
        data = struct.pack("!IQHH28x", 0, 1, 1, 1)
        assert asked(mirror, data, ("192.0.2.1", port)) is not None
    assert len(mirror._sessions) == 10


@given(st.binary(max_size=300), st.booleans(), st.sampled_from([None, KEY]))
def test_no_bytes_break_the_reflector_or_get_more_than_they_are(data, stateful, key):
    mirror = reflector(stateful=stateful, key=key)
    answer = asked(mirror, data)
    assert answer is None or len(answer) == len(data)
    assert (answer is None) == (sum(mirror.counts.discarded.values()) == 1)
    if key is None:
        assert (answer is not None) == (len(data) >= 41)


@pytest.mark.parametrize("key", [None, KEY])
def test_two_reflectors_do_not_answer_each_other(key):
    mirrors = [
        Reflector(stateful=True, error=lambda: ESTIMATE, key=key, port=862) for _ in range(2)
    ]
    forged = session(1, size=44 if key is None else 112, key=key).packet(T0, ESTIMATE)
    answer = asked(mirrors[0], forged, ("192.0.2.2", 862))
    assert answer is not None  # a sender may well use that port
    assert asked(mirrors[1], answer, ("192.0.2.1", 862)) is None
    assert mirrors[1].counts.discarded == {"a reflection": 1}


def test_what_is_not_signed_is_not_answered():
    ours = session(1)
    mirror = reflector(key=KEY)
    assert asked(mirror, ours.packet(T0, ESTIMATE) + bytes(68)) is None
    assert mirror.counts.discarded == {"not authentic": 1}
    assert mirror.counts.sessions == 0


# ---- the sender


def test_packets_carry_their_number_and_are_as_long_as_asked():
    for size in (44, 48, 1400):
        ours = session(3, size=size)
        for number in range(3):
            data = ours.packet(T0 + number, ESTIMATE)
            ours.sent(T0 + number, 0)
            assert len(data) == size
            assert decode_test(data).sequence == number
            assert decode_test(data).t_ns == T0 + number
    for size in (43, 45, 47):
        with pytest.raises(ValueError, match="octets"):
            session(1, size=size)


def test_only_answers_of_this_session_count():
    ours, mirror = session(2), reflector()
    data = ours.packet(T0, ESTIMATE)
    ours.sent(T0, 0)
    answer = asked(mirror, data)
    other = session(1, ssid=78)
    strange = asked(mirror, other.packet(T0, ESTIMATE))
    later = asked(mirror, struct.pack("!IQHH28x", 1, 1, 1, 77))
    forged = asked(mirror, struct.pack("!IQHH28x", 0, 1, 1, 77))
    for wrong in (b"", answer[:30], strange, later, forged):
        assert not ours.take(wrong, T0 + MS, kernel=True, ttl=64)
    assert ours.samples().ignored == Counter(
        {"too short": 2, "another session": 1, "never sent": 2}
    )
    assert ours.take(answer, T0 + MS, kernel=True, ttl=64)
    assert ours.answered == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_the_sender(data):
    ours = session(1)
    ours.packet(T0, ESTIMATE)
    ours.sent(T0, 0)
    assert not ours.take(data, T0, kernel=True, ttl=64)


def test_a_stamp_from_before_the_packet_was_made_is_not_its_own():
    ours = session(2)
    ours.packet(T0, ESTIMATE)
    ours.sent(T0, 0)
    ours.departed(0, T0 - 1)
    ours.departed(5, T0 + 9)
    assert not ours.samples().t1_kernel.any()
    ours.departed(0, T0 + 9)
    ours.departed(0, T0 + 11)  # the same again: a retransmission is not the packet
    assert ours.samples().t1_ns.tolist() == [T0 + 9]
    assert ours.samples().t1_kernel.tolist() == [True]


# ---- the figures


def steady(there, back):
    return lambda sequence: ([there[sequence % len(there)]], [[back[sequence % len(back)]]])


@given(st.integers(-3_600 * S, 3_600 * S))
def test_the_clocks_offset_is_in_the_one_way_delays_and_nowhere_else(offset_ns):
    there, back = [20 * MS, 30 * MS], [35 * MS, 36 * MS]
    found = run(reflector(), session(10), steady(there, back), offset_ns=offset_ns)
    trips = found["round_trip"]
    assert (trips["n"], trips["min"], trips["max"]) == (10, 0.055, 0.066)
    assert found["residence"]["max"] == 7e-6
    assert found["forward"]["ipdv"] == pytest.approx(
        {"n": 9, "min": 0.01, "p50": 0.01, "p99": 0.01, "p999": 0.01, "max": 0.01, "mean": 0.01}
    )
    assert found["backward"]["ipdv"]["max"] == 0.001
    assert found["forward"]["pdv"]["max"] == 0.01
    shift = offset_ns / S
    assert found["forward"]["delay_with_clock_offset"]["min"] == pytest.approx(0.020 + shift)
    assert found["backward"]["delay_with_clock_offset"]["min"] == pytest.approx(0.035 - shift)
    low, high = found["clock_offset"]["low"], found["clock_offset"]["high"]
    assert low <= shift <= high
    assert high - low == pytest.approx(0.055)


def test_ipdv_is_of_consecutive_packets_only():
    def way(sequence):
        return ([[10, 99, 10, 50, 10][sequence] * MS], [[MS]]) if sequence != 1 else ([], [])

    found = run(reflector(), session(5, interval_ns=100 * MS), way)
    assert found["forward"]["ipdv"]["n"] == 2
    assert found["forward"]["ipdv"]["min"] == 0.04


def test_losses_copies_and_overtaking_are_told_apart_by_direction():
    def way(sequence):
        delay = 45 * MS if sequence == 20 else 10 * MS  # overtaken by four
        back = 60 * MS if sequence == 40 else 10 * MS  # overtaken by five
        if sequence in (3, 4, 5):
            return [], []
        if sequence in (10, 99):
            return [delay], [[]]
        if sequence == 50:
            return [delay, delay + MS], [[back], [back]]
        if sequence == 60:
            return [delay], [[back, back + MS]]
        return [delay], [[back]]

    found = run(reflector(), session(100), way)
    assert (found["sent"], found["received"], found["lost"]) == (100, 95, 5)
    assert found["loss_periods"] == {"count": 3, "longest": 3}
    assert (found["forward"]["lost"], found["backward"]["lost"]) == (3, 1)
    assert found["lost_undecided"] == 1  # the last one: nothing came after it
    assert (found["forward"]["duplicated"], found["backward"]["duplicated"]) == (1, 1)
    assert (found["forward"]["reordered"], found["backward"]["reordered"]) == (1, 1)
    assert (found["duplicated"], found["reordered"]) == (2, 2)
    assert (found["forward"]["ttl"], found["backward"]["ttl"]) == ([60], [59])


fates = st.lists(st.sampled_from(["back", "lost there", "lost back"]), min_size=1, max_size=60)


@given(fates, st.integers(0, 5))
def test_in_order_and_without_copies_the_direction_of_each_loss_is_right(fates, earlier):
    def way(sequence):
        fate = fates[sequence]
        return ([], []) if fate == "lost there" else ([MS], [[] if fate == "lost back" else [MS]])

    mirror = reflector()
    for _ in range(earlier):  # the reflector has counted before, in the same session
        asked(mirror, struct.pack("!IQHH28x", 0, 1, 1, 77))
    found = run(mirror, session(len(fates)), way)
    answered = [n for n, fate in enumerate(fates) if fate == "back"]
    known = fates[: answered[-1]] if answered else []
    there, back = found["forward"]["lost"], found["backward"]["lost"]
    if not answered:
        assert (there, back) == (None, None)
    elif not earlier:
        assert (there, back) == (known.count("lost there"), known.count("lost back"))
    else:
        assert there <= known.count("lost there")
        assert back <= known.count("lost back") + earlier
    assert (there or 0) + (back or 0) + found["lost_undecided"] == found["lost"]


def test_a_reflector_that_had_counted_before_says_nothing_of_the_first_losses():
    mirror = reflector()
    for _ in range(5):
        asked(mirror, struct.pack("!IQHH28x", 0, 1, 1, 77))
    found = run(mirror, session(5), lambda n: ([], []) if n in (0, 3) else ([MS], [[MS]]))
    assert (found["forward"]["lost"], found["backward"]["lost"]) == (1, 0)
    assert found["lost_undecided"] == 1


delays = st.sampled_from([MS, 15 * MS, 40 * MS])
copies = st.lists(st.tuples(delays, st.lists(delays, max_size=2)), max_size=2)


@given(st.lists(copies, min_size=1, max_size=30))
def test_whatever_the_network_does_the_counts_add_up(network):
    def way(sequence):
        there = network[sequence]
        return [delay for delay, _ in there], [back for _, back in there]

    found = run(reflector(), session(len(network)), way)
    split = [found["forward"]["lost"] or 0, found["backward"]["lost"] or 0, found["lost_undecided"]]
    assert min(split) >= 0
    assert sum(split) == found["lost"] == found["sent"] - found["received"]
    answers = sum(len(back) for there in network for _, back in there)
    assert found["received"] + found["duplicated"] == answers
    ways = found["forward"]["duplicated"] + found["backward"]["duplicated"]
    assert ways == found["duplicated"]
    assert found["impossible"] == 0


def test_equal_numbers_say_nothing_of_the_direction():
    def way(sequence):
        return ([MS], [[] if sequence == 2 else [MS]])

    ours, mirror = session(5), reflector(stateful=False)
    run(mirror, ours, way)
    stop = int(ours.due_ns[-1]) + WAIT
    auto = figures(ours.samples(), wait_ns=WAIT, ran_ns=stop)
    assert auto["reflector"]["stateful"] is None
    assert (auto["forward"]["lost"], auto["backward"]["lost"]) == (None, None)
    assert auto["lost_undecided"] == auto["lost"] == 1
    told = figures(ours.samples(), wait_ns=WAIT, ran_ns=stop, numbering="stateful")
    assert (told["forward"]["lost"], told["backward"]["lost"]) == (0, 1)


def test_a_reflector_that_begins_anew_leaves_the_direction_open():
    ours, mirrors = session(6), [reflector(), reflector()]
    for number in range(6):
        t1 = T0 + number * 10 * MS
        data = ours.packet(t1, ESTIMATE)
        ours.sent(t1, 0)
        if number != 1:
            ours.take(asked(mirrors[number > 2], data, at=t1 + MS), t1 + 2 * MS, kernel=True, ttl=1)
    found = figures(ours.samples(), wait_ns=WAIT, ran_ns=2 * S, numbering="stateful")
    assert (found["forward"]["lost"], found["lost_undecided"]) == (None, 1)


def test_late_is_lost_and_young_is_in_flight():
    ours, mirror = session(4, interval_ns=500 * MS), reflector()
    for number in range(4):
        t1 = T0 + number * 500 * MS
        data = ours.packet(t1, ESTIMATE)
        ours.sent(t1, 0)
        if number < 2:
            after = WAIT + 1 if number else MS
            ours.take(asked(mirror, data, at=t1), t1 + after, kernel=False, ttl=64)
    found = figures(ours.samples(), wait_ns=WAIT, ran_ns=2000 * MS + 1)
    assert (found["sent"], found["received"], found["late"]) == (4, 2, 1)
    assert (found["in_flight"], found["lost"]) == (1, 2)
    assert found["loss"] == 2 / 3
    assert found["round_trip"]["n"] == 1
    assert found["stamps"]["t4"] == {"kernel": 0, "userspace": 2}


def test_times_that_contradict_each_other_are_in_no_delay():
    ours, mirror = session(2), reflector()
    for number in range(2):
        t1 = T0 + number * 10 * MS
        data = ours.packet(t1, ESTIMATE)
        ours.sent(t1, 0)
        back = t1 + (2_000 if number else MS)  # before the reflector says it had sent it
        ours.take(asked(mirror, data, at=t1 + 1_000), back, kernel=True, ttl=64)
    found = figures(ours.samples(), wait_ns=WAIT, ran_ns=2 * S)
    assert (found["impossible"], found["received"], found["round_trip"]["n"]) == (1, 2, 1)


def test_what_the_kernel_did_not_take_is_in_no_figure():
    ours = session(2)
    ours.packet(T0, ESTIMATE)
    ours.sent(T0, 0, taken=False)
    found = figures(ours.samples(), wait_ns=WAIT, ran_ns=2 * S)
    assert ours.samples().t1_ns.tolist() == [NOT_SENT]
    assert (found["sent"], found["lost"], found["loss"]) == (0, 0, None)


def test_a_session_without_a_packet_has_figures_of_nothing():
    found = figures(session(3).samples(), wait_ns=WAIT, ran_ns=0)
    assert (found["sent"], found["received"], found["lost"], found["loss"]) == (0, 0, 0, None)
    assert found["round_trip"] == {
        "n": 0,
        **dict.fromkeys(("min", "p50", "p99", "p999", "max", "mean")),
    }


# ---- what makes figures doubtful


def ended(way=lambda sequence: ([MS], [[MS]]), **changes):
    """An ``end`` record, with changes."""
    found = run(reflector(), session(5), way)
    rest = {"complete": True, "clock_steps": 0, "overflowed": 0, "send_failed": {}}
    return found | rest | changes


def test_clean_figures_need_no_note():
    t1_in_userspace = notes_of(ended(), 0.01)
    assert len(t1_in_userspace) == 1
    assert "userspace" in t1_in_userspace[0]
    stamps = {"t1": {"kernel": 5, "userspace": 0}, "t4": {"kernel": 5, "userspace": 0}}
    assert notes_of(ended(stamps=stamps), 0.01) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"complete": False}, "interrupted"),
        ({"clock_steps": 1}, "clock was set"),
        ({"impossible": 2}, "2 answers"),
        ({"overflowed": 3}, "no room for 3"),
        ({"send_failed": {"ENOBUFS": 1}}, "could not send"),
        ({"clock_offset": None}, "changed"),
        ({"lateness": {"p99": 0.006}}, "schedule"),
    ],
    ids=str,
)
def test_what_makes_figures_doubtful_is_said(changes, words):
    assert any(words in note for note in notes_of(ended(**changes), 0.01))


def test_a_loss_that_may_be_on_the_other_way_is_said():
    def way(sequence):
        if sequence == 1:
            return [], []
        return ([MS, MS], [[MS], []]) if sequence == 2 else ([MS], [[MS]])

    found = ended(way)
    assert found["lost"] == 1
    assert found["forward"]["duplicated"] == 0  # the copy's answer never came: nothing shows it
    assert not any("wrong way" in note for note in notes_of(found, 0.01))

    def seen(sequence):
        return ([MS, MS], [[MS], [MS]]) if sequence == 2 else way(sequence)

    assert any("wrong way" in note for note in notes_of(ended(seen), 0.01))
