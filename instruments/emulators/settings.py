"""The settings of an interface that the bench changes: flags, offloads, IPv6. Exactly, both ways.

Standard library only (see :mod:`instruments.emulators.rtnetlink`). Interfaces are those of the
current network namespace. Every function raises ``OSError`` where the kernel refuses.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

UP, RUNNING, NO_ARP = 0x1, 0x40, 0x80
"""Interface flags, linux/if.h."""

_GET_FLAGS, _SET_FLAGS, _ETHTOOL = 0x8913, 0x8914, 0x8946
_GET_SET_SIZE, _GET_STRINGS = 0x37, 0x1B
_GET_FEATURES, _SET_FEATURES = 0x3A, 0x3B
_FEATURES = 4
"""ETH_SS_FEATURES, linux/ethtool.h."""

_LENGTH = 32
_ENDINGS = ("-segmentation", "-gro", "-lro")
_BEGINNINGS = ("tx-checksum-", "rx-gro", "tx-gso-")


def flags(ifname: str) -> int:
    """The interface's flags (without promiscuity that sockets asked for)."""
    with _control() as sock:
        answer = fcntl.ioctl(sock, _GET_FLAGS, struct.pack("16s24x", ifname.encode()))
    return int(struct.unpack_from("H", answer, 16)[0])


def set_flags(ifname: str, on: int = 0, off: int = 0) -> None:
    """Switch flags; needs the right to even where nothing changes."""
    with _control() as sock:
        answer = fcntl.ioctl(sock, _GET_FLAGS, struct.pack("16s24x", ifname.encode()))
        now = struct.unpack_from("H", answer, 16)[0]
        request = struct.pack("16sH22x", ifname.encode(), (now | on) & ~off)
        fcntl.ioctl(sock, _SET_FLAGS, request)


def features(ifname: str) -> dict[str, bool]:
    """The offloads and other features that can be switched: whether each is asked for."""
    with _control() as sock:
        return {name: asked for name, (_, asked) in _read_features(sock, ifname).items()}


def set_features(ifname: str, wanted: Mapping[str, bool]) -> None:
    """Ask for features or not, all at once; unknown ones are left out."""
    with _control() as sock:
        known = _read_features(sock, ifname)
        blocks = _blocks(sock, ifname)
        valid, asked = [0] * blocks, [0] * blocks
        for name, on in wanted.items():
            if name in known:
                block, bit = divmod(known[name][0], 32)
                valid[block] |= 1 << bit
                asked[block] |= on << bit
        if any(valid):
            pairs = [word for pair in zip(valid, asked, strict=True) for word in pair]
            _ethtool(sock, ifname, struct.pack(f"II{2 * blocks}I", _SET_FEATURES, blocks, *pairs))


def batching(names: Mapping[str, bool]) -> tuple[str, ...]:
    """Of these features, the ones that are on and make one packet of many or leave it unfinished.

    Checksums left to hardware, segmentation, and the joining of arrivals (GRO, LRO).
    """
    return tuple(
        name
        for name, on in names.items()
        if on and (name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS))
    )


def ipv6_disabled(ifname: str) -> str | None:
    """What ``disable_ipv6`` says; None on a kernel without IPv6."""
    try:
        return _ipv6(ifname).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def set_ipv6_disabled(ifname: str, value: str) -> None:
    """Write ``disable_ipv6``; harmless where there is none."""
    with contextlib.suppress(FileNotFoundError):
        _ipv6(ifname).write_text(value, encoding="ascii")


def _ipv6(ifname: str) -> Path:
    return Path("/proc/sys/net/ipv6/conf") / ifname / "disable_ipv6"


def _control() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _ethtool(sock: socket.socket, ifname: str, command: bytes) -> bytes:
    data = ctypes.create_string_buffer(command, len(command))
    request = struct.pack("16sP", ifname.encode(), ctypes.addressof(data))
    fcntl.ioctl(sock, _ETHTOOL, request + bytes(40 - len(request)))
    return data.raw


def _count(sock: socket.socket, ifname: str) -> int:
    answer = _ethtool(sock, ifname, struct.pack("IIQI", _GET_SET_SIZE, 0, 1 << _FEATURES, 0))
    return int(struct.unpack_from("I", answer, 16)[0])


def _blocks(sock: socket.socket, ifname: str) -> int:
    return (_count(sock, ifname) + 31) // 32


def _read_features(sock: socket.socket, ifname: str) -> dict[str, tuple[int, bool]]:
    """By name: number of the feature, and whether it is asked for; only what can be switched."""
    try:
        count = _count(sock, ifname)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return {}
        raise
    room = bytes(count * _LENGTH)
    names = _ethtool(sock, ifname, struct.pack("III", _GET_STRINGS, _FEATURES, count) + room)[12:]
    blocks = (count + 31) // 32
    room = bytes(16 * blocks)
    words = _ethtool(sock, ifname, struct.pack("II", _GET_FEATURES, blocks) + room)[8:]
    found = {}
    for number in range(count):
        block, bit = divmod(number, 32)
        available, asked, _, fixed = struct.unpack_from("4I", words, 16 * block)
        if available & ~fixed & 1 << bit:
            raw = names[number * _LENGTH : (number + 1) * _LENGTH]
            name = raw.split(b"\0")[0].decode(errors="replace")
            found[name] = number, bool(asked & 1 << bit)
    return found
