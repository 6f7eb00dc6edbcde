"""What follows from the stamps of a STAMP session. Pure; times in, figures in s out.

Four times per answered packet: T1 sent and T4 back by the sender's clock, T2 arrived and T3 sent
back by the reflector's. What takes a difference between the two clocks contains their offset, and
is called so; everything else is free of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.units import NS_PER_S
from instruments.probes.probing import NOT_SENT, Samples

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Numbering = Literal["auto", "stateful", "stateless"]
"""Whether the reflector counts its answers; ``auto``: seen where its numbers differ from ours."""

_QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
_MOST_TTLS = 8


def summary(values_ns: Ints) -> dict[str, float | int | None]:
    """``n`` and, in s, ``min``, ``p50``, ``p99``, ``p999``, ``max``, ``mean``; null where empty."""
    n = len(values_ns)
    if not n:
        return {"n": 0, **dict.fromkeys(("min", *_QUANTILES, "max", "mean"))}
    ranks = {name: max(1, math.ceil(q * n - 1e-9)) - 1 for name, q in _QUANTILES.items()}
    ordered = np.partition(values_ns, sorted(set(ranks.values())))  # a sort takes ten times as long
    return {
        "n": n,
        "min": int(values_ns.min()) / NS_PER_S,
        **{name: int(ordered[rank]) / NS_PER_S for name, rank in ranks.items()},
        "max": int(values_ns.max()) / NS_PER_S,
        "mean": float(values_ns.mean()) / NS_PER_S,
    }


@dataclass(frozen=True, slots=True)
class _Answered:
    """The first answer of each packet that came back in time, by sequence; all shape (k,)."""

    sequence: Ints
    t1: Ints
    t2: Ints
    t3: Ints
    t4: Ints

    @property
    def forward(self) -> Ints:
        """T2 − T1: the way there, plus the offset of the reflector's clock."""
        return self.t2 - self.t1

    @property
    def backward(self) -> Ints:
        """T4 − T3: the way back, minus the offset of the reflector's clock."""
        return self.t4 - self.t3

    def variation(self, delay_ns: Ints) -> Ints:
        """|IPDV| of consecutive packets that were both answered (RFC 3393, 4.2)."""
        variation: Ints = np.abs(np.diff(delay_ns))[np.diff(self.sequence) == 1]
        return variation


def figures(
    samples: Samples, *, wait_ns: int, ran_ns: int, numbering: Numbering = "auto"
) -> dict[str, Any]:
    """Every figure of a session.

    Args:
        samples: what was seen.
        wait_ns: an answer that took longer counts as lost (RFC 7680, 2.8.2).
        ran_ns: how long the session ran, from the start of its schedule: a packet without an
            answer that had less than ``wait_ns`` is in flight, neither answered nor lost.
        numbering: of the reflector's sequence numbers.

    Returns:
        Plain data; keys as docs/probe.md lists them.
    """
    taken = samples.t1_ns != NOT_SENT
    sequences, first = _firsts(samples.sequence)
    answered = np.zeros(len(taken), dtype=np.bool_)
    answered[sequences] = True
    t1 = samples.t1_ns[sequences]
    t2, t3, t4 = samples.t2_ns[first], samples.t3_ns[first], samples.t4_ns[first]
    late = t4 - t1 > wait_ns
    impossible = ((t3 < t2) | (t4 - t1 < t3 - t2)) & ~late
    good = ~late & ~impossible
    kept = _Answered(sequences[good], t1[good], t2[good], t3[good], t4[good])
    in_flight = taken & ~answered & (ran_ns - samples.due_ns - samples.late_ns < wait_ns)
    missing = taken & ~answered & ~in_flight
    lost = missing.copy()
    lost[sequences[late]] = True
    sent, decided = int(taken.sum()), int((taken & ~in_flight).sum())
    ways = _ways(samples, sequences, missing, numbering)
    return {
        "sent": sent,
        "received": len(sequences),
        "lost": int(lost.sum()),
        "loss": int(lost.sum()) / decided if decided else None,
        "late": int(late.sum()),
        "in_flight": int(in_flight.sum()),
        "impossible": int(impossible.sum()),
        "loss_periods": _periods(lost[taken & ~in_flight]),
        "duplicated": len(samples.sequence) - len(sequences),
        "reordered": _overtaken(samples.sequence[np.sort(first)]),
        "round_trip": summary(kept.t4 - kept.t1 - (kept.t3 - kept.t2)),
        "residence": summary(kept.t3 - kept.t2),
        "forward": _direction(kept, kept.forward, samples.ttl, ways, "forward"),
        "backward": _direction(kept, kept.backward, samples.reply_ttl, ways, "backward"),
        "lost_undecided": ways["undecided"],
        "clock_offset": _offset(kept),
        "lateness": summary(samples.late_ns[taken]),
        "stamps": {
            "t1": _places(samples.t1_kernel[taken]),
            "t4": _places(samples.t4_kernel),
        },
        "reflector": _reflector(samples, ways["stateful"]),
        "ignored": dict(samples.ignored),
    }


def _direction(
    kept: _Answered, delay_ns: Ints, ttl: Ints, ways: Mapping[str, Any], way: str
) -> dict[str, Any]:
    above = delay_ns - delay_ns.min() if len(delay_ns) else delay_ns
    return {
        "delay_with_clock_offset": summary(delay_ns),
        "ipdv": summary(kept.variation(delay_ns)),
        "pdv": summary(above),
        "ttl": sorted({int(each) for each in np.unique(ttl)})[:_MOST_TTLS],
        **ways[way],
    }


