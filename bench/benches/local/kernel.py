"""The system calls that the local bench needs and Python 3.11 does not offer."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import time

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1
_SIOCSIFFLAGS, _SIOCGIFFLAGS = 0x8914, 0x8913
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_SIOCSARP, _SIOCADDRT, _SIOCDELRT = 0x8955, 0x890B, 0x890C
_RTF_UP, _RTF_GATEWAY, _RTF_HOST, _RTF_REJECT = 0x1, 0x2, 0x4, 0x200
_IFF_UP = 0x1
_ATF_COM_PERM = 0x02 | 0x04
_ARPHRD_ETHER = 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by ``flags``. Raises ``OSError``."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def set_network_namespace(fd: int) -> None:
    """Enter the network namespace that ``fd`` refers to. Raises ``OSError``."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(CLONE_NEWNET)), "setns")


def open_network_namespace() -> int:
    """A descriptor of this process's network namespace; it keeps the namespace alive."""
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter_own_namespaces() -> str:
    """Move this process into a network namespace of its own.

    Through a user namespace where it lacks the privilege; for that, no thread may exist yet.

    Returns:
        ``root`` or ``user namespace``: how it was done.

    Raises:
        OSError: this host allows neither.
    """
    try:
        unshare(CLONE_NEWNET)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
    else:
        return "root"
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1"),
        ("gid_map", f"0 {gid} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as handle:
            handle.write(text)
    return "user namespace"


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when process ``parent`` (its parent) ends.

    The kernel means the parent's *thread* that started this process. To be called after any
    change of user namespace, which would clear it.
    """
    _check(
        _libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL), 0, 0, 0),
        "prctl",
    )
    if os.getppid() != parent:
        os._exit(1)


class Timer:
    """A kernel timer on CLOCK_MONOTONIC for use with epoll: absolute, without timer slack.

    Readable from the armed time until it is armed again.
    """

    class _Spec(ctypes.Structure):
        _fields_ = (
            ("interval_s", ctypes.c_long),
            ("interval_ns", ctypes.c_long),
            ("value_s", ctypes.c_long),
            ("value_ns", ctypes.c_long),
        )

    def __init__(self) -> None:
        self._fd = _check(
            _libc.timerfd_create(ctypes.c_int(time.CLOCK_MONOTONIC), ctypes.c_int(_TFD_FLAGS)),
            "timerfd_create",
        )
        self._spec = self._Spec(0, 0, 0, 0)
        self._settime = _libc.timerfd_settime
        self._settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._address = ctypes.addressof(self._spec)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._fd

    def arm(self, monotonic_ns: int) -> None:
        """Become readable at ``monotonic_ns`` (at once if that is past)."""
        self._spec.value_s, self._spec.value_ns = divmod(monotonic_ns, 1_000_000_000)
        self._settime(self._fd, _TFD_TIMER_ABSTIME, self._address, None)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def _request(control: socket.socket, code: int, name: str, rest: bytes = b"") -> bytes:
    buffer = struct.pack("16s24s", name.encode(), rest)
    return fcntl.ioctl(control, code, buffer)


def _address(ip: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(ip))


def interface_up(control: socket.socket, name: str) -> None:
    """Bring interface ``name`` up. ``control`` is any IPv4 socket of its namespace."""
    (flags,) = struct.unpack_from("H", _request(control, _SIOCGIFFLAGS, name), 16)
    _request(control, _SIOCSIFFLAGS, name, struct.pack("H", flags | _IFF_UP))


def interface_address(control: socket.socket, name: str, ip: str, netmask: str) -> None:
    """Give interface ``name`` an IPv4 address."""
    _request(control, _SIOCSIFADDR, name, _address(ip))
    _request(control, _SIOCSIFNETMASK, name, _address(netmask))


def static_neighbour(control: socket.socket, name: str, ip: str, mac: bytes) -> None:
    """Tell interface ``name`` the hardware address of a neighbour for good: no ARP."""
    hardware = struct.pack("=H14s", _ARPHRD_ETHER, mac)
    request = _address(ip) + hardware + struct.pack("=i", _ATF_COM_PERM) + bytes(16)
    fcntl.ioctl(control, _SIOCSARP, request + name.encode().ljust(16, b"\0"))


def route(control: socket.socket, name: str, network: str, netmask: str, router: str) -> None:
    """Send what goes to ``network`` out of interface ``name``, to ``router``.

    The router need not be in a network of the interface: a route to it alone is made first.
    """
    device = ctypes.create_string_buffer(name.encode())
    for target, mask, gateway, flags in (
        (router, "255.255.255.255", "0.0.0.0", _RTF_UP | _RTF_HOST),
        (network, netmask, router, _RTF_UP | _RTF_GATEWAY),
    ):
        entry = _route_entry(target, gateway, mask, flags, ctypes.addressof(device))
        fcntl.ioctl(control, _SIOCADDRT, entry)


def unreachable(control: socket.socket, address: str, *, on: bool) -> None:
    """Let nothing of this namespace leave for an address, whoever sends it; or let it again."""
    entry = _route_entry(
        address, "0.0.0.0", "255.255.255.255", _RTF_UP | _RTF_HOST | _RTF_REJECT, 0
    )
    fcntl.ioctl(control, _SIOCADDRT if on else _SIOCDELRT, entry)


def _route_entry(target: str, gateway: str, mask: str, flags: int, device: int) -> bytes:
    """A struct rtentry of linux/route.h; ``device``: where its name is, 0 for none."""
    entry = struct.pack("@L", 0) + _address(target) + _address(gateway) + _address(mask)
    return entry + struct.pack("@HhLPhPLLH6x", flags, 0, 0, 0, 0, device, 0, 0, 0)


def no_ipv6() -> bool:
    """Keep IPv6 off interfaces that will be made in this namespace (no stray packets).

    Returns:
        False where the host does not allow it; the taps then see a few IPv6 packets.
    """
    done = True
    for scope in ("all", "default"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "w") as handle:
                handle.write("1")
        except FileNotFoundError:
            continue
        except OSError:
            done = False
    return done
