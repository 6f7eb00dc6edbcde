"""Whether a link still carries large packets: a probe of the path inside the heartbeats.

In the sense of RFC 8899 (DPLPMTUD), sections 4.1 and 4.3: every :data:`PROBE_EVERY`-th heartbeat
is padded to the largest packet that the side's streams send, and the other side says in its own
heartbeats where none comes through. When :data:`MAX_PROBES` probes in a row are missing (section
5.1.2) while the heartbeats around them arrived, the path has a hole for large packets. Any other
packet of that size that arrives proves the contrary (section 4.1, probing with application data).
Its timers are shorter than those of section 5.1.1, which are for transports that know nothing of
their path: the deadline of the device's alarm is shorter.
"""

from __future__ import annotations

PROBE_EVERY = 5
"""Heartbeats from one probe to the next."""

MAX_PROBES = 3
"""Probes missing in a row that make a hole; RFC 8899, section 5.1.2, default."""

NOTICE_BEATS = PROBE_EVERY * MAX_PROBES + 2
"""Heartbeats until a hole is noticed, the next look at the links included."""

NARROW = "narrow"
"""Under this key of a heartbeat's body, by link, whether its sender gets no large packets there."""


class PathWatch:
    """The receiving side's view of which links carry large packets.

    Args:
        count: number of links.
        later_s: how much longer a hole goes unnoticed (a deliberate defect).

    Only heartbeats that are missing alone and in step with the probes count. Any other gap says
    that the path loses packets of any size: the count begins anew, and the loss is for the device's
    other watches.
    """

    def __init__(self, count: int, later_s: float = 0.0) -> None:
        self._last = [-1] * count
        self._gap = [-1] * count
        self._missed = [0] * count
        self._since_ns = [-1] * count
        self._later_ns = 1e9 * later_s

    def heartbeat(self, now_ns: int, link: int, number: int, padded: bool) -> None:
        """A heartbeat with that number arrived."""
        before, self._last[link] = self._last[link], number
        if padded:
            self.passed(link)
        elif number == before + 2:
            in_step = before + 1 == self._gap[link] + PROBE_EVERY
            self._missed[link] = self._missed[link] + 1 if in_step else 1
            self._gap[link] = before + 1
            if self._missed[link] == MAX_PROBES and self._since_ns[link] < 0:
                self._since_ns[link] = now_ns
        elif number not in (before, before + 1):
            self._missed[link] = 0

    def passed(self, link: int) -> None:
        """A large packet arrived."""
        self._missed[link] = 0
        self._since_ns[link] = -1

    def narrow(self, now_ns: int) -> list[bool]:
        """By link, whether it has a hole for large packets."""
        return [since >= 0 and now_ns - since >= self._later_ns for since in self._since_ns]
