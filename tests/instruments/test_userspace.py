"""The userspace emulator on real veth pairs: what it decides, when it releases, what it admits."""

import gc
import os
import select
import signal
import time
from itertools import pairwise

import pytest

from bench.network.impairment import CLEAN, Delay, Impairment, bernoulli
from bench.network.laws import DirectionLaw
from instruments.emulators.base import EmulatorError, LinkPlan
from instruments.emulators.userspace import Options, UserspaceEmulator, forward

MS = 1_000_000
SEED = 5
STAMP_NS = 100_000
"""What reading two clocks one after the other may put between two stamps of one instant."""


def at(seconds, impairment):
    return (round(seconds * 1e9), impairment)


def timely(wire):
    """A wire for a process that keeps time: looking through all of pytest's objects takes 50 ms."""
    gc.freeze()
    return wire()


def play(wire, changes, count, gap_ns, until, *, size=lambda number: 100):
    """Send ``count`` numbered frames into a new wire, until what came is ``until(arrived)``.

    Gives (wire, t0, arrivals, report of the direction). Frame n goes at n gaps, or later: only
    the wire's stamps say when.
    """
    link = timely(wire)
    emulator = UserspaceEmulator()
    plan = LinkPlan("primary", "fa", "fb", (), tuple(changes), SEED)
    t0 = time.monotonic_ns() + 300 * MS
    emulator.start([plan], t0)
    try:
        arrived = []
        for number in range(count):
            planned = t0 + MS + number * gap_ns
            wait = planned - time.monotonic_ns()
            if wait > 0:
                time.sleep(wait * 1e-9)
            link.send(number, size(number), planned)
            if number % 64 == 0:
                arrived += link.received(link.b)
        arrived += link.wait_received(link.b, lambda more: until(arrived + more))
    finally:
        report = emulator.stop()
    arrived += link.received(link.b)
    link.kept_all()
    direction = report.direction("primary", "to-doctor")
    assert direction.balanced
    assert direction.emulator_drops == 0
    assert direction.unread == 0
    assert direction.clock_steps == 0
    other = report.direction("primary", "to-patient")
    assert (other.rx, other.tx) == (0, 0)
    return link, t0, arrived, direction


def all_of(count):
    return lambda arrived: len(arrived) >= count


def last_is(number):
    """Where no frame overtakes another, none comes after the last."""
    return lambda arrived: bool(arrived) and arrived[-1][0] == number


def sent_within(link, t0, start_ms, end_ms):
    """Numbers of the frames that surely entered the emulator between two session times."""
    start, end = t0 + start_ms * MS + STAMP_NS, t0 + end_ms * MS - STAMP_NS
    return [sent.number for sent in link.sent if start <= sent.made_ns and sent.gone_ns < end]


def enough(link, *groups):
    """Demand that the sender got some frames out in each of the times that matter."""
    for group in groups:
        if len(group) < 20:
            raise link.too_slow(f"only {len(group)} frames were sent where many were meant")


def test_a_clean_link_passes_everything_unchanged_and_in_order(isolated, wire):
    def check():
        def size(number):
            return 64 + number % 1400

        link, _, arrived, direction = play(wire, [], 3000, 100_000, all_of(3000), size=size)
        made = {sent.number: sent.made_ns for sent in link.sent}
        for number, (seen, stamped, there, frame, _) in enumerate(arrived):
            assert seen == number
            expected = wire.frame(number, size(number))
            assert frame[:18] + frame[26:] == expected[:18] + expected[26:]
            assert stamped == made[number] < there
        return len(arrived), direction.rx, direction.tx, sum(direction.fates.values())

    assert isolated(check) == (3000, 3000, 3000, 0)


def test_a_constant_delay_is_applied_and_never_cut_short(isolated, wire):
    def check():
        delay = Impairment(Delay(0.010))
        began = time.monotonic()
        link, _, arrived, direction = play(wire, [at(0, delay)], 1000, MS, all_of(1000))
        took_s = time.monotonic() - began
        errors = sorted(there - made - 10 * MS for _, made, there, _, _ in arrived)
        assert len(errors) == 1000
        assert errors[0] >= 0
        assert direction.lateness.n == 1000
        assert direction.cpu_s < 0.6 * took_s
        link.kept_time()
        return errors[500]

    assert isolated(check) < 2 * MS


