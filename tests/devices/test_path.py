"""A hole for large packets: the probes in the heartbeats, and what a device makes of them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.benches.local.payloads import payload_of
from bench.devices.carriages import DTLS_BYTES
from bench.devices.links import LinkSupervisor, LinkTraits
from bench.devices.path import MAX_PROBES, NOTICE_BEATS, PROBE_EVERY, PathWatch
from bench.devices.ports import PAD, Message, payload_bytes
from bench.devices.registry import find_device
from bench.devices.traits import Traits
from bench.devices.wire import decode, encode
from bench.units import ns

BEAT_NS = 20_000_000


def watched(arrives, first=0, later_s=0.0, until=60):
    """When a watch found a hole that was told of the heartbeats that ``arrives`` lets through."""
    watch, narrow = PathWatch(1, later_s), []
    for number in range(until):
        padded = number % PROBE_EVERY == 0
        if arrives(number, padded):
            watch.heartbeat(number * BEAT_NS, 0, first + number, padded)
        narrow.append(watch.narrow(number * BEAT_NS)[0])
    return narrow


@given(hole=st.integers(1, 29), first=st.integers(0, 1 << 20))
def test_a_hole_is_found_as_soon_as_three_probes_in_a_row_are_missing(hole, first):
    narrow = watched(lambda number, padded: not padded or number < hole, first)
    third = hole + -hole % PROBE_EVERY + (MAX_PROBES - 1) * PROBE_EVERY
    assert narrow.index(True) == third + 1 < hole + NOTICE_BEATS
    assert all(narrow[third + 1 :])


def test_a_hole_that_was_there_from_the_start_is_found_too():
    narrow = watched(lambda _, padded: not padded, first=3)
    assert narrow.index(True) == PROBE_EVERY * MAX_PROBES + 1


@given(lost=st.sets(st.integers(1, 58)))
def test_without_three_missing_probes_in_a_row_there_is_no_hole(lost):
    probes = [number in lost for number in range(0, 60, PROBE_EVERY)]
    runs = zip(probes, probes[1:], probes[2:], strict=False)
    if not any(all(run) for run in runs):
        assert not any(watched(lambda number, _: number not in lost))


@pytest.mark.parametrize("outage_beats", [16, 17, 20, 33])
def test_an_outage_is_no_hole(outage_beats):
    assert not any(watched(lambda number, _: not 7 <= number < 7 + outage_beats))


def test_a_probe_or_large_data_close_the_hole():
    watch = PathWatch(2)
    for number in (n for n in range(20) if n % PROBE_EVERY):
        watch.heartbeat(number, 1, number, False)
    assert watch.narrow(99) == [False, True]
    watch.heartbeat(100, 1, 60, False)
    assert watch.narrow(100) == [False, True], "a gap of heartbeats does not close it"
    watch.passed(1)
    assert watch.narrow(101) == [False, False]


def test_a_late_watch_is_late():
    narrow = watched(lambda _, padded: not padded, later_s=0.4)
    prompt = watched(lambda _, padded: not padded)
    assert narrow.index(True) - prompt.index(True) == 20


def supervised(*narrow, peer=(0, 0)):
    links = LinkSupervisor(2, silence_s=0.15, switch_back_after_s=2.0)
    links.last_heard_ns = [ns(1.0), ns(1.0)]
    links.peer_hears([1, 1])
    for link in narrow:
        for number in (n for n in range(20) if n % PROBE_EVERY):
            links.path.heartbeat(number, link, number, False)
    links.peer_narrow(peer)
    links.supervise(ns(1.0))
    return links


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_link_with_a_hole_either_way_is_left_and_announced(where):
    links = supervised(0) if where == "here" else supervised(peer=(1, 0))
    assert (links.usable(0), links.good(0)) == (True, False)
    assert links.announced(ns(1.0), 0)
    assert not links.announced(ns(1.0), 1)
    assert links.choose(ns(1.0)) == (0, 1, "active link loses large packets")


def test_a_device_comes_back_once_the_hole_has_been_closed_for_a_while():
    links = supervised(0)
    links.choose(ns(1.0))
    links.path.passed(0)
    links.supervise(ns(1.1))
    assert links.choose(ns(1.1)) is None
    links.last_heard_ns = [ns(3.1), ns(3.1)]
    links.supervise(ns(3.1))
    assert links.choose(ns(3.1)) == (1, 0, "preferred link restored")


def test_holes_everywhere_are_better_than_no_link():
    links = supervised(0, 1)
    assert links.connected
    assert links.choose(ns(1.0)) is None
    links.last_heard_ns = [-1, ns(1.2)]
    links.supervise(ns(1.2))
    assert links.choose(ns(1.2)) == (0, 1, "active link lost")


@pytest.mark.parametrize("carriage", ["datagram", "dtls"])
def test_a_padded_message_is_as_large_on_the_wire_as_it_says(carriage):
    control = dataclasses.replace(find_device("vr-trainer").stream("control"), carriage=carriage)
    heartbeat = Message(control.code, 5, 1, 0, {"heard": [1, 1], PAD: 1447})
    assert payload_bytes(heartbeat, control.payload_bytes) == 1447
    assert len(payload_of(heartbeat, control)) == 1447
    plain = heartbeat._replace(body={"heard": [1, 1]})
    assert len(payload_of(plain, control)) == control.payload_bytes
    inside = encode(heartbeat, 1447 - DTLS_BYTES)
    assert (len(inside), decode(inside)) == (1447 - DTLS_BYTES, heartbeat)


def test_by_default_a_device_probes():
    traits = Traits(command_age_s=1.0, signal_after_s=0.1)
    assert traits.links == LinkTraits(probes_path=True, follows_address=True)
