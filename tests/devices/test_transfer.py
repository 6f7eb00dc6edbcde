"""The resumable transfer: any pattern of loss, copies, reordering and interruption ends alike."""

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.devices.links import LinkSupervisor
from bench.devices.ports import Message
from bench.devices.profile import Stream
from bench.devices.transfer import (
    LEAST_WINDOW,
    REPORTED,
    ImageReceiver,
    ImageSender,
    ImageSet,
    QueueControl,
    TransferTraits,
)

MS = 1_000_000
STREAM = Stream("images", "Images", 3, "patient", 7000, ("dicom",), 1400, 0.001, packets=24)
LIMITS = {"transfer_window": 64.0, "transfer_queue_s": 0.02, "transfer_timeout_s": 0.2}
REPORT_NS = 10 * MS


class World:
    """Sender and receiver over a path that a test bends.

    ``chunk_fate(n)``: of the n-th chunk sent, the delays at which it arrives; ``report_fate``
    likewise. Everything is lost while the path is cut.
    """

    def __init__(self, chunk_fate, report_fate, *, traits=None, cuts=()):
        traits = traits or TransferTraits()
        self.queue, self.count, self.now = [], 0, 0
        self.chunk_fate, self.report_fate = chunk_fate, report_fate
        self.cuts = cuts
        self.sent, self.reports, self.shown, self.refused, self.wasted = [], 0, [], [], []
        links = LinkSupervisor(1, silence_s=1.0, switch_back_after_s=1.0)
        self.sender = ImageSender(STREAM, self, links, LIMITS, traits)
        self.receiver = ImageReceiver(
            traits,
            show=lambda now, number, sha256: self.shown.append((number, sha256)),
            refuse=lambda now, number: self.refused.append(number),
        )
        self.held = set()
        self.at(0, self.beat)

    def at(self, t_ns, call):
        self.count += 1
        heapq.heappush(self.queue, (t_ns, self.count, call))

    def cut(self, t_ns):
        return any(start <= t_ns < end for start, end in self.cuts)

    def follow(self, now_ns, link):
        pass

    def send_burst(self, now_ns, link, message, count):
        key = tuple(message.body["set"][:3])
        if key in self.held:
            self.wasted.append(now_ns)
        self.sent.append((now_ns, key))
        for delay_ns in self.chunk_fate(len(self.sent)):
            due = now_ns + delay_ns
            if not self.cut(now_ns) and not self.cut(due):
                self.at(due, lambda now, m=message, c=count: self.arrive(now, m, c))

    def arrive(self, now_ns, message, count):
        self.held.add(tuple(message.body["set"][:3]))
        self.receiver.burst(now_ns, message, count, count)

    def beat(self, now_ns):
        self.at(now_ns + REPORT_NS, self.beat)
        self.sender.connection(now_ns, not self.cut(now_ns))
        self.sender.tick(now_ns)
        message = Message(0, self.reports, now_ns, 0, {"images": self.receiver.report()})
        self.reports += 1
        for delay_ns in self.report_fate(self.reports):
            due = now_ns + delay_ns
            if not self.cut(now_ns) and not self.cut(due):
                self.at(due, lambda now, m=message: self.sender.report(now, m))

    def run(self, until_s):
        while self.queue and self.queue[0][0] <= until_s * 1e9:
            self.now, _, call = heapq.heappop(self.queue)
            call(self.now)

    def run_until_idle(self, most_s=300.0):
        while self.sender.busy and self.queue and self.queue[0][0] <= most_s * 1e9:
            self.now, _, call = heapq.heappop(self.queue)
            call(self.now)
        return self.now / 1e9


def steady(delay_ns):
    return lambda n: (delay_ns,)


def from_pattern(pattern):
    """Arrival delays by the place in a repeated pattern; one entry always gets through."""
    fates = [*pattern, (5 * MS,)]
    return lambda n: fates[n % len(fates)]


delays = st.integers(1, 80).map(lambda ms: ms * MS)
patterns = st.lists(st.lists(delays, max_size=3).map(tuple), max_size=7)
"""No arrival is a loss, two or three are copies, unequal delays overtake each other."""

cuts = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(1, 1500)), max_size=4
).map(lambda spans: tuple((a * MS, (a + length) * MS) for a, length in spans))  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(patterns, patterns, cuts, st.integers(1, 40))
def test_whatever_the_path_does_the_set_arrives_once_and_identical(data, back, cuts, chunks):
    world = World(from_pattern(data), from_pattern(back), cuts=cuts)
    made = ImageSet(0, chunks)
    world.sender.offer(0, made)
    world.run_until_idle()
    assert not world.sender.busy
    assert world.shown == [(0, made.sha256)]
    assert world.refused == []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(20, 300), st.integers(300, 1500), st.integers(1, 60))
