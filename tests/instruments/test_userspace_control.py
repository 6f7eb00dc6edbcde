"""The userspace emulator under command: changes, snapshots, draining; and what it alters."""

import os
import select
import signal
import time

import pytest

from bench.errors import InputError
from bench.network.impairment import (
    CLEAN,
    Delay,
    GilbertElliott,
    Impairment,
    Reordering,
    bernoulli,
)
from bench.network.laws import DirectionLaw
from instruments.emulators.base import LinkPlan
from instruments.emulators.userspace import Options, UserspaceEmulator

MS = 1_000_000
REALTIME = Options()
SEED = 5
NAME = "primary/to-doctor"
FOREVER = Impairment(Delay(1000.0))
HOLD = Impairment(hold=True)


def started(wire, changes=(), options=REALTIME, back=()):
    """A wire with an emulator on it that counts session time from now."""
    link, emulator = wire(), UserspaceEmulator(options)
    t0 = time.monotonic_ns()
    emulator.start([LinkPlan("primary", "fa", "fb", tuple(back), tuple(changes), SEED)], t0)
    return link, emulator, t0


def send(link, numbers, size=100):
    for number in numbers:
        link.a.send(link.frame(number, size))


def numbers_of(arrived):
    return [number for number, *_ in arrived]


def way(report):
    return report.direction("primary", "to-doctor")


def wait_until(emulator, met, within_s=10.0):
    """Snapshots until one is as wanted; the last one."""
    deadline = time.monotonic() + within_s
    while True:
        found = emulator.snapshot()
        if met(way(found)) or time.monotonic() > deadline:
            return found
        time.sleep(0.005)


def standing_still(pid):
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while True:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "T":
                return
        assert time.monotonic() < deadline
        time.sleep(0.001)


# What it alters


def test_copies_and_bit_errors_are_those_that_the_law_decided(isolated, wire):
    state = Impairment(Delay(0.002), duplication=0.3, ber=1e-3)
    law = DirectionLaw([(0, state)], seed=SEED, name=NAME)
    expected, damaged = [], 0
    for number in range(300):
        law.offer(number * MS, 100)
        flips = law.flips
        damaged += bool(flips)
        expected += [(number, flips), *([(number, ())] if law.copy_due >= 0 else [])]

    def check():
        link, emulator, _ = started(wire, [(0, state)])
        link_frames = {}
        for number in range(300):
            link_frames[number] = link.frame(number)
            link.a.send(link_frames[number])
        raw = []
        deadline = time.monotonic() + 10
        while len(raw) < len(expected) and time.monotonic() < deadline:
            select.select([link.b], [], [], 0.1)
            while True:
                try:
                    raw.append(link.b.recv(2048))
                except BlockingIOError:
                    break
        direction = way(emulator.stop())
        assert direction.balanced
        assert direction.emulator_drops == 0
        return raw, link_frames, direction

    raw, sent, direction = isolated(check)
    assert len(raw) == len(expected)
    for got, (number, flips) in zip(raw, expected, strict=True):
        bits = int.from_bytes(sent[number], "big")
        for place in flips:
            bits ^= 1 << (799 - place)
        assert got == bits.to_bytes(100, "big")
    assert (direction.rx, direction.accepted, direction.copies) == (300, 300, len(expected) - 300)
    assert direction.tx == len(expected)
    assert direction.damaged == damaged > 50
    assert direction.copies > 50


def test_packets_that_skip_the_delay_overtake(isolated, wire):
    state = Impairment(Delay(0.5), order="allow", reordering=Reordering(1.0, gap=4))

    def check():
        link, emulator, _ = started(wire, [(0, state)])
        send(link, range(20))
        arrived = link.wait_received(link.b, lambda more: len(more) >= 20)
        direction = way(emulator.stop())
        assert direction.balanced
        return numbers_of(arrived), direction.skipped

    first = [3, 7, 11, 15, 19]
    assert isolated(check) == (first + [n for n in range(20) if n not in first], 5)


