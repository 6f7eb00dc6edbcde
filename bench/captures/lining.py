"""Lines up two lists of keys: which key stands where in both; one sort, exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.captures.blocks import Ints
from bench.captures.headers import Hashes, Mask, mixed

_PIECE = 1 << 16
_ZERO = np.uint64(0)


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Packets of one tap that share their keys: sorted by ``group``, then in order of time.

    ``group``: one number per key, the same at both taps; ``rows``: places among all packets.
    """

    group: Ints
    rows: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Where the keys of two taps meet.

    ``place``: shape ``(n,)``, for each key that was sent once its first arrival, -1 for others.
    ``again``: the later arrivals of those, and ``again_of`` where they stand among those sent.
    ``near``, ``far``: packets sent and arrivals whose key was sent more than once and arrived.
    """

    place: Ints
    again: Ints
    again_of: Ints
    near: Alike
    far: Alike


def line_up(sent: Hashes, got: Hashes) -> Lines:
    """Line up the keys of the packets sent and of the arrivals, both in order of time.

    As many high bits of the (mixed) key as fit are sorted together with tap and place, in one
    array of numbers; that is several times faster than to sort places by key. Whether keys that
    agree in these bits agree in full is then looked up.
    """
    bits = max(len(sent), len(got), 1).bit_length()
    packed = _packed(sent, got, bits)
    same = (packed[1:] ^ packed[:-1]) < np.uint64(1 << (bits + 1))
    two = same.copy()
    two[1:] &= ~same[:-1]
    two[:-1] &= ~same[1:]
    place = np.full(len(sent), -1, dtype=np.int64)
    at = np.flatnonzero(two)
    tap, mask = np.uint64(1 << bits), np.uint64((1 << bits) - 1)
    first, second = packed[at], packed[at + 1]
    both = ((first & tap) == 0) & ((second & tap) != 0)
    left, right = _places(first[both], mask), _places(second[both], mask)
    exact = sent[left] == got[right]
    place[left[exact]] = right[exact]
    more = np.zeros(len(packed), dtype=bool)
    more[1:] = same & ~two
    more[:-1] |= same & ~two
    rest = packed[more]
    arrived, rows = (rest & tap) != 0, _places(rest, mask)
    return _rest(place, sent, got, arrived, rows)


def _packed(sent: Hashes, got: Hashes, bits: int) -> Hashes:
    """High bits of each key, then the tap, then the place; sorted."""
    packed = np.empty(len(sent) + len(got), dtype=np.uint64)
    high = ~np.uint64((1 << (bits + 1)) - 1)
    for keys, start, tap in ((sent, 0, 0), (got, len(sent), 1 << bits)):
        for at in range(0, len(keys), _PIECE):
            part = mixed(keys[at : at + _PIECE], _ZERO)
            part &= high
            part |= np.arange(tap + at, tap + at + len(part), dtype=np.uint64)
            packed[start + at : start + at + len(part)] = part
    packed.sort()
    return packed


def _places(packed: Hashes, mask: np.uint64) -> Ints:
    return (packed & mask).view(np.int64)


def _rest(place: Ints, sent: Hashes, got: Hashes, arrived: Mask, rows: Ints) -> Lines:
    """Of the keys that stand somewhere more than once, or share their high bits with another."""
    full = np.empty(len(rows), dtype=np.uint64)
    full[~arrived], full[arrived] = sent[rows[~arrived]], got[rows[arrived]]
    full = mixed(full, _ZERO)
    if bool(np.any(full[1:] < full[:-1])):  # keys of the same high bits are not apart
        order = np.lexsort((rows, arrived, full))
        full, arrived, rows = full[order], arrived[order], rows[order]
    fresh = np.ones(len(full), dtype=bool)
    fresh[1:] = full[1:] != full[:-1]
    group = np.cumsum(fresh) - 1
    count = int(group[-1]) + 1 if len(group) else 0
    senders = np.bincount(group[~arrived], minlength=count)
    arrivals = np.bincount(group[arrived], minlength=count)
    once, often = (senders == 1) & (arrivals > 0), (senders > 1) & (arrivals > 0)
    lone = np.flatnonzero(once[group] & ~arrived)  # the next is its first arrival
    place[rows[lone]] = rows[lone + 1]
    later = once[group] & arrived
    later[lone + 1] = False
    sender = np.zeros(count, dtype=np.int64)
    sender[group[lone]] = rows[lone]
    near, far = often[group] & ~arrived, often[group] & arrived
    again = rows[later], sender[group[later]]
    return Lines(place, *again, Alike(group[near], rows[near]), Alike(group[far], rows[far]))
