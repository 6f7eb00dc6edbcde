"""The stimulus check: what each step was meant to do, was told to do, and did, from the taps.

The intended figures are those of the law itself, run over the packets that the taps saw being
sent; where that leaves the queue to chance, over those that were not lost. Nothing here looks at
the device's response. Where a real radio lies on a link as well, it may delay and lose more: the
law's figures are the least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.measure.addresses import old_address_spans
from bench.measure.distributions import binomial_cdf, binomial_sf
from bench.measure.floor import NoiseFloor
from bench.measure.pairing import MISSING, flows_of
from bench.measure.percentiles import ERROR, percentile_objection
from bench.measure.queueing import (
    Changes,
    Queue,
    crowding_objection,
    damaged,
    order_of_sending,
    queue_of,
    shares_line,
)
from bench.network.impairment import DIRECTIONS, Direction, Impairment
from bench.network.laws import NEVER, QUEUE_DROP, DirectionLaw
from bench.network.scenario import Window
from bench.sessions.instruments import radios_between
from bench.sessions.recording import Recording
from bench.units import show_duration

_GUARD_S = 0.005
"""A packet this close to a change may meet either state: it is not counted."""
_SLICES, _SLICE_S = 10, 2.0
"""Of a longer phase, the delay is checked in this many slices from its start to its end; losses
are checked over all of it."""
_LATEST_S = 0.005
"""A change that was commanded later than this after its time was not achieved."""
_LATENESS_P99_S = 0.001
SIDES = ("patient", "doctor")
_STALL_S = 0.03
"""A reaction time is not judged where something of the bench was later than this."""


@dataclass(frozen=True, slots=True)
class StepStimulus:
    """One phase of a step on one link direction. Delays in s, loss as a ratio.

    ``intended``/``commanded``: in words. ``intended_*``: from the law over the packets sent; the
    delay over those that arrived, where the queue is a matter of chance.
    ``achieved_*``: from the two taps. ``floor_p50_s``/``floor_p99_s``: the unimpaired path.
    """

    step: str
    phase: str
    role: str
    link: str
    direction: str
    intended: str
    commanded: str
    achieved: str
    floor: str
    sent: int
    intended_p50_s: float | None
    achieved_p50_s: float | None
    intended_p95_s: float | None
    achieved_p95_s: float | None
    intended_loss: float
    achieved_loss: float | None
    ok: bool
    reason: str


@dataclass(frozen=True, eq=False)
class _Sent:
    """What one link direction carried, in order of sending; arrays of shape ``(n,)``.

    ``name``: of the model. ``changes``: the states of the direction. ``due_ns``: when the law lets
    a packet go, or its negative fate, where it was ``modelled``.
    ``astray``: sent to an address that the other side had no more when it came there.
    ``crossed``: a real radio lies on the link.
    """

    name: str
    changes: Changes
    crossed: bool
    sent_ns: NDArray[np.int64]
    size: NDArray[np.int64]
    seen_ns: NDArray[np.int64]
    due_ns: NDArray[np.int64]
    modelled: NDArray[np.bool_]
    decidable: NDArray[np.bool_]
    astray: NDArray[np.bool_]

    @cached_property
    def queue(self) -> Queue:
        """The queue that the packets made which were not lost."""
        missing = self.decidable & (self.seen_ns == MISSING)
        joined = ~missing | self.astray
        joined |= damaged(self.changes, self.name, self.sent_ns, self.size, missing)
        return queue_of(self.changes, self.name, self.sent_ns, self.size, joined)


def achieved(recording: Recording, floor: NoiseFloor | None) -> tuple[StepStimulus, ...]:
    """Every phase of every step, on every link and direction."""
    rows = []
    for link_index, link in enumerate(recording.schedule.links):
        for direction_index, direction in enumerate(DIRECTIONS):
            sent = _seen_and_modelled(recording, link_index, link, direction_index, direction)
            for window, phase, start, end in _phases(recording):
                state = _state_at(recording, link, direction, start)
                rows.append(
                    _check(recording, floor, sent, state, window, phase, (start, end),
                           (link, direction))
                )  # fmt: skip
    return tuple(rows)


def _phases(recording: Recording) -> Iterator[tuple[Window, str, int, int]]:
    for window in recording.schedule.windows:
        for phase, start, end in window.phases or ((window.name, window.start_ns, window.end_ns),):
            yield window, phase, start, end


def _state_at(
    recording: Recording, link: str, direction: Direction, start_ns: int
) -> tuple[Impairment, str]:
    """The last impairment set by ``start_ns``, and how it was commanded."""
    state = Impairment()
    for t_ns, impairment in recording.schedule.of(link, direction):
        if t_ns <= start_ns:
            state = impairment
    commanded = [
        c for c in recording.changes
        if c.link == link and c.direction == direction and c.t_ns <= start_ns
    ]  # fmt: skip
    return state, commanded[-1].intended if commanded else "nothing commanded"


def _seen_and_modelled(
    recording: Recording, link_index: int, link: str, way: int, direction: Direction
) -> _Sent:
    name, changes = f"model/{link}", recording.schedule.of(link, direction)
    crossed = link in radios_between(recording)
    spans = [span for _, _, start, end in _phases(recording) for span in _slices(start, end)]
    flows = [(flow, flow.link == link_index) for flow in flows_of(recording, way)]
    flows = [(flow, here) for flow, here in flows if here.any()]
    if not flows:
        empty = np.zeros(0, dtype=np.int64)
        none = np.zeros(0, dtype=bool)
        return _Sent(name, changes, crossed, empty, empty, empty, empty, none, none, none)
    sent = np.concatenate([flow.sent_ns[here] for flow, here in flows])
    seen = np.concatenate([flow.received_ns[here] for flow, here in flows])
    order = order_of_sending(sent, seen)
    sent, seen = sent[order], seen[order]
    kept = np.zeros(len(sent), dtype=bool)
    for start, end in spans:
        kept[slice(*np.searchsorted(sent, (start, end)))] = True
    size = np.concatenate([flow.size[here] for flow, here in flows])[order]
    decidable = np.concatenate([~flow.in_flight[here] for flow, here in flows])[order]
    law = DirectionLaw(changes, seed=1, name=name)
    due = np.full(len(sent), MISSING, dtype=np.int64)
    due[kept] = law.offer_many(sent[kept], size[kept])
    astray = np.zeros(len(sent), dtype=bool)
    for moved_ns, learned_ns in old_address_spans(recording, link, direction):
        gone_ns = np.where(seen == MISSING, due + int(_GUARD_S * 1e9), seen)
        astray |= (gone_ns >= moved_ns) & (sent < learned_ns)
    return _Sent(name, changes, crossed, sent, size, seen, due, kept, decidable, astray)


def _slices(start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """All of a phase, or slices that reach from its start to its end."""
    length_ns = int(_SLICE_S * 1e9)
    spare_ns = end_ns - start_ns - _SLICES * length_ns
    if spare_ns <= 0:
        return [(start_ns, end_ns)]
    step_ns = length_ns + spare_ns // (_SLICES - 1)
    starts = [start_ns + i * step_ns for i in range(_SLICES)]
    return [(start, start + length_ns) for start in starts]


def _check(
    recording: Recording,
    floor: NoiseFloor | None,
    sent: _Sent,
    state: tuple[Impairment, str],
    window: Window,
    phase: str,
    span: tuple[int, int],
    place: tuple[str, str],
) -> StepStimulus:
    guard = int(_GUARD_S * 1e9) if recording.bench != "virtual" else 0
    start, end = span[0] + guard, span[1] - guard
    inside = slice(*np.searchsorted(sent.sent_ns, (start, end)))
    known = sent.decidable[inside]
    sent_ns, seen, due = (each[inside][known] for each in (sent.sent_ns, sent.seen_ns, sent.due_ns))
    modelled, arrived = sent.modelled[inside][known], seen != MISSING
    impairment, commanded = state
    sizes = sent.size[inside][known]
    too_long = sizes > ((impairment.up and impairment.most_captured_bytes) or NEVER)
    astray = sent.astray[inside][known]
    lawful = ~(too_long | astray)
    damage = _damaged_share(impairment, sizes[lawful])
    loss = 1 - (1 - impairment.loss_ratio) * (1 - damage)
    in_queue = modelled & lawful
    overflow = float((due[in_queue] == QUEUE_DROP).mean()) if in_queue.any() else 0.0
    got = (seen - sent_ns)[arrived & modelled] / 1e9
    meant = (due - sent_ns)[modelled & (due >= 0) & ~astray] / 1e9
    worst = floor.stream("") if floor is not None and recording.bench != "virtual" else None
    noise = (worst.p50, worst.p99) if worst is not None else (0.0, 0.0)
    path = (math.inf, math.inf) if sent.crossed else noise
    lost = int((~arrived).sum())
    vanished = int((~arrived & too_long).sum())
    reason = _not_commanded(recording, place, span[0])
    if not reason and not len(sent_ns) and _asked(recording, place, impairment):
        reason = "no packet was sent: no evidence that this state was in force"
    if not reason:
        reason = _too_long_objection(impairment, int(too_long.sum()), vanished)
    if not reason and (arrived & astray).any():
        reason = "packets came through to an address that was no longer in use"
    if not reason:
        fit, gone = int(lawful.sum()), int((~arrived & lawful).sum())
        reason = _loss_objection(fit, gone, loss, overflow, impairment, sent.crossed)
    if not reason and loss < 1.0 and len(got) and len(meant):
        reason = percentile_objection(got, meant, path, impairment)
        if reason and shares_line(sent.changes) and not sent.crossed:
            meant, reason = _in_its_queue(sent, inside, got, loss, noise, impairment)
    p50, p95 = _quantiles(got)
    m50, m95 = _quantiles(meant)
    ratio = lost / len(sent_ns) if len(sent_ns) else None
    return StepStimulus(
        step=window.name,
        phase=phase,
        role=window.role,
        link=place[0],
        direction=place[1],
        intended=impairment.describe(),
        commanded=commanded,
        achieved=_words(p50, p95, ratio, lost, len(sent_ns)),
        floor=f"{show_duration(noise[0])} (p99 {show_duration(noise[1])})",
        sent=len(sent_ns),
        intended_p50_s=m50,
        achieved_p50_s=p50,
        intended_p95_s=m95,
        achieved_p95_s=p95,
        intended_loss=loss,
        achieved_loss=ratio,
        ok=not reason,
        reason=reason,
    )


def _too_long_objection(impairment: Impairment, count: int, vanished: int) -> str:
    """Why it is not shown that what is too long for the link vanished."""
    if impairment.mtu_bytes is None or not impairment.up:
        return ""
    if not count:
        return f"no packet was longer than {impairment.mtu_bytes} bytes: none could vanish"
    if vanished < count:
        return f"{count - vanished} of {count} packets came through that were too long"
    return ""


def _damaged_share(impairment: Impairment, sizes: NDArray[np.int64]) -> float:
    """Packets with a bit error: the receiver's checksum turns each into a loss."""
    if not impairment.ber or not len(sizes):
        return 0.0
    return float(-np.expm1(8 * sizes * math.log1p(-impairment.ber)).mean())


