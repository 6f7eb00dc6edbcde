"""Seeded randomness by name: each consumer draws from a generator of its own.

Adding a consumer never changes what another one draws, which is what keeps one seed one
recording (architecture: "each consumer draws from its own SeedSequence keyed by name").
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_sequence(seed: int, *names: str) -> np.random.SeedSequence:
    """The seed sequence of the consumer ``names`` under the run's ``seed`` (zero or more)."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.SeedSequence([seed, *words])


def generator(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator (PCG64) for the consumer ``names``."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, *names)))
