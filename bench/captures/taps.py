"""Two captures of one path: which flows they share, which way each goes, and its pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.captures.alike import FEW
from bench.captures.beside import Ended, both, shares
from bench.captures.blocks import Ints
from bench.captures.flows import Capture, FlowName, check_clock, read_capture
from bench.captures.headers import PAYLOAD_BYTES
from bench.captures.lining import Lines, lines
from bench.captures.matching import Fate, Pairs, Watch, pair_lines
from bench.captures.network import Hashes
from bench.captures.rules import StreamRule
from bench.captures.streams import Met, RtpColumns, Stream, by_flow, met, rtp_columns, streams
from bench.captures.translation import associate
from bench.captures.walking import Mask
from bench.errors import InputError
from bench.units import NS_PER_S, show_duration

_FEW_EARLY = 0.1
"""So many of a stream's packets may seem to arrive before they are sent, where others like them
were sent before the capture."""


_ALWAYS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class SharedFlow:
    """One stream that both captures saw: one direction of a 5-tuple, rule and RTP source.

    ``name``: as at the left tap. ``forward``: it goes from the left tap to the right. ``size``,
    ``got_size``: bytes as an Ethernet frame of each packet sent, shape ``(n,)``, and of each
    arrival, shape ``(m,)``. ``rule``: index into the rules given, -1 for none. ``number``: the
    application's numbers of the packets sent, shape ``(n,)``, or ``(0,)`` without rules. ``ssrc``,
    ``rtp``: where it is RTP. ``far_name``: at the right tap, where the path changed it.
    """

    name: FlowName
    forward: bool
    pairs: Pairs
    size: NDArray[np.uint32]
    got_size: NDArray[np.uint32]
    rule: int
    number: Hashes
    ssrc: int | None
    rtp: RtpColumns | None
    far_name: FlowName | None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two captures, paired.

    ``undirected``: packets, at the left tap and at the right, of shared flows in which nothing is
    unique, between hosts of which no other flow tells way and delay; they are ambiguous.
    ``unshared_left``, ``unshared_right``: flows that only one tap saw, and their packets; most
    packets first.
    """

    left: Capture
    right: Capture
    flows: tuple[SharedFlow, ...]
    undirected: tuple[int, int]
    unshared_left: tuple[tuple[FlowName, int], ...]
    unshared_right: tuple[tuple[FlowName, int], ...]


def read_captures(
    left: Path, right: Path, *, rules: Sequence[StreamRule] = (), nat: bool = False, hands: int = 1
) -> tuple[Capture, Capture]:
    """Read two captures so that their keys are comparable, also where one keeps fewer bytes.

    Args:
        left, right: pcap or pcapng.
        rules: how a device's streams are recognised.
        nat: the path rewrites addresses or ports.
        hands: processes, as :func:`bench.captures.beside.hands`; what is read is the same.

    Raises:
        InputError: as :func:`bench.captures.flows.read_capture`.
    """

    def read(path: Path, payload_bytes: int = PAYLOAD_BYTES) -> Capture:
        return read_capture(path, payload_bytes, rules=rules, addresses=not nat)

    found = both(lambda: read(left), lambda: read(right), hands)
    least = min(each.least_payload for each in found)
    again = [each if each.least_payload == least else read(each.path, least) for each in found]
    return again[0], again[1]