def test_bursts_of_3d_video_pass_with_their_delay(isolated, wire):
    """40 frames of 240 packets every 16.7 ms: 14 k packets/s."""

    def check():
        link = timely(wire)
        emulator = UserspaceEmulator()
        changes = (at(0, Impairment(Delay(0.010))),)
        t0 = time.monotonic_ns()
        emulator.start([LinkPlan("primary", "fa", "fb", (), changes, SEED)], t0)
        arrived, begin = [], time.monotonic_ns() + 5 * MS
        for burst in range(40):
            # Take what comes until the next is due. A sender that is far ahead waits: the
            # places of the ring are no part of this.
            while True:
                wait = begin + burst * 16_666_667 - time.monotonic_ns()
                behind = burst * 240 - len(arrived) > 2000
                if wait <= 0 and not behind:
                    break
                select.select([link.b], [], [], 1.0 if behind else wait * 1e-9)
                more = link.received(link.b)
                if behind and not more:
                    raise link.too_slow("nothing came for a second")
                arrived += more
            for number in range(240):
                # The first of a burst has a time to keep, the others follow at once.
                planned = begin + burst * 16_666_667 if number == 0 else time.monotonic_ns()
                link.send(burst * 240 + number, 1400, planned)
        arrived += link.wait_received(link.b, lambda more: len(arrived) + len(more) >= 9600)
        direction = emulator.stop().direction("primary", "to-doctor")
        link.kept_all()
        assert direction.balanced
        assert direction.emulator_drops == 0
        assert [number for number, *_ in arrived] == list(range(9600))
        errors = sorted(there - made - 10 * MS for _, made, there, _, _ in arrived)
        assert errors[0] >= 0
        link.kept_time(worst_ns=30 * MS)
        return errors[4800]

    assert isolated(check) < 2 * MS


def test_losses_are_those_that_the_law_decided(isolated, wire):
    """The same seed loses the same packets as the law alone, and nothing else is missing."""
    loss = Impairment(Delay(0.002), loss=bernoulli(0.1))
    law = DirectionLaw([at(0, loss)], seed=SEED, name="primary/to-doctor")
    expected = [number for number in range(1500) if law.offer(number * 200_000, 100) >= 0]

    def check():
        _, _, arrived, direction = play(wire, [at(0, loss)], 1500, 200_000, last_is(expected[-1]))
        return [number for number, *_ in arrived], direction.fates, direction.before_start

    numbers, fates, early = isolated(check)
    assert early == 0
    assert numbers == expected
    assert fates == {"lost": 1500 - len(expected), "queue_drop": 0, "down": 0, "too_long": 0}


def test_what_is_too_long_vanishes_and_nothing_else(isolated, wire):
    """An IP packet of 576 bytes is a frame of 590."""
    hole = Impairment(Delay(0.002), mtu_bytes=576)
    sizes = (590, 591, 100, 1514)

    def check():
        _, _, arrived, direction = play(
            wire, [at(0, hole)], 400, MS, last_is(398), size=lambda number: sizes[number % 4]
        )
        return [number for number, *_ in arrived], direction.fates

    numbers, fates = isolated(check)
    assert numbers == list(range(0, 400, 2))
    assert fates == {"lost": 0, "queue_drop": 0, "down": 0, "too_long": 200}


def test_an_outage_drops_exactly_what_arrives_in_it(isolated, wire):
    def check():
        changes = [at(0, CLEAN), at(0.2, Impairment(up=False)), at(0.4, CLEAN)]
        link, t0, arrived, direction = play(wire, changes, 600, MS, last_is(599))
        before, inside = sent_within(link, t0, 0, 200), sent_within(link, t0, 200, 400)
        after = sent_within(link, t0, 400, 100_000)
        enough(link, before, inside, after)
        numbers = [number for number, *_ in arrived]
        missing = sorted(set(range(600)) - set(numbers))
        assert numbers == sorted(set(numbers))
        # A frame that was on its way in while the state changed may have met either.
        assert missing == list(range(missing[0], missing[0] + len(missing)))
        assert before[-1] < missing[0] <= inside[0]
        assert inside[-1] <= missing[-1] < after[0]
        assert set(inside) <= set(missing)
        assert direction.fates == {
            "lost": 0, "queue_drop": 0, "down": len(missing), "too_long": 0,
        }  # fmt: skip
        begin, end = direction.changes[1:]
        assert_met_by_one_of(begin, [link.sent[missing[0]]], t0)
        assert_met_by_one_of(end, [link.sent[missing[-1] + 1]], t0)
        return True

    assert isolated(check)


