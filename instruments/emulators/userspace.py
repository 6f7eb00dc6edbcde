"""The userspace emulator: a layer-2 forwarder between two interfaces, one process a direction.

Every decision is :class:`bench.network.laws.DirectionLaw`'s, fed with the kernel's receive
stamp of each packet, so a change takes effect for exactly the packets that arrive after it. A
packet never leaves before its due time; how long after is counted and reported.
"""

from __future__ import annotations

import gc
import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from heapq import heappop, heappush
from typing import Any

from bench.network.impairment import DIRECTIONS, Direction
from bench.network.laws import FATES, NEVER, DirectionLaw
from instruments.emulators.base import (
    ChangeReport,
    Changes,
    DirectionReport,
    EmulatorReport,
    LinkPlan,
    direction_report,
)
from instruments.emulators.clocks import RealtimeMap
from instruments.emulators.interfaces import transmit_drops
from instruments.emulators.lateness import LatenessCounter
from instruments.emulators.ring import ReceiveRing, transmit_socket
from instruments.emulators.timing import prefer_timing, set_timer_slack
from instruments.emulators.workers import Workers, send_event

_READ_BATCH = 32
_SEND_BATCH = 64
_HOUSEKEEPING_NS = 20_000_000
_CLOCK_NS = 100_000_000
_LONGEST_SLEEP_NS = 4_000_000
_BUSY_NS, _BREATH_S = 20_000_000, 100e-6
_LEAST_LEAD_NS, _MOST_LEAD_NS = 3_000, 50_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a forwarder uses the machine.

    ``ring_frames``: places in the receive ring (4096: 290 ms of 3D video). ``realtime``: ask for
    precedence (:func:`~instruments.emulators.timing.prefer_timing`); what was granted is in the
    report.
    """

    ring_frames: int = 4096
    realtime: bool = True


class _ChangeLog:
    """Which changes packets have met."""

    def __init__(self, changes: Changes) -> None:
        self._times = [t_ns for t_ns, _ in changes]
        self._effective: list[int | None] = [None] * len(changes)
        self._count = 0
        self.next_ns = self._times[0] if changes else NEVER

    def meet(self, t_ns: int) -> None:
        """A packet arrived at ``t_ns``, not before ``next_ns``."""
        count = self._count
        while count < len(self._times) and self._times[count] <= t_ns:
            count += 1
        self._effective[count - 1] = t_ns
        self._count = count
        self.next_ns = self._times[count] if count < len(self._times) else NEVER

    def report(self, end_ns: int) -> tuple[ChangeReport, ...]:
        return tuple(
            ChangeReport(t_ns, t_ns if t_ns <= end_ns else None, effective_ns=effective)
            for t_ns, effective in zip(self._times, self._effective, strict=True)
        )


class _Forwarder:
    """One direction of one link, from arrival to departure."""

    def __init__(self, plan: LinkPlan, direction: Direction, t0_ns: int, options: Options) -> None:
        changes = plan.changes(direction)
        arrivals, departures = plan.ends(direction)
        self._plan, self._direction, self._t0 = plan, direction, t0_ns
        self._law = DirectionLaw(changes, seed=plan.seed, name=f"{plan.link}/{direction}")
        self._log = _ChangeLog(changes)
        # Where no packet may overtake, due times ascend: nothing that still arrives can be due
        # before the first in the queue, so there is no need to wake for arrivals.
        self._ordered = all(impairment.order == "preserve" for _, impairment in changes)
        self._queue: deque[tuple[int, bytes]] = deque()
        self._heap: list[tuple[int, int, bytes]] = []
        self._ring = ReceiveRing(arrivals, options.ring_frames)
        self._socket = transmit_socket(departures)
        self._drops_before = transmit_drops(departures)
        self._departures = departures
        self._clock = RealtimeMap()
        self._late = LatenessCounter()
        self._last_arrival = -NEVER
        self._read = self._sent = self._failed = self._before_start = self._order = 0
        self._lead_ns = 20_000

    # ---- arrivals

    def _accept(self, batch: list[tuple[int, bytes]]) -> None:
        newest = batch[-1][0] + self._clock.offset_ns - self._t0
        now = time.monotonic_ns() - self._t0
        if newest > now + 20_000 or newest < self._last_arrival - 1_000_000:
            self._clock.refresh()
        shift = self._clock.offset_ns - self._t0
        last, t0, log, offer = self._last_arrival, self._t0, self._log, self._law.offer
        self._read += len(batch)
        for stamp, frame in batch:
            t_ns = stamp + shift
            if t_ns < last:
                t_ns = last
            last = t_ns
            if t_ns < 0:
                self._before_start += 1
                due = t_ns
            else:
                if t_ns >= log.next_ns:
                    log.meet(t_ns)
                due = offer(t_ns, len(frame))
                if due < 0:
                    continue
            if self._ordered:
                self._queue.append((due + t0, frame))
            else:
                self._order += 1
                heappush(self._heap, (due + t0, self._order, frame))
        self._last_arrival = last

    # ---- departures

    def _head(self) -> int:
        """When the next packet is due, CLOCK_MONOTONIC ns."""
        if self._ordered:
            return self._queue[0][0] if self._queue else NEVER
        return self._heap[0][0] if self._heap else NEVER

    def _release(self) -> int:
        """Send what is due, a batch at most; how many."""
        queue, heap, ordered = self._queue, self._heap, self._ordered
        now, send, late = time.monotonic_ns, self._socket.send, self._late.add
        for count in range(_SEND_BATCH):
            t_ns = now()
            if ordered:
                if not queue or queue[0][0] > t_ns:
                    return count
                due, frame = queue.popleft()
            else:
                if not heap or heap[0][0] > t_ns:
                    return count
                due, _, frame = heappop(heap)
            try:
                send(frame)
            except OSError:
                self._failed += 1
                continue
            self._sent += 1
            late(t_ns - due)
        return _SEND_BATCH

    # ---- waiting

    def _wait(self, poll: select.poll) -> None:
        """Sleep until there is something to do, at most a few milliseconds."""
        due = self._head()
        if due == NEVER:
            poll.poll(_HOUSEKEEPING_NS // 1_000_000)
            return
        now = time.monotonic_ns
        target = due - self._lead_ns
        pause = target - now()
        if pause > _LONGEST_SLEEP_NS:
            self._nap(_LONGEST_SLEEP_NS)
            return
        if pause > 0:
            if self._nap(pause):
                return
            over = min(now() - target, 2 * _MOST_LEAD_NS)
            lead = self._lead_ns + (over - self._lead_ns) // 8
            self._lead_ns = max(_LEAST_LEAD_NS, min(_MOST_LEAD_NS, lead))
        while now() < due:  # at most the lead: 50 µs
            pass

    def _nap(self, pause_ns: int) -> bool:
        """Sleep; whether an arrival ended it early."""
        if self._ordered:
            time.sleep(pause_ns * 1e-9)
            return False
        return bool(select.select([self._ring], [], [], pause_ns * 1e-9)[0])

    def run(self, stop_fd: int | None, end_ns: int | None) -> None:
        """Forward until ``stop_fd`` is readable or closed, or session time ``end_ns``."""
        poll, stop = select.poll(), select.poll()
        poll.register(self._ring, select.POLLIN)
        if stop_fd is not None:
            poll.register(stop_fd, select.POLLIN)
            stop.register(stop_fd, select.POLLIN)
        end = NEVER if end_ns is None else end_ns + self._t0
        check = clock = slept = 0
        while True:
            batch = self._ring.take(_READ_BATCH)
            if batch:
                self._accept(batch)
            now = time.monotonic_ns()
            if not self._release() and not batch:
                self._wait(poll)
                slept = time.monotonic_ns()
            elif now - slept > _BUSY_NS:  # never starve a core, whatever arrives
                time.sleep(_BREATH_S)
                slept = now
            if now >= check:
                check = now + _HOUSEKEEPING_NS
                if now >= end or stop.poll(0):
                    return
            if now >= clock:
                clock = now + _CLOCK_NS
                self._clock.refresh()

    # ---- the end

    def report(self, cpu_s: float, scheduler: str) -> DirectionReport:
        """Read what has arrived, count what is left, close."""
        end_ns = time.monotonic_ns() - self._t0
        for _ in range(256):
            batch = self._ring.take(_READ_BATCH)
            if not batch:
                break
            self._accept(batch)
        self._clock.refresh()
        offered, dropped = self._ring.statistics()
        # Some kernels report success to the sender of a packet that the interface then drops.
        unsaid = max(0, transmit_drops(self._departures) - self._drops_before - self._failed)
        read = self._read + self._ring.oversize
        self._ring.close()
        self._socket.close()
        return DirectionReport(
            link=self._plan.link,
            direction=self._direction,
            rx=read,
            tx=self._sent - unsaid,
            accepted=self._law.accepted,
            fates={name: self._law.fates[fate] for fate, name in FATES.items()},
            before_start=self._before_start,
            in_flight=len(self._queue) + len(self._heap),
            unread=max(0, offered - dropped - read),
            kernel_drops=dropped,
            tx_errors=self._failed + unsaid,
            oversize=self._ring.oversize,
            unfinished_checksums=self._ring.unfinished,
            lateness=self._late.summary(),
            changes=self._log.report(end_ns),
            clock_steps=self._clock.steps,
            clock_largest_step_s=self._clock.largest_step_ns * 1e-9,
            cpu_s=cpu_s,
            scheduler=scheduler,
        )


def forward(
    plan: LinkPlan,
    direction: Direction,
    t0_monotonic_ns: int,
    *,
    stop_fd: int | None = None,
    report_fd: int | None = None,
    end_ns: int | None = None,
    options: Options = Options(),
) -> DirectionReport:
    """Forward one direction of a link until told to stop. Meant for a forked child of its own.

    Packets that arrive before session time zero pass untouched. Packets still waiting at the end
    are not sent; they are counted as ``in_flight``.

    Args:
        plan: the link; its interfaces are up, in the current network namespace.
        direction: which way.
        t0_monotonic_ns: session time zero on CLOCK_MONOTONIC.
        stop_fd: ends the work when readable or closed (within 25 ms).
        report_fd: gets the ``ready`` event, then the ``report`` (see ``workers``).
        end_ns: ends the work at this session time.
        options: use of the machine.

    Raises:
        EmulatorError: an interface is missing, or no right to packet sockets.
    """
    forwarder = _Forwarder(plan, direction, t0_monotonic_ns, options)
    set_timer_slack()
    scheduler = prefer_timing(1) if options.realtime else "normal"
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        send_event(report_fd, "ready")
        before = time.process_time()
        forwarder.run(stop_fd, end_ns)
        report = forwarder.report(time.process_time() - before, scheduler)
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    send_event(report_fd, "report", report=asdict(report))
    return report


class UserspaceEmulator:
    """An :class:`instruments.emulators.base.Emulator` of forked forwarders.

    Start it in the namespace that holds the plans' interfaces, from a thread that outlives it.
    """

    def __init__(self, options: Options = Options()) -> None:
        self._options = options
        self._workers = Workers()

    def start(self, plans: Sequence[LinkPlan], t0_monotonic_ns: int) -> None:
        """Fork a forwarder per link direction and wait until they are ready.

        Raises:
            EmulatorError: one of them cannot run.
        """
        for plan in plans:
            for direction in DIRECTIONS:
                job = partial(_job, plan, direction, t0_monotonic_ns, self._options)
                self._workers.add(f"forwarder {plan.link}/{direction}", job)
        self._workers.wait_ready()

    @property
    def pids(self) -> tuple[int, ...]:
        """The forwarders' process ids, two per link, in the order of the plans."""
        return self._workers.pids

    def stop(self) -> EmulatorReport:
        """End the forwarders and collect their reports.

        Raises:
            EmulatorError: one of them died or does not answer.
        """
        reports: list[dict[str, Any]] = self._workers.stop()
        return EmulatorReport("userspace", tuple(direction_report(entry) for entry in reports))


def _job(
    plan: LinkPlan,
    direction: Direction,
    t0_ns: int,
    options: Options,
    stop_fd: int,
    report_fd: int,
) -> None:
    forward(plan, direction, t0_ns, stop_fd=stop_fd, report_fd=report_fd, options=options)
