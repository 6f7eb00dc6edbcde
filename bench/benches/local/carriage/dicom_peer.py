"""The processes that speak DICOM: a Storage SCU that sends chunks, a Storage SCP that takes them.

Each runs until its socketpair closes. A C-STORE waits for its answer, so that several
associations are open at once where the path is long; without chunks there are none. Each is in
TLS (DICOM PS3.15, B.12), both sides with certificates.
"""

from __future__ import annotations

import errno
import json
import logging
import queue
import socket
import ssl
import struct
import sys
import threading
import time
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association

from bench.benches.local.carriage.credentials import Identity
from bench.benches.local.carriage.tls import python_context
from bench.devices.dicom import SOP_CLASS, SYNTAX, instance_of, message_of
from bench.devices.ports import Message

ASSOCIATIONS = 6
"""C-STOREs on their way at once."""

ANSWER_S = 1.5
"""An association on which an answer takes longer is aborted; the next chunk opens another."""

CONNECT_S = 1.0
STALE_NS = 2_000_000_000
"""A chunk that waited longer is not sent: the device has sent it again meanwhile."""

IDLE_S = 1.0
"""An association without chunks is released after this."""

LARGEST_PDU = 1 << 17
SUCCESS = 0x0000
CANNOT_UNDERSTAND = 0xC000
OUT_OF_RESOURCES = 0xA700
"""Status of a C-STORE (PS3.4, table B.2-1)."""

_SWITCH_S = 5e-4
_READ_BYTES = 1 << 16
_ABANDONED_S = 4.0
_VACATED_S = 2.0
_RESET = struct.pack("ii", 1, 0)
_USER_TIMEOUT_MS = 3000


def store(
    channel: socket.socket, here: str, there: tuple[str, int], size: int, identity: Identity
) -> None:
    """Send the chunks that come through ``channel``.

    Args:
        channel: brings messages as JSON, with the time (CLOCK_MONOTONIC) at which they were
            handed over; takes what became of those that failed.
        here: the address to connect from.
        there: address and port of the SCP.
        size: bytes of pixel data of each chunk.
        identity: what this side shows, and whom it believes.
    """
    _quietly()
    made = python_context(identity, lambda why: _refused(channel, why), server=False)
    tls = made, identity.peer
    idle: queue.LifoQueue[_Scu] = queue.LifoQueue()
    for _ in range(ASSOCIATIONS):
        _Scu(idle, channel, here, there, size, tls).start()
    while data := channel.recv(_READ_BYTES):
        # Whoever was busy last: an association that is open, where there is one.
        idle.get().jobs.put(data)


class _Scu(threading.Thread):
    """One association at a time.

    ``jobs``: the chunk that it is to send next.
    """

    def __init__(
        self,
        idle: queue.LifoQueue[_Scu],
        channel: socket.socket,
        here: str,
        there: tuple[str, int],
        size: int,
        tls: tuple[ssl.SSLContext, str],
    ) -> None:
        super().__init__(daemon=True)
        self.jobs: queue.Queue[bytes] = queue.Queue()
        self._idle, self._channel, self._here, self._there = idle, channel, here, there
        self._size, self._tls = size, tls
        self._entity = _entity("SIMULATED")
        self._entity.add_requested_context(SOP_CLASS, SYNTAX)
        self._association: Association | None = None

    def run(self) -> None:
        """Send chunks for ever."""
        self._idle.put(self)
        while True:
            association = self._association
            try:
                since_ns, fields = json.loads(
                    self.jobs.get(timeout=IDLE_S if association else None)
                )
            except queue.Empty:
                assert association is not None
                association.release()
                self._association = None
                continue
            stale = time.monotonic_ns() - since_ns > STALE_NS
            fault = "stale" if stale else self._store(Message(*fields))
            if fault:
                _say(self._channel, "fault", fault)
            self._idle.put(self)

    def _store(self, message: Message) -> str:
        """Send one chunk; what went wrong, if anything."""
        if self._association is None or not self._association.is_established:
            self._association = self._entity.associate(
                *self._there,
                ae_title="STATION",
                bind_address=(self._here, 0),
                max_pdu=LARGEST_PDU,
                tls_args=self._tls,
                evt_handlers=[(evt.EVT_CONN_OPEN, _prepare)],
            )
            if not self._association.is_established:
                self._association = None
                return "unreachable"
        try:
            status = self._association.send_c_store(instance_of(message, self._size))
        except (RuntimeError, OSError):  # aborted meanwhile
            status = None
        if status is None or "Status" not in status:
            self._association = None
            return "unanswered"
        return "" if status.Status == SUCCESS else "refused"


def provide(channel: socket.socket, here: tuple[str, int], identity: Identity) -> None:
    """Take instances at address and port ``here``; the chunks in them go to ``channel``.

    Args:
        channel: takes chunks, and what went wrong.
        here: where to listen.
        identity: what this side shows, and whom it believes.
    """
    _quietly()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))
    entity = _entity("STATION")
    entity.add_supported_context(SOP_CLASS, SYNTAX)
    entity.maximum_associations = 4 * ASSOCIATIONS

    def stored(event: evt.Event) -> int:
        try:
            message = message_of(event.dataset)
        except Exception as error:  # whatever the parser makes of foreign bytes
            _say(channel, "wrong", f"DICOM: {error}")
            return CANNOT_UNDERSTAND
        return SUCCESS if _say(channel, "chunk", message) else OUT_OF_RESOURCES

    handlers: list[Any] = [(evt.EVT_C_STORE, stored), (evt.EVT_CONN_OPEN, _prepare)]
    made = python_context(identity, lambda why: _refused(channel, why), server=True)
    _listen(entity, here, handlers, made)
    while channel.recv(_READ_BYTES):
        pass


def _listen(entity: AE, here: tuple[str, int], handlers: list[Any], made: ssl.SSLContext) -> None:
    """Listen there, as soon as a process that lost its power before has let go of the place."""
    until = time.monotonic() + _VACATED_S
    while True:
        try:
            entity.start_server(here, block=False, evt_handlers=handlers, ssl_context=made)
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _quietly() -> None:
    """No log; and no thread keeps the others waiting for long."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    sys.setswitchinterval(_SWITCH_S)


def _entity(title: str) -> AE:
    entity = AE(ae_title=title)
    entity.maximum_pdu_size = LARGEST_PDU
    entity.acse_timeout = entity.dimse_timeout = ANSWER_S
    entity.connection_timeout = CONNECT_S
    entity.network_timeout = _ABANDONED_S
    return entity


def _prepare(event: evt.Event) -> None:
    """No waiting for small segments; and a dead connection is let go of, not tried for minutes.

    A server opens the session here, in the connection's own thread: who says nothing holds
    nobody up.
    """
    wrapped = event.assoc.dul.socket
    sock = wrapped.socket if wrapped is not None else None
    if wrapped is None or sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    if event.assoc.is_acceptor:
        assert isinstance(sock, ssl.SSLSocket)
        sock.settimeout(ANSWER_S)
        try:
            sock.do_handshake()
            sock.settimeout(None)
        except BaseException:  # whatever it was: the library would go on without
            wrapped.close()
            raise
    if event.assoc.is_requestor:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def _refused(channel: socket.socket, why: str) -> None:
    _say(channel, "fault", f"refused ({why})")


def _say(channel: socket.socket, kind: str, told: object) -> bool:
    """Tell the agent; false where it does not take it in time."""
    try:
        channel.send(json.dumps((kind, told)).encode())
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EPIPE, errno.ECONNRESET):
            raise
        return False
    return True
