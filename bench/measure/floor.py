"""The noise floor of a bench: what an unimpaired path measures in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.measure.metrics import ipdv, pdv
from bench.measure.pairing import flow_of
from bench.measure.statistics import quantile
from bench.sessions.recording import Recording


@dataclass(frozen=True, slots=True)
class StreamFloor:
    """One stream on the unimpaired path. Delays in s."""

    p50: float
    p99: float
    p999: float
    max: float
    ipdv_p99: float
    pdv_p999: float
    n: int

    def of(self, metric: str) -> float:
        """What the floor adds to a metric of the catalogue."""
        return {
            "delay-p99": self.p99,
            "delay-p999": self.p999,
            "ipdv-p99": self.ipdv_p99,
            "pdv-p999": self.pdv_p999,
            "rfc3550-jitter": self.ipdv_p99,
        }.get(metric, self.max)


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """Per stream, measured in the null-path session ``session``; ``complete`` without drops.

    ``emulator_s``: by how much the emulator's delays were off in the proof before the run: the
    worst median. None where none was made.
    """

    session: str
    streams: Mapping[str, StreamFloor]
    complete: bool
    emulator_s: float | None = None

    def stream(self, name: str) -> StreamFloor | None:
        """The floor of a stream, or the worst of all for a name that is not in it."""
        if name in self.streams:
            return self.streams[name]
        return max(self.streams.values(), key=lambda f: f.p99, default=None)


def measure_floor(recording: Recording) -> NoiseFloor:
    """The noise floor from a null-path recording."""
    window = next(w for w in recording.schedule.windows if w.judged)
    streams = {}
    for stream in recording.device.active_streams:
        flow = flow_of(recording, stream.name).sent_between(window.start_ns, window.end_ns)
        delay = np.sort(flow.delay_s)
        if len(delay) < 2:
            continue
        variation = np.sort(ipdv(flow))
        streams[stream.name] = StreamFloor(
            p50=quantile(delay, 0.5),
            p99=quantile(delay, 0.99),
            p999=quantile(delay, 0.999),
            max=float(delay[-1]),
            ipdv_p99=quantile(variation, 0.99) if len(variation) else float("nan"),
            pdv_p999=quantile(np.sort(pdv(flow)), 0.999),
            n=len(delay),
        )
    health = recording.health
    complete = health.complete and not health.tap_drops and not health.emulator_drops
    return NoiseFloor(recording.session_id, streams, complete)
