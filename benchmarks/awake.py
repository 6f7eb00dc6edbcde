"""How late this host wakes a sleeper, with its processors left alone and kept awake, in turn.

``python -m benchmarks.awake [ROUNDS]``: each round sleeps 1 ms at a time for 3 s, both ways.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from bench.benches.local.awake import processors_awake
from instruments.emulators import timing

_FOR_S, _SLEEP_S = 3.0, 0.001


def lateness_s() -> list[float]:
    """From the due time to running."""
    late = []
    until = time.monotonic() + _FOR_S
    while (due := time.monotonic() + _SLEEP_S) < until:
        time.sleep(_SLEEP_S)
        late.append(time.monotonic() - due)
    return late


def main() -> None:
    """Print quantiles in microseconds, one line of JSON per way."""
    timing.set_timer_slack()
    timing.prefer_timing(1)
    alone: list[float] = []
    awake: list[float] = []
    how = "not possible"
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 6):
        alone += lateness_s()
        with processors_awake() as way:
            how = way or how
            awake += lateness_s()
    for name, late in (("left alone", alone), (f"kept awake ({how})", awake)):
        quantiles = np.quantile(late, [0.5, 0.99, 0.999, 1.0]) * 1e6
        figures = zip(("p50", "p99", "p999", "max"), quantiles.round(1).tolist(), strict=True)
        print(json.dumps({"processors": name, "sleeps": len(late), "late_us": dict(figures)}))


if __name__ == "__main__":
    main()
