"""Packets that arrive twice: intended by the stimulus, or a sign that the taps err."""

from __future__ import annotations

import numpy as np

from bench.measure.distributions import binomial_quantile
from bench.measure.pairing import Flow
from bench.network.impairment import Direction
from bench.sessions.recording import Recording

_ERROR = 1e-6
"""Probability that a right number of copies is refused, two-sided."""


def copies_problem(recording: Recording, flow: Flow, direction: Direction) -> str:
    """Why the duplicates of a flow are not those that the scenario intends; empty if they are.

    Each packet that arrived was to come twice with the probability in force when it was sent
    (RFC 5560 counts them); the bounds are binomial, wider than those of the mixture.
    """
    ratios = np.zeros(len(flow))
    for number, link in enumerate(recording.schedule.links):
        changes = recording.schedule.of(link, direction)
        times = np.array([t_ns for t_ns, _ in changes], dtype=np.int64)
        values = np.array([0.0, *(state.duplication for _, state in changes)])
        mine = (flow.link == number) & flow.arrived
        ratios[mine] = values[np.searchsorted(times, flow.sent_ns[mine], side="right")]
    arrived = int(flow.arrived.sum())
    if not ratios.any():
        return f"{flow.duplicates} packets arrived twice, which nothing intends," * bool(
            flow.duplicates
        )
    share = float(ratios.sum() / arrived)
    low = binomial_quantile(_ERROR / 2, arrived, share)
    high = binomial_quantile(1 - _ERROR / 2, arrived, share)
    if low <= flow.duplicates <= high:
        return ""
    return f"{flow.duplicates} of {arrived} packets arrived twice where {share:.3g} was intended,"
