"""The short proof of the emulator before a run: that it does, here and now, what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.benches.base import Bench, BenchError
from bench.measure.floor import NoiseFloor


def prove_emulator(bench: Bench, seed: int) -> tuple[dict[str, Any] | None, str]:
    """Carry it out where the bench has an emulator of its own.

    Args:
        bench: entered; it holds the host's lease.
        seed: of the run.

    Returns:
        What was found as data for ``run.json`` (``verdict`` holds, inconclusive, fails, or "not
        made" with its reason), None on a bench without real packets; and why nothing of this run
        can be trusted: empty, but where the emulator did something else than it was told. That it
        was late is no such reason: lateness is measured in every session.
    """
    if bench.name == "virtual":
        return None, ""
    from bench.studies.certify import short_proof

    try:
        found = short_proof(bench.backend, seed, lease=False)
    except BenchError as error:
        reason = str(error).splitlines()[0]
        return {"verdict": "not made", "reason": reason, "backend": bench.backend}, ""
    failed = [
        f"{row.name}: {row.reason}" for row in (found.null, *found.rows) if row.verdict == "fails"
    ]
    told = f"the emulator does not do what it is told ({'; '.join(failed)})" if failed else ""
    return found.to_json(), told


def with_emulator(floor: NoiseFloor | None, proof: Mapping[str, Any] | None) -> NoiseFloor | None:
    """The floor, with what the proof (as in ``run.json``) found of the emulator's delays."""
    error_s = ((proof or {}).get("uncertainty") or {}).get("delay_error_p50_s")
    if floor is None or error_s is None:
        return floor
    return replace(floor, emulator_s=abs(float(error_s)))
