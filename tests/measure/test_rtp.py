"""Numbers, loss, jitter and clock of one stream at one place, against truth and slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.rtp import (
    MAX_DROPOUT,
    STATIC_CLOCKS_HZ,
    interarrival_jitter,
    media_clock,
    numbers_of,
    unwrapped,
)

MS, S = 1_000_000, 1_000_000_000


def found(sequence, t_ns=None, bits=16):
    sequence = np.array(sequence, dtype=np.int64)
    t_ns = np.arange(len(sequence)) * MS if t_ns is None else np.array(t_ns, dtype=np.int64)
    return numbers_of(sequence % (1 << bits), t_ns, bits)


class Rfc3550:
    """RFC 3550 A.1 and A.3, line by line, without probation."""

    def __init__(self, seq):
        self.received = 0
        self.start(seq)

    def start(self, seq):
        self.base, self.top, self.cycles, self.bad = seq, seq, 0, (1 << 16) + 1
        self.received = 0

    def update(self, seq):
        ahead = (seq - self.top) & 0xFFFF
        if ahead < MAX_DROPOUT:
            if seq < self.top:
                self.cycles += 1 << 16
            self.top = seq
        elif ahead <= (1 << 16) - 100:
            if seq != self.bad:
                self.bad = (seq + 1) & 0xFFFF
                return
            self.start(seq)
        self.received += 1

    @property
    def lost(self):
        return self.cycles + self.top - self.base + 1 - self.received


@st.composite
def arrivals(draw):
    """Numbers as they arrive, after loss, duplication and displacement by less than 100."""
    start = draw(st.integers(0, 2**16 - 1))
    count = draw(st.integers(2, 300))
    fate = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    shift = draw(st.lists(st.integers(0, 40), min_size=count, max_size=count))
    rows = [(0, start)]  # the first arrives first, as A.1 has it
    for index in range(1, count):
        move = shift[index] if fate[index] == 2 else 0
        if fate[index]:
            rows.append((index + move + 0.1, start + index))
        if fate[index] == 1:  # a copy, which may come later
            rows.append((index + shift[index] + 0.2, start + index))
    return [number for _, number in sorted(rows, key=lambda row: row[0])]


@given(arrivals())
def test_loss_duplicates_and_order_are_the_truth(numbers):
    mine = found(numbers)
    distinct = sorted(set(numbers))
    assert mine.expected == distinct[-1] - distinct[0] + 1
    assert mine.received == len(distinct)
    assert mine.lost == len(set(range(distinct[0], distinct[-1] + 1)) - set(numbers))
    assert np.count_nonzero(mine.duplicate) == len(numbers) - len(distinct)
    seen, late = set(), 0
    for number in numbers:
        late += number not in seen and bool(seen) and number < max(seen)
        seen.add(number)
    assert np.count_nonzero(mine.reordered) == late
    assert int(mine.loss_periods().sum()) == mine.lost
    assert (mine.runs, mine.stray, mine.undecided) == (1, 0, 0)


@given(arrivals())
def test_cumulative_loss_is_that_of_the_rfc(numbers):
    reference = Rfc3550(numbers[0] & 0xFFFF)
    reference.received = 1
    for number in numbers[1:]:
        reference.update(number & 0xFFFF)
    assert found(numbers).rfc3550_lost == reference.lost


@given(arrivals(), st.integers(4000, 60000))
def test_the_packet_by_packet_path_agrees_with_the_fast_one(numbers, jump):
    """A stray number at the end forces the slow path for all before it."""
    fast, slow = found(numbers), found([*numbers, numbers[-1] + 100 + jump % 50000 + 4000])
    if slow.stray:  # a jump that wraps near to the largest is no stray
        for name in ("expected", "received", "lost", "rfc3550_lost"):
            assert getattr(fast, name) == getattr(slow, name)


def test_loss_periods_are_those_of_rfc_3357():
    """RFC 3357, 6: packets 1 to 10, of which 4, 5, 8 and 10 are lost; 10 is not seen here."""
    assert found([1, 2, 3, 6, 7, 9]).loss_periods().tolist() == [2, 1]


def test_numbers_wrap():
    mine = found(range(65500, 65600))
    assert (mine.expected, mine.lost, mine.runs) == (100, 0, 1)
    assert unwrapped(np.array([65535, 0, 65535, 1]), 16).tolist() == [65535, 65536, 65535, 65537]


def test_a_restart_is_no_loss():
    mine = found([*range(1000, 1100), *range(40000, 40100)])
    assert (mine.runs, mine.lost, mine.received, mine.undecided) == (2, 0, 200, 1)


def test_one_odd_number_is_stray_and_changes_nothing():
    mine = found([*range(1000, 1100), 40000, *range(1100, 1200)])
    assert (mine.runs, mine.lost, mine.received, mine.stray) == (1, 0, 200, 1)


def test_an_outage_at_the_pace_of_the_stream_is_loss():
    """2000 packets/s, five seconds away: A.1 alone would call it a restart and count no loss."""
    numbers = [*range(0, 6000), *range(16000, 20000)]
    mine = found(numbers, [n * MS // 2 for n in numbers])
    assert (mine.runs, mine.lost, mine.undecided) == (1, 10000, 0)
    assert mine.loss_periods().tolist() == [10000]


def test_a_jump_off_the_pace_is_a_restart():
    numbers = [*range(0, 6000), *range(16000, 20000)]
    mine = found(numbers, [n * MS // 2 for n in range(len(numbers))])
    assert (mine.runs, mine.lost, mine.undecided) == (2, 0, 1)


@pytest.mark.parametrize("away", [65536 - 20, 65536 + 100, 80000, 65536 * 2 + 5])
def test_a_silence_longer_than_the_numbers_is_undecided(away):
    """Numbers of 16 bits come round: a few missing, or a few and 65536, look the same."""
    numbers = [*range(0, 20000), *range(20000 + away, 40000 + away)]
    mine = found(numbers, [n * MS // 2 for n in numbers])
    assert (mine.runs, mine.undecided, mine.lost) == (2, 1, 0)


def test_wide_numbers_count_long_outages():
    numbers = [*range(0, 20000), *range(120000, 130000)]
    mine = found(numbers, [n * MS // 2 for n in numbers], bits=32)
    assert (mine.runs, mine.lost) == (1, 100000)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@given(data=st.data())
def test_any_numbers_can_be_read(bits, data):
    numbers = data.draw(st.lists(st.integers(0, 2 ** min(bits, 63) - 1), max_size=60))
    steps = data.draw(
        st.lists(st.integers(0, 10**13), min_size=len(numbers), max_size=len(numbers))
    )
    mine = numbers_of(np.array(numbers, np.int64), np.cumsum(np.array(steps, np.int64)), bits)
    assert mine.expected >= mine.received >= 0
    assert mine.received + np.count_nonzero(mine.duplicate) + mine.stray == len(numbers)


def test_no_packets():
    mine = found([])
    assert (mine.expected, mine.received, mine.lost, mine.runs, mine.stray) == (0, 0, 0, 0, 0)
    assert not len(mine.loss_periods())


def a8(arrival, timestamp):
    """RFC 3550 A.8 as written, in whole timestamp units scaled by 16."""
    jitter, transit, values = 0, None, []
    for came, stamp in zip(arrival, timestamp, strict=True):
        now = came - stamp
        if transit is not None:
            distance = abs(now - transit)
            jitter += distance - ((jitter + 8) >> 4)
            values.append(jitter / 16)
        transit = now
    return values


@given(st.lists(st.integers(0, 4000), min_size=2, max_size=200), st.integers(0, 2**32 - 1))
def test_jitter_is_that_of_the_rfc(delays, start):
    """Within the rounding of A.8: half a unit each time, forgotten at a rate of 1/16: one unit."""
    stamps = [start + 720 * n for n in range(len(delays))]
    came = [stamp - start + delay for stamp, delay in zip(stamps, delays, strict=True)]
    t_ns = np.array(came, dtype=np.int64) * 125_000  # 8 kHz: whole nanoseconds
    mine = interarrival_jitter(t_ns, np.array(stamps) % 2**32, 8000) * 8000
    assert mine == pytest.approx(a8(came, stamps), abs=1.0)


def test_jitter_of_one_packet_is_none():
    assert not len(interarrival_jitter(np.array([5]), np.array([5]), 8000))


def test_static_clocks_are_those_of_rfc_3551():
    assert {kind: STATIC_CLOCKS_HZ[kind] for kind in (0, 3, 8, 9, 14, 18)} == {
        0: 8000, 3: 8000, 8: 8000, 9: 8000, 14: 90000, 18: 8000
    }  # fmt: skip
    assert not {1, 2, 19, 20, 24, 27, 29, 30, 35, 72, 76, 77, 96} & set(STATIC_CLOCKS_HZ)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 90_000])
def test_the_clock_is_estimated_from_timestamps(rate):
    noise = np.random.default_rng(4).uniform(0, 5 * MS, 300).astype(np.int64)
    t_ns = np.arange(300) * 20 * MS + noise
    stamps = (2**32 - 5 + np.arange(300) * rate // 50) % 2**32
    clock = media_clock(96, stamps, t_ns)
    assert (clock.rate_hz, clock.origin) == (rate, "estimated")


@pytest.mark.parametrize(
    "stamps",
    [
        np.zeros(300, dtype=np.int64),
        np.arange(300) * 1234,  # 61.7 kHz: no usual rate
        np.concatenate((np.arange(150) * 160, 24000 + np.arange(150) * 1800)),  # two rates
    ],
)
def test_an_odd_clock_is_not_guessed(stamps):
    assert media_clock(96, stamps, np.arange(300) * 20 * MS).rate_hz is None


def test_a_short_stream_has_no_clock_but_a_static_one():
    few = np.arange(30)
    assert media_clock(96, few * 160, few * 20 * MS).rate_hz is None
    assert media_clock(0, few * 160, few * 20 * MS).origin == "static"