def _ways(
    samples: Samples, sequences: Ints, missing: Bools, numbering: Numbering
) -> dict[str, Any]:
    """Losses, copies and overtaking, told apart by direction as far as they can be."""
    rows = np.stack([samples.sequence, samples.number, samples.t2_ns, samples.t3_ns], axis=1)
    reflected = _without_copies(rows, len(sequences))
    copies_back = len(rows) - len(reflected)
    copies_there = len(reflected) - len(sequences)
    first = _firsts(reflected[:, 0])[1]
    first = first[np.argsort(reflected[first, 2], kind="stable")]
    found: dict[str, Any] = {
        "forward": {"duplicated": copies_there, "reordered": _overtaken(reflected[first, 0])},
        "backward": {"duplicated": copies_back, "reordered": _overtaken(reflected[:, 3])},
    }
    differ = bool(np.any(samples.number != samples.sequence))
    stateful = differ or None if numbering == "auto" else numbering == "stateful"
    split = _split(reflected, missing) if stateful else None
    found["stateful"] = stateful
    found["forward"]["lost"], found["backward"]["lost"] = split[:2] if split else (None, None)
    found["undecided"] = split[2] if split else int(missing.sum())
    return found


def _split(reflected: Ints, missing: Bools) -> tuple[int, int, int] | None:
    """Lost on the way there, on the way back, and undecided (RFC 8762, 4.3: stateful).

    Between two answers, the reflector's numbers tell how many others it sent that never came:
    those were lost on the way back; the other packets without an answer never reached it. After
    the last answer nothing tells. None where the numbers contradict each other (a reflector that
    began anew).
    """
    number, order = _firsts(reflected[:, 1])
    if not len(number) or len(number) != len(reflected):
        return None
    sequence = reflected[order, 0]
    # A reflector that counted before this session says nothing of the packets before its first
    # answer; one that begins with it has sent as many answers as its first number says.
    began = number[0] <= sequence[0]
    edge = np.array([[-1, -1]] if began else [[sequence[0], number[0]]])
    leads = np.flatnonzero(sequence > np.maximum.accumulate(np.r_[edge[0, 0], sequence[:-1]]))
    edges = np.r_[edge[:, 0], sequence[leads]]
    before = np.cumsum(np.r_[0, missing])
    unanswered = before[edges[1:]] - before[edges[:-1] + 1]
    sent = np.diff(np.r_[edge[:, 1], number[leads]])
    came = np.diff(np.r_[-1 if began else 0, leads])
    unheard = sent - came
    back = int(np.minimum(unheard, unanswered).sum())
    there = int(unanswered.sum()) - back
    # Answers that belong to no packet of their gap: of copies, or of packets that were overtaken.
    doubtful = min(there, int(np.maximum(unheard - unanswered, 0).sum()))
    tail = int(missing.sum() - unanswered.sum())
    return there - doubtful, back, tail + doubtful


def _firsts(numbers: Ints) -> tuple[Ints, Ints]:
    """Each number once, ascending, and where it came first."""
    if np.all(numbers[1:] > numbers[:-1]):  # as on most paths; np.unique sorts
        return numbers, np.arange(len(numbers))
    found, first = np.unique(numbers, return_index=True)
    return found, first.astype(np.int64)


def _without_copies(rows: Ints, distinct: int) -> Ints:
    """Equal rows but the first of them left out, in order of arrival."""
    if len(rows) == distinct:
        return rows
    numbers, counts = np.unique(rows[:, 0], return_counts=True)
    several = np.flatnonzero(np.isin(rows[:, 0], numbers[counts > 1]))
    _, index = np.unique(rows[several], axis=0, return_index=True)
    kept = np.ones(len(rows), dtype=np.bool_)
    kept[several] = False
    kept[several[index]] = True
    return rows[kept]


def _overtaken(numbers: Ints) -> int:
    """Arrivals behind a greater number (RFC 4737, 3.3)."""
    if not len(numbers):
        return 0
    return int((numbers < np.maximum.accumulate(numbers)).sum())


def _periods(lost: Bools) -> dict[str, int]:
    """Runs of consecutive losses (RFC 3357, 6.2): how many, and the longest."""
    edges = np.flatnonzero(np.diff(np.r_[False, lost, False].astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return {"count": len(lengths), "longest": int(lengths.max()) if len(lengths) else 0}


def _offset(kept: _Answered) -> dict[str, float] | None:
    """The interval that holds the reflector's clock minus ours, in s, if that did not change.

    No delay is negative, in either direction. None where no value fits: it changed.
    """
    if not len(kept.t1):
        return None
    low, high = -int(kept.backward.min()), int(kept.forward.min())
    return {"low": low / 1e9, "high": high / 1e9} if low <= high else None


def _places(kernel: Bools) -> dict[str, int]:
    return {"kernel": int(kernel.sum()), "userspace": int((~kernel).sum())}


def _reflector(samples: Samples, stateful: bool | None) -> dict[str, Any]:
    """What the answers say of the reflector."""
    estimates = sorted(samples.errors, key=lambda each: -samples.errors[each])
    worst = max((each.error_s or 0.0 for each in estimates), default=None)
    return {
        "stateful": stateful,
        "synchronised": all(each.synchronised for each in estimates) if estimates else None,
        "error": worst or None,
        "timestamps": ("ptp" if estimates[0].ptp else "ntp") if estimates else None,
        "ssid_echoed": samples.ssid_echoed,
        "short_answers": samples.short,
        "tlvs_flagged": dict(samples.flagged),
    }
