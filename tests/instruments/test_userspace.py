"""The userspace emulator on real veth pairs: what it decides, when it releases, what it admits."""

import os
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


def at(seconds, impairment):
    return (round(seconds * 1e9), impairment)


def play(wire, changes, count, gap_ns, *, size=lambda number: 100, tail_s=0.2):
    """Send ``count`` numbered frames into a new wire; (t0, arrivals, report as data, direction)."""
    link = wire()
    emulator = UserspaceEmulator()
    plan = LinkPlan("primary", "fa", "fb", (), tuple(changes), SEED)
    t0 = time.monotonic_ns() + 20 * MS
    emulator.start([plan], t0)
    try:
        arrived = []
        for number in range(count):
            wait = t0 + number * gap_ns - time.monotonic_ns()
            if wait > 0:
                time.sleep(wait * 1e-9)
            link.a.send(link.frame(number, size(number)))
            if number % 64 == 0:
                arrived += link.received(link.b)
        time.sleep(tail_s)
        arrived += link.received(link.b)
    finally:
        report = emulator.stop()
    direction = report.direction("primary", "to-doctor")
    assert direction.balanced
    assert direction.emulator_drops == 0
    assert direction.unread == 0
    assert direction.clock_steps == 0
    other = report.direction("primary", "to-patient")
    assert (other.rx, other.tx) == (0, 0)
    return t0, arrived, direction


def test_a_clean_link_passes_everything_unchanged_and_in_order(isolated, wire):
    def check():
        def size(number):
            return 64 + number % 1400

        _, arrived, direction = play(wire, [], 3000, 100_000, size=size)
        for number, (seen, made, _, frame, _) in enumerate(arrived):
            assert seen == number
            expected = wire.frame(number, size(number))
            assert frame[:18] + frame[26:] == expected[:18] + expected[26:]
            assert made
        return len(arrived), direction.rx, direction.tx, sum(direction.fates.values())

    assert isolated(check) == (3000, 3000, 3000, 0)


def test_a_constant_delay_is_applied_and_never_cut_short(isolated, wire):
    def check():
        delay = Impairment(Delay(0.010))
        _, arrived, direction = play(wire, [at(0, delay)], 1000, MS)
        assert direction.lateness.n == 1000
        assert direction.cpu_s < 0.6
        return sorted(there - made - 10 * MS for _, made, there, _, _ in arrived)

    errors = isolated(check)
    assert len(errors) == 1000
    assert errors[0] >= 0
    assert errors[500] < 2 * MS


def test_bursts_of_3d_video_pass_with_their_delay(isolated, wire):
    """40 frames of 240 packets every 16.7 ms: 14 k packets/s."""

    def check():
        link = wire()
        emulator = UserspaceEmulator()
        changes = (at(0, Impairment(Delay(0.010))),)
        t0 = time.monotonic_ns()
        emulator.start([LinkPlan("primary", "fa", "fb", (), changes, SEED)], t0)
        arrived = []
        for burst in range(40):
            for number in range(240):
                link.a.send(link.frame(burst * 240 + number, 1400))
            time.sleep(0.0125)
            arrived += link.received(link.b)
        time.sleep(0.1)
        arrived += link.received(link.b)
        direction = emulator.stop().direction("primary", "to-doctor")
        assert direction.balanced
        assert direction.emulator_drops == 0
        assert [number for number, *_ in arrived] == list(range(9600))
        return sorted(there - made - 10 * MS for _, made, there, _, _ in arrived)

    errors = isolated(check)
    assert errors[0] >= 0
    assert errors[4800] < 2 * MS


def test_losses_are_those_that_the_law_decided(isolated, wire):
    """The same seed loses the same packets as the law alone, and nothing else is missing."""
    loss = Impairment(Delay(0.002), loss=bernoulli(0.1))

    def check():
        _, arrived, direction = play(wire, [at(0, loss)], 1500, 200_000)
        return [number for number, *_ in arrived], direction.fates, direction.before_start

    numbers, fates, early = isolated(check)
    law = DirectionLaw([at(0, loss)], seed=SEED, name="primary/to-doctor")
    expected = [number for number in range(1500) if law.offer(number * 200_000, 100) >= 0]
    assert early == 0
    assert numbers == expected
    assert fates == {"lost": 1500 - len(expected), "queue_drop": 0, "down": 0}


