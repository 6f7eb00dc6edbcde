"""Two captures of one path: which flows they share, which way each goes, and its pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.captures.blocks import Ints
from bench.captures.flows import Capture, FlowName, read_capture
from bench.captures.headers import Hashes, mixed
from bench.captures.matching import Pairs, Tap, Watch, pair, unique_pairs
from bench.errors import InputError
from bench.units import NS_PER_S, show_duration

_FEWEST_RTP = 16
"""Packets of a flow, and per source, below which it is not taken for RTP."""

_ID_KEPT = 0.9
"""The share of packets that must still pair with the IPv4 identification for it to count."""

_MOST_BACK_NS = 100_000_000
"""Packets of several interfaces or processors may be out of order in a file by less than this."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedFlow:
    """One flow that both captures saw.

    ``forward``: it goes from the left tap to the right. ``size``: bytes as an Ethernet frame of
    each packet sent, shape ``(n,)``.
    """

    name: FlowName
    forward: bool
    pairs: Pairs
    size: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two captures, paired.

    ``undirected``: packets, at the left tap and at the right, of shared flows in which nothing is
    unique, so that neither way nor delay can be told; they are ambiguous.
    """

    left: Capture
    right: Capture
    flows: tuple[SharedFlow, ...]
    undirected: tuple[int, int]


def read_captures(left: Path, right: Path) -> tuple[Capture, Capture]:
    """Read two captures so that their keys are comparable, also where one keeps fewer bytes.

    Raises:
        InputError: as :func:`bench.captures.flows.read_capture`.
    """
    found = read_capture(left), read_capture(right)
    least = [each.least_payload for each in found]
    if least[0] == least[1]:
        return found
    return read_capture(left, min(least)), read_capture(right, min(least))


def compare(left: Capture, right: Capture) -> Comparison:
    """Pair the flows that two captures share.

    Raises:
        InputError: no common packets, the files in wrong order, or clocks that cannot be right.
    """
    for capture in (left, right):
        _check_clock(capture)
    near, far = _by_flow(left), _by_flow(right)
    shared = [key for key in near if key in far]
    taps = {key: _taps(left, right, near[key], far[key]) for key in shared}
    names = dict(zip(left.ids.tolist(), left.names, strict=True))
    allowed = round((left.resolution_s + right.resolution_s) * NS_PER_S)
    shifts = {}
    for key in shared:
        delays = _shifts_ns(*taps[key])
        if len(delays):
            _check_one_way(delays, allowed, names[key], left, right)
            shifts[key] = float(np.median(delays))
    _check_ways(left, right, {names[key]: shift for key, shift in shifts.items()})
    flows, undirected = [], np.zeros(2, dtype=np.int64)
    for key in shared:
        if key not in shifts:
            undirected += [len(each) for each in taps[key]]
            continue
        forward = shifts[key] > 0
        sent, got = taps[key] if forward else taps[key][::-1]
        pairs = pair(sent, got, _watch(right if forward else left))
        size = left.size[near[key]] if forward else right.size[far[key]]
        flows.append(SharedFlow(names[key], forward, pairs, size.astype(np.int64)))
    return Comparison(left, right, tuple(flows), (int(undirected[0]), int(undirected[1])))


def _watch(capture: Capture) -> Watch:
    return Watch(int(capture.t_ns.min()), int(capture.t_ns.max()))


def _by_flow(capture: Capture) -> dict[int, Ints]:
    """The rows of each flow, in order of time, by the flow's hash."""
    order = np.lexsort((capture.t_ns, capture.flow))
    ends = np.cumsum(np.bincount(capture.flow, minlength=len(capture.ids)))
    return dict(zip(capture.ids.tolist(), np.split(order, ends[:-1]), strict=True))


def _taps(left: Capture, right: Capture, near: Ints, far: Ints) -> tuple[Tap, Tap]:
    """One flow at both taps, with keys by what tells its packets apart best.

    By the RTP header where it is RTP. Else by headers and payload, and by the IPv4
    identification unless the path rewrites it (RFC 6864 allows that where DF is set).
    """
    sides = ((left, near), (right, far))
    keys = [side.key[rows] for side, rows in sides]
    if all(_is_rtp(side, rows) for side, rows in sides):
        keys = [
            mixed(mixed(side.ids[side.flow[rows]], side.head[rows]), side.tag[rows].astype("u8"))
            for side, rows in sides
        ]
    else:
        with_id = [
            mixed(side.key[rows], side.ip_id[rows].astype(np.uint64)) for side, rows in sides
        ]
        if _common(*with_id) >= _ID_KEPT * _common(*keys):
            keys = with_id
    return Tap(left.t_ns[near], keys[0]), Tap(right.t_ns[far], keys[1])


