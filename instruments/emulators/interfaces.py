"""Small things about a network interface: offloads off, counters."""

from __future__ import annotations

from instruments.emulators import settings
from instruments.emulators.base import EmulatorError


def offloads_off(ifname: str) -> None:
    """Make ``ifname`` finish its checksums and send one packet at a time.

    Needed at both ends *that send into* the emulator: a packet whose checksum was left to the
    hardware reaches nobody, and a 64 kB super-packet is not one packet.

    Raises:
        EmulatorError: no such interface here, or no right to change it.
    """
    try:
        on = settings.batching(settings.features(ifname))
        settings.set_features(ifname, dict.fromkeys(on, False))
    except OSError as error:
        raise EmulatorError(f"cannot switch offloads off on {ifname}: {error}") from error


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
