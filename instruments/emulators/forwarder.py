"""One direction of one link in userspace, from arrival to departure.

Every decision is :class:`bench.network.laws.DirectionLaw`'s, fed with the kernel's receive
stamp of each packet, so a change takes effect for exactly the packets that arrive after it. A
packet never leaves before its due time; how long after is counted and reported.

Few packets at a time are decided and sent one by one, many as arrays (the same decisions); what
is due at once is sent from the receive ring without a copy.
"""

from __future__ import annotations

import select
import time
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.network.impairment import CLEAN, Direction, Impairment
from bench.network.laws import FATES, NEVER, DirectionLaw
from instruments.emulators.base import DirectionReport, LinkPlan
from instruments.emulators.changelog import ChangeLog
from instruments.emulators.clocks import RealtimeMap
from instruments.emulators.lateness import beyond_envelope
from instruments.emulators.ring import VNET_BYTES, Batch, ReceiveRing
from instruments.emulators.sending import MOST, Sender
from instruments.emulators.turn import Turn
from instruments.emulators.waiting import Block, ByDue, InOrder
from instruments.emulators.workers import Commands, send_event

_READ_BATCH = 32
_ARRAY_LEAST, _ARRAY_MOST = 16, 256
_RELEASE_MOST = 512
_CLOCK_NS = 100_000_000
_IDLE_MS = 20
_LONGEST_SLEEP_NS = 4_000_000
_DENSE_NS, _BUSY_NS, _BREATH_S = 200_000, 20_000_000, 100e-6
_LEAST_LEAD_NS, _MOST_LEAD_NS = 3_000, 50_000
_HEAR_NS = _FULL_NS = 1_000_000
_DRAIN_NS = 1_000_000_000
_ENTRY_NS = 2_000_000  # a packet has its stamp before it lies in the ring


@dataclass(frozen=True, slots=True)
class Options:
    """How a forwarder uses the machine.

    ``ring_frames``: places in the receive ring (4096: 290 ms of 3D video). ``realtime``: ask for
    precedence (:func:`~instruments.emulators.timing.prefer_timing`); what was granted is in the
    report. ``most_waiting``: packets that may wait at one time; beyond them the ring fills and
    the kernel drops, which is counted. ``super_packets``: let senders leave segmentation to the
    hardware: what counts, waits or is lost as one packet may then be up to 64 KB.
    ``withhold_damaged``: drop packets with bit errors, as the checksums of the receiving host
    would: what a tap before that host sees is then what the host accepts. ``waits``: pass nothing
    on until told from when (:meth:`~instruments.emulators.userspace.UserspaceEmulator.open`).
    """

    ring_frames: int = 4096
    realtime: bool = True
    most_waiting: int = 1_000_000
    super_packets: bool = False
    withhold_damaged: bool = False
    waits: bool = False