def _common(left: Hashes, right: Hashes) -> int:
    """How many packets could pair by these keys, repeated ones counted as often as they are."""
    keys, count = np.unique(left, return_counts=True)
    others, more = np.unique(right, return_counts=True)
    _, at, there = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    return int(np.minimum(count[at], more[there]).sum())


def _is_rtp(capture: Capture, rows: Ints) -> bool:
    """Whether a flow is RTP: every packet could be, of few sources, and no header repeats oddly."""
    head, tag = capture.head[rows], capture.tag[rows]
    if len(rows) < _FEWEST_RTP or not bool(np.all(head >> np.uint64(62) == 2)):
        return False
    sources, headers = len(np.unique(tag)), len(np.unique(mixed(head, tag.astype("u8"))))
    return sources <= len(rows) // _FEWEST_RTP and headers >= len(np.unique(capture.key[rows]))


def _shifts_ns(left: Tap, right: Tap) -> Ints:
    """How much later the right tap saw each packet of a flow that is unique at both, ns."""
    at_left, at_right = unique_pairs(left.key, right.key)
    _, place, count = np.unique(right.key, return_inverse=True, return_counts=True)
    alone = count[place[at_right]] == 1
    shifts: Ints = right.t_ns[at_right[alone]] - left.t_ns[at_left[alone]]
    return shifts


def _check_clock(capture: Capture) -> None:
    back = np.diff(capture.t_ns)
    if not len(back) or int(back.min()) > -_MOST_BACK_NS:
        return
    at = int(back.argmin())
    raise InputError(
        f"time goes back by {show_duration(-int(back[at]) / 1e9)} after packet {at + 1}: the clock "
        "was set while capturing, or the packets are not in order",
        remedy="capture again with a clock that is only slewed, or sort the file by time",
        file=capture.path,
    )


def _check_ways(left: Capture, right: Capture, shifts: dict[FlowName, float]) -> None:
    """Refuse what no pair of right clocks can show."""
    names = f"{left.path.name}, {right.path.name}"
    if not shifts:
        raise InputError(
            "the two captures have no packets in common that could be told apart",
            remedy="give captures of the same traffic at the same time, without address "
            "translation between them",
            file=names,
        )
    if not any(shifts.values()):
        raise InputError(
            "both captures saw every packet at the same instant",
            remedy="give two captures of two places, not one capture twice",
            file=names,
        )
    ways = {name: shift > 0 for name, shift in shifts.items()}
    for name, forward in ways.items():
        if ways.get(name.reverse) == forward and name.reverse != name:
            raise InputError(
                f"request and answer both seem to go the same way ({name}): the clocks of the "
                "taps differ by more than the path's delay",
                remedy="synchronise the clocks (PTP), or capture both places on one host",
                file=names,
            )
    if not any(ways.values()):
        middle_s = -float(np.median(list(shifts.values()))) / 1e9
        raise InputError(
            f"every packet is seen earlier in the second capture than in the first, by "
            f"{show_duration(middle_s)} in the median: delays would be negative",
            remedy="give the two files in the other order, or synchronise the clocks of the taps",
            file=names,
        )


def _check_one_way(
    delays: Ints, allowed: int, name: FlowName, left: Capture, right: Capture
) -> None:
    """Refuse a flow that seems to go both ways."""
    back, there = int(np.count_nonzero(delays < -allowed)), int(np.count_nonzero(delays > allowed))
    if not back or not there:
        return
    early = delays < 0 if back <= there else delays > 0
    raise InputError(
        f"{int(early.sum())} of {len(delays)} packets of {name} arrive before they are sent, by up "
        f"to {show_duration(int(np.abs(delays[early]).max()) / 1e9)}: the clock of a tap was set "
        "or drifts",
        remedy="synchronise the clocks of the taps and capture again",
        file=f"{left.path.name}, {right.path.name}",
    )