def assert_met_by_one_of(change, frames, t0):
    """The change took effect in time: with the arrival of one of these frames."""
    assert change.commanded_ns == change.t_ns <= change.effective_ns
    effective = t0 + change.effective_ns
    assert any(sent.made_ns - STAMP_NS <= effective <= sent.gone_ns + STAMP_NS for sent in frames)


def test_a_hold_releases_everything_at_its_end_in_order(isolated, wire):
    def check():
        changes = [at(0, CLEAN), at(0.2, Impairment(hold=True)), at(0.4, CLEAN)]
        link, t0, arrived, direction = play(wire, changes, 600, MS, all_of(600))
        free, held = sent_within(link, t0, 0, 200), sent_within(link, t0, 200, 400)
        after = sent_within(link, t0, 400, 100_000)
        enough(link, free, held, after)
        assert [number for number, *_ in arrived] == list(range(600))
        left = {number: there - t0 for number, _, there, *_ in arrived}
        assert min(left[number] for number in held) >= 400 * MS
        begin, end = direction.changes[1:]
        assert_met_by_one_of(begin, link.sent[free[-1] + 1 : held[0] + 1], t0)
        assert_met_by_one_of(end, link.sent[held[-1] + 1 : after[0] + 1], t0)
        link.kept_time()
        assert left[held[len(held) // 2]] < 420 * MS
        # What came before the hold did not wait for it, let alone for its end.
        waits = sorted(left[n] + t0 - link.sent[n].made_ns for n in free)
        assert waits[len(waits) // 2] < 2 * MS
        assert left[free[-20]] < 380 * MS
        return True

    assert isolated(check)


def test_a_change_takes_effect_by_arrival_not_by_release(isolated, wire):
    """Packets that wait when the delay changes keep theirs; those that arrive later get the new."""

    def check():
        slow, fast = Impairment(Delay(0.050)), Impairment(Delay(0.005), order="allow")
        changes = [at(0, slow), at(0.2, fast)]
        link, t0, arrived, direction = play(wire, changes, 400, MS, all_of(400))
        old, new = sent_within(link, t0, 0, 200), sent_within(link, t0, 200, 100_000)
        enough(link, old, new)
        waited = {number: there - made for number, made, there, *_ in arrived}
        assert sorted(number for number, *_ in arrived) == list(range(400))
        assert min(waited[number] for number in old) >= 50 * MS
        assert min(waited[number] for number in new) >= 5 * MS
        change = direction.changes[1]
        assert_met_by_one_of(change, link.sent[old[-1] + 1 : new[0] + 1], t0)
        link.kept_time()
        shorter = sorted(waited[number] for number in new)
        assert shorter[len(shorter) // 2] < 8 * MS
        assert sum(a[0] > b[0] for a, b in pairwise(arrived)) > 0
        return True

    assert isolated(check)


def test_a_packet_read_after_a_change_still_gets_what_held_when_it_arrived(isolated, wire):
    """The forwarder stands still across the start of an outage; the stamps decide."""

    def check():
        link = wire()
        changes = (at(0, CLEAN), at(0.4, Impairment(up=False)))
        emulator = UserspaceEmulator()
        t0 = time.monotonic_ns()
        emulator.start([LinkPlan("primary", "fa", "fb", (), changes, SEED)], t0)
        to_doctor = emulator.pids[1]
        freeze(to_doctor)
        for number in range(50):
            link.send(number)
        if len(sent_within(link, t0, 0, 400)) < 50:
            raise link.too_slow("not sent within 0.4 s")
        time.sleep(max(0.0, (t0 + 450 * MS - time.monotonic_ns()) * 1e-9))
        for number in range(50, 80):
            link.send(number)
        os.kill(to_doctor, signal.SIGCONT)
        arrived = link.wait_received(link.b, all_of(50))
        direction = emulator.stop().direction("primary", "to-doctor")
        arrived += link.received(link.b)
        return [number for number, *_ in arrived], direction.fates["down"]

    numbers, down = isolated(check)
    assert numbers == list(range(50))
    assert down == 30


def test_a_vlan_tag_is_kept(isolated, wire):
    def check():
        link = wire()
        emulator = UserspaceEmulator()
        emulator.start([LinkPlan("primary", "fa", "fb", (), (), SEED)], time.monotonic_ns())
        link.a.send(link.frame(7, 200, vlan=0x6123))
        (arrived,) = link.wait_received(link.b, all_of(1))
        report = emulator.stop()
        return arrived[0], arrived[4], len(arrived[3]), report.direction("primary", "to-doctor").tx

    assert isolated(check) == (7, 0x6123, 196, 1)


def test_packets_the_kernel_drops_are_reported(isolated, wire):
    """A forwarder that stands still with a ring of 32 places misses the other 168 of 200."""

    def check():
        link = wire()
        emulator = UserspaceEmulator(Options(ring_frames=32))
        plan = LinkPlan("primary", "fa", "fb", (), (), SEED)
        emulator.start([plan], time.monotonic_ns())
        to_doctor = emulator.pids[1]
        freeze(to_doctor)
        for number in range(200):
            link.a.send(link.frame(number))
        os.kill(to_doctor, signal.SIGCONT)
        arrived = link.wait_received(link.b, all_of(32))
        direction = emulator.stop().direction("primary", "to-doctor")
        arrived += link.received(link.b)
        assert direction.balanced
        assert [number for number, *_ in arrived] == list(range(32))
        return direction.kernel_drops, direction.emulator_drops

    assert isolated(check) == (168, 168)


def freeze(pid):
    """Stop a process, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while state(pid) != "T":
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_waits_at_the_end_is_in_flight_not_lost(isolated, wire):
    def check():
        link = wire()
        changes = (at(0, Impairment(Delay(1000.0))),)
        emulator = UserspaceEmulator()
        t0 = time.monotonic_ns() - 1_000 * MS
        emulator.start([LinkPlan("primary", "fa", "fb", changes, changes, SEED)], t0)
        for number in range(20):
            link.a.send(link.frame(number))
        report = emulator.stop()  # which fails after five seconds
        direction = report.direction("primary", "to-doctor")
        assert direction.balanced
        return direction.in_flight, direction.tx, direction.emulator_drops, report.to_json()

    in_flight, sent, drops, data = isolated(check)
    assert (in_flight, sent, drops) == (20, 0, 0)
    assert [entry["direction"] for entry in data["directions"]] == ["to-patient", "to-doctor"]


def test_packets_before_session_time_zero_pass_untouched(isolated, wire):
    def check():
        link = wire()
        changes = (at(0, Impairment(Delay(1000.0))),)
        emulator = UserspaceEmulator()
        plan = LinkPlan("primary", "fa", "fb", (), changes, SEED)
        emulator.start([plan], time.monotonic_ns() + 100_000 * MS)
        link.a.send(link.frame(1))
        arrived = len(link.wait_received(link.b, all_of(1)))
        direction = emulator.stop().direction("primary", "to-doctor")
        return arrived, direction.before_start, direction.accepted, direction.balanced

    assert isolated(check) == (1, 1, 0, True)


def test_a_session_end_ends_the_forwarder(isolated, wire):
    def check():
        wire()
        plan = LinkPlan("primary", "fa", "fb", (), (), SEED)
        t0 = time.monotonic_ns()
        forward(plan, "to-doctor", t0, end_ns=50 * MS, options=Options(realtime=False))
        return (time.monotonic_ns() - t0) * 1e-9

    assert 0.05 <= isolated(check) < 10.0  # else it would never end


def test_a_missing_interface_is_said_and_leaves_nobody_behind(isolated, wire):
    def check():
        wire()
        emulator = UserspaceEmulator()
        plan = LinkPlan("primary", "fa", "nosuch", (), (), SEED)
        with pytest.raises(EmulatorError, match="nosuch"):
            emulator.start([plan], time.monotonic_ns())
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return emulator.pids

    assert isolated(check) == ()


def test_forwarders_die_with_their_parent(isolated, wire):
    def check():
        wire()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            emulator = UserspaceEmulator()
            plan = LinkPlan("primary", "fa", "fb", (), (), SEED)
            emulator.start([plan], time.monotonic_ns())
            os.write(write, " ".join(map(str, emulator.pids)).encode())
            time.sleep(60)
        pids = [int(text) for text in os.read(read, 100).split()]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 20
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(pids), [pid for pid in pids if alive(pid)]

    assert isolated(check) == (2, [])


def alive(pid):
    return state(pid) not in "ZX"


def state(pid):
    """The process's state as ps shows it; X where it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
