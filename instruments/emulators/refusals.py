"""Which interfaces the bench does not take, and why: it must not cut the host off.

Nothing here changes anything.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from bench.errors import InputError
from instruments.emulators import rtnetlink, settings
from instruments.emulators.rtnetlink import Link

_SSH_PORT = 22
_ESTABLISHED = "01"


def find_links(ifnames: Sequence[str], force: Collection[str] = ()) -> tuple[Link, ...]:
    """The interfaces of these names, all fit to be joined in pairs (one with the next).

    ``force`` names those that may carry the default route or an SSH session.

    Raises:
        InputError: one is missing, named twice, or must not be taken.
    """
    every = rtnetlink.links()
    known = {link.name: link for link in every}
    for name in (*ifnames, *force):
        if name not in known:
            there = ", ".join(link.name for link in every if not link.loopback) or "none"
            raise _no(name, "is no interface of this network namespace", f"there is: {there}")
    for name in force:
        if name not in ifnames:
            raise _no(name, "is forced but not used", "name it as --left or --right, or leave out")
    for number, name in enumerate(ifnames):
        if name in ifnames[:number]:
            raise _no(name, "is named twice", "a link has two different interfaces")
    found = tuple(known[name] for name in ifnames)
    for link in found:
        _refuse_kind(link, every)
    for one, other in zip(found[::2], found[1::2], strict=True):
        _refuse_pair(one, other)
    _refuse_needed(found, every, force)
    return found


def _no(name: str, problem: str, remedy: str) -> InputError:
    return InputError(problem, remedy=remedy, field="interface", value=name)


def _refuse_kind(link: Link, every: Iterable[Link]) -> None:
    if link.loopback:
        raise _no(link.name, "is the loopback interface", "name an interface that leads somewhere")
    if link.master is not None:
        master = next((other.name for other in every if other.index == link.master), "another")
        raise _no(
            link.name,
            f"is a port of {master}, which would pass its packets on as well",
            f"take it out first: ip link set dev {link.name} nomaster",
        )


def _refuse_pair(one: Link, other: Link) -> None:
    if one.link == other.index or other.link == one.index:
        what = "are the two ends of one veth" if one.kind == "veth" else "stand on each other"
        raise _no(
            f"{one.name}, {other.name}",
            f"{what}: joined, packets would run in circles",
            "name the ends on this side of two different links",
        )


def _refuse_needed(found: Iterable[Link], every: Sequence[Link], force: Collection[str]) -> None:
    routes = below(rtnetlink.default_route_interfaces(), every)
    sessions = below(_session_interfaces(), every)
    for link in found:
        if link.name in force:
            continue
        for needed, what in ((routes, "the default route"), (sessions, "an SSH session")):
            if link.index in needed:
                raise _no(
                    link.name,
                    f"carries {what} of this host, which would be cut off",
                    f"name another interface, or insist with --force {link.name}",
                )


def below(indexes: Iterable[int], every: Sequence[Link]) -> frozenset[int]:
    """These interfaces and all that they stand on: ports of a bridge or bond, VLAN parents."""
    found: set[int] = set()
    waiting = list(indexes)
    while waiting:
        index = waiting.pop()
        if index in found:
            continue
        found.add(index)
        for link in every:
            if link.master == index:
                waiting.append(link.index)
            if link.index == index and link.kind != "veth" and link.link not in (None, index):
                waiting.append(int(link.link or 0))
    return frozenset(found)


def _session_interfaces() -> frozenset[int]:
    """The interfaces with an address at which an SSH session of this host ends."""
    ends = set(_ssh_ends())
    return frozenset(index for index, text, _ in rtnetlink.addresses() if text in ends)


def _ssh_ends() -> Iterable[str]:
    port = _SSH_PORT
    words = os.environ.get("SSH_CONNECTION", "").split()
    if len(words) == 4 and words[3].isdigit():
        port = int(words[3])
        yield words[2].partition("%")[0]
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == _ESTABLISHED and int(number, 16) in (port, _SSH_PORT):
                yield _address(address)


def _address(text: str) -> str:
    """An address as /proc/net writes it: 32-bit words in this machine's byte order."""
    raw = b"".join(
        int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8)
    )
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def own_qdisc(link: Link) -> str:
    """A queueing discipline that somebody has put on the interface, for people; "" if none."""
    for qdisc in rtnetlink.qdiscs(link.index):
        if (qdisc.root and qdisc.handle) or qdisc.ingress:
            return f"{qdisc.kind} {qdisc.handle >> 16:x}:"
    return ""


def refuse_own_qdiscs(found: Iterable[Link]) -> None:
    """Refuse what the kernel's netem would have to push aside.

    Raises:
        InputError: somebody has put a qdisc there.
    """
    for link in found:
        if there := own_qdisc(link):
            raise _no(
                link.name,
                f"has a queueing discipline of its own ({there}), which netem would replace",
                "take it away first (tc qdisc del), or use --backend userspace",
            )


def refuse_without_privilege(found: Iterable[Link]) -> None:
    """Refuse to begin what could not be carried out.

    Raises:
        InputError: no right to change interfaces or to open packet sockets.
    """
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
        for link in found:
            settings.set_flags(link.name)
    except PermissionError as error:
        raise InputError(
            "no right to take network interfaces",
            remedy="run it as root (sudo), or with the capabilities NET_ADMIN and NET_RAW",
            field="interface",
            value=", ".join(link.name for link in found),
        ) from error


def quiet_possible(link: Link) -> bool:
    """Whether the host has no address there but one that the kernel makes again by itself."""
    own = [text for index, text, _ in rtnetlink.addresses() if index == link.index]
    return all(text == _automatic(link.mac) for text in own)


def _automatic(mac: str) -> str:
    """The link-local IPv6 address that the kernel makes of a MAC (RFC 4291, appendix A)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    if len(raw) != 6:
        return ""
    middle = bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + middle))
