"""What was not analysed in two captures, in words."""

from __future__ import annotations

from collections.abc import Sequence

from bench.captures.flows import Capture, FlowName
from bench.captures.headers import PAYLOAD_BYTES
from bench.captures.taps import Comparison

_MOST_NAMES = 3


def notes_of(paired: Comparison) -> list[str]:
    """What a reader must know of the captures, one line each."""
    notes = []
    for capture in (paired.left, paired.right):
        notes += [f"{file_name(capture)}: {text}" for text in _capture_notes(capture)]
    least = [capture.least_payload for capture in (paired.left, paired.right)]
    if least[0] != least[1]:
        notes.append(
            f"the captures keep different lengths: packets are told apart by the first "
            f"{min(least)} bytes of their payload"
        )
    sides = (paired.left, paired.unshared_left), (paired.right, paired.unshared_right)
    for capture, flows in sides:
        if flows:
            notes.append(f"{_unshared(flows)} only in {file_name(capture)}: not analysed")
    if any(paired.undirected):
        notes.append(
            f"{paired.undirected[0]} and {paired.undirected[1]} packets of flows in which all "
            "look alike: neither way nor delay can be told; not analysed"
        )
    return notes


def file_name(capture: Capture) -> str:
    """A file's name as text, also where its bytes are none."""
    return capture.path.name.encode("utf-8", "replace").decode("utf-8")


def _capture_notes(capture: Capture) -> list[str]:
    notes = []
    if capture.truncated:
        notes.append("the last record is cut; used up to there")
    if capture.dropped:
        notes.append(f"the tap missed {capture.dropped} packets, which count as lost on the path")
    if capture.without_time:
        notes.append(f"{capture.without_time} packets without time stamp left out")
    if capture.others:
        notes.append(f"{capture.others} packets that are no whole IP packet left out")
    if capture.snap_cut and capture.least_payload < PAYLOAD_BYTES:
        notes.append(
            f"{capture.snap_cut} packets whose payload is cut, to {capture.least_payload} bytes at "
            f"least (up to {PAYLOAD_BYTES} are used)"
        )
    if capture.fragments:
        notes.append(
            f"{capture.fragments} IP fragments whose first one was not seen left out of their flows"
        )
    return notes


def _unshared(flows: Sequence[tuple[FlowName, int]]) -> str:
    most = sorted(flows, key=lambda flow: -flow[1])
    names = ", ".join(f"{name} ({count})" for name, count in most[:_MOST_NAMES])
    more = f" and {len(most) - _MOST_NAMES} more" if len(most) > _MOST_NAMES else ""
    packets = sum(count for _, count in flows)
    return f"{packets} packets of {len(most)} flows, {names}{more}, are"
