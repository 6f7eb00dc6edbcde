"""Wires: what carries bytes to an instrument and back, each with its deadline.

A wire knows where a message ends and nothing else. What PyVISA does not tell, or tells late, is
made plain here: a refused port, a closed peer, half an answer.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import pyvisa
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.resources import MessageBasedResource, TCPIPSocket

from instruments.visa.errors import Unreachable
from instruments.visa.resources import Resource

_CHUNK = 1 << 20
_STRAY_S = 0.001
_MOST_BYTES = 64 << 20
_LOST = {
    StatusCode.error_connection_lost,
    StatusCode.error_io,
    StatusCode.error_invalid_object,
    StatusCode.error_system_error,
}


class WireFault(Exception):
    """Nothing, or not all, came. ``partial``: the bytes that had come."""

    def __init__(self, cause: str, partial: bytes = b"") -> None:
        self.cause, self.partial = cause, partial
        super().__init__(cause)


class WireTimeout(WireFault):
    """The deadline passed."""


class WireLost(WireFault):
    """The connection is gone."""


class Wire(Protocol):
    """A connection to one instrument."""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises: WireFault."""

    def receive(self, within_s: float) -> bytes:
        """One message with its end. Raises: WireFault."""

    def stray(self) -> bytes:
        """What has come unasked; takes up to some milliseconds. Never raises."""

    def close(self) -> None:
        """Close; never raises."""


Connector = Callable[[Resource], Wire]
"""Opens a wire. Raises: Unreachable."""


def connect(resource: Resource) -> Wire:
    """A wire to a configured instrument, over HTTP or through its VISA library.

    Raises:
        Unreachable: nobody answers there within the deadline, or the library cannot open it.
    """
    _try_port(resource)
    return HttpWire(resource) if resource.is_http else VisaWire(resource)


def _try_port(resource: Resource) -> None:
    """A VISA library may open a refused port without a word, so it is tried first."""
    endpoint = resource.endpoint
    if endpoint is None:
        return
    try:
        socket.create_connection(endpoint, timeout=resource.connect_s).close()
    except OSError as error:
        where = f"{endpoint[0]}:{endpoint[1]}"
        raise Unreachable(resource.role, f"cannot connect to {where} ({error})") from error


class VisaWire:
    """A message-based VISA resource.

    Bytes are read below PyVISA's own line handling, so that half an answer is kept too.
    """

    def __init__(self, resource: Resource) -> None:
        self._end = resource.read_termination.encode("ascii")
        try:
            self._manager = pyvisa.ResourceManager(resource.library)
            opened = self._manager.open_resource(
                resource.address, open_timeout=round(resource.connect_s * 1000)
            )
        except Exception as error:  # every library has its own
            raise Unreachable(resource.role, f"{resource.address}: {error}") from error
        if not isinstance(opened, MessageBasedResource):
            opened.close()
            raise Unreachable(resource.role, f"{resource.address} carries no messages")
        self._session: Any = opened
        self._timeout_ms = -1
        try:
            opened.read_termination = resource.read_termination
            if resource.baud is not None:
                opened.set_visa_attribute(ResourceAttribute.asrl_baud_rate, resource.baud)
            # Half an answer is given out at the deadline instead of being dropped.
            with contextlib.suppress(pyvisa.Error, NotImplementedError):
                opened.set_visa_attribute(ResourceAttribute.suppress_end_enabled, False)
            if isinstance(opened, TCPIPSocket):
                self._send_at_once()
        except Exception as error:
            self.close()
            raise Unreachable(resource.role, f"{resource.address}: {error}") from error

    def _send_at_once(self) -> None:
        """Without this a query behind a command waits 40 ms for the command's acknowledgement.

        Nagle's algorithm holds it back (RFC 1122, 4.2.3.4), and the peer, which has nothing to
        answer to a command, delays its acknowledgement. VISA's default is on, pyvisa-py's is off.
        """
        try:
            self._session.set_visa_attribute(ResourceAttribute.tcpip_nodelay, True)
        except Exception:  # each library refuses in its own way; pyvisa-py 0.8.1 does
            sock = self._socket()
            if sock is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _socket(self) -> socket.socket | None:
        """The TCP socket of pyvisa-py beneath; None where another library or wire is."""
        sock = getattr(self._below(), "interface", None)
        return sock if isinstance(sock, socket.socket) else None

    def _below(self) -> object:
        """The session of pyvisa-py beneath; None where another library is."""
        return getattr(self._session.visalib, "sessions", {}).get(self._session.session)

    def send(self, data: bytes) -> None:
        """As :class:`Wire`."""
        try:
            self._session.write_raw(data)
        except (pyvisa.VisaIOError, pyvisa.errors.InvalidSession, OSError) as error:
            raise WireLost(f"cannot send ({_said(error)})") from error

    def receive(self, within_s: float) -> bytes:
        """As :class:`Wire`."""
        got = bytearray()
        deadline = time.monotonic() + within_s
        left = within_s
        while not got.endswith(self._end):
            if left <= 0:
                raise WireTimeout(f"no answer within {within_s:g} s", bytes(got))
            if len(got) > _MOST_BYTES:
                raise WireTimeout(f"an answer without end ({len(got)} bytes)", bytes(got))
            got += self._chunk(left, within_s, bytes(got))
            left = deadline - time.monotonic()
        return bytes(got)

    def stray(self) -> bytes:
        """As :class:`Wire`."""
        if self._silent():
            return b""
        try:
            return self._chunk(_STRAY_S, _STRAY_S, b"")
        except WireFault:
            return b""

    def _silent(self) -> bool:
        """Whether it is known that nothing is there; a read would wait for it.

        Known for a TCP socket of pyvisa-py only, which keeps what it has read beyond a terminator.
        """
        sock, kept = self._socket(), getattr(self._below(), "_pending_buffer", None)
        if sock is None or not isinstance(kept, bytearray):
            return False
        try:
            return not kept and not select.select([sock], [], [], 0)[0]
        except (OSError, ValueError):  # closed, or too many files for select
            return False

    def _chunk(self, left_s: float, within_s: float, before: bytes) -> bytes:
        try:
            timeout_ms = max(1, round(left_s * 1000))
            if timeout_ms != self._timeout_ms:
                self._session.timeout = self._timeout_ms = timeout_ms
            data, _ = self._session.visalib.read(self._session.session, _CHUNK)
        except pyvisa.VisaIOError as error:
            if error.error_code in _LOST:
                raise WireLost(f"the connection is gone ({_said(error)})", before) from error
            raise WireTimeout(f"no answer within {within_s:g} s", before) from error
        except (pyvisa.errors.InvalidSession, OSError) as error:
            raise WireLost(f"the connection is gone ({_said(error)})", before) from error
        return bytes(data)

    def close(self) -> None:
        """As :class:`Wire`."""
        with contextlib.suppress(Exception):
            self._session.close()


