"""What is asked of a trial, and what was seen in it: plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.benches.local.protocol import Backend
from bench.network.impairment import Direction, Impairment
from instruments.emulators.base import EmulatorReport

LINK = "primary"
LEAST_FRAME_BYTES, MOST_FRAME_BYTES = 64, 1514
"""Captured bytes of the frames that a trial may send; the first also holds the packet's number."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One run of the emulator with numbered packets in one direction.

    ``changes``: of that direction, ns of session time, the first at 0. ``send_ns``: when each
    packet is to be sent, ascending, and ``sizes``: its captured bytes (64 to 1514); shapes (n,).
    ``end_ns``: when the emulator is stopped. ``lead_ns``: from the beginning to session time 0;
    processes must be ready by then. ``watched``: whether a process on each core looks for stalls
    of the host; it takes 2 % of the core.
    """

    backend: Backend
    direction: Direction
    changes: tuple[tuple[int, Impairment], ...]
    send_ns: NDArray[np.int64]
    sizes: NDArray[np.int64]
    end_ns: int
    seed: int
    lead_ns: int = 400_000_000
    watched: bool = True

    @property
    def name(self) -> str:
        """``link/direction``: keys the law's draws."""
        return f"{LINK}/{self.direction}"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the two taps saw of a trial's packets, and how the bench itself fared.

    ``near``, ``far``: rows (dtype ``ROW``) at the sender's and at the receiver's interface.
    ``report``: of the emulator. ``tap_drops``: packets that found no room in a tap's ring.
    ``foreign``: packets that were none of the trial's. ``clock_step_s``: between the clock of the
    stamps and the session's. ``late_start``: a process was not ready at session time 0.
    ``scheduling``: what the scheduler granted the sender. ``stalls_ns``: from when to when a core
    of the host did not run a process that was due, ns of session time; shape (k, 2).
    """

    near: NDArray[np.void]
    far: NDArray[np.void]
    report: EmulatorReport
    tap_drops: int
    foreign: int
    clock_step_s: float
    late_start: bool
    scheduling: str
    stalls_ns: NDArray[np.int64]
