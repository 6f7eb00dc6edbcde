"""Supervision of the links and the choice of the one to send on.

A link is *heard* while something arrived on it within ``link_silence_s``, and *usable* while it
is heard and the other side says that it hears us on it too (a half-open link is not usable). It is
*good* while it also carries large packets both ways (:mod:`bench.devices.path`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.devices.path import PathWatch
from bench.units import ns

PREFERRED = 0


@dataclass(frozen=True, slots=True)
class LinkTraits:
    """How a device looks after its links.

    ``spare_alarm_after_s``: how much longer a lost link that is not in use goes unannounced.
    ``switch_back_later_s``: added to the time before the preferred link is taken back.
    ``swings_every_s``: once back, the device leaves and takes it again at this interval.
    ``trusts_half_open``: a link counts as good while one of its directions works.
    ``follows_address``: it sends to where the other side's heartbeats come from.
    ``probes_path``: it looks whether its links carry large packets.
    ``path_later_s``: how much longer a hole for large packets goes unnoticed.
    """

    spare_alarm_after_s: float = 0.0
    switch_back_later_s: float = 0.0
    swings_every_s: float = math.inf
    trusts_half_open: bool = False
    follows_address: bool = True
    probes_path: bool = True
    path_later_s: float = 0.0


HEALTHY = LinkTraits()


class LinkSupervisor:
    """One side's view of all links, and its active link.

    Args:
        count: number of links; index 0 is the preferred one.
        silence_s: a link is lost after this long without any packet.
        switch_back_after_s: the preferred link must be usable this long before it is taken back.
        switches: false never leaves the preferred link (a deliberate defect).
        traits: of its health, as far as defects deviate it.

    ``hears``: something arrived in time, by link. ``heard``: the link counts as heard.
    ``path``: told of the heartbeats and the large packets that arrive. ``narrow``: no large packets
    arrive, by link.
    """

    def __init__(
        self,
        count: int,
        *,
        silence_s: float,
        switch_back_after_s: float,
        switches: bool = True,
        traits: LinkTraits = HEALTHY,
    ) -> None:
        self.count = count
        self.active = PREFERRED
        self.last_heard_ns = [-1] * count
        self.hears = [False] * count
        self.heard = [False] * count
        self.path = PathWatch(count, traits.path_later_s)
        self.narrow = [False] * count
        self._peer_narrow = [False] * count
        self._peer_hears = [False] * count
        self._silence_ns = ns(silence_s)
        self._switch_back_ns = 1e9 * (switch_back_after_s + traits.switch_back_later_s)
        self._switches = switches
        self._traits = traits
        self._preferred_since_ns: int | None = None
        self._swing_due_ns = math.inf

    def peer_hears(self, flags: Sequence[int]) -> None:
        """What the other side's latest heartbeat says about each link."""
        self._peer_hears = [bool(flag) for flag in flags]

    def peer_narrow(self, flags: Sequence[int]) -> None:
        """On which links the other side gets no large packets."""
        self._peer_narrow = [bool(flag) for flag in flags]

    def usable(self, link: int) -> bool:
        """Heard both ways."""
        if self._traits.trusts_half_open:
            return self.heard[link]
        return self.heard[link] and self._peer_hears[link]

    def wide(self, link: int) -> bool:
        """No hole for large packets is known, either way."""
        return not (self.narrow[link] or self._peer_narrow[link])

    def good(self, link: int) -> bool:
        """Usable, also for large packets."""
        return self.usable(link) and self.wide(link)

    def announced(self, now_ns: int, link: int) -> bool:
        """Whether the link is lost, to large packets at least, and it is time to say so."""
        last = self.last_heard_ns[link]
        if last < 0 or self.heard[link]:
            return not self.wide(link)
        late_s = 0.0 if link == self.active else self._traits.spare_alarm_after_s
        return now_ns - last > self._silence_ns + 1e9 * late_s

    @property
    def connected(self) -> bool:
        """Some link works both ways."""
        return any(self.usable(link) for link in range(self.count))

    def supervise(self, now_ns: int) -> list[tuple[int, bool]]:
        """Age the links.

        Returns:
            The links whose state changed, each with whether it is heard now.
        """
        changed: list[tuple[int, bool]] = []
        self.narrow = self.path.narrow(now_ns)
        since_ns = now_ns - self._silence_ns
        self.hears = [last >= 0 and last >= since_ns for last in self.last_heard_ns]
        trusted = self._traits.trusts_half_open and any(self.hears)
        if self.hears == self.heard and not trusted:
            return changed
        for link, hears in enumerate(self.hears):
            heard = hears or (trusted and self._peer_hears[link])
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
        if self.good(PREFERRED):
            if self._preferred_since_ns is None:
                self._preferred_since_ns = now_ns
        else:
            self._preferred_since_ns = None
        before = self.active
        if not self.good(before):
            return self._leave(before)
        since = self._preferred_since_ns
        if before != PREFERRED and since is not None and now_ns - since >= self._switch_back_ns:
            self.active = PREFERRED
            self._swing_due_ns = now_ns + 1e9 * self._traits.swings_every_s
            return before, PREFERRED, "preferred link restored"
        return self._swing(now_ns)

    def _leave(self, before: int) -> tuple[int, int, str] | None:
        """Take a good link; where there is none, a usable one instead of one that is not."""
        others = [link for link in range(self.count) if link != before]
        usable = self.usable(before)
        better = [link for link in others if self.good(link)]
        if not (usable or better):
            better = [link for link in others if self.usable(link)]
        if not better:
            return None
        self.active = better[0]
        reason = "active link loses large packets" if usable else "active link lost"
        return before, self.active, reason

    def _swing(self, now_ns: int) -> tuple[int, int, str] | None:
        if now_ns < self._swing_due_ns:
            return None
        before = self.active
        others = [link for link in range(self.count) if link != before and self.usable(link)]
        if not others:
            return None
        self.active = others[0]
        self._swing_due_ns = now_ns + 1e9 * self._traits.swings_every_s
        return before, self.active, "other link tried"
