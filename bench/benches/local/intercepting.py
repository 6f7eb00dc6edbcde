"""A false gateway against DTLS: it opens a session to the server and wants the client to open one.

To the server it is a client in the other side's name; the client it asks to begin anew (RFC 5246,
7.4.1.1) and is a server to whatever hello comes. It shows the names that are asked for, under an
authority of its own. OpenSSL works on memory; bytes come and go through whoever owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from OpenSSL import SSL

from bench.benches.local.carriage.credentials import Identity
from bench.benches.local.carriage.dtls import datagrams, dtls_context
from bench.benches.local.carriage.tls import reason
from bench.network.scenario import Side

_CHANGE, _ALERT, _HANDSHAKE = 20, 21, 22
_MESSAGE, _CLIENT_HELLO = slice(13, 14), b"\x01"
_HELLO_REQUEST = bytes.fromhex("16 fefd 0000 000000000000 000c 00 000000 0000 000000 000000")
_MTU = 1400


class Interceptor:
    """What it does on one link.

    ``refused``: why its handshakes were ended, in order.

    Args:
        shown: the identities that it shows to the patient's and to the doctor's side, by the side
            whose name is in it.
        server: which side is the server of the stream.
        send: puts a datagram on the link, towards a side.
        opened: told towards which side a session came about.
    """

    def __init__(
        self,
        shown: Mapping[Side, Identity],
        server: Side,
        send: Callable[[Side, bytes], object],
        opened: Callable[[Side], object],
    ) -> None:
        self.refused: list[str] = []
        self._shown, self._send, self._opened = shown, send, opened
        self._server: Side = server
        self._client: Side = "doctor" if server == "patient" else "patient"
        self._sessions: dict[Side, SSL.Connection] = {}

    def begin(self) -> None:
        """Try both sides."""
        session = self._session(self._client)
        session.set_connect_state()
        self._sessions[self._server] = session
        self._shake(self._server)
        self._send(self._client, _HELLO_REQUEST)

    def hear(self, side: Side, payload: bytes) -> None:
        """A datagram of ``side`` passed."""
        if not payload or payload[0] not in (_CHANGE, _ALERT, _HANDSHAKE):
            return
        hello = payload[0] == _HANDSHAKE and payload[_MESSAGE] == _CLIENT_HELLO
        if side == self._client and hello:
            session = self._session(self._server)
            session.set_accept_state()
            self._sessions[side] = session
        found = self._sessions.get(side)
        if found is not None:
            found.bio_write(payload)
            self._shake(side)

    def _session(self, named: Side) -> SSL.Connection:
        made = dtls_context(self._shown[named])
        made.set_verify(SSL.VERIFY_NONE, lambda *_: True)  # it takes whomever it meets
        session = SSL.Connection(made)
        session.set_ciphertext_mtu(_MTU)
        return session

    def _shake(self, side: Side) -> None:
        session = self._sessions[side]
        try:
            session.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.refused.append(reason(error))
            del self._sessions[side]
        else:
            self._opened(side)
            del self._sessions[side]
        for datagram in datagrams(session):
            self._send(side, datagram)