class Forwarder:
    """One direction of one link. Meant for a forked child of its own; see ``userspace.forward``."""

    def __init__(
        self,
        plan: LinkPlan,
        direction: Direction,
        t0_ns: int,
        options: Options,
        commands: Commands | None = None,
        report_fd: int | None = None,
    ) -> None:
        changes = plan.changes(direction)
        arrivals, departures = plan.ends(direction)
        self._plan, self._direction, self._t0 = plan, direction, t0_ns
        self._most_waiting = options.most_waiting
        self._withhold = options.withhold_damaged
        self._withheld = 0
        self._turn = Turn(options.waits)
        self._law = DirectionLaw(changes, seed=plan.seed, name=f"{plan.link}/{direction}")
        self._log = ChangeLog(changes)
        # Where no packet may overtake, due times ascend: nothing that still arrives can be due
        # before the first in the queue, so there is no need to wake for arrivals.
        ordered = all(impairment.order == "preserve" for _, impairment in changes)
        self._queue: InOrder | ByDue = InOrder() if ordered else ByDue()
        self._undecided: list[tuple[int, bytes]] = []
        frames = max(64, options.ring_frames // 16) if options.super_packets else None
        self._ring = ReceiveRing(
            arrivals, frames or options.ring_frames, super_packets=options.super_packets
        )
        self._before = VNET_BYTES if options.super_packets else 0
        self._sender = Sender(departures, options.super_packets)
        self._clock = RealtimeMap()
        self._commands, self._report_fd = commands, report_fd
        self._poll, self._pending = select.poll(), select.poll()
        self._poll.register(self._ring, select.POLLIN)
        if commands is not None:
            self._poll.register(commands.fd, select.POLLIN)
            self._pending.register(commands.fd, select.POLLIN)
        self._last_arrival = -NEVER
        self._read = self._before_start = self._offered = self._dropped = 0
        self._heard_ns, self._end_ns, self._clock_ns = 0, NEVER, 0
        self._lead_ns = 20_000
        self._stopping = self._draining = False
        self._cpu_before_s = time.process_time()
        self.scheduler = ""

    # ---- arrivals

    def _take(self) -> int:
        """Decide on what has arrived; how many packets were taken."""
        if self._is_full():
            return 0
        ring = self._ring
        if ring.ready(_ARRAY_LEAST) and isinstance(self._queue, InOrder) and self._law.ordinary:
            batch = ring.peek(_ARRAY_MOST)
            if batch is not None and self._accept_many(batch):
                return len(batch.sizes)
        frames = ring.take(_READ_BATCH)
        if frames:
            self._accept(frames)
        return len(frames)

    def _is_full(self) -> bool:
        return len(self._queue) + len(self._undecided) >= self._most_waiting

    def _shift(self, newest_stamp_ns: int) -> int:
        """From stamps to session time; hears what must be known before the newest is decided."""
        newest = newest_stamp_ns + self._clock.offset_ns
        now = time.monotonic_ns()
        if newest > now + 20_000 or newest < self._last_arrival + self._t0 - 1_000_000:
            self._clock.refresh()
            newest = newest_stamp_ns + self._clock.offset_ns
        if newest > self._heard_ns + _HEAR_NS:
            self._hear(now)
        return self._clock.offset_ns - self._t0

    def _accept(self, frames: list[tuple[int, bytes]]) -> None:
        shift = self._shift(frames[-1][0])
        if self._turn.bounded:
            frames = self._turn.mine(frames)
        last, log = self._last_arrival, self._log
        self._read += len(frames)
        for stamp, frame in frames:
            t_ns = stamp + shift
            if t_ns < last:
                t_ns = last
            last = t_ns
            if t_ns < 0:
                self._before_start += 1
                self._queue.add(t_ns + self._t0, frame)
            elif t_ns >= log.open_ns:
                self._undecided.append((t_ns, frame))
            else:
                self._decide(t_ns, frame)
        self._last_arrival = last

    def _decide(self, t_ns: int, frame: bytes) -> None:
        if t_ns >= self._log.next_ns:
            self._log.meet(t_ns)
        law = self._law
        due = law.offer(t_ns, len(frame) - self._before)
        if law.ordinary:
            if due >= 0:
                self._queue.add(due + self._t0, frame)
            return
        if law.flips and self._withhold:
            self._withheld += 1
        elif due >= 0:
            self._queue.add(due + self._t0, _damaged(frame, law.flips, self._before))
        if law.copy_due >= 0:
            self._queue.add(law.copy_due + self._t0, frame)

    def _accept_many(self, batch: Batch) -> bool:
        """Decide on a whole batch as arrays and give its places back; False where that fails."""
        t_ns = batch.stamp_ns + self._shift(int(batch.stamp_ns[-1]))
        if self._turn.bounded:
            return False
        if t_ns[0] < self._last_arrival or (t_ns[1:] < t_ns[:-1]).any():
            t_ns.clip(self._last_arrival, out=t_ns)
            t_ns = np.maximum.accumulate(t_ns)
        queue, newest = self._queue, int(t_ns[-1])
        if t_ns[0] < 0 or newest >= min(self._log.next_ns, self._log.open_ns):
            return False
        if not isinstance(queue, InOrder):
            return False
        self._last_arrival = newest
        self._read += len(t_ns)
        due = self._law.offer_many(t_ns, batch.sizes)
        kept = due >= 0
        due += self._t0
        which = None if kept.all() else kept
        if which is None and not len(queue) and due[-1] <= time.monotonic_ns():
            self._pass_on(batch, due)
        elif which is None or kept.any():
            block = Block(due if which is None else due[kept], *self._ring.copy(batch, which))
            queue.add_block(block)
        self._ring.give_back(len(t_ns))
        return True

    def _pass_on(self, batch: Batch, due: NDArray[np.int64]) -> None:
        """Send packets that are all due, straight from the ring where no tag is to be put back."""
        memory, sizes = None, batch.sizes + self._before
        if batch.vlan.any():
            memory, addresses, sizes = self._ring.copy(batch, None)
        else:
            addresses = self._ring.addresses(batch)
        for begin in range(0, len(due), MOST):
            part = slice(begin, begin + MOST)
            now = time.monotonic_ns()
            self._sender.many_due(due[part], now, addresses[part], sizes[part])
        del memory

    # ---- commands

    def _hear(self, now_ns: int) -> None:
        """Follow the commands that have come, and see whether the end has."""
        self._heard_ns = now_ns
        if now_ns >= self._end_ns:
            self._stopping = True
        if self._commands is None or self._stopping:
            return
        while self._pending.poll(0):
            for name, *values in self._commands.take():
                if name == "change":
                    self._change(*values)
                elif name == "snapshot":
                    self._tell_snapshot()
                elif name == "open":
                    send_event(self._report_fd, "opened", in_time=self._turn.begin(*values))
                elif name == "drain":
                    self._draining = True
                    if values:
                        self._end_turn(*values)
                    else:
                        self._stopping = True
            if self._commands.closed:
                self._stopping = True
                return

    def _end_turn(self, until_ns: int) -> None:
        """What arrives from ``until_ns`` on (CLOCK_REALTIME) is another's: the end, then."""
        newest_ns = self._last_arrival + self._t0 - self._clock.offset_ns
        self._turn.end(until_ns)
        self._end_ns = until_ns + self._clock.offset_ns + _ENTRY_NS
        send_event(self._report_fd, "ending", in_time=newest_ns < until_ns)

    def _change(self, planned_ns: int, impairment: Impairment) -> None:
        """Extend the plan; a command that comes too late is in force from the next arrival on."""
        at_ns = max(planned_ns, self._log.last_ns)
        if at_ns <= self._last_arrival:
            at_ns = self._last_arrival + 1
        self._law.extend([(at_ns, impairment)])
        self._log.add(planned_ns, at_ns, impairment)
        if impairment.order == "allow" and isinstance(self._queue, InOrder):
            queue = ByDue()
            for due_ns, frame in self._queue.take_all():
                queue.add(due_ns, frame)
            self._queue = queue
        self._decide_held()
        send_event(self._report_fd, "changed", in_force_ns=at_ns)

    def _decide_held(self) -> None:
        """Decide on what arrived in a hold whose end was not known, where it now is."""
        held, self._undecided = self._undecided, []
        for t_ns, frame in held:
            if t_ns >= self._log.open_ns:
                self._undecided.append((t_ns, frame))
            else:
                self._decide(t_ns, frame)

    # ---- waiting

    def _wait(self) -> None:
        """Sleep until there is something to do, at most a few milliseconds."""
        due = self._queue.head_ns()
        if self._is_full() and due > time.monotonic_ns() + _FULL_NS:
            time.sleep(_FULL_NS * 1e-9)  # the ring has arrivals, which must stay there
            return
        if due == NEVER:
            for fd, _ in self._poll.poll(_IDLE_MS):
                if self._commands is not None and fd == self._commands.fd:
                    self._hear(time.monotonic_ns())
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

    def _release(self) -> int:
        """Send what is due, so much at a time that the ring is looked after; how many."""
        count = 0
        while count < _RELEASE_MOST:
            sent = self._queue.release(self._sender)
            count += sent
            if sent < MOST:
                break
        return count

    def _nap(self, pause_ns: int) -> bool:
        """Sleep; whether an arrival ended it early."""
        if isinstance(self._queue, InOrder):
            time.sleep(pause_ns * 1e-9)
            return False
        return bool(select.select([self._ring], [], [], pause_ns * 1e-9)[0])

    def run(self, end_ns: int | None) -> None:
        """Forward until told to stop, or until session time ``end_ns``."""
        self._end_ns = NEVER if end_ns is None else end_ns + self._t0
        slept = time.monotonic_ns()
        while True:
            done = self._release()
            now = time.monotonic_ns()
            if now > self._heard_ns + _HEAR_NS:
                self._hear(now)
                if now >= self._clock_ns:
                    self._clock_ns = now + _CLOCK_NS
                    self._clock.refresh()
            if self._stopping:
                return
            if taken := self._take():
                done += taken + self._release()
            if not done:
                self._wait()
                slept = time.monotonic_ns()
            elif (done < MOST and now - slept > _DENSE_NS) or now - slept > _BUSY_NS:
                # Packets so dense that there is no time to sleep between them cost less in
                # groups; and a core is never starved, whatever arrives.
                time.sleep(_BREATH_S)
                slept = time.monotonic_ns()

    # ---- reports and the end

    def _tell_snapshot(self) -> None:
        counts = asdict(self._counts(histogram=False))
        now_ns = time.monotonic_ns() - self._t0
        send_event(self._report_fd, "snapshot", report=counts, met=self._log.news(), now_ns=now_ns)

    def finish(self) -> DirectionReport:
        """Read what has arrived, let go what is to be drained, count, close."""
        end_ns = time.monotonic_ns() - self._t0
        if self._draining:
            self._let_go()
        else:
            for _ in range(256):
                if not self._take():
                    break
            self._log.open_ns = NEVER  # a hold that nothing ended: the law says what that means
            self._decide_held()
        self._clock.refresh()
        report = replace(self._counts(histogram=True), changes=self._log.report(end_ns))
        self._ring.close()
        self._sender.close()
        return report

    def _let_go(self) -> None:
        """Send all that waits and all that has arrived and is its own at once, in order."""
        until_ns = time.monotonic_ns() + _DRAIN_NS
        while True:
            taken = self._take()
            if self._undecided:
                now_ns = time.monotonic_ns() - self._t0
                at_ns = max(now_ns, self._last_arrival + 1, self._log.last_ns)
                self._law.extend([(at_ns, CLEAN)])
                self._log.open_ns = NEVER
                self._decide_held()
            for _, frame in self._queue.take_all():
                self._sender.patiently(frame, until_ns)
            if not taken or self._turn.over or time.monotonic_ns() > until_ns:
                return

    def _counts(self, histogram: bool) -> DirectionReport:
        offered, dropped = self._ring.statistics()
        self._offered += offered
        self._dropped += dropped
        sender, law, ring = self._sender, self._law, self._ring
        unsaid, read = sender.unsaid(), self._read + ring.oversize
        unread = self._offered - self._dropped - read - self._turn.others
        if self._turn.over:
            unread = 0  # what still lies there is another's
        lateness = sender.late.summary(histogram)
        return DirectionReport(
            link=self._plan.link,
            direction=self._direction,
            rx=read,
            tx=sender.sent - unsaid,
            accepted=law.accepted,
            fates={name: law.fates[fate] for fate, name in FATES.items()},
            copies=law.copies,
            damaged=law.damaged,
            withheld=self._withheld,
            skipped=law.skipped,
            before_start=self._before_start,
            in_flight=len(self._queue),
            undecided=len(self._undecided),
            unread=max(0, unread),
            kernel_drops=self._dropped,
            tx_errors=sender.failed + unsaid,
            oversize=ring.oversize,
            unfinished_checksums=ring.unfinished,
            lateness=lateness,
            clock_steps=self._clock.steps,
            clock_largest_step_s=self._clock.largest_step_ns * 1e-9,
            cpu_s=time.process_time() - self._cpu_before_s,
            scheduler=self.scheduler,
            beyond_envelope=beyond_envelope(lateness, self._dropped),
        )


def _damaged(frame: bytes, flips: tuple[int, ...], before: int) -> bytes:
    """``frame`` with some of its bits wrong; ``before`` bytes of header do not count."""
    if not flips:
        return frame
    wrong = bytearray(frame)
    for place in flips:
        wrong[before + (place >> 3)] ^= 0x80 >> (place & 7)
    return bytes(wrong)
