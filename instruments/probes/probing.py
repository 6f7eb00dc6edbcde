"""A Session-Sender's state (RFC 8762, 4.2), without sockets and clocks.

Packets out, answers in, and in the end arrays of what was seen. What follows from them is
``bench.studies.probe_figures``.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.probes.stamp_packets import (
    PacketError,
    TestPacket,
    base_bytes,
    decode_reflected,
    encode_test,
)
from instruments.probes.stamp_time import ErrorEstimate
from instruments.probes.stamp_tlvs import HEADER_BYTES, extra_padding, flagged

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NOT_SENT = np.iinfo(np.int64).min
"""In place of a time: the kernel did not take the packet."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What a session saw. Times of packets, CLOCK_REALTIME, in ns.

    Attributes:
        due_ns: shape (n,): when each packet was to be sent, from the session's start.
        late_ns: shape (n,): how much later the sending began.
        t1_ns: shape (n,): when it was sent; ``NOT_SENT`` where the kernel did not take it.
        t1_kernel: shape (n,): whether the kernel took that time, else userspace just before.
        sequence: shape (m,), as all that follow; one row per answer in order of arrival: the
            sender's sequence number.
        number: the reflector's sequence number.
        t2_ns, t3_ns: the reflector's times, by its clock: arrival there, departure there.
        t4_ns, t4_kernel: arrival here, and whether the kernel took that time.
        ttl: the test packet's TTL on arrival at the reflector; reply_ttl: the answer's, here.
        ignored: packets that are no answers of this session, by reason.
        flagged: TLVs that came back with a flag, by flag.
        errors: the reflector's error estimates, each with how many answers carried it.
        ssid_echoed: answers that carried the session's identifier (others carried 0).
        short: answers shorter than the packet they answer (RFC 8762: as long).
    """

    due_ns: Ints
    late_ns: Ints
    t1_ns: Ints
    t1_kernel: Bools
    sequence: Ints
    number: Ints
    t2_ns: Ints
    t3_ns: Ints
    t4_ns: Ints
    t4_kernel: Bools
    ttl: Ints
    reply_ttl: Ints
    ignored: Counter[str]
    flagged: Counter[str]
    errors: Counter[ErrorEstimate]
    ssid_echoed: int
    short: int


class Session:
    """One test session of a sender.

    Args:
        due_ns: when each packet is due, from the session's start, ascending.
        size: octets of UDP payload of each: the base packet, or at least 4 more.
        ssid: 1 to 65535.
        filling: draws what the padding holds (RFC 8972, 4.1: pseudorandom).
        key: authenticated mode with this key; None: unauthenticated.
    """

    def __init__(
        self,
        due_ns: Ints,
        *,
        size: int,
        ssid: int,
        filling: random.Random,
        key: bytes | None = None,
    ) -> None:
        base = base_bytes(key)
        if size != base and size < base + HEADER_BYTES:
            raise ValueError(f"no packet of {size} octets")
        self.due_ns, self.size, self.ssid = due_ns, size, ssid
        self._key, self._base = key, base
        behind = size - base
        self._padding = (
            extra_padding(behind, filling.randbytes(behind - HEADER_BYTES)) if behind else b""
        )
        self._words = array("Q")
        self._late, self._t1, self._kernel = array("q"), array("q"), bytearray()
        self._answered = bytearray()
        self._columns = [array("q") for _ in range(7)]
        self._t4_kernel = bytearray()
        self._ignored: Counter[str] = Counter()
        self._flagged: Counter[str] = Counter()
        self._errors: Counter[ErrorEstimate] = Counter()
        self._ssid_echoed = self._short = self.answered = 0

    @property
    def next(self) -> int:
        """The sequence number of the next packet: how many there were."""
        return len(self._t1)

    @property
    def finished(self) -> bool:
        """Whether all packets have been sent."""
        return self.next == len(self.due_ns)

    def packet(self, t_ns: int, error: ErrorEstimate) -> bytes:
        """The next packet, sent at ``t_ns``. Say with :meth:`sent` what became of it."""
        packet = TestPacket(self.next, t_ns, error, self.ssid)
        self._words.append(packet.time)
        return encode_test(packet, self._key) + self._padding

    def sent(self, t_ns: int, late_ns: int, *, taken: bool = True) -> None:
        """The packet that was made last has gone, or the kernel did not take it."""
        self._t1.append(t_ns if taken else NOT_SENT)
        self._late.append(late_ns)
        self._kernel.append(False)
        self._answered.append(False)

    def departed(self, sequence: int, t_ns: int) -> None:
        """The kernel says when a packet left.

        Before the time that is in the packet itself it cannot have left: such a stamp belongs to
        another packet, and is not taken.
        """
        if 0 <= sequence < self.next and self._t1[sequence] <= t_ns and not self._kernel[sequence]:
            self._t1[sequence], self._kernel[sequence] = t_ns, True

    def take(self, data: bytes, t_ns: int, *, kernel: bool, ttl: int) -> bool:
        """What came back at ``t_ns``; whether it is an answer of this session."""
        try:
            came = decode_reflected(data, self._key)
        except PacketError as reason:
            self._ignored[str(reason)] += 1
            return False
        sequence = came.sender_sequence
        if came.ssid not in (self.ssid, 0):
            self._ignored["another session"] += 1
            return False
        known = sequence < self.next and self._t1[sequence] != NOT_SENT
        if not known or self._words[sequence] != came.sender_time:
            self._ignored["never sent"] += 1
            return False
        row = (sequence, came.sequence, came.received_ns, came.t_ns, t_ns, came.ttl, ttl)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self._t4_kernel.append(kernel)
        self._errors[came.error] += 1
        self._ssid_echoed += came.ssid == self.ssid
        self._short += len(data) < self.size
        self._flagged.update(flagged(data[self._base :]))
        self.answered += not self._answered[sequence]
        self._answered[sequence] = True
        return True

    def samples(self) -> Samples:
        """Everything so far."""
        sequence, number, t2, t3, t4, ttl, reply_ttl = (
            np.array(column, dtype=np.int64) for column in self._columns
        )
        return Samples(
            due_ns=self.due_ns[: self.next],
            late_ns=np.array(self._late, dtype=np.int64),
            t1_ns=np.array(self._t1, dtype=np.int64),
            t1_kernel=np.array(self._kernel, dtype=np.bool_),
            sequence=sequence,
            number=number,
            t2_ns=t2,
            t3_ns=t3,
            t4_ns=t4,
            t4_kernel=np.array(self._t4_kernel, dtype=np.bool_),
            ttl=ttl,
            reply_ttl=reply_ttl,
            ignored=Counter(self._ignored),
            flagged=+self._flagged,
            errors=Counter(self._errors),
            ssid_echoed=self._ssid_echoed,
            short=self._short,
        )
