"""The display of the network's state: delay, loss and jitter of the heartbeats that arrive.

Over a sliding window: mean delay, share of the numbers that are missing, mean absolute difference
of the delays of packets that follow each other (RFC 3393). Shown rounded to the declared steps;
a sensor reads what is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from bench.devices.ports import Port
from bench.units import ns


@dataclass(frozen=True, slots=True)
class ReadoutTraits:
    """How a display shows the network.

    ``scale``: of what it shows to what it measured. ``refreshes``: false shows its first figures
    for ever. ``behind_s``: how old what it shows is. ``hides_loss``: shows no loss at all.
    ``other_link``: shows the link that is not in use.
    """

    scale: float = 1.0
    refreshes: bool = True
    behind_s: float = 0.0
    hides_loss: bool = False
    other_link: bool = False


class Readout:
    """Measures the heartbeats on the link in use and shows what it measured.

    Args:
        limits: the device's ``display_window_s`` and ``display_refresh_s``.
        steps: the smallest steps that the display shows: ``display_delay_step_s``,
            ``display_loss_step``, ``display_jitter_step_s``; absent ones are not rounded to.
        traits: how it does it.
        port: where timers, and what is shown, leave.
    """

    def __init__(
        self,
        limits: Mapping[str, float],
        steps: Mapping[str, float],
        traits: ReadoutTraits,
        port: Port,
    ) -> None:
        self._window_ns = ns(limits["display_window_s"])
        self._refresh_ns = ns(limits["display_refresh_s"])
        self._steps = steps
        self._traits = traits
        self._port = port
        self._due = 0
        self._link = -1
        self._before = -1
        self._arrivals: deque[tuple[int, int, int]] = deque()
        self._shown = False

    def start(self, now_ns: int) -> None:
        """Begin to show."""
        self._due = now_ns + self._refresh_ns
        self._port.at(self._due, self._refresh)

    def packet(self, now_ns: int, link: int, active: int, seq: int, sent_ns: int) -> None:
        """A heartbeat arrived on ``link`` while ``active`` was in use."""
        wanted = 1 - active if self._traits.other_link else active
        if link != wanted:
            return
        if link != self._link:
            self._link, self._before = link, seq - 1
            self._arrivals.clear()
        self._arrivals.append((now_ns, seq, now_ns - sent_ns))

    def _refresh(self, now_ns: int) -> None:
        self._due = max(self._due, now_ns - self._refresh_ns) + self._refresh_ns
        self._port.at(self._due, self._refresh)
        traits = self._traits
        if not self._arrivals or (self._shown and not traits.refreshes):
            return
        self._shown = True
        shown = self._read(now_ns)
        if traits.behind_s:
            late = now_ns + ns(traits.behind_s)
            self._port.at(late, lambda t_ns: self._port.signal(t_ns, "network-display", shown))
        else:
            self._port.signal(now_ns, "network-display", shown)

    def _read(self, now_ns: int) -> dict[str, float | None]:
        arrivals, traits = self._arrivals, self._traits
        highest = max(seq for _, seq, _ in arrivals)
        while arrivals and arrivals[0][0] <= now_ns - self._window_ns:
            self._before = max(self._before, arrivals.popleft()[1])
        if not arrivals:
            self._arrivals.append((now_ns - self._window_ns, highest, 0))  # to go on from
            self._before = highest - 1
            return {"delay_s": None, "loss": 1.0, "jitter_s": None}
        ages = [age for _, _, age in arrivals]
        sent = highest - self._before
        loss = max(0.0, 1 - len(ages) / sent) if sent > 0 else 0.0
        steps = [abs(after - before) for before, after in pairwise(ages)]
        jitter_s = sum(steps) / len(steps) / 1e9 if steps else 0.0
        return {
            "delay_s": self._rounded("display_delay_step_s", sum(ages) / len(ages) / 1e9),
            "loss": 0.0 if traits.hides_loss else self._rounded("display_loss_step", loss),
            "jitter_s": self._rounded("display_jitter_step_s", jitter_s),
        }

    def _rounded(self, name: str, value: float) -> float:
        step = self._steps.get(name, 0.0)
        shown = value * self._traits.scale
        return round(shown / step) * step if step else shown
