"""What stands in the current network namespace, straight from the kernel (rtnetlink(7)).

Standard library only: the guardian process, which must stay small, uses it too. Every function
raises ``OSError`` where the kernel refuses.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_DELLINK, _GETLINK, _SETLINK = 17, 18, 19
_GETADDR, _GETROUTE = 22, 26
_DELQDISC, _GETQDISC = 37, 38
_UNICAST = 1
_HEADER = struct.Struct("=IHHII")
_LINK, _ADDRESS, _ROUTE, _QDISC = (
    struct.Struct(form) for form in ("=BxHiII", "=BBBBI", "=8BI", "=BxxxiIII")
)
_SO_NETNS_COOKIE = 71
_PARENT_ROOT, _PARENT_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1


@dataclass(frozen=True, slots=True)
class Link:
    """One interface.

    ``master``: index of what it is a port of; ``link``: what it stands on (of a veth: its other
    end), None where that is in another network namespace; ``kind``: "" for hardware.
    """

    index: int
    name: str
    mac: str
    kind: str
    loopback: bool
    master: int | None
    link: int | None


@dataclass(frozen=True, slots=True)
class Qdisc:
    """One queueing discipline; ``handle`` 0: the kernel's own choice."""

    kind: str
    handle: int
    parent: int

    @property
    def root(self) -> bool:
        """Whether it is what the interface sends through."""
        return self.parent == _PARENT_ROOT

    @property
    def ingress(self) -> bool:
        """Whether it is what arrivals go through (ingress or clsact)."""
        return self.parent == _PARENT_INGRESS


def _ask(kind: int, body: bytes, flags: int) -> Iterator[bytes]:
    """The bodies of the kernel's answers."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(2.0)
        sock.send(_HEADER.pack(16 + len(body), kind, _REQUEST | flags, 1, 0) + body)
        while True:
            data = sock.recv(1 << 18)
            while len(data) >= 16:
                length, answer, _, _, _ = _HEADER.unpack_from(data)
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    number = -struct.unpack_from("=i", data, 16)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return
                yield data[16:length]
                data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Mapping[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _number(data: bytes | None) -> int | None:
    return None if data is None else int(struct.unpack("=I", data[:4])[0])


def links() -> tuple[Link, ...]:
    """Every interface."""
    found = []
    for body in _ask(_GETLINK, _LINK.pack(0, 0, 0, 0, 0), _DUMP):
        _, _, index, flags, _ = _LINK.unpack_from(body)
        values = _attributes(body[16:])
        kind = _attributes(values.get(18, b"")).get(1, b"")
        elsewhere = 37 in values  # IFLA_LINK_NETNSID
        found.append(
            Link(
                index=index,
                name=values[3].rstrip(b"\0").decode(errors="replace"),
                mac=values.get(1, b"").hex(":"),
                kind=kind.rstrip(b"\0").decode(errors="replace"),
                loopback=bool(flags & 0x8),
                master=_number(values.get(10)),
                link=None if elsewhere else _number(values.get(5)),
            )
        )
    return tuple(found)


def addresses() -> tuple[tuple[int, str, int], ...]:
    """Every address: interface index, text, prefix length."""
    found = []
    for body in _ask(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), _DUMP):
        family, prefix, _, _, index = _ADDRESS.unpack_from(body)
        values = _attributes(body[8:])
        raw = values.get(2, values.get(1))  # IFA_LOCAL, IFA_ADDRESS
        if raw is not None and family in (socket.AF_INET, socket.AF_INET6):
            found.append((index, socket.inet_ntop(family, raw), prefix))
    return tuple(found)


def default_route_interfaces() -> frozenset[int]:
    """The interfaces of every default route, IPv4 and IPv6, in whatever table."""
    found: set[int] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            routes = list(_ask(_GETROUTE, _ROUTE.pack(family, *[0] * 7, 0), _DUMP))
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
                continue  # a kernel without IPv6
            raise
        for body in routes:
            _, length, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(body)
            if length == 0 and kind == _UNICAST:
                found.update(_next_hops(_attributes(body[12:])))
    return frozenset(found)


def _next_hops(values: Mapping[int, bytes]) -> Iterator[int]:
    one = _number(values.get(4))  # RTA_OIF
    if one is not None:
        yield one
    hops = values.get(9, b"")  # RTA_MULTIPATH: struct rtnexthop each
    while len(hops) >= 8:
        length, _, _, index = struct.unpack_from("=HBBi", hops)
        yield index
        hops = hops[(max(length, 8) + 3) & ~3 :]


def qdiscs(index: int) -> tuple[Qdisc, ...]:
    """The queueing disciplines of one interface that the kernel shows."""
    found = []
    for body in _ask(_GETQDISC, _QDISC.pack(0, index, 0, 0, 0), _DUMP):
        _, where, handle, parent, _ = _QDISC.unpack_from(body)
        if where == index:
            kind = _attributes(body[20:]).get(1, b"").rstrip(b"\0").decode(errors="replace")
            found.append(Qdisc(kind, handle, parent))
    return tuple(found)


def delete_qdisc(index: int, qdisc: Qdisc) -> None:
    """Take a qdisc away; a root makes place for the kernel's own choice."""
    body = _QDISC.pack(0, index, qdisc.handle, qdisc.parent, 0)
    list(_ask(_DELQDISC, body, _ACK))


def delete_link(index: int) -> None:
    """Take an interface away."""
    list(_ask(_DELLINK, _LINK.pack(0, 0, index, 0, 0), _ACK))


def leave_master(index: int) -> None:
    """Make an interface nobody's port."""
    body = _LINK.pack(0, 0, index, 0, 0) + struct.pack("=HHI", 8, 10, 0)
    list(_ask(_SETLINK, body, _ACK))


def namespace() -> tuple[int, int | None]:
    """The current network namespace: its inode, and its cookie, which is never used again.

    The cookie is None before Linux 5.14.
    """
    inode = os.stat("/proc/self/ns/net").st_ino
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            raw = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return inode, None
    return inode, int(struct.unpack("=Q", raw)[0])
