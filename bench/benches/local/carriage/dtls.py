"""A stream over DTLS 1.2 (RFC 6347): OpenSSL, certificates on both sides, one message a record.

Datagram TLS keeps the device's own timing: a lost record is a lost message and delays no other,
and after an interruption the session goes on as if nothing had been. The stream's source is the
client, of the control stream the doctor's side. OpenSSL works on memory here, not on the socket,
so that nothing ever blocks; its retransmissions in a handshake are looked after ten times a second.

A client whose handshake does not come to an end within :data:`TRY_NS` begins anew. The server
keeps what stands until a new handshake is complete (RFC 6347, 4.2.8), and sends nothing before a
record of the client's showed that it stands at both ends: so no record number is ever used twice
between two taps.

A message travels in the record of its own number and one: where the device left numbers out on a
link, so does the carriage. A message that goes out on two links bears one number on both, and the
taps tell that it is one (:func:`bench.measure.pairing.by_sequence`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from OpenSSL import SSL

from bench.benches.local.carriage.base import Place
from bench.benches.local.carriage.credentials import Identity
from bench.benches.local.carriage.datagram import LARGEST_DATAGRAM, connected
from bench.benches.local.carriage.tls import context, reason
from bench.benches.local.layout import LARGEST_PAYLOAD
from bench.devices.carriages import DTLS_BYTES
from bench.devices.ports import Message, payload_bytes
from bench.devices.wire import decode, encode

TICK_NS = 100_000_000
TRY_NS = 4_000_000_000
"""Longer than two round trips and two of OpenSSL's retransmissions (after 1 s and 3 s)."""

_VERSION = 0xFEFD

_DATA, _HANDSHAKE, _CLIENT_HELLO = 23, 22, 1
_RECORD_BYTES = 13
_RANDOM = slice(27, 59)
"""The client's random number, in a datagram that begins with its hello."""
_MOST_BYTES = 2048
_MOST_SKIPPED = 1024
"""Numbers left out before one message; what is more waits for the next. Some µs each."""
_STARTED_ANEW = 8 * _MOST_SKIPPED
"""A device that jumps by more has lost its power: nobody could leave out so many in time."""


