"""Lines up two lists of keys: which key stands where in both; one sort, exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.captures.blocks import Ints
from bench.captures.headers import mixed
from bench.captures.network import Hashes
from bench.captures.walking import Mask

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
class Meeting:
    """Where the keys of two taps meet, the same either way.

    ``left``, ``right``: places of the keys that are unique at both, ``left`` rising.
    ``left_alike``, ``right_alike``: those of the keys that both have and one has more than once.
    """

    left: Ints
    right: Ints
    left_alike: Alike
    right_alike: Alike

    def swapped(self) -> Meeting:
        """With the taps exchanged."""
        return Meeting(*_risen(self.right, self.left), self.right_alike, self.left_alike)

    @property
    def common(self) -> int:
        """How many packets could pair, repeated ones counted as often as they are."""
        count = len(self.left)
        if len(self.left_alike.group):
            both = (np.bincount(side.group) for side in (self.left_alike, self.right_alike))
            count += int(np.minimum(*both).sum())
        return count


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


def meet(left: Hashes, right: Hashes) -> Meeting:
    """Find where the keys of two taps meet; both in order of time.

    As many high bits of the (mixed) key as fit are sorted together with tap and place, in one
    array of numbers; that is several times faster than to sort places by key. Whether keys that
    agree in these bits agree in full is then looked up.
    """
    bits = max(len(left), len(right), 1).bit_length()
    couples, rest = _couples(_packed(left, right, bits), bits)
    tap, mask = np.uint64(1 << bits), np.uint64((1 << bits) - 1)
    near, far = (_places(each, mask) for each in couples)
    del couples
    exact = left[near] == right[far]
    if not exact.all():
        near, far = near[exact], far[exact]
    near, far = _risen(near, far)
    return _rest(near, far, left, right, (rest & tap) != 0, _places(rest, mask))


def _couples(packed: Hashes, bits: int) -> tuple[tuple[Hashes, Hashes], Hashes]:
    """Entries that are two of a key, one of either tap; and all of keys that stand more often."""
    same = (packed[1:] ^ packed[:-1]) < np.uint64(1 << (bits + 1))
    two = same.copy()
    two[1:] &= ~same[:-1]
    two[:-1] &= ~same[1:]
    same &= ~two
    more = np.zeros(len(packed), dtype=bool)
    more[1:] = same
    more[:-1] |= same
    rest = packed[more]
    del same, more
    # Sorted, the entry of the right tap is the second of the two.
    at_right = (packed & np.uint64(1 << bits)) != 0
    two &= at_right[1:]
    two &= ~at_right[:-1]
    del at_right
    return (packed[:-1][two], packed[1:][two]), rest


def _risen(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Couples in the order of the left, in which their packets lie in memory."""
    place = np.full(int(left.max(initial=-1)) + 1, -1, dtype=np.int64)
    place[left] = right
    left = np.flatnonzero(place >= 0)
    return left, place[left]


def line_up(sent: Hashes, got: Hashes) -> Lines:
    """Line up the keys of the packets sent and of the arrivals, both in order of time."""
    return lines(meet(sent, got), len(sent))


def lines(meeting: Meeting, count: int) -> Lines:
    """The lines where the left tap sent ``count`` packets."""
    near, far = meeting.left_alike, meeting.right_alike
    place = np.full(count, -1, dtype=np.int64)
    place[meeting.left] = meeting.right
    if not len(near.group):
        return Lines(place, near.rows, near.rows, near, far)
    once = np.bincount(near.group) == 1
    lone, arrived = once[near.group], once[far.group]
    first = np.searchsorted(far.group, near.group[lone])
    place[near.rows[lone]] = far.rows[first]
    sender = np.zeros(len(once), dtype=np.int64)
    sender[near.group[lone]] = near.rows[lone]
    later = arrived.copy()
    later[first] = False
    return Lines(
        place,
        far.rows[later],
        sender[far.group[later]],
        Alike(near.group[~lone], near.rows[~lone]),
        Alike(far.group[~arrived], far.rows[~arrived]),
    )


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


def _rest(
    near: Ints, far: Ints, left: Hashes, right: Hashes, at_right: Mask, rows: Ints
) -> Meeting:
    """Of the keys that stand somewhere more than once, or share their high bits with another."""
    full = np.empty(len(rows), dtype=np.uint64)
    full[~at_right], full[at_right] = left[rows[~at_right]], right[rows[at_right]]
    full = mixed(full, _ZERO)
    if bool(np.any(full[1:] < full[:-1])):  # keys of the same high bits are not apart
        order = np.lexsort((rows, at_right, full))
        full, at_right, rows = full[order], at_right[order], rows[order]
    fresh = np.ones(len(full), dtype=bool)
    fresh[1:] = full[1:] != full[:-1]
    group = np.cumsum(fresh) - 1
    count = int(group[-1]) + 1 if len(group) else 0
    at_both = np.ones(count, dtype=bool)
    for side in (~at_right, at_right):
        at_both &= np.bincount(group[side], minlength=count) > 0
    number = np.cumsum(at_both) - 1
    sides = []
    for side in (~at_right, at_right):
        side = side & at_both[group]
        sides.append(Alike(number[group[side]], rows[side]))
    return Meeting(near, far, *sides)
