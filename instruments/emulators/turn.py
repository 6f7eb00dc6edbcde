"""Whose a packet is, where one emulator takes a link over from another while packets flow."""

from __future__ import annotations

from bench.network.laws import NEVER


class Turn:
    """The arrivals that are this emulator's: those of a span of receive stamps.

    The kernel stamps a packet once, where it enters the interface, for every ring there. Two
    emulators that agree on an instant so pass each packet on exactly once.

    Args:
        waits: nothing is its own until it is told from when on.

    Attributes:
        bounded: whether a packet may be another's; where not, nobody needs to ask.
        others: packets that were.
        over: whether one has come that is another's from now on.
    """

    def __init__(self, waits: bool = False) -> None:
        self._since_ns = NEVER if waits else -NEVER
        self._until_ns = NEVER
        self._newest_ns = -NEVER
        self.bounded = waits
        self.others = 0
        self.over = False

    def begin(self, since_ns: int) -> bool:
        """Packets are its own from ``since_ns`` on (CLOCK_REALTIME); False where it is too late.

        It is once a packet with that stamp or a later one has been left to the other.
        """
        if self._newest_ns >= since_ns:
            return False
        self._since_ns, self.bounded = since_ns, True
        return True

    def end(self, until_ns: int) -> None:
        """Packets are another's from ``until_ns`` on (CLOCK_REALTIME)."""
        self._until_ns, self.bounded = until_ns, True

    def mine(self, frames: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Those of ``frames`` (stamp, bytes; in order of arrival) that are its own."""
        since_ns, until_ns = self._since_ns, self._until_ns
        kept = [frame for frame in frames if since_ns <= frame[0] < until_ns]
        self.others += len(frames) - len(kept)
        newest_ns = frames[-1][0]
        self.over = newest_ns >= until_ns
        if newest_ns < since_ns:
            self._newest_ns = max(self._newest_ns, newest_ns)
        elif until_ns == NEVER and len(kept) == len(frames):
            self.bounded = False  # all that comes now is younger
        return kept
