"""The streams within a flow that two taps share, and the keys that tell their packets apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Ints
from bench.captures.flows import Capture
from bench.captures.headers import mixed
from bench.captures.lining import Meeting, meet
from bench.captures.network import Hashes
from bench.captures.walking import Mask

_FEWEST_RTP = 16
"""Packets of a flow, and per source, below which it is not taken for RTP."""

_MOSTLY = 0.9
"""The share of a flow's packets that must look like RTP; RTCP may share its ports (RFC 5761)."""

_SAMPLE = 1 << 14
"""So many packets are looked at to tell RTP from something that looks like it."""

_KEPT = 0.9
"""The share of packets that must still pair with something more in the key for it to count."""

NO_RULE = -1

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class RtpColumns:
    """RTP headers (RFC 3550, 5.1) of packets; arrays of shape ``(n,)``."""

    sequence: NDArray[np.uint16]
    timestamp: NDArray[np.uint32]
    marker: Mask
    payload_type: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One direction of one 5-tuple, rule and RTP source, at both taps.

    ``left``, ``right``: the packets' rows in the captures, in order of time. ``ssrc``: none where
    it is not RTP.
    """

    flow: tuple[int, int]
    rule: int
    ssrc: int | None
    left: Ints
    right: Ints

    @property
    def packets(self) -> int:
        """At both taps together."""
        return len(self.left) + len(self.right)


def by_flow(capture: Capture) -> list[Ints]:
    """The rows of each flow, in order of time, by the flow's number."""
    flow = capture.flow.astype(np.uint16) if len(capture.names) <= 1 << 16 else capture.flow
    order = np.argsort(flow, kind="stable")  # of 16 bits: a radix sort
    ends = np.cumsum(np.bincount(capture.flow, minlength=len(capture.names)))
    found = np.split(order, ends[:-1])
    if bool(np.any(capture.t_ns[1:] < capture.t_ns[:-1])):
        found = [_timely(capture.t_ns, rows) for rows in found]
    return found


def _timely(t_ns: Ints, rows: Ints) -> Ints:
    times = t_ns[rows]
    if bool(np.all(times[1:] >= times[:-1])):
        return rows
    found: Ints = rows[np.argsort(times, kind="stable")]
    return found


def streams(
    left: Capture, right: Capture, flow: tuple[int, int], near: Ints, far: Ints
) -> Iterator[Stream]:
    """The streams of a flow: by the rule that both taps saw fit, and by RTP source.

    Args:
        flow: the flow's number at either tap.
        near, far: its rows in the captures.
    """
    for rule, rows in _by_rule(left, right, near, far):
        yield from _by_source(left, right, flow, rule, rows)


_Rows = tuple[Ints, Ints]


def _by_rule(left: Capture, right: Capture, near: Ints, far: Ints) -> Iterator[tuple[int, _Rows]]:
    if not len(left.rule) or not len(right.rule):
        yield NO_RULE, (near, far)
        return
    rules = left.rule[near], right.rule[far]
    known = [set(np.flatnonzero(np.bincount(each + 1)).tolist()) for each in rules]
    if len(known[0]) == len(known[1]) == 1:
        # Where the path rewrites ports, one tap may not recognise the stream.
        yield max(known[0] | known[1]) - 1, (near, far)
        return
    for code in sorted(known[0] | known[1]):
        yield code - 1, (near[rules[0] == code - 1], far[rules[1] == code - 1])


def _by_source(
    left: Capture, right: Capture, flow: tuple[int, int], rule: int, rows: _Rows
) -> Iterator[Stream]:
    sides = (left, rows[0]), (right, rows[1])
    if not all(_is_rtp(*side) for side in sides):
        yield Stream(flow, rule, None, *rows)
        return
    tags = [np.where(_looks(*side), side[0].tag[side[1]].astype(np.int64), -1) for side in sides]
    for tag in sorted(set().union(*(_distinct(each).tolist() for each in tags))):
        mine = (each if bool(np.all(which == tag)) else each[which == tag]
                for each, which in zip(rows, tags, strict=True))  # fmt: skip
        yield Stream(flow, rule, None if tag < 0 else int(tag), *mine)


def _looks(capture: Capture, rows: Ints) -> Mask:
    found: Mask = capture.head[rows] >> np.uint64(62) == 2
    return found