def test_frames_to_any_address_pass(isolated, wire):
    """The interface is promiscuous while the emulator runs, and no longer."""

    def flags():
        with open("/sys/class/net/fa/flags") as file:
            return int(file.read(), 16)

    def promiscuity():
        from pyroute2 import IPRoute

        with IPRoute() as route:
            (link,) = route.get_links(route.link_lookup(ifname="fa")[0])
            return link.get_attr("IFLA_PROMISCUITY")

    def check():
        _, emulator, _ = started(wire)
        during = promiscuity()
        emulator.stop()
        return during, promiscuity()

    assert isolated(check) == (1, 0)


# Many at a time: the same decisions

STATES = {
    "clean": CLEAN,
    "delay": Impairment(Delay(0.3)),
    "delay, jitter and loss": Impairment(Delay(0.02, "normal", 0.004), loss=bernoulli(0.05)),
    "bursts of loss": Impairment(Delay(0.01), loss=GilbertElliott(0.05, 0.3, 0.01, 0.8)),
    "rate and queue": Impairment(rate_bps=40e6, queue_s=0.02, loss=bernoulli(0.02)),
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("vlan", [None, 0x6123])
def test_many_at_a_time_meet_the_same_decisions(isolated, wire, name, vlan):
    """The forwarder stands still while packets arrive, so it reads them as arrays.

    Their arrival is when they were sent, also where it decides when they are lost: a rate is
    looked at by its sums.
    """
    count, state = 600, STATES[name]

    def size(number):
        return 70 + number * 37 % 1400

    def check():
        link, emulator, _ = started(wire, [(0, state)])
        send(link, range(count, count + 2))  # the law is in force, and nothing waits
        wait_until(emulator, lambda so_far: so_far.rx == 2 and not so_far.in_flight)
        standing_still(emulator.pids[1])
        for number in range(count):
            link.a.send(link.frame(number, size(number), vlan))
        os.kill(emulator.pids[1], signal.SIGCONT)
        report = wait_until(
            emulator, lambda so_far: so_far.rx == count + 2 and not so_far.in_flight
        )
        arrived = link.received(link.b)
        direction = way(emulator.stop())
        link.kept_all()
        assert direction.balanced
        assert way(report).balanced
        assert direction.emulator_drops == 0
        assert direction.lateness.n == direction.tx == len(arrived)
        for number, stamped, there, frame, tag in arrived:
            if number < count:
                assert tag == vlan
                whole = wire.frame(number, size(number))
                length = size(number) - (4 if vlan else 0)
                assert frame[:18] + frame[26:] == (whole[:18] + whole[26:])[: length - 8]
                assert there - stamped > round(state.delay.least_s * 1e9)
        return numbers_of(arrived), direction.fates

    numbers, fates = isolated(check)
    got = [number for number in numbers if number < count]
    assert got == sorted(set(got))
    assert len(numbers) + sum(fates.values()) == count + 2
    if state.rate_bps is None:
        law = DirectionLaw([(0, state)], seed=SEED, name=NAME)
        alone = [law.offer(number * MS, 100) >= 0 for number in range(count + 2)]
        assert got == [number for number, passed in enumerate(alone[2:]) if passed]
    else:
        assert fates["queue_drop"] > 100


def test_a_change_between_many_is_met_at_its_arrival(isolated, wire):
    """Read long after: packets before the change pass, those after it do not."""

    def check():
        link, emulator, t0 = started(wire, [(400 * MS, Impairment(up=False))])
        standing_still(emulator.pids[1])
        send(link, range(200))
        if time.monotonic_ns() - t0 > 390 * MS:
            raise link.too_slow("not sent within 0.4 s")
        time.sleep(max(0.0, (t0 + 410 * MS - time.monotonic_ns()) * 1e-9))
        send(link, range(200, 300))
        os.kill(emulator.pids[1], signal.SIGCONT)
        report = wait_until(emulator, lambda so_far: so_far.rx == 300)
        arrived = link.received(link.b)
        emulator.stop()
        return numbers_of(arrived), way(report).fates["down"], way(report).changes[0]

    numbers, down, change = isolated(check)
    assert numbers == list(range(200))
    assert down == 100
    assert change.effective_ns >= change.commanded_ns == change.t_ns


def test_what_arrives_behind_a_released_burst_stays_behind_it(isolated, wire):
    """More are due than are sent at a time when the next come: they may not pass."""

    def check():
        link, emulator, t0 = started(wire, [(0, HOLD), (500 * MS, CLEAN)])
        send(link, range(2000))
        wait_until(emulator, lambda so_far: so_far.in_flight == 2000)
        standing_still(emulator.pids[1])
        if time.monotonic_ns() - t0 > 490 * MS:
            raise link.too_slow("not sent within 0.5 s")
        time.sleep((t0 + 510 * MS - time.monotonic_ns()) * 1e-9)
        send(link, range(2000, 2200))
        os.kill(emulator.pids[1], signal.SIGCONT)
        arrived = link.wait_received(link.b, lambda more: len(more) >= 2200)
        emulator.stop()
        link.kept_all()
        return numbers_of(arrived)

    assert isolated(check) == list(range(2200))


# Changes while it runs


def test_a_change_now_meets_what_arrives_later_and_nothing_else(isolated, wire):
    """An outage by command, 20 times, with a packet every half millisecond."""

    def check():
        link, emulator, t0 = started(wire, [(0, Impairment(Delay(0.003)))])
        number, times = 0, []

        def stream(for_ns):
            nonlocal number
            end = time.monotonic_ns() + for_ns
            while time.monotonic_ns() < end:
                link.send(number)
                number += 1
                time.sleep(0.0005)

        for _ in range(10):
            for state in (Impairment(up=False), Impairment(Delay(0.003))):
                stream(10 * MS)
                asked = time.monotonic_ns() - t0
                times.append((asked, emulator.change("primary", "to-doctor", state)))
        stream(30 * MS)
        arrived = link.wait_received(link.b, lambda more: more and more[-1][0] == number - 1)
        direction = way(emulator.stop())
        link.kept_all()
        assert direction.balanced
        changes = direction.changes[1:]
        assert [change.t_ns for change in changes] == [at_ns for _, at_ns in times]
        got = {number for number, *_ in arrived}
        wrong = []
        edges = [0, *(change.commanded_ns for change in changes), 1 << 62]
        for sent in link.sent:
            begin = sum(edge <= sent.made_ns - t0 - 100_000 for edge in edges)
            end = sum(edge <= sent.gone_ns - t0 + 100_000 for edge in edges)
            if begin == end and (sent.number in got) != (begin % 2 == 1):
                wrong.append(sent.number)
        assert not wrong
        for (asked, at_ns), change in zip(times, changes, strict=True):
            assert asked < at_ns
            if change.commanded_ns != at_ns:
                raise link.too_slow("a command took longer than its notice")
            assert at_ns <= change.effective_ns
        return len(changes), direction.fates["down"] > 0

    assert isolated(check) == (20, True)


def test_a_change_that_comes_too_late_is_in_force_from_the_next_arrival(isolated, wire):
    def check():
        link, emulator, t0 = started(wire)
        send(link, range(50))
        wait_until(emulator, lambda so_far: so_far.rx == 50)
        emulator.change("primary", "to-doctor", Impairment(up=False), at_ns=0)
        send(link, range(50, 80))
        so_far = way(wait_until(emulator, lambda so_far: so_far.rx == 80))
        before_end = time.monotonic_ns() - t0
        direction = way(emulator.stop())
        assert so_far.changes == direction.changes
        arrived = link.received(link.b)
        return numbers_of(arrived), direction.fates["down"], direction.changes, before_end

    numbers, down, (change,), end_ns = isolated(check)
    assert numbers == list(range(50))
    assert down == 30
    assert change.t_ns == 0 < change.commanded_ns < change.effective_ns < end_ns


def test_a_change_before_a_known_one_is_refused(isolated, wire):
    def check():
        _, emulator, _ = started(wire, [(1000 * MS, FOREVER)])
        reasons = []
        for link, at_ns in (("primary", 999 * MS), ("primary", None), ("standby", 2000 * MS)):
            with pytest.raises(InputError) as refused:
                emulator.change(link, "to-doctor", CLEAN, at_ns)
            reasons.append(str(refused.value))
        at_ns = emulator.change("primary", "to-doctor", CLEAN, 1000 * MS)
        return reasons, at_ns, [change.t_ns for change in way(emulator.stop()).changes]

    reasons, at_ns, times = isolated(check)
    assert "at 1 s" in reasons[0]
    assert "at 1 s" in reasons[1]
    assert "standby/to-doctor" in reasons[2]
    assert at_ns == 1000 * MS
    assert times == [1000 * MS, 1000 * MS]


def test_order_can_be_given_up_while_packets_wait(isolated, wire):
    def check():
        link, emulator, _ = started(wire, [(0, Impairment(Delay(0.8)))])
        send(link, range(40))
        wait_until(emulator, lambda so_far: so_far.in_flight == 40)
        emulator.change("primary", "to-doctor", Impairment(Delay(0.001), order="allow"))
        time.sleep(0.02)
        send(link, range(40, 60))
        arrived = link.wait_received(link.b, lambda more: len(more) >= 60)
        direction = way(emulator.stop())
        assert direction.balanced
        made = {number: stamped for number, stamped, *_ in arrived}
        if made[59] - made[0] > 700 * MS:
            raise link.too_slow("the first were due before the last were sent")
        return numbers_of(arrived)

    assert isolated(check) == [*range(40, 60), *range(40)]


def test_a_hold_by_command_waits_for_the_command_that_ends_it(isolated, wire):
    def check():
        link, emulator, _ = started(wire)
        emulator.change("primary", "to-doctor", HOLD)
        time.sleep(0.02)
        send(link, range(100))
        held = wait_until(emulator, lambda so_far: so_far.undecided == 100)
        nothing = link.received(link.b)
        emulator.change("primary", "to-doctor", Impairment(Delay(0.001)))
        arrived = link.wait_received(link.b, lambda more: len(more) >= 100)
        direction = way(emulator.stop())
        assert way(held).balanced
        assert direction.balanced
        assert direction.undecided == 0
        return way(held).undecided, nothing, numbers_of(arrived), direction.fates["down"]

    assert isolated(check) == (100, [], list(range(100)), 0)


def test_a_hold_that_nothing_ends_loses_as_the_law_says(isolated, wire):
    def check():
        link, emulator, _ = started(wire, [(0, HOLD)])
        send(link, range(30))
        wait_until(emulator, lambda so_far: so_far.undecided == 30)
        direction = way(emulator.stop())
        assert direction.balanced
        return direction.fates["down"], direction.tx, direction.undecided

    assert isolated(check) == (30, 0, 0)


# Snapshots


def test_a_snapshot_counts_without_disturbing(isolated, wire):
    changes = [(0, Impairment(Delay(0.001))), (100_000 * MS, CLEAN)]

    def check():
        link, emulator, _ = started(wire, changes)
        counts = []
        for number in range(3):
            send(link, range(number * 10, number * 10 + 10))
            counts.append(
                way(wait_until(emulator, lambda so_far, n=number: so_far.tx == 10 * n + 10))
            )
        last = way(emulator.stop())
        return counts, last, len(link.received(link.b))

    counts, last, arrived = isolated(check)
    assert [count.tx for count in counts] == [10, 20, 30]
    assert [count.lateness.n for count in counts] == [10, 20, 30]
    assert all(count.balanced and not count.lateness.histogram for count in counts)
    first, second = counts[0].changes
    assert 0 == first.commanded_ns <= first.effective_ns
    assert (second.commanded_ns, second.effective_ns) == (None, None)
    assert [count.changes[0] for count in counts] == [first] * 3
    assert last.changes[0] == first
    assert (last.tx, arrived) == (30, 30)
    assert last.lateness.histogram


# Draining


@pytest.mark.parametrize("order", ["preserve", "allow"])
def test_draining_lets_go_all_that_waits_in_order_at_once(isolated, wire, order):
    state = FOREVER.with_(order=order)

    def check():
        link, emulator, _ = started(wire, [(0, state)])
        send(link, range(300))
        waiting = way(wait_until(emulator, lambda so_far: so_far.in_flight == 300)).in_flight
        direction = way(emulator.stop(drain=True))
        arrived = link.received(link.b)
        assert direction.balanced
        return waiting, numbers_of(arrived), direction.tx, direction.in_flight, direction.lateness.n

    assert isolated(check) == (300, list(range(300)), 300, 0, 0)


def test_draining_also_lets_go_what_is_held_and_what_was_not_read(isolated, wire):
    def check():
        link, emulator, _ = started(wire, [(0, HOLD)])
        send(link, range(40))
        wait_until(emulator, lambda so_far: so_far.undecided == 40)
        standing_still(emulator.pids[1])
        send(link, range(40, 90))
        os.kill(emulator.pids[1], signal.SIGCONT)
        direction = way(emulator.stop(drain=True))
        arrived = link.received(link.b)
        assert direction.balanced
        return numbers_of(arrived), direction.tx, direction.fates["down"]

    assert isolated(check) == (list(range(90)), 90, 0)


# Bounds


def test_more_than_may_wait_is_left_to_the_kernel_and_said(isolated, wire):
    options = Options(ring_frames=64, most_waiting=100)

    def check():
        link, emulator, _ = started(wire, [(0, FOREVER)], options)
        for begin in range(0, 300, 10):
            send(link, range(begin, begin + 10))
            time.sleep(0.01)
        so_far = way(emulator.snapshot()).kernel_drops
        direction = way(emulator.stop())
        assert so_far == direction.kernel_drops
        return direction.in_flight, direction.kernel_drops, direction.rx, direction.beyond_envelope

    waiting, drops, read, beyond = isolated(check)
    assert 100 <= waiting < 180
    assert drops + read >= 300 - 64
    assert drops > 50
    assert f"{drops} packets dropped" in beyond


@pytest.mark.parametrize("state", [HOLD, FOREVER, FOREVER.with_(order="allow")])
def test_one_that_may_take_no_more_sleeps(isolated, wire, state):
    def check():
        link, emulator, _ = started(wire, [(0, state)], Options(most_waiting=10))
        send(link, range(100))
        time.sleep(0.05)
        before, began = way(emulator.snapshot()).cpu_s, time.monotonic()
        time.sleep(0.4)
        spent, took = way(emulator.snapshot()).cpu_s - before, time.monotonic() - began
        waits = way(emulator.stop())
        return spent / took, waits.in_flight + waits.fates["down"], waits.unread

    share, waiting, unread = isolated(check)
    assert share < 0.5
    assert waiting >= 10
    assert waiting + unread == 100


def test_what_is_late_is_beyond_the_envelope(isolated, wire):
    def check():
        link, emulator, _ = started(wire)
        standing_still(emulator.pids[1])
        send(link, range(50))
        time.sleep(0.02)
        os.kill(emulator.pids[1], signal.SIGCONT)
        late = way(wait_until(emulator, lambda so_far: so_far.tx == 50))
        return late.beyond_envelope, emulator.stop().direction("primary", "to-patient")

    beyond, other = isolated(check)
    assert "p99 lateness" in beyond
    assert "above 1 ms" in beyond
    assert other.beyond_envelope == ""
