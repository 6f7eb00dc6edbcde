"""What was not analysed in two captures, in words."""

from __future__ import annotations

from collections.abc import Sequence

from bench.captures.flows import FlowName
from bench.captures.taps import Comparison
from bench.studies.capture_files import capture_notes, file_name

_MOST_NAMES = 3


def notes_of(paired: Comparison) -> list[str]:
    """What a reader must know of the captures, one line each."""
    notes = []
    for capture in (paired.left, paired.right):
        notes += [f"{file_name(capture.path)}: {text}" for text in capture_notes(capture)]
    least = [capture.least_payload for capture in (paired.left, paired.right)]
    if least[0] != least[1]:
        notes.append(
            f"the captures keep different lengths: packets are told apart by the first "
            f"{min(least)} bytes of their payload"
        )
    sides = (paired.left, paired.unshared_left), (paired.right, paired.unshared_right)
    for capture, flows in sides:
        if flows:
            notes.append(f"{_unshared(flows)} only in {file_name(capture.path)}: not analysed")
    if any(paired.undirected):
        notes.append(
            f"{paired.undirected[0]} and {paired.undirected[1]} packets of flows in which all "
            "look alike: neither way nor delay can be told; not analysed"
        )
    return notes


def _unshared(flows: Sequence[tuple[FlowName, int]]) -> str:
    most = sorted(flows, key=lambda flow: -flow[1])
    names = ", ".join(f"{name} ({count})" for name, count in most[:_MOST_NAMES])
    more = f" and {len(most) - _MOST_NAMES} more" if len(most) > _MOST_NAMES else ""
    packets = sum(count for _, count in flows)
    return f"{packets} packets of {len(most)} flows, {names}{more}, are"
