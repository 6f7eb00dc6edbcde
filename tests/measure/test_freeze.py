"""Freezes, frames, repeated pictures, counters in pictures, and FAIL-2: pure, on known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.frame_counter import (
    BITS,
    CELLS,
    LEAST_CELL,
    cell_size,
    draw_counter,
    read_counter,
)
from bench.measure.freeze import (
    BLOCK,
    Freeze,
    RepeatedFrames,
    Span,
    counted_new,
    detections,
    difference,
    freezes,
    frozen_s,
    rtp_frames,
)

MS, S = 1_000_000, 1_000_000_000
FRAME = 40 * MS


def every(period_ns, count, start=0):
    return start + np.arange(count, dtype=np.int64) * period_ns


def spans(found):
    return [(each.start_ns, each.end_ns) for each in found]


# Freezes ---------------------------------------------------------------------------------------


def test_a_stall_is_one_freeze_from_the_last_new_picture_to_the_next():
    when = np.concatenate((every(FRAME, 50), every(FRAME, 50, 50 * FRAME + 2 * S)))
    (one,) = freezes(when, until_ns=int(when[-1]))
    assert (one.start_ns, one.end_ns) == (49 * FRAME, 50 * FRAME + 2 * S)
    assert one.duration_s == pytest.approx(2.04)


@pytest.mark.parametrize(
    ("period_ms", "limit_ms"), [(10, 160), (40, 190), (75, 225), (100, 300), (200, 600)]
)
def test_the_threshold_is_that_of_webrtc_stats(period_ms, limit_ms):
    """max(3 d, d + 150 ms), reached or exceeded."""
    for gap_ms, frozen in ((limit_ms - 1, False), (limit_ms, True)):
        start = every(period_ms * MS, 40)
        when = np.concatenate((start, every(period_ms * MS, 40, int(start[-1]) + gap_ms * MS)))
        assert bool(freezes(when, until_ns=int(when[-1]))) is frozen


def test_one_freeze_does_not_hide_the_next():
    """After ten seconds in the average of thirty intervals no second would be a freeze."""
    parts, at = [], 0
    for gap_ms in (10_000, 400, 10_000, 400, 0):
        parts.append(every(FRAME, 6, at))
        at = int(parts[-1][-1]) + gap_ms * MS
    when = np.concatenate(parts)
    found = freezes(when, until_ns=int(when[-1]))
    assert [each.duration_s for each in found] == [10, 0.4, 10, 0.4]


def test_a_fixed_threshold():
    when = np.array([0, 100, 250, 300]) * MS
    assert spans(freezes(when, until_ns=300 * MS, freeze_s=0.15)) == [(100 * MS, 250 * MS)]


def test_a_freeze_that_does_not_end_is_watched_to_the_end():
    when = every(FRAME, 50)
    (one,) = freezes(when, until_ns=5 * S)
    assert one.end_ns is None
    assert one.duration_s == pytest.approx(5 - 49 * 0.04)


def test_no_pictures_no_freezes():
    assert freezes(np.zeros(0, dtype=np.int64), until_ns=S) == ()
    assert freezes(np.array([0]), until_ns=0) == ()


def slow_freezes(when, until, limit):
    """The fixed threshold, by brute force."""
    points = [*sorted(when), until]
    pairs = itertools.pairwise(points)
    return [(a, None if b == until and i == len(points) - 2 else b)
            for i, (a, b) in enumerate(pairs) if b - a >= limit]  # fmt: skip


@given(st.lists(st.integers(0, 100), min_size=1, max_size=50), st.integers(0, 50))
def test_fixed_freezes_are_the_gaps(times, more):
    when = np.array(times, dtype=np.int64) * MS
    until = int(when.max()) + more * MS
    mine = freezes(when, until_ns=until, freeze_s=0.01)
    assert spans(mine) == slow_freezes(when.tolist(), until, 10 * MS)
    assert frozen_s(mine) <= (until - int(when.min())) / 1e9 + 1e-9


# RTP frames ------------------------------------------------------------------------------------


def packets(frames=20, each=4, without=()):
    """(t, number, timestamp, marker) of packets 1 ms apart; some are lost."""
    rows = [
        (f * FRAME + k * MS, f * each + k, f * 3600, k == each - 1)
        for f in range(frames)
        for k in range(each)
        if f * each + k not in without
    ]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return columns[0], columns[1], columns[2], columns[3].astype(bool)


def test_frames_are_whole_when_their_last_packet_is_there():
    found = rtp_frames(*packets())
    assert found.packets.tolist() == [4] * 20
    assert found.arrived_ns.tolist() == [f * FRAME + 3 * MS for f in range(20)]
    # What came before the first packet nobody knows.
    assert found.whole.tolist() == [False] + [True] * 19
    assert not found.broken.any()


@pytest.mark.parametrize(
    ("without", "broken", "not_whole"),
    [
        ({41}, {10}, {0, 10}),  # inside frame 10
        ({40}, set(), {0, 10}),  # the first of frame 10: frame 9 ends with its marker
        ({43}, set(), {0, 10, 11}),  # the last of frame 10, or the first of 11
        ({40, 41, 42, 43}, set(), {0, 10}),  # all of frame 10: 11 may lack its begin
    ],
)
def test_a_lost_packet_costs_its_frame(without, broken, not_whole):
    found = rtp_frames(*packets(without=without))
    shown = (found.timestamp // 3600).tolist()
    assert {shown[at] for at in np.flatnonzero(found.broken)} == broken
    gone = set(range(20)) - {shown[at] for at in np.flatnonzero(found.whole)}
    assert gone == not_whole | ({11} if len(without) == 4 else set())


@given(st.permutations(range(80)), st.sets(st.integers(0, 79), max_size=30))
def test_the_order_of_arrival_and_duplicates_change_no_frame(order, again):
    t_ns, number, stamp, marker = packets()
    rows = np.array([*order, *again])
    late = np.concatenate((t_ns[list(order)], np.full(len(again), 10 * S)))
    one = rtp_frames(t_ns, number, stamp, marker)
    two = rtp_frames(late, number[rows], stamp[rows], marker[rows])
    for name in ("timestamp", "packets", "whole", "broken", "arrived_ns"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_without_markers_the_next_frame_ends_one():
    t_ns, number, stamp, marker = packets()
    found = rtp_frames(t_ns, number, stamp, np.zeros_like(marker))
    assert found.whole.tolist() == [False] + [True] * 18 + [False]


def test_no_packets_no_frames():
    none = np.zeros(0, dtype=np.int64)
    assert not len(rtp_frames(none, none, none, none.astype(bool)).whole)


# Repeated pictures -----------------------------------------------------------------------------

SHAPE = (96, 352)


def scene(at, *, noise=0.0, seed=1):
    """A bar that moves over a gradient, with sensor noise."""
    rows, columns = np.indices(SHAPE)
    luma = 60 + columns / 4 + rows / 4
    luma[:, at * 3 % 300 : at * 3 % 300 + 20] = 200
    luma += np.random.default_rng([seed, at]).normal(0, noise, SHAPE) if noise else 0
    return np.clip(luma, 0, 255).astype(np.uint8)


def news(frames, **limits):
    repeats = RepeatedFrames(**limits)
    return [repeats.is_new(frame) for frame in frames]


def test_repeats_are_found_and_motion_is_new():
    shown = [0, 1, 2, 2, 2, 3, 4, 4, 5]
    expected = [True] + [b != a for a, b in itertools.pairwise(shown)]
    assert news([scene(at) for at in shown]) == expected


def test_coding_noise_is_no_news_but_a_small_moving_thing_is():
    rng = np.random.default_rng(3)
    still = np.full((1088, 1920), 100, dtype=np.uint8)
    coded = still + rng.integers(0, 8, still.shape, dtype=np.uint8)
    assert news([still, coded]) == [True, False]
    tip = still.copy()
    tip[500:512, 700:712] += 40  # 144 of two million pixels
    assert np.abs(tip - still).mean() / 255 < 1e-4
    assert news([still, tip]) == [True, True]


def test_what_changes_slowly_becomes_new_in_time():
    frames = [np.full(SHAPE, 100 + step // 8, dtype=np.uint8) for step in range(128)]
    assert sum(news(frames)) == 2
    assert sum(news(frames, noise=0.5 / 255)) == 16


def test_sensor_noise_of_a_still_scene_is_no_news():
    """So a live picture of a still scene looks frozen: only a counter tells."""
    assert sum(news([scene(0, noise=3, seed=seed) for seed in range(10)])) == 1


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_the_difference_is_that_of_slow_loops(high, wide, seed):
    left, right = np.random.default_rng(seed).integers(0, 256, (2, high, wide), dtype=np.uint8)
    apart = np.abs(left.astype(int) - right.astype(int)) / 255

    def pieces(size):
        whole = max(size // BLOCK, 1)
        return [(k * BLOCK, size if k == whole - 1 else (k + 1) * BLOCK) for k in range(whole)]

    blocks = [apart[y:b, x:r].mean() for y, b in pieces(high) for x, r in pieces(wide)]
    assert difference(left, right) == pytest.approx(max(blocks))


def test_a_buffer_that_is_used_again_is_no_repeat():
    repeats, buffer = RepeatedFrames(), np.zeros(SHAPE, np.uint8)
    for at in range(3):
        buffer[:] = scene(at)
        assert repeats.is_new(buffer)


def test_another_size_is_new():
    assert news([np.zeros((32, 32), np.uint8), np.zeros((32, 48), np.uint8)]) == [True, True]


# The counter in the picture --------------------------------------------------------------------


@given(st.integers(0, 2**BITS - 1), st.integers(LEAST_CELL * CELLS, 2000))
def test_what_is_drawn_is_read(number, width):
    luma = np.full((64, width), 128, dtype=np.uint8)
    draw_counter(luma, number)
    assert read_counter(luma) == number
    assert (luma[cell_size(width) :] == 128).all()


@given(st.integers(0, 2**BITS - 1), st.integers(0, 999))
def test_it_stands_noise_and_changes_of_brightness(number, seed):
    luma = np.full((64, 640), 128, dtype=np.uint8)
    draw_counter(luma, number)
    rng = np.random.default_rng(seed)
    changed = luma * rng.uniform(0.5, 1.1) + rng.uniform(0, 40) + rng.normal(0, 12, luma.shape)
    assert read_counter(np.clip(changed, 0, 255).astype(np.uint8)) == number


@given(st.integers(0, 2**BITS - 1), st.integers(2, CELLS - 3))
def test_a_cell_that_flipped_is_seen(number, cell):
    luma = np.zeros((64, 640), dtype=np.uint8)
    draw_counter(luma, number)
    size = cell_size(640)
    part = luma[:size, cell * size : (cell + 1) * size]
    part[:] = 251 - part
    assert read_counter(luma) is None


def test_pictures_without_a_strip_have_no_counter():
    rng = np.random.default_rng(9)
    for luma in (
        *rng.integers(0, 256, (200, 64, 640), dtype=np.uint8),
        np.zeros((64, 640), np.uint8),
        np.full((64, 640), 255, np.uint8),
        scene(3),
        np.zeros((64, LEAST_CELL * CELLS - 1), np.uint8),
        np.zeros((2, 640), np.uint8),
    ):
        assert read_counter(luma) is None


def test_a_picture_too_small_for_the_strip_is_refused():
    for shape in ((64, LEAST_CELL * CELLS - 1), (2, 640)):
        with pytest.raises(ValueError, match="too"):
            draw_counter(np.zeros(shape, np.uint8), 1)


def test_counters_tell_new_from_repeated_unreadable_and_replayed():
    new, back = counted_new([5, 5, 6, None, 6, 8, 7, 9, 9], BITS)
    assert new.tolist() == [True, False, True, False, False, True, False, True, False]
    assert back == 1
    wrapped, back = counted_new([2**BITS - 1, 0, 1], BITS)
    assert (wrapped.all(), back) == (True, 0)
    assert counted_new([], BITS)[0].tolist() == []


# FAIL-2 ----------------------------------------------------------------------------------------

D = 0.5


def frozen(start_s, end_s, watched_s=100.0):
    end = None if end_s is None else round(end_s * S)
    return Freeze(round(start_s * S), end, round(watched_s * S))


def on(start_s, end_s=None):
    return Span(round(start_s * S), None if end_s is None else round(end_s * S))


def one(freeze, signals=(), live=()):
    (found,) = detections([freeze], signals, deadline_s=D, live=live).each
    return found


def test_a_freeze_detected_in_time():
    found = one(frozen(10, 13), [on(10.3, 13.1)])
    assert (found.delay_s, found.required, found.missed) == (pytest.approx(0.3), True, False)


def test_a_late_signal_and_none_are_missed():
    assert one(frozen(10, 13), [on(10.6, 13)]).missed
    found = one(frozen(10, 13))
    assert (found.delay_s, found.missed) == (None, True)


def test_a_short_freeze_needs_no_signal():
    found = one(frozen(10, 10.4))
    assert (found.required, found.missed, found.undecided) == (False, False, None)


def test_what_was_not_watched_is_undecided():
    assert one(frozen(10, None, 10.3)).undecided
    assert one(frozen(10, None, 20)).missed
    assert one(frozen(10, 13), [on(9, 12)]).undecided  # whichever freeze it was meant for


def test_a_signal_that_no_freeze_explains_is_false():
    signals = [on(5, 6), on(10.2, 13), on(13.05, 14), on(20, 21)]
    found = detections([frozen(10, 13)], signals, deadline_s=D)
    assert found.false == (signals[0], signals[2], signals[3])
    found = detections([frozen(10, 13)], signals, deadline_s=D, settle_s=0.1)
    assert found.false == (signals[0], signals[3])
    assert detections([], [on(1)], deadline_s=D).false == (on(1),)


@pytest.mark.parametrize(
    ("live", "shown"),
    [
        ([on(0, 10.4), on(13.1)], []),  # off in time, on again with the new picture
        ([on(0, 11)], [(10.5, 11)]),
        ([on(0)], [(10.5, 13)]),
        ([on(0, 10.2), on(12, 12.5)], [(12, 12.5)]),
        ([], []),
    ],
)
def test_a_live_sign_on_a_frozen_picture_is_shown(live, shown):
    found = one(frozen(10, 13), [on(10.3)], live)
    assert list(found.live) == [(round(a * S), round(b * S)) for a, b in shown]


def test_the_worst_delay():
    both = [frozen(10, 13), frozen(20, 23)]
    found = detections(both, [on(10.3, 13), on(20.4, 23)], deadline_s=D)
    assert found.worst_delay_s == pytest.approx(0.4)
    assert detections(both, [on(10.3, 13)], deadline_s=D).worst_delay_s == math.inf
    assert detections([frozen(1, 1.2)], [], deadline_s=D).worst_delay_s is None
    assert detections([], [], deadline_s=D).worst_delay_s is None
    unsure = detections(both, [on(9, 15), on(20.4)], deadline_s=D)
    assert unsure.worst_delay_s is None