def _said(error: Exception) -> str:
    return getattr(error, "abbreviation", "") or type(error).__name__


class HttpWire:
    """One GET request per command; its path is the command, its body the answer.

    The whole request and the whole response are the bytes.
    """

    def __init__(self, resource: Resource) -> None:
        self._endpoint = resource.endpoint or ("", 80)
        self._connect_s = resource.connect_s
        self._sock: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """As :class:`Wire`."""
        self.close()
        try:
            self._sock = socket.create_connection(self._endpoint, timeout=self._connect_s)
            self._sock.sendall(data)
        except OSError as error:
            raise WireLost(f"cannot send ({error})") from error

    def receive(self, within_s: float) -> bytes:
        """As :class:`Wire`."""
        if self._sock is None:
            raise WireLost("nothing was asked")
        got = bytearray()
        deadline = time.monotonic() + within_s
        while True:
            left = deadline - time.monotonic()
            try:
                self._sock.settimeout(max(left, 0.001))
                chunk = self._sock.recv(65536) if left > 0 else None
            except TimeoutError:
                chunk = None
            except OSError as error:
                raise WireLost(f"the connection is gone ({error})", bytes(got)) from error
            if chunk is None:
                raise WireTimeout(f"no answer within {within_s:g} s", bytes(got))
            got += chunk
            if not chunk or _whole(bytes(got)):
                self.close()
                return bytes(got)

    def stray(self) -> bytes:
        """As :class:`Wire`: each answer has a connection of its own."""
        return b""

    def close(self) -> None:
        """As :class:`Wire`."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def http_request(command: str, address: str) -> bytes:
    """The bytes of the request that carries a command."""
    host = urlsplit(address).netloc
    path = quote(command, safe="/:;=?*.,+-_")
    head = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    return head.encode("ascii")


def _whole(raw: bytes) -> bool:
    """Whether a response that gives its length is all there."""
    head, end, body = raw.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:] if end else ():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return False


class _Given:
    """What http.client takes for a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> io.BytesIO:
        """The bytes as a file."""
        return io.BytesIO(self._raw)


def http_body(raw: bytes) -> str:
    """The body of a whole response with status 200.

    Raises:
        ValueError: another status, cut short, or no HTTP at all.
    """
    given: Any = _Given(raw)
    response = http.client.HTTPResponse(given)
    try:
        response.begin()
        body = response.read()
    except http.client.HTTPException as error:
        raise ValueError(f"is no whole HTTP response ({type(error).__name__})") from error
    if response.status != 200:
        raise ValueError(f"has HTTP status {response.status}")
    return body.decode("latin-1").strip()
