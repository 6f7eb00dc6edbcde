"""A Session-Reflector's decisions (RFC 8762, 4.3), without sockets and clocks.

An answer is as long as the question, or there is none.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from instruments.probes.stamp_packets import (
    PacketError,
    ReflectedPacket,
    base_bytes,
    encode_reflected,
    looks_reflected,
    read_test,
)
from instruments.probes.stamp_time import ErrorEstimate
from instruments.probes.stamp_tlvs import reflect

SESSIONS = 10_000
"""Most sessions remembered at once; beyond them the one silent for longest is forgotten."""

IDLE_NS = 900_000_000_000
"""A session silent for so long begins anew (REFWAIT, RFC 5357, 4.2)."""

Source = tuple[str, int]


@dataclass(slots=True)
class _State:
    sent: int
    heard_ns: int


@dataclass(slots=True)
class ReflectorCounts:
    """What has happened so far.

    Attributes:
        received: packets that came.
        reflected: packets that were answered.
        discarded: those that were not, by reason.
        sessions: sessions begun (stateful only).
    """

    received: int = 0
    reflected: int = 0
    discarded: Counter[str] = field(default_factory=Counter)
    sessions: int = 0


class Reflector:
    """Answers test packets.

    Args:
        stateful: number the answers of each session; else copy the sender's numbers.
        error: gives the error estimate of the timestamps now.
        key: authenticated mode with this key; None: unauthenticated.
        port: the reflector's own. A reflected packet that comes from such a port is another
            reflector's and is not answered: one forged packet would keep two of them busy forever.
    """

    def __init__(
        self,
        *,
        stateful: bool,
        error: Callable[[], ErrorEstimate],
        key: bytes | None = None,
        port: int | None = None,
    ) -> None:
        self.stateful, self.counts = stateful, ReflectorCounts()
        self._error, self._key, self._port = error, key, port
        self._sessions: OrderedDict[tuple[Source, int], _State] = OrderedDict()

    def answer(
        self,
        data: bytes,
        source: Source,
        *,
        ttl: int,
        received_ns: int,
        now_ns: Callable[[], int],
    ) -> bytes | None:
        """The reflected packet; None for what is no test packet.

        Args:
            data: the payload that came, from ``source``, with ``ttl``, at ``received_ns``.
            now_ns: the clock, read as late as can be: the time that the answer says it was sent.
        """
        self.counts.received += 1
        try:
            test = read_test(data, self._key)
        except PacketError as reason:
            self.counts.discarded[str(reason)] += 1
            return None
        if source[1] == self._port and looks_reflected(data, self._key):
            self.counts.discarded["a reflection"] += 1
            return None
        sequence = test.sequence
        if self.stateful:
            sequence = self._number(source, test.ssid, received_ns)
        base = base_bytes(self._key)
        rest = data[base:]
        behind = reflect(rest, test.sequence, sequence, self._key) if rest else b""
        error = self._error()
        reflected = ReflectedPacket(
            sequence=sequence,
            t_ns=now_ns(),
            error=error,
            ssid=test.ssid,
            received_ns=received_ns,
            sender_sequence=test.sequence,
            sender_time=test.time,
            sender_error=test.error,
            ttl=ttl,
        )
        self.counts.reflected += 1
        return (encode_reflected(reflected, self._key) + behind)[: len(data)]

    def _number(self, source: Source, ssid: int, now_ns: int) -> int:
        """How many answers this session has had; a session is its addresses and its SSID."""
        name = (source, ssid)
        state = self._sessions.get(name)
        if state is None or now_ns - state.heard_ns > IDLE_NS:
            state = self._sessions[name] = _State(0, now_ns)
            self.counts.sessions += 1
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(name)
        number, state.sent, state.heard_ns = state.sent, state.sent + 1 & 0xFFFFFFFF, now_ns
        return number
