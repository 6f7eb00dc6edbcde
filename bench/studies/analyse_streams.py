"""The streams that two captures share: flows of one stream over several links as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.captures.matching import Arrival, Fate
from bench.captures.rules import StreamRule
from bench.captures.taps import Comparison, SharedFlow
from bench.errors import InputError
from bench.measure.pairing import Flow, by_sequence, distinct, flow_of_pairs

Way = Literal["left-to-right", "right-to-left"]

WAYS: dict[bool, Way] = {True: "left-to-right", False: "right-to-left"}
"""By whether the left tap saw the packets first."""

_MOST_NAMES = 5
_RTP_TURN = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One stream in one direction.

    ``name``: the device's name for it, else that of its flow. ``rule``: how the device's profile
    finds it; ``None`` without one. ``parts``: its flows, one per link, with more only where a rule
    names them all.
    """

    name: str
    direction: Way
    rule: StreamRule | None
    parts: tuple[SharedFlow, ...]

    @property
    def counted(self) -> bool:
        """Whether the application numbers its packets, as the device's profile says."""
        return self.rule is not None and self.rule.sequence is not None

    @property
    def numbered(self) -> bool:
        """Whether the packets bear numbers of the application or of RTP."""
        return self.counted or all(part.rtp is not None for part in self.parts)

    @property
    def packets(self) -> int:
        """Packets sent and arrivals, over all links."""
        return sum(len(part.pairs) + len(part.pairs.got_ns) for part in self.parts)

    def flow(self) -> Flow:
        """All links together, in order of sending.

        Where the application numbers its packets, one that was sent over several links counts
        once, with its first arrival.
        """
        return by_sequence(self.sendings()) if self._merged else self.sendings()

    def sendings(self) -> Flow:
        """All links together, in order of sending, every sending by itself."""
        return _together(
            [
                flow_of_pairs(part.pairs, part.size.astype(np.int64), numbers, link)
                for link, (part, numbers) in enumerate(zip(self.parts, self._numbers, strict=True))
            ]
        )

    @property
    def _merged(self) -> bool:
        return len(self.parts) > 1 and self.counted

    @property
    def _numbers(self) -> list[NDArray[np.int64]]:
        """The number of each packet sent, per part: the application's, else RTP's, else counted."""
        if self.counted:
            return [part.number.astype(np.int64) for part in self.parts]
        return [_rtp_numbers(part) for part in self.parts]

    def repeated(self) -> int:
        """Packets that were sent on the same link under a number already used there."""
        if not self.counted:
            return 0
        return sum(len(numbers) - distinct(numbers) for numbers in self._numbers)

    def skipped(self) -> int:
        """Numbers that the sending tap never saw between the first and the last that it saw."""
        if not self.numbered:
            return 0
        numbers = [np.concatenate(self._numbers)] if self.counted else self._numbers
        return sum(int(np.ptp(each)) + 1 - distinct(each) for each in numbers if len(each))

    def count(self, what: Fate | Arrival) -> int:
        """Over all links."""
        return sum(part.pairs.count(what) for part in self.parts)


def streams_of(paired: Comparison, rules: Sequence[StreamRule], only: str | None) -> list[Stream]:
    """The streams that both captures saw: those of the device in its order, then the others.

    Args:
        paired: the shared flows.
        rules: of the device; with them, flows that no rule names stand behind the others.
        only: keep the streams in whose name, or in the name of one of whose flows, this occurs.

    Raises:
        InputError: ``only`` names none.
    """
    found = []
    for index, rule in enumerate(rules):
        for forward, way in WAYS.items():
            parts = tuple(f for f in paired.flows if f.rule == index and f.forward == forward)
            if parts:
                found.append(Stream(rule.name, way, rule, parts))
    several = _several(paired)
    for flow in sorted(paired.flows, key=lambda flow: not flow.forward):
        if flow.rule < 0 or not rules:
            name = str(flow.name)
            if name in several and flow.ssrc is not None:
                name = f"{name} SSRC {flow.ssrc:#010x}"
            found.append(Stream(name, WAYS[flow.forward], None, (flow,)))
    return found if only is None else _only(found, only)


def _several(paired: Comparison) -> set[str]:
    """Flows that carry more than one RTP source."""
    names = [str(flow.name) for flow in paired.flows if flow.rule < 0]
    return {name for name in names if names.count(name) > 1}


def _only(streams: list[Stream], text: str) -> list[Stream]:
    chosen = [stream for stream in streams if any(text in name for name in _names(stream))]
    if not chosen:
        names = sorted({stream.name for stream in streams})
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        raise InputError(
            "no stream at both taps is called that",
            remedy=f"give a part of a name like {'; '.join(names[:_MOST_NAMES])}{more}",
            field="--only",
            value=text,
        )
    return chosen


def _names(stream: Stream) -> list[str]:
    return [stream.name, *(str(part.name) for part in stream.parts)]


def _rtp_numbers(part: SharedFlow) -> NDArray[np.int64]:
    """RTP's sequence numbers, continued over their turns (RFC 3550, A.1).

    Where it is no RTP, packets count in order of sending.
    """
    if part.rtp is None:
        return np.arange(len(part.pairs), dtype=np.int64)
    sequence = part.rtp.sequence.astype(np.int64)
    steps = (np.diff(sequence) + _RTP_TURN // 2) % _RTP_TURN - _RTP_TURN // 2
    return np.asarray(sequence[:1].sum() + np.concatenate(([0], np.cumsum(steps)))[: len(sequence)])


def _together(flows: list[Flow]) -> Flow:
    """Several flows as one, in order of sending; counts are summed."""
    if len(flows) == 1:
        return flows[0]
    order = np.argsort(np.concatenate([flow.sent_ns for flow in flows]), kind="stable")
    joined: dict[str, Any] = {}
    for field in fields(Flow):
        values = [getattr(flow, field.name) for flow in flows]
        if isinstance(values[0], np.ndarray):
            joined[field.name] = np.concatenate(values)[order]
        elif isinstance(values[0], int):
            joined[field.name] = sum(values)
        else:
            joined[field.name] = values[0]
    return Flow(**joined)
