"""Which of a device's streams each packet belongs to, and the number its application gave it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Bytes, Ints, numbers
from bench.captures.network import Hashes
from bench.captures.rules import SequenceField, StreamRule

NO_RULE = -1


def recognise(
    buffer: Bytes,
    rules: Sequence[StreamRule],
    service: Hashes,
    body: Ints,
    count: Ints,
    head: Hashes | None = None,
) -> tuple[NDArray[np.int16], Hashes]:
    """The first rule that fits each packet, ``NO_RULE`` for none, and the application's number.

    A packet of which the start or the number was cut off fits no rule.

    Args:
        buffer: with at least 128 bytes behind the last packet's.
        rules: whose packets are looked for.
        service: per packet ``protocol << 16 | destination port``.
        body: where the payloads start. ``count``: how many bytes of them are there.
        head: of TCP packets their sequence and acknowledgement numbers, as in
            :class:`~bench.captures.headers.Columns`; only rules of segments need it.
    """
    found = np.full(len(body), NO_RULE, dtype=np.int16)
    number = np.zeros(len(body), dtype=np.uint64)
    for index, rule in enumerate(rules):
        mine = (service == np.uint64(rule.protocol << 16 | rule.port)) & (found == NO_RULE)
        rows = np.flatnonzero(mine & (count >= _needed(rule)))
        if rule.magic:
            start = numbers(buffer, body[rows], ">", "u8") >> np.uint64(64 - 8 * len(rule.magic))
            mask = int.from_bytes(rule.mask or b"\xff" * len(rule.magic))
            rows = rows[start & np.uint64(mask) == np.uint64(int.from_bytes(rule.magic) & mask)]
        found[rows] = index
        if rule.segments and head is not None:
            number[rows] = head[rows] >> np.uint64(32)
        elif rule.sequence is not None:
            number[rows] = _number(buffer, body[rows], rule.sequence)
    return found, number


def _needed(rule: StreamRule) -> int:
    """Bytes of the payload that tell the stream and the number."""
    field = rule.sequence
    return max(
        len(rule.magic), field.offset + field.bytes if field is not None else 0, rule.segments
    )


def _number(buffer: Bytes, body: Ints, field: SequenceField) -> Hashes:
    return numbers(buffer, body + field.offset, field.order, f"u{field.bytes}")
