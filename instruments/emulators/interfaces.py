"""Small things about a network interface: offloads off, counters."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import socket
import struct

from instruments.emulators.base import EmulatorError

_SIOCETHTOOL = 0x8946
_SET_TX_CHECKSUM = 0x17
_SET_TSO, _SET_GSO, _SET_GRO = 0x1F, 0x24, 0x2C


def _ethtool(sock: socket.socket, ifname: str, command: int, value: int) -> None:
    data = ctypes.create_string_buffer(struct.pack("II", command, value), 8)
    request = struct.pack("16sP", ifname.encode(), ctypes.addressof(data))
    fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request + bytes(40 - len(request)))


def offloads_off(ifname: str) -> None:
    """Make ``ifname`` finish its checksums and send one packet at a time.

    Needed at both ends *that send into* the emulator: a packet whose checksum was left to the
    hardware reaches nobody, and a 64 kB super-packet is not one packet.

    Raises:
        EmulatorError: no such interface here, or no right to change it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            _ethtool(sock, ifname, _SET_TX_CHECKSUM, 0)
        except OSError as error:
            raise EmulatorError(f"cannot switch offloads off on {ifname}: {error}") from error
        for command in (_SET_TSO, _SET_GSO, _SET_GRO):
            with contextlib.suppress(OSError):  # follows from the checksum, or not known here
                _ethtool(sock, ifname, command, 0)


def transmit_drops(ifname: str) -> int:
    """Packets that ``ifname`` has dropped on sending, from the kernel's interface table.

    Raises:
        EmulatorError: no such interface in this network namespace.
    """
    with open("/proc/net/dev", encoding="ascii") as table:
        for line in table:
            name, found, counters = line.partition(":")
            if found and name.strip() == ifname:
                return int(counters.split()[11])
    raise EmulatorError(f"no interface {ifname} in this network namespace")
