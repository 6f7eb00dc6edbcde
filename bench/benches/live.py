"""What a running session looks like, for the live display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.benches.base import Progress
from bench.network.scenario import Schedule
from bench.sessions.packets import TAPS, together
from bench.sessions.recording import Session
from bench.units import NS_PER_S

_EVERY_NS = NS_PER_S // 2
_WINDOW_NS = NS_PER_S
_LAG_NS = NS_PER_S // 2


class LiveView:
    """Keeps the last moments of both taps and says per stream how they compare.

    The window ends half a second before now, so that packets on their way are not called lost.

    Args:
        session: what runs.
        schedule: its schedule.
        every_ns: how often, in the session's time, a report is made.
    """

    def __init__(self, session: Session, schedule: Schedule, every_ns: int = _EVERY_NS) -> None:
        self._session = session
        self._schedule = schedule
        self._names = {stream.code: stream.name for stream in session.device.active_streams}
        self._recent: list[NDArray[np.void]] = []
        self._every_ns = every_ns
        self._due_ns = every_ns

    def add(self, rows: NDArray[np.void]) -> None:
        """Rows that just came."""
        self._recent.append(rows)

    def progress(self, now_ns: int) -> Progress | None:
        """A report when one is due; ``None`` in between."""
        window = self._schedule.at(now_ns)
        if now_ns < self._due_ns or window is None:
            return None
        self._due_ns = now_ns + self._every_ns
        return Progress(
            session=self._session.id,
            scenario=self._session.scenario.name,
            step=window.name,
            role=window.role,
            t_s=now_ns / NS_PER_S,
            end_s=self._schedule.end_ns / NS_PER_S,
            streams=self._streams(now_ns),
        )

    def _streams(self, now_ns: int) -> dict[str, tuple[float | None, float]]:
        start, end = now_ns - _WINDOW_NS - _LAG_NS, now_ns - _LAG_NS
        self._recent = [rows for rows in self._recent if rows["t_ns"].max() >= start]
        if not self._recent:
            return {}
        rows = together(self._recent)
        sent_here = np.where(rows["direction"] == 0, TAPS.index("doctor"), TAPS.index("patient"))
        network = rows["tap"] != TAPS.index("actuator")
        network &= rows["t_ns"] >= start  # what was sent since then arrives since then
        here = rows["tap"] == sent_here
        sent = rows.compress(network & here & (rows["t_ns"] < end))
        arrived = rows.compress(network & ~here)
        found = {}
        for code, name in self._names.items():
            figures = _compare(
                sent.compress(sent["stream"] == code), arrived.compress(arrived["stream"] == code)
            )
            if figures is not None:
                found[name] = figures
        return found


def _compare(
    sent: NDArray[np.void], arrived: NDArray[np.void]
) -> tuple[float | None, float] | None:
    if not len(sent):
        return None
    _, at_sender, at_receiver = np.intersect1d(_keys(sent), _keys(arrived), return_indices=True)
    if not len(at_sender):
        return None, 1.0
    delay_ns = arrived["t_ns"][at_receiver] - sent["t_ns"][at_sender]
    return float(np.median(delay_ns)) / NS_PER_S, 1 - len(at_sender) / len(sent)


def _keys(rows: NDArray[np.void]) -> NDArray[np.int64]:
    place = rows["direction"].astype(np.int64) << 8 | rows["link"]
    keys: NDArray[np.int64] = place << 32 | rows["seq"]
    return keys