class Dtls:
    """A :class:`~bench.benches.local.carriage.base.Carriage` over one connected UDP socket.

    Faults: ``not-yet``: messages that were to be sent before the session stood; ``refused (why)``:
    handshakes that OpenSSL ended; ``not-accepted``: records with data that it did not take as the
    other side's and new; ``closed``: sessions that the other side ended; ``unsent``: handshake
    packets that the network did not take.
    """

    def __init__(self, place: Place) -> None:
        if place.identity is None:
            raise ValueError("DTLS needs an identity")
        self.faults: Counter[str] = Counter()
        self._server = place.side != place.stream.source
        self._context = dtls_context(place.identity)
        self._sock = connected(place.link, place.side, place.stream.port)
        self._size = place.stream.payload_bytes
        self._standing: SSL.Connection | None = None
        self._opening: SSL.Connection | None = None
        self._random = b""
        self._both = False
        self._try_until_ns = 0
        self._sent = self._last = self._base = 0
        self._waiting: deque[Message] = deque()
        self._at = place.at
        place.at(0, self._tick)

    def fileno(self) -> int:
        """The socket's."""
        return self._sock.fileno()

    @property
    def stands(self) -> bool:
        """Whether messages can be sent."""
        return self._standing is not None and self._both

    # ---- messages -------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send one message as one record; nothing leaves before the session stands."""
        if self._standing is None or not self._both:
            self.faults["not-yet"] += 1
            return
        payload = encode(message, payload_bytes(message, self._size) - DTLS_BYTES)
        self._skip(self._standing, message.seq)
        self._standing.send(payload)
        self._sent += 1
        for datagram in datagrams(self._standing):
            self._sock.send(datagram)

    def _skip(self, session: SSL.Connection, seq: int) -> None:
        """Use up record numbers until the next one is that of the message, and one."""
        if seq < self._last:  # the device's numbers began anew
            self._base = self._sent - seq
        elif self._base + seq - self._sent > _STARTED_ANEW:  # to the same number on every link
            self._base = -(-self._sent // _MOST_SKIPPED) * _MOST_SKIPPED - seq
        self._last = seq
        missing = min(self._base + seq - self._sent, _MOST_SKIPPED)
        if missing <= 0:
            return
        for _ in range(missing):
            session.send(b"\0")
        for _ in datagrams(session):
            pass  # it goes nowhere
        self._sent += missing

    def take(self) -> Message:
        """The message in the next record that OpenSSL accepts."""
        while not self._waiting:
            self._feed(self._sock.recv(LARGEST_DATAGRAM))
        return self._waiting.popleft()

    def _feed(self, datagram: bytes) -> None:
        """Hand a datagram to the session that it is for."""
        if len(datagram) < _RECORD_BYTES:
            raise ValueError("shorter than a record")
        if self._server and _is_hello(datagram) and datagram[_RANDOM] != self._random:
            self._random = datagram[_RANDOM]
            self._open()
        data = datagram[0] == _DATA
        first, second = self._standing, self._opening
        session = (first or second) if data else (second or first)
        if session is None:
            if data:
                self.faults["not-accepted"] += 1
            return
        session.bio_write(datagram)
        if session is self._opening:
            self._shake(session)
        before = len(self._waiting)
        if session is self._standing:
            try:
                self._read(session)
            finally:
                self._flush(session)
        if data and len(self._waiting) == before:
            self.faults["not-accepted"] += 1

    def _read(self, session: SSL.Connection) -> None:
        try:
            while True:
                payload = session.recv(_MOST_BYTES)
                self._both = True
                self._waiting.append(decode(payload))
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self.faults["closed"] += 1
        except SSL.Error as error:
            self.faults[f"closed ({reason(error)})"] += 1
        self._standing, self._both = None, False

    # ---- the handshake --------------------------------------------------------------------------

    def _open(self) -> None:
        """Begin a session. The numbers of its records begin anew."""
        session = SSL.Connection(self._context)
        session.set_ciphertext_mtu(LARGEST_PAYLOAD)
        if self._server:
            session.set_accept_state()
        else:
            session.set_connect_state()
        self._opening = session

    def _shake(self, session: SSL.Connection) -> None:
        """Go on with a handshake as far as what has arrived allows."""
        try:
            session.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.faults[f"refused ({reason(error)})"] += 1
            self._opening = None
        else:
            self._standing, self._opening = session, None
            self._sent = self._last = self._base = 0
            self._both = not self._server
        self._flush(session)

    def _tick(self, now_ns: int) -> None:
        """Begin, retransmit, give up and begin anew: whatever is due."""
        if not self._server and self._standing is None and now_ns >= self._try_until_ns:
            self._try_until_ns = now_ns + TRY_NS
            self._open()
            assert self._opening is not None
            self._shake(self._opening)
        session = self._opening
        if session is not None:
            try:
                session.DTLSv1_handle_timeout()
            except SSL.Error as error:
                self.faults[f"refused ({reason(error)})"] += 1
                self._opening = None
            self._flush(session)
        self._at(now_ns + TICK_NS, self._tick)

    def _flush(self, session: SSL.Connection) -> None:
        """Send what a handshake has to say. What the network does not take is sent again later."""
        try:
            for datagram in datagrams(session):
                self._sock.send(datagram)
        except OSError:
            self.faults["unsent"] += 1

    def power(self, on: bool) -> None:
        """The session outlives it: its client could not tell a dead server from a dead network."""

    def close(self) -> None:
        """Close the socket, without a word to the other side."""
        self._sock.close()


def dtls_context(identity: Identity) -> SSL.Context:
    """How either side makes its sessions: as over TCP, in the version for datagrams."""
    made = context(identity, SSL.DTLS_METHOD)
    made.set_min_proto_version(_VERSION)
    made.set_max_proto_version(_VERSION)
    made.set_options(SSL.OP_NO_QUERY_MTU)
    return made


def _is_hello(datagram: bytes) -> bool:
    """Whether it begins with a whole client's hello in clear."""
    return (
        len(datagram) >= _RANDOM.stop
        and datagram[0] == _HANDSHAKE
        and datagram[3:5] == b"\0\0"
        and datagram[_RECORD_BYTES] == _CLIENT_HELLO
    )


def datagrams(session: SSL.Connection) -> Iterator[bytes]:
    """What OpenSSL has to send: its records, as many in a datagram as one Ethernet frame takes."""
    try:
        flight = session.bio_read(LARGEST_DATAGRAM)
    except SSL.WantReadError:
        return
    start = end = 0
    while end < len(flight):
        following = end + _RECORD_BYTES + int.from_bytes(flight[end + 11 : end + 13], "big")
        if following - start > LARGEST_PAYLOAD and end > start:
            yield flight[start:end]
            start = end
        end = following
    yield flight[start:end]
