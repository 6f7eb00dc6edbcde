"""Virtual seconds per wall second of a telesurgery session, beside a plain heap scheduler.

``python -m benchmarks.virtual_bench [--seconds 600]``: 2D video (the reference), 3D video, each
with the full device logic; where the time goes; and in the same process, for the ratio, a bare
scheduler that only pushes and pops the same number of events.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import pstats
import time

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.registry import find_device
from bench.network import library
from bench.sessions.recording import Recording, Session

ROOMS = ("network/laws", "devices/", "benches/virtual", "sessions/", "heapq", "numpy")


def play(seconds: float, options: tuple[str, ...]) -> tuple[Recording, float]:
    """One session and its wall time in s."""
    device = find_device("telesurgery-robot").with_options(options)
    session = Session("benchmark", device, library.steady(seconds), seed=7)
    start = time.perf_counter()
    recording = VirtualBench().run(session, Nowhere())
    return recording, time.perf_counter() - start


def bare_scheduler(events: int) -> float:
    """Wall time of pushing and popping ``events`` events at a depth of 500."""
    queue = [(i, i, None, 0, 0) for i in range(500)]
    start = time.perf_counter()
    for count in range(500, 500 + events):
        t_ns, *_ = heapq.heappop(queue)
        heapq.heappush(queue, (t_ns + 997, count, None, 0, 0))
    return time.perf_counter() - start


def where_time_goes(seconds: float) -> list[tuple[str, float]]:
    """Share of own time per room, from a profile of a short session."""
    profile = cProfile.Profile()
    profile.enable()
    play(seconds, ())
    profile.disable()
    shares = dict.fromkeys(ROOMS, 0.0)
    total = 0.0
    for (file, _, name), row in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        own = row[2]
        total += own
        room = next((r for r in ROOMS if r in file or r in name), None)
        if room is not None:
            shares[room] += own
    return sorted(((room, own / total) for room, own in shares.items()), key=lambda x: -x[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    arguments = parser.parse_args()
    for label, options, seconds in (
        ("2D video (reference)", (), arguments.seconds),
        ("3D video, 138 Mbit/s", ("video-3d",), min(120.0, arguments.seconds)),
    ):
        recording, wall_s = play(seconds, options)
        virtual_s = recording.schedule.end_ns / 1e9
        rows = len(recording.packets)
        bare_s = bare_scheduler(min(rows, 2_000_000)) * max(1.0, rows / 2_000_000)
        print(
            f"{label}: {virtual_s:.0f} virtual s in {wall_s:.2f} s = {virtual_s / wall_s:.1f} x, "
            f"{rows / virtual_s:.0f} packet observations per virtual s; "
            f"bare scheduler for as many events {bare_s:.2f} s (ratio {wall_s / bare_s:.1f})"
        )
    for room, share in where_time_goes(20.0):
        print(f"  {room:18s} {share:5.1%} of own time")


if __name__ == "__main__":
    main()