def test_after_an_interruption_no_more_than_a_window_is_sent_again(start_ms, length_ms, delay_ms):
    """On a path without loss, what the receiver already held is sent again for the cut alone."""
    cut = (start_ms * MS, (start_ms + length_ms) * MS)
    world = World(steady(delay_ms * MS), steady(delay_ms * MS), cuts=(cut,))
    made = ImageSet(0, 250)
    world.sender.offer(0, made)
    world.run((start_ms + 10) / 1e3)  # the sender has seen the cut
    in_flight = world.sender.in_flight
    assert world.wasted == []
    world.run_until_idle()
    assert world.shown == [(0, made.sha256)]
    assert len(world.wasted) <= in_flight <= LIMITS["transfer_window"]
    assert len(world.sent) <= made.chunks + in_flight


def test_nothing_is_sent_while_no_link_works():
    world = World(steady(5 * MS), steady(5 * MS), cuts=((50 * MS, 900 * MS),))
    world.sender.offer(0, ImageSet(0, 400))
    world.run_until_idle()
    assert not [t for t, _ in world.sent if 60 * MS <= t < 900 * MS]


def test_one_that_restarts_sends_everything_again():
    made = ImageSet(0, 300)
    counts = []
    for restarts in (False, True):
        world = World(
            steady(20 * MS), steady(20 * MS), cuts=((300 * MS, 900 * MS),),
            traits=TransferTraits(restarts=restarts),
        )  # fmt: skip
        world.sender.offer(0, made)
        world.run_until_idle()
        assert world.shown == [(0, made.sha256)]
        counts.append(len(world.sent))
    assert counts[0] <= made.chunks + LIMITS["transfer_window"]
    assert counts[1] > counts[0] + 100


def test_a_damaged_set_is_refused_and_sent_again():
    """A chunk that arrives altered, once: the SHA-256 shows it, and the next attempt is right."""
    world = World(steady(5 * MS), steady(5 * MS))
    whole = world.arrive

    def altered(now_ns, message, count):
        if message.body["set"][1:3] == [0, 4]:
            message = message._replace(value=message.value ^ 1)
        whole(now_ns, message, count)

    world.arrive = altered
    made = ImageSet(0, 20)
    world.sender.offer(0, made)
    world.run_until_idle()
    assert world.refused == [0]
    assert world.shown == [(0, made.sha256)]


def test_one_that_corrupts_shows_another_set_without_a_word():
    world = World(steady(5 * MS), steady(5 * MS), traits=TransferTraits(corrupts=True))
    made = ImageSet(0, 20)
    world.sender.offer(0, made)
    world.run_until_idle()
    assert world.refused == []
    ((number, sha256),) = world.shown
    assert number == 0
    assert sha256 != made.sha256


def test_sets_follow_each_other_and_differ():
    world = World(steady(5 * MS), steady(5 * MS))
    sets = [ImageSet(0, 12), ImageSet(1, 1), ImageSet(2, 30)]
    for each in sets:
        world.sender.offer(0, each)
    world.run_until_idle()
    assert world.shown == [(each.number, each.sha256) for each in sets]
    assert len({each.sha256 for each in sets}) == 3


def test_an_incomplete_burst_is_no_chunk():
    shown = []
    receiver = ImageReceiver(
        TransferTraits(), show=lambda *args: shown.append(args), refuse=lambda *_: None
    )
    made = ImageSet(0, 1)
    body = {"set": [0, 0, 0, 1, made.sha256]}
    message = Message(3, 0, 0, made.chunk(0), body)
    receiver.burst(5, message, 23, 24)
    assert receiver.report() == []
    receiver.burst(6, message, 24, 24)
    assert shown == [(6, 0, made.sha256)]


def control(**traits):
    return QueueControl(most=64, queue_ns=20 * MS, traits=TransferTraits(**traits))


def test_the_window_grows_on_an_empty_queue_and_shrinks_on_its_own():
    found = control()
    for _ in range(20):
        found.heard(10 * MS, 4)
    assert found.window == 64
    for _ in range(40):
        found.heard(60 * MS, 4)
    assert found.window == LEAST_WINDOW
    for _ in range(200):
        found.heard(10 * MS, 4)
    assert found.window > 8


def test_a_new_set_measures_its_own_path():
    found, stuck = control(), control(measures_anew=False)
    for each in (found, stuck):
        for _ in range(20):
            each.heard(2 * MS, 4)
        each.new_set()
        for _ in range(20):
            each.heard(60 * MS, 4)
    assert found.window == 64
    assert stuck.window == LEAST_WINDOW


def test_one_that_does_not_yield_ignores_its_queue():
    found = control(yields=False)
    for _ in range(20):
        found.heard(500 * MS, 4)
    found.lost(0, 10 * MS)
    assert found.window == REPORTED


@pytest.mark.parametrize("losses", [1, 5])
def test_losses_of_one_round_trip_halve_the_window_once(losses):
    found = control()
    for _ in range(20):
        found.heard(10 * MS, 4)
    for i in range(losses):
        found.lost(i * MS, 10 * MS)
    assert found.window == 32