def compare(
    left: Capture, right: Capture, *, nat: bool = False, offset_ns: int = 0, hands: int = 1
) -> Comparison:
    """Pair the flows that two captures share.

    Args:
        left, right: as :func:`read_captures` reads them, with the same ``nat``.
        nat: tell which flow is which by their packets, not by addresses and ports.
        offset_ns: how much the right tap's clock is known to be ahead of the left one's.
        hands: processes, as :func:`bench.captures.beside.hands`; what is found is the same.

    Raises:
        InputError: no common packets, the files in wrong order, or clocks that cannot be right.
    """
    for capture in (left, right):
        check_clock(capture)
    if offset_ns:
        right = replace(right, t_ns=right.t_ns - offset_ns)
    near, far = by_flow(left), by_flow(right)
    shared = associate(left, right) if nat else _by_name(left, right)
    found = [
        stream for at in shared for stream in streams(left, right, at, near[at[0]], far[at[1]])
    ]
    # One after the other, the largest first: more at once would need much more memory.
    found.sort(key=lambda stream: -stream.packets)
    taps = _Taps(left, right, (_watch(left), _watch(right)))
    told = _all_told(taps, found, hands)
    _check_ways(left, right, _shifts(left, found, told))
    flows = [
        _flow(taps, stream, each.shift_ns > 0, each.pairs)
        for stream, each in zip(found, told, strict=True)
        if each is not None
    ]
    alike = [stream for stream, each in zip(found, told, strict=True) if each is None]
    known, rest = _known_delays(flows) if alike else {}, []
    for stream in alike:
        other = known.get(_hosts(left.names[stream.flow[0]]))
        if other is None:
            rest.append(stream)
        else:
            way, delays = other
            pairs = pair_lines(*_lined(taps, met(left, right, stream), way), delays)
            flows.append(_flow(taps, stream, way, pairs))
    undirected = sum(len(each.left) for each in rest), sum(len(each.right) for each in rest)
    return Comparison(
        left, right, tuple(flows), undirected,
        _unshared(left, near, {at[0] for at in shared}),
        _unshared(right, far, {at[1] for at in shared}),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """Both captures, and when each was made."""

    left: Capture
    right: Capture
    watch: tuple[Watch, Watch]


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """A stream, paired by its own packets: ``shift_ns`` how much later the right tap saw them."""

    unique: int
    shift_ns: float
    pairs: Pairs


def _all_told(taps: _Taps, found: list[Stream], hands: int) -> list[_Told | None]:
    """Every stream paired by its own packets, in the same order.

    Raises:
        InputError: as :func:`_tell`, of the first stream.
    """
    mine, theirs = shares([stream.packets for stream in found])
    if hands < 2 or not theirs:
        return [_tell(taps, stream) for stream in found]

    def tell(places: list[int], *, bare: bool) -> list[_Told | None]:
        each = (_tell(taps, found[place]) for place in places)
        return [_without_times(one) if bare else one for one in each]

    try:
        parts = both(lambda: tell(mine, bare=False), lambda: tell(theirs, bare=True), hands)
    except Ended:
        raise
    except InputError:  # an earlier stream may be wrong as well
        return [_tell(taps, stream) for stream in found]
    told = dict(zip(mine + theirs, parts[0] + parts[1], strict=True))
    for place in theirs:
        told[place] = _with_times(told[place], taps, found[place])
    return [told[place] for place in range(len(found))]


def _without_times(told: _Told | None) -> _Told | None:
    if told is None:
        return None
    none = np.zeros(0, dtype=np.int64)
    return replace(told, pairs=replace(told.pairs, sent_ns=none, got_ns=none))


def _with_times(told: _Told | None, taps: _Taps, stream: Stream) -> _Told | None:
    if told is None:
        return None
    times = taps.left.t_ns[stream.left], taps.right.t_ns[stream.right]
    sent_ns, got_ns = times if told.shift_ns > 0 else times[::-1]
    return replace(told, pairs=replace(told.pairs, sent_ns=sent_ns, got_ns=got_ns))


def _tell(taps: _Taps, stream: Stream) -> _Told | None:
    """Pair one stream by its unique packets; none where it has none.

    Raises:
        InputError: packets arrive before they are sent.
    """
    at = met(taps.left, taps.right, stream)
    shift_ns = at.shift_ns
    if not len(shift_ns):
        return None
    unique, middle = len(shift_ns), _middle(shift_ns)
    _check_one_way(taps, stream, at, shift_ns, middle > 0)
    del shift_ns
    found = _lined(taps, at, middle > 0)
    del at
    return _Told(unique, middle, pair_lines(*found))


def _shifts(left: Capture, found: list[Stream], told: list[_Told | None]) -> dict[FlowName, float]:
    """How much later the right tap saw each flow: as the stream with most unique packets shows."""
    most: dict[FlowName, _Told] = {}
    for stream, each in zip(found, told, strict=True):
        name = left.names[stream.flow[0]]
        if each is not None and (name not in most or each.unique > most[name].unique):
            most[name] = each
    return {name: each.shift_ns for name, each in most.items()}


def _hosts(name: FlowName) -> tuple[str, str]:
    return name.source, name.destination


def _known_delays(
    flows: list[SharedFlow],
) -> dict[tuple[str, str], tuple[bool, tuple[int, int]]]:
    """By source and destination: which way packets go, and least and most delay, ns.

    Where enough packets between these hosts arrived to tell.
    """
    found: dict[tuple[str, str], list[tuple[bool, int, int, int]]] = {}
    for flow in flows:
        arrived = flow.pairs.fate == Fate.ARRIVED.value
        delays = flow.pairs.received_ns
        delays -= flow.pairs.sent_ns
        count = int(np.count_nonzero(arrived))
        if count:
            least = int(delays.min(where=arrived, initial=_ALWAYS))
            most = int(delays.max(where=arrived, initial=-_ALWAYS))
            found.setdefault(_hosts(flow.name), []).append((flow.forward, count, least, most))
    return {
        hosts: (each[0][0], (min(row[2] for row in each), max(row[3] for row in each)))
        for hosts, each in found.items()
        if sum(row[1] for row in each) >= FEW and len({row[0] for row in each}) == 1
    }


def _by_name(left: Capture, right: Capture) -> list[tuple[int, int]]:
    """The flows that have the same addresses and ports at both taps."""
    there = {key: index for index, key in enumerate(right.ids.tolist())}
    return [(index, there[key]) for index, key in enumerate(left.ids.tolist()) if key in there]


def _unshared(
    capture: Capture, rows: list[Ints], shared: set[int]
) -> tuple[tuple[FlowName, int], ...]:
    alone = [
        (capture.names[index], len(each))
        for index, each in enumerate(rows)
        if index not in shared and len(each)
    ]
    return tuple(sorted(alone, key=lambda each: (-each[1], str(each[0]))))


def _lined(taps: _Taps, at: Met, forward: bool) -> tuple[Ints, Ints, Lines, Watch, Watch]:
    """What one stream, of which the way is known, is paired by."""
    meeting = at.meeting if forward else at.meeting.swapped()
    times = (at.left_ns, at.right_ns) if forward else (at.right_ns, at.left_ns)
    watch = taps.watch if forward else taps.watch[::-1]
    return *times, lines(meeting, len(times[0])), watch[1], watch[0]


def _flow(taps: _Taps, stream: Stream, forward: bool, pairs: Pairs) -> SharedFlow:
    left, right = taps.left, taps.right
    sides = ((left, stream.left), (right, stream.right))
    (sender, sent), (receiver, got) = sides if forward else sides[::-1]
    names = left.names[stream.flow[0]], right.names[stream.flow[1]]
    return SharedFlow(
        names[0], forward, pairs,
        sender.size[sent], receiver.size[got], stream.rule,
        sender.number[sent] if len(sender.number) else sender.number, stream.ssrc,
        None if stream.ssrc is None else rtp_columns(sender, sent),
        None if names[0] == names[1] else names[1],
    )  # fmt: skip


def _watch(capture: Capture) -> Watch:
    return Watch(int(capture.t_ns.min()), int(capture.t_ns.max()))


def _middle(delays: Ints) -> float:
    """The median of the delays that have the sign which most have."""
    there, back = delays[delays > 0], delays[delays < 0]
    most = there if len(there) >= len(back) else back
    return float(np.median(most)) if len(most) else 0.0


def _check_ways(left: Capture, right: Capture, shifts: dict[FlowName, float]) -> None:
    """Refuse what no pair of right clocks can show."""
    names = f"{left.path.name}, {right.path.name}"
    if not shifts:
        raise InputError(
            "the two captures have no packets in common that could be told apart",
            remedy="give captures of the same traffic at the same time; say so if the path "
            "translates addresses (--nat)",
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


def _check_one_way(taps: _Taps, stream: Stream, at: Met, shift_ns: Ints, forward: bool) -> None:
    """Refuse a stream of which packets arrive before they are sent.

    Not where the sending tap started later and may not have seen the packets that arrived.
    """
    left, right = taps.left, taps.right
    delays = shift_ns if forward else -shift_ns
    allowed = round((left.resolution_s + right.resolution_s) * NS_PER_S)
    early: Mask = delays < -allowed
    if not early.any() or not bool(np.any(delays > allowed)):
        return
    wrong = delays[early]
    if len(wrong) <= _FEW_EARLY * len(delays):
        meeting = at.meeting
        arrived = at.right_ns[meeting.right] if forward else at.left_ns[meeting.left]
        since = taps.watch[0 if forward else 1].start_ns + np.median(delays[delays > 0])
        wrong = wrong[arrived[early] >= since]
    if not len(wrong):
        return
    raise InputError(
        f"{len(wrong)} of {len(delays)} packets of {left.names[stream.flow[0]]} arrive before they "
        f"are sent, by up to {show_duration(-int(wrong.min()) / 1e9)}: the clock of a tap was set "
        "or drifts",
        remedy="synchronise the clocks of the taps and capture again",
        file=f"{left.path.name}, {right.path.name}",
    )
