"""TLS for the carriages: both sides show certificates, and OpenSSL checks the other's.

Over TCP it is TLS 1.3 (RFC 8446), at least 1.2: what DICOM PS3.15, B.12, and IHE ITI-19 (ATNA) ask
of two nodes. OpenSSL works on memory here, not on sockets: nothing blocks, and no key is written.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL, crypto

from bench.benches.local.carriage.credentials import Identity, names_in

SUITE = b"ECDHE-ECDSA-AES256-GCM-SHA384"
"""What TLS 1.3 calls TLS_AES_256_GCM_SHA384, with the key exchange and the kind of key."""
SUITE_13 = b"TLS_AES_256_GCM_SHA384"

_MOST_BYTES = 1 << 14
_NO_NAME = "the certificate bears another name"


class Refused(ConnectionError):
    """OpenSSL ended a session or its opening; its own word why."""


def context(identity: Identity, method: int = SSL.TLS_METHOD) -> SSL.Context:
    """How either side makes its sessions: one suite, both certificates checked by OpenSSL."""
    made = SSL.Context(method)
    made.set_cipher_list(SUITE)
    made.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if method == SSL.TLS_METHOD:
        made.set_min_proto_version(SSL.TLS1_2_VERSION)
        made.set_tls13_ciphersuites(SUITE_13)
    if identity.certificate is not None and identity.key is not None:
        made.use_certificate(identity.certificate)
        made.use_privatekey(identity.key)
    store = made.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(identity.anchor))

    def verify(_: SSL.Connection, shown: crypto.X509, error: int, depth: int, fine: int) -> bool:
        """OpenSSL's own word, and the name that the peer must bear."""
        return bool(fine) and (depth > 0 or identity.peer in names_in(shown.to_cryptography()))

    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    return made


def reason(error: SSL.Error) -> str:
    """OpenSSL's own word for what went wrong: its last, which tells what came of it."""
    try:
        return str(error.args[0][-1][2])
    except (IndexError, TypeError):
        return type(error).__name__


class Tls:
    """One session on memory: what came in, what is to go out.

    ``stands``: the opening is over at this end. At a client under TLS 1.3 the server may still
    refuse the certificate that it was shown.

    Args:
        made: see :func:`context`.
        server: which end this is.
    """

    def __init__(self, made: SSL.Context, *, server: bool) -> None:
        self.stands = False
        self._session = SSL.Connection(made)
        if server:
            self._session.set_accept_state()
        else:
            self._session.set_connect_state()

    def feed(self, data: bytes) -> bytes:
        """Take what came, nothing to begin with; what of it is data.

        Raises:
            Refused: OpenSSL ended it.
            ConnectionError: the other end did.
        """
        if data:
            self._session.bio_write(data)
        found = bytearray()
        try:
            if not self.stands:
                self._session.do_handshake()
                self.stands = True
            while True:
                found += self._session.recv(_MOST_BYTES)
        except SSL.WantReadError:
            return bytes(found)
        except SSL.ZeroReturnError:
            if not found:
                raise ConnectionError("the other end closed the session") from None
            return bytes(found)
        except SSL.Error as error:
            raise Refused(reason(error)) from None

    def seal(self, data: bytes) -> None:
        """Have data go out. Only where it stands."""
        if data:
            self._session.sendall(data)

    def out(self) -> bytes:
        """What is to go out next; it is taken for gone."""
        found = bytearray()
        try:
            while True:
                found += self._session.bio_read(_MOST_BYTES)
        except SSL.WantReadError:
            return bytes(found)


# ---- for a library that insists on Python's own


class Socket(ssl.SSLSocket):
    """Python's, which checks a client's name as well, and tells who was refused."""

    def do_handshake(self, block: bool = False) -> None:
        """Open the session.

        Raises:
            ssl.SSLError: refused.
            OSError: the network.
        """
        assert isinstance(self.context, Context)
        try:
            super().do_handshake(block)
            names = self.getpeercert() or {}
            if ("DNS", self.context.peer) not in names.get("subjectAltName", ()):
                raise ssl.SSLCertVerificationError(1, _NO_NAME)
        except ssl.SSLEOFError:  # it only went away
            raise
        except ssl.SSLError as error:
            self.context.refused(_words(error))
            raise


class Context(ssl.SSLContext):
    """As :func:`context`, of Python's module. The server's name is checked by OpenSSL.

    A server's sockets are handed on before their session is open: whoever gets one opens it.

    ``peer``: the name that the other end must bear. ``refused``: told why OpenSSL ended an opening.
    """

    sslsocket_class = Socket
    peer: str
    refused: Callable[[str], object]

    def wrap_socket(self, *args: object, **more: object) -> ssl.SSLSocket:
        """As Python's."""
        if more.get("server_side"):
            more["do_handshake_on_connect"] = False
        return super().wrap_socket(*args, **more)  # type: ignore[arg-type]


def python_context(
    identity: Identity, refused: Callable[[str], object], *, server: bool
) -> Context:
    """Python's context of one end.

    It takes certificate and key from a file only: they are in one without a name in the memory of
    this process (memfd), which is gone when this returns.
    """
    made = Context(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.peer, made.refused = identity.peer, refused
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(SUITE.decode())
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    made.verify_mode = ssl.CERT_REQUIRED
    if server:  # whoever reads when something came would wait for what is no data
        made.num_tickets = 0
    made.load_verify_locations(cadata=identity.anchor.public_bytes(Encoding.DER))
    if identity.certificate is not None and identity.key is not None:
        plain = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        fd = os.memfd_create("identity")
        try:
            os.write(fd, identity.key.private_bytes(*plain))
            os.write(fd, identity.certificate.public_bytes(Encoding.PEM))
            made.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
    return made


def _words(error: ssl.SSLError) -> str:
    """As :func:`reason`: Python writes them large and joined, and knows none for its own."""
    found = getattr(error, "reason", None) or error.args[-1]
    return str(found).replace("_", " ").lower()