def test_an_outage_drops_exactly_what_arrives_in_it(isolated, wire):
    def check():
        changes = [at(0, CLEAN), at(0.2, Impairment(up=False)), at(0.4, CLEAN)]
        t0, arrived, direction = play(wire, changes, 600, MS)
        numbers = {number for number, *_ in arrived}
        for number, made, there, _, _ in arrived:
            assert made - t0 < 200 * MS or there - t0 >= 400 * MS, number
        begin, end = direction.changes[1].effective_ns, direction.changes[2].effective_ns
        missing = [number for number in range(600) if number not in numbers]
        assert missing == list(range(missing[0], missing[0] + len(missing)))
        return len(missing), direction.fates["down"], missing[0], begin, end

    count, down, first, begin, end = isolated(check)
    assert count == down
    # Frame n is made at n ms or later: none before 200 ms is dropped, none from 400 ms on.
    assert first <= 200
    assert begin >= 200 * MS
    assert end >= 400 * MS


def test_a_hold_releases_everything_at_its_end_in_order(isolated, wire):
    def check():
        changes = [at(0, CLEAN), at(0.2, Impairment(hold=True)), at(0.35, CLEAN)]
        t0, arrived, direction = play(wire, changes, 500, MS)
        assert [number for number, *_ in arrived] == list(range(500))
        begin, end = (change.effective_ns for change in direction.changes[1:])
        # Frame n is made at n ms or later, so these were surely held (or surely not).
        held = [there - t0 for n, made, there, *_ in arrived if n >= 200 and made - t0 < 349 * MS]
        free = [there - t0 for n, _, there, *_ in arrived if n < 150]
        return held, max(free), begin, end

    held, last_free, begin, end = isolated(check)
    assert len(held) > 50
    assert min(held) >= 350 * MS
    assert held[len(held) // 2] < 370 * MS
    assert last_free < 350 * MS
    assert begin >= 200 * MS
    assert end >= 350 * MS


def test_a_change_takes_effect_by_arrival_not_by_release(isolated, wire):
    """Packets that wait when the delay changes keep theirs; those that arrive later get the new."""

    def check():
        slow, fast = Impairment(Delay(0.050)), Impairment(Delay(0.005), order="allow")
        changes = [at(0, slow), at(0.2, fast)]
        t0, arrived, direction = play(wire, changes, 400, MS)
        assert len(arrived) == 400
        for number, made, there, _, _ in arrived:
            # Made at or after 200 ms is surely new; made before n*1 ms < 190 is surely old.
            if made - t0 >= 200 * MS:
                assert there - made >= 5 * MS
            elif number < 150:
                assert there - made >= 50 * MS
        new = sorted(there - made for n, made, there, *_ in arrived if n >= 200)
        overtaken = sum(a[0] > b[0] for a, b in pairwise(arrived))
        return new[len(new) // 2], overtaken, direction.changes[1]

    median, overtaken, change = isolated(check)
    assert 5 * MS <= median < 8 * MS
    assert overtaken > 0
    assert change.t_ns == change.commanded_ns == 200 * MS
    assert change.effective_ns >= change.t_ns


def test_a_packet_read_after_a_change_still_gets_what_held_when_it_arrived(isolated, wire):
    """The forwarder stands still across the start of an outage; the stamps decide."""

    def check():
        link = wire()
        changes = (at(0, CLEAN), at(0.4, Impairment(up=False)))
        emulator = UserspaceEmulator()
        t0 = time.monotonic_ns()
        emulator.start([LinkPlan("primary", "fa", "fb", (), changes, SEED)], t0)
        to_doctor = emulator.pids[1]
        os.kill(to_doctor, signal.SIGSTOP)
        for number in range(50):
            link.a.send(link.frame(number))
        in_time = time.monotonic_ns() - t0 < 400 * MS
        time.sleep(max(0.0, (t0 + 450 * MS - time.monotonic_ns()) * 1e-9))
        for number in range(50, 80):
            link.a.send(link.frame(number))
        os.kill(to_doctor, signal.SIGCONT)
        time.sleep(0.1)
        numbers = [number for number, *_ in link.received(link.b)]
        return in_time, numbers, emulator.stop().direction("primary", "to-doctor").fates["down"]

    in_time, numbers, down = isolated(check)
    assert in_time, "this machine stood still for 0.4 s: nothing was shown"
    assert numbers == list(range(50))
    assert down == 30


def test_a_vlan_tag_is_kept(isolated, wire):
    def check():
        link = wire()
        emulator = UserspaceEmulator()
        emulator.start([LinkPlan("primary", "fa", "fb", (), (), SEED)], time.monotonic_ns())
        link.a.send(link.frame(7, 200, vlan=0x6123))
        time.sleep(0.1)
        (arrived,) = link.received(link.b)
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
        os.kill(to_doctor, signal.SIGSTOP)
        time.sleep(0.05)
        for number in range(200):
            link.a.send(link.frame(number))
        os.kill(to_doctor, signal.SIGCONT)
        time.sleep(0.1)
        arrived = len(link.received(link.b))
        direction = emulator.stop().direction("primary", "to-doctor")
        assert direction.balanced
        return arrived, direction.kernel_drops, direction.emulator_drops

    arrived, drops, emulator_drops = isolated(check)
    assert arrived + drops == 200
    assert drops == emulator_drops == 168


def test_what_waits_at_the_end_is_in_flight_not_lost(isolated, wire):
    def check():
        link = wire()
        changes = (at(0, Impairment(Delay(5.0))),)
        emulator = UserspaceEmulator()
        t0 = time.monotonic_ns() - 1_000 * MS
        emulator.start([LinkPlan("primary", "fa", "fb", changes, changes, SEED)], t0)
        for number in range(20):
            link.a.send(link.frame(number))
        time.sleep(0.05)
        began = time.monotonic()
        report = emulator.stop()
        took = time.monotonic() - began
        direction = report.direction("primary", "to-doctor")
        assert direction.balanced
        return direction.in_flight, direction.tx, direction.emulator_drops, took, report.to_json()

    in_flight, sent, drops, took, data = isolated(check)
    assert (in_flight, sent, drops) == (20, 0, 0)
    assert took < 1.0
    assert [entry["direction"] for entry in data["directions"]] == ["to-patient", "to-doctor"]


def test_packets_before_session_time_zero_pass_untouched(isolated, wire):
    def check():
        link = wire()
        changes = (at(0, Impairment(Delay(5.0))),)
        emulator = UserspaceEmulator()
        plan = LinkPlan("primary", "fa", "fb", (), changes, SEED)
        emulator.start([plan], time.monotonic_ns() + 10_000 * MS)
        link.a.send(link.frame(1))
        time.sleep(0.1)
        arrived = len(link.received(link.b))
        direction = emulator.stop().direction("primary", "to-doctor")
        return arrived, direction.before_start, direction.accepted, direction.balanced

    assert isolated(check) == (1, 1, 0, True)


def test_a_session_end_ends_the_forwarder(isolated, wire):
    def check():
        wire()
        plan = LinkPlan("primary", "fa", "fb", (), (), SEED)
        began = time.monotonic()
        t0 = time.monotonic_ns()
        forward(plan, "to-doctor", t0, end_ns=50 * MS, options=Options(realtime=False))
        return time.monotonic() - began

    assert 0.05 <= isolated(check) < 1.0


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
        deadline = time.monotonic() + 5
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(pids), [pid for pid in pids if alive(pid)]

    assert isolated(check) == (2, [])


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