def _is_rtp(capture: Capture, rows: Ints) -> bool:
    """Whether a flow is RTP: nearly every packet could be, of few sources, and its headers tell.

    Headers that repeat where the packets differ are those of something else.
    """
    if len(rows) < _FEWEST_RTP or capture.names[capture.flow[rows[0]]].protocol != "UDP":
        return False
    rows, every = rows[_looks(capture, rows)], len(rows)
    if len(rows) < max(_FEWEST_RTP, _MOSTLY * every):
        return False
    rows = rows[:_SAMPLE]
    tag = capture.tag[rows]
    if len(_distinct(tag)) > len(rows) // _FEWEST_RTP:
        return False
    headers = mixed(capture.head[rows], tag.astype(np.uint64))
    return len(_distinct(headers)) >= len(_distinct(capture.key[rows]))


def _distinct(values: NDArray[_T]) -> NDArray[_T]:
    """The different values, sorted; by a plain sort, which is faster than a hash table."""
    if len(values) and values.min() == values.max():
        return values[:1]
    values = np.sort(values)
    fresh = np.ones(len(values), dtype=bool)
    fresh[1:] = values[1:] != values[:-1]
    return values[fresh]


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """When a stream's packets passed either tap, and where their keys meet."""

    left_ns: Ints
    right_ns: Ints
    meeting: Meeting

    @property
    def shift_ns(self) -> Ints:
        """How much later the right tap saw each packet that is unique at both."""
        found: Ints = self.right_ns[self.meeting.right] - self.left_ns[self.meeting.left]
        return found


def met(left: Capture, right: Capture, stream: Stream) -> Met:
    """Where a stream's packets meet, by what tells them apart best.

    By the application's number where a rule gives one, together with the packet's content unless
    the path changes that (numbers of few bits repeat; together they rarely do). By the RTP header
    where it is RTP. Else by the content, and by the IPv4 identification unless the path rewrites
    it (RFC 6864 allows that where DF is set).
    """
    best: Meeting | None = None
    least = min(len(stream.left), len(stream.right))
    for keys in _keys(left, right, stream):
        meeting = meet(*keys)
        if best is None or _better(meeting, best):
            best = meeting
        if meeting.common >= _KEPT * least:
            break
    assert best is not None
    return Met(left.t_ns[stream.left], right.t_ns[stream.right], best)


def _better(meeting: Meeting, best: Meeting) -> bool:
    """Whether less in the key tells clearly more packets apart, or where none, lets more pair."""
    if len(meeting.left) or len(best.left):
        return _KEPT * len(meeting.left) > len(best.left)
    return _KEPT * meeting.common > best.common


def _keys(left: Capture, right: Capture, stream: Stream) -> Iterator[list[Hashes]]:
    """The keys to try, those that tell most apart first."""
    sides = (left, stream.left), (right, stream.right)
    numbers = [_numbers(*side) for side in sides]
    if stream.ssrc is not None:
        yield [mixed(side.head[rows], np.uint64(stream.ssrc)) for side, rows in sides]
        return
    content = [side.key[rows] for side, rows in sides]
    if stream.rule != NO_RULE and all(numbers_ is not None for numbers_ in numbers):
        yield [mixed(key, each) for key, each in zip(content, numbers, strict=True)]  # type: ignore[arg-type]
        yield [each for each in numbers if each is not None]
        return
    idents = [side.ip_id[rows] for side, rows in sides]
    if all(bool(each.any()) for each in idents):
        yield [
            mixed(key, each.astype(np.uint64)) for key, each in zip(content, idents, strict=True)
        ]
    yield content


def _numbers(capture: Capture, rows: Ints) -> Hashes | None:
    """The application's numbers; none where it has none."""
    if not len(capture.number):
        return None
    found: Hashes = capture.number[rows]
    return found if bool(found.any()) else None


def rtp_columns(capture: Capture, rows: Ints) -> RtpColumns:
    """The RTP headers of packets."""
    head = capture.head[rows]
    return RtpColumns(
        (head >> np.uint64(32)).astype(np.uint16),
        head.astype(np.uint32),
        (head >> np.uint64(55) & np.uint64(1)).astype(bool),
        (head >> np.uint64(48) & np.uint64(0x7F)).astype(np.uint8),
    )
