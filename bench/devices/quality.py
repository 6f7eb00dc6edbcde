"""The quality of a network beyond delay and loss: its jitter, and the check before a start."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QualityTraits:
    """What a device does about it.

    ``holds_on_jitter``: it stops at its jitter limit. ``checks_before_start``: it judges the
    network from power-on; else only once it is in operation.
    """

    holds_on_jitter: bool = True
    checks_before_start: bool = True


class JitterWatch:
    """Jitter as the smallest spread of the commands' ages over the last windows.

    One event spreads the ages of one window; a network that jitters spreads those of every one
    (RFC 5481: packet delay variation, here without a percentile).

    Args:
        windows: how many windows are looked at.
        limit_s: the largest spread of a good network.
        clear_ratio: the condition ends when every window is below this share of the limit.
    """

    def __init__(self, windows: int, limit_s: float, clear_ratio: float) -> None:
        self._spreads: deque[float | None] = deque(maxlen=max(1, windows))
        self._limit_s = limit_s
        self._clear_s = clear_ratio * limit_s

    def look(self, spread_s: float | None) -> tuple[bool, bool]:
        """Close a window; ``None`` had too few packets.

        Returns:
            Whether jitter is over its limit, and whether it is clearly under it.
        """
        self._spreads.append(spread_s)
        known = [spread for spread in self._spreads if spread is not None]
        if len(known) < (self._spreads.maxlen or 1):
            return False, False
        return min(known) > self._limit_s, max(known) < self._clear_s
