"""Supervision of the links and the choice of the one to send on.

A link is *heard* while something arrived on it within ``link_silence_s``, and *usable* while it
is heard and the other side says that it hears us on it too (a half-open link is not usable).
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.units import ns

PREFERRED = 0


class LinkSupervisor:
    """One side's view of all links, and its active link.

    Args:
        count: number of links; index 0 is the preferred one.
        silence_s: a link is lost after this long without any packet.
        switch_back_after_s: the preferred link must be usable this long before it is taken back.
        switches: false never leaves the preferred link (a deliberate defect).
    """

    def __init__(
        self, count: int, *, silence_s: float, switch_back_after_s: float, switches: bool = True
    ) -> None:
        self.count = count
        self.active = PREFERRED
        self.last_heard_ns = [-1] * count
        self.heard = [False] * count
        self._peer_hears = [False] * count
        self._silence_ns = ns(silence_s)
        self._switch_back_ns = ns(switch_back_after_s)
        self._switches = switches
        self._preferred_since_ns: int | None = None

    def peer_hears(self, flags: Sequence[int]) -> None:
        """What the other side's latest heartbeat says about each link."""
        self._peer_hears = [bool(flag) for flag in flags]

    def usable(self, link: int) -> bool:
        """Heard both ways."""
        return self.heard[link] and self._peer_hears[link]

    @property
    def connected(self) -> bool:
        """Some link works both ways."""
        return any(self.usable(link) for link in range(self.count))

    def supervise(self, now_ns: int) -> list[tuple[int, bool]]:
        """Age the links.

        Returns:
            The links whose state changed, each with whether it is heard now.
        """
        changed = []
        for link in range(self.count):
            last = self.last_heard_ns[link]
            heard = last >= 0 and now_ns - last <= self._silence_ns
            if heard != self.heard[link]:
                self.heard[link] = heard
                changed.append((link, heard))
        return changed

    def choose(self, now_ns: int) -> tuple[int, int, str] | None:
        """Take another link where the rules ask for it.

        Returns:
            ``(from, to, reason)`` if the active link changed.
        """
        if not self._switches:
            return None
        if self.usable(PREFERRED):
            if self._preferred_since_ns is None:
                self._preferred_since_ns = now_ns
        else:
            self._preferred_since_ns = None
        before = self.active
        if not self.usable(before):
            for link in range(self.count):
                if self.usable(link):
                    self.active = link
                    return before, link, "active link lost"
            return None
        since = self._preferred_since_ns
        if before != PREFERRED and since is not None and now_ns - since >= self._switch_back_ns:
            self.active = PREFERRED
            return before, PREFERRED, "preferred link restored"
        return None
