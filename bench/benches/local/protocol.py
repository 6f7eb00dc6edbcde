"""What the main process asks of the host process: a pickled request with descriptors."""

from __future__ import annotations

import array
import pickle
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.network.scenario import Side
from bench.sessions.recording import Session

Backend = Literal["netem", "userspace"]

_HEADER = struct.Struct("!II")
_MOST_FDS = 64


@dataclass(frozen=True, slots=True)
class Live:
    """A link whose changes from ``from_ns`` on are commanded while the session runs."""

    link: str
    from_ns: int


@dataclass(frozen=True, slots=True)
class Request:
    """One session to carry out.

    ``build``: ``module:function`` or ``file.py:function`` that makes an endpoint. ``channels``:
    a process of the session for each, and the socket that comes with the request. ``captures``:
    the sides whose capture files come behind them. ``live``: what the emulator is told later, as
    messages ``change`` on its channel. ``nics``: per link the interfaces, as
    :data:`bench.benches.local.nics.Ends`, where these are physical: nobody plays the device then.
    """

    session: Session
    backend: Backend
    build: str
    channels: tuple[str, ...]
    captures: tuple[Side, ...]
    live: Live | None = None
    nics: tuple[tuple[str, ...], ...] = ()


def send_request(sock: socket.socket, request: Request, fds: Sequence[int]) -> None:
    """Send ``request`` with its channels' and capture files' descriptors."""
    body = pickle.dumps(request)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    sock.sendmsg([_HEADER.pack(len(body), len(fds))], ancillary)
    sock.sendall(body)


def receive_request(sock: socket.socket) -> tuple[Request, list[int]] | None:
    """The next request, or ``None`` when the main process is gone."""
    header, fds, _, _ = socket.recv_fds(sock, _HEADER.size, _MOST_FDS, socket.MSG_WAITALL)
    if len(header) < _HEADER.size:
        return None
    size, _ = _HEADER.unpack(header)
    body = bytearray()
    while len(body) < size:
        data = sock.recv(size - len(body))
        if not data:
            return None
        body += data
    request = pickle.loads(bytes(body))
    assert isinstance(request, Request)
    return request, fds