def _not_commanded(recording: Recording, place: tuple[str, str], start_ns: int) -> str:
    """Why the last change up to ``start_ns`` was not carried out in time; empty if it was."""
    changes = [c for c in recording.schedule.changes if (c.link, c.direction) == place]
    due = [c.t_ns for c in changes if c.t_ns <= start_ns]
    if not due:
        return ""
    applied = [c for c in recording.changes if (c.link, c.direction) == place and c.t_ns == due[-1]]
    if not applied or applied[-1].commanded_ns is None:
        return "the change was not commanded"
    late_s = (applied[-1].commanded_ns - due[-1]) / 1e9
    if late_s > _LATEST_S:
        return f"the change was commanded {show_duration(late_s)} late"
    return ""


def _asked(recording: Recording, place: tuple[str, str], impairment: Impairment) -> bool:
    """Whether a step asks for this state: it is not the one that the link starts with."""
    first = next((c for c in recording.schedule.changes if (c.link, c.direction) == place), None)
    return first is not None and impairment != first.impairment


def _quantiles(delay: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if not len(delay):
        return None, None
    middle, high = np.quantile(delay, [0.5, 0.95])
    return float(middle), float(high)


def _words(p50: float | None, p95: float | None, ratio: float | None, lost: int, sent: int) -> str:
    if not sent:
        return "no packet sent"
    if p50 is None:
        return f"nothing of {sent} arrived"
    delay = f"p50 {show_duration(p50)}, p95 {show_duration(p95)}"
    return f"{delay}, lost {lost} of {sent} ({ratio:.3g})"


def _loss_objection(
    sent: int, lost: int, loss: float, overflow: float, impairment: Impairment, crossed: bool
) -> str:
    """Why the losses are not those that were intended; empty if they are.

    ``crossed``: a real radio lies on the link as well, and may lose more.
    """
    if sent == 0:
        return ""
    if loss >= 1.0:
        return "" if lost == sent else f"{sent - lost} of {sent} packets came through while down"
    effect = min(float(sent), impairment.loss.effect) if impairment.loss is not None else 1.0
    trials, events = max(1, round(sent / effect)), round(lost / effect)
    # A full queue drops whom it drops: what the model's queue lost is known to a tenth.
    high_loss, low_loss = loss + 1.1 * overflow, loss + 0.9 * overflow
    low = binomial_cdf(events, trials, min(1.0, low_loss))
    high = 1.0 if crossed else binomial_sf(events - 1, trials, min(1.0, high_loss))
    if min(low, high) < ERROR / 2:
        return f"lost {lost} of {sent} packets where {loss + overflow:.3g} was intended"
    return ""


def _in_its_queue(
    sent: _Sent,
    inside: slice,
    got: NDArray[np.float64],
    loss: float,
    noise: tuple[float, float],
    impairment: Impairment,
) -> tuple[NDArray[np.float64], str]:
    """The delays that the law gives the packets that arrived, and why theirs are others.

    Of one draw of the law the queue may be another where the rate is nearly used up. In the queue
    that these packets made, each percentile of a right law is refused with a probability of
    ``ERROR`` at most: independent delays that follow different laws vary less than those of the
    mixture of these (Hoeffding, On the distribution of the number of successes in independent
    trials, 1956). Delays that the order ties to each other are covered by the tolerance.
    """
    sent_ns, queue = sent.sent_ns[inside], sent.queue
    arrived, known = sent.seen_ns[inside] != MISSING, sent.decidable[inside]
    due_ns, wait_ns, ahead = (each[inside] for each in (queue.due_ns, queue.wait_ns, queue.ahead))
    through = arrived & sent.modelled[inside] & (due_ns >= 0)
    meant = (due_ns - sent_ns)[through] / 1e9
    if not len(meant):
        return meant, "none of the packets that arrived had a place in the queue"
    lawful = known & ~sent.astray[inside]
    lawful &= sent.size[inside] <= (impairment.most_captured_bytes or NEVER)
    reason = percentile_objection(got, meant, noise, impairment) or crowding_objection(
        wait_ns[lawful], ahead[lawful], ~arrived[lawful], loss, impairment
    )
    return meant, reason


def health_problems(recording: Recording) -> tuple[str, ...]:
    """Why the bench's own work in this session cannot be trusted as stimulus."""
    health = recording.health
    problems = []
    # The kernel's emulator cannot know its lateness; there the taps alone show the delay.
    if recording.bench != "virtual" and not health.lateness_s and "netem" not in recording.backend:
        problems.append("the emulator did not report its lateness")
    if health.lateness_s.get("p99", 0.0) > _LATENESS_P99_S:
        problems.append(
            f"the emulator was late: p99 {show_duration(health.lateness_s['p99'])}, "
            f"limit {show_duration(_LATENESS_P99_S)}"
        )
    return tuple(problems)


def timer_lateness_s(recording: Recording, *sides: str) -> float:
    """How late a process that plays a side of the device ever was; 0 where none tells."""
    counters = recording.health.counters
    names = [f"{side}/timer_late_max_ns" for side in sides or SIDES]
    return max(counters.get(name, 0) for name in names) / 1e9


def stall_problems(recording: Recording) -> tuple[str, ...]:
    """Why a reaction time of this session cannot be told from the host's own stall.

    A stall delays packets, which the taps measure truly, and everything that the bench plays or
    stamps, which nothing measures: only reaction times are spoilt by it.
    """
    health = recording.health
    late_s = {"emulator": health.lateness_s.get("max", 0.0)}
    for side in SIDES:
        late_s[f"{side} side"] = timer_lateness_s(recording, side)
    worst = max(late_s, key=lambda name: late_s[name])
    if late_s[worst] <= _STALL_S:
        return ()
    return (f"the host stalled: the {worst} ran {show_duration(late_s[worst])} late",)
