"""The parts that show, display, play out and shape, each alone on a port that writes down."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.devices.playout import PlayOut, PlayOutTraits
from bench.devices.ports import Message
from bench.devices.profile import Service, Stream
from bench.devices.readout import Readout, ReadoutTraits
from bench.devices.screen import LOOK_NS, Screen, ScreenTraits
from bench.devices.shaping import Receipts, Shaper, ShapingTraits
from bench.devices.traffic import MARK, PeriodicSource

MS = 1_000_000
seeded = settings(derandomize=True, deadline=None, max_examples=40)


class Port:
    """Keeps timers and writes down what leaves."""

    def __init__(self):
        self.timers, self.signals, self.logs, self.sent = [], [], [], []

    def at(self, t_ns, call):
        self.timers.append((t_ns, call))

    def signal(self, now_ns, name, value):
        self.signals.append((now_ns, name, value))

    def log(self, now_ns, name, value):
        self.logs.append((now_ns, name, value))

    def send(self, now_ns, link, message):
        self.sent.append((now_ns, message))

    def follow(self, now_ns, link):
        pass

    def send_burst(self, now_ns, link, message, count):
        self.sent.append((now_ns, message))

    def run(self, until_ns):
        """Let time pass."""
        while self.timers and min(self.timers, key=lambda t: t[0])[0] <= until_ns:
            timer = min(self.timers, key=lambda t: t[0])
            self.timers.remove(timer)
            timer[1](timer[0])


class Links:
    active = 0


def stream(name, code, rate_bps=1e6, priority=0, presents="picture", packets=1):
    payload = 1000
    period_s = payload * packets * 8 / rate_bps
    service = Service(presents, priority)
    return Stream(name, name, code, "patient", 7000 + code, (), payload, period_s, packets,
                  service=service)  # fmt: skip


def screen(port, **traits):
    found = Screen([stream("video", 3)], 0.3, ScreenTraits(**traits), port)
    found.start(0)
    return found


def play(port, shown, until_ms, every_ms=20):
    for number, t_ms in enumerate(range(10, until_ms, every_ms)):
        port.run(t_ms * MS)
        shown.show(t_ms * MS, 3, number)
    return t_ms * MS


class TestScreen:
    def test_a_picture_is_live_while_new_frames_come_and_not_when_they_stop(self):
        port = Port()
        last = play(port, screen(port), 500)
        port.run(1000 * MS)
        states = [(value["new"], value["live"]) for _, _, value in port.signals]
        assert states == [(True, True), (False, True), (False, False)]
        assert last + 300 * MS < port.signals[-1][0] <= last + 300 * MS + LOOK_NS
        assert port.signals[-1][2]["last_new_ns"] == last

    def test_an_old_frame_is_no_new_picture(self):
        port = Port()
        shown = screen(port)
        play(port, shown, 500)
        shown.show(510 * MS, 3, 2)
        port.run(1000 * MS)
        assert not port.signals[-1][2]["live"]

    def test_it_is_live_again_with_the_next_new_frame(self):
        port = Port()
        shown = screen(port)
        play(port, shown, 500)
        port.run(1000 * MS)
        shown.show(1000 * MS, 3, 99)
        assert (port.signals[-1][2]["new"], port.signals[-1][2]["live"]) == (True, True)

    def test_before_the_first_frame_nothing_is_live(self):
        port = Port()
        screen(port)
        port.run(1000 * MS)
        assert port.signals == []


def readout(port, **traits):
    limits = {"display_window_s": 1.0, "display_refresh_s": 0.1}
    found = Readout(limits, {}, ReadoutTraits(**traits), port)
    found.start(0)
    return found


def shown_at_end(ages_ms, lost, every_ms=20):
    """What a display shows of packets with these delays; those numbered in ``lost`` never come."""
    port = Port()
    found = readout(port)
    for seq, age_ms in enumerate(ages_ms):
        t_ms = 100 + every_ms * seq
        port.run(t_ms * MS)
        if seq not in lost:
            found.packet(t_ms * MS, 0, 0, seq, t_ms * MS - age_ms * MS)
    port.run((t_ms + 100) * MS)
    return port.signals[-1][2]


class TestReadout:
    @seeded
    @given(st.lists(st.integers(1, 60), min_size=12, max_size=30))
    def test_it_shows_mean_delay_and_the_mean_step_of_the_delay(self, ages_ms):
        shown = shown_at_end(ages_ms, ())
        assert shown["delay_s"] == pytest.approx(sum(ages_ms) / len(ages_ms) / 1e3)
        steps = [abs(after - before) for before, after in pairwise(ages_ms)]
        assert shown["jitter_s"] == pytest.approx(sum(steps) / len(steps) / 1e3)
        assert shown["loss"] == 0.0

    @seeded
    @given(st.sets(st.integers(1, 28), max_size=20))
    def test_it_shows_the_share_that_is_missing(self, lost):
        shown = shown_at_end([5] * 30, lost)
        assert shown["loss"] == pytest.approx(len(lost) / 30)

    def test_silence_is_full_loss(self):
        port = Port()
        found = readout(port)
        found.packet(100 * MS, 0, 0, 0, 95 * MS)
        port.run(2000 * MS)
        assert port.signals[-1][2] == {"delay_s": None, "loss": 1.0, "jitter_s": None}
        found.packet(2050 * MS, 0, 0, 98, 2045 * MS)
        port.run(2100 * MS)
        assert port.signals[-1][2]["loss"] > 0.9

    def test_the_link_that_is_not_in_use_is_not_shown(self):
        port = Port()
        found = readout(port)
        found.packet(100 * MS, 1, 0, 0, 0)
        port.run(1000 * MS)
        assert port.signals == []


def play_out(port, aligns=True):
    streams = [stream("video", 3), stream("voice", 4, presents="sound")]
    limits = {"play_out_s": 0.15, "decoding_s": 0.1}
    return PlayOut(streams, limits, PlayOutTraits(aligns=aligns), port, lambda *_: None)


class TestPlayOut:
    def test_what_happened_at_once_is_presented_at_once(self):
        port = Port()
        found = play_out(port)
        found.unit(5 * MS, Message(4, 0, 0, 7))
        found.unit(40 * MS, Message(3, 0, 0, 7))
        port.run(1000 * MS)
        assert [t for t, _, _ in port.signals] == [150 * MS, 150 * MS]

    def test_what_comes_too_late_is_presented_as_soon_as_it_can(self):
        port = Port()
        play_out(port).unit(200 * MS, Message(3, 0, 0, 7))
        port.run(1000 * MS)
        assert port.signals == [(300 * MS, "presented", {"stream": "video", "mark": 7})]

    def test_without_alignment_each_goes_its_own_way(self):
        port = Port()
        found = play_out(port, aligns=False)
        found.unit(5 * MS, Message(4, 0, 0, 7))
        found.unit(5 * MS, Message(3, 0, 0, 7))
        port.run(1000 * MS)
        assert [t for t, _, _ in port.signals] == [5 * MS, 105 * MS]


LIMITS = {"overload_queue_s": 0.008, "restore_after_s": 5.0}


def sources(port, *rates_mbps):
    return [
        PeriodicSource(stream(f"s{n}", n, rate * 1e6, priority=n + 1), port, Links())
        for n, rate in enumerate(rates_mbps)
    ]


def shed(found):
    return [source.stream.name for source in found if source.shed]


class TestShaping:
    @seeded
    @given(
        st.lists(st.sampled_from([0.5, 2, 8, 30]), min_size=1, max_size=6),
        st.floats(10, 80_000),
    )
    def test_only_a_tail_of_the_order_goes_and_never_the_first(self, rates, kbps):
        port = Port()
        found = sources(port, *rates)
        Shaper(found[::-1], LIMITS, ShapingTraits(), port).report(0, 50.0, 0.0, kbps)
        gone = [source.shed for source in found]
        assert gone == sorted(gone)
        assert not gone[0]
        assert any(gone) == (len(rates) > 1)

    def test_what_fits_stays(self):
        port = Port()
        found = sources(port, 2, 8, 30)
        Shaper(found, LIMITS, ShapingTraits(), port).report(0, 50.0, 0.0, 12_000)
        assert shed(found) == ["s2"]

    def test_a_queue_that_drains_is_waited_for(self):
        port = Port()
        found = sources(port, 2, 8, 30)
        shaper = Shaper(found, LIMITS, ShapingTraits(), port)
        shaper.report(0, 60.0, 0.0, 12_000)
        shaper.report(700 * MS, 20.0, 0.0, 12_000)
        assert shed(found) == ["s2"]
        shaper.report(1400 * MS, 60.0, 0.0, 6_000)
        assert shed(found) == ["s1", "s2"]

    def test_the_first_that_was_shed_comes_back_first(self):
        port = Port()
        found = sources(port, 2, 8, 30)
        shaper = Shaper(found, LIMITS, ShapingTraits(), port)
        shaper.report(0, 60.0, 0.0, 1_000)
        assert shed(found) == ["s1", "s2"]
        for t_ms in range(100, 5300, 100):
            shaper.report(t_ms * MS, 0.0, 0.0, 2_000)
        assert shed(found) == ["s2"]

    def test_no_overload_sheds_nothing(self):
        port = Port()
        found = sources(port, 2, 8, 30)
        shaper = Shaper(found, LIMITS, ShapingTraits(), port)
        for t_ms in range(0, 10_000, 100):
            shaper.report(t_ms * MS, 7.9, 0.02, 1_000)
        assert shed(found) == []

    def test_receipts_tell_queue_loss_and_rate(self):
        receipts = Receipts(0.02)
        receipts.heartbeat(3 * MS)
        receipts.report()
        for _ in range(5):
            receipts.heartbeat(13 * MS)
            receipts.frame(1000, 9, 10)
            found = receipts.report()
        assert found == [10.0, 0.1, 3600]


def test_a_source_that_stalls_or_gives_way_uses_up_no_number():
    port = Port()
    source = sources(port, 0.8)[0]
    source.start(0)
    port.run(40 * MS)
    source.shed = True
    port.run(100 * MS)
    source.shed, source.mark = False, 9
    port.run(130 * MS)
    numbers = [message.seq for _, message in port.sent]
    assert numbers == list(range(len(numbers)))
    assert [message.value for _, message in port.sent if message.value != MARK] == [9]
    assert all(not 40 * MS < t_ns <= 100 * MS for t_ns, _ in port.sent)
